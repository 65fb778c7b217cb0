package proxypool

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bannedWith403 takes a 403 for a ban.
func bannedWith403(resp *http.Response) bool { return resp.StatusCode == http.StatusForbidden }

var forbidden = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\ngo away")

func ask(t *testing.T, p *Pool, method, target string) (status int, body, via string) {
	t.Helper()
	resp, err := p.RoundTrip(request(t, method, target, nil))
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text), Via(resp)
}

func TestABannedProxyRestsForTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		m := newMemory()
		m.set("a", forbidden)
		m.set("b", good)
		urls := memoryURLs("a", "b")
		p, err := New(urls, WithTransport(m.base()), WithBan(bannedWith403), WithRest(time.Minute, time.Hour), inOrder(),
			WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
		require.NoError(t, err)
		status, body, via := ask(t, p, http.MethodGet, "http://t.test/")
		assert.Equal(t, 1, strings.Count(logged.String(), "\n"))
		assert.Contains(t, logged.String(), `level=WARN msg="a proxy rests for a host that bans it" proxy=`+Name(urls[0])+" host=t.test pause=")
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "ok", body)
		assert.Equal(t, Name(urls[1]), via)
		stats := p.Stats()[0]
		assert.Zero(t, stats.RestsUntil, "it goes on for other hosts")
		assert.Zero(t, stats.Failures, "it got an answer")
		assert.Zero(t, stats.InFlight)
		require.Contains(t, stats.RestsForHosts, "t.test")
		within(t, time.Minute, time.Until(stats.RestsForHosts["t.test"]))
		for range 3 {
			_, _, via = ask(t, p, http.MethodPost, "http://t.test/")
			assert.Equal(t, Name(urls[1]), via)
		}

		// What is not safe to repeat has its response.
		status, body, via = ask(t, p, http.MethodPost, "http://other.test/")
		assert.Equal(t, http.StatusForbidden, status)
		assert.Equal(t, "go away", body)
		assert.Equal(t, Name(urls[0]), via)
		assert.Len(t, p.Stats()[0].RestsForHosts, 2)

		// Each rest is longer, until one request is welcome.
		for _, want := range []time.Duration{2 * time.Minute, 4 * time.Minute} {
			time.Sleep(5 * time.Minute)
			assert.Empty(t, p.Stats()[0].RestsForHosts)
			ask(t, p, http.MethodGet, "http://t.test/")
			within(t, want, time.Until(p.Stats()[0].RestsForHosts["t.test"]))
		}
		m.set("a", good)
		p.CloseIdleConnections()
		time.Sleep(5 * time.Minute)
		_, _, via = ask(t, p, http.MethodGet, "http://t.test/")
		assert.Equal(t, Name(urls[0]), via)
		m.set("a", forbidden)
		p.CloseIdleConnections()
		synctest.Wait()
		ask(t, p, http.MethodGet, "http://t.test/")
		within(t, time.Minute, time.Until(p.Stats()[0].RestsForHosts["t.test"]))
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

func TestAllAreBanned(t *testing.T) {
	for _, c := range choosers {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.set("a", forbidden)
				m.set("b", forbidden)
				m.set("c", nil)
				p, err := New(memoryURLs("a", "b", "c"), WithTransport(m.base()), WithBan(bannedWith403), c.option, WithRest(time.Hour, time.Hour))
				require.NoError(t, err)
				status, body, _ := ask(t, p, http.MethodGet, "http://t.test/")
				assert.Equal(t, http.StatusForbidden, status, "the last response is the caller's")
				assert.Equal(t, "go away", body)
				for p.String() != "proxy pool: 3 proxies, 1 resting" || len(p.Stats()[0].RestsForHosts)+len(p.Stats()[1].RestsForHosts) < 2 {
					_, _, _ = ask(t, p, http.MethodGet, "http://t.test/")
				}
				err = send(p, http.MethodGet, "http://t.test/")
				require.ErrorIs(t, err, ErrNoProxy)
				assert.ErrorContains(t, err, "t.test")
				assert.NoError(t, send(p, http.MethodGet, "http://other.test/"))
				for _, s := range p.Stats() {
					assert.Zero(t, s.InFlight)
				}
				require.NoError(t, p.Replace(nil))
				synctest.Wait()
			})
		})
	}
}

// A request gets its response whole, however much of it was looked at.
func TestTheBodyOfAResponseIsLookedAt(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	long := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	to := target(t, protocols[0], func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			w.Header().Set("Content-Length", "300000")
		}
		_, _ = io.WriteString(w, long)
	})
	for read, n := range map[string]int64{"nothing": 0, "a part": 100, "all that it may": 1 << 30} {
		t.Run(read, func(t *testing.T) {
			var seen int
			pool := w.pool(urls, WithBan(func(resp *http.Response) bool {
				text, _ := io.ReadAll(io.LimitReader(resp.Body, n))
				seen = len(text)
				_ = resp.Body.Close()
				return false
			}))
			resp, err := pool.RoundTrip(request(t, http.MethodGet, to.URL, nil))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, long, string(got))
			assert.Equal(t, min(n, 64<<10), int64(seen))

			resp, err = pool.RoundTrip(request(t, http.MethodGet, to.URL+"/cut", nil))
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.NoError(t, resp.Body.Close())
			assert.Zero(t, pool.Stats()[0].InFlight)
		})
	}
}
