package youproxy_test

import (
	"maps"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// entryCost returns what an entry counts with.
func entryCost(e *youproxy.Entry) decimal.Decimal {
	cost := decimal.Max(e.Attempt.Price.Amount, e.Attempt.PriceIfEach.Amount)
	if e.Charged != nil {
		cost = decimal.Max(cost, e.Charged.Amount)
	}
	return cost
}

// checkQuiet holds what was due at the beginning of a quiet night against the books: what
// was not renewed must have been too dear.
func (y *renewalYear) checkQuiet(due []*dueUnit, room decimal.Decimal, plans []*youproxy.RenewalPlan) {
	now := y.server.IPAddresses()
	for _, u := range due {
		y.count["due in quiet nights"]++
		if now[u.at].End.After(u.end) {
			continue
		}
		y.count["left out for the money"]++
		if plans[0] != nil && plans[0].Price().Amount.Add(u.price).Add(decimal.New(5, -2)).GreaterThan(room) {
			continue
		}
		y.fault("%s %v, which end at %s, were not renewed, though %s were left:\n%v", now[u.at].ProxyType, u.ids, u.end, room, plans[0])
	}
}

// readBooks follows the ends of the proxies. What the job extends must end soon: else it was
// extended twice.
func (y *renewalYear) readBooks() {
	list := y.server.Extensions()
	for _, x := range list[y.read:] {
		before := maps.Clone(y.ends)
		for i, id := range x.IPAddressIDs {
			was := before[id]
			first := was.end
			for _, other := range before {
				if x.ProxyType == youproxy.ProxyTypeIPv6 && other.order == was.order && other.end.Before(first) {
					first = other.end
				}
			}
			if x.RentPeriodDays == 30 && first.After(x.CreatedAt.Add(renewalWindow+time.Second)) {
				y.fault("%s %s, which ended at %s, was extended at %s: it is paid twice", x.ProxyType, id, first, x.CreatedAt)
			}
			if x.RentPeriodDays == 30 && y.automaticNow[was.at] {
				y.fault("%s %s, which extends itself, was extended at %s", x.ProxyType, id, x.CreatedAt)
			}
			delete(y.ends, id)
			if x.RenewedIDs != nil {
				id = x.RenewedIDs[i]
			}
			was.end = was.end.AddDate(0, 0, x.RentPeriodDays)
			y.ends[id] = was
		}
	}
	y.read = len(list)
}

// checkBooks holds the journal and the limits against the books of the year.
func (y *renewalYear) checkBooks() {
	y.attend()
	var ours []youproxytest.Extension
	for _, x := range y.server.Extensions() {
		if x.RentPeriodDays == 30 {
			ours = append(ours, x)
		}
	}
	for i, last := range ours {
		sum := decimal.Zero
		for _, x := range ours[:i+1] {
			if last.CreatedAt.Sub(x.CreatedAt) < aDay {
				sum = sum.Add(x.Price.Amount)
			}
		}
		if sum.GreaterThan(y.budget.Amount) {
			y.fault("%s were spent in the day until %s", sum, last.CreatedAt)
		}
	}
	states := make(map[youproxy.EntryState]int)
	spent, keys := make(map[string]decimal.Decimal), make(map[string]int)
	for _, e := range y.journal.all() {
		if states[e.State]++; e.State == youproxy.EntryNotExecuted {
			continue
		}
		plan, _, _ := strings.Cut(e.Attempt.Key, "/")
		spent[plan] = spent[plan].Add(entryCost(&e))
		if keys[e.Attempt.Key]++; keys[e.Attempt.Key] > 1 {
			y.fault("a part was renewed twice: %v", e.Attempt)
		}
		if entryCost(&e).GreaterThan(e.Attempt.Limit.Amount) {
			y.fault("%v cost more than its limit %s", e.Attempt, e.Attempt.Limit)
		}
	}
	for id, sum := range spent {
		if plan := y.plans[id]; plan == nil || sum.GreaterThan(plan.Limit.Amount) {
			y.fault("%s were spent for the plan %v", sum, plan)
		}
	}
	executed, dismissed := states[youproxy.EntryExecuted], states[youproxy.EntryDismissed]
	if len(ours) < executed || len(ours) > executed+dismissed || states[youproxy.EntryOpen] > 0 {
		y.fault("%d extensions in the books, and %v in the journal", len(ours), states)
	}
	y.count["extensions"] = len(ours)
	for at, ip := range y.server.IPAddresses() {
		switch {
		case ip.End.After(y.now()):
		case y.poor:
			y.count["lapsed, as the money did not suffice"]++
		case y.automatic[at].After(ip.End.Add(-renewalWindow)):
			y.count["lapsed, as it extended itself until shortly before"]++
		default:
			y.fault("%s %s lapsed at %s", ip.ProxyType, ip.ID, ip.End)
		}
	}
}
