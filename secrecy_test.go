package youproxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/reach"
)

var secretKeys = []string{"Secret-Key_0123456789", "k%+\"<&\\'~key", "MiXeD.cAsE.kEy"}

// spotter finds a key in texts: in any letter case, raw, escaped, or in hex.
type spotter struct{ key string }

func (s spotter) finds(text string) bool {
	texts := []string{text}
	for range 3 { // what three decoders in a row, of any kind, make of it
		for _, text := range texts {
			if s.raw(text) {
				return true
			}
		}
		var next []string
		for _, text := range texts {
			for _, decode := range []func(string) string{unpercent, unbackslash, html.UnescapeString} {
				if plain := decode(text); plain != text {
					next = append(next, plain)
				}
			}
		}
		texts = next
	}
	return false
}

func (s spotter) raw(text string) bool {
	text = foldASCII(text)
	key := foldASCII(s.key)
	if strings.Contains(text, key) {
		return true
	}
	for _, k := range []string{s.key, key, strings.ToUpper(s.key), url.PathEscape(s.key)} {
		if strings.Contains(text, hex.EncodeToString([]byte(k))) {
			return true
		}
	}
	return false
}

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func unpercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unbackslash(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		size := map[byte]int{'u': 4, 'x': 2}[s[i+1]]
		if size > 0 && i+1+size < len(s) {
			if c, err := strconv.ParseUint(s[i+2:i+2+size], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 1 + size
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// seen collects what was shown to somebody.
type seen struct {
	mu    sync.Mutex
	texts []string
}

func (s *seen) add(where string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		s.texts = append(s.texts, fmt.Sprintf("%s: %+v", where, v))
	}
}

func (s *seen) check(t *testing.T, key string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := 0
	for _, text := range s.texts {
		if (spotter{key}).finds(text) {
			if shown++; shown <= 3 {
				t.Errorf("the key shows: %.300q", text)
			}
		}
	}
	if shown > 3 {
		t.Errorf("the key shows in %d more places", shown-3)
	}
}

// addPrinted adds v as every verb, JSON and slog print it.
func (s *seen) addPrinted(where string, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d"} {
		s.add(where+" "+verb, fmt.Sprintf(verb, v))
	}
	b, _ := json.Marshal(v)
	s.add(where+" JSON", string(b))
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Error("failed", "what", v)
	slog.New(slog.NewJSONHandler(&js, nil)).Error("failed", "what", v)
	s.add(where+" slog", text.String(), js.String())
}

// addError adds an error and all it unwraps to.
func (s *seen) addError(where string, err error) {
	if err == nil {
		return
	}
	s.addPrinted(fmt.Sprintf("%s %T", where, err), err)
	s.add(where+" Error", err.Error())
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		s.addError(where+">", e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			s.addError(where+">", inner)
		}
	}
}

// addStrings adds every string that reflection reaches from v, unexported fields
// included.
func (s *seen) addStrings(where string, v any) {
	reach.Strings(v, func(text string) { s.add(where, text) })
}

// middleware shows a round tripper around the SDK's what one can see there.
func (s *seen) middleware(next http.RoundTripper) http.RoundTripper {
	request := func(where string, r *http.Request) {
		if r == nil {
			return
		}
		s.add(where, r.URL.String(), r.URL.Path, r.URL.RawPath, r.URL.Opaque, r.RequestURI, r.Host, r.Header, r.Trailer, *r.URL)
		s.add(where, fmt.Sprintf("%+v %#v", *r, *r))
		if r.Response != nil {
			s.add(where+" Response", r.Response.Header)
		}
	}
	return stubTransport(func(r *http.Request) (*http.Response, error) {
		request("middleware before", r)
		resp, err := next.RoundTrip(r)
		request("middleware after", r)
		s.addError("middleware error", err)
		s.addStrings("middleware error, deep", err)
		if resp != nil {
			request("middleware Response.Request", resp.Request)
			s.add("middleware Response", resp.Status, resp.Proto, resp.Header, resp.Trailer, resp.TransferEncoding, fmt.Sprintf("%+v", *resp))
			if l, err := resp.Location(); err == nil {
				s.add("middleware Location", l.String(), l.Path)
			} else {
				s.addError("middleware Location", err)
			}
		}
		return resp, err
	})
}

// trace has every hook.
func (s *seen) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { s.add("GetConn", hostPort) },
		GotConn:              func(i httptrace.GotConnInfo) { s.add("GotConn", i.Conn.RemoteAddr()) },
		PutIdleConn:          func(err error) { s.addError("PutIdleConn", err) },
		GotFirstResponseByte: func() {},
		Got100Continue:       func() {},
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			s.add("Got1xxResponse", code, h)
			return nil
		},
		DNSStart:     func(i httptrace.DNSStartInfo) { s.add("DNSStart", i) },
		DNSDone:      func(i httptrace.DNSDoneInfo) { s.add("DNSDone", i); s.addError("DNSDone", i.Err) },
		ConnectStart: func(network, addr string) { s.add("ConnectStart", network, addr) },
		ConnectDone: func(network, addr string, err error) {
			s.add("ConnectDone", network, addr)
			s.addError("ConnectDone", err)
		},
		TLSHandshakeStart: func() {},
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { s.addError("TLSHandshakeDone", err) },
		WroteHeaderField:  func(name string, values []string) { s.add("WroteHeaderField", name, values) },
		WroteHeaders:      func() {},
		Wait100Continue:   func() {},
		WroteRequest:      func(i httptrace.WroteRequestInfo) { s.addError("WroteRequest", i.Err) },
	}
}

// scene is where a case plays: the API, another host, and a transport to both.
type scene struct {
	t         *testing.T
	key       string
	api       *httptest.Server
	other     *httptest.Server
	transport *http.Transport
	seen      seen
	ctx       context.Context
	baseURL   string
	timeout   time.Duration
	rt        http.RoundTripper
	inside    func(http.RoundTripper) http.RoundTripper // the case's own middleware, which sees bodies and so the key
}

// secrecyCase is a kind of failure.
type secrecyCase struct {
	name    string
	handle  func(s *scene, rw http.ResponseWriter, r *http.Request)
	arrange func(s *scene)
}

// echoes are the ways in which a page can show the path it was asked for.
var echoes = []struct {
	name string
	echo func(string) string
}{
	{"raw", func(s string) string { return s }},
	{"upper case", strings.ToUpper},
	{"lower case", strings.ToLower},
	{"escaped", url.PathEscape},
	{"every byte percent-encoded", func(s string) string { return eachByteAs("%%%02x", s) }},
	{"every byte percent-encoded in capitals", func(s string) string { return eachByteAs("%%%02X", strings.ToUpper(s)) }},
	{"every byte as in JSON", func(s string) string { return eachByteAs(`\u%04x`, s) }},
	{"quoted", strconv.Quote},
	{"HTML", html.EscapeString},
	{"every byte as an HTML entity", func(s string) string { return eachByteAs("&#%d;", s) }},
}

func eachByteAs(format, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func replyWith(status int, body func(s *scene) string) func(*scene, http.ResponseWriter, *http.Request) {
	return func(s *scene, rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body(s))
	}
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// leakyError shows its fields by some ways of printing only.
type leakyError struct {
	URL     string
	Request *http.Request `json:"-"`
}

func (leakyError) Error() string { return "the transport failed" }

type shyError struct{ url string }

func (e *shyError) Error() string { return "GET " + e.url }

func (e *shyError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "shy") }

type boldError struct{ url string }

func (*boldError) Error() string { return "bold" }

func (e *boldError) Format(f fmt.State, verb rune) {
	if verb == 's' {
		_, _ = io.WriteString(f, e.url)
	}
}

type loggedError struct{ inner func() string }

func (loggedError) Error() string          { return "logged" }
func (e loggedError) LogValue() slog.Value { return slog.StringValue(e.inner()) }

// following is a caller's transport that follows redirects.
type following struct{ inner http.RoundTripper }

func (f following) RoundTrip(r *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: f.inner}).Do(r.Clone(r.Context()))
}

func secrecyCases() []secrecyCase {
	cases := []secrecyCase{
		{name: "refused connection", arrange: func(s *scene) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(s.t, err)
			s.baseURL = "http://" + ln.Addr().String()
			_ = ln.Close()
		}},
		{name: "unknown host", arrange: func(s *scene) { s.baseURL = "https://nowhere.invalid" }},
		{name: "bad certificate", arrange: func(s *scene) {
			bad := httptest.NewUnstartedServer(http.NotFoundHandler())
			bad.Config.ErrorLog = log.New(io.Discard, "", 0)
			bad.StartTLS()
			s.t.Cleanup(bad.Close)
			s.baseURL = bad.URL
			s.transport.TLSClientConfig = &tls.Config{}
		}},
		{name: "timeout", arrange: func(s *scene) { s.timeout = 30 * time.Millisecond }, handle: func(_ *scene, _ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}},
		{name: "cancel", arrange: func(s *scene) {
			ctx, cancel := context.WithCancelCause(s.ctx)
			s.ctx = ctx
			timer := time.AfterFunc(30*time.Millisecond, func() { cancel(errors.New("no longer wanted: /" + s.key)) })
			s.t.Cleanup(func() { timer.Stop(); cancel(nil) })
		}, handle: func(_ *scene, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "reset", handle: func(*scene, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "truncated", handle: func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(rw, "<html>"+r.URL.Path)
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "early hints that echo", handle: func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "<"+r.URL.Path+">; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.WriteHeader(502)
		}},
		{name: "Retry-After that echoes", handle: func(s *scene, rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", s.key)
			rw.WriteHeader(429)
		}},
		{name: "header fields that echo", handle: func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header()["X-Path"] = []string{"one", r.URL.Path, r.URL.EscapedPath()}
			rw.Header().Set("Set-Cookie", "k="+s.key)
			rw.Header().Set("Trailer", "X-Late")
			rw.WriteHeader(500)
			_, _ = io.WriteString(rw, "sorry")
			rw.Header().Set("X-Late", s.key)
		}},
		{name: "header name that echoes", handle: func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header()["X-"+s.key] = []string{"1"}
			rw.WriteHeader(500)
		}},
		{name: "currency that echoes", handle: replyWith(200, func(s *scene) string {
			return `{"success": false, "balance": 1, "currency": ` + quoteJSON("/v1/"+s.key) + `, "error": {"code": 2, "message": "no"}}`
		})},
		{name: "error as a text that echoes", handle: replyWith(200, func(s *scene) string {
			return `{"success": false, "error": ` + quoteJSON("/v1/"+s.key+"/order") + `}`
		})},
		{name: "member that echoes", handle: replyWith(200, func(s *scene) string { return `{"success": true, ` + quoteJSON(s.key) + `: {"a": tru}}` })},
		{name: "member that echoes, doubled", handle: replyWith(200, func(s *scene) string {
			return `{` + quoteJSON(s.key) + `: 1, ` + quoteJSON(s.key) + `: 2, "success": true, "success": true}`
		})},
		{name: "member that echoes in an error", handle: replyWith(200, func(s *scene) string {
			return `{"success": true, "error": {` + quoteJSON(s.key) + `: 1, ` + quoteJSON(s.key) + `: 2, "code": [}}`
		})},
		{name: "member twice that echoes in a refusal", handle: replyWith(400, func(s *scene) string {
			return `{"success": false, "error": {"message": ` + quoteJSON(s.key) + `, "message": ` + quoteJSON(s.key) + `, ` + quoteJSON(s.key) + `: 1}}`
		})},
		{name: "both success and a message that echoes", handle: replyWith(200, func(s *scene) string {
			return `{"success": true, "error": {"code": 1, "message": ` + quoteJSON(s.key) + `}}`
		})},
		{name: "no success and a message that echoes", handle: replyWith(200, func(s *scene) string { return `{"error": {"message": ` + quoteJSON(s.key) + `}}` })},
		{name: "middleware gives the body in its error", handle: replyWith(200, func(s *scene) string { return "<html>/v1/" + s.key }), arrange: func(s *scene) {
			s.inside = func(next http.RoundTripper) http.RoundTripper {
				return stubTransport(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					if err != nil {
						return nil, err
					}
					page, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					return nil, fmt.Errorf("an odd page: %s (%w)", page, leakyError{URL: string(page)})
				})
			}
		}},
	}
	for _, e := range echoes {
		page := func(s *scene) string { return "<html><p>" + e.echo("/client/api/v1/"+s.key+"/order") + "</p></html>" }
		for _, status := range []int{200, 404, 500, 503} {
			cases = append(cases, secrecyCase{name: fmt.Sprintf("%d, page that echoes: %s", status, e.name), handle: replyWith(status, page)})
		}
		cases = append(cases,
			secrecyCase{name: "page that echoes, cut in the key: " + e.name, handle: replyWith(200, func(s *scene) string {
				return "<html>" + strings.Repeat("é", 253-len(e.echo(s.key))/4) + e.echo(s.key)
			})},
			secrecyCase{name: "message that echoes: " + e.name, handle: replyWith(200, func(s *scene) string {
				return `{"success": false, "error": {"code": 2, "message": ` + quoteJSON(page(s)) + `}}`
			})},
			secrecyCase{name: "redirect to the other host that echoes: " + e.name, handle: func(s *scene, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", s.other.URL+"/"+strings.ReplaceAll(e.echo(s.key), "\n", ""))
				rw.WriteHeader(302)
			}},
		)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", s.other.URL+r.URL.EscapedPath())
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, r.URL.Path)
		}
		elsewhere := func(s *scene, rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", s.other.URL+"/elsewhere")
			rw.WriteHeader(status)
		}
		follow := func(s *scene) { s.rt = following{s.transport} }
		warm := func(s *scene) { // a connection to the other host is at hand
			follow(s)
			resp, err := s.transport.RoundTrip(httptest.NewRequest(http.MethodGet, s.other.URL+"/warm", nil))
			require.NoError(s.t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		name := "redirect " + strconv.Itoa(status)
		cases = append(cases,
			secrecyCase{name: name, handle: redirect},
			secrecyCase{name: name + ", followed by the transport", handle: redirect, arrange: follow},
			secrecyCase{name: name + ", followed by the transport without the path", handle: elsewhere, arrange: follow},
			secrecyCase{name: name + ", followed by the transport on a warm connection", handle: elsewhere, arrange: warm},
			secrecyCase{name: name + ", followed to a host named like the key", arrange: follow, handle: func(s *scene, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "http://"+s.key+".invalid/")
				rw.WriteHeader(status)
			}},
		)
	}
	for name, fail := range map[string]func(r *http.Request) error{
		"*url.Error": func(r *http.Request) error { return &url.Error{Op: "Post", URL: r.URL.String(), Err: io.EOF} },
		"wrapped *url.Error": func(r *http.Request) error {
			return fmt.Errorf("odd: %w", &url.Error{Op: "Post", URL: r.URL.Path, Err: io.EOF})
		},
		"its text": func(r *http.Request) error { return fmt.Errorf("%s %s: %w", r.Method, r.URL, io.EOF) },
		"a joined text": func(r *http.Request) error {
			return errors.Join(io.EOF, errors.New(r.URL.Path), leakyError{URL: r.URL.Path})
		},
		"an exported field":      func(r *http.Request) error { return leakyError{URL: r.URL.String()} },
		"a pointer's field":      func(r *http.Request) error { return &leakyError{URL: r.URL.String()} },
		"a wrapped field":        func(r *http.Request) error { return fmt.Errorf("odd: %w", &leakyError{URL: r.URL.String()}) },
		"the request":            func(r *http.Request) error { return &leakyError{Request: r} },
		"the request, wrapped":   func(r *http.Request) error { return fmt.Errorf("odd: %w", leakyError{Request: r}) },
		"a text unlike its %v":   func(r *http.Request) error { return &shyError{r.URL.Path} },
		"its %s only":            func(r *http.Request) error { return &boldError{r.URL.Path} },
		"what slog is told":      func(r *http.Request) error { return loggedError{func() string { return r.URL.Path }} },
		"a *net.OpError's cause": func(r *http.Request) error { return &net.OpError{Op: "read", Net: "tcp", Err: errors.New(r.URL.Path)} },
	} {
		cases = append(cases, secrecyCase{name: "transport's error holds the URL: " + name, arrange: func(s *scene) {
			s.rt = stubTransport(func(r *http.Request) (*http.Response, error) {
				if r.Body != nil {
					_ = r.Body.Close()
				}
				return nil, fail(r)
			})
		}})
	}
	return cases
}

// TestKeyNeverShows plays every kind of failure, and looks for the key in
// whatever anybody but the API was shown.
func TestKeyNeverShows(t *testing.T) {
	for _, tc := range secrecyCases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, key := range secretKeys {
				for _, http2 := range []bool{false, true} {
					playScene(t, tc, key, http2)
				}
			}
		})
	}
}

func playScene(t *testing.T, tc secrecyCase, key string, http2 bool) {
	s := &scene{t: t, key: key, timeout: 5 * time.Second}
	start := func(h http.HandlerFunc) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		return srv
	}
	s.api = start(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		assert.True(t, strings.HasPrefix(r.URL.Path, "/client/api/v1/"+key+"/"), "the API gets the key: %q", r.URL.Path)
		tc.handle(s, rw, r)
	})
	s.other = start(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.seen.add("other host", r.RequestURI, r.Host, r.Header, string(body))
		if r.URL.Path != "/warm" {
			t.Errorf("the other host got %s %s", r.Method, r.URL)
		}
	})
	s.transport = &http.Transport{TLSClientConfig: trusting(s.api), ForceAttemptHTTP2: http2}
	defer s.other.Close()
	defer s.api.Close()
	defer s.api.CloseClientConnections()
	defer s.transport.CloseIdleConnections()

	var log bytes.Buffer
	s.ctx = httptrace.WithClientTrace(t.Context(), s.seen.trace())
	s.baseURL, s.rt = s.api.URL, s.transport
	if tc.arrange != nil {
		tc.arrange(s)
	}
	middleware := s.inside
	if middleware == nil {
		middleware = s.seen.middleware
	}
	handlers := slog.NewMultiHandler(
		slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
		slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := youproxy.New(key,
		youproxy.WithBaseURL(s.baseURL), youproxy.WithHTTPClient(&http.Client{Transport: s.rt}), youproxy.WithReadRetries(0),
		youproxy.WithTimeouts(youproxy.Timeouts{Read: s.timeout, Spend: s.timeout}), youproxy.WithLogger(slog.New(handlers)),
		youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
			s.seen.addPrinted("observer", e)
			s.seen.addError("observer", e.Err)
		}),
		youproxy.WithMiddleware(middleware))
	require.NoError(t, err)

	_, orderErr := c.CreateOrder(s.ctx, guardOrder)
	_, quoteErr := c.QuoteOrder(s.ctx, guardOrder)
	getErr := c.Call(s.ctx, http.MethodGet, "/balance", nil, nil, nil)
	for what, err := range map[string]error{"order": orderErr, "quote": quoteErr, "call": getErr} {
		if !strings.Contains(tc.name, "followed") {
			assert.Error(t, err, what)
		}
		s.seen.addError(what, err)
		s.seen.addStrings(what+", deep", err)
	}
	s.seen.add("log", log.String())
	assert.NotEmpty(t, log.String())
	s.seen.check(t, key)
}

// TestKeyNeverShowsThroughProxy: behind a proxy every host is reached at the
// same address.
func TestKeyNeverShowsThroughProxy(t *testing.T) {
	for _, key := range secretKeys {
		var shown seen
		other := httptest.NewServer(nil)
		defer other.Close()
		forward := &http.Transport{}
		defer forward.CloseIdleConnections()
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "other.test" {
				shown.add("other host", r.RequestURI, r.Header)
				return
			}
			rw.Header().Set("Location", "http://other.test/")
			rw.WriteHeader(http.StatusFound)
		}))
		proxyURL, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		transport := &http.Transport{Proxy: http.ProxyURL(proxyURL)}
		c, err := youproxy.New(key, youproxy.WithBaseURL("http://api.test"), youproxy.WithPlainHTTP(), youproxy.WithReadRetries(0),
			youproxy.WithHTTPClient(&http.Client{Transport: following{transport}}))
		require.NoError(t, err)
		_, err = c.CreateOrder(t.Context(), guardOrder)
		shown.addError("order", err)
		err = c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, nil)
		shown.addError("call", err)
		shown.check(t, key)
		transport.CloseIdleConnections()
		proxy.Close()
	}
}

// TestClientShowsItsKeyNowhere prints a client in all the places it may stand.
func TestClientShowsItsKeyNowhere(t *testing.T) {
	srv := orderServer(t)
	for _, key := range secretKeys {
		own, err := youproxy.New(key)
		require.NoError(t, err)
		t.Setenv("YOUPROXY_API_KEY", key)
		fromEnv, err := youproxy.NewFromEnv(youproxy.WithBaseURL(srv.URL), youproxy.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		_, err = fromEnv.CreateOrder(t.Context(), guardOrder)
		require.NoError(t, err)
		variant, err := fromEnv.With(youproxy.WithUserAgent("shop/1"))
		require.NoError(t, err)
		var shown seen
		for _, c := range []*youproxy.Client{own, fromEnv, variant} {
			type service struct {
				c      *youproxy.Client
				v      youproxy.Client
				inside any
				List   []youproxy.Client
				Map    map[string]*youproxy.Client
			}
			for name, v := range map[string]any{
				"pointer": c, "copy": *c, "pointer to pointer": &c, "list": []*youproxy.Client{c}, "copies": []youproxy.Client{*c},
				"struct":            service{c, *c, *c, []youproxy.Client{*c}, map[string]*youproxy.Client{"c": c}},
				"pointer to struct": &service{c: c, v: *c, inside: c},
			} {
				shown.addPrinted(name, v)
				shown.addStrings(name+", deep", v)
			}
		}
		shown.check(t, key)
		fromEnv.CloseIdleConnections()
	}
}

// TestBadSettingsKeepTheKey: what New and its options refuse is not shown.
func TestBadSettingsKeepTheKey(t *testing.T) {
	for _, key := range secretKeys {
		var shown seen
		for _, bad := range []string{key + "/", key + "?", key + " ", " " + key, key + "\n", key + "é", "https://h/" + key} {
			_, err := youproxy.New(bad)
			require.Error(t, err, "%q", bad)
			shown.addError("New", err)
		}
		escaped := url.PathEscape(key)
		for _, base := range []string{
			"https://youproxy.io/client/api/v1/" + escaped, "https://" + escaped + "@youproxy.io", "https://youproxy.io?key=" + escaped,
			"ftp://youproxy.io/" + key, "https://youproxy.io:" + key, "http://youproxy.io/" + key, "://" + key, key,
		} {
			_, err := youproxy.New(key, youproxy.WithBaseURL(base))
			require.Error(t, err, "%q", base)
			shown.addError("WithBaseURL", err)
		}
		c, err := youproxy.New(key)
		require.NoError(t, err)
		shown.addError("Call", c.Call(t.Context(), http.MethodGet, "/"+key+"/../x", nil, nil, nil))
		shown.addError("Call", c.Call(t.Context(), "get "+key, "/x", nil, nil, nil))
		shown.addError("Call", c.Call(t.Context(), http.MethodPost, "/x", nil, keyInJSONError(key), nil))
		shown.check(t, key)
	}
}

type keyInJSONError string

func (k keyInJSONError) MarshalJSON() ([]byte, error) { return nil, errors.New("cannot: " + string(k)) }
