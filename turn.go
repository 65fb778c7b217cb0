package youproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The time limits while a journal is locked, beside [Timeouts.Spend] and the patience of
// [WithReconcilePatience].
const (
	listBound     = time.Minute
	quoteBound    = 30 * time.Second // of quotes, and of the balance
	entriesBound  = 30 * time.Second
	recordBound   = 10 * time.Second // of Record, and from then until the request is written
	rerecordBound = 30 * time.Second // after the last Record failed
)

// ledger is a client's side of its journal. Variants of the client share it as long as
// they share the journal.
type ledger struct {
	journal Journal
	key     any // the turnKey of this journal in a context

	mu      sync.Mutex
	owed    map[string]Entry  // entries that could not be recorded, by attempt; written at the next turn
	unnamed map[string]Entry  // orders that were placed and whose ids are not known yet
	vigils  map[string]*vigil // of attempts that are open
}

// vigil is what this process knows of an open attempt. It is used within a turn.
type vigil struct {
	since    time.Time // when its sending ended, or it was first seen in the journal
	sent     bool      // by this process
	at       time.Time // of the last look
	looks    int
	changed  bool // a look showed a difference to the account before the attempt
	verdict  Verdict
	order    SeenOrder // the order that was placed; its ID is empty if it is one of several
	charged  *Money
	evidence Evidence
}

func newLedger(j Journal) *ledger {
	return &ledger{journal: j, key: turnKey{j}, owed: make(map[string]Entry), unnamed: make(map[string]Entry), vigils: make(map[string]*vigil)}
}

// turn is the context of everything that is done while a client has its journal locked.
type turn struct {
	context.Context
	ledger *ledger
	unlock func()
	memory *memoryJournal // the locked journal in memory, instead of unlock
	over   atomic.Bool
	broken bool // it was unlocked meanwhile, and others may have spent since
}

// turnKey is the key of the turn of a journal in a context.
type turnKey struct{ journal Journal }

func (t *turn) Value(key any) any {
	if k, ok := key.(turnKey); ok && k.journal == t.ledger.journal {
		return t
	}
	return t.Context.Value(key)
}

var errSlowRecord = fmt.Errorf("the journal took longer than %s", recordBound)

var errBroken = errors.New("the outcome of an earlier purchase could not be recorded at once, and others may have bought meanwhile: try again")

var errWithinSpend = errors.New("the call would wait for itself: it was made by a function that runs while the journal is locked")

// takeTurn locks the journal and records what is owed to it. The turn is the context of
// what follows.
func (c *core) takeTurn(ctx context.Context, op string) (*turn, error) {
	return c.enter(new(turn), ctx, op)
}

// enter is takeTurn with room for the turn.
func (c *core) enter(t *turn, ctx context.Context, op string) (*turn, error) { //nolint:revive // the room comes first, as a receiver does
	l := c.ledger
	if err := contextError(ctx, nil); err != nil {
		return nil, notSent(op, outside(c.redact, err))
	}
	if t, ok := ctx.Value(l.key).(*turn); ok && !t.over.Load() {
		return nil, notSent(op, errWithinSpend)
	}
	t.Context, t.ledger = ctx, l
	var err error
	if m, ok := l.journal.(*memoryJournal); ok {
		if err = m.lock(ctx); err == nil {
			t.memory = m
		}
	} else {
		t.unlock, err = l.journal.Lock(ctx)
	}
	ready := false
	defer func() {
		if !ready { // even if the journal panics
			t.leave()
		}
	}()
	if err != nil {
		if over := contextError(ctx, nil); over != nil {
			return nil, notSent(op, fmt.Errorf("%w while waiting for another purchase to end", outside(c.redact, contextError(ctx, err))))
		}
		return nil, notSent(op, fmt.Errorf("the journal could not be locked: %w", outside(c.redact, err)))
	}
	if err := t.payOwed(ctx); err != nil {
		return nil, notSent(op, fmt.Errorf("the journal could not be brought up to date: %w", outside(c.redact, err)))
	}
	ready = true
	return t, nil
}

func (t *turn) leave() {
	t.over.Store(true)
	t.release()
}

func (t *turn) release() {
	if m := t.memory; m != nil {
		t.memory = nil
		<-m.turn
	}
	if unlock := t.unlock; unlock != nil {
		t.unlock = nil
		unlock()
	}
}

func (c *core) unreadJournal(err error) error {
	return fmt.Errorf("the journal could not be read: %w", outside(c.redact, err))
}

func (c *core) unwrittenJournal(err error) error {
	return fmt.Errorf("the journal could not be written: %w", outside(c.redact, err))
}

// entries reads the journal.
func (t *turn) entries(q EntryQuery) ([]Entry, error) {
	if m, ok := t.ledger.journal.(*memoryJournal); ok {
		return m.entries(q), nil
	}
	ctx, cancel := context.WithTimeout(t, entriesBound)
	defer cancel()
	return readEntries(ctx, t.ledger.journal, q)
}

func readEntries(ctx context.Context, j Journal, q EntryQuery) ([]Entry, error) {
	var entries []Entry
	for e, err := range j.Entries(ctx, q) {
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// check returns an error for an entry that this package does not know, so that it does
// not count as not executed.
func (e *Entry) check() error {
	switch e.State {
	case EntryOpen, EntryExecuted, EntryNotExecuted, EntryDismissed:
		if e.Attempt.ID != "" && e.Attempt.Version <= attemptVersion {
			return nil
		}
	}
	return fmt.Errorf("the entry of attempt %s is in a form that this version does not know: update the program, or correct the entry", shortQuote(e.Attempt.ID))
}

// spent returns what was spent, or may have been, since a time.
func (t *turn) spent(since time.Time, currency string) (Money, error) {
	if m, ok := t.ledger.journal.(*memoryJournal); ok {
		return m.sum(since, currency)
	}
	total := Money{Currency: currency}
	entries, err := t.entries(EntryQuery{Since: since})
	for i := range entries {
		if entries[i].counts() && err == nil {
			total, err = total.Add(entries[i].cost())
		}
	}
	return total, err
}

// record writes an entry within 10 seconds, even if the context of the caller ends.
func (t *turn) record(e *Entry) error {
	if m, ok := t.ledger.journal.(*memoryJournal); ok {
		return m.record(e)
	}
	return t.ledger.record(t, e)
}

func (l *ledger) record(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBound)
	defer cancel()
	err := l.journal.Record(ctx, e.clone())
	if err == nil && ctx.Err() != nil {
		err = errSlowRecord
	}
	return err
}

// settle records the outcome of an attempt. If that fails, it locks the journal again and
// retries for 30 seconds. An entry that still could not be recorded is recorded at the
// next turn.
//
// What a look found out depends on known, the entries that the look was compared with. If
// they have changed when the journal is locked again, or it cannot be locked, another
// process may have bought what was seen: nothing is recorded then. If the attempt was
// settled meanwhile, e becomes the entry of the journal; otherwise the error is
// errLockLost.
func (t *turn) settle(e *Entry, known *seenEntries) error {
	l := t.ledger
	err := t.record(e)
	l.forget(e.Attempt.ID)
	if err == nil {
		l.expectName(e)
		return nil
	}
	if known == nil {
		l.owe(e)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context), rerecordBound)
	defer cancel()
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause *= 2 {
		t.release()
		t.broken = true
		if unlock, lockErr := l.journal.Lock(ctx); lockErr == nil {
			t.unlock = unlock
			if known != nil {
				if !known.hold(ctx, l.journal, e) {
					break
				}
				known = nil
				l.owe(e)
			}
			if err = t.payOwed(ctx); err == nil {
				l.expectName(e)
				return nil
			}
		}
		wait(ctx, pause)
	}
	if known != nil {
		return t.adopt(e, known.query)
	}
	return err
}

// adopt sets e to the entry of the journal, if that is settled.
func (t *turn) adopt(e *Entry, q EntryQuery) error {
	entries, _ := t.entries(q)
	for i := range entries {
		if entries[i].Attempt.ID == e.Attempt.ID && entries[i].State != EntryOpen {
			*e = entries[i]
			return nil
		}
	}
	return errLockLost
}

var errLockLost = errors.New("the journal's lock was lost meanwhile: what was seen may be another's")

// seenEntries is what a journal contained.
type seenEntries struct {
	query   EntryQuery
	entries []Entry
}

// hold reports whether a journal still contains the entries, except for e.
func (s *seenEntries) hold(ctx context.Context, j Journal, e *Entry) bool {
	now, err := readEntries(ctx, j, s.query)
	return err == nil && slices.EqualFunc(s.entries, now, func(a, b Entry) bool {
		return a.Attempt.ID == b.Attempt.ID && (a.State == b.State || a.Attempt.ID == e.Attempt.ID && b.State == e.State)
	})
}

// owe keeps an entry that must be recorded at the next turn.
func (l *ledger) owe(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed[e.Attempt.ID] = e.clone()
}

// payOwed records what is owed, unless the journal knows more by now: others may have
// settled the attempt.
func (t *turn) payOwed(ctx context.Context) error {
	l := t.ledger
	l.mu.Lock()
	if len(l.owed) == 0 {
		l.mu.Unlock()
		return nil
	}
	all := maps.Clone(l.owed)
	l.mu.Unlock()
	oldest := time.Now()
	for _, e := range all {
		oldest = minTime(oldest, e.SettledAt)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), entriesBound)
	defer cancel()
	entries, err := readEntries(ctx, l.journal, EntryQuery{Since: oldest.Add(-time.Hour)})
	if err != nil {
		return err
	}
	for _, e := range entries {
		owed, ok := all[e.Attempt.ID]
		if ok && (e.State == EntryOpen || e.State == EntryExecuted && e.OrderID == "" && owed.OrderID != "") {
			if err := l.record(ctx, &owed); err != nil {
				return err
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.owed, func(id string, _ Entry) bool { _, paid := all[id]; return paid })
	return nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// watch returns what is known of an open attempt. An attempt that this process did not
// send counts as first seen now.
func (l *ledger) watch(a *Attempt) *vigil {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.vigils[a.ID]
	if v == nil {
		v = &vigil{since: time.Now()}
		l.vigils[a.ID] = v
	}
	return v
}

// mostUnnamed is how many orders are remembered in order to note their ids, at most.
const mostUnnamed = 1000

// expectName notes that the id of an order that was placed is not known yet.
func (l *ledger) expectName(e *Entry) {
	if e.State != EntryExecuted || !e.Attempt.isOrder() || e.OrderID != "" || e.OrderNumber == "" || e.Attempt.isPlain() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unnamed) < mostUnnamed {
		l.unnamed[e.Attempt.ID] = e.clone()
	}
}

// name notes the ids of orders whose numbers a list shows. After a day, it drops what
// distinguishes the others from other orders.
func (t *turn) name(proxyType ProxyType, ids map[OrderNumber]OrderID) error {
	l := t.ledger
	l.mu.Lock()
	all := maps.Clone(l.unnamed)
	l.mu.Unlock()
	oldest := time.Now()
	for id, e := range all {
		if e.Attempt.ProxyType == proxyType && (ids[e.OrderNumber] != "" || time.Since(e.SettledAt) > remainsFor) {
			oldest = minTime(oldest, e.SettledAt)
		} else {
			delete(all, id)
		}
	}
	if len(all) == 0 {
		return nil
	}
	entries, err := t.entries(EntryQuery{Since: oldest.Add(-time.Hour)})
	if err != nil {
		return err
	}
	for i := range entries { // others may know more by now
		e := &entries[i]
		if _, ok := all[e.Attempt.ID]; !ok || e.State != EntryExecuted || e.OrderID != "" {
			continue
		}
		if e.OrderID = ids[e.OrderNumber]; e.trim() || e.OrderID != "" {
			if err := t.record(e); err != nil {
				return err
			}
		}
	}
	for id := range all {
		l.forget(id)
	}
	return nil
}

// sendingEnded notes that the sending of an attempt that stays open has ended.
func (l *ledger) sendingEnded(a *Attempt) {
	v := l.watch(a)
	v.since, v.sent = time.Now(), true
}

// forget drops what is known of an attempt that is settled.
func (l *ledger) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.vigils, id)
	delete(l.unnamed, id)
}

// over returns when the patience for an attempt is over. It begins when the sending has
// ended. An attempt that this process did not send may still be in progress elsewhere for
// as long as its reply is waited for, so that time is added. Of two clients the longer
// times count.
func (v *vigil) over(a *Attempt, cfg *config) time.Time {
	until := v.since.Add(max(cfg.patience, time.Duration(a.PatienceMillis)*time.Millisecond))
	if !v.sent {
		until = until.Add(max(cfg.timeouts.Spend, time.Duration(a.SpendMillis)*time.Millisecond))
	}
	return until
}

// isOld reports whether another process made an attempt so long ago, by this machine's
// clock, that it cannot be in progress any more.
func (v *vigil) isOld(a *Attempt, cfg *config) bool {
	since := *v
	since.since = a.At
	return !v.sent && time.Since(a.At) > time.Hour && !time.Now().Before(since.over(a, cfg))
}

// isOver reports whether the patience for an attempt is over, or it is old.
func (v *vigil) isOver(a *Attempt, cfg *config) bool {
	return !time.Now().Before(v.over(a, cfg)) || v.isOld(a, cfg)
}
