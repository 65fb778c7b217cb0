package youproxy_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// assertUnlocked holds that the lock of the journal is free.
func assertUnlocked(t *testing.T, m *market) {
	t.Helper()
	assert.Empty(t, m.journal.turn)
}

// drip is a body that comes in pieces, with a pause before each.
type drip struct {
	ctx    context.Context
	pieces []string
	pause  time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.pieces) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(d.pause):
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
	n := copy(p, d.pieces[0])
	d.pieces = d.pieces[1:]
	return n, nil
}

func (d *drip) Close() error { return nil }

// drips lets the list come in pieces.
func drips(pieces int, pause time.Duration) youproxy.Option {
	return youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil || opOf(r) != "GET /ipAddress" {
				return resp, err
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return resp, err
			}
			_ = resp.Body.Close()
			d := &drip{ctx: r.Context(), pause: pause}
			for i := range pieces {
				d.pieces = append(d.pieces, string(body[i*len(body)/pieces:(i+1)*len(body)/pieces]))
			}
			resp.Body, resp.ContentLength = d, -1
			return resp, nil
		})
	})
}

// A list that goes on and on holds the lock for a minute at most.
func TestAListThatDripsStopsThePurchase(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, time.Minute, time.Since(started))
		assert.ErrorContains(t, err, "what the account holds could not be read: ")
		assert.ErrorContains(t, err, "the list did not end within 1m0s")
		assert.Empty(t, m.recorded)
		assertUnlocked(t, m)
	}, drips(13, 5*time.Second))
	t.Run("one that ends in time", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			_, err := b.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assertExecuted(t, m, b)
		}, drips(11, 5*time.Second))
	})
}

// Neither does a quote, however long a reply may take otherwise.
func TestASlowQuoteStopsThePurchase(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.quoteOp(), youproxytest.Slow)
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, 30*time.Second, time.Since(started))
		assert.ErrorContains(t, err, "the quote failed: ")
		assert.ErrorContains(t, err, "no reply came within 30s")
		assert.Empty(t, m.recorded)
		assertUnlocked(t, m)
	}, youproxy.WithTimeouts(youproxy.Timeouts{Read: 10 * time.Minute}))
}

// Nor does a balance, where the quote tells none.
func TestASlowBalanceStopsThePurchase(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject("GET /balance", youproxytest.Slow)
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, 30*time.Second, time.Since(started))
		assert.ErrorContains(t, err, "what the account holds could not be read: ")
		assertUnlocked(t, m)
	}, youproxy.WithTimeouts(youproxy.Timeouts{Read: 10 * time.Minute}), youproxytest.WithNullBalances())
}

// What was quoted more than a minute before is quoted again; a second quote that is as old
// stops the purchase.
func TestAQuoteThatIsOld(t *testing.T) {
	t.Parallel()
	type pauses map[string]time.Duration // by op
	for _, tc := range []struct {
		name   string
		pauses func(b buying) pauses
		ops    func(b buying) []string
		stops  bool
	}{
		{
			"a minute", func(buying) pauses { return pauses{"GET /ipAddress": time.Minute} },
			buying.calls, false,
		},
		{
			"more than a minute", func(buying) pauses { return pauses{"GET /ipAddress": time.Minute + 1} },
			func(b buying) []string {
				calls := b.calls()
				quotes := calls[:len(calls)-2]
				return append(append(append([]string{}, calls[:len(calls)-1]...), quotes...), b.op)
			}, false,
		},
		{
			"again more than a minute", func(b buying) pauses { return pauses{b.quoteOp(): time.Minute + 1} },
			func(b buying) []string {
				if len(b.calls()) > 3 { // that of one alone comes too late
					return []string{b.quoteOp()}
				}
				return []string{b.quoteOp(), "GET /ipAddress", b.quoteOp()}
			}, true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range buyings {
				t.Run(b.name, func(t *testing.T) {
					slow := tc.pauses(b)
					inMarket(t, func(t *testing.T, m *market) {
						got, err := b.buy(t.Context(), m, m.client)
						assert.Equal(t, tc.ops(b), m.ops())
						assertUnlocked(t, m)
						if !tc.stops {
							require.NoError(t, err)
							assertExecuted(t, m, b)
							return
						}
						assertNothingSent(t, m, m.opened, got, err)
						if len(b.calls()) == 3 {
							assert.ErrorContains(t, err, "the quote was more than a minute old when it came")
						}
						assert.Empty(t, m.recorded)
					}, youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { time.Sleep(slow[e.Op]) }))
				})
			}
		})
	}
}

// The second quote counts, and not the first.
func TestAQuoteThatIsOldIsHeldAgainstTheLimitAnew(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.after["GET /ipAddress"] = func() {
			m.changeQuote(b, "price", less(b.limit(), "-0.01").Amount.InexactFloat64())
		}
		got, err := b.buy(t.Context(), m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, youproxy.ErrPriceAboveLimit)
		assertUnlocked(t, m)
	}, youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
		if e.Op == "GET /ipAddress" {
			time.Sleep(2 * time.Minute)
		}
	}))
}

// What was recorded too late is not sent: others may not wait for it any more.
func TestARecordThatIsTooSlowStopsThePurchase(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		record func(ctx context.Context) error
		after  time.Duration
		text   string
	}{
		{"it ends with its context", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, 10 * time.Second, "the attempt could not be recorded: context deadline exceeded"},
		{"it does not", func(context.Context) error {
			time.Sleep(11 * time.Second)
			return nil
		}, 11 * time.Second, "the attempt could not be recorded: the journal took longer than 10s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				slow := true
				m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
					if slow {
						slow = false
						return tc.record(ctx)
					}
					return m.record(ctx, e)
				}
				started := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorContains(t, err, tc.text)
				assert.Equal(t, tc.after, time.Since(started))
				_, err = m.client.Recover(t.Context())
				require.NoError(t, err)
				for _, e := range m.journal.all() {
					assert.Equal(t, youproxy.EntryNotExecuted, e.State)
				}
				assertUnlocked(t, m)
			})
		})
	}
	t.Run("it is just fast enough", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.journal.onRecord = func(context.Context, youproxy.Entry) error {
				time.Sleep(10*time.Second - 1)
				return nil
			}
			_, err := b.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assertExecuted(t, m, b)
		})
	})
}

// countedConn counts what is written.
type countedConn struct {
	net.Conn

	written *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// What gets no connection within ten seconds after it was recorded is not sent.
func TestConnectingThatTakesTooLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		connect time.Duration
		sent    bool
	}{
		{"ten seconds", 10 * time.Second, true},
		{"more", 10*time.Second + 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				var pause time.Duration
				var written atomic.Int64
				transport := m.Transport().(*http.Transport).Clone()
				defer transport.CloseIdleConnections()
				transport.DisableKeepAlives = true
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					time.Sleep(pause)
					conn, err := dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return countedConn{conn, &written}, nil
				}
				client := m.anotherClient(t, youproxy.WithHTTPClient(&http.Client{Transport: transport}), youproxy.WithJournal(m.journal))
				m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
					pause = tc.connect
					written.Store(0)
					return m.record(ctx, e)
				}
				got, err := b.buy(t.Context(), m, client)
				assertUnlocked(t, m)
				if tc.sent {
					require.NoError(t, err)
					assertExecuted(t, m, b)
					return
				}
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
				assert.ErrorContains(t, err, "more than 10s had passed since the attempt was recorded: it was not sent")
				assert.Zero(t, written.Load())
				assertSettled(t, m, youproxy.EntryNotExecuted, time.Now())
			})
		})
	}
	t.Run("a middleware that waits", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			client, err := m.client.With(youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
				return stubTransport(func(r *http.Request) (*http.Response, error) {
					if opOf(r) == b.op {
						time.Sleep(11 * time.Second)
					}
					return next.RoundTrip(r)
				})
			}))
			require.NoError(t, err)
			got, err := b.buy(t.Context(), m, client)
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorContains(t, err, "more than 10s had passed")
			assertUnlocked(t, m)
		})
	})
}

// hangingJournal is a journal that can be locked, and hangs when it is read.
type hangingJournal struct{ *testJournal }

func (hangingJournal) Entries(ctx context.Context, _ youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		<-ctx.Done()
		yield(youproxy.Entry{}, ctx.Err())
	}
}

// A journal that hangs while it is read does not hold the lock for longer than half a
// minute.
func TestAJournalThatIsReadTooSlowly(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		client, err := m.client.With(youproxy.WithJournal(hangingJournal{m.journal}))
		require.NoError(t, err)
		started := time.Now()
		got, err := buyISP.buy(t.Context(), m, client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, 30*time.Second, time.Since(started))
		assert.ErrorContains(t, err, "the journal could not be read")
		assertUnlocked(t, m)
	})
}

// Where the last record fails, it is tried again for half a minute; then the purchase is
// returned all the same, and recorded at the next turn.
func TestAPurchaseThatCannotBeSettledIsReturned(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		log.Reset()
		broken := true
		m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
			if broken && e.State != youproxy.EntryOpen {
				return errors.New("the disk is full")
			}
			return m.record(ctx, e)
		}
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.NotNil(t, got)
		assertExecuted(t, m, b)
		assert.InDelta(t, 30, time.Since(started).Seconds(), 1)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
		assert.Contains(t, log.String(), "level=ERROR")
		assertUnlocked(t, m)
		broken = false
		_, err = m.client.CreateOrder(t.Context(), anISPOrder())
		require.NoError(t, err)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryExecuted, youproxy.EntryExecuted}, m.journal.states())
	}, youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
}
