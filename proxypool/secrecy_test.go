package proxypool

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/internal/reach"
)

// users have passwords that are easy to get wrong.
var users = []struct{ login, password string }{
	{"login", "s3cr3t-Passw0rd"},
	{"login", "k%+\"<&\\'~?/@: key"},
	{"login", "zqj"},
	{"user-qwzx77", "qwzx77"},
	{"login", "ключ-\u00e9\x7f\x01"},
	{"login", "\xff\xfe-bytes-\x00end"},
	{"l:ogin", "with==equals=="},
	{"", "only-A-password"},
	{"login", "QUJD?>>>~~~"},
}

// spotter finds a password in texts: raw, escaped, or encoded.
type spotter struct{ login, password string }

func (s spotter) finds(text string) bool {
	for _, form := range []string{
		s.password, url.QueryEscape(s.password), url.PathEscape(s.password),
		strings.Trim(strconv.Quote(s.password), `"`),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s.login+":"+s.password)), "="),
		strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(s.login+":"+s.password)), "="),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s.password)), "="),
	} {
		if strings.Contains(text, form) || strings.Contains(text, hex.EncodeToString([]byte(form))) ||
			strings.Contains(text, strings.ToUpper(hex.EncodeToString([]byte(form)))) {
			return true
		}
	}
	return false
}

// says prints v in every way that prints.
func says(v any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintln(&b, string(text), err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	return b.String()
}

// echoes are texts that repeat a password, in which {authorization} stands for the
// header field of the request.
func (s spotter) echoes() map[string]string {
	both := []byte(s.login + ":" + s.password)
	return map[string]string{
		"raw":        s.password,
		"escaped":    url.QueryEscape(s.password),
		"path":       url.PathEscape(s.password),
		"quoted":     strconv.Quote(s.password),
		"base64":     base64.StdEncoding.EncodeToString(both),
		"bare":       base64.RawStdEncoding.EncodeToString(both),
		"base64 url": base64.URLEncoding.EncodeToString(both),
		"password":   base64.StdEncoding.EncodeToString([]byte(s.password)),
		"header":     "{authorization}",
		"both":       s.password + " " + base64.StdEncoding.EncodeToString(both),
	}
}

// answersWith are those of a proxy that has a text in them.
func answersWith(text string) map[string]string {
	return map[string]string{
		"407":       "HTTP/1.1 407 No " + text + "\r\nContent-Length: 0\r\n\r\n",
		"403":       "HTTP/1.1 403 No " + text + "\r\nX-Login: " + text + "\r\n\r\n",
		"malformed": "no HTTP " + text + "\r\n\r\n",
		"version":   "HTTP/9.x " + text + "\r\n\r\n",
		"status":    "HTTP/1.1 " + text + "\r\n\r\n",
		"header":    "HTTP/1.1 200 OK\r\n" + text + "\r\n\r\n",
		"length":    "HTTP/1.1 200 OK\r\nContent-Length: " + text + "\r\n\r\n",
		"coding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + text + "\r\n\r\n",
	}
}

func TestErrorsTellNoPassword(t *testing.T) {
	t.Parallel()
	i := 0
	for _, u := range users {
		spot := spotter{u.login, u.password}
		echoes := spot.echoes()
		for _, echo := range slices.Sorted(maps.Keys(echoes)) {
			answers := answersWith(echoes[echo])
			for _, name := range slices.Sorted(maps.Keys(answers)) {
				for _, to := range []string{"https://example.com/", "http://example.com/"} {
					if i++; !Sampled(i, 7) {
						continue
					}
					t.Run(fmt.Sprintf("%q/%s/%s/%s", u.password, echo, name, to), func(t *testing.T) {
						t.Parallel()
						spot.findsNoneInErrors(t, answers[name], to)
					})
				}
			}
		}
	}
}

func (s spotter) findsNoneInErrors(t *testing.T, answer, to string) {
	w := newWorld(t)
	server := w.proxy("http", "p.example.com", url.UserPassword(s.login, s.password))
	server.behave(habit{connectAnswer: answer, plainAnswer: answer})
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	pool := w.pool([]*url.URL{server.url}, WithLogger(logger))
	client := &http.Client{Transport: pool}
	resp, err := client.Get(to)
	if err == nil {
		_ = resp.Body.Close()
		return // it is an answer, which is the caller's
	}
	var failure *Error
	require.ErrorAs(t, err, &failure)
	for what, v := range map[string]any{
		"url.Error": err, "Error": failure, "Stats": pool.Stats(), "Pool": pool, "text": logged.String(),
	} {
		assert.False(t, s.finds(says(v)), "%s: %s", what, says(v))
	}
	for e := error(failure); e != nil; e = errors.Unwrap(e) {
		assert.False(t, s.finds(says(e)), says(e))
	}
	for r, err := range Check(t.Context(), []*url.URL{server.url}, to, CheckTransport(w.base())) {
		require.NoError(t, err)
		assert.False(t, s.finds(says(r)), says(r))
		assert.False(t, s.finds(says(&r)), says(&r))
	}
}

func TestBadURLsTellNoPassword(t *testing.T) {
	for _, u := range users {
		spot := spotter{u.login, u.password}
		user := url.UserPassword(u.login, u.password)
		for name, bad := range map[string]*url.URL{
			"scheme": {Scheme: "ftp", User: user, Host: "h:1"},
			"opaque": {Scheme: "http", Opaque: u.password, User: user, Host: "h:1"},
			"path":   {Scheme: "http", User: user, Host: "h:1", Path: "/" + u.password},
			"query":  {Scheme: "http", User: user, Host: "h:1", RawQuery: u.password},
			"part":   {Scheme: "http", User: user, Host: "h:1", Fragment: u.password},
			"host":   {Scheme: "http", User: user},
			"port":   {Scheme: "http", User: user, Host: "h:99999"},
			"list":   {Scheme: "http", Host: "192.0.2.1:8080:login:" + u.password},
			"at":     {Scheme: "http", Host: "login:" + u.password + "@192.0.2.1:8080"},
			"login":  {Scheme: "socks5", User: url.UserPassword("", u.password), Host: "h:1"},
			"long":   {Scheme: "socks5", User: url.UserPassword("a", strings.Repeat(u.password, 200)), Host: "h:1"},
		} {
			t.Run(fmt.Sprintf("%q/%s", u.password, name), func(t *testing.T) {
				_, err := New([]*url.URL{bad})
				require.Error(t, err)
				assert.False(t, spot.finds(says(err)), says(err))
				assert.False(t, spot.finds(Name(bad)))
				for r, err := range Check(t.Context(), []*url.URL{bad}, "http://t.test/") {
					require.NoError(t, err)
					require.Error(t, r.Err)
					assert.False(t, spot.finds(says(r)), says(r))
				}
			})
		}
	}
}

func TestNothingPrintsPasswords(t *testing.T) {
	type exported struct{ Pool *Pool }
	type hiddenIn struct{ pool *Pool }
	type byValue struct{ Transport http.RoundTripper }
	for _, u := range users {
		t.Run(fmt.Sprintf("%q", u.password), func(t *testing.T) {
			w := newWorld(t)
			server := w.proxy("http", "p.example.com", url.UserPassword(u.login, u.password))
			spot := spotter{u.login, u.password}
			to := target(t, protocols[0], hello)
			pool := w.pool([]*url.URL{server.url})
			resp, err := (&http.Client{Transport: pool}).Get(to.URL)
			require.NoError(t, err)
			assert.Equal(t, Name(server.url), Via(resp))
			for what, v := range map[string]any{
				"pool": pool, "exported": exported{pool}, "pointer": &exported{pool}, "unexported": hiddenIn{pool},
				"client": &http.Client{Transport: pool}, "round tripper": byValue{pool}, "slice": []*Pool{pool},
				"map": map[string]*Pool{"p": pool}, "stats": pool.Stats(), "stat": pool.Stats()[0],
				"option": RoundRobin(), "transport": WithTransport(w.base()),
				"request": resp.Request.Header, "context": resp.Request.Context(), "via": Via(resp),
			} {
				assert.False(t, spot.finds(says(v)), "%s: %s", what, says(v))
			}
			req := resp.Request
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				assert.False(t, spot.finds(fmt.Sprintf(verb, req)))
				assert.False(t, spot.finds(fmt.Sprintf(verb, resp)))
				assert.False(t, spot.finds(fmt.Sprintf(verb, struct{ P any }{P: *pool.pool().roster.Load().proxies[0].settings})))
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
		})
	}
}

// TestNothingIsReached walks through pools and errors as the dump of a failed
// assertion does.
func TestNothingIsReached(t *testing.T) {
	for _, u := range users {
		t.Run(fmt.Sprintf("%q", u.password), func(t *testing.T) {
			w := newWorld(t)
			good := w.proxy("http", "p.example.com", url.UserPassword(u.login, u.password))
			bad := w.proxy("http", "q.example.com", url.UserPassword(u.login, u.password))
			bad.behave(habit{connectAnswer: "HTTP/1.1 407 No " + u.password + "\r\n\r\n", plainAnswer: "HTTP/1.1 407 No\r\n\r\n"})
			to := target(t, protocols[0], hello)
			var held struct {
				pool, failing *Pool
				client        *http.Client
				errs          []error
			}
			held.pool, held.failing = w.pool([]*url.URL{good.url}), w.pool([]*url.URL{bad.url})
			held.client = &http.Client{Transport: held.pool}
			for range 20 {
				resp, err := held.client.Get(to.URL)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				require.NoError(t, resp.Body.Close())
				_, err = held.failing.RoundTrip(request(t, http.MethodGet, to.URL, nil))
				require.Error(t, err)
				held.errs = append(held.errs, err)
			}
			spot := spotter{u.login, u.password}
			reach.Strings(&held, func(text string) { assert.False(t, spot.finds(text), "%.200q", text) })
		})
	}
}

// TestShortPasswordsLeaveNoGap: what is missing from a known text would tell the
// password.
func TestShortPasswordsLeaveNoGap(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, err := range []error{
		context.DeadlineExceeded, context.Canceled, io.EOF, os.ErrDeadlineExceeded, errDropped, errBroke,
		dial, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial},
		&because{ErrUnreachable, dial.Error(), dial},
		&because{ErrUnreachable, "no connection within 10s", nil},
		&because{ErrAuthentication, "it answered 407 to CONNECT", nil},
		&because{ErrRefused, "it answered 503 to CONNECT", nil},
		&net.DNSError{Err: "no such host", Name: "p.example.com"},
	} {
		for _, password := range []string{"x", "e", "t", " ", "407", "503", "10", "deadline", "connect", "refused", "the", "EOF"} {
			a, parseErr := parseAddress(&url.URL{Scheme: "http", Host: "p.example.com:1", User: url.UserPassword("login", password)})
			require.NoError(t, parseErr)
			assert.Equal(t, err.Error(), a.scrub(err).Error(), "password %q", password)
		}
	}
	for _, password := range []string{"x", "e", "hunter2", "context", "503"} {
		a, err := parseAddress(&url.URL{Scheme: "http", Host: "p.example.com:1", User: url.UserPassword("login", password)})
		require.NoError(t, err)
		foreign := fmt.Errorf("malformed HTTP response %q: %w", "No "+password, io.ErrUnexpectedEOF)
		for _, err := range []error{foreign, &because{ErrUnreachable, foreign.Error(), foreign}, fmt.Errorf("dial with %s: %w", password, dial)} {
			clean := a.scrub(err)
			assert.True(t, strings.HasSuffix(clean.Error(), unshown), clean.Error())
			assert.Equal(t, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(clean, io.ErrUnexpectedEOF))
			assert.Equal(t, errors.Is(err, ErrUnreachable), errors.Is(clean, ErrUnreachable))
		}
	}
}

func TestTracesAreNotShownThePassword(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, proto := range protocols {
			t.Run(scheme+"/"+proto.name, func(t *testing.T) {
				w := newWorld(t)
				_, urls := w.proxies(scheme, 1)
				to := target(t, proto, hello)
				pool := w.pool(urls)
				var mu sync.Mutex
				var fields, hooks []string
				hook := func(name string) {
					mu.Lock()
					defer mu.Unlock()
					hooks = append(hooks, name)
				}
				outer := &httptrace.ClientTrace{
					WroteHeaderField: func(k string, v []string) {
						mu.Lock()
						defer mu.Unlock()
						fields = append(fields, "outer "+k+": "+strings.Join(v, ","))
					},
					GotFirstResponseByte: func() { hook("outer first byte") },
				}
				inner := &httptrace.ClientTrace{
					WroteHeaderField: func(k string, v []string) {
						mu.Lock()
						defer mu.Unlock()
						fields = append(fields, k+": "+strings.Join(v, ","))
					},
					GetConn:              func(string) { hook("get") },
					GotConn:              func(info httptrace.GotConnInfo) { hook(fmt.Sprintf("got %T", info.Conn)) },
					WroteRequest:         func(httptrace.WroteRequestInfo) { hook("wrote") },
					GotFirstResponseByte: func() { hook("first byte") },
				}
				ctx := httptrace.WithClientTrace(httptrace.WithClientTrace(t.Context(), outer), inner)
				ctx = context.WithValue(ctx, viaTest{}, "kept")
				req := request(t, http.MethodPost, to.URL, strings.NewReader("body")).WithContext(ctx)
				req.Header.Set("X-Mine", "shown")
				resp, err := pool.RoundTrip(req)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, "kept", resp.Request.Context().Value(viaTest{}))
				mu.Lock()
				defer mu.Unlock()
				all := strings.ToLower(strings.Join(fields, "\n"))
				assert.NotContains(t, all, "proxy-authorization")
				assert.Contains(t, all, "\nx-mine: shown")
				assert.Contains(t, all, "outer x-mine: shown")
				told := strings.Join(hooks, "\n")
				for _, want := range []string{"get", "got", "wrote", "first byte", "outer first byte"} {
					assert.Contains(t, told, want)
				}
				password, _ := someUser.Password()
				assert.False(t, spotter{someUser.Username(), password}.finds(told+all))
			})
		}
	}
}

type viaTest struct{}
