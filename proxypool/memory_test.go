package proxypool

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

var errNoDial = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// memory is a set of proxies without sockets: each dial of a host asks its server.
type memory struct {
	mu    sync.Mutex
	serve map[string]func(net.Conn) // nil refuses
	dials map[string]int
}

func newMemory() *memory {
	return &memory{serve: make(map[string]func(net.Conn)), dials: make(map[string]int)}
}

func (m *memory) set(host string, serve func(net.Conn)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serve[host] = serve
}

func (m *memory) dialed(host string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dials[host]
}

func (m *memory) dial(_ context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	m.mu.Lock()
	serve := m.serve[host]
	m.dials[host]++
	m.mu.Unlock()
	if serve == nil {
		return nil, errNoDial
	}
	client, server := net.Pipe()
	go serve(server)
	return client, nil
}

func (m *memory) base() *http.Transport {
	return &http.Transport{DialContext: m.dial, TLSClientConfig: &tls.Config{RootCAs: testRoots()}, ForceAttemptHTTP2: true}
}

// answering serves requests in absolute form on a connection.
func answering(reply string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	}
}

var good = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

func memoryURLs(hosts ...string) (urls []*url.URL) {
	for _, h := range hosts {
		urls = append(urls, &url.URL{Scheme: "http", Host: h + ":1", User: someUser})
	}
	return urls
}

func send(p *Pool, method, target string) error {
	return sendWith(context.Background(), p, method, target)
}

func sendWith(ctx context.Context, p *Pool, method, target string) error {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return err
	}
	resp, err := p.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func restOf(p *Pool, i int) time.Duration {
	until := p.Stats()[i].RestsUntil
	if until.IsZero() {
		return 0
	}
	return time.Until(until)
}
