package youproxy_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
)

// testJournal is a journal that tests look into, and that fails when they want it to.
type testJournal struct {
	turn chan struct{}

	mu      sync.Mutex
	entries []youproxy.Entry // in the order of their first recording
	locks   int

	onLock   func(ctx context.Context) error
	onRecord func(ctx context.Context, e youproxy.Entry) error // before it is recorded
	recorded func(e youproxy.Entry) error                      // after it was

	onEntries func(q youproxy.EntryQuery) error
}

func newTestJournal() *testJournal { return &testJournal{turn: make(chan struct{}, 1)} }

func (j *testJournal) Lock(ctx context.Context) (func(), error) {
	if j.onLock != nil {
		if err := j.onLock(ctx); err != nil {
			return nil, err
		}
	}
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	j.mu.Lock()
	j.locks++
	j.mu.Unlock()
	return sync.OnceFunc(func() { <-j.turn }), nil
}

func (j *testJournal) Record(ctx context.Context, e youproxy.Entry) error {
	if len(j.turn) == 0 {
		return errors.New("the journal is not locked")
	}
	if j.onRecord != nil {
		if err := j.onRecord(ctx, e); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.entries, func(old youproxy.Entry) bool { return old.Attempt.ID == e.Attempt.ID })
	if i < 0 {
		j.entries = append(j.entries, e)
	} else {
		j.entries[i] = e
	}
	if j.recorded != nil {
		return j.recorded(e)
	}
	return nil
}

func (j *testJournal) Entries(_ context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		if j.onEntries != nil {
			if err := j.onEntries(q); err != nil {
				yield(youproxy.Entry{}, err)
				return
			}
		}
		for _, e := range j.all() {
			wanted := e.State == youproxy.EntryOpen || q.Key != "" && e.Attempt.Key == q.Key ||
				!q.Since.IsZero() && !e.SettledAt.Before(q.Since)
			if wanted && !yield(e, nil) {
				return
			}
		}
	}
}

// all returns what was recorded.
func (j *testJournal) all() []youproxy.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// states returns the states of all entries.
func (j *testJournal) states() []youproxy.EntryState {
	var states []youproxy.EntryState
	for _, e := range j.all() {
		states = append(states, e.State)
	}
	return states
}

// add puts in an entry as another process would.
func (j *testJournal) add(e youproxy.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.State != youproxy.EntryOpen && e.SettledAt.IsZero() {
		e.SettledAt = time.Now()
	}
	j.entries = append(j.entries, e)
}
