package youproxy

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// attemptVersion is the form of [Attempt] that this package writes.
const attemptVersion = 1

// Attempt is a purchase or a renewal that was about to be sent, with what the
// account held before. It is plain JSON without secrets: written down by
// [WithAttemptRecorder], it lets [Client.Reconcile] find out what became of it,
// also in another process, or after a crash.
type Attempt struct {
	Version        int       `json:"version"`
	ID             string    `json:"id"` // this package's own; the service does not see it
	At             time.Time `json:"at"` // when it was about to be sent
	Op             string    `json:"op"` // the call, such as "POST /order"
	ProxyType      ProxyType `json:"proxyType"`
	RentPeriodDays int       `json:"rentPeriodDays"`
	Price          Money     `json:"price"` // as quoted
	Limit          Money     `json:"limit"`
	PromoCode      string    `json:"promoCode,omitempty"`

	Country  string `json:"country,omitempty"` // of an order
	Quantity int    `json:"quantity"`          // proxies

	Before Holdings `json:"before"`
}

// Holdings is what the account held before an attempt, as far as that matters to
// it.
type Holdings struct {
	Balance Money `json:"balance"`
	// Orders is what was in the list already, of the proxy type that is ordered.
	Orders []OrderID `json:"orders,omitempty"`
	// Unseen is what this client had ordered of that type without having seen it in
	// the list.
	Unseen []OrderNumber `json:"unseen,omitempty"`
	// Ends is when the proxies end that are to be extended.
	Ends map[IPAddressID]time.Time `json:"ends,omitempty"`
	// Renewing is which of them the service may extend by itself meanwhile.
	Renewing []IPAddressID `json:"renewing,omitempty"`
	// Disturbed tells that an earlier extension of them, of unknown outcome, might
	// still be executed.
	Disturbed bool `json:"disturbed,omitempty"`
}

// isOrder reports whether it is an order, and not an extension.
func (a *Attempt) isOrder() bool { return a.Op == opOrder }

// check tells what is wrong with an attempt that was read from somewhere.
func (a *Attempt) check() error {
	switch {
	case a.Version != attemptVersion:
		return fmt.Errorf("the attempt is of version %d, and this package reads %d", a.Version, attemptVersion)
	case a.ID == "" || a.At.IsZero():
		return errors.New("the attempt has no id or no time")
	case a.ProxyType == "":
		return errors.New("the attempt tells no proxy type")
	case a.Quantity < 1 || a.RentPeriodDays < 1:
		return errors.New("the attempt tells no quantity or no period")
	case a.isOrder():
		return nil
	case a.Op != opExtend && a.Op != opExtendOrders:
		return fmt.Errorf("the attempt is at %s, which is no purchase", shortQuote(a.Op))
	case len(a.Before.Ends) == 0:
		return errors.New("the attempt does not tell when its proxies ended")
	}
	return nil
}

// String tells what was attempted.
func (a Attempt) String() string {
	what := fmt.Sprintf("%d x %s for %d days at %s", a.Quantity, plainText(string(a.ProxyType)), a.RentPeriodDays, a.Price)
	if a.isOrder() {
		return fmt.Sprintf("order of %s, attempt %s at %s", what, plainText(a.ID), a.At.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("extension of %s, attempt %s at %s", what, plainText(a.ID), a.At.UTC().Format(time.RFC3339))
}

// LogValue gives slog the fields but for what the account held.
func (a Attempt) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", a.ID),
		slog.Time("at", a.At),
		slog.String("op", a.Op),
		slog.String("type", string(a.ProxyType)),
		slog.Int("quantity", a.Quantity),
		slog.Int("days", a.RentPeriodDays),
		slog.String("price", a.Price.String()),
		slog.String("limit", a.Limit.String()),
	)
}

// ownOrders is what a client has ordered lately. The variants of a client share
// it.
type ownOrders struct {
	mu     sync.Mutex
	orders []ownOrder
}

type ownOrder struct {
	number    OrderNumber // empty where it is not known whether it was placed
	proxyType ProxyType
	at        time.Time // when that was known, or given up
	seen      bool      // in the list
}

// ownFor is how long an order is remembered. A list that carries no order numbers
// never shows it.
const ownFor = time.Hour

func (own *ownOrders) add(number OrderNumber, t ProxyType) {
	own.mu.Lock()
	defer own.mu.Unlock()
	now := time.Now()
	for len(own.orders) > 0 && now.Sub(own.orders[0].at) > 24*ownFor {
		own.orders = own.orders[1:] // the rest is looked through when it is asked for
	}
	own.orders = append(own.orders, ownOrder{number: number, proxyType: t, at: now})
}

// see notes that the proxies of an order were found in the list.
func (own *ownOrders) see(number OrderNumber) {
	own.mu.Lock()
	defer own.mu.Unlock()
	for i := range own.orders {
		o := &own.orders[i]
		o.seen = o.seen || o.number != "" && o.number == number
	}
}

// unseen gives those of a proxy type that are not among the numbers of a list,
// with an empty number for those that may still be executed for some time after
// they were given up.
func (own *ownOrders) unseen(t ProxyType, listed map[OrderNumber]bool, late time.Duration) []OrderNumber {
	own.mu.Lock()
	defer own.mu.Unlock()
	own.orders = slices.DeleteFunc(own.orders, func(o ownOrder) bool {
		age := time.Since(o.at)
		return age > ownFor && (o.number != "" || age > late)
	})
	var numbers []OrderNumber
	for i := range own.orders {
		o := &own.orders[i]
		o.seen = o.seen || o.number != "" && listed[o.number]
		if o.proxyType == t && !o.seen && (o.number != "" || time.Since(o.at) <= late) {
			numbers = append(numbers, o.number)
		}
	}
	return numbers
}

// heardSince reports whether an order of a list is one that the service has
// confirmed since, or may be.
func (own *ownOrders) heardSince(at time.Time, t ProxyType, number OrderNumber) bool {
	own.mu.Lock()
	defer own.mu.Unlock()
	return slices.ContainsFunc(own.orders, func(o ownOrder) bool {
		return o.number != "" && o.proxyType == t && o.at.After(at) && (number == "" || o.number == number)
	})
}

// ownExtensions is which proxies a client has extended, or tried to. The variants
// of a client share it.
type ownExtensions struct {
	mu      sync.Mutex
	proxies map[IPAddressID]extensions
	orders  map[ProxyType]extensions // whose proxies nobody named
}

// extensions is the last ones of something.
type extensions struct {
	last    ownExtension
	unknown ownExtension // of unknown outcome
}

type ownExtension struct {
	attempt string    // its id; empty where it had none
	at      time.Time // zero where there was none
}

// with gives x with another extension.
func (x extensions) with(attempt string, unknown bool) extensions {
	x.last = ownExtension{attempt: attempt, at: time.Now()}
	if unknown {
		x.unknown = x.last
	}
	return x
}

// disturb reports whether one of x may have moved the ends of the proxies of a
// since that was sent, or still might have when it was.
func (x extensions) disturb(a *Attempt, late time.Duration) bool {
	since := func(e ownExtension, t time.Time) bool { return !e.at.IsZero() && e.attempt != a.ID && e.at.After(t) }
	return since(x.last, a.At) || since(x.unknown, a.At.Add(-late))
}

func (own *ownExtensions) add(ids []IPAddressID, attempt string, unknown bool) {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.proxies == nil {
		own.proxies = make(map[IPAddressID]extensions)
	}
	for _, id := range ids {
		own.proxies[id] = own.proxies[id].with(attempt, unknown)
	}
}

// addOrders adds an extension of orders of a type: any proxies of that type may be
// theirs.
func (own *ownExtensions) addOrders(t ProxyType, unknown bool) {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.orders == nil {
		own.orders = make(map[ProxyType]extensions)
	}
	own.orders[t] = own.orders[t].with("", unknown)
}

// disturb reports whether another extension of this client may have moved the ends
// of the proxies of a since it was sent, or still might have when it was.
func (own *ownExtensions) disturb(a *Attempt, late time.Duration) bool {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.orders[a.ProxyType].disturb(a, late) {
		return true
	}
	for id := range a.Before.Ends {
		if own.proxies[id].disturb(a, late) {
			return true
		}
	}
	return false
}
