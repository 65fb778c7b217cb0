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

// attemptVersion is the version of [Attempt] that this package writes. It also reads
// version 1.
const attemptVersion = 2

// Attempt is a call that spends money, as it is recorded in the [Journal] before it is
// sent. It includes what the account held at that time. With it, [Client.Recover] and
// [Client.Reconcile] find out whether the call was executed, also in another process or
// after a crash. It is plain JSON without secrets.
type Attempt struct {
	Version        int             `json:"version"`
	ID             string          `json:"id"`                // assigned by this package; the service does not see it
	Key            string          `json:"key,omitempty"`     // set by [IdempotencyKey]
	Request        string          `json:"request,omitempty"` // the SHA-256 of the call and its body, in hex
	Account        string          `json:"account,omitempty"` // 32 bits of the SHA-256 of ID and the API key, in hex
	At             time.Time       `json:"at"`                // when it was about to be sent
	Op             string          `json:"op"`                // the call, such as "POST /order"
	ProxyType      ProxyType       `json:"proxyType,omitempty"`
	RentPeriodDays int             `json:"rentPeriodDays,omitempty"`
	Price          Money           `json:"price"`                // as quoted
	PriceIfEach    Money           `json:"priceIfEach,omitzero"` // Price times Quantity, if the quote may be the price of one proxy; else zero
	Discount       decimal.Decimal `json:"discount,omitzero"`    // percent, as quoted
	Limit          Money           `json:"limit"`
	PromoCode      string          `json:"promoCode,omitempty"`

	Quantity int `json:"quantity,omitempty"` // number of proxies

	// Of an order. With the fields above, this is what the price depends on.
	Country        string `json:"country,omitempty"`
	Goal           string `json:"goal,omitempty"`
	MobileOperator string `json:"mobileOperator,omitempty"`
	RotationTime   int    `json:"rotationTime,omitempty"`

	// Of an extension: what it asked for.
	IPAddressIDs []IPAddressID `json:"ipAddressIds,omitempty"`
	OrderIDs     []OrderID     `json:"orderIds,omitempty"`

	// The timeout of the call, and the patience with which the account is looked at after
	// that. Both are in milliseconds.
	SpendMillis    int64 `json:"spendMillis,omitempty"`
	PatienceMillis int64 `json:"patienceMillis,omitempty"`

	Before Holdings `json:"before,omitzero"` // zero for a plain call, such as [Client.CreateOrder]
}

// Holdings is what the account held before an attempt, as far as it matters to the
// attempt.
type Holdings struct {
	Balance Money `json:"balance,omitzero"`
	// Date is the service's clock when it sent the list; zero if the reply had no Date.
	Date time.Time `json:"date,omitzero"`
	// Orders lists orders of the account: before an order, all of its proxy type; before
	// an extension, those of its proxies.
	Orders []OrderID `json:"orders,omitempty"`
	// Ends maps each proxy that is to be extended to the end of its rent period.
	Ends map[IPAddressID]time.Time `json:"ends,omitempty"`
	// Beside lists the proxies of the same orders that are not to be extended.
	Beside []IPAddressID `json:"beside,omitempty"`
	// Renewing lists the proxies in Ends that the service may extend by itself.
	Renewing []IPAddressID `json:"renewing,omitempty"`

	// Only in version 1: the numbers of orders that the list did not show yet, empty for
	// an unknown number; and whether an earlier extension could still be executed.
	Unseen    []OrderNumber `json:"unseen,omitempty"`
	Disturbed bool          `json:"disturbed,omitempty"`
}

// clone returns a deep copy.
func (a Attempt) clone() Attempt {
	a.IPAddressIDs, a.OrderIDs = slices.Clone(a.IPAddressIDs), slices.Clone(a.OrderIDs)
	b := &a.Before
	b.Orders, b.Unseen, b.Ends = slices.Clone(b.Orders), slices.Clone(b.Unseen), maps.Clone(b.Ends)
	b.Beside, b.Renewing = slices.Clone(b.Beside), slices.Clone(b.Renewing)
	return a
}

func (a *Attempt) period() time.Duration { return time.Duration(a.RentPeriodDays) * 24 * time.Hour }

// isPlain reports whether a is a call without a guard, such as [Client.CreateOrder]: what
// the account held before it is not known.
func (a *Attempt) isPlain() bool { return a.Before.Balance.IsZero() }

// isOrder reports whether a is an order rather than an extension.
func (a *Attempt) isOrder() bool { return a.Op == opOrder }

// check returns an error if the attempt, which may come from a file, is not valid.
func (a *Attempt) check() error {
	switch {
	case a.Version != 1 && a.Version != attemptVersion:
		return fmt.Errorf("the attempt has version %d, and this package reads 1 and %d", a.Version, attemptVersion)
	case a.ID == "" || a.At.IsZero():
		return errors.New("the attempt has no id or no time")
	case !a.ProxyType.Valid():
		return fmt.Errorf("the attempt has the proxy type %s, which does not exist", shortQuote(string(a.ProxyType)))
	case a.Quantity < 1 || a.RentPeriodDays < 1:
		return errors.New("the attempt has no quantity or no rent period")
	case a.isPlain():
		return errors.New("the attempt does not contain what the account held before")
	case a.isOrder():
		return nil
	case a.Op != opExtend && a.Op != opExtendOrders:
		return fmt.Errorf("the attempt is a call of %s, which is not a purchase", shortQuote(a.Op))
	case len(a.Before.Ends) == 0:
		return errors.New("the attempt does not contain when its proxies ended")
	}
	return nil
}

// String returns what was attempted and when, in one line.
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

// LogValue returns the main fields as a group, for slog.
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
