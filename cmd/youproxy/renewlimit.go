package main

import (
	"context"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy"
)

// plans is the beginning of the marks of plans.
const plans = "plan-"

// limitFor is how long a run that did not finish counts: far longer than a loop pauses, and
// less than a day, for a command that runs every night.
const limitFor = 12 * time.Hour

// renewLimit is what is left of --max-price. Running a command again until it succeeds must
// not spend more than that, so the spending of runs that did not finish counts.
type renewLimit struct {
	a       *app
	request string  // the fingerprint of the command
	marks   []*mark // of those runs, and of this one
}

// newRenewLimit returns the limit of a command.
func (a *app) newRenewLimit(f *renewFlags) *renewLimit {
	return &renewLimit{a: a, request: fingerprint([]any{f.within, f.days, f.types, f.promo, f.maxPrice.Money.String()})}
}

// left returns what is left of a limit.
func (l *renewLimit) left(ctx context.Context, limit youproxy.Money) (youproxy.Money, error) {
	marks, err := l.a.unheld(plans)
	if err != nil {
		return limit, err
	}
	since := time.Now().Add(-limitFor)
	entries, err := l.a.entries(ctx, youproxy.EntryQuery{Since: since})
	if err != nil {
		return limit, err
	}
	left := limit
	for _, m := range marks {
		cost := youproxy.Money{Currency: limit.Currency}
		for i := range entries {
			e := &entries[i]
			if strings.HasPrefix(e.Attempt.Key, strings.TrimPrefix(m.key, plans)+"/") && !e.Attempt.At.Before(since) {
				cost = plus(cost, costOf(e))
			}
		}
		switch {
		case cost.Amount.IsZero():
			m.remove()
		case m.request != l.request:
			m.release()
		default:
			l.marks = append(l.marks, m)
			left.Amount = left.Amount.Sub(cost.Amount)
		}
	}
	if len(l.marks) > 0 {
		if left.Amount.IsNegative() {
			left.Amount = left.Amount.Sub(left.Amount)
		}
		l.a.note("Runs of this command that did not finish spent some of --max-price: %s of %s is left.", left, limit)
	}
	return left, nil
}

// costOf returns what an entry may have cost.
func costOf(e *youproxy.Entry) youproxy.Money {
	switch {
	case e.State == youproxy.EntryNotExecuted:
		return youproxy.Money{}
	case e.Charged != nil:
		return *e.Charged
	case !e.Attempt.PriceIfEach.IsZero():
		return e.Attempt.PriceIfEach
	}
	return e.Attempt.Price
}

// plus adds amounts of the same currency: a purchase in another one has another limit.
func plus(sum, more youproxy.Money) youproxy.Money {
	if total, err := sum.Add(more); err == nil {
		return total
	}
	return sum
}

// begin records that a plan is carried out.
func (l *renewLimit) begin(plan *youproxy.RenewalPlan) error {
	m, err := l.a.mark(plans+plan.ID, l.request)
	if err == nil {
		l.marks = append(l.marks, m)
	}
	return err
}

// end forgets what was spent if the command is done.
func (l *renewLimit) end(err error) error {
	for _, m := range l.marks {
		if err == nil {
			m.remove()
		}
	}
	return err
}
