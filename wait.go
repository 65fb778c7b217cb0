package youproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// wait waits for d, or until ctx is over.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// WaitForProxies waits until the account's list shows all proxies of a purchase, and
// returns them. It does not take those of another order: where it cannot tell which order
// is the one, it waits on. Where the list carries no order numbers, it tells by what was
// ordered, and by what the journal says of other orders. It looks again after growing
// pauses, until ctx is over; the error then tells how many came. A call that fails is made
// again then, too, unless the service does not accept the API key or the caller.
//
// It notes the OrderID in the purchase, and in the journal. So two must not wait for one
// purchase at once. Its errors, and their outcomes, are of reading the list: the purchase
// stands, and can be waited for again.
func (c *Client) WaitForProxies(ctx context.Context, p *Purchase) ([]Proxy, error) {
	const op = "GET /ipAddress"
	if err := c.check(ctx); err != nil {
		return nil, notSent(op, err)
	}
	switch {
	case p == nil:
		return nil, notSent(op, errors.New("the purchase is nil"))
	case p.Attempt.check() != nil || !p.Attempt.isOrder():
		return nil, notSent(op, errors.New("the purchase has no attempt: give one that Buy, Recover or Reconcile returned"))
	}
	came := 0
	var problem error
	for pause := firstLookPause; ; pause = min(2*pause, longestLookPause) {
		proxies, err := c.proxiesOf(ctx, p)
		switch {
		case err == nil && len(proxies) >= p.Attempt.Quantity:
			c.noteOrderID(ctx, p)
			return proxies, nil
		case errors.Is(err, ErrInvalidAPIKey), errors.Is(err, ErrCallerNotAllowed), errors.Is(err, ErrIncorrectProxyType):
			return nil, purchaseStands(op, err) // to ask again would not help
		case err == nil:
			came = len(proxies)
		}
		problem = err
		wait(ctx, pause)
		if over := contextError(ctx, nil); over != nil {
			text := fmt.Sprintf("the order stands, %d of %d proxies came", came, p.Attempt.Quantity)
			if problem != nil && !errors.Is(problem, ctx.Err()) {
				text += ", and the last look failed: " + reasonOf(problem)
			}
			return nil, &CallError{Op: op, Err: fmt.Errorf("%s: %w", text, outside(c.core().redact, over))}
		}
	}
}

// purchaseStands returns an error of reading the list, which says that the purchase stands.
func purchaseStands(op string, err error) error {
	return &CallError{Op: op, Outcome: OutcomeOf(err), Err: fmt.Errorf("the order stands, its proxies could not be read: %w", err)}
}

// proxiesOf returns the proxies of a purchase that are in the list so far.
func (c *Client) proxiesOf(ctx context.Context, p *Purchase) ([]Proxy, error) {
	a := &p.Attempt
	before := setOf(a.Before.Orders)
	all := make(map[OrderID][]Proxy)
	var named []Proxy
	l := newListing(c)
	_, err := c.survey(ctx, a.ProxyType, func(proxy *Proxy) {
		id := redactID(c, proxy.OrderID)
		switch {
		case l.shown[proxy.ID]:
		case p.OrderNumber != "" && redactID(c, proxy.OrderNumber) == p.OrderNumber:
			named = append(named, *proxy)
			fallthrough
		case id != "" && (id == p.OrderID || p.OrderID == "" && !before[id]):
			all[id] = append(all[id], *proxy)
		}
		l.add(proxy)
	})
	switch {
	case err != nil || p.OrderID != "":
		return all[p.OrderID], err
	case len(named) > 0:
		if len(named) >= a.Quantity {
			p.OrderID = redactID(c, named[0].OrderID)
		}
		return named, nil
	}
	e := Entry{Attempt: *a, State: EntryExecuted, OrderNumber: p.OrderNumber}
	entries, err := readEntries(ctx, c.core().ledger.journal, EntryQuery{Since: a.horizon()})
	if err != nil {
		return nil, fmt.Errorf("the journal could not be read: %w", outside(c.core().redact, err))
	}
	order := e.order(l, entries)
	if len(all[order]) >= a.Quantity {
		p.OrderID = order
	}
	return all[order], nil
}

// order returns the order of an entry that was executed; empty where that cannot be told.
func (e *Entry) order(l *listing, entries []Entry) OrderID {
	if i := slices.IndexFunc(l.orders, func(o SeenOrder) bool { return o.Number != "" && o.Number == e.OrderNumber }); i >= 0 {
		return l.orders[i].ID
	}
	fresh, _ := l.since(&e.Attempt)
	left, rivals := e.Attempt.contest(l.orders, fresh, entries)
	left = slices.DeleteFunc(left, func(o SeenOrder) bool {
		return e.OrderNumber != "" && o.Number != "" || !e.mayBe(&o) && o.Proxies > 0
	})
	order, _, _ := e.Attempt.placed(left, rivals)
	return order.ID
}

// noteOrderID notes in the journal which order a purchase is: at once if nobody spends now,
// else at the next turn.
func (c *Client) noteOrderID(ctx context.Context, p *Purchase) {
	l := c.core().ledger
	entries, err := readEntries(ctx, l.journal, EntryQuery{Since: p.Attempt.horizon(), Key: p.Attempt.Key})
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Attempt.ID == p.Attempt.ID })
	if err != nil || i < 0 || entries[i].State != EntryExecuted || entries[i].OrderID != "" {
		return
	}
	e := &entries[i]
	e.OrderID = p.OrderID
	e.trim()
	l.owe(e)
	l.forget(e.Attempt.ID)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if t, err := c.core().takeTurn(ctx, e.Attempt.Op); err == nil { // which pays what is owed
		t.leave()
	}
}

// identify finds out which order an entry is that was executed, and notes it.
// The orders that were there before it may be dropped from the journal by now.
func (c *Client) identify(t *turn, e *Entry, before []OrderID, entries []Entry) {
	l := newListing(c)
	if e.OrderID != "" {
		return
	}
	whole := *e
	whole.Attempt.Before.Orders = before
	if _, err := c.survey(t, e.Attempt.ProxyType, l.add); err != nil {
		return // it is known already that it was executed
	}
	if e.OrderID = whole.order(l, entries); e.OrderID != "" {
		e.trim()
		if err := t.record(e); err != nil {
			t.ledger.owe(e)
		}
	}
}
