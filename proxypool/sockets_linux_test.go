package proxypool_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/proxypool"
)

var manyProxies = flag.Int("sockets.proxies", 0, "how many proxies TestProxiesThatAreUsedOnce uses; 0 for 1,000, or 10,000 in the long runs")

const (
	socketsChild = "PROXYPOOL_TEST_SOCKETS"
	resultMark   = "sockets: "
)

// errand is what a child process does, so that its files and its memory are its own.
type errand struct {
	Port     int // of the proxies, each of which has an address of its own in 127.0.0.0/8
	Proxies  int
	Requests int
	AtOnce   int
	Secure   bool
	Files    uint64 // the limit of open files; none if zero
	MaxIdle  int    // for WithMaxIdleConns; the default if zero
}

// result is what a child prints.
type result struct {
	Failed     int
	FirstError string
	Memory     uint64 // the most bytes of heap and stacks over those at the start
	Open       int    // the most connections at once
}

// crowd is many proxy servers, which answer in the target's place.
type crowd struct {
	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
}

func startCrowd(t *testing.T) *crowd {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	s := &crowd{listener: l, conns: make(map[net.Conn]struct{})}
	certificates()
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.work.Go(func() {
				s.serve(c)
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

func (s *crowd) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 1<<10)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Method == http.MethodConnect {
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
				return
			}
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificates().known}})
			r = bufio.NewReaderSize(c, 1<<10)
			continue
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// run sends a child on the errand.
func (s *crowd) run(t *testing.T, e errand) result {
	t.Helper()
	e.Port = s.listener.Addr().(*net.TCPAddr).Port
	settings, err := json.Marshal(e)
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSocketsChild$", "-test.v")
	child.Env = append(os.Environ(), socketsChild+"="+string(settings))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, line, found := strings.Cut(string(out), resultMark)
	require.True(t, found, "%s", out)
	line, _, _ = strings.Cut(line, "\n")
	var got result
	require.NoError(t, json.Unmarshal([]byte(line), &got))
	t.Logf("%d requests failed, at most %d MB and %d open connections: %s", got.Failed, got.Memory>>20, got.Open, got.FirstError)
	return got
}

// gauge counts the connections that are open. They are counted where they are closed,
// since a server learns of it later.
type gauge struct {
	mu         sync.Mutex
	open, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open += n
	g.most = max(g.most, g.open)
}

func (g *gauge) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	g.add(1)
	return &proxypool.Closing{Conn: c, Closed: sync.OnceFunc(func() { g.add(-1) })}, nil
}

// TestSocketsChild is the child of the other tests here.
func TestSocketsChild(t *testing.T) {
	settings := os.Getenv(socketsChild)
	if settings == "" {
		t.Skip("is the child of other tests")
	}
	var e errand
	require.NoError(t, json.Unmarshal([]byte(settings), &e))
	if e.Files > 0 {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: e.Files, Max: e.Files}))
	}
	urls := make([]*url.URL, e.Proxies)
	for i := range urls {
		host := fmt.Sprintf("127.%d.%d.%d:%d", 1+i>>16, i>>8&0xff, i&0xff, e.Port)
		urls[i] = &url.URL{Scheme: "http", Host: host, User: url.UserPassword(login, password)}
	}
	out, err := json.Marshal(e.do(t, urls))
	require.NoError(t, err)
	fmt.Printf("%s%s\n", resultMark, out)
}

func (e errand) do(t *testing.T, urls []*url.URL) (got result) {
	start := memory()
	var conns gauge
	opts := []proxypool.Option{proxypool.WithTransport(&http.Transport{
		DialContext:       conns.DialContext,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate is made anew in each process
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   90 * time.Second,
	})}
	if e.MaxIdle > 0 {
		opts = append(opts, proxypool.WithMaxIdleConns(e.MaxIdle))
	}
	pool, err := proxypool.New(urls, opts...)
	require.NoError(t, err)
	target := "http://target.example.com/"
	if e.Secure {
		target = "https://target.example.com/"
	}
	var mu sync.Mutex
	var next atomic.Int64
	var workers sync.WaitGroup
	for range e.AtOnce {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(e.Requests); i = next.Add(1) {
				status, _, err := askFor(context.Background(), pool, time.Minute, target)
				mu.Lock()
				if err != nil || status != http.StatusOK {
					if got.Failed++; got.Failed == 1 {
						got.FirstError = fmt.Sprint(status, err)
					}
				}
				if i%1000 == 0 {
					now := memory()
					got.Memory = max(got.Memory, now-min(start, now))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	require.NoError(t, pool.Replace(nil))
	conns.mu.Lock()
	defer conns.mu.Unlock()
	got.Open = conns.most
	return got
}

// memory returns the bytes of heap and stacks.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// A hundred thousand proxies that are used once each hold no more connections than
// the bound, and not more than 300 MB.
func TestProxiesThatAreUsedOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	many := cmp.Or(*manyProxies, proxypool.Sized(1000, 10_000))
	for _, c := range []struct {
		name        string
		proxies     int
		idle, bound int
	}{
		// The bound has room for requests that connect to several proxies.
		{"unless it is set", many, 0, 768}, // a usual limit is 1,024 files
		{"with a bound", many / 2, 50, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startCrowd(t)
			got := s.run(t, errand{Proxies: c.proxies, Requests: c.proxies, AtOnce: 8, MaxIdle: c.idle})
			assert.Zero(t, got.Failed, got.FirstError)
			assert.LessOrEqual(t, got.Open, c.bound, "open connections")
			if !underRace {
				most := uint64(40<<20 + c.proxies*2700) // 300 MB for 100,000
				assert.LessOrEqual(t, got.Memory, most, "bytes")
			}
		})
	}
}

// A thousand proxies in a process that may open 300 files: what it keeps open for
// later stands in nobody's way.
func TestFewFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	n := 0
	for _, secure := range []bool{false, true} {
		for _, atOnce := range []int{1, 50} {
			for _, idle := range []int{0, 1000} {
				if (idle == 0) == (atOnce == 1) == secure {
					continue // half of all do
				}
				if n++; !proxypool.Sampled(n, 4) {
					continue
				}
				t.Run(fmt.Sprintf("secure %t/%d at once/idle %d", secure, atOnce, idle), func(t *testing.T) {
					s := startCrowd(t)
					got := s.run(t, errand{Proxies: proxypool.Sized(400, 1000), Requests: proxypool.Sized(400, 1500), AtOnce: atOnce, Secure: secure, MaxIdle: idle, Files: 300})
					assert.Zero(t, got.Failed, got.FirstError)
				})
			}
		}
	}
}
