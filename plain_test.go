package youproxy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// plainCall is one of the calls that spend without a guard.
type plainCall struct {
	name      string
	op        string
	proxyType youproxy.ProxyType // that the journal knows
	buying    buying             // what it is the same as
	make      func(ctx context.Context, m *market, c *youproxy.Client) error
}

var plainCalls = []plainCall{
	{"CreateOrder", "POST /order", youproxy.ProxyTypeISP, buyISP, func(ctx context.Context, _ *market, c *youproxy.Client) error {
		_, err := c.CreateOrder(ctx, anISPOrder())
		return err
	}},
	{"Extend by IPs", "POST /extend", youproxy.ProxyTypeIPv4, renewIPs, func(ctx context.Context, m *market, c *youproxy.Client) error {
		_, err := c.Extend(ctx, renewIPs.extend(m))
		return err
	}},
	{"Extend by orders", "POST /extend/order", youproxy.ProxyTypeIPv6, buyings[5], func(ctx context.Context, m *market, c *youproxy.Client) error {
		_, err := c.Extend(ctx, buyings[5].extend(m))
		return err
	}},
	{"Call", "POST /order", "", buyISP, func(ctx context.Context, _ *market, c *youproxy.Client) error {
		return c.Call(ctx, http.MethodPost, "/order", nil, map[string]any{
			"proxyType": "ISP", "quantity": 3, "rentPeriodDays": 30, "country": "GBR", "goal": "ad checks", "authType": "LOGIN",
		}, nil)
	}},
}

func forEachPlainCall(t *testing.T, f func(t *testing.T, m *market, p plainCall), opts ...any) {
	for _, p := range plainCalls {
		t.Run(p.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) { f(t, m, p) }, opts...)
		})
	}
}

// What spends without a guard is written into the journal before it leaves, too, and what
// became of it after.
func TestPlainCallsAreInTheJournal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		arrange func(m *market, op string)
		outcome youproxy.Outcome
		state   youproxy.EntryState
		note    string
		unsent  bool
	}{
		{"done", func(*market, string) {}, youproxy.OutcomeDone, youproxy.EntryExecuted, "", false},
		{"a documented refusal", func(m *market, op string) { m.Refuse(op, 16) }, youproxy.OutcomeRejected, youproxy.EntryNotExecuted, "", false},
		{
			"an unknown code", func(m *market, op string) { m.Refuse(op, 99) },
			youproxy.OutcomeRejected, youproxy.EntryDismissed, "rejected by what may not be the service", false,
		},
		{
			"a page", func(m *market, op string) { m.Inject(op, youproxytest.Forbidden) },
			youproxy.OutcomeRejected, youproxy.EntryDismissed, "rejected by what may not be the service", false,
		},
		{
			"a page after it was executed", func(m *market, op string) { m.Inject(op, youproxytest.RejectAfterCommit) },
			youproxy.OutcomeRejected, youproxy.EntryDismissed, "rejected by what may not be the service", false,
		},
		{"a lost reply", func(m *market, op string) { m.Inject(op, youproxytest.DropAfterCommit) }, youproxy.OutcomeUnknown, youproxy.EntryOpen, "", false},
		{"a lost request", func(m *market, op string) { m.Inject(op, youproxytest.DropBeforeCommit) }, youproxy.OutcomeUnknown, youproxy.EntryOpen, "", false},
		{"a timeout", func(m *market, op string) { m.Inject(op, youproxytest.Slow) }, youproxy.OutcomeUnknown, youproxy.EntryOpen, "", false},
		{"a fault of the service", func(m *market, op string) { m.Refuse(op, 35) }, youproxy.OutcomeUnknown, youproxy.EntryOpen, "", false},
		{"a gateway", func(m *market, op string) { m.Inject(op, youproxytest.BadGateway) }, youproxy.OutcomeUnknown, youproxy.EntryOpen, "", false},
		{"not sent", nil, youproxy.OutcomeNotSent, youproxy.EntryNotExecuted, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachPlainCall(t, func(t *testing.T, m *market, p plainCall) {
				now := time.Now()
				client := m.client
				if tc.unsent {
					var err error
					client, err = m.client.With(youproxy.WithMiddleware(func(http.RoundTripper) http.RoundTripper {
						return stubTransport(func(*http.Request) (*http.Response, error) { return nil, errors.New("no connection") })
					}))
					require.NoError(t, err)
				} else {
					tc.arrange(m, p.op)
				}
				err := p.make(t.Context(), m, client)
				assert.Equal(t, tc.outcome, youproxy.OutcomeOf(err), "%v", err)
				require.Len(t, m.recorded, 1)
				assert.Equal(t, []int{0}, m.sentThen, "it is recorded before it is sent")
				a := m.recorded[0]
				assert.Equal(t, []any{2, p.op, p.proxyType}, []any{a.Version, a.Op, a.ProxyType})
				assert.NotEmpty(t, a.ID)
				assert.Len(t, a.Request, 64)
				assert.Len(t, a.Account, 8)
				assert.True(t, now.Equal(a.At))
				assert.Zero(t, a.Before)
				assert.True(t, a.Price.IsZero())

				require.Len(t, m.journal.all(), 1)
				e := m.journal.all()[0]
				assert.Equal(t, tc.state, e.State)
				assert.Equal(t, tc.note, e.Note)
				assert.Equal(t, tc.state == youproxy.EntryOpen, e.SettledAt.IsZero())
				assert.Nil(t, e.Charged)
				if tc.unsent {
					assert.Empty(t, m.sends())
				} else {
					assert.Equal(t, []string{p.op}, m.ops(), "no quote, no list")
				}
				switch {
				case tc.state != youproxy.EntryExecuted || p.name == "Call":
					assert.Empty(t, e.OrderNumber)
					assert.Empty(t, e.IPAddressIDs)
				case p.buying.isOrder():
					assert.Equal(t, m.lastOrder().Number, e.OrderNumber)
				default:
					assert.Equal(t, m.Extensions()[0].IPAddressIDs, e.IPAddressIDs)
				}
			})
		})
	}
}

// A Call that reads is in no journal.
func TestCallsThatReadAreInNoJournal(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.journal.onLock = func(context.Context) error { return errors.New("the disk is full") }
		require.NoError(t, m.client.Call(t.Context(), http.MethodGet, "/balance", nil, nil, nil))
		assert.Empty(t, m.journal.all())
	})
}

// Where nothing can be written down, nothing is spent.
func TestAJournalThatFailsStopsPlainCalls(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("the disk is full")
	for name, arrange := range map[string]func(m *market){
		"it cannot lock":   func(m *market) { m.journal.onLock = func(context.Context) error { return errDisk } },
		"it cannot record": func(m *market) { m.journal.onRecord = recordFails(errDisk) },
		"it records too slowly": func(m *market) {
			m.journal.onRecord = func(ctx context.Context, _ youproxy.Entry) error {
				<-ctx.Done()
				return errDisk
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			forEachPlainCall(t, func(t *testing.T, m *market, p plainCall) {
				arrange(m)
				err := p.make(t.Context(), m, m.client)
				require.ErrorIs(t, err, errDisk)
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.Empty(t, m.ops())
				assert.Equal(t, m.opened, m.ledger())
				assertUnlocked(t, m)
			})
		})
	}
}

// A budget does not hold for plain calls, which is worth a warning.
func TestPlainCallsBesideABudgetAreLogged(t *testing.T) {
	t.Parallel()
	const logged = `level=WARN msg="youproxy: a plain call spends without the budget" attempt.id=`
	for _, budget := range []bool{false, true} {
		for _, p := range plainCalls {
			t.Run(p.name, func(t *testing.T) {
				var log bytes.Buffer
				opts := []any{youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}
				if budget {
					opts = append(opts, youproxy.WithBudget(youproxy.MustMoney("0.01 USD"), time.Hour))
				}
				inMarket(t, func(t *testing.T, m *market) {
					require.NoError(t, p.make(t.Context(), m, m.client))
					if budget {
						assert.Contains(t, log.String(), logged+m.recorded[0].ID)
					} else {
						assert.NotContains(t, log.String(), "budget")
					}
				}, opts...)
			})
		}
	}
}

// A plain call of which no reply came stops purchases of its type, those of a Call of any,
// until its patience is over. Then it is dismissed, and others go on.
func TestAPlainCallOfUnknownOutcomeStopsPurchasesForAWhile(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		forEachPlainCall(t, func(t *testing.T, m *market, p plainCall) {
			m.Inject(p.op, fault)
			require.ErrorIs(t, p.make(t.Context(), m, m.client), youproxy.ErrOutcomeUnknown)
			sent := len(m.ops())
			for _, b := range buyings {
				if p.proxyType != "" && p.proxyType != b.proxies {
					continue
				}
				_, err := b.buy(t.Context(), m, m.client)
				var pending *youproxy.PendingError
				require.ErrorAs(t, err, &pending, b.name)
				assert.Equal(t, m.recorded[0], pending.Attempt)
				assert.ErrorContains(t, err, "its outcome is not known yet: it stops others until its timeout and the patience are over")
				assert.ErrorContains(t, err, "nothing was spent")
				assert.Len(t, m.ops(), sent)
			}
			other := buyMobile
			if p.proxyType != "" {
				_, err := other.buy(t.Context(), m, m.client)
				require.NoError(t, err, "of another type")
			}
			require.NoError(t, p.make(t.Context(), m, m.client), "plain calls are not stopped")
			time.Sleep(4*time.Minute - time.Second)
			_, err := p.buying.buy(t.Context(), m, m.client)
			require.ErrorIs(t, err, youproxy.ErrPending, "Timeouts.Spend and the patience are not over")
			time.Sleep(time.Second)
			_, err = p.buying.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			e := m.journal.all()[0]
			assert.Equal(t, youproxy.EntryDismissed, e.State)
			assert.Equal(t, "plain call, outcome not known", e.Note)
		}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
	}
}

// Nor is what a plain call did taken for what a purchase did.
func TestWhatAPlainCallDidIsNoPurchase(t *testing.T) {
	t.Parallel()
	forEachPlainCall(t, func(t *testing.T, m *market, p plainCall) {
		m.Inject(p.op, youproxytest.CommitLate)
		require.ErrorIs(t, p.make(t.Context(), m, m.client), youproxy.ErrOutcomeUnknown)
		time.Sleep(4*time.Minute + time.Second)
		m.Inject(p.op, youproxytest.DropBeforeCommit)
		got, err := p.buying.buy(t.Context(), m, m.client)
		assert.Nil(t, got, "it was not executed")
		assert.Error(t, err)
		assert.NotErrorIs(t, err, youproxy.ErrPending)
	}, youproxytest.WithCommitDelay(5*time.Minute))
}
