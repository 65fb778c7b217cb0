package journaltest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a simple journal in memory.
type store struct {
	lock chan struct{}
	mu   sync.Mutex
	ids  []string
	byID map[string][]byte
}

// handle is a journal that shares its store with others.
type handle struct {
	*store
	held bool
}

func (h *handle) Lock(ctx context.Context) (func(), error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case h.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	hold := func(held bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.held = held
	}
	hold(true)
	return sync.OnceFunc(func() {
		hold(false)
		<-h.lock
	}), nil
}

func (h *handle) Record(_ context.Context, e youproxy.Entry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.held {
		return errors.New("the lock is not held")
	}
	if h.byID[e.Attempt.ID] == nil {
		h.ids = append(h.ids, e.Attempt.ID)
	}
	var err error
	h.byID[e.Attempt.ID], err = json.Marshal(e)
	return err
}

func (h *handle) Entries(_ context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		for _, e := range h.entries() {
			if e.State == youproxy.EntryOpen || q.Key != "" && e.Attempt.Key == q.Key || !q.Since.IsZero() && !e.SettledAt.Before(q.Since) {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (h *handle) entries() []youproxy.Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]youproxy.Entry, len(h.ids))
	for i, id := range h.ids {
		if err := json.Unmarshal(h.byID[id], &all[i]); err != nil {
			panic(err)
		}
	}
	return all
}

func TestRun(t *testing.T) {
	t.Parallel()
	newStore := func() *store { return &store{lock: make(chan struct{}, 1), byID: make(map[string][]byte)} }
	t.Run("one handle", func(t *testing.T) {
		t.Parallel()
		Run(t, func(*testing.T) func() youproxy.Journal {
			only := &handle{store: newStore()}
			return func() youproxy.Journal { return only }
		})
	})
	t.Run("several handles", func(t *testing.T) {
		t.Parallel()
		Run(t, func(*testing.T) func() youproxy.Journal {
			common := newStore()
			return func() youproxy.Journal { return &handle{store: common} }
		})
	})
}
