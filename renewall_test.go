package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestTheSamePlanRenewsOnce(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() { assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan))) })
		}
		wait.Wait()
		time.Sleep(100 * aDay)
		for _, y := range renewAll(t.Context(), m.client, plan) {
			require.NoError(t, y.err)
			assert.Empty(t, y.renewal.LeftOut)
		}
		assert.Len(t, m.sends(), 3)
	})
}

// A process ends after any of its records, before or after it sent; the next one carries out
// the same plan.
func TestACrashWhileAPlanIsCarriedOut(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		for _, fault := range []youproxytest.Fault{0, youproxytest.DropBeforeCommit, youproxytest.DropAfterCommit} {
			t.Run(fmt.Sprintf("record %d, %s", n, fault), func(t *testing.T) {
				t.Parallel()
				inMarket(t, func(t *testing.T, m *market) {
					plan := m.plan(t, nil)
					ctx, end := context.WithCancel(t.Context())
					records := 0
					m.journal.recorded = func(youproxy.Entry) error {
						if records++; records > n {
							end()
						}
						return nil
					}
					if fault != 0 {
						m.Inject("POST /extend", fault)
						m.Inject("POST /extend/order", fault)
					}
					renewAll(ctx, m.client, plan)
					m.journal.recorded = nil
					synctest.Wait()
					other := m.anotherClient(t, youproxy.WithJournal(m.journal))
					renewAll(t.Context(), other, plan) // which may meet the other fault
					assert.Equal(t, allRenewed, done(renewAll(t.Context(), other, plan)))
					assertMoney(t, "90.68 USD", m.Balance())
					assert.Len(t, m.Extensions(), 3)
				})
			})
		}
	}
}

// Two processes plan the same night's renewals, and carry both plans out.
func TestTwoPlansPayOnce(t *testing.T) {
	t.Parallel()
	const allLeft = "1 IPv4 renewed since, 3 IPv6 renewed since, 3 ISP renewed since"
	for name, tc := range map[string]struct {
		fault youproxytest.Fault
		lags  bool // the list does not show what was renewed
		other string
		left  string
	}{
		"the list shows it":            {0, false, "not sent, not sent, not sent", allLeft},
		"the list lags":                {0, true, "not sent, not sent, not sent", allLeft},
		"the reply to a part was lost": {youproxytest.DropAfterCommit, false, "not sent, not sent, not sent", allLeft},
		"a part came late":             {youproxytest.CommitLate, false, "not sent, not sent, not sent", allLeft},
		"a part was not executed":      {youproxytest.DropBeforeCommit, false, "IPv4 1, not sent, ISP 3", "3 IPv6 renewed since"},
		"a part was refused":           {youproxytest.Forbidden, false, "IPv4 1, not sent, ISP 3", "3 IPv6 renewed since"},
		"a part is not settled":        {youproxytest.PartialExtensionDropped, false, "not sent, not sent, not sent", "1 IPv4 renewed since, 3 IPv6 renewed since, 3 ISP renewal not settled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				one, two := m.plan(t, nil), m.plan(t, nil)
				assert.NotEqual(t, one.ID, two.ID)
				if tc.fault != 0 {
					m.Inject("POST /extend", tc.fault, tc.fault)
				}
				if tc.lags {
					m.editList(func(record map[string]any) bool {
						record["dateEnd"] = "2000-01-31T00:00:00.000+00:00"
						return true
					})
				}
				renewAll(t.Context(), m.client, one)
				other := m.anotherClient(t, youproxy.WithJournal(m.journal), youproxy.WithMiddleware(m.around))
				second := renewAll(t.Context(), other, two)
				assert.Equal(t, tc.other, done(second))
				var left []youproxy.LeftOut
				for _, y := range second {
					var part *youproxy.PartError
					if y.err != nil && assert.ErrorAs(t, y.err, &part) {
						assert.ErrorIs(t, y.err, youproxy.ErrNothingToRenew)
						assert.ErrorContains(t, y.err, "nothing was spent")
						left = append(left, part.LeftOut...)
					}
				}
				assert.Equal(t, tc.left, reasonsOf(left))
				assertPaidOnce(t, m)
			}, youproxytest.WithCommitDelay(90*time.Second))
		})
	}
}

// A list may show the old ends for long after they were extended.
func TestPlansOverAListThatLags(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		time.Sleep(5 * aDay)
		plan := m.plan(t, nil)
		ends := make(map[string]string)
		for _, part := range plan.Parts {
			for _, planned := range part.Proxies {
				ends[string(planned.ID)] = planned.End.Format(time.RFC3339)
			}
		}
		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)))
		m.editList(func(record map[string]any) bool {
			if end, ok := ends[record["ipAddressId"].(string)]; ok {
				record["dateEnd"] = end
			}
			return true
		})
		for range 3 {
			time.Sleep(time.Hour)
			again := m.plan(t, nil)
			assert.Empty(t, again.Parts)
			assert.Equal(t, "1 IPv4 renewed since, 3 IPv6 renewed since, 3 ISP renewed since", reasonsOf(again.LeftOut))
		}
		assertPaidOnce(t, m)
	})
}

// What is not settled is told in the plan, and takes no money from the rest.
func TestPlansBesideWhatIsNotSettled(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.Inject("POST /extend", youproxytest.PartialExtensionDropped)
		two := youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: []youproxy.IPAddressID{"1111111111111111111", "1111111111111111112"}, RentPeriodDays: 30}
		_, err := m.client.Renew(t.Context(), two, youproxy.MustMoney("5 USD"))
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
		plan := m.plan(t, nil)
		assert.Contains(t, reasonsOf(plan.LeftOut), "ISP renewal not settled")
		assert.Contains(t, plan.String(), "renewal not settled")
		assert.Contains(t, plan.LeftOut[0].String(), "renewal not settled")
	})
}

func assertPaidOnce(t *testing.T, m *market) {
	t.Helper()
	paid := make(map[youproxy.IPAddressID]int)
	for _, x := range m.Extensions() {
		for _, id := range x.IPAddressIDs {
			paid[id]++
			assert.LessOrEqual(t, paid[id], 1, id)
		}
	}
}

const firstISP = "1111111111111111111" // of three

var extendFirstISP = youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: []youproxy.IPAddressID{firstISP}, RentPeriodDays: 30}

// editFirstISP changes or hides what the list says of the first ISP proxy.
func editFirstISP(change func(record map[string]any) bool) func(*testing.T, *market) {
	return func(_ *testing.T, m *market) {
		m.editList(func(record map[string]any) bool { return record["ipAddressId"] != firstISP || change(record) })
	}
}

var meanwhiles = map[string]struct {
	meanwhile func(t *testing.T, m *market)
	done      string
	left      string
}{
	"renewed by a plain call": {func(t *testing.T, m *market) {
		_, err := m.client.Extend(t.Context(), extendFirstISP)
		require.NoError(t, err)
	}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewed since"},
	"renewed by others": {func(t *testing.T, m *market) {
		_, err := m.anotherClient(t).Extend(t.Context(), extendFirstISP)
		require.NoError(t, err)
	}, "IPv4 1, IPv6 3, ISP 2", "1 ISP ends later by now"},
	"renewed long before, by the journal": {func(t *testing.T, m *market) {
		m.journal.add(youproxy.Entry{State: youproxy.EntryExecuted, SettledAt: time.Now().Add(-time.Hour), Attempt: youproxy.Attempt{
			Version: 2, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: extendFirstISP.IPAddressIDs, At: time.Now(),
		}})
	}, allRenewed, ""},
	"renewed by an older version": {func(t *testing.T, m *market) {
		m.journal.add(youproxy.Entry{State: youproxy.EntryExecuted, IPAddressIDs: extendFirstISP.IPAddressIDs, Attempt: youproxy.Attempt{
			Version: 1, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeISP, At: time.Now(),
		}})
	}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewed since"},
	"not executed": {func(t *testing.T, m *market) {
		m.Refuse("POST /extend", 24)
		_, err := m.client.Extend(t.Context(), extendFirstISP)
		require.Error(t, err)
	}, allRenewed, ""},
	"not settled, and its order neither": {func(t *testing.T, m *market) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.Inject("POST /extend", youproxytest.DropBeforeCommit)
		_, err := m.client.Renew(ctx, extendFirstISP, youproxy.MustMoney("5 USD"))
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
	}, "IPv4 1, IPv6 3, not sent", "3 ISP renewal not settled"},
	"not settled for long": {func(t *testing.T, m *market) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.Inject("POST /extend", youproxytest.DropBeforeCommit)
		_, err := m.client.Renew(ctx, extendFirstISP, youproxy.MustMoney("5 USD"))
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
		time.Sleep(aDay)
	}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewal not settled"},
	"extends itself by now": {editFirstISP(func(record map[string]any) bool {
		record["extendInfo"] = map[string]any{"autoExtend": true, "extendDays": 30}
		return true
	}), "IPv4 1, IPv6 3, ISP 2", "1 ISP extends itself"},
	"has ended": {editFirstISP(func(record map[string]any) bool {
		record["dateEnd"] = "2000-01-01T00:00:00.000+00:00"
		return true
	}), "IPv4 1, IPv6 3, ISP 2", "1 ISP has ended"},
	"an end that is not known any more": {editFirstISP(func(record map[string]any) bool {
		record["dateEnd"] = nil
		return true
	}), "IPv4 1, IPv6 3, ISP 2", "1 ISP end not known"},
	"gone": {editFirstISP(func(map[string]any) bool { return false }), "IPv4 1, IPv6 3, ISP 2", "1 ISP not in the account any more"},
	"an order that lost a proxy": {func(_ *testing.T, m *market) {
		m.editList(func(record map[string]any) bool { return record["ipAddressId"] != "1111111111111111118" })
	}, "IPv4 1, not sent, ISP 3", "3 IPv6 not in the account any more"},
	"an order that got a proxy": {func(_ *testing.T, m *market) {
		m.rewrite["GET /ipAddress"] = func(reply string) string {
			var list map[string]any
			_ = json.Unmarshal([]byte(reply), &list)
			for name, group := range list {
				if records, ok := group.([]any); ok && len(records) > 0 {
					record := maps.Clone(records[0].(map[string]any))
					record["ipAddressId"] = "new in " + name
					list[name] = append(records, record)
				}
			}
			text, _ := json.Marshal(list)
			return string(text)
		}
	}, "IPv4 1, not sent, ISP 3", "3 IPv6 a part of an IPv6 order"},
	"an order with another id": {func(_ *testing.T, m *market) {
		m.editList(func(record map[string]any) bool {
			if record["orderId"] == string(m.ipv6.ID) {
				record["orderId"] = "another"
			}
			return true
		})
	}, "IPv4 1, not sent, ISP 3", "3 IPv6 not in the account any more"},
}

// What is not to be renewed any more is left out, and the rest is quoted anew.
func TestWhatAPartLeavesOut(t *testing.T) {
	t.Parallel()
	for name, tc := range meanwhiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				tc.meanwhile(t, m)
				list := renewAll(t.Context(), m.client, plan)
				assert.Equal(t, tc.done, done(list))
				assert.Equal(t, tc.left, reasonsOf(leftOut(t, list)))
				assertPaidOnce(t, m)
				again := renewAll(t.Context(), m.client, plan)
				assert.Equal(t, tc.done, done(again))
				for n, y := range again {
					if y.err == nil && len(list[n].renewal.LeftOut) > 0 {
						assert.Equal(t, "1 ISP left out before", reasonsOf(y.renewal.LeftOut))
						assertMoney(t, "4.8 USD", y.renewal.Quote.Price)
					}
				}
				assertPaidOnce(t, m)
			})
		})
	}
}

// leftOut returns what the renewals left out.
func leftOut(t *testing.T, list []yielded) (left []youproxy.LeftOut) {
	for _, y := range list {
		var part *youproxy.PartError
		switch {
		case y.err == nil:
			left = append(left, y.renewal.LeftOut...)
		case assert.ErrorAs(t, y.err, &part) && assert.ErrorIs(t, y.err, youproxy.ErrNothingToRenew):
			left = append(left, part.LeftOut...)
		}
	}
	return left
}

func TestPricesThatRise(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		m.rewrite["POST /calculate/extend"] = func(reply string) string {
			return strings.ReplaceAll(reply, `7.2`, `7.21`)
		}
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "IPv4 1, IPv6 3, not sent", done(list))
		assert.ErrorIs(t, list[2].err, youproxy.ErrPriceAboveLimit)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "error", list[2].err)
		assert.Contains(t, log.String(), `error.part="3 x ISP for 30 days" error.left_out=0 error.outcome="not sent" error.error="youproxy: POST /extend: the price of 7.21 USD`)
		assert.EqualError(t, list[2].err, "youproxy: 3 x ISP for 30 days: POST /extend: the price of 7.21 USD is above the limit of 7.2 USD; nothing was sent, nothing was spent")
		m.rewrite = make(map[string]func(string) string)
		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)), "the price fell again")
		assertMoney(t, "90.68 USD", m.Balance())
	})
}

func TestBudgetOfAPlan(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		whole := m.plan(t, nil)
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", partsOf(whole))
		assert.Equal(t, "1 ISP above the budget", reasonsOf(whole.LeftOut))
		rich := m.anotherClient(t, youproxy.WithJournal(m.journal))
		plan, err := rich.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("50 USD")})
		require.NoError(t, err)
		slices.Reverse(plan.Parts)
		plan.Parts = append(plan.Parts[1:], plan.Parts[0], plan.Parts[1])
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "IPv6 3, IPv4 1, not sent, IPv6 3", done(list), "what comes after may fit")
		assert.ErrorIs(t, list[2].err, youproxy.ErrOverBudget)

		assert.Equal(t, "ISP 2 4.8 USD", partsOf(m.plan(t, nil)), "what is left of the budget")
		time.Sleep(aDay + time.Second)
		assert.Equal(t, "ISP 3 7.2 USD", partsOf(m.plan(t, nil)))
	}, youproxy.WithBudget(youproxy.MustMoney("8 USD"), aDay))
}

func TestWhatEndsAPlan(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(m *market, end func())
		is    error
		done  string
	}{
		"no money":             {func(m *market, _ func()) { m.SetBalance(youproxy.MustMoney("1 USD")) }, youproxy.ErrInsufficientFunds, "not sent, IPv6 3, not sent"},
		"money that was spent": {func(m *market, _ func()) { m.Refuse("POST /extend", 16) }, youproxy.ErrInsufficientFunds, "rejected, IPv6 3, ISP 3"},
		"the key":              {func(m *market, _ func()) { m.Refuse("POST /calculate/extend", 2) }, youproxy.ErrInvalidAPIKey, "not sent"},
		"the context":          {func(_ *market, end func()) { end() }, context.Canceled, "not sent"},
		"the context meanwhile": {func(m *market, end func()) {
			m.after["POST /extend/order"] = end
		}, context.Canceled, "IPv4 1, unknown"},
		"nothing of a refusal": {func(m *market, _ func()) { m.Refuse("POST /extend", 24) }, youproxy.ErrNotExecuted, "rejected, IPv6 3, ISP 3"},
		"nothing of a fault":   {func(m *market, _ func()) { m.Inject("POST /extend", youproxytest.DropBeforeCommit) }, youproxy.ErrNotExecuted, "not sent, IPv6 3, ISP 3"},
		"nothing of a plain call": {func(m *market, _ func()) {
			m.journal.add(youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{Version: 2, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeIPv4, At: time.Now()}})
		}, youproxy.ErrPending, "not sent, IPv6 3, ISP 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				tc.spoil(m, end)
				list := renewAll(ctx, m.client, plan)
				assert.Equal(t, tc.done, done(list))
				failed := slices.IndexFunc(list, func(y yielded) bool { return y.err != nil })
				require.GreaterOrEqual(t, failed, 0)
				var part *youproxy.PartError
				assert.ErrorAs(t, list[failed].err, &part)
				assert.ErrorIs(t, list[failed].err, tc.is)
				assert.Regexp(t, "nothing was spent|money may have been spent", list[failed].err.Error())
			})
		})
	}
}

// Where it is not known what became of a part, none of its type is tried.
func TestAPartThatIsNotKnown(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		one, two := plan.Parts[2], plan.Parts[2]
		one.Proxies, two.Proxies = one.Proxies[:2], two.Proxies[2:]
		plan.Parts = []youproxy.RenewalPart{one, two, plan.Parts[1]}
		m.Inject("POST /extend", youproxytest.PartialExtensionDropped)
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "unknown, not sent, IPv6 3", done(list))
		assert.ErrorIs(t, list[0].err, youproxy.ErrUndetermined)
		assert.ErrorIs(t, list[1].err, youproxy.ErrPending)
		var pending *youproxy.PendingError
		assert.ErrorAs(t, list[1].err, &pending)
		assert.ErrorContains(t, list[1].err, "nothing was spent")
		for range list {
			break // as a caller may
		}
		for range m.client.RenewAll(t.Context(), plan) {
			break
		}
		assertPaidOnce(t, m)
	})
}

// A plan made by hand cannot spend more than its limit, nor twice.
func TestHandMadePlans(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(plan *youproxy.RenewalPlan)
		done   string
	}{
		"the same part twice": {func(plan *youproxy.RenewalPlan) { plan.Parts = append(plan.Parts, plan.Parts[2]) }, "IPv4 1, IPv6 3, ISP 3, ISP 3"},
		"a proxy in two parts": {func(plan *youproxy.RenewalPlan) {
			part := plan.Parts[2]
			part.Proxies = part.Proxies[:2]
			plan.Parts = append(plan.Parts, part)
		}, "IPv4 1, IPv6 3, ISP 3, not sent"},
		"a limit below the parts": {func(plan *youproxy.RenewalPlan) { plan.Limit = youproxy.MustMoney("9.31 USD") }, "not sent"},
		"no limit":                {func(plan *youproxy.RenewalPlan) { plan.Limit = youproxy.MustMoney("0 USD") }, "not sent"},
		"ids of nobody": {func(plan *youproxy.RenewalPlan) {
			plan.Parts[2].Proxies = []youproxy.PlannedRenewal{{ID: "nobody", End: time.Now()}}
		}, "IPv4 1, IPv6 3, not sent"},
		"an end of another time": {func(plan *youproxy.RenewalPlan) { plan.Parts[2].Proxies[0].End = time.Now() }, "IPv4 1, IPv6 3, ISP 2"},
		"another type":           {func(plan *youproxy.RenewalPlan) { plan.Parts[2].ProxyType = youproxy.ProxyTypeIPv4 }, "IPv4 1, IPv6 3, not sent"},
		"a part of an order":     {func(plan *youproxy.RenewalPlan) { plan.Parts[1].Proxies = plan.Parts[1].Proxies[1:] }, "IPv4 1, not sent, ISP 3"},
		"no parts":               {func(plan *youproxy.RenewalPlan) { plan.Parts = nil }, ""},
		"a plan of the future":   {func(plan *youproxy.RenewalPlan) { plan.At = plan.At.AddDate(50, 0, 0) }, allRenewed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				tc.change(plan)
				assert.Equal(t, tc.done, done(renewAll(t.Context(), m.client, plan)))
				assertPaidOnce(t, m)
				assert.Equal(t, tc.done, done(renewAll(t.Context(), m.client, plan)))
				assertPaidOnce(t, m)
			})
		})
	}
}

func TestPlansThatAreNotValid(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan{
		"plan":    func(*youproxy.RenewalPlan) *youproxy.RenewalPlan { return nil },
		"version": func(*youproxy.RenewalPlan) *youproxy.RenewalPlan { return new(youproxy.RenewalPlan) },
		"id": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.ID = strings.Repeat("x", 101)
			return plan
		},
		"at": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.At = time.Time{}; return plan },
		"limit": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Limit.Amount = plan.Limit.Amount.Neg()
			return plan
		},
		"parts[1].price": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Price = youproxy.Money{}
			return plan
		},
		"parts[0].proxyType":    func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[0].ProxyType = "ipv4"; return plan },
		"parts[0].ipAddressIds": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[0].Proxies = nil; return plan },
		"parts[1].orderIds": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Proxies[1].OrderID = ""
			return plan
		},
		"parts[2].rentPeriodDays": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[2].RentPeriodDays = -30
			return plan
		},
		"parts[2].promoCode": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[2].PromoCode = " "; return plan },
		"parts[1].proxies": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Proxies = append(plan.Parts[1].Proxies, plan.Parts[1].Proxies[0])
			return plan
		},
		"parts[2].proxies": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[2].Proxies[0].End = time.Time{}
			return plan
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := change(m.plan(t, nil))
				asked := len(m.ops())
				list := renewAll(t.Context(), m.client, plan)
				require.Len(t, list, 1)
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, list[0].err, &invalid)
				assert.Equal(t, field, invalid.Fields[0].Field)
				assert.Len(t, m.ops(), asked)
			})
		})
	}
	for _, y := range renewAll(t.Context(), nil, new(youproxy.RenewalPlan)) {
		assert.ErrorIs(t, y.err, youproxy.ErrNotSent)
	}
}

func TestManyRenewalsInFewRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("10000 USD")))
		defer server.Close()
		for _, proxyType := range modelTypes {
			for range 25 {
				server.AddOrder(youproxytest.Order{ProxyType: proxyType, Country: "USA", Quantity: 5})
			}
		}
		client, err := server.Client()
		require.NoError(t, err)
		plan, err := client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("10000 USD")})
		require.NoError(t, err)
		asked := len(server.Requests())
		total := 0
		for renewal, err := range client.RenewAll(t.Context(), plan) {
			require.NoError(t, err)
			total += renewal.Attempt.Quantity
		}
		t.Logf("500 proxies of 4 types: planned with %d requests, carried out with %d", asked, len(server.Requests())-asked)
		assert.Equal(t, 500, total)
		assert.Equal(t, 1, strings.Count(fmt.Sprint(server.Requests()[:asked]), "GET /ipAddress"))
		assert.LessOrEqual(t, len(server.Requests())-asked, 20)
	})
}

// A part is so small that a journal takes its entry.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "GBR", Quantity: 2100})
		plan := m.plan(t, func(p *youproxy.RenewalPolicy) {
			p.Limit, p.ProxyTypes = youproxy.MustMoney("9000 USD"), []youproxy.ProxyType{youproxy.ProxyTypeISP}
		})
		assert.Equal(t, "ISP 1000 2400 USD, ISP 1000 2400 USD, ISP 103 247.2 USD", partsOf(plan))
		assert.Equal(t, "ISP 1000, ISP 1000, ISP 103", done(renewAll(t.Context(), m.client, plan)))
		for _, e := range m.journal.all() {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			assert.Less(t, len(text), 1<<19)
		}
	}, youproxytest.WithBalance(youproxy.MustMoney("9000 USD")))
}

// What a part costs above its price is missing for those after it.
func TestAPartThatCostsMore(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		m.rewrite["POST /extend"] = func(reply string) string {
			delete(m.rewrite, "POST /extend")
			m.SetBalance(less(m.Balance(), "45"))
			return replaceBalance(reply, m.Balance())
		}
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "IPv4 1, IPv6 3, not sent", done(list))
		assert.ErrorIs(t, list[2].err, youproxy.ErrPriceAboveLimit)
	})
}
