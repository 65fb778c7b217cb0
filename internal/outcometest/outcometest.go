// Package outcometest is the table of what can happen to an order on its way,
// and a server that makes each of it happen. The tests of the SDK and those
// against other HTTP clients share it, and the documentation shows it.
package outcometest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/long"
)

// APIKey is what the server of a case is asked with.
const APIKey = "outcometest-key"

// Placed is the reply to an order that was taken.
const Placed = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`

const refused = `{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`

// Case is one thing that can happen to an order.
type Case struct {
	Name    string           // as the documentation names it
	Reached int64            // how often the order reaches the service
	Outcome youproxy.Outcome // what OutcomeOf says
	Error   string           // the kind of error, as the documentation names it

	// Hidden: behind a transport that is not net/http's own, and may repeat what
	// fails, the outcome is unknown.
	Hidden bool

	serve    http.HandlerFunc // answers the order
	baseURL  string           // where the client is sent instead of to the server
	untrust  bool             // the client does not trust the server's certificate
	opaque   bool             // the transport is not net/http's own
	warm     bool             // a call goes before the order, on the same connection
	over     bool             // the context is over before the order
	deadline time.Duration    // of one attempt
}

const (
	notSent  = youproxy.OutcomeNotSent
	rejected = youproxy.OutcomeRejected
	unknown  = youproxy.OutcomeUnknown
	done     = youproxy.OutcomeDone

	apiError  = "`*APIError`"
	callError = "`*CallError`"
	redirect  = "`*CallError`, `ErrRedirect`"
	tooLarge  = "`*CallError`, `ErrReplyTooLarge`"
)

// Cases is the table.
var Cases = []Case{
	{Name: "success", Reached: 1, Outcome: done, Error: "none", serve: reply(200, Placed)},
	{Name: "success after a byte order mark", Reached: 1, Outcome: done, Error: "none", serve: reply(200, "\ufeff"+Placed)},
	{Name: "refusal in a 200", Reached: 1, Outcome: rejected, Error: apiError, serve: reply(200, refused)},
	{Name: "refusal in a 400", Reached: 1, Outcome: rejected, Error: apiError, serve: reply(400, refused)},
	{Name: "refusal without a code", Reached: 1, Outcome: unknown, Error: apiError, serve: reply(200, `{"success": false, "error": null}`)},
	{Name: "refusal with code 35", Reached: 1, Outcome: unknown, Error: apiError, serve: reply(200, `{"success": false, "error": {"code": 35, "message": "Unknown error"}}`)},
	{Name: "refusal with a list of errors", Reached: 1, Outcome: rejected, Error: apiError, serve: reply(200, `{"success": false, "errors": [{"code": 14, "message": "Incorrect goal"}]}`)},
	{Name: "refusal with code \"0035\"", Reached: 1, Outcome: unknown, Error: apiError, serve: reply(200, `{"success": false, "error": {"code": "0035", "message": "Unknown error"}}`)},
	{Name: "101", Reached: 1, Outcome: unknown, Error: callError, serve: switched},
	{Name: "301", Reached: 1, Outcome: unknown, Error: redirect, serve: redirected(301)},
	{Name: "302", Reached: 1, Outcome: unknown, Error: redirect, serve: redirected(302)},
	{Name: "303", Reached: 1, Outcome: unknown, Error: redirect, serve: redirected(303)},
	{Name: "307", Reached: 1, Outcome: unknown, Error: redirect, serve: redirected(307)},
	{Name: "308", Reached: 1, Outcome: unknown, Error: redirect, serve: redirected(308)},
	{Name: "400 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(400)},
	{Name: "401 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(401)},
	{Name: "403 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(403)},
	{Name: "404 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(404)},
	{Name: "408 page", Reached: 1, Outcome: unknown, Error: callError, serve: page(408)},
	{Name: "409 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(409)},
	{Name: "413 page", Reached: 1, Outcome: rejected, Error: callError, serve: page(413)},
	{Name: "429 without Retry-After", Reached: 1, Outcome: rejected, Error: callError, Hidden: true, serve: page(429)},
	{Name: "429 with Retry-After", Reached: 1, Outcome: rejected, Error: callError, Hidden: true, serve: retryAfter(429)},
	{Name: "4xx that says success", Reached: 1, Outcome: unknown, Error: callError, serve: reply(400, Placed)},
	{Name: "500 page", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: page(500)},
	{Name: "refusal in a 500", Reached: 1, Outcome: unknown, Error: "`*CallError` with the `*APIError`", Hidden: true, serve: reply(500, refused)},
	{Name: "502 page", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: page(502)},
	{Name: "503 page", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: page(503)},
	{Name: "504 page", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: page(504)},
	{Name: "`{}`", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, `{}`)},
	{Name: "`null`", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, `null`)},
	{Name: "empty reply", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, ``)},
	{Name: "HTML with 200", Reached: 1, Outcome: unknown, Error: callError, serve: page(200)},
	{Name: "success without an order number", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, `{"success": true, "error": null}`)},
	{Name: "success with an order of another proxy type", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, strings.Replace(Placed, "IPv4", "IPv6", 1))},
	{Name: "success with an empty error", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, strings.Replace(Placed, "null", "{}", 1))},
	{Name: "two values of success", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, `{"success": false, `+Placed[1:])},
	{Name: "truncated reply", Reached: 1, Outcome: unknown, Error: callError, serve: truncated},
	{Name: "trailing bytes", Reached: 1, Outcome: unknown, Error: callError, serve: reply(200, Placed+"x")},
	{Name: "reply of 64 MiB", Reached: 1, Outcome: unknown, Error: tooLarge, serve: huge},
	{Name: "connection refused", Reached: 0, Outcome: notSent, Error: callError, Hidden: true, baseURL: "http://127.0.0.1:1"},
	{Name: "connection refused, reported by another kind of transport", Reached: 0, Outcome: unknown, Error: callError, opaque: true, baseURL: "http://127.0.0.1:1"},
	{Name: "unknown host", Reached: 0, Outcome: notSent, Error: callError, Hidden: true, baseURL: "https://no-such-host.invalid"},
	{Name: "bad certificate", Reached: 0, Outcome: notSent, Error: callError, Hidden: true, untrust: true, serve: reply(200, Placed)},
	{Name: "context over before the order", Reached: 0, Outcome: notSent, Error: callError, over: true, serve: reply(200, Placed)},
	{Name: "deadline while waiting for the reply", Reached: 1, Outcome: unknown, Error: callError, deadline: 2 * time.Second, serve: hang},
	{Name: "reset before the order was read", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: reset},
	{Name: "reset after the order was read", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, serve: resetAfterRead},
	{Name: "warm connection dropped as the order arrives", Reached: 1, Outcome: unknown, Error: callError, Hidden: true, warm: true, serve: resetAfterRead},
}

// opaque is a transport of which nothing is known.
type opaque struct{ http.RoundTripper }

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func page(status int) http.HandlerFunc {
	return reply(status, "<html><body>"+http.StatusText(status)+"</body></html>")
}

func retryAfter(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		page(status)(w, r)
	}
}

// redirected sends the order to where it came, which a client that follows
// would do by sending it again.
func redirected(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Path)
		page(status)(w, r)
	}
}

func truncated(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, Placed[:60])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func huge(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, `{"success": true, "orderNumber": "NUMBER-1", "padding": "`)
	chunk := strings.Repeat("x", 32<<10)
	for range 64 << 20 / len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"}`)
}

// switched answers as a server does that goes on in another protocol, and then says
// nothing. HTTP/2 has no such answer.
func switched(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		reply(200, `{}`)(w, r)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn) // until the client gives up
}

func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func reset(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
		return
	}
	panic(http.ErrAbortHandler) // HTTP/2, where the stream is reset
}

func resetAfterRead(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	reset(w, r)
}

// Run makes the case happen to an order, over HTTP/1.1 or HTTP/2. through, where
// it is not nil, makes another client of the one that trusts the server. Run
// gives how often the order reached the server, and its error.
func (c Case) Run(t testing.TB, http2 bool, through func(*http.Client) *http.Client) (reached int64, err error) {
	t.Helper()
	deadline := c.deadline
	switch {
	case deadline > 0 && testing.Short():
		t.Skip("takes seconds")
	case long.Run():
		deadline *= 4 // a busy machine may take long to send the order
	}
	var orders atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/order") {
			reply(200, `{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`)(w, r)
			return
		}
		orders.Add(1)
		c.serve(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = http2
	if http2 || c.untrust {
		server.StartTLS()
	} else {
		server.Start()
	}
	defer server.Close()

	hc := server.Client()
	if c.untrust {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		hc = &http.Client{Transport: transport}
		defer transport.CloseIdleConnections()
	}
	inner := hc.Transport.(*http.Transport)
	defer inner.CloseIdleConnections()
	if c.opaque {
		hc = &http.Client{Transport: opaque{hc.Transport}}
	}
	if through != nil {
		hc = through(hc)
	}
	base := server.URL
	if c.baseURL != "" {
		base = c.baseURL
	}
	client, err := youproxy.New(APIKey, youproxy.WithBaseURL(base), youproxy.WithHTTPClient(hc),
		youproxy.WithTimeouts(youproxy.Timeouts{Spend: deadline}))
	if err != nil {
		t.Fatal(err)
	}
	if c.warm {
		if _, err := client.Balance(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if c.over {
		cancel()
	}
	_, err = client.CreateOrder(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	})
	return orders.Load(), err
}
