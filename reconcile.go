package youproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Reconciliation is the result of looking at the account for an attempt.
type Reconciliation struct {
	Attempt  Attempt
	Verdict  Verdict
	Purchase *Purchase // set if an order was executed
	Renewal  *Renewal  // set if an extension was executed
	Evidence Evidence
}

// Evidence is what the account showed when it was last looked at.
type Evidence struct {
	At        time.Time   // the time of that look; zero if none succeeded
	Looks     int         // number of successful looks
	Balance   *Money      // of the account; nil if it was not read
	Quoted    *Money      // the balance in a fresh quote, which no cache answers; nil if it had none
	Fell      *Money      // by how much the balance fell since the attempt; nil if not known
	NewOrders []SeenOrder // orders of the proxy type that were not listed before
	Vanished  bool        // none of the orders that were listed before is listed now
	Moved     int         // proxies with the end expected after the extension
	Unmoved   int         // proxies with the same end as before
	Otherwise int         // proxies with another end, or not listed
	Renewed   bool        // the service may have extended some of them by itself
	Err       error       // why the last look failed, or why there was no further look
}

// SeenOrder is an order as the list of proxies shows it.
type SeenOrder struct {
	ID      OrderID
	Number  OrderNumber
	Country string
	Proxies int       // number of proxies listed so far
	Start   time.Time // the earliest start of a proxy; zero if the list has none

	zoneless bool // the list has the start without a time zone; it is read as UTC
}

// String returns the evidence in one line.
func (e *Evidence) String() string {
	var parts []string
	if e.Looks > 0 {
		switch {
		case e.Fell == nil:
		case e.Fell.Amount.IsZero():
			parts = append(parts, "the balance is as it was")
		default:
			parts = append(parts, "the balance fell by "+e.Fell.String())
		}
		if n := len(e.NewOrders); n > 0 {
			ids := make([]string, 0, n)
			for _, o := range e.NewOrders[:min(n, 5)] {
				ids = append(ids, fmt.Sprintf("%s (%d proxies)", plainText(string(o.ID)), o.Proxies))
			}
			parts = append(parts, fmt.Sprintf("new orders: %d: %s", n, strings.Join(ids, ", ")))
		}
		if e.Vanished {
			parts = append(parts, "none of the orders that were there before is listed: it may be another account")
		}
		if n := e.Moved + e.Unmoved + e.Otherwise; n > 0 {
			parts = append(parts, fmt.Sprintf("of %d proxies, extended: %d, not extended: %d, with another end: %d", n, e.Moved, e.Unmoved, e.Otherwise))
		}
		if e.Renewed {
			parts = append(parts, "the service may have extended some by itself")
		}
	}
	if e.Err != nil {
		parts = append(parts, "the account could not be read: "+reasonOf(e.Err))
	}
	return strings.Join(parts, "; ")
}

// The pauses between two looks at the account.
const (
	firstLookPause   = time.Second
	longestLookPause = 15 * time.Second
)

// Reconcile finds out whether one attempt was executed, from what the account holds now.
// It spends nothing, and locks the journal like a call that spends. If the attempt is
// open in the journal and the outcome is found, it is settled; if it is settled already, that verdict is returned.
//
// The attempt was executed if exactly what it asked for has appeared, no other entry of
// the journal accounts for that, and the balance fell by its price. It was not executed
// if nothing has changed for the whole patience of [WithReconcilePatience]; looks that a
// cache answered do not count. Anything else is undetermined.
//
// The patience begins when the sending has ended. If another process sent the attempt,
// that time is not known: the patience then begins with the first look, and
// [Timeouts.Spend] is added to it. If the attempt is more than an hour old, two looks are
// enough.
//
// What others buy for the account at the same time without the journal mostly makes an
// attempt undetermined, but an identical purchase cannot be distinguished from it. A
// payment into the account of exactly the price hides that the price was paid. A cache
// that answers POST requests without an Age header cannot be noticed.
//
// Check the verdict: an undetermined attempt is not by itself an error. The error is a
// [*SpendError] if ctx was over first, the journal could not be used, or the attempt is not
// one of this package. The reconciliation is returned with it and holds the evidence.
func (c *Client) Reconcile(ctx context.Context, a Attempt) (*Reconciliation, error) {
	unseen := func(err error) (*Reconciliation, error) {
		return &Reconciliation{Attempt: a, Evidence: Evidence{Err: err}}, &SpendError{Attempt: a, Err: err}
	}
	if err := errors.Join(a.check(), c.check(ctx)); err != nil {
		return unseen(err)
	}
	t, err := c.core().takeTurn(ctx, a.Op)
	if err != nil { // nothing was sent by this call; the attempt may have been
		return unseen(errors.Unwrap(err))
	}
	defer t.leave()
	entries, err := t.entries(EntryQuery{Since: a.horizon(), Key: a.Key})
	if err != nil {
		return unseen(c.core().unreadJournal(err))
	}
	e := &Entry{Attempt: a.clone(), State: EntryOpen}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Attempt.ID == a.ID })
	if m, ok := t.ledger.journal.(*memoryJournal); ok && i < 0 && m.forgot(a.At) {
		return unseen(errors.New("the journal in memory has forgotten what was bought since"))
	}
	if i >= 0 {
		e = &entries[i]
	}
	if e.State != EntryOpen {
		if e.State == EntryExecuted && a.isOrder() {
			c.identify(t, e, a.Before.Orders, entries)
		}
		e.Attempt.Before = a.clone().Before // which the journal may have dropped
		return e.reconciliation(Evidence{}), nil
	}
	seen, err := c.lookUntil(t, []*Entry{e})
	if err != nil {
		err = &SpendError{Attempt: a, Evidence: seen[0].Evidence, Err: err}
	}
	return seen[0], err
}

// Recover finds out the outcome of every open entry of the journal, as [Client.Reconcile]
// does for one attempt, and settles it. It spends nothing. It returns a result for each
// entry, oldest first. A purchase or renewal that was executed is returned once;
// Attempt.Key shows whose it is. What was not executed may be bought again. What is
// undetermined stays open until it is looked at again or dismissed. Plain calls, such as
// [Client.CreateOrder], are not included, as the account does not show their outcome.
//
// Recover waits until the patience for the youngest entry is over and holds the lock of
// the journal meanwhile; ctx bounds the wait. If it returns an error, the results
// returned with it are still valid: those that are not undetermined are settled.
func (c *Client) Recover(ctx context.Context) ([]*Reconciliation, error) {
	const op = "Recover"
	if err := c.check(ctx); err != nil {
		return nil, notSent(op, err)
	}
	t, err := c.core().takeTurn(ctx, op)
	if err != nil {
		return nil, err
	}
	defer t.leave()
	entries, err := t.entries(EntryQuery{})
	if err != nil {
		return nil, notSent(op, c.core().unreadJournal(err))
	}
	var open []*Entry
	for i := range entries {
		switch e := &entries[i]; {
		case e.State != EntryOpen:
		case !e.Attempt.isPlain():
			open = append(open, e)
		case t.ledger.watch(&e.Attempt).isOver(&e.Attempt, &c.core().config):
			c.core().dismissPlain(t, e)
		}
	}
	seen, err := c.lookUntil(t, open)
	if err != nil {
		err = notSent(op, fmt.Errorf("%w before all outcomes were known", err))
	}
	return seen, err
}

// Dismiss settles an open attempt by hand, after somebody looked at the account, so that
// it no longer stops other purchases. note says why. The attempt counts in a budget as if
// it had been executed, and its idempotency key cannot be used again. It is an error if
// the journal has no open attempt with this id.
func (c *Client) Dismiss(ctx context.Context, attemptID, note string) error {
	const op = "Dismiss"
	if err := c.check(ctx); err != nil {
		return notSent(op, err)
	}
	t, err := c.core().takeTurn(ctx, op)
	if err != nil {
		return err
	}
	defer t.leave()
	entries, err := t.entries(EntryQuery{})
	if err != nil {
		return notSent(op, c.core().unreadJournal(err))
	}
	for i := range entries {
		if e := &entries[i]; e.Attempt.ID == attemptID && e.State == EntryOpen {
			e.Note = note
			e.settle(EntryDismissed)
			if err := t.record(e); err != nil {
				return notSent(op, c.core().unwrittenJournal(err))
			}
			t.ledger.forget(attemptID)
			return nil
		}
	}
	return notSent(op, fmt.Errorf("the journal has no open attempt %s", shortQuote(attemptID)))
}

// reconciliation returns what is known of an entry.
func (e *Entry) reconciliation(seen Evidence) *Reconciliation {
	r := &Reconciliation{Attempt: e.Attempt.clone(), Evidence: seen}
	switch e.State {
	case EntryExecuted:
		r.Verdict = VerdictExecuted
		if e.Attempt.isOrder() {
			r.Purchase = e.purchase(nil)
		} else {
			r.Renewal = e.renewal(nil)
		}
	case EntryNotExecuted:
		r.Verdict = VerdictNotExecuted
	}
	return r
}

// lookUntil looks at the account until it shows the outcome of each of some open
// attempts, or until the patience for the youngest is over. It settles what it finds out.
// The error is that the context was over, or that the journal could not be read.
func (c *Client) lookUntil(t *turn, open []*Entry) ([]*Reconciliation, error) {
	found := make([]*Reconciliation, len(open))
	oldest := time.Now()
	for i, e := range open {
		oldest = minTime(oldest, e.Attempt.horizon())
		found[i] = e.reconciliation(Evidence{})
	}
	known := &seenEntries{query: EntryQuery{Since: oldest}}
	var err error
	if known.entries, err = t.entries(known.query); err != nil {
		err = c.core().unreadJournal(err)
	}
	for pause := firstLookPause; err == nil; pause = min(2*pause, longestLookPause) {
		pending, until := c.pending(t, open)
		if len(pending) == 0 {
			break
		}
		last := !time.Now().Before(until)
		c.look(t, pending, known.entries)
		left := false
		for i, e := range open {
			if e.State == EntryOpen && err == nil {
				found[i], err = c.conclude(t, e, known)
				left = left || e.State == EntryOpen
			}
		}
		if t.broken && t.unlock == nil {
			err = errLockLost
		}
		if err != nil {
			break
		}
		if last || !left {
			return found, nil
		}
		if err = contextError(t, nil); err == nil {
			wait(t, min(pause, time.Until(until)))
		}
		err = outside(c.core().redact, contextError(t, err))
	}
	for i, e := range open {
		if e.State == EntryOpen && err != nil {
			evidence := t.ledger.watch(&e.Attempt).evidence
			evidence.Err = err
			found[i] = e.reconciliation(evidence)
		}
	}
	return found, err
}

// pending returns the attempts that are still open, and when the patience for the
// youngest of them is over.
func (c *Client) pending(t *turn, open []*Entry) (pending []*Entry, until time.Time) {
	for _, e := range open {
		if e.State != EntryOpen {
			continue
		}
		pending = append(pending, e)
		v := t.ledger.watch(&e.Attempt)
		if over := v.over(&e.Attempt, &c.core().config); over.After(until) && (v.looks == 0 || !v.isOld(&e.Attempt, &c.core().config)) {
			until = over
		}
	}
	return pending, until
}

// conclude settles an attempt if the last look showed its outcome, and returns what is
// known of it. An attempt that is not in the journal is not recorded.
func (c *Client) conclude(t *turn, e *Entry, known *seenEntries) (*Reconciliation, error) {
	v := t.ledger.watch(&e.Attempt)
	state := map[Verdict]EntryState{VerdictExecuted: EntryExecuted, VerdictNotExecuted: EntryNotExecuted}[v.verdict]
	if state == "" {
		return e.reconciliation(v.evidence), nil
	}
	was := *e
	if state == EntryExecuted {
		e.Recovered, e.Charged = true, v.charged
		if e.Attempt.isOrder() {
			e.OrderID, e.OrderNumber = v.order.ID, v.order.Number
		} else {
			e.IPAddressIDs, e.OrderIDs = slices.Sorted(maps.Keys(e.Attempt.Before.Ends)), slices.Clone(e.Attempt.OrderIDs)
		}
	}
	i := slices.IndexFunc(known.entries, func(other Entry) bool { return other.Attempt.ID == e.Attempt.ID })
	if i < 0 {
		e.State, e.SettledAt = state, time.Now().UTC()
		t.ledger.forget(e.Attempt.ID)
		return e.reconciliation(v.evidence), nil
	}
	if err := c.core().close(t, e, state, known); err != nil {
		*e = was
		return e.reconciliation(v.evidence), err
	}
	known.entries[i] = *e
	return e.reconciliation(v.evidence), nil
}

// close settles an entry and records it. The attempt that the caller sees keeps what the
// journal drops. The error is errLockLost.
func (c *core) close(t *turn, e *Entry, state EntryState, known *seenEntries) error {
	kept := e.Attempt
	e.settle(state)
	err := c.settle(t, e, known)
	e.Attempt = kept
	return err
}

// look looks at the account once for some open attempts. It reads a list for each proxy
// type, the balance, and the balance in a fresh quote, which no cache answers, and notes
// the result in the vigil of each.
func (c *Client) look(t *turn, open []*Entry, entries []Entry) {
	lists := make(map[ProxyType]*listing)
	open = slices.DeleteFunc(slices.Clone(open), func(e *Entry) bool {
		err := e.Attempt.check()
		t.ledger.watch(&e.Attempt).evidence.Err = err
		return err != nil
	})
	if len(open) == 0 {
		return
	}
	for _, e := range open {
		a := &e.Attempt
		l := lists[a.ProxyType]
		if l == nil {
			l = newListing(c)
			lists[a.ProxyType] = l
		}
		if !a.isOrder() {
			l.extensions[a.ID] = &endings{attempt: a, now: make(map[IPAddressID]time.Time)}
		}
	}
	for proxyType, l := range lists {
		_, l.err = c.survey(t, proxyType, l.add)
	}
	balance, quoted, err := c.funds(t, &open[0].Attempt)
	var seen []*Entry
	for _, e := range open {
		v := t.ledger.watch(&e.Attempt)
		if err := cmp.Or(lists[e.Attempt.ProxyType].err, err); err != nil {
			v.evidence.Err, v.verdict = err, VerdictUndetermined
			continue
		}
		v.verdict = VerdictUndetermined
		seen = append(seen, e)
	}
	entries = slices.Clone(entries)
	for again := true; again; { // one that was executed may decide the others
		again = false
		for _, e := range seen {
			a, v := &e.Attempt, t.ledger.watch(&e.Attempt)
			if v.verdict == VerdictExecuted {
				continue
			}
			shown := Evidence{At: time.Now().UTC(), Looks: v.looks + 1, Balance: &balance, Quoted: quoted}
			shown.Fell = a.fell(*cmp.Or(quoted, &balance))
			c.core().judge(e, v, &shown, lists[a.ProxyType], entries)
			v.evidence = shown
			if i := slices.IndexFunc(entries, func(o Entry) bool { return o.Attempt.ID == a.ID }); i >= 0 && v.verdict == VerdictExecuted {
				entries[i].State, entries[i].Charged, entries[i].OrderID, entries[i].OrderNumber = EntryExecuted, v.charged, v.order.ID, v.order.Number
				again = true
			}
		}
	}
	for _, e := range seen {
		a, v := &e.Attempt, t.ledger.watch(&e.Attempt)
		late := !time.Now().Before(v.over(a, &c.core().config)) || v.looks > 0 && v.isOld(a, &c.core().config)
		v.at, v.looks = time.Now(), v.looks+1
		switch {
		case v.verdict == VerdictNotExecuted && (!late || v.changed):
			v.verdict = VerdictUndetermined
		case v.verdict != VerdictNotExecuted && (quoted != nil || !c.core().isAsBefore(e, v.evidence, lists[a.ProxyType], entries)):
			v.changed = true
		}
	}
}

// isAsBefore reports whether only the quote is missing to conclude that the account is
// unchanged.
func (c *core) isAsBefore(e *Entry, seen Evidence, l *listing, entries []Entry) bool {
	var scratch vigil
	seen.Quoted, seen.Moved, seen.Unmoved, seen.Otherwise = seen.Balance, 0, 0, 0
	c.judge(e, &scratch, &seen, l, entries)
	return scratch.verdict == VerdictNotExecuted
}

// funds returns the balance, and the balance in a quote, which may be nil.
func (c *Client) funds(t *turn, a *Attempt) (balance Money, quoted *Money, err error) {
	ctx, cancel := context.WithTimeoutCause(t, quoteBound, errSlowQuote)
	defer cancel()
	if balance, err = c.freshBalance(ctx); err != nil {
		return Money{}, nil, err
	}
	op, terms := a.requote()
	q, err := c.quote(ctx, op, terms, a.ProxyType)
	var refused *APIError
	switch {
	case err == nil && !q.aged && !q.Balance.IsZero():
		quoted = &q.Balance
	case errors.As(err, &refused) && !refused.aged:
		quoted = refused.Balance
	}
	return balance, quoted, nil
}

// requote returns the request for the price of an attempt.
func (a *Attempt) requote() (op string, terms any) {
	if a.isOrder() {
		terms := &orderTerms{
			ProxyType: a.ProxyType, Quantity: a.Quantity, RentPeriodDays: a.RentPeriodDays, Country: a.Country,
			Goal: cmp.Or(a.Goal, "price"), MobileOperator: a.MobileOperator,
		}
		if a.ProxyType == ProxyTypeMobile {
			terms.RotationTime = &a.RotationTime // 0 is a rotation by link
		}
		return "POST /calculate/order", terms
	}
	x := &extension{selection: selection{
		ProxyType: a.ProxyType, IPAddressIDs: a.IPAddressIDs, OrderIDs: a.OrderIDs, RentPeriodDays: a.RentPeriodDays,
	}}
	if len(a.OrderIDs) > 0 {
		return "POST /calculate/extend/order", x
	}
	if len(a.IPAddressIDs) == 0 { // of version 1
		x.IPAddressIDs = slices.Sorted(maps.Keys(a.Before.Ends))
	}
	return "POST /calculate/extend", x
}
