package youproxy_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// aProxy is a proxy server on loopback that leads everything to two targets.
type aProxy struct {
	proxy youproxy.Proxy
	mu    sync.Mutex
	asked []string // what to connect to, as it was asked for
}

func (p *aProxy) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *aProxy) wasAsked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// targetAddress is where the target listens that is asked for by its port.
func targetAddress(asked string, targets map[string]string) string {
	_, port, _ := net.SplitHostPort(asked)
	return targets[port]
}

// join copies between two connections until one of them ends.
func join(a, b net.Conn, fromA io.Reader) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(b, fromA); _ = a.Close(); _ = b.Close() })
	both.Go(func() { _, _ = io.Copy(a, b); _ = a.Close(); _ = b.Close() })
	both.Wait()
}

// proxyAt is the proxy that listens there.
func proxyAt(t *testing.T, address string, s youproxy.Scheme, as *youproxy.Credentials) youproxy.Proxy {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	require.NoError(t, err)
	p := youproxy.Proxy{ID: "1", Host: at.Addr().String(), Credentials: as}
	if s == youproxy.SchemeHTTP {
		p.HTTPPort = int(at.Port())
	} else {
		p.SOCKS5Port = int(at.Port())
	}
	return p
}

// httpProxy takes CONNECT, and requests with a whole URL.
func httpProxy(t *testing.T, as *youproxy.Credentials, targets map[string]string) *aProxy {
	t.Helper()
	p := &aProxy{}
	direct := &http.Transport{Proxy: nil}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		login, password, given := check.BasicAuth()
		if given != (as != nil) || given && (login != as.Login || password != as.Password.Reveal()) {
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		p.note(r.Method + " " + r.RequestURI)
		if r.Method != http.MethodConnect {
			out := r.Clone(r.Context())
			out.RequestURI, out.URL.Host = "", targets["80"]
			out.Header.Del("Proxy-Authorization")
			resp, err := direct.RoundTrip(out)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
			return
		}
		target, err := net.Dial("tcp", targetAddress(r.RequestURI, targets))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		join(conn, target, buf)
	}))
	t.Cleanup(func() {
		direct.CloseIdleConnections()
		s.Close()
	})
	p.proxy = proxyAt(t, s.Listener.Addr().String(), youproxy.SchemeHTTP, as)
	return p
}

// socks5Proxy is a server of RFC 1928 and RFC 1929.
func socks5Proxy(t *testing.T, as *youproxy.Credentials, targets map[string]string) *aProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &aProxy{proxy: proxyAt(t, l.Addr().String(), youproxy.SchemeSOCKS5, as)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				asked, err := socks5Greeting(in, conn, as)
				if err != nil {
					return
				}
				p.note(asked)
				target, err := net.Dial("tcp", targetAddress(asked, targets))
				if err != nil {
					_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
					return
				}
				_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				join(conn, target, in)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return p
}

// socks5Greeting gives what the client wants to connect to.
func socks5Greeting(in *bufio.Reader, out io.Writer, as *youproxy.Credentials) (string, error) {
	take := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	text := func() string { return string(take(int(take(1)[0]))) }
	method := byte(0)
	if as != nil {
		method = 2
	}
	if take(1)[0] != 5 || !strings.Contains(text(), string(rune(method))) {
		_, _ = out.Write([]byte{5, 0xff})
		return "", errors.New("no such method")
	}
	_, _ = out.Write([]byte{5, method})
	if as != nil {
		if take(1)[0] != 1 || text() != as.Login || text() != as.Password.Reveal() {
			_, _ = out.Write([]byte{1, 1})
			return "", errors.New("not logged in")
		}
		_, _ = out.Write([]byte{1, 0})
	}
	var host string
	switch head := take(4); {
	case head[0] != 5 || head[1] != 1:
		return "", errors.New("no such command")
	case head[3] == 1:
		host = net.IP(take(4)).String()
	case head[3] == 3:
		host = text()
	case head[3] == 4:
		host = net.IP(take(16)).String()
	}
	port := take(2)
	return net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))), nil
}

// httpTargets are an HTTP and an HTTPS server, which speaks HTTP/2, by the ports of
// these schemes.
func httpTargets(t *testing.T) (map[string]string, *tls.Config) {
	t.Helper()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Proxy-Authorization"), "a target does not see it")
		_, _ = fmt.Fprintf(w, "%s of %s", r.URL.Path, r.Host)
	})
	plain, secure := httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(func() {
		plain.Close()
		secure.Close()
	})
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return map[string]string{"80": plain.Listener.Addr().String(), "443": secure.Listener.Addr().String()}, &tls.Config{RootCAs: roots}
}
