package proxypool

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for i, scheme := range []string{"http", "socks5"} {
		for j, proto := range protocols {
			if !Sampled(i+j, 2) {
				continue
			}
			t.Run(scheme+"/"+proto.name, func(t *testing.T) {
				const n, most = 12, 5
				w := newWorld(t)
				servers, urls := w.proxies(scheme, n)
				to := target(t, proto, hello)
				pool := w.pool(urls, WithMaxIdleConns(most))
				open := func() (sum int) {
					for _, s := range pool.Stats() {
						sum += s.Connections
					}
					return sum
				}
				for range n {
					get(t, pool, to.URL)
					until(t, "too many connections are idle", func() bool { return open() <= most })
				}
				assert.Equal(t, most, open())
				// Those that were used last are kept.
				for i, s := range pool.Stats() {
					assert.Equal(t, i >= n-most, s.Connections == 1, "%d", i)
				}
				crowd(Sized(128, 640), func() { assert.NoError(t, send(pool, http.MethodPost, to.URL)) })
				until(t, "too many connections are idle", func() bool { return open() <= most })
				require.NoError(t, pool.Replace(nil))
				for _, s := range servers {
					until(t, "a connection stays", func() bool { return s.open() == 0 })
				}
			})
		}
	}
	t.Run("none", func(t *testing.T) {
		w := newWorld(t)
		servers, urls := w.proxies("http", 1)
		to := target(t, protocols[1], hello)
		pool := w.pool(urls, WithMaxIdleConns(0))
		for range 3 {
			get(t, pool, to.URL)
			until(t, "an idle connection is kept", func() bool { return servers[0].open() == 0 })
		}
	})
}

// scarce makes connections while there are files for them.
type scarce struct {
	dial       dialFunc
	mu         sync.Mutex
	open, most int
	refused    int
}

func (s *scarce) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == s.most {
		s.refused++
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EMFILE}
	}
	c, err := s.dial(ctx, network, addr)
	if err == nil {
		s.open++
		c = &Closing{Conn: c, Closed: sync.OnceFunc(func() {
			s.mu.Lock()
			s.open--
			s.mu.Unlock()
		})}
	}
	return c, err
}

// Closing is a connection that says when it is closed.
type Closing struct {
	net.Conn
	Closed func()
}

// Close calls Closed, and closes the connection.
func (c *Closing) Close() error {
	c.Closed()
	return c.Conn.Close()
}

// Where there are no more files, idle connections are closed, and requests wait for
// those that are in use.
func TestFilesRunOut(t *testing.T) {
	t.Parallel()
	for i, proto := range protocols {
		if !Sampled(i, 1) {
			continue
		}
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			_, urls := w.proxies("http", 20)
			to := target(t, proto, hello)
			base := w.base()
			files := &scarce{dial: base.DialContext, most: 6}
			base.DialContext = files.DialContext
			pool := w.pool(urls, WithTransport(base), WithConnectTimeout(time.Minute))
			for range Sized(20, 60) {
				get(t, pool, to.URL)
			}
			crowd(Sized(64, 192), func() { assert.NoError(t, send(pool, http.MethodPost, to.URL)) })
			assert.Positive(t, files.refused)
			for _, s := range pool.Stats() {
				assert.Zero(t, s.Failures, s.LastError)
				assert.Zero(t, s.RestsUntil)
			}
		})
	}
}

// A connection is made anew after a number of requests, or a time.
func TestRotation(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies("http", 1)
			to := target(t, proto, hello)
			pool := w.pool(urls, WithRotation(3, 0))
			for i := range 10 {
				get(t, pool, to.URL)
				assert.EqualValues(t, i/3+1, servers[0].accepted.Load())
			}
			until(t, "old connections stay", func() bool { return servers[0].open() == 1 })
		})
	}
	t.Run("after a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.set("a", good)
			p, err := New(memoryURLs("a"), WithTransport(m.base()), WithRotation(0, time.Minute))
			require.NoError(t, err)
			for i := range 10 {
				for range 5 {
					require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
				}
				assert.Equal(t, i+1, m.dialed("a"))
				time.Sleep(time.Minute)
			}
			require.NoError(t, p.Replace(nil))
			synctest.Wait()
		})
	})
	t.Run("what is under way is not cut", func(t *testing.T) {
		w := newWorld(t)
		servers, urls := w.proxies("http", 1)
		goOn := make(chan struct{})
		to := target(t, protocols[2], func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "one ")
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/slow" {
				<-goOn
			}
			_, _ = io.WriteString(w, "two")
		})
		pool := w.pool(urls, WithRotation(1, 0))
		slow, err := pool.RoundTrip(request(t, http.MethodGet, to.URL+"/slow", nil))
		require.NoError(t, err)
		for range 3 {
			get(t, pool, to.URL)
		}
		close(goOn)
		text, err := io.ReadAll(slow.Body)
		require.NoError(t, err)
		assert.Equal(t, "one two", string(text))
		require.NoError(t, slow.Body.Close())
		assert.EqualValues(t, 4, servers[0].accepted.Load())
		until(t, "old connections stay", func() bool { pool.CloseIdleConnections(); return servers[0].open() == 0 })
	})
}

func TestOptionsOfConnectionsRefuse(t *testing.T) {
	for name, opt := range map[string]Option{
		"WithMaxIdleConns": WithMaxIdleConns(-1),
		"WithRotation":     WithRotation(-1, 0),
		"WithRotation age": WithRotation(0, -1),
		"WithBan":          WithBan(nil),
	} {
		_, err := New(nil, opt)
		require.Error(t, err, name)
	}
}

// A thousand proxies, each used once and again, hold no more than the bound.
func TestUnusedTransportsAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := Sized(200, 1000)
		m := newMemory()
		var hosts []string
		for i := range n {
			hosts = append(hosts, fmt.Sprintf("p%d", i))
			m.set(hosts[i], good)
		}
		p, err := New(memoryURLs(hosts...), WithTransport(m.base()), WithMaxIdleConns(10))
		require.NoError(t, err)
		for range 2 * n {
			require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		}
		synctest.Wait()
		lines, open := 0, 0
		for _, x := range p.pool().roster.Load().proxies {
			if x.line != nil {
				lines++
			}
			open += len(x.conns)
		}
		assert.Equal(t, 10, open)
		assert.Equal(t, 10, lines)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}
