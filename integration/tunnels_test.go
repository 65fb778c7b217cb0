package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

// throughPools runs f with a pool of one proxy, for each server and each protocol that
// it speaks, with its login.
func throughPools(t *testing.T, f func(t *testing.T, s *proxyServer, pool *proxypool.Pool)) {
	t.Helper()
	trusting := startTarget(t, func(s *httptest.Server) { s.StartTLS() }).transport()
	for kind, start := range proxyServers {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			for _, u := range s.urls() {
				t.Run(u.Scheme, func(t *testing.T) {
					pool, err := proxypool.New([]*url.URL{u}, proxypool.WithTransport(trusting))
					require.NoError(t, err)
					defer func() { require.NoError(t, pool.Replace(nil)) }()
					f(t, s, pool)
					stats := pool.Stats()
					assert.Positive(t, stats[0].Requests+stats[0].Connects)
					s.assertNoPassword(t, fmt.Sprintf("%+v", stats))
				})
			}
		})
	}
}

// urls returns the URLs of the server, with its login, for each protocol that it speaks.
func (s *proxyServer) urls() (list []*url.URL) {
	for _, scheme := range s.schemes() {
		list = append(list, s.url(scheme))
	}
	if s.httpsPort != 0 {
		u := *s.url(youproxy.SchemeHTTP)
		u.Scheme, u.Host = "https", address(s.httpsPort)
		list = append(list, &u)
	}
	return list
}

// startGRPC starts a gRPC server and returns its address.
func startGRPC(t *testing.T, opts ...grpc.ServerOption) string {
	t.Helper()
	s := grpc.NewServer(opts...)
	healthy := health.NewServer()
	healthy.SetServingStatus("a service", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, healthy)
	reflection.Register(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-served)
	})
	return l.Addr().String()
}

func TestGRPCThroughServers(t *testing.T) {
	secure := startTarget(t, func(s *httptest.Server) { s.StartTLS() })
	trusting := secure.transport().TLSClientConfig
	for name, c := range map[string]struct {
		server []grpc.ServerOption
		client credentials.TransportCredentials
	}{
		"plain": {nil, insecure.NewCredentials()},
		"TLS":   {[]grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&secure.TLS.Certificates[0]))}, credentials.NewTLS(trusting)},
	} {
		t.Run(name, func(t *testing.T) {
			addr := startGRPC(t, c.server...)
			throughPools(t, func(t *testing.T, _ *proxyServer, pool *proxypool.Pool) {
				conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(c.client),
					grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return pool.DialContext(ctx, "tcp", addr) }))
				require.NoError(t, err)
				defer conn.Close()
				useGRPC(t, conn)
			})
		})
	}
}

// useGRPC makes a call, reads a stream, and uses a stream in both directions.
func useGRPC(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := healthpb.NewHealthClient(conn)
	reply, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_SERVING, reply.Status)

	watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{Service: "a service"})
	require.NoError(t, err)
	reply, err = watch.Recv()
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, reply.Status)

	talk, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	require.NoError(t, err)
	for range 10 {
		require.NoError(t, talk.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}))
		services, err := talk.Recv()
		require.NoError(t, err)
		assert.Len(t, services.GetListServicesResponse().GetService(), 3)
	}
	require.NoError(t, talk.CloseSend())
	_, err = talk.Recv()
	require.ErrorIs(t, err, io.EOF)
}

// echoMessages sends each message of a WebSocket back.
func echoMessages(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any origin
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// webSocketServers has functions to start a server without TLS and one with TLS.
var webSocketServers = map[string]func(http.Handler) *httptest.Server{"ws": httptest.NewServer, "wss": httptest.NewTLSServer}

// useWebSocket exchanges messages with echoMessages.
func useWebSocket(t *testing.T, server *httptest.Server, transport *http.Transport) {
	t.Helper()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for _, message := range []string{"hello", strings.Repeat("long ", 1<<18), ""} {
		require.NoError(t, c.Write(ctx, websocket.MessageText, []byte(message)))
		_, got, err := c.Read(ctx)
		require.NoError(t, err)
		same := message == string(got) // a message is too long to be printed
		assert.True(t, same, "another message came back")
	}
	_ = c.Close(websocket.StatusNormalClosure, "") // the server may end the connection first
}

func TestWebSocketThroughServers(t *testing.T) {
	for scheme, start := range webSocketServers {
		t.Run(scheme, func(t *testing.T) {
			server := start(http.HandlerFunc(echoMessages))
			defer server.Close()
			throughPools(t, func(t *testing.T, _ *proxyServer, pool *proxypool.Pool) {
				transport := (&target{Server: server}).transport()
				transport.Proxy, transport.DialContext = nil, pool.DialContext
				useWebSocket(t, server, transport)
			})
		})
	}
}

// The error says that the password is wrong, without quoting it.
func TestDialContextWithAWrongPassword(t *testing.T) {
	const wrong = "wr@ng/Password-9"
	trusting := startTarget(t, func(s *httptest.Server) { s.StartTLS() }).transport()
	for kind, start := range proxyServers {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			for _, u := range s.urls() {
				u.User = url.UserPassword(s.login, wrong)
				pool, err := proxypool.New([]*url.URL{u}, proxypool.WithTransport(trusting))
				require.NoError(t, err)
				c, err := pool.DialContext(t.Context(), "tcp", "127.0.0.1:1")
				if err == nil {
					_ = c.Close()
				}
				require.ErrorIs(t, err, proxypool.ErrAuthentication)
				var failure *proxypool.Error
				require.ErrorAs(t, err, &failure)
				s.assertNoPassword(t, fmt.Sprintf("%v %+v %#v %+v", err, err, failure, pool.Stats()), wrong)
				require.NoError(t, pool.Replace(nil))
			}
		})
	}
}
