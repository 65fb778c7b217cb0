package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/proxypool"
)

// throughForwarders runs f with a local proxy that requires no login, in front of
// each server and protocol that requires one.
func throughForwarders(t *testing.T, f func(t *testing.T, at string)) {
	t.Helper()
	throughPools(t, func(t *testing.T, _ *proxyServer, pool *proxypool.Pool) {
		f(t, startForwarder(t, pool))
	})
}

// startForwarder starts the local proxy and returns its URL.
func startForwarder(t *testing.T, pool *proxypool.Pool) string {
	t.Helper()
	forwarder := proxypool.Forward(pool)
	server := httptest.NewServer(forwarder)
	t.Cleanup(func() {
		require.NoError(t, forwarder.Close())
		server.Close()
	})
	return server.URL
}

// curl takes a proxy from its command line or from the environment.
func TestCurlThroughForwarder(t *testing.T) {
	curl := program(t, "curl", "curl")
	throughForwarders(t, func(t *testing.T, at string) {
		for name, startTarget := range targets {
			t.Run(name, func(t *testing.T) {
				g := startTarget(t)
				for _, setting := range [][]string{
					{curl, "-x", at}, {curl, "-x", at, "--proxytunnel"}, {"http_proxy=" + at, "HTTPS_PROXY=" + at, curl},
				} {
					args := append([]string{"-i", setting[0]}, setting[1:]...)
					out, err := run(t, "", "/usr/bin/env", append(args, "-sS", "--insecure", g.URL)...)
					require.NoError(t, err)
					assert.Equal(t, page, out)
					sent := strings.Repeat("body ", 100_000)
					out, err = run(t, sent, "/usr/bin/env", append(args, "-sS", "--insecure", "--data-binary", "@-", g.URL)...)
					require.NoError(t, err)
					same := sent == out // a body is too long to be printed
					assert.True(t, same, "another body came back")
				}
				assert.Equal(t, strings.Replace(strings.TrimPrefix(name, "https "), "http", "HTTP/1.1", 1), strings.TrimSuffix(g.spoke(), ".0"))
			})
		}
	})
}

// curl, and so its user, learns why there is no response.
func TestCurlThroughForwarderWithAWrongPassword(t *testing.T) {
	const wrong = "wr@ng/Password-9"
	curl := program(t, "curl", "curl")
	plain, secure := targets["http"](t), startHTTP2Target(t)
	for kind, start := range proxyServers {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			for _, u := range s.urls() {
				u.User = url.UserPassword(s.login, wrong)
				pool, err := proxypool.New([]*url.URL{u}, proxypool.WithTransport(secure.transport()))
				require.NoError(t, err)
				at := startForwarder(t, pool)

				out, err := run(t, "", curl, "-q", "-sS", "-x", at, "-w", "%{http_code}", plain.URL)
				require.NoError(t, err)
				s.assertNoPassword(t, out, wrong)
				if kind != "tinyproxy" { // which answers 401 as if it were the target
					assert.Contains(t, out, proxypool.ErrAuthentication.Error())
					assert.True(t, strings.HasSuffix(out, "502"), out)
				}
				out, err = run(t, "", curl, "-q", "-sS", "-x", at, "-w", "%{http_connect}", secure.URL)
				assert.Error(t, err)
				assert.Equal(t, "502", out)
				require.NoError(t, pool.Replace(nil))
			}
		})
	}
	assert.Zero(t, plain.times(""))
	assert.Zero(t, secure.times(""))
}

// pythonScript requests each URL and sends a body, with two clients that take the
// proxy from the environment.
const pythonScript = `
import ssl, sys, urllib.request, requests
insecure = ssl._create_unverified_context()
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=insecure))
session = requests.Session()
session.verify = False
requests.packages.urllib3.disable_warnings()
body = b"body " * 100000
for url in sys.argv[1:]:
    for _ in range(2):
        print(opener.open(url).read().decode())
        print(session.get(url).text)
    assert opener.open(url, data=body).read() == body
    assert session.post(url, data=body).content == body
assert session.post(sys.argv[1], data=iter([b"in ", b"pieces"])).content == b"in pieces"
`

func TestPythonThroughForwarder(t *testing.T) {
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	throughForwarders(t, func(t *testing.T, at string) {
		out, err := run(t, "", "/usr/bin/env", "-i", "http_proxy="+at, "https_proxy="+at, "/usr/bin/python3", "-c", pythonScript, plain.URL, secure.URL)
		require.NoError(t, err)
		assert.Equal(t, strings.Repeat(page+"\n", 8), out)
	})
}

// A WebSocket without TLS upgrades a request. One with TLS goes through a tunnel.
func TestWebSocketThroughForwarder(t *testing.T) {
	for scheme, start := range webSocketServers {
		t.Run(scheme, func(t *testing.T) {
			server := start(http.HandlerFunc(echoMessages))
			defer server.Close()
			throughForwarders(t, func(t *testing.T, at string) {
				proxy, err := url.Parse(at)
				require.NoError(t, err)
				transport := (&target{Server: server}).transport()
				transport.Proxy = http.ProxyURL(proxy)
				useWebSocket(t, server, transport)
			})
		})
	}
}

// A browser opens a page, whose script opens a WebSocket.
func TestChromiumThroughForwarder(t *testing.T) {
	chromium := program(t, "chromium", "chromium")
	throughForwarders(t, func(t *testing.T, at string) {
		for name, start := range webSocketServers {
			t.Run(name, func(t *testing.T) {
				talked := make(chan struct{})
				server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/":
						w.Header().Set("Content-Type", "text/html")
						_, _ = fmt.Fprint(w, talkingPage)
					case "/talk":
						echoMessages(w, r)
					case "/talked":
						close(talked)
					case "/wait": // the browser waits for this before it shows the page
						select {
						case <-talked:
						case <-r.Context().Done():
						}
					default:
						http.NotFound(w, r)
					}
				}))
				defer server.Close()
				out, err := run(t, "", chromium, append(slices.Clone(chromiumFlags),
					"--proxy-server="+at, "--user-data-dir="+t.TempDir(), "--dump-dom", server.URL)...)
				require.NoError(t, err)
				assert.Contains(t, out, "<p>hello back</p>")
			})
		}
	})
}

// talkingPage sends a greeting over a WebSocket and shows the answer.
const talkingPage = `<!DOCTYPE html><p></p><script>
const socket = new WebSocket(location.href.replace('http', 'ws') + 'talk');
socket.onopen = () => socket.send('hello');
socket.onmessage = event => {
	document.querySelector('p').textContent = event.data + ' back';
	fetch('talked');
};
</script><img src="wait">`
