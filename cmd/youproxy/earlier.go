package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
)

// find finds the newest entry with the key of the command. Without a key, it finds what an
// earlier run of the same command did not finish, and goes on with that: running a command
// again until it succeeds must not buy twice. Any other open entry that concerns the
// purchase stops it.
func (d *deal) find(ctx context.Context) (err error) {
	if d.flags.key != "" {
		d.earlier, err = d.a.newest(ctx, d.flags.key)
		return err
	}
	if d.earlier, err = d.unfinished(ctx); err != nil || d.earlier != nil {
		return err
	}
	open, err := d.a.left(ctx)
	open = slices.DeleteFunc(open, func(e youproxy.Entry) bool { return !d.meets(&e.Attempt) })
	if err != nil || len(open) == 0 {
		return err
	}
	for _, e := range slices.Backward(open) {
		if isMadeUp(e.Attempt.Key) && !d.differs(&e.Attempt) && !d.isMarkedOtherwise(e.Attempt.Key) {
			return d.goOn(&e)
		}
	}
	pending := &youproxy.PendingError{Attempt: open[0].Attempt}
	return &refusal{"an earlier purchase stands in the way, as it is not known what became of it: " + pending.Attempt.String() + "; nothing was sent", []error{pending}}
}

// goOn goes on with the purchase of an earlier run.
func (d *deal) goOn(e *youproxy.Entry) error {
	d.earlier = e
	d.a.note("Going on with the same purchase of an earlier run, which did not finish. To make another one, add an --idempotency-key.")
	return d.cmd.Flags().Set("idempotency-key", e.Attempt.Key)
}

// newest returns the newest entry with a key, or nil.
func (a *app) newest(ctx context.Context, key string) (*youproxy.Entry, error) {
	entries, err := a.entries(ctx, youproxy.EntryQuery{Key: key})
	for _, e := range slices.Backward(entries) {
		if e.Attempt.Key == key {
			return &e, err
		}
	}
	return nil, err
}

// left returns the open entries of the journal whose processes have ended.
func (a *app) left(ctx context.Context) ([]youproxy.Entry, error) {
	open, err := a.open(ctx)
	if len(open) == 0 || err != nil {
		return nil, err
	}
	journal, err := a.openJournal()
	if err != nil {
		return nil, err
	}
	unlock, err := journal.Lock(ctx) // whoever spends now has it until all is settled
	if err != nil {
		return nil, fmt.Errorf("the journal could not be locked, nothing was sent: %w", err)
	}
	defer unlock()
	return a.open(ctx)
}

// isMarkedOtherwise reports whether a key has the mark of another request.
func (d *deal) isMarkedOtherwise(key string) bool {
	marks, _ := d.a.marks(key)
	return len(marks) > 0 && marks[0].request != d.request
}

// unfinished returns what an earlier run of the same command did not finish, or nil.
func (d *deal) unfinished(ctx context.Context) (found *youproxy.Entry, err error) {
	marks, err := d.a.unheld(madeUp)
	for _, m := range marks {
		if err != nil || found != nil {
			m.release()
			continue
		}
		var e *youproxy.Entry
		e, err = d.a.newest(ctx, m.key)
		switch useful := e != nil && isOfUse(e); {
		case err != nil:
		case useful && m.request == d.request:
			found, d.mark = e, m
			err = d.goOn(e)
			continue
		case !useful && isMadeUp(m.key):
			m.remove()
		}
		m.release()
	}
	return found, err
}

// isOfUse reports whether a purchase still has to be reported.
func isOfUse(e *youproxy.Entry) bool {
	ended := time.Since(e.Attempt.At) > time.Duration(e.Attempt.RentPeriodDays)*24*time.Hour
	return e.State == youproxy.EntryOpen || e.State == youproxy.EntryExecuted && !ended
}

// finish is called when nothing of the deal is left to be reported.
func (d *deal) finish() {
	if d.mark == nil && isMadeUp(d.flags.key) { // of the run that the key is from
		d.mark, _ = d.a.markOf(d.flags.key, d.request)
	}
	if d.mark != nil {
		d.mark.remove()
	}
}
