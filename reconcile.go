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

// Reconciliation is what the account shows of an attempt.
type Reconciliation struct {
	Attempt  Attempt
	Verdict  Verdict
	Purchase *Purchase // of an order that was executed
	Renewal  *Renewal  // of an extension that was executed
	Evidence Evidence
}

// Evidence is what the account showed when it was last looked at.
type Evidence struct {
	At        time.Time   // of that look; zero where none succeeded
	Looks     int         // that succeeded
	Balance   *Money      // nil where it was not read
	Quoted    *Money      // the balance as a quote told it, which no cache answers; nil where it did not
	Fell      *Money      // by what the balance fell since the attempt; nil where that is not known
	NewOrders []SeenOrder // of the proxy type that were not there before
	Vanished  bool        // none of the orders that were there before is there any more
	Moved     int         // proxies that end when they should after the extension
	Unmoved   int         // proxies that end when they did before
	Otherwise int         // proxies that end at another time, or are gone
	Renewed   bool        // the service may have extended some of them by itself
	Err       error       // why the last look failed, or none more was taken
}

// SeenOrder is an order as the list of proxies shows it.
type SeenOrder struct {
	ID      OrderID
	Number  OrderNumber
	Country string
	Proxies int       // so far
	Start   time.Time // the earliest; zero where the list tells none

	zoneless bool // the list tells the start without a time zone, and it is taken for UTC
}

// String tells the evidence in one line.
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
			parts = append(parts, fmt.Sprintf("of %d proxies %d were extended, %d were not, %d end otherwise", n, e.Moved, e.Unmoved, e.Otherwise))
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

// Reconcile finds out what became of one attempt, by what the account holds now: whether
// exactly what was asked for has appeared that no other entry of the journal accounts for
// and the balance fell by its price, or nothing has changed for the whole patience of
// [WithReconcilePatience], by looks that no cache answered. It spends nothing, and locks
// the journal as the calls that spend do. Where the journal has the attempt open, it is
// settled; where it is settled already, that verdict is returned.
//
// The patience begins when the sending has ended. Of an attempt that another process sent
// that is not known: then it begins with the first look, and "not executed" needs
// [Timeouts.Spend] more. Where the attempt is more than an hour old, two looks are enough.
//
// Orders that were there before are told by their ids, and starts by the service's own
// clock. What others buy for the account at the same time, without the journal, mostly
// makes an attempt undetermined; what they buy of the very same kind at that moment cannot
// be told from it. Money that is paid in meanwhile, and is just as much as the price, hides
// that the price was paid. A cache that answers POST requests and tells no Age cannot be
// noticed.
//
// An error is a [*SpendError] of an undetermined attempt, and the reconciliation that is
// returned beside it holds the evidence: ctx was over before the account showed it, or the
// attempt is not one that this package wrote.
func (c *Client) Reconcile(ctx context.Context, a Attempt) (*Reconciliation, error) {
	unseen := func(err error) (*Reconciliation, error) {
		return &Reconciliation{Attempt: a, Evidence: Evidence{Err: err}}, &SpendError{Attempt: a, Err: err}
	}
	if err := errors.Join(a.check(), c.check(ctx)); err != nil {
		return unseen(err)
	}
	t, err := c.core().takeTurn(ctx, a.Op)
	if err != nil { // nothing was sent by this call; of the attempt that is not known
		return unseen(errors.Unwrap(err))
	}
	defer t.leave()
	entries, err := t.entries(EntryQuery{Since: a.horizon(), Key: a.Key})
	if err != nil {
		return unseen(fmt.Errorf("the journal could not be read: %w", outside(c.core().redact, err)))
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

// Recover finds out what became of all that the journal has open, as [Client.Reconcile]
// does for one attempt, and settles it. It spends nothing. It returns what it found of
// each, oldest first: a purchase or a renewal that was executed is handed out once, and by
// its Attempt.Key the caller knows whose it is; what was not executed may be bought again;
// what is undetermined stays open, until it is looked for again or dismissed. Plain calls,
// such as [Client.CreateOrder], are not among them: nothing shows what became of one.
//
// It waits until the patience for the youngest is over, and holds the journal's lock
// meanwhile; ctx bounds that. Where it returns an error, what is returned beside it is
// settled all the same, as far as it has a verdict.
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
		return nil, notSent(op, fmt.Errorf("the journal could not be read: %w", outside(c.core().redact, err)))
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
		err = notSent(op, fmt.Errorf("%w before all was found out", err))
	}
	return seen, err
}

// Dismiss settles an open attempt by hand: somebody looked at the account, and it is not to
// stand in the way of other purchases any more. It counts in a budget as if it had been
// executed, and its idempotency key cannot be used again. The note says why. An attempt
// that the journal does not have, or has settled, is an error.
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
		return notSent(op, fmt.Errorf("the journal could not be read: %w", outside(c.core().redact, err)))
	}
	for i := range entries {
		if e := &entries[i]; e.Attempt.ID == attemptID && e.State == EntryOpen {
			e.Note = note
			e.settle(EntryDismissed)
			if err := t.record(e); err != nil {
				return notSent(op, fmt.Errorf("the journal could not be written: %w", outside(c.core().redact, err)))
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

// lookUntil looks at the account until it shows what became of each of some open attempts,
// or the patience for the youngest is over. It settles what it finds out. An error is that
// the context was over, or that the journal could not be read.
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
		err = fmt.Errorf("the journal could not be read: %w", outside(c.core().redact, err))
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

// pending returns the attempts that are open still, and when the patience for the youngest
// of them is over.
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

// conclude settles an attempt where the last look showed what became of it, and returns
// what is known of it. What the journal does not have is not recorded.
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

// close settles an entry and records it. It keeps what the account held before for the
// caller, though the journal drops it. An error is errLockLost.
func (c *core) close(t *turn, e *Entry, state EntryState, known *seenEntries) error {
	kept := e.Attempt
	e.settle(state)
	err := c.settle(t, e, known)
	e.Attempt = kept
	return err
}

// look takes one look at the account for some open attempts: a list for each proxy type,
// and the balance twice, as it is told and in a fresh quote, which no cache answers. What
// it shows of each is noted with its vigil.
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
	for again := true; again; { // what one turns out to be accounts for what the others left open
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

// isAsBefore reports whether only a quote is missing to say that the account is as it was.
func (c *core) isAsBefore(e *Entry, seen Evidence, l *listing, entries []Entry) bool {
	var scratch vigil
	seen.Quoted, seen.Moved, seen.Unmoved, seen.Otherwise = seen.Balance, 0, 0, 0
	c.judge(e, &scratch, &seen, l, entries)
	return scratch.verdict == VerdictNotExecuted
}

// funds returns the balance as it is told, and as a quote tells it, which may be nil.
func (c *Client) funds(t *turn, a *Attempt) (balance Money, quoted *Money, err error) {
	ctx, cancel := context.WithTimeoutCause(t, quoteBound, errSlowQuote)
	defer cancel()
	balance, aged, err := c.balance(ctx)
	if aged && err == nil {
		err = errAged
	}
	if err != nil {
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

// requote returns the question for the price of an attempt.
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
