package youproxy

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Journal records the purchases of one account before they are sent: see [WithJournal].
// Its methods may be called by many goroutines at once.
//
// A journal has at most one holder of its lock at a time and makes all others wait,
// including goroutines of the same process. A client calls Record only between Lock and unlock, and
// reads Entries to the end before it calls Record.
type Journal interface {
	// Lock waits until nobody else holds the lock, or ctx is over. Once it has
	// returned unlock, nobody else may spend until that is called or this process has
	// ended. A client holds the lock
	// for at most the time of its reads, [Timeouts.Spend] and the patience of
	// [WithReconcilePatience]: about 7 minutes by default.
	Lock(ctx context.Context) (unlock func(), err error)

	// Record writes an entry, replacing the one with the same Attempt.ID if there is one.
	// When it returns nil, the entry is durable. If the lock was lost, it returns an
	// error and writes nothing.
	Record(ctx context.Context, e Entry) error

	// Entries yields each entry that is open, each that was settled at or after q.Since
	// unless that is zero, and each with q.Key unless that is empty. They come in the
	// order in which they were first recorded, each once. Without the lock, Entries
	// yields the state of some moment since it was called.
	Entries(ctx context.Context, q EntryQuery) iter.Seq2[Entry, error]
}

// EntryQuery selects entries of a [Journal], in addition to those that are open.
type EntryQuery struct {
	Since time.Time // selects entries settled at or after it; zero selects none
	Key   string    // selects entries with this idempotency key; empty selects none
}

// EntryState is the state of an attempt in a [Journal].
type EntryState string

// The states of an entry. An open entry may change to any other state. The others are final
// for their attempt, but the key of an attempt that was not executed may be used again.
const (
	EntryOpen        EntryState = "open"         // it may have been executed, or may still be in progress
	EntryExecuted    EntryState = "executed"     // the money was spent
	EntryNotExecuted EntryState = "not executed" // nothing was spent
	EntryDismissed   EntryState = "dismissed"    // its outcome is not known, and it no longer stops others
)

// Entry is one attempt in a [Journal], with its outcome. It is plain JSON without
// secrets.
type Entry struct {
	Attempt         Attempt         `json:"attempt"`
	State           EntryState      `json:"state"`
	SettledAt       time.Time       `json:"settledAt,omitzero"` // zero while it is open
	OrderNumber     OrderNumber     `json:"orderNumber,omitempty"`
	OrderID         OrderID         `json:"orderId,omitempty"` // empty until known
	PromoCodeStatus PromoCodeStatus `json:"promoCodeStatus,omitempty"`
	IPAddressIDs    []IPAddressID   `json:"ipAddressIds,omitempty"` // of the extended proxies
	OrderIDs        []OrderID       `json:"orderIds,omitempty"`     // of the extended orders
	Recovered       bool            `json:"recovered,omitempty"`    // the reply was lost, and the account showed the result
	Charged         *Money          `json:"charged,omitempty"`      // by how much the balance fell; nil if not known
	Note            string          `json:"note,omitempty"`         // why the attempt was dismissed
}

// clone returns a deep copy.
func (e *Entry) clone() Entry {
	c := *e
	c.Attempt = e.Attempt.clone()
	c.IPAddressIDs, c.OrderIDs = slices.Clone(e.IPAddressIDs), slices.Clone(e.OrderIDs)
	c.Charged = e.charged()
	return c
}

// charged returns a copy of Charged.
func (e *Entry) charged() *Money {
	if e.Charged == nil {
		return nil
	}
	charged := *e.Charged
	return &charged
}

// settle sets the final state of an entry.
func (e *Entry) settle(s EntryState) {
	e.State, e.SettledAt = s, time.Now().UTC()
	e.trim()
}

// trim drops what distinguishes the purchase from others, once that is not needed any
// more.
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

// cost returns what an entry counts in a budget: the largest of its price, its price for
// each proxy, and what was charged.
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
