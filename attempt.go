package youproxy

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// attemptVersion is the form of [Attempt] that this package writes. It reads version 1
// as well.
const attemptVersion = 2

// Attempt is a call that spends, as it stands in the [Journal] before it is sent, with
// what the account held until then. It is plain JSON without secrets. It lets
// [Client.Recover] and [Client.Reconcile] find out what became of it, also in another
// process, or after a crash.
type Attempt struct {
	Version        int             `json:"version"`
	ID             string          `json:"id"`                // this package's own; the service does not see it
	Key            string          `json:"key,omitempty"`     // of [IdempotencyKey]
	Request        string          `json:"request,omitempty"` // a SHA-256 over the call and its body
	Account        string          `json:"account,omitempty"` // 32 bits of a SHA-256 over ID and the API key
	At             time.Time       `json:"at"`                // when it was about to be sent
	Op             string          `json:"op"`                // the call, such as "POST /order"
	ProxyType      ProxyType       `json:"proxyType,omitempty"`
	RentPeriodDays int             `json:"rentPeriodDays,omitempty"`
	Price          Money           `json:"price"`                // as quoted
	PriceIfEach    Money           `json:"priceIfEach,omitzero"` // of all, where the quote may be the price of one proxy
	Discount       decimal.Decimal `json:"discount,omitzero"`    // of the quote, in percent
	Limit          Money           `json:"limit"`
	PromoCode      string          `json:"promoCode,omitempty"`

	Quantity int `json:"quantity,omitempty"` // proxies

	// Of an order: with the rest, what the price depends on.
	Country        string `json:"country,omitempty"`
	Goal           string `json:"goal,omitempty"`
	MobileOperator string `json:"mobileOperator,omitempty"`
	RotationTime   int    `json:"rotationTime,omitempty"`

	// Of an extension: what it asked for.
	IPAddressIDs []IPAddressID `json:"ipAddressIds,omitempty"`
	OrderIDs     []OrderID     `json:"orderIds,omitempty"`

	// How long the reply was to be waited for, and the account looked at after that.
	SpendMillis    int64 `json:"spendMillis,omitempty"`
	PatienceMillis int64 `json:"patienceMillis,omitempty"`

	Before Holdings `json:"before,omitzero"` // nothing of a plain call, such as [Client.CreateOrder]
}

// Holdings is what the account held before an attempt, as far as that matters to
// it.
type Holdings struct {
	Balance Money `json:"balance,omitzero"`
	// Date is the service's clock when it sent the list; zero where it told none.
	Date time.Time `json:"date,omitzero"`
	// Orders is, of an order, all that the list showed of its proxy type; of an
	// extension, the orders of its proxies.
	Orders []OrderID `json:"orders,omitempty"`
	// Ends is when the proxies end that are to be extended.
	Ends map[IPAddressID]time.Time `json:"ends,omitempty"`
	// Beside is the other proxies of the orders of an extension.
	Beside []IPAddressID `json:"beside,omitempty"`
	// Renewing is which of them the service may extend by itself meanwhile.
	Renewing []IPAddressID `json:"renewing,omitempty"`

	// Of version 1: orders that were not in the list yet, with an empty number for each
	// that was not known; and whether an earlier extension could still be executed.
	Unseen    []OrderNumber `json:"unseen,omitempty"`
	Disturbed bool          `json:"disturbed,omitempty"`
}

// clone returns a copy that shares nothing.
func (a Attempt) clone() Attempt {
	a.IPAddressIDs, a.OrderIDs = slices.Clone(a.IPAddressIDs), slices.Clone(a.OrderIDs)
	b := &a.Before
	b.Orders, b.Unseen, b.Ends = slices.Clone(b.Orders), slices.Clone(b.Unseen), maps.Clone(b.Ends)
	b.Beside, b.Renewing = slices.Clone(b.Beside), slices.Clone(b.Renewing)
	return a
}

func (a *Attempt) period() time.Duration { return time.Duration(a.RentPeriodDays) * 24 * time.Hour }

// isPlain reports whether it is a call without a guard, such as [Client.CreateOrder]:
// nothing is known of what the account held before.
func (a *Attempt) isPlain() bool { return a.Before.Balance.IsZero() }

// isOrder reports whether it is an order, and not an extension.
func (a *Attempt) isOrder() bool { return a.Op == opOrder }

// check tells what is wrong with an attempt that was read from somewhere.
func (a *Attempt) check() error {
	switch {
	case a.Version != 1 && a.Version != attemptVersion:
		return fmt.Errorf("the attempt is of version %d, and this package reads 1 and %d", a.Version, attemptVersion)
	case a.ID == "" || a.At.IsZero():
		return errors.New("the attempt has no id or no time")
	case !a.ProxyType.Valid():
		return fmt.Errorf("the attempt is of the proxy type %s, which is none", shortQuote(string(a.ProxyType)))
	case a.Quantity < 1 || a.RentPeriodDays < 1:
		return errors.New("the attempt tells no quantity or no period")
	case a.isPlain():
		return errors.New("the attempt does not tell what the account held before")
	case a.isOrder():
		return nil
	case a.Op != opExtend && a.Op != opExtendOrders:
		return fmt.Errorf("the attempt is at %s, which is no purchase", shortQuote(a.Op))
	case len(a.Before.Ends) == 0:
		return errors.New("the attempt does not tell when its proxies ended")
	}
	return nil
}

// String tells what was attempted, and when.
func (a Attempt) String() string {
	if a.ID == "" {
		return "an attempt without an id"
	}
	kind, what := "extension of", fmt.Sprintf("%d x %s for %d days", a.Quantity, plainText(string(a.ProxyType)), a.RentPeriodDays)
	switch {
	case a.isOrder():
		kind = "order of"
	case a.isPlain():
		kind, what = "call", plainText(a.Op)
	}
	if !a.Price.IsZero() {
		what += " at " + a.Price.String()
	}
	return fmt.Sprintf("%s %s, attempt %s at %s", kind, what, plainText(a.ID), a.At.UTC().Format(time.RFC3339))
}

// LogValue gives slog the fields that tell what was attempted.
func (a Attempt) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", a.ID),
		slog.Time("at", a.At),
		slog.String("key", a.Key),
		slog.String("op", a.Op),
		slog.String("type", string(a.ProxyType)),
		slog.Int("quantity", a.Quantity),
		slog.Int("days", a.RentPeriodDays),
		slog.String("price", a.Price.String()),
		slog.String("limit", a.Limit.String()),
	)
}
