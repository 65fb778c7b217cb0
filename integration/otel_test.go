package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/httptrace/otelhttptrace"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/youproxy-go/youproxy"
)

// tracedKeys are a likely key, and one that must be escaped in a URL.
var tracedKeys = []struct{ name, key string }{
	{"plain key", "Trace-Me-Not-0123456789"},
	{"odd key", `oDd%zz"Key<42>{Of}|Signs^`},
}

// shows reports whether text contains the key without its first and last two
// letters, in any letter case, raw or percent-encoded.
func shows(text, key string) bool {
	core := strings.ToLower(key[2 : len(key)-2])
	for range 4 {
		if strings.Contains(strings.ToLower(text), core) {
			return true
		}
		text = percentDecoded(text)
	}
	return false
}

// percentDecoded decodes what can be decoded and keeps the rest.
func percentDecoded(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+3 <= len(text) {
			if raw, err := url.PathUnescape(text[i : i+3]); err == nil {
				b.WriteString(raw)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// echoes returns text in the forms in which a service may echo it.
func echoes(text string) []string {
	var all strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&all, "%%%02x", c)
	}
	return []string{
		text, strings.ToUpper(text), strings.ToLower(text),
		(&url.URL{Path: text}).EscapedPath(), url.QueryEscape(text), url.QueryEscape(url.QueryEscape(text)),
		all.String(), strings.ToUpper(all.String()),
	}
}

func TestShows(t *testing.T) {
	for _, k := range tracedKeys {
		for _, echo := range echoes("/client/api/v1/" + k.key + "/order") {
			assert.True(t, shows("GET "+echo+" HTTP/1.1", k.key), echo)
		}
		assert.False(t, shows("/client/api/v1/REDACTED/order 25% off %zz", k.key))
	}
}

// traced is an order whose traces must not show the key.
type traced struct {
	name   string
	serve  func(http.ResponseWriter, *http.Request)
	before func(*setting)
	http1  bool // can be served over HTTP/1 only
	onTLS  bool // needs TLS
	done   bool // the order is placed
	silent bool // nothing is sent
}

func tracedOrders() []traced {
	return append(echoedPaths(), []traced{
		{name: "success", serve: answer(200, orderPlaced), done: true},
		{name: "500", serve: answer(500, "")},
		{
			name: "truncated reply",
			serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "4096")
				_, _ = io.WriteString(w, r.URL.Path)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
		},
		{name: "reset", serve: func(_ http.ResponseWriter, r *http.Request) { reset(r) }},
		{
			name:   "deadline",
			serve:  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			before: (*setting).expires,
		},
		{
			name: "dial failure", silent: true,
			before: func(s *setting) { s.baseURL = refusedAddress(s.t, s.wire.scheme()) },
		},
		{name: "unknown host", silent: true, before: func(s *setting) { s.baseURL = "https://youproxy.invalid" }},
		{
			name: "bad certificate", silent: true, onTLS: true,
			before: func(s *setting) { s.transport.TLSClientConfig.RootCAs = nil },
		},
		{
			name: "dial failure whose error names the request", silent: true,
			before: func(s *setting) {
				s.baseURL = refusedAddress(s.t, "http")
				s.transport.Proxy = func(r *http.Request) (*url.URL, error) {
					return nil, fmt.Errorf("no proxy for %s", r.URL)
				}
			},
		},
	}...)
}

// echoedPaths are orders whose replies echo the path, and so the key.
func echoedPaths() []traced {
	return []traced{
		{
			name: "refusal that echoes the path",
			serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				message := strings.Join(echoes(r.URL.Path), " ")
				_ = json.NewEncoder(w).Encode(map[string]any{
					"success": false, "error": map[string]any{"code": 14, "message": message},
				})
			},
		},
		{
			name: "404 page that echoes the path",
			serve: func(w http.ResponseWriter, r *http.Request) {
				for i, echo := range echoes(r.URL.Path) {
					w.Header().Set(fmt.Sprintf("X-Path-%d", i), echo)
				}
				http.Error(w, strings.Join(echoes(r.URL.Path), "\n"), http.StatusNotFound)
			},
		},
		{name: "redirect that echoes the path", serve: backToSender(http.StatusFound)},
		{
			name: "redirect that echoes the path in many ways",
			serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Location"] = echoes(r.URL.Path)
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
		},
		{
			name: "early hints that echo the path", done: true,
			serve: func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Link"] = echoes(r.URL.Path)
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del("Link")
				_, _ = io.WriteString(w, orderPlaced)
			},
		},
		{
			name: "trailer that echoes the path", done: true,
			serve: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, orderPlaced)
				w.Header()[http.TrailerPrefix+"X-Path"] = echoes(r.URL.Path)
			},
		},
		{name: "status text that echoes the path", http1: true, serve: rawReply("HTTP/1.1 404 %s\r\nContent-Length: 0\r\n\r\n")},
		{name: "reply that is not HTTP and echoes the path", http1: true, serve: rawReply("%s\r\n\r\n")},
		{name: "status code that is the path", http1: true, serve: rawReply("HTTP/1.1 %s\r\n\r\n")},
		{name: "header line that is the path", http1: true, serve: rawReply("HTTP/1.1 200 OK\r\n%s\r\n\r\n")},
		{name: "transfer encoding that is the path", http1: true, serve: rawReply("HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n")},
	}
}

// backToSender redirects an order to where it came from, with the key.
func backToSender(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(status)
	}
}

// rawReply writes a reply around the echoed path onto the connection.
func rawReply(format string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, format, strings.Join(echoes(r.URL.Path), " "))
	}
}

// forEachTraced calls place for every traced order with every key over every wire.
func forEachTraced(t *testing.T, place func(t *testing.T, x *setting, o traced, key string)) {
	for _, w := range wires {
		for _, k := range tracedKeys {
			for _, o := range tracedOrders() {
				if o.http1 && w.http2 || o.onTLS && !w.tls {
					continue
				}
				t.Run(w.name+"/"+k.name+"/"+o.name, func(t *testing.T) {
					t.Parallel()
					s := startService(t, w, func(s *service, w http.ResponseWriter, r *http.Request) {
						s.read(r)
						assert.True(t, shows(r.RequestURI, k.key), "the service must get the key")
						o.serve(w, r)
					})
					x := newSetting(t, w, s)
					if o.before != nil {
						o.before(x)
					}
					place(t, x, o, k.key)
					if o.silent {
						assert.Zero(t, s.arrivals.Load())
					} else {
						assert.EqualValues(t, 1, s.arrivals.Load())
					}
				})
			}
		}
	}
}

// order places an order and checks whether it was placed.
func (s *setting) order(ctx context.Context, o traced, key string, opts ...youproxy.Option) error {
	c, err := youproxy.New(key, append([]youproxy.Option{
		youproxy.WithBaseURL(s.baseURL), youproxy.WithHTTPClient(&http.Client{Transport: s.transport}),
	}, opts...)...)
	require.NoError(s.t, err)
	_, err = c.CreateOrder(ctx, anOrder())
	assert.Equal(s.t, o.done, err == nil, "%v", err)
	s.transport.CloseIdleConnections()
	settle()
	return err
}

// spans are what a tracer recorded, ended or not.
type spans struct {
	*tracetest.SpanRecorder
	provider *sdktrace.TracerProvider
}

func newSpans(t *testing.T) spans {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return spans{recorder, provider}
}

// around runs f within a span that records how f ended, as callers do.
func (s spans) around(ctx context.Context, f func(context.Context) error) {
	ctx, span := s.provider.Tracer("caller").Start(ctx, "caller")
	defer span.End()
	if err := f(ctx); err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, fmt.Sprintf("%+v", err))
	}
}

func (s spans) names() []string {
	var names []string
	for _, span := range s.Started() {
		names = append(names, span.Name())
	}
	return names
}

// text returns everything that was recorded, as plain text and as JSON.
func (s spans) text(t *testing.T) string {
	var b bytes.Buffer
	attributes := func(all []attribute.KeyValue) {
		for _, kv := range all {
			fmt.Fprintf(&b, "  %s=%s\n", kv.Key, kv.Value.String())
		}
	}
	asJSON := json.NewEncoder(&b)
	asJSON.SetEscapeHTML(false)
	for _, span := range s.Started() {
		fmt.Fprintf(&b, "%s %v %s %s\n", span.Name(), span.SpanKind(), span.Status().Code, span.Status().Description)
		attributes(span.Attributes())
		attributes(span.Resource().Attributes())
		for _, event := range span.Events() {
			fmt.Fprintf(&b, " event %s\n", event.Name)
			attributes(event.Attributes)
		}
		for _, link := range span.Links() {
			attributes(link.Attributes)
		}
		fmt.Fprintf(&b, "%+v %s\n", span.InstrumentationScope(), span.SpanContext().TraceState())
		require.NoError(t, asJSON.Encode(tracetest.SpanStubFromReadOnlySpan(span)))
	}
	return b.String()
}

// otelhttp as a middleware, with otelhttptrace inside, records no key.
func TestOtelHTTPRecordsNoKey(t *testing.T) {
	forEachTraced(t, func(t *testing.T, x *setting, o traced, key string) {
		recorded := newSpans(t)
		middleware := func(next http.RoundTripper) http.RoundTripper {
			return otelhttp.NewTransport(next,
				otelhttp.WithTracerProvider(recorded.provider),
				otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }),
				otelhttp.WithClientTrace(func(ctx context.Context) *httptrace.ClientTrace {
					return otelhttptrace.NewClientTrace(ctx, otelhttptrace.WithInsecureHeaders())
				}))
		}
		recorded.around(x.ctx, func(ctx context.Context) error {
			return x.order(ctx, o, key, youproxy.WithMiddleware(middleware))
		})

		text := recorded.text(t)
		assert.False(t, shows(text, key), "the key shows in:\n%s", text)
		assert.Contains(t, recorded.names(), "POST /client/api/v1/REDACTED/order")
		assert.Contains(t, text, "url.full="+x.baseURL+"/client/api/v1/REDACTED/order")
		if !strings.HasSuffix(o.name, "names the request") {
			assert.Contains(t, recorded.names(), "http.getconn")
		}
		if !o.silent {
			assert.Contains(t, recorded.names(), "http.send")
		}
		assert.Equal(t, !o.done, strings.Contains(text, "exception.message="), "the caller's own record")
	})
}

// otelhttptrace in the caller's context records no key with any options.
func TestOtelHTTPTraceRecordsNoKey(t *testing.T) {
	setups := map[string][]otelhttptrace.ClientTraceOption{
		"spans":  {otelhttptrace.WithInsecureHeaders()},
		"events": {otelhttptrace.WithInsecureHeaders(), otelhttptrace.WithoutSubSpans()},
	}
	for name, options := range setups {
		t.Run(name, func(t *testing.T) {
			forEachTraced(t, func(t *testing.T, x *setting, o traced, key string) {
				recorded := newSpans(t)
				recorded.around(x.ctx, func(ctx context.Context) error {
					return x.order(httptrace.WithClientTrace(ctx, otelhttptrace.NewClientTrace(ctx, options...)), o, key)
				})

				text := recorded.text(t)
				assert.False(t, shows(text, key), "the key shows in:\n%s", text)
				if !strings.HasSuffix(o.name, "names the request") {
					assert.Contains(t, text, "http.getconn")
				}
				if !o.silent {
					assert.Contains(t, text, "http.send")
				}
			})
		})
	}
}

// No hook of a plain client trace sees the key.
func TestClientTraceSeesNoKey(t *testing.T) {
	forEachTraced(t, func(t *testing.T, x *setting, o traced, key string) {
		var seen hooks
		_ = x.order(httptrace.WithClientTrace(x.ctx, seen.trace()), o, key)

		text := seen.String()
		assert.False(t, shows(text, key), "the key shows in:\n%s", text)
		if !strings.HasSuffix(o.name, "names the request") {
			assert.Contains(t, text, "GetConn ")
		}
		if !o.silent {
			assert.Contains(t, text, "GotConn ")
			assert.Contains(t, text, "WroteHeaders")
			assert.Contains(t, text, "WroteRequest ")
		}
	})
}

// hooks records everything that a trace sees.
type hooks struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *hooks) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.text, format+"\n", args...)
}

func (h *hooks) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func (h *hooks) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { h.note("GetConn %s", hostPort) },
		GotConn:              func(info httptrace.GotConnInfo) { h.note("GotConn %s %t", info.Conn.RemoteAddr(), info.Reused) },
		PutIdleConn:          func(err error) { h.note("PutIdleConn %+v", err) },
		GotFirstResponseByte: func() { h.note("GotFirstResponseByte") },
		Got100Continue:       func() { h.note("Got100Continue") },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			h.note("Got1xxResponse %d %v", code, header)
			return nil
		},
		DNSStart:          func(info httptrace.DNSStartInfo) { h.note("DNSStart %+v", info) },
		DNSDone:           func(info httptrace.DNSDoneInfo) { h.note("DNSDone %+v", info) },
		ConnectStart:      func(network, addr string) { h.note("ConnectStart %s %s", network, addr) },
		ConnectDone:       func(network, addr string, err error) { h.note("ConnectDone %s %s %+v", network, addr, err) },
		TLSHandshakeStart: func() { h.note("TLSHandshakeStart") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			h.note("TLSHandshakeDone %s %s %+v", state.ServerName, state.NegotiatedProtocol, err)
		},
		WroteHeaderField: func(name string, values []string) { h.note("WroteHeaderField %s %q", name, values) },
		WroteHeaders:     func() { h.note("WroteHeaders") },
		Wait100Continue:  func() { h.note("Wait100Continue") },
		WroteRequest:     func(info httptrace.WroteRequestInfo) { h.note("WroteRequest %+v", info.Err) },
	}
}
