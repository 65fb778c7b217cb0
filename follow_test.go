package youproxy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestProxyURLs(t *testing.T) {
	t.Parallel()
	bad, noPort := bothPorts("a:b", hushed), youproxy.Proxy{ID: "2", Host: "192.0.2.2", SOCKS5Port: 9090}
	for _, test := range []struct {
		name    string
		proxies []youproxy.Proxy
		scheme  youproxy.Scheme
		want    []string
		skipped []youproxy.Proxy
	}{
		{"none", nil, http1, nil, nil},
		{"all", []youproxy.Proxy{sixProxy, openProxy}, http1, []string{"http://user:word@[2001:db8::1]:8081", "http://192.0.2.2:8082"}, nil},
		{"SOCKS5H", []youproxy.Proxy{openProxy}, socks5h, []string{"socks5h://192.0.2.2:9092"}, nil},
		{"some", []youproxy.Proxy{bad, sixProxy, noPort, openProxy}, http1, []string{"http://user:word@[2001:db8::1]:8081", "http://192.0.2.2:8082"}, []youproxy.Proxy{bad, noPort}},
		{"no one can be used", []youproxy.Proxy{bad}, http1, nil, []youproxy.Proxy{bad}},
	} {
		t.Run(test.name, func(t *testing.T) {
			urls, skipped := youproxy.ProxyURLs(test.proxies, test.scheme)
			assert.Equal(t, test.want, textsOf(urls))
			require.Len(t, skipped, len(test.skipped))
			for i, s := range skipped {
				assert.Equal(t, test.skipped[i], s.Proxy)
				require.ErrorIs(t, s.Err, youproxy.ErrNotUsable)
				assertTellsNoSecret(t, s.Err)
			}
		})
	}
	urls, skipped := youproxy.ProxyURLs([]youproxy.Proxy{openProxy}, "https")
	assert.Empty(t, urls)
	require.Len(t, skipped, 1)
	assert.NotErrorIs(t, skipped[0].Err, youproxy.ErrNotUsable, "the proxy is not at fault")
}

func textsOf(urls []*url.URL) (texts []string) {
	for _, u := range urls {
		texts = append(texts, u.String())
	}
	return texts
}

// followed is what FollowProxies calls.
type followed struct {
	mu     sync.Mutex
	lists  [][]string // those that replace was called with
	at     []time.Time
	events []youproxy.FollowEvent
	fail   error // of replace
}

func (f *followed) replace(urls []*url.URL) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists = append(f.lists, textsOf(urls))
	return f.fail
}

func (f *followed) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *followed) tell(e youproxy.FollowEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events, f.at = append(f.events, e), append(f.at, time.Now())
}

// taken returns the lists, and times when events were told.
func (f *followed) taken() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lists)
}

func (f *followed) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.at)
}

// last returns the last event, and how many there were.
func (f *followed) last() (youproxy.FollowEvent, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.events) == 0 {
		return youproxy.FollowEvent{}, 0
	}
	return f.events[len(f.events)-1], len(f.events)
}

// inBubble runs test in a bubble with a server that has sold what orders says.
func inBubble(t *testing.T, test func(t *testing.T, s *youproxytest.Server, c *youproxy.Client), orders ...youproxytest.Order) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		for _, o := range orders {
			s.AddOrder(o)
		}
		c, err := s.Client(youproxy.WithReadRetries(0))
		require.NoError(t, err)
		test(t, s, c)
	})
}

var twoIPv4 = youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2, RentPeriodDays: 30}

func TestFollowProxies(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &followed{}
		done, err := c.FollowProxies(ctx, youproxy.Follow{Every: time.Hour, Tell: f.tell}, f.replace)
		require.NoError(t, err)
		e, n := f.last()
		assert.Equal(t, 1, n, "the first list is taken before it returns")
		assert.Equal(t, youproxy.FollowEvent{Used: 2}, e)
		require.Len(t, f.taken(), 1)
		assert.Len(t, f.taken()[0], 2)

		s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "USA", Quantity: 3, Protocol: youproxy.ProtocolSOCKS, RentPeriodDays: 1})
		for range 20 {
			time.Sleep(66*time.Minute + time.Second)
		}
		e, n = f.last()
		assert.Equal(t, youproxy.FollowEvent{Used: 5}, e)
		assert.Len(t, f.taken()[1], 5)
		assert.Equal(t, f.taken()[1][:2], f.taken()[0])
		assert.GreaterOrEqual(t, n, 21)
		pauses := map[time.Duration]bool{}
		for i := range n - 1 {
			pause := f.times()[i+1].Sub(f.times()[i])
			assert.GreaterOrEqual(t, pause, 54*time.Minute)
			assert.LessOrEqual(t, pause, 66*time.Minute)
			pauses[pause] = true
		}
		assert.Greater(t, len(pauses), n/2, "the pauses differ")

		time.Sleep(6 * time.Hour)
		e, _ = f.last()
		assert.Equal(t, youproxy.FollowEvent{Used: 2}, e, "the order of a day has ended")

		cancel()
		<-done
		_, n = f.last()
		time.Sleep(48 * time.Hour)
		_, later := f.last()
		assert.Equal(t, n, later)
		assert.Len(t, f.taken(), n)
	}, twoIPv4)
}

func TestFollowProxiesKeepsTheListBefore(t *testing.T) {
	t.Parallel()
	refused := errors.New("it is not taken")
	for _, test := range []struct {
		name  string
		begin func(s *youproxytest.Server, f *followed)
		is    error
		lists int // that replace is called with
	}{
		{"the call fails", func(s *youproxytest.Server, _ *followed) { s.Inject("GET /ipAddress", youproxytest.BadGateway) }, nil, 2},
		{"the list breaks off", func(s *youproxytest.Server, _ *followed) { s.Inject("GET /ipAddress", youproxytest.Truncated) }, nil, 2},
		{"replace fails", func(_ *youproxytest.Server, f *followed) { f.failWith(refused) }, refused, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				f := &followed{}
				done, err := c.FollowProxies(ctx, youproxy.Follow{Tell: f.tell}, f.replace)
				require.NoError(t, err)
				test.begin(s, f)
				time.Sleep(330*time.Second + time.Second) // 5 minutes and a tenth
				e, n := f.last()
				assert.Equal(t, 2, n)
				require.Error(t, e.Err)
				assert.ErrorContains(t, e.Err, "youproxy: ")
				assert.Zero(t, e.Used)
				if test.is != nil {
					assert.ErrorIs(t, e.Err, test.is)
				}
				f.failWith(nil)
				time.Sleep(331 * time.Second)
				e, n = f.last()
				assert.GreaterOrEqual(t, n, 3)
				assert.Equal(t, youproxy.FollowEvent{Used: 2}, e, "it goes on")
				cancel()
				<-done
				assert.Len(t, f.taken(), test.lists+n-3)
			}, twoIPv4)
		})
	}
}

func TestFollowProxiesOfAnEmptyList(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			f := &followed{}
			done, err := c.FollowProxies(ctx, youproxy.Follow{Every: 24 * time.Hour, AllowEmpty: allowed, Tell: f.tell}, f.replace)
			require.NoError(t, err)
			time.Sleep(60 * time.Hour)
			cancel()
			<-done
			e, _ := f.last()
			if allowed {
				assert.Equal(t, youproxy.FollowEvent{}, e)
				assert.Empty(t, f.taken()[len(f.taken())-1])
			} else {
				assert.ErrorIs(t, e.Err, youproxy.ErrEmptyList)
				for _, list := range f.taken() {
					assert.Len(t, list, 1, "the list before stays")
				}
			}
		}, youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1, RentPeriodDays: 1})
	}
}

// What is wrong with the first list is told at once, and nothing is left running.
func TestFollowProxiesWithoutAFirstList(t *testing.T) {
	t.Parallel()
	refused := errors.New("it is not taken")
	for _, test := range []struct {
		name   string
		follow youproxy.Follow
		begin  func(s *youproxytest.Server, f *followed)
		is     error
		text   string
	}{
		{"the call fails", youproxy.Follow{}, func(s *youproxytest.Server, _ *followed) { s.Inject("GET /ipAddress", youproxytest.BadGateway) }, nil, "502"},
		{"replace fails", youproxy.Follow{}, func(_ *youproxytest.Server, f *followed) { f.failWith(refused) }, refused, "the list was not used"},
		{"no proxy is selected", youproxy.Follow{Select: func(youproxy.Proxy) bool { return false }}, nil, youproxy.ErrEmptyList, "the list has no proxy that can be used"},
		{"no proxy of the type", youproxy.Follow{Query: youproxy.ProxyQuery{ProxyType: youproxy.ProxyTypeISP}}, nil, youproxy.ErrEmptyList, "no proxy"},
		{"no proxy can be used", youproxy.Follow{Query: youproxy.ProxyQuery{ProxyType: youproxy.ProxyTypeIPv6}, Scheme: http1}, nil, youproxy.ErrEmptyList, "all 3 are skipped, the first because proxy 1111111111111111113 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
				f := &followed{}
				if test.begin != nil {
					test.begin(s, f)
				}
				test.follow.Tell = f.tell
				done, err := c.FollowProxies(t.Context(), test.follow, f.replace)
				require.Error(t, err)
				assert.Nil(t, done)
				assert.ErrorContains(t, err, "youproxy: ")
				assert.ErrorContains(t, err, test.text)
				if test.is != nil {
					assert.ErrorIs(t, err, test.is)
				}
				e, n := f.last()
				assert.Equal(t, 1, n)
				assert.Equal(t, err, e.Err)
				synctest.Wait()
				time.Sleep(time.Hour)
				_, n = f.last()
				assert.Equal(t, 1, n)
			}, twoIPv4, youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "USA", Quantity: 3, Protocol: youproxy.ProtocolSOCKS, RentPeriodDays: 30})
		})
	}
}

func TestFollowProxiesChecksWhatItIsGiven(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
		_, err := c.FollowProxies(t.Context(), youproxy.Follow{Every: -1, Scheme: "https"}, nil)
		var wrong *youproxy.ValidationError
		require.ErrorAs(t, err, &wrong)
		var fields []string
		for _, f := range wrong.Fields {
			fields = append(fields, f.Field+" "+f.Rule)
		}
		assert.Equal(t, []string{"every range", "scheme unknown", "replace required"}, fields)

		var none *youproxy.Client
		var noContext context.Context
		for _, follow := range []func() (<-chan struct{}, error){
			func() (<-chan struct{}, error) {
				return none.FollowProxies(t.Context(), youproxy.Follow{}, new(followed).replace)
			},
			func() (<-chan struct{}, error) {
				return c.FollowProxies(noContext, youproxy.Follow{}, new(followed).replace)
			},
		} {
			done, err := follow()
			assert.Nil(t, done)
			var failed *youproxy.CallError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, youproxy.OutcomeNotSent, failed.Outcome)
		}
		assert.Empty(t, s.Requests())
	})
}

func TestFollowProxiesOnce(t *testing.T) {
	t.Parallel()
	for range 20 { // the pause is a random one
		inBubble(t, func(t *testing.T, _ *youproxytest.Server, c *youproxy.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			f := &followed{}
			done, err := c.FollowProxies(ctx, youproxy.Follow{Every: math.MaxInt64, Tell: f.tell}, f.replace)
			require.NoError(t, err)
			time.Sleep(24 * 365 * time.Hour)
			cancel()
			<-done
			_, n := f.last()
			assert.Equal(t, 1, n)
		}, twoIPv4)
	}
}

func TestFollowProxiesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		inBubble(t, func(t *testing.T, _ *youproxytest.Server, c *youproxy.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			f := &followed{}
			_, err := c.FollowProxies(ctx, youproxy.Follow{Tell: f.tell}, f.replace)
			require.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, f.taken())
		}, twoIPv4)
	})
	t.Run("while a list is read", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			f := &followed{}
			done, err := c.FollowProxies(ctx, youproxy.Follow{Tell: f.tell}, f.replace)
			require.NoError(t, err)
			s.Inject("GET /ipAddress", youproxytest.Slow)
			for len(s.Requests()) < 2 {
				time.Sleep(time.Second)
			}
			cancel()
			began := time.Now()
			<-done
			assert.Zero(t, time.Since(began))
			assert.Len(t, f.taken(), 1)
			_, n := f.last()
			assert.Equal(t, 1, n, "to be stopped is no failure")
		}, twoIPv4)
	})
}

// listing is a client whose list is two proxies, of which the first ends at end.
func listing(t *testing.T, end time.Time, date string, opts ...youproxy.Option) *youproxy.Client {
	return clientFor(t, append(opts, youproxy.WithHTTPClient(&http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		body := inEnvelope(`"ipv4": [
			{"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 80, "authInfo": {"login": "user", "password": "` + hushed + `"}, "dateEnd": "` + end.UTC().Format(time.RFC3339) + `"},
			{"ipAddressId": "2", "ip": "192.0.2.2", "httpsPort": 80}]`)
		return stubReply(r, http.StatusOK, body, "Date", date), nil
	})}))...)
}

// The list may still have proxies whose rent has ended. The clock that counts is that of
// the service.
func TestFollowProxiesSkipsWhatHasEnded(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		date  string
		end   time.Time
		ended bool
	}{
		{"ended by the service's clock", at.Format(http.TimeFormat), at, true},
		{"not ended by the service's clock", at.Format(http.TimeFormat), at.Add(time.Second), false},
		{"ended, where the service tells no time", "", time.Now().Add(-time.Minute), true},
		{"not ended, where the service tells no time", "", time.Now().Add(time.Hour), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			f := &followed{}
			done, err := listing(t, test.end, test.date).FollowProxies(ctx, youproxy.Follow{Tell: f.tell}, f.replace)
			require.NoError(t, err)
			cancel()
			<-done
			e, _ := f.last()
			if !test.ended {
				assert.Equal(t, youproxy.FollowEvent{Used: 2}, e)
				return
			}
			assert.Equal(t, [][]string{{"http://192.0.2.2:80"}}, f.taken())
			require.Len(t, e.Skipped, 1)
			assert.Equal(t, youproxy.IPAddressID("1"), e.Skipped[0].Proxy.ID)
			assert.ErrorIs(t, e.Skipped[0].Err, youproxy.ErrNotUsable)
			assert.ErrorContains(t, e.Skipped[0].Err, "its rent period ended at ")
		})
	}
}

// Without a function to tell, the logger is told: numbers alone, for the error of a
// caller's function may hold passwords.
func TestFollowProxiesLogs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		replace func([]*url.URL) error
		want    string
	}{
		{"taken", func([]*url.URL) error { return nil }, `level=INFO msg="youproxy: the list of proxies was used" proxies=1 skipped=1` + "\n"},
		{"not taken", func(urls []*url.URL) error { return errors.New(hushed) }, `level=WARN msg="youproxy: the list of proxies was not used" skipped=1 empty=false` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))
			ctx, cancel := context.WithCancel(t.Context())
			done, err := listing(t, time.Now().Add(-time.Hour), "", youproxy.WithLogger(logger)).FollowProxies(ctx, youproxy.Follow{}, test.replace)
			cancel()
			if err == nil {
				<-done
			}
			assert.Equal(t, test.want, log.String())
		})
	}
}

func TestFollowProxiesFillsAPool(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *youproxytest.Server, c *youproxy.Client) {
		pool, err := proxypool.New(nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done, err := c.FollowProxies(ctx, youproxy.Follow{}, pool.Replace)
		require.NoError(t, err)
		assert.Len(t, pool.Stats(), 2)
		s.AddOrder(twoIPv4)
		time.Sleep(331 * time.Second)
		assert.Len(t, pool.Stats(), 4)
		cancel()
		<-done
	}, twoIPv4)
}
