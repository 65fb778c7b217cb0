package youproxy

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// PendingError is the error of a purchase that was stopped because an earlier one is not
// settled. Nothing was sent: it matches [ErrPending] and [ErrNotSent]. Calling again
// costs nothing. Without an [IdempotencyKey] it fails again until the earlier purchase is
// settled; with one of its own, only until the patience for the earlier purchase is over,
// even if its outcome is still not known.
type PendingError struct {
	Attempt  Attempt  // the earlier purchase
	Verdict  Verdict  // [VerdictExecuted] if the account shows it: Recover returns it
	Evidence Evidence // what the account showed, if it was looked at
	Note     string   // why the earlier purchase was dismissed, if it was
	op       string
}

// Error returns what stops the purchase, and what to do.
func (e *PendingError) Error() string {
	text := "youproxy: " + e.op + ": stopped by an earlier purchase: " + e.Attempt.String()
	if evidence := e.Evidence.String(); evidence != "" {
		text += "; " + evidence
	}
	switch {
	case e.Note != "":
		text += "; it was dismissed (" + plainText(e.Note) + "): give a new idempotency key, or make a new plan, to spend again"
	case e.Verdict == VerdictExecuted:
		text += "; it was executed: Recover returns it"
	case e.Attempt.isPlain():
		text += "; its outcome is not known yet: it stops others until its timeout and the patience are over"
	default:
		text += "; its outcome is not known: call Recover, or look at the account and call Dismiss"
	}
	return text + "; " + moneyAfter(e.op, OutcomeNotSent)
}

func (e *PendingError) outcome() Outcome { return OutcomeNotSent }

// Is reports whether target is [ErrPending] or [ErrNotSent].
func (e *PendingError) Is(target error) bool {
	return target == ErrPending || isOutcome(target, OutcomeNotSent)
}

// LogValue returns the earlier attempt and what is known of it as a group, for slog.
func (e *PendingError) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("attempt", e.Attempt), slog.String("verdict", e.Verdict.String()), slog.String("note", e.Note))
}

// earlier handles the open entries of the journal: that with the same key, and those that
// stop the purchase. It reports whether the purchase was made already.
func (s *spending) earlier() (done bool, err error) {
	a := &s.entry.Attempt
	query := EntryQuery{Key: a.Key}
	if s.part != nil {
		query.Since = lagging(s.part.since())
	}
	if s.open, err = s.turn.entries(query); err != nil {
		return false, notSent(a.Op, s.c.core().unreadJournal(err))
	}
	if a.Key != "" {
		for i := range slices.Backward(s.open) {
			if s.open[i].Attempt.Key == a.Key {
				if done, err := s.sameKey(&s.open[i]); done || err != nil {
					return done, err
				}
				break
			}
		}
	}
	if s.part != nil {
		return false, nil // what would stop it is left out
	}
	return false, s.clear()
}

// sameKey decides by the state of the newest attempt with the same key.
func (s *spending) sameKey(e *Entry) (done bool, err error) {
	a := &s.entry.Attempt
	if e.Attempt.Request != a.Request {
		return false, stopped(a.Op, "the idempotency key belongs to another request: "+e.Attempt.String()+": give each purchase a key of its own", ErrKeyReused)
	}
	pending := &PendingError{op: a.Op, Attempt: e.Attempt.clone()}
	switch e.State {
	case EntryOpen:
		seen, _ := s.c.lookUntil(s.turn, []*Entry{e})
		pending.Verdict, pending.Evidence = seen[0].Verdict, seen[0].Evidence
		if e.State == EntryOpen {
			return false, pending
		}
	case EntryDismissed:
		pending.Note = cmp.Or(e.Note, "without a note")
		return false, pending
	}
	if e.State != EntryExecuted {
		return false, nil
	}
	s.entry = *e
	return true, nil
}

// clear stops a purchase if an open attempt conflicts with it. Once the patience for that
// attempt is over, the account is looked at once, and an attempt that was not executed is
// settled.
func (s *spending) clear() error {
	for i := range s.open {
		if e := &s.open[i]; e.State == EntryOpen && s.entry.Attempt.meets(&e.Attempt) {
			if err := s.pass(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// meets reports whether an open attempt conflicts with a: a plain call conflicts with all
// of its type, an order with orders, and an extension with those that share a proxy or an
// order with it.
func (a *Attempt) meets(open *Attempt) bool {
	switch {
	case open.isPlain():
		return open.ProxyType == "" || open.ProxyType == a.ProxyType
	case a.isOrder() || open.isOrder():
		return a.isOrder() == open.isOrder() && a.ProxyType == open.ProxyType
	}
	return a.shares(open)
}

// shares reports whether two extensions are of the same proxies or orders.
func (a *Attempt) shares(b *Attempt) bool {
	orders := append(slices.Clone(b.OrderIDs), b.Before.Orders...)
	in := func(id OrderID) bool { return slices.Contains(orders, id) }
	touches := func(id IPAddressID) bool {
		_, ok := b.Before.Ends[id]
		return ok || slices.Contains(b.IPAddressIDs, id)
	}
	for id := range a.Before.Ends {
		if touches(id) {
			return true
		}
	}
	return slices.ContainsFunc(a.IPAddressIDs, touches) || slices.ContainsFunc(a.OrderIDs, in) || slices.ContainsFunc(a.Before.Orders, in)
}

// pass lets a purchase go on past an open attempt, or returns an error.
func (s *spending) pass(e *Entry) error {
	core := s.c.core()
	v := s.turn.ledger.watch(&e.Attempt)
	running := !v.isOver(&e.Attempt, &core.config)
	pending := func() error {
		return &PendingError{op: s.entry.Attempt.Op, Attempt: e.Attempt.clone(), Verdict: v.verdict, Evidence: v.evidence}
	}
	switch {
	case running:
		return pending()
	case e.Attempt.isPlain():
		core.dismissPlain(s.turn, e)
		return nil
	case !v.at.IsZero() && time.Since(v.at) < longestLookPause:
		if s.entry.Attempt.Key != "" {
			return nil // its key says that it is another purchase
		}
		return pending()
	}
	known := &seenEntries{query: EntryQuery{Since: e.Attempt.horizon()}}
	var err error
	if known.entries, err = s.turn.entries(known.query); err == nil {
		s.c.look(s.turn, []*Entry{e}, known.entries)
	}
	if err == nil && v.verdict == VerdictNotExecuted {
		err = core.close(s.turn, e, EntryNotExecuted, known)
	}
	if s.entry.Attempt.Key == "" && e.State == EntryOpen || err != nil {
		return pending()
	}
	return nil
}

// horizon returns the time from which entries may matter to an attempt.
func (a *Attempt) horizon() time.Time { return a.At.Add(-remainsFor) }

// dismissPlain dismisses a plain call without a reply, as nothing shows its outcome.
func (c *core) dismissPlain(t *turn, e *Entry) {
	e.Note = "plain call, outcome not known"
	_ = c.close(t, e, EntryDismissed, nil)
}
