package youproxy

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Journal is where the purchases of one account are written down before they are
// sent: see [WithJournal]. Its methods may be called from many goroutines.
//
// A journal serves one holder of its lock at a time, and makes others wait, those of
// its own process first. A client calls Record only between Lock and unlock, and reads
// what Entries yields to its end before it calls Record.
type Journal interface {
	// Lock waits until nobody else holds the lock, or ctx is over. Then nobody else
	// spends until unlock is called, or this process has ended. A client holds it for
	// at most the time of its reads, [Timeouts.Spend] and the patience of
	// [WithReconcilePatience]: about seven minutes unless these are set.
	Lock(ctx context.Context) (unlock func(), err error)

	// Record writes an entry, in place of the one with the same Attempt.ID if there is
	// one. The entry is durable when it returns nil. It returns an error where the lock
	// was lost: then nothing was written.
	Record(ctx context.Context, e Entry) error

	// Entries yields the entries that are open, those settled at or after q.Since unless
	// that is zero, and those with q.Key unless that is empty, each once. They come in
	// the order in which they were first recorded. Without the lock it yields what had
	// been recorded at some moment since it was called.
	Entries(ctx context.Context, q EntryQuery) iter.Seq2[Entry, error]
}

// EntryQuery selects entries of a [Journal] beside those that are open.
type EntryQuery struct {
	Since time.Time // those settled at or after it; none where it is zero
	Key   string    // those with this idempotency key; none where it is empty
}

// EntryState tells what is known of an attempt in a [Journal].
type EntryState string

// The states of an entry. An open one may become any other. The others are final for
// their attempt, but a key whose attempt was not executed may be used for another one.
const (
	EntryOpen        EntryState = "open"         // it may have been executed, or may still be
	EntryExecuted    EntryState = "executed"     // the money was spent
	EntryNotExecuted EntryState = "not executed" // nothing was spent
	EntryDismissed   EntryState = "dismissed"    // nobody knows, and nobody is to wait for it any more
)

// Entry is one attempt in a [Journal], with what became of it. It is plain JSON
// without secrets.
type Entry struct {
	Attempt         Attempt         `json:"attempt"`
	State           EntryState      `json:"state"`
	SettledAt       time.Time       `json:"settledAt,omitzero"` // zero while it is open
	OrderNumber     OrderNumber     `json:"orderNumber,omitempty"`
	OrderID         OrderID         `json:"orderId,omitempty"` // empty until it is known
	PromoCodeStatus PromoCodeStatus `json:"promoCodeStatus,omitempty"`
	IPAddressIDs    []IPAddressID   `json:"ipAddressIds,omitempty"` // that were extended
	OrderIDs        []OrderID       `json:"orderIds,omitempty"`     // that were extended
	Recovered       bool            `json:"recovered,omitempty"`    // the reply was lost, and the account shows it
	Charged         *Money          `json:"charged,omitempty"`      // nil where it is not known
	Note            string          `json:"note,omitempty"`         // why it was dismissed
}

// clone returns a copy that shares nothing.
func (e *Entry) clone() Entry {
	c := *e
	c.Attempt = e.Attempt.clone()
	c.IPAddressIDs, c.OrderIDs = slices.Clone(e.IPAddressIDs), slices.Clone(e.OrderIDs)
	c.Charged = e.charged()
	return c
}

// charged returns a copy of what was charged.
func (e *Entry) charged() *Money {
	if e.Charged == nil {
		return nil
	}
	charged := *e.Charged
	return &charged
}

// settle gives an entry its last state.
func (e *Entry) settle(s EntryState) {
	e.State, e.SettledAt = s, time.Now().UTC()
	e.trim()
}

// trim drops what tells the purchase from others, once nobody has to any more.
func (e *Entry) trim() (trimmed bool) {
	b := &e.Attempt.Before
	kept := b.Orders != nil || b.Ends != nil || b.Beside != nil
	waits := e.State == EntryExecuted && e.Attempt.isOrder() && e.OrderID == "" && time.Since(e.SettledAt) < 24*time.Hour
	if e.State == EntryOpen || waits || !kept {
		return false
	}
	b.Orders, b.Ends, b.Beside, b.Renewing = nil, nil, nil, nil
	return true
}

// cost is what an entry counts with in a budget: the greater of its price, be it for each
// proxy, and of what was charged.
func (e *Entry) cost() Money {
	cost := e.Attempt.Price
	for _, other := range []*Money{&e.Attempt.PriceIfEach, e.Charged} {
		if other == nil {
			continue
		}
		if more, err := other.Cmp(cost); err == nil && more > 0 {
			cost = *other
		}
	}
	return cost
}

// counts reports whether an entry counts in a budget.
func (e *Entry) counts() bool { return e.State != EntryNotExecuted && !e.Attempt.isPlain() }
