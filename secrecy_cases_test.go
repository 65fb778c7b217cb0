package youproxy_test

import (
	"context"
	"crypto/tls"
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
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

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

func (loggedError) Error() string { return "logged" }

func (e loggedError) LogValue() slog.Value { return slog.StringValue(e.inner()) }

// following is a caller's transport that follows redirects.
type following struct{ inner http.RoundTripper }

func (f following) RoundTrip(r *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: f.inner}).Do(r.Clone(r.Context()))
}

func secrecyCases() []secrecyCase {
	return slices.Concat(brokenConnections, oddReplies, echoingReplies(), redirects(), failingTransports())
}

var brokenConnections = []secrecyCase{
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
}

var oddReplies = []secrecyCase{
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

func echoingReplies() (cases []secrecyCase) {
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
	return cases
}

func redirects() (cases []secrecyCase) {
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
	return cases
}

func failingTransports() (cases []secrecyCase) {
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
