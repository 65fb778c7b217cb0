package youproxy

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shopspring/decimal"
)

// The bounds of the journal in memory.
const (
	mostKeys      = 100_000
	mostOfKey     = 100            // attempts; those that were not executed are dropped first
	mostRemaining = 10_000         // settled entries without a key
	remainsFor    = 24 * time.Hour // how long a settled entry is kept to account for orders
	plainRemains  = time.Hour      // the same for a plain call
)

// memoryJournal is the default journal of a client. It ends with the process.
type memoryJournal struct {
	turn chan struct{}

	mu      sync.Mutex
	last    uint64 // sequence number
	all     map[string]*memoryEntry
	open    map[string]*memoryEntry
	keys    map[string][]*memoryEntry
	keyed   []string       // keys in the order of their first use
	settled []*memoryEntry // without a key, in the order they were settled
	waiting []*memoryEntry // orders whose ids are not known, in the order they were settled

	dropped time.Time // when the last dropped entry was settled

	budget time.Duration  // how long charges are kept, at least a day
	spent  []memoryCharge // in the order they were settled
	mixed  time.Time      // the time of the last charge before one in another currency
}

type memoryEntry struct {
	Entry
	sequence uint64
}

// memoryCharge is a charge that counts in a budget, with the total of all charges up to
// it.
type memoryCharge struct {
	at    time.Time
	total decimal.Decimal
	cost  Money
}

func newMemoryJournal() *memoryJournal {
	return &memoryJournal{
		turn: make(chan struct{}, 1),
		all:  make(map[string]*memoryEntry), open: make(map[string]*memoryEntry), keys: make(map[string][]*memoryEntry),
	}
}

// forgot reports whether entries were dropped that were settled at or after a time.
func (j *memoryJournal) forgot(at time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.dropped.Before(at)
}

// keep makes the journal keep what a budget over that time needs.
func (j *memoryJournal) keep(per time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.budget = max(j.budget, per)
}

func (j *memoryJournal) Lock(ctx context.Context) (unlock func(), err error) {
	if err := j.lock(ctx); err != nil {
		return nil, err
	}
	held := true
	return func() {
		if held {
			held = false
			<-j.turn
		}
	}, nil
}

func (j *memoryJournal) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case j.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *memoryJournal) Record(_ context.Context, e Entry) error {
	if len(j.turn) == 0 {
		return errors.New("youproxy: the journal is not locked")
	}
	e = e.clone()
	return j.record(&e)
}

// record stores an entry, which must not be changed afterwards.
func (j *memoryJournal) record(e *Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.all[e.Attempt.ID]
	if m == nil {
		j.last++
		m = &memoryEntry{sequence: j.last}
		j.all[e.Attempt.ID] = m
		if key := e.Attempt.Key; key != "" {
			if j.keys[key] == nil {
				j.keyed = append(j.keyed, key)
			}
			j.keys[key] = append(j.shorten(j.keys[key]), m)
		}
	}
	was := m.State
	m.Entry = *e
	switch {
	case m.State == EntryOpen:
		j.open[m.Attempt.ID] = m
		return nil
	case was != EntryOpen && was != "":
		return nil // more is known of it
	}
	delete(j.open, m.Attempt.ID)
	if m.counts() {
		j.charge(m)
	}
	if m.Attempt.Key == "" {
		j.settled = append(j.settled, m)
	}
	if m.State == EntryExecuted && m.OrderID == "" && m.Attempt.Before.Orders != nil {
		j.waiting = append(j.waiting, m)
	}
	j.prune()
	return nil
}

// shorten drops the oldest attempt with a key that was not executed, if the key has many.
func (j *memoryJournal) shorten(attempts []*memoryEntry) []*memoryEntry {
	i := slices.IndexFunc(attempts, func(m *memoryEntry) bool { return m.State == EntryNotExecuted })
	if len(attempts) < mostOfKey || i < 0 {
		return attempts
	}
	delete(j.all, attempts[i].Attempt.ID)
	return slices.Delete(attempts, i, i+1)
}

func (j *memoryJournal) charge(m *memoryEntry) {
	c := memoryCharge{at: m.SettledAt, cost: m.cost()}
	c.total = c.cost.Amount
	if n := len(j.spent); n > 0 {
		c.total = c.total.Add(j.spent[n-1].total)
		last := j.spent[n-1]
		if c.at.Before(last.at) {
			c.at = last.at // clocks may be set back
		}
		if last.cost.Currency != c.cost.Currency {
			j.mixed = last.at
		}
	}
	for len(j.spent) > 0 && c.at.Sub(j.spent[0].at) > max(j.budget, remainsFor)+time.Hour {
		j.spent = j.spent[1:]
	}
	j.spent = append(j.spent, c)
}

// prune drops what is no longer needed.
func (j *memoryJournal) prune() {
	for len(j.waiting) > 0 && (j.waiting[0].Attempt.Before.Orders == nil || j.waiting[0].trim()) {
		j.waiting[0] = nil
		j.waiting = j.waiting[1:]
	}
	for len(j.settled) > 0 {
		m := j.settled[0]
		remains := remainsFor
		if m.Attempt.isPlain() {
			remains = plainRemains
		}
		needed := time.Since(m.SettledAt) < remains
		for _, o := range j.open {
			needed = needed || m.SettledAt.Add(remains).After(o.Attempt.At)
		}
		if needed && len(j.settled) <= mostRemaining {
			break
		}
		delete(j.all, m.Attempt.ID)
		j.dropped = m.SettledAt
		j.settled[0] = nil
		j.settled = j.settled[1:]
	}
	for tries := len(j.keyed) - mostKeys + len(j.open); len(j.keyed) > mostKeys && tries > 0; tries-- {
		key := j.keyed[0]
		j.keyed = j.keyed[1:]
		if slices.ContainsFunc(j.keys[key], func(m *memoryEntry) bool { return m.State == EntryOpen }) {
			j.keyed = append(j.keyed, key)
			continue
		}
		for _, m := range j.keys[key] {
			delete(j.all, m.Attempt.ID)
		}
		delete(j.keys, key)
	}
}

func (j *memoryJournal) Entries(_ context.Context, q EntryQuery) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range j.entries(q) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (j *memoryJournal) entries(q EntryQuery) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.open) == 0 && q == (EntryQuery{}) {
		return nil
	}
	found := make(map[uint64]*memoryEntry)
	add := func(m *memoryEntry) { found[m.sequence] = m }
	for _, m := range j.open {
		add(m)
	}
	for _, m := range j.keys[q.Key] {
		add(m)
	}
	if !q.Since.IsZero() {
		for _, m := range j.all {
			if !m.SettledAt.Before(q.Since) && m.State != EntryOpen {
				add(m)
			}
		}
	}
	entries := make([]Entry, 0, len(found))
	for _, sequence := range slices.Sorted(maps.Keys(found)) {
		entries = append(entries, found[sequence].clone())
	}
	return entries
}

// sum returns what was spent, or may have been, since a time.
func (j *memoryJournal) sum(since time.Time, currency string) (Money, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	total := Money{Currency: currency}
	var err error
	for _, m := range j.open {
		if m.counts() && err == nil {
			total, err = total.Add(m.cost())
		}
	}
	first, _ := slices.BinarySearchFunc(j.spent, since, func(c memoryCharge, t time.Time) int { return c.at.Compare(t) })
	switch {
	case err != nil || first == len(j.spent):
		return total, err
	case !j.mixed.Before(since):
		return total, ErrCurrencyMismatch
	}
	last := j.spent[len(j.spent)-1]
	return total.Add(Money{Amount: last.total.Sub(j.spent[first].total).Add(j.spent[first].cost.Amount), Currency: last.cost.Currency})
}
