package main

import (
	"context"
	"fmt"

	"github.com/youproxy-go/youproxy"
)

// settleEarlier finds out what became of the orders that earlier runs left open
// in the journal. It reports whether one of them was made, so that nothing is to
// be bought now. An error means that it is not known.
func (b *buyer) settleEarlier(ctx context.Context) (made bool, err error) {
	for _, o := range b.journal.open {
		b.out.line("Earlier     %s", o.attempt)
		if o.purchase == nil {
			if o.purchase, err = b.recover(ctx, o.attempt); err != nil {
				return false, err
			}
			if o.purchase != nil {
				b.noteBought(o.purchase)
			}
		}
		if o.purchase == nil {
			b.out.line("            was not executed, nothing was spent")
			if err := b.journal.close(o.attempt.ID, youproxy.VerdictNotExecuted); err != nil {
				return false, err
			}
			continue
		}
		b.out.line("            was executed, so nothing is bought now")
		if err := b.deliver(ctx, o.purchase); err != nil {
			return false, err
		}
		made = true
	}
	return made, nil
}

// recover gives the purchase that an attempt has become, or nil where nothing was
// bought.
func (b *buyer) recover(ctx context.Context, a youproxy.Attempt) (*youproxy.Purchase, error) {
	seen, err := b.client.Reconcile(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("%w; what became of that order is still not known, and nothing was bought now", err)
	}
	if seen.Verdict == youproxy.VerdictUndetermined {
		undetermined := &youproxy.SpendError{Attempt: a, Verdict: seen.Verdict, Evidence: seen.Evidence}
		return nil, fmt.Errorf("%w\nbuy: nothing was bought now; look for that order in the account, "+
			"and once it is clear what became of it, add this line to %s:\n%s",
			undetermined, b.journal.path, `{"closed":"`+a.ID+`","verdict":"settled by hand"}`)
	}
	return seen.Purchase, nil
}
