package proxypool

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// throughSOCKS starts a Forwarder in front of a proxy that changes nothing, so that
// what arrives is what the Forwarder sent.
func throughSOCKS(t *testing.T) (*Forwarder, *httptest.Server) {
	t.Helper()
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	return forwarding(t, w.pool(urls))
}

// scriptedTarget starts a target that says the same to each request, whose lines end with
// a line feed alone.
func scriptedTarget(t *testing.T, response string) *httptest.Server {
	t.Helper()
	return target(t, protocols[0], func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(c, strings.ReplaceAll(response, "\n", "\r\n"))
			_ = c.Close()
		}
	})
}

func TestForwardedRequest(t *testing.T) {
	_, s := throughSOCKS(t)
	got := make(chan *http.Request, 1)
	to := target(t, protocols[0], func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r
	})
	host := to.Listener.Addr().String()
	for name, c := range map[string]struct {
		send    string // after the first line, with the Host
		body    string
		header  http.Header
		trailer http.Header
	}{
		"nothing": {header: http.Header{"Accept-Encoding": {"identity"}}},
		"what is for the target": {
			send: "User-Agent: u\nAccept-Encoding: br\nReferer: r\nAuthorization: Basic x\nCookie: a=1\nX-Odd: 1\nX-Odd: 2\nRange: bytes=1-\n",
			header: http.Header{
				"User-Agent": {"u"}, "Accept-Encoding": {"br"}, "Referer": {"r"}, "Authorization": {"Basic x"}, "Cookie": {"a=1"},
				"X-Odd": {"1", "2"}, "Range": {"bytes=1-"},
			},
		},
		"what is for the connection": {
			send: "Connection: keep-alive, X-One, close\nConnection: x-two\nX-One: 1\nX-Two: 2\nProxy-Connection: keep-alive\nKeep-Alive: timeout=5\n" +
				"Proxy-Authorization: Basic eDp5\nProxy-Authenticate: x\nTE: gzip\nUpgrade: h2c\nAccept-Encoding: gzip\n",
			header: http.Header{"Accept-Encoding": {"gzip"}},
		},
		"what would tell about the caller": {
			send:   "Via: 1.1 laptop\nForwarded: for=192.0.2.1\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Host: h\nX-Forwarded-Proto: http\nAccept-Encoding: gzip\n",
			header: http.Header{"Accept-Encoding": {"gzip"}},
		},
		"an upgrade": {
			send:   "Connection: Upgrade, X-One\nX-One: 1\nUpgrade: websocket\nSec-WebSocket-Key: k\nAccept-Encoding: gzip\n",
			header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Key": {"k"}, "Accept-Encoding": {"gzip"}},
		},
		"trailers": {
			send: "Transfer-Encoding: chunked\nTrailer: X-Sum, X-None\nTE: trailers\nConnection: TE\nAccept-Encoding: gzip\n",
			body: "3\nabc\n0\nX-Sum: 6\n\n",
			header: http.Header{
				"Te": {"trailers"}, "Accept-Encoding": {"gzip"},
			},
			trailer: http.Header{"X-Sum": {"6"}, "X-None": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			const path = "/a%2Fb//c/../d;e?q=%zz;x&y=%41&&"
			resp, _ := say(t, s, "POST http://"+host+path+" HTTP/1.1\nHost: other.example.com\n"+c.send+"\n"+c.body).answer(http.MethodPost)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			r := <-got
			assert.Equal(t, path, r.RequestURI)
			assert.Equal(t, host, r.Host)
			assert.Equal(t, "POST", r.Method)
			assert.Equal(t, c.header, without(r.Header, "Content-Length"))
			assert.Equal(t, c.trailer, r.Trailer)
		})
	}
}

func without(h http.Header, names ...string) http.Header {
	h = maps.Clone(h)
	for _, name := range names {
		delete(h, name)
	}
	return h
}

func TestForwardedResponse(t *testing.T) {
	f, s := throughSOCKS(t)
	for name, c := range map[string]struct {
		method, response string
		status           int
		header, trailer  http.Header
		body             string
	}{
		"without a type": {
			method: "GET", response: "HTTP/1.1 200 OK\nContent-Length: 6\n\n<html>", status: 200,
			header: http.Header{"Content-Length": {"6"}}, body: "<html>",
		},
		"what is for the connection": {
			method:   "GET",
			response: "HTTP/1.1 404 Gone\nConnection: X-One\nX-One: 1\nKeep-Alive: timeout=5\nProxy-Connection: close\nUpgrade: h2c\nX-Two: 2\nX-Two: 3\nVia: 1.1 cache\nContent-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\nContent-Length: 1\n\nx",
			status:   404, body: "x",
			header: http.Header{
				"X-Two": {"2", "3"}, "Via": {"1.1 cache"}, "Content-Type": {"a/b"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"1"},
			},
		},
		"packed": {
			method: "GET", response: "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Type: a/b\nContent-Length: 4\n\n\x1f\x8b\x08x", status: 200,
			header: http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"a/b"}, "Content-Length": {"4"}}, body: "\x1f\x8b\x08x",
		},
		"until the end of the connection": {
			method: "GET", response: "HTTP/1.0 200 OK\nContent-Type: a/b\n\nall of it", status: 200,
			header: http.Header{"Content-Type": {"a/b"}}, body: "all of it",
		},
		"HEAD": {
			method: "HEAD", response: "HTTP/1.1 200 OK\nContent-Length: 123456\nContent-Type: a/b\n\n", status: 200,
			header: http.Header{"Content-Length": {"123456"}, "Content-Type": {"a/b"}},
		},
		"not modified": {
			method: "GET", response: "HTTP/1.1 304 Not Modified\nETag: \"x\"\n\n", status: 304, header: http.Header{"Etag": {`"x"`}},
		},
		"no content": {method: "DELETE", response: "HTTP/1.1 204 No Content\nX-A: b\n\n", status: 204, header: http.Header{"X-A": {"b"}}},
		"a redirect": {
			method: "GET", response: "HTTP/1.1 302 Found\nLocation: http://192.0.2.1/\nContent-Length: 0\n\n", status: 302,
			header: http.Header{"Location": {"http://192.0.2.1/"}, "Content-Length": {"0"}},
		},
		"trailers": {
			method: "GET", response: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n3\nabc\n0\nX-Sum: 6\n\n", status: 200,
			header: http.Header{"Content-Type": {"a/b"}}, trailer: http.Header{"X-Sum": {"6"}}, body: "abc",
		},
		"trailers that were not announced": {
			method: "GET", response: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-Sum: 6\n\n", status: 200,
			header: http.Header{"Content-Type": {"a/b"}}, trailer: http.Header{"X-Sum": {"6"}}, body: "abc",
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := scriptedTarget(t, c.response)
			resp, body := say(t, s, c.method+" "+to.URL+"/ HTTP/1.1\nHost: x\n\n").answer(c.method)
			assert.Equal(t, c.status, resp.StatusCode)
			assert.Equal(t, c.header, without(resp.Header, "Date"))
			assert.Equal(t, c.trailer, resp.Trailer)
			assert.Equal(t, c.body, body)
		})
	}
	t.Run("without a type, where nothing can be flushed", func(t *testing.T) {
		to := scriptedTarget(t, "HTTP/1.1 200 OK\nContent-Length: 6\n\n<html>")
		s := target(t, protocols[0], func(w http.ResponseWriter, r *http.Request) { f.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
		resp, _ := say(t, s, "GET "+to.URL+"/ HTTP/1.1\nHost: x\n\n").answer(http.MethodGet)
		assert.NotContains(t, resp.Header, "Content-Type")
	})
	t.Run("to HTTP/1.0", func(t *testing.T) {
		to := target(t, protocols[0], hello)
		raw := say(t, s, "GET "+to.URL+"/ HTTP/1.0\n\n")
		assert.Regexp(t, `(?s)^HTTP/1\.0 200 OK\r\n.*\r\n\r\nhello$`, raw.ends())
	})
	t.Run("which breaks off", func(t *testing.T) {
		to := scriptedTarget(t, "HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf")
		resp, err := throughForwarder(t, s).Get(to.URL)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "half", string(body))
	})
}

// An answer comes before its request is complete, piece by piece, both ways.
func TestForwardStreams(t *testing.T) {
	_, s := throughSOCKS(t)
	to := target(t, protocols[0], func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_, _ = io.WriteString(w, "ready\n")
		_ = control.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			_, _ = io.WriteString(w, lines.Text()+" back\n")
			_ = control.Flush()
		}
	})
	out, in := io.Pipe()
	resp, err := throughForwarder(t, s).Do(request(t, http.MethodPost, to.URL, out))
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	hear := func(want string) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
	}
	hear("ready\n")
	for _, piece := range []string{"one", "two", strings.Repeat("long", 1<<13)} {
		_, err := io.WriteString(in, piece+"\n")
		require.NoError(t, err)
		hear(piece + " back\n")
	}
	require.NoError(t, in.Close())
	_, err = lines.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestForwardInformationalResponses(t *testing.T) {
	_, s := throughSOCKS(t)
	var link []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		assert.Equal(t, http.StatusEarlyHints, code)
		link = header["Link"]
		return nil
	}})
	to := scriptedTarget(t, "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\nx")
	resp, err := throughForwarder(t, s).Do(request(t, http.MethodGet, to.URL, nil).WithContext(ctx))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{"</a>"}, link)
	assert.Equal(t, []string{"1"}, resp.Header["Content-Length"])
	assert.NotContains(t, resp.Header, "Link")
	assert.NotContains(t, resp.Header, "Content-Type")
}

// A body that the caller would send only if it is wanted is not asked for before
// the target does.
func TestForwardExpectContinue(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	base := w.base()
	base.ExpectContinueTimeout = time.Minute
	_, s := forwarding(t, w.pool(urls, WithTransport(base)))
	to := target(t, protocols[0], func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		echo(w, r)
	})
	for path, want := range map[string]int{"/yes": 200, "/no": 417} {
		raw := say(t, s, "POST "+to.URL+path+" HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: 4\n\n")
		if want == 200 {
			raw.hear("HTTP/1.1 100 Continue\r\n\r\n")
			raw.say("body")
		}
		resp, text := raw.answer(http.MethodPost)
		assert.Equal(t, want, resp.StatusCode)
		assert.Equal(t, map[int]string{200: "POST body", 417: ""}[want], text)
		require.NoError(t, raw.Close())
	}
}

// A kept connection serves one request after another, whatever became of the last.
func TestForwardKeepsConnections(t *testing.T) {
	_, s := throughSOCKS(t)
	to := target(t, protocols[0], echo)
	raw := say(t, s, "")
	for _, target := range []string{to.URL, "http://127.0.0.1:1", to.URL, "", to.URL} {
		raw.say("PUT " + target + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
		resp, text := raw.answer(http.MethodPut)
		switch target {
		case to.URL:
			assert.Equal(t, 200, resp.StatusCode)
			assert.Equal(t, "PUT body", text)
		case "":
			assert.Equal(t, 400, resp.StatusCode)
		default:
			assert.Equal(t, 502, resp.StatusCode)
		}
	}
}

// A target that answers before it has read the request is heard at once.
func TestForwardEarlyAnswer(t *testing.T) {
	t.Parallel()
	_, s := throughSOCKS(t)
	addr := listening(t, func(c *net.TCPConn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, c)
	})
	raw := say(t, s, "PUT http://"+addr+"/ HTTP/1.1\nHost: x\nContent-Length: 1000000\n\nbody")
	resp, text := raw.answer(http.MethodPut)
	assert.Equal(t, 413, resp.StatusCode)
	assert.Equal(t, "no", text)
	assert.True(t, resp.Close)
}
