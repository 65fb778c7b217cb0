package youproxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// withJournal gives another client with the same journal, as after a restart, or in another
// process.
func (m *market) withJournal(t *testing.T, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	return m.anotherClient(t, append([]youproxy.Option{youproxy.WithMiddleware(m.around), youproxy.WithJournal(m.journal)}, opts...)...)
}

// forNumbers runs f with lists that tell the numbers of orders, and with others.
func forNumbers(t *testing.T, f func(t *testing.T, m *market, numbers bool), opts ...any) {
	for _, numbers := range []bool{true, false} {
		t.Run(fmt.Sprintf("numbers %t", numbers), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if !numbers {
					m.SetListShape(noNumbers)
				}
				f(t, m, numbers)
			}, opts...)
		})
	}
}

// After a restart, what was bought later is not taken for the attempt's.
func TestLaterPurchasesAfterARestart(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropBeforeCommit, youproxytest.DropAfterCommit} {
		for _, later := range []time.Duration{0, time.Hour, 20 * time.Hour} {
			t.Run(fmt.Sprintf("%s, %s later", fault, later), func(t *testing.T) {
				forNumbers(t, func(t *testing.T, m *market, _ bool) {
					a := anAttemptOf(t, m, buyISP, fault)
					first := m.lastOrder().ID
					time.Sleep(theTimeout + thePatience + time.Second)
					second := m.withJournal(t)
					_, err := second.Buy(t.Context(), anISPOrder(), buyISP.limit(), youproxy.IdempotencyKey("second"))
					if err != nil { // it waits for the first one, as this process has to
						require.ErrorIs(t, err, youproxy.ErrPending)
						time.Sleep(theTimeout + thePatience + time.Second)
						_, err = second.Buy(t.Context(), anISPOrder(), buyISP.limit(), youproxy.IdempotencyKey("second"))
					}
					require.NoError(t, err)
					time.Sleep(later)

					found, err := m.withJournal(t).Reconcile(t.Context(), a)
					require.NoError(t, err)
					if fault == youproxytest.DropBeforeCommit {
						assert.Equal(t, youproxy.VerdictNotExecuted, found.Verdict)
						assert.Equal(t, youproxy.EntryNotExecuted, m.entry(a.ID).State)
						return
					}
					require.Equal(t, youproxy.VerdictExecuted, found.Verdict, found.Evidence.String())
					assert.Contains(t, []youproxy.OrderID{first, ""}, found.Purchase.OrderID)
					assertMoney(t, buyISP.price, *found.Purchase.Charged)
				}, youproxytest.WithProvisioningDelay(30*time.Second))
			})
		}
	}
}

// The order of the process that had the lock just before is not taken for the one whose
// reply was lost, though it shows first.
func TestTheOrderOfTheProcessBefore(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		for _, apart := range []time.Duration{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute} {
			for _, offset := range []time.Duration{0, 7 * time.Second} { // of the first from a whole minute
				t.Run(fmt.Sprintf("%s, %s apart, at %s", fault, apart, offset), func(t *testing.T) {
					forNumbers(t, func(t *testing.T, m *market, numbers bool) {
						time.Sleep(offset)
						if apart == 5*time.Second {
							m.reverseList() // whatever the order of the list
						}
						_, err := m.withJournal(t).Buy(t.Context(), anISPOrder(), buyISP.limit())
						require.NoError(t, err)
						theirs := m.lastOrder().ID
						time.Sleep(apart)
						m.Inject("POST /order", fault)
						purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
						if fault == youproxytest.DropBeforeCommit {
							assertFailed(t, m, err, youproxy.VerdictNotExecuted)
							return
						}
						require.NoError(t, err)
						assert.True(t, purchase.Recovered)
						assertMoney(t, buyISP.price, *purchase.Charged)
						assert.NotEqual(t, theirs, purchase.OrderID)
						if numbers || apart > time.Minute || apart > 0 && offset > 0 { // it is known which one is whose
							assert.Equal(t, m.lastOrder().ID, purchase.OrderID)
						} else {
							assert.Empty(t, purchase.OrderID)
						}
					}, youproxytest.WithProvisioningDelay(50*time.Second))
				})
			}
		}
	}
}

// rivalry is an order whose reply was lost, and others of the journal that may have
// placed what came.
type rivalry struct {
	name   string
	rivals []func(youproxy.Attempt) youproxy.Entry
	change func(youproxy.Attempt) youproxy.Attempt
	came   int // beside the attempt's own
	want   youproxy.Verdict
	known  bool // which order it is
	early  bool // executed where the other was recorded, and so perhaps paid, before
}

// Where the list has no numbers, as many orders must have come as entries may have placed.
func TestAsManyOrdersAsEntries(t *testing.T) {
	t.Parallel()
	executed := func(a youproxy.Attempt) youproxy.Entry {
		return youproxy.Entry{Attempt: a, State: youproxy.EntryExecuted, OrderNumber: "UNLISTED", Charged: new(youproxy.MustMoney("7.2 USD"))}
	}
	inState := func(s youproxy.EntryState) func(youproxy.Attempt) youproxy.Entry {
		return func(a youproxy.Attempt) youproxy.Entry { return youproxy.Entry{Attempt: a, State: s} }
	}
	other := func(a youproxy.Attempt) youproxy.Attempt { a.Country = "USA"; return a }
	blind := func(a youproxy.Attempt) youproxy.Attempt { a.Before.Orders = nil; return a }
	for _, tc := range []rivalry{
		{name: "no other", want: youproxy.VerdictExecuted, known: true},
		{name: "one executed that came", rivals: []func(youproxy.Attempt) youproxy.Entry{executed}, came: 1, want: youproxy.VerdictExecuted},
		{name: "one executed that has not come", rivals: []func(youproxy.Attempt) youproxy.Entry{executed}},
		{name: "one executed, and two came", rivals: []func(youproxy.Attempt) youproxy.Entry{executed}, came: 2},
		{name: "two executed that came", rivals: []func(youproxy.Attempt) youproxy.Entry{executed, executed}, came: 2, want: youproxy.VerdictExecuted},
		{name: "two executed, and one came", rivals: []func(youproxy.Attempt) youproxy.Entry{executed, executed}, came: 1},
		{name: "one executed that may be an order from before", rivals: []func(youproxy.Attempt) youproxy.Entry{executed}, change: blind, early: true, known: true},
		{name: "one open", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryOpen)}},
		{name: "one open, and two came", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryOpen)}, came: 1, early: true},
		{name: "one dismissed", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryDismissed)}},
		{name: "one dismissed, and two came", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryDismissed)}, came: 1, early: true},
		{name: "one not executed", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryNotExecuted)}, want: youproxy.VerdictExecuted, known: true},
		{name: "one open of another request", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryOpen)}, change: other, want: youproxy.VerdictExecuted, known: true},
		{name: "one dismissed of another request", rivals: []func(youproxy.Attempt) youproxy.Entry{inState(youproxy.EntryDismissed)}, change: other, want: youproxy.VerdictExecuted, known: true},
	} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, recorded before it %t", tc.name, before), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					tc.play(t, m, before)
				}, youproxytest.WithListShape(noNumbers))
			})
		}
	}
}

func (c rivalry) play(t *testing.T, m *market, before bool) {
	a := anAttemptOf(t, m, buyISP, youproxytest.DropAfterCommit)
	own := m.lastOrder().ID
	for i, rival := range c.rivals {
		r := a
		r.ID = fmt.Sprint("RIVAL", i)
		if c.change != nil {
			r = c.change(r)
		}
		e := rival(r)
		m.journal.add(e)
		if before {
			m.journal.entries = append(m.journal.entries[len(m.journal.entries)-1:], m.journal.entries[:len(m.journal.entries)-1]...)
		} else if e.State == youproxy.EntryExecuted {
			m.payFor(buyISP)
		}
	}
	for range c.came {
		buyISP.again(m)
	}
	found, err := m.client.Reconcile(t.Context(), a)
	require.NoError(t, err)
	want := c.want
	if c.early && before {
		want = youproxy.VerdictExecuted
	}
	require.Equal(t, want, found.Verdict, found.Evidence.String())
	if want != youproxy.VerdictExecuted {
		assert.Equal(t, youproxy.EntryOpen, m.entry(a.ID).State)
		return
	}
	assert.Equal(t, map[bool]youproxy.OrderID{true: own}[c.known], found.Purchase.OrderID)
	assert.Equal(t, found.Purchase.OrderID, m.entry(a.ID).OrderID)
}

// Two purchases of one kind whose replies were lost. Before the second is sent, a look
// settles the first if it was not executed. While the first is open, the second is not
// executed for certain; Recover finds two orders for two attempts.
func TestTwoOpenAttempts(t *testing.T) {
	t.Parallel()
	for _, first := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		for _, second := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
			t.Run(fmt.Sprintf("%s, then %s", first, second), func(t *testing.T) {
				forNumbers(t, func(t *testing.T, m *market, _ bool) {
					a := anAttemptOf(t, m, buyISP, first, youproxy.IdempotencyKey("first"))
					_, err := buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("second"))
					require.ErrorIs(t, err, youproxy.ErrPending, "while the patience of the first runs")
					time.Sleep(thePatience)
					m.Inject("POST /order", second)
					_, err = buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("second"))
					switch {
					case second == youproxytest.DropBeforeCommit:
						assertFailed(t, m, err, youproxy.VerdictNotExecuted)
					case first == youproxytest.DropBeforeCommit:
						require.NoError(t, err)
					default:
						assertFailed(t, m, err, youproxy.VerdictUndetermined)
					}
					found, err := m.client.Recover(t.Context())
					require.NoError(t, err)
					if first == youproxytest.DropBeforeCommit {
						assert.Empty(t, found)
						return
					}
					assert.Equal(t, a.ID, found[0].Attempt.ID)
					ids := make(map[youproxy.OrderID]bool)
					for _, r := range found {
						require.Equal(t, youproxy.VerdictExecuted, r.Verdict, r.Evidence.String())
						ids[r.Purchase.OrderID] = true
					}
					assert.Len(t, ids, len(found), "each has an order of its own")
					assert.Len(t, m.Orders(), len(m.opened.orders)+len(found))
				})
			})
		}
	}
}

// What was sent before without a guard, and was lost, stops purchases while it may be
// under way, and may account for what appears after that.
func TestPlainCallsStandInTheWay(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		for _, b := range []buying{buyIPv4, buyISP} {
			for _, call := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, Call %t", b.name, fault, call), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						m.Inject(b.op, youproxytest.CommitLate)
						var err error
						if call {
							err = m.client.Call(t.Context(), "POST", "/order", nil, map[string]any{
								"proxyType": b.proxies, "quantity": b.quantity, "rentPeriodDays": b.days, "country": b.country, "goal": "tests", "authType": "LOGIN",
							}, nil)
						} else {
							_, err = m.client.CreateOrder(t.Context(), b.order)
						}
						require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
						assertStopped(t, m, b, m.journal.all()[0].Attempt.ID)
						_, err = buyMobile.buy(t.Context(), m, m.client)
						if call { // it may be of any type
							require.ErrorIs(t, err, youproxy.ErrPending)
						} else {
							require.NoError(t, err)
						}
						time.Sleep(theTimeout + thePatience)
						m.Inject(b.op, fault)
						_, err = b.buy(t.Context(), m, m.client)
						if fault == youproxytest.DropBeforeCommit {
							assertFailed(t, m, err, youproxy.VerdictNotExecuted)
						} else {
							assertFailed(t, m, err, youproxy.VerdictUndetermined)
						}
						assert.Equal(t, youproxy.EntryDismissed, m.journal.all()[0].State)
					}, youproxytest.WithCommitDelay(20*time.Second))
				})
			}
		}
	}
}

// What is sent after an attempt without a guard, and is lost, may be what appears.
func TestPlainCallsAfterAnAttempt(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyIPv4, buyISP, renewIPs} {
		t.Run(b.name, func(t *testing.T) {
			forNumbers(t, func(t *testing.T, m *market, _ bool) {
				a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
				m.Inject(b.op, youproxytest.DropAfterCommit)
				var err error
				if b.isOrder() {
					_, err = m.client.CreateOrder(t.Context(), b.order)
				} else {
					_, err = m.client.Extend(t.Context(), b.extend(m))
				}
				require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
				for range 2 { // while it is open, and after it was dismissed
					found, err := m.client.Reconcile(t.Context(), a)
					require.NoError(t, err)
					assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
					_, err = m.client.Recover(t.Context())
					require.NoError(t, err)
					time.Sleep(theTimeout + thePatience)
				}
				assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen, youproxy.EntryDismissed}, m.journal.states())
			})
		})
	}
}

// A client whose key is another one, or whose account is, cannot say that nothing was
// executed.
func TestOtherAccounts(t *testing.T) {
	t.Parallel()
	other := func(a youproxy.Attempt) youproxy.Attempt {
		a.Account = map[bool]string{true: "00000000", false: "11111111"}[a.Account != "00000000"]
		return a
	}
	for _, tc := range []struct {
		name   string
		b      buying
		fault  youproxytest.Fault
		change func(youproxy.Attempt) youproxy.Attempt
		want   youproxy.Verdict
	}{
		{"orders from before are listed, executed", buyISP, replyLost, nil, youproxy.VerdictExecuted},
		{"orders from before are listed, not executed", buyISP, requestLost, nil, youproxy.VerdictUndetermined},
		{"there were none, executed", buyMobile, replyLost, nil, youproxy.VerdictUndetermined},
		{"there were none, not executed", buyMobile, requestLost, nil, youproxy.VerdictUndetermined},
		{"an extension, executed", renewIPs, replyLost, nil, youproxy.VerdictExecuted},
		{"an extension, not executed", renewIPs, requestLost, nil, youproxy.VerdictUndetermined},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				a := other(anAttemptOf(t, m, tc.b, tc.fault))
				found, err := m.anotherClient(t).Reconcile(t.Context(), a)
				require.NoError(t, err)
				assert.Equal(t, tc.want, found.Verdict)
			})
		})
	}
	t.Run("a client of another account", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			a := anAttemptOf(t, m, b, replyLost)
			elsewhere := youproxytest.NewServer(youproxytest.WithBalance(a.Before.Balance), youproxytest.WithAPIKey("another-key"))
			defer elsewhere.Close()
			client, err := elsewhere.Client()
			require.NoError(t, err)
			time.Sleep(3 * time.Hour)
			found, err := client.Reconcile(t.Context(), a)
			require.NoError(t, err)
			assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
		})
	})
}

// Attempts of version 1, as an earlier version of the package wrote them.
func TestReconcileOfVersion1(t *testing.T) {
	t.Parallel()
	const order = `{"version":1,"id":"OLD1","at":"AT","op":"POST /order","proxyType":"ISP","rentPeriodDays":30,` +
		`"price":"7.2 USD","limit":"10 USD","country":"GBR","quantity":3,"before":{"balance":"100 USD","orders":["BEFORE"]MORE}}`
	const extension = `{"version":1,"id":"OLD2","at":"AT","op":"POST /extend","proxyType":"IPv4","rentPeriodDays":30,` +
		`"price":"2.62 USD","limit":"2.62 USD","quantity":2,"before":{"balance":"100 USD","ends":{"ID0":"END0","ID1":"END1"}MORE}}`
	for _, tc := range []struct {
		name    string
		text    string
		more    string
		fault   youproxytest.Fault
		numbers bool
		came    bool // an order from before
		want    youproxy.Verdict
	}{
		{"order", order, "", replyLost, true, false, youproxy.VerdictExecuted},
		{"order", order, "", requestLost, true, false, youproxy.VerdictNotExecuted},
		{"order, one unseen that has not come", order, `,"unseen":["NUMBER-7"]`, replyLost, true, false, youproxy.VerdictExecuted},
		{"order, one unseen that has not come, no numbers", order, `,"unseen":["NUMBER-7"]`, replyLost, false, false, youproxy.VerdictUndetermined},
		{"order, one unseen that came", order, `,"unseen":["NUMBER-7"]`, replyLost, true, true, youproxy.VerdictExecuted},
		{"order, one unseen that came", order, `,"unseen":["NUMBER-7"]`, requestLost, true, true, youproxy.VerdictNotExecuted},
		{"order, one unseen that came, no numbers", order, `,"unseen":["NUMBER-7"]`, requestLost, false, true, youproxy.VerdictNotExecuted},
		{"order, one unseen of unknown number", order, `,"unseen":[""]`, replyLost, true, false, youproxy.VerdictUndetermined},
		{"order, one unseen of unknown number that came", order, `,"unseen":[""]`, requestLost, true, true, youproxy.VerdictUndetermined},
		{"extension", extension, "", replyLost, true, false, youproxy.VerdictExecuted},
		{"extension", extension, "", requestLost, true, false, youproxy.VerdictNotExecuted},
		{"extension, disturbed", extension, `,"disturbed":true`, replyLost, true, false, youproxy.VerdictUndetermined},
		{"extension, disturbed", extension, `,"disturbed":true`, requestLost, true, false, youproxy.VerdictNotExecuted},
	} {
		t.Run(fmt.Sprintf("%s, %s", tc.name, tc.fault), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if !tc.numbers {
					m.SetListShape(noNumbers)
				}
				b := buyISP
				if tc.text == extension {
					b = renewIPs
				}
				ips := m.proxiesOf(m.ipv4.ID)
				text := strings.NewReplacer(
					"MORE", tc.more, "AT", time.Now().UTC().Format(time.RFC3339Nano), "BEFORE", string(m.opened.orders[0].ID),
					"ID0", string(ips[0].ID), "ID1", string(ips[1].ID), "END0", ips[0].End.UTC().Format(time.RFC3339), "END1", ips[1].End.UTC().Format(time.RFC3339),
				).Replace(tc.text)
				if tc.fault == replyLost {
					_, err := b.buy(t.Context(), m, m.anotherClient(t))
					require.NoError(t, err)
				}
				own := m.lastOrder().ID
				if tc.came {
					m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: 3, RentPeriodDays: 30, Number: "NUMBER-7"})
				}
				var a youproxy.Attempt
				require.NoError(t, json.Unmarshal([]byte(text), &a))
				client := m.anotherClient(t)
				started := time.Now()
				found, err := client.Reconcile(t.Context(), a)
				require.NoError(t, err)
				require.Equal(t, tc.want, found.Verdict, found.Evidence.String())
				switch {
				case tc.want != youproxy.VerdictExecuted:
					assert.Equal(t, theTimeout+thePatience, time.Since(started))
				case b.isOrder():
					assert.Equal(t, own, found.Purchase.OrderID)
				default:
					assert.ElementsMatch(t, m.idsOf(m.ipv4.ID), found.Renewal.IPAddressIDs)
				}
			})
		})
	}
}

// What a client sent after an attempt without a guard does not become the attempt's because
// it is long ago.
func TestPlainCallsOfLongAgo(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyIPv4, renewIPs} {
		for _, inMemory := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, journal in memory %t", b.name, inMemory), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					client := m.client
					if inMemory {
						client = m.anotherClient(t, youproxy.WithMiddleware(m.around))
					}
					m.Inject(b.op, youproxytest.DropBeforeCommit)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					m.after1(b, cancel)
					_, err := b.buy(ctx, m, client)
					var failed *youproxy.SpendError
					require.ErrorAs(t, err, &failed)
					if b.isOrder() {
						_, err = client.CreateOrder(t.Context(), b.order)
					} else {
						_, err = client.Extend(t.Context(), b.extend(m))
					}
					require.NoError(t, err)
					time.Sleep(25 * time.Hour)
					for range 5 { // which may make it forget
						_, err = client.CreateOrder(t.Context(), anISPOrder())
						require.NoError(t, err)
					}
					m.SetBalance(less(failed.Attempt.Before.Balance, b.limit().Amount.String()))
					found, err := client.Reconcile(t.Context(), failed.Attempt)
					require.NoError(t, err)
					assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				}, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil, "dateStart": nil}}))
			})
		}
	}
}
