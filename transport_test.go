package youproxy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const (
	guardKey     = "Secret-Key_0123456789"
	balanceReply = `{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`
)

var guardOrder = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

// retrying is a caller's transport that knows better: it sends whatever failed
// again, with a copy of the body.
type retrying struct {
	inner http.RoundTripper
	fresh bool // each time as a request of its own
	times int
}

func (rt *retrying) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	for range rt.times {
		again := r.Clone(r.Context())
		if rt.fresh {
			again, _ = http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), nil)
			again.Header = r.Header.Clone()
		}
		again.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		again.Body, _ = again.GetBody()
		again.ContentLength = int64(len(body))
		again.Header.Set("Idempotency-Key", "replay me")
		resp, err = rt.inner.RoundTrip(again)
		if err == nil && resp.StatusCode < 500 {
			return resp, nil
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	return resp, err
}

func TestRetryingTransportCannotOrderTwice(t *testing.T) {
	t.Parallel()
	drop := func(*guarded, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	status := func(code int) func(*guarded, http.ResponseWriter, *http.Request) {
		return func(_ *guarded, rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(code)
			_, _ = io.WriteString(rw, "try again")
		}
	}
	for _, w := range wires {
		for _, failure := range []struct {
			name   string
			handle func(*guarded, http.ResponseWriter, *http.Request)
		}{
			{"503", status(503)},
			{"503 that closes the connection", func(_ *guarded, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Connection", "close")
				rw.WriteHeader(503)
			}},
			{"connection dropped", drop},
			{"connection dropped in the reply", func(_ *guarded, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", "1000")
				rw.WriteHeader(503)
				_, _ = io.WriteString(rw, "try")
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			}},
		} {
			for _, fresh := range []bool{false, true} {
				name := w.name + "/" + failure.name
				if fresh {
					name += "/as a new request"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					g := serveOn(t, w, failure.handle)
					c := g.client(t, &retrying{inner: g.transport, fresh: fresh, times: 4})
					_, err := c.CreateOrder(t.Context(), guardOrder)
					require.Error(t, err)
					assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "%v", err)
					assert.NotErrorIs(t, err, context.Canceled, "the caller cancelled nothing")
					time.Sleep(20 * time.Millisecond)
					assert.EqualValues(t, 1, g.orders.Load(), "orders that arrived")
				})
			}
		}
	}
}

// TestRetryingTransportMayRepeatReads: the guard is for what spends.
func TestRetryingTransportMayRepeatReads(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			var calls atomic.Int32
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) < 3 {
					rw.WriteHeader(503)
					return
				}
				_, _ = io.WriteString(rw, balanceReply)
			})
			_, err := g.client(t, &retrying{inner: g.transport, times: 4}).Balance(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 3, calls.Load())
		})
	}
}

// TestStoppedRetryLeavesOthersAlone: over HTTP/2 a connection carries other
// calls, which a retry that is stopped must not take down.
func TestStoppedRetryLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		if !w.isHTTP2() {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			arrived, answer := make(chan struct{}), make(chan struct{})
			var once sync.Once
			release := func() { once.Do(func() { close(answer) }) }
			defer release()
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					rw.WriteHeader(503)
					return
				}
				close(arrived)
				<-answer
				_, _ = io.WriteString(rw, balanceReply)
			})
			c := g.client(t, &retrying{inner: g.transport, times: 3})
			result := make(chan error, 1)
			go func() {
				_, err := c.Balance(context.WithoutCancel(t.Context()))
				result <- err
			}()
			<-arrived
			for range 5 {
				_, err := c.CreateOrder(t.Context(), guardOrder)
				require.Error(t, err)
			}
			release()
			assert.NoError(t, <-result, "the slow call on the same connection")
			assert.EqualValues(t, 5, g.orders.Load())
			assert.EqualValues(t, 1, g.conns.Load(), "connections")
		})
	}
}

// TestWarmConnectionDropped: net/http repeats by itself what it believes lost on
// a connection that was kept alive.
func TestWarmConnectionDropped(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			for range 10 {
				g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						panic(http.ErrAbortHandler)
					}
					_, _ = io.WriteString(rw, balanceReply)
				})
				c := g.client(t, g.transport)
				_, err := c.Balance(t.Context())
				require.NoError(t, err)
				_, err = c.CreateOrder(t.Context(), guardOrder)
				require.Error(t, err)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
				assert.EqualValues(t, 1, g.orders.Load())
			}
		})
	}
}

// TestHeaderThatIsNil: a client that follows redirects tells where it came from, unless
// it was told something else, be it that a middleware took the whole header away.
func TestHeaderThatIsNil(t *testing.T) {
	t.Parallel()
	var referers []string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		referers = append(referers, r.Referer())
		if len(referers) == 1 {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0), youproxy.WithHTTPClient(&http.Client{Transport: following{transport}}),
		youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				r.Header = nil
				return next.RoundTrip(r)
			})
		}))
	_, err := c.Balance(t.Context())
	require.Error(t, err)
	for _, referer := range referers {
		assert.NotContains(t, referer, clientKey)
	}
}

// TestHedgingTransport: a transport of the caller's may send two at once.
func TestHedgingTransport(t *testing.T) {
	t.Parallel()
	g := serveOn(t, wires[0], func(_ *guarded, rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, balanceReply) })
	c := g.client(t, stubTransport(func(r *http.Request) (*http.Response, error) {
		first := make(chan *http.Response, 2)
		for range 2 {
			go func() {
				resp, err := g.transport.RoundTrip(r.Clone(r.Context()))
				if err != nil {
					resp = nil
				}
				first <- resp
			}()
		}
		resp := <-first
		if other := <-first; other != nil {
			_ = other.Body.Close()
		}
		return resp, nil
	}))
	for range 20 {
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
	}
}

// TestMarkedForReplay: net/http sends again, on its own, what is marked as harmless
// to repeat, as a middleware or the method may do.
func TestMarkedForReplay(t *testing.T) {
	t.Parallel()
	marking := youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			r.Header.Set("Idempotency-Key", "replay me")
			return next.RoundTrip(r)
		})
	})
	for _, w := range wires {
		for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodTrace} {
			t.Run(w.name+"/"+method, func(t *testing.T) {
				var spends atomic.Int32
				g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet {
						spends.Add(1)
						panic(http.ErrAbortHandler)
					}
					_, _ = io.WriteString(rw, balanceReply)
				})
				c := g.client(t, g.transport, marking)
				_, err := c.Balance(t.Context())
				require.NoError(t, err)
				err = c.Call(t.Context(), method, "/thing", nil, nil, nil)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
				assert.EqualValues(t, 1, spends.Load(), "%v", err)
			})
		}
	}
}

// TestWarmConnectionClosedByServer: the server closes a connection just as the
// order goes out on it. Whatever happens, the order does not arrive twice, and
// is not called unsent if it arrived.
func TestWarmConnectionClosedByServer(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			for i := range 20 {
				g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
					reply := balanceReply
					if r.Method == http.MethodPost {
						reply = orderedReply
					}
					_, _ = io.WriteString(rw, reply)
				})
				c := g.client(t, g.transport)
				_, err := c.Balance(t.Context())
				require.NoError(t, err)
				closed := make(chan struct{})
				go func() {
					defer close(closed)
					time.Sleep(time.Duration(i) * 20 * time.Microsecond)
					g.CloseClientConnections()
				}()
				_, err = c.CreateOrder(t.Context(), guardOrder)
				<-closed
				switch youproxy.OutcomeOf(err) {
				case youproxy.OutcomeDone:
					assert.EqualValues(t, 1, g.orders.Load())
				case youproxy.OutcomeNotSent:
					assert.EqualValues(t, 0, g.orders.Load())
				default:
					assert.LessOrEqual(t, g.orders.Load(), int32(1))
				}
			}
		})
	}
}

// TestRefusedStreamIsNotReplayed: over HTTP/2 net/http sends a stream again that
// the server refused, with the body that GetBody gives.
func TestRefusedStreamIsNotReplayed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var streams atomic.Int32
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() { refuseStreams(conn, &streams) })
		}
	})
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: only}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = ln.Close()
		served.Wait()
	})
	c, err := youproxy.New(guardKey, youproxy.WithBaseURL("http://"+ln.Addr().String()), youproxy.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	_, err = c.CreateOrder(t.Context(), guardOrder)
	require.Error(t, err)
	assert.EqualValues(t, 1, streams.Load(), "streams opened: %v", err)
	assert.NotErrorIs(t, err, context.Canceled)
}

// refuseStreams speaks just so much HTTP/2 that every stream is refused.
func refuseStreams(conn net.Conn, streams *atomic.Int32) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	frame := func(kind byte, flags byte, stream uint32, payload []byte) {
		head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(head[5:], stream)
		_, _ = conn.Write(append(head, payload...))
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		return
	}
	frame(4, 0, 0, nil) // SETTINGS
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, conn, size); err != nil {
			return
		}
		switch {
		case head[3] == 4 && head[4]&1 == 0:
			frame(4, 1, 0, nil) // SETTINGS, acknowledged
		case head[3] == 1: // HEADERS
			streams.Add(1)
			frame(3, 0, binary.BigEndian.Uint32(head[5:]), []byte{0, 0, 0, 7}) // RST_STREAM, REFUSED_STREAM
		}
	}
}

func TestBodyIsNotGivenAgain(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(rw, orderedReply)
			})
			var before, after error
			c := g.client(t, stubTransport(func(r *http.Request) (*http.Response, error) {
				body, err := r.GetBody()
				if before = err; err == nil {
					text, _ := io.ReadAll(body)
					assert.Contains(t, string(text), `"USA"`)
				}
				resp, err := g.transport.RoundTrip(r)
				_, after = r.GetBody()
				return resp, err
			}))
			_, err := c.CreateOrder(t.Context(), guardOrder)
			assert.NoError(t, before, "nothing was written yet")
			assert.Error(t, after, "the header was written")
			_ = err // asking for the body again may end the call
			assert.EqualValues(t, 1, g.orders.Load())
		})
	}
}

// closeNoted notes whether a body was closed.
type closeNoted struct {
	io.Reader
	closed *atomic.Bool
}

func (b closeNoted) Close() error {
	b.closed.Store(true)
	return nil
}

func TestHostileTransports(t *testing.T) {
	t.Parallel()
	errOdd := errors.New("odd")
	var closed atomic.Bool
	body := func() io.ReadCloser { return closeNoted{strings.NewReader(orderedReply), &closed} }
	for _, tc := range []struct {
		name    string
		answer  func(*http.Request) (*http.Response, error)
		outcome youproxy.Outcome
		closes  bool
	}{
		{"neither response nor error", func(*http.Request) (*http.Response, error) { return nil, nil }, youproxy.OutcomeUnknown, false},
		{"response without a body", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200}, nil
		}, youproxy.OutcomeUnknown, false},
		{"response without header and request", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: body()}, nil
		}, youproxy.OutcomeDone, true},
		{"empty response", func(*http.Request) (*http.Response, error) { return &http.Response{}, nil }, youproxy.OutcomeUnknown, false},
		{"response of a negative status", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: -200, Body: body()}, nil
		}, youproxy.OutcomeUnknown, true},
		{"response of a wrong length", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ContentLength: -7, Body: body()}, nil
		}, youproxy.OutcomeDone, true},
		{"response and error", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: body()}, errOdd
		}, youproxy.OutcomeUnknown, true},
		{"body that gives nothing", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: closeNoted{iotestErr{errOdd}, &closed}}, nil
		}, youproxy.OutcomeUnknown, true},
		{"header of nil values", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": nil, "Location": {}}, Body: body()}, nil
		}, youproxy.OutcomeUnknown, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closed.Store(false)
			for _, middleware := range []bool{false, true} {
				hc := &http.Client{Transport: stubTransport(tc.answer)}
				opts := []youproxy.Option{youproxy.WithHTTPClient(hc), youproxy.WithReadRetries(0)}
				if middleware { // as the outermost round tripper, without the SDK's own in between
					hc.Transport = stubTransport(func(*http.Request) (*http.Response, error) { return nil, errOdd })
					opts = append(opts, youproxy.WithMiddleware(func(http.RoundTripper) http.RoundTripper { return stubTransport(tc.answer) }))
				}
				c, err := youproxy.New(guardKey, opts...)
				require.NoError(t, err)
				_, err = c.CreateOrder(t.Context(), guardOrder)
				want := tc.outcome
				if middleware && tc.outcome == youproxy.OutcomeUnknown && youproxy.OutcomeOf(err) == youproxy.OutcomeNotSent {
					want = youproxy.OutcomeNotSent // it never reached the transport
				}
				assert.Equal(t, want, youproxy.OutcomeOf(err), "%v", err)
				assert.Equal(t, tc.closes, closed.Load(), "body closed")
				assert.NotPanics(t, func() { _, _ = c.Balance(t.Context()) })
			}
		})
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }
