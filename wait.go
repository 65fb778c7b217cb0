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
// returns them. It looks again after growing pauses until ctx is over; the error then
// contains how many proxies came. A call that fails is repeated too, unless the service
// does not accept the API key or the caller.
//
// It never returns the proxies of another order: if it cannot decide which order is the
// right one, it keeps waiting. If the list has no order numbers, it decides by what was
// ordered and by what the journal contains about other orders.
//
// WaitForProxies sets p.OrderID and notes it in the journal, so it must not be called for
// the same Purchase value concurrently. An error is about reading the list only: the
// purchase stands and can be waited for again. The outcome of the error is
// [OutcomeUnknown], so that nobody takes it for a reason to buy again. Only if nothing can
// be read, because the client is empty, ctx is nil or p is no purchase, it is
// [OutcomeNotSent].
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
			return nil, purchaseStands(op, err) // asking again would not help
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

// purchaseStands returns an error of reading the list, which says that the purchase
// stands.
func purchaseStands(op string, err error) error {
	return &CallError{Op: op, Err: fmt.Errorf("the order stands, its proxies could not be read: %w", err)}
}

// proxiesOf returns the proxies of a purchase that are listed so far.
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
		return nil, c.core().unreadJournal(err)
	}
	order := e.order(l, entries)
	if len(all[order]) >= a.Quantity {
		p.OrderID = order
	}
	return all[order], nil
}

// order returns the order of an executed entry, or "" if that cannot be decided.
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

// noteOrderID notes in the journal which order a purchase is: at once if nobody is
// spending, otherwise at the next turn.
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
	if t, err := c.core().takeTurn(ctx, e.Attempt.Op); err == nil { // this records what is owed
		t.leave()
	}
}

// identify finds out which order an executed entry is, and notes it. before lists the
// orders that were there before it, which the journal may have dropped.
func (c *Client) identify(t *turn, e *Entry, before []OrderID, entries []Entry) {
	l := newListing(c)
	if e.OrderID != "" {
		return
	}
	whole := *e
	whole.Attempt.Before.Orders = before
	if _, err := c.survey(t, e.Attempt.ProxyType, l.add); err != nil {
		return // that it was executed is known already
	}
	if e.OrderID = whole.order(l, entries); e.OrderID != "" {
		e.trim()
		if err := t.record(e); err != nil {
			t.ledger.owe(e)
		}
	}
}
