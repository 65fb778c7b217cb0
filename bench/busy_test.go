package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/bench/clients/byhand"
	"github.com/youproxy-go/youproxy/bench/clients/oapi"
	"github.com/youproxy-go/youproxy/bench/clients/resty"
	"github.com/youproxy-go/youproxy/bench/clients/sdk"
)

// BenchmarkBusy makes calls over TLS from 32 goroutines that share a client, each client
// with the transport that it has by default, to a service that takes 5 ms for a reply.
// It reports how many connections were opened, and how long half of the calls and 99 of
// 100 took at most.
func BenchmarkBusy(b *testing.B) {
	for _, protocol := range []string{"http1", "http2"} {
		for i, name := range []string{"SDK", "by-hand", "oapi-codegen", "resty"} {
			for _, call := range []struct {
				name string
				make func(client, context.Context) error
			}{
				{"Balance", client.Balance},
				{"Order", func(c client, ctx context.Context) error { _, err := c.Order(ctx); return err }},
			} {
				b.Run(protocol+"/"+call.name+"/"+name, func(b *testing.B) {
					s := startTLS(b, protocol == "http2")
					c := ownTransports(b, s.Server)[i]
					took := burst(b, func() error { return call.make(c, b.Context()) })
					b.ReportMetric(float64(s.opened.Load()), "connections")
					b.ReportMetric(milliseconds(took[len(took)*50/100]), "p50-ms")
					b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
				})
			}
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// tlsServer counts the connections that are opened to it.
type tlsServer struct {
	*httptest.Server
	opened atomic.Int64
}

func startTLS(tb testing.TB, http2 bool) *tlsServer {
	tb.Helper()
	s := new(tlsServer)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * time.Millisecond) // the service at work
		serve(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that a client gave up
	s.EnableHTTP2 = http2
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.opened.Add(1)
		}
	}
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

// ownTransports returns the clients, each with the transport that it has by default,
// which trusts s.
func ownTransports(tb testing.TB, s *httptest.Server) []client {
	tb.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := &tls.Config{RootCAs: roots}

	original := http.DefaultTransport
	standard := original.(*http.Transport).Clone()
	standard.TLSClientConfig = trusting
	http.DefaultTransport = standard
	tb.Cleanup(func() { http.DefaultTransport = original; standard.CloseIdleConnections() })

	bySDK, err := sdk.New(s.URL, key, nil) // with a copy of the default transport
	require.NoError(tb, err)
	generated, err := oapi.New(s.URL, key, new(http.Client))
	require.NoError(tb, err)
	byResty := resty.New(s.URL, key, nil)
	byResty.HTTPClient().Transport.(*http.Transport).TLSClientConfig = trusting.Clone()
	return []client{bySDK, byhand.New(s.URL, key, new(http.Client)), generated, byResty}
}

// burst makes b.N calls from 32 goroutines, and returns how long each took, in order.
func burst(b *testing.B, call func() error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 32 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				started := time.Now()
				if err := call(); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(started)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	return took
}
