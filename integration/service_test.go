package integration

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const (
	orderPlaced    = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`
	orderRefused   = `{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`
	accountBalance = `{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`
)

func anOrder() *youproxy.IPv4OrderRequest {
	return &youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}
}

// wire is the protocol between client and service.
type wire struct {
	name  string
	tls   bool
	http2 bool
}

var wires = []wire{
	{name: "HTTP1"},
	{name: "HTTP1 over TLS", tls: true},
	{name: "HTTP2", tls: true, http2: true},
}

func (w wire) scheme() string {
	if w.tls {
		return "https"
	}
	return "http"
}

// service is a server that counts what reaches it.
type service struct {
	*httptest.Server
	connections atomic.Int32
	arrivals    atomic.Int32  // headers of requests, except for the balance
	orders      atomic.Int32  // orders that were read whole
	first       chan struct{} // receives once the first order was read
}

type connKey struct{}

// startService answers GET /balance by itself and passes everything else to serve.
func startService(t *testing.T, w wire, serve func(*service, http.ResponseWriter, *http.Request)) *service {
	s := &service{first: make(chan struct{}, 1)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/balance") {
			_, _ = io.WriteString(w, accountBalance)
			return
		}
		s.arrivals.Add(1)
		serve(s, w, r)
	}))
	s.start(t, w)
	return s
}

func (s *service) start(t *testing.T, w wire) {
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	s.EnableHTTP2 = w.http2
	if w.tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
}

// read reads the whole request and returns its body.
func (s *service) read(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Method == http.MethodPost && len(body) > 0 {
		s.orders.Add(1)
		select {
		case s.first <- struct{}{}:
		default:
		}
	}
	return string(body)
}

// reset resets the connection of a request.
func reset(r *http.Request) {
	conn := r.Context().Value(connKey{}).(net.Conn)
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}

// transport returns a transport that trusts the service and speaks its protocol.
func (s *service) transport(t *testing.T) *http.Transport {
	tr := s.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// refusedAddress returns a URL at which nobody listens.
func refusedAddress(t *testing.T, scheme string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return (&url.URL{Scheme: scheme, Host: l.Addr().String()}).String()
}

// within bounds tests that would otherwise hang.
const within = 20 * time.Second
