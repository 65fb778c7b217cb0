package youproxy

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/shopspring/decimal"
)

// ProxyType is a kind of proxy the service sells. Its values are case
// sensitive. A type this package does not know is kept as the service wrote it.
type ProxyType string

// The proxy types the service documents.
const (
	ProxyTypeIPv4   ProxyType = "IPv4"
	ProxyTypeIPv6   ProxyType = "IPv6"
	ProxyTypeMobile ProxyType = "MOBILE"
	ProxyTypeISP    ProxyType = "ISP"
)

// Valid reports whether t is one of the documented proxy types.
func (t ProxyType) Valid() bool {
	switch t {
	case ProxyTypeIPv4, ProxyTypeIPv6, ProxyTypeMobile, ProxyTypeISP:
		return true
	}
	return false
}

// AuthType says how a proxy recognises its user.
type AuthType string

// The authorisation types the service documents.
const (
	AuthTypeLogin AuthType = "LOGIN" // by login and password
	AuthTypeIP    AuthType = "IP"    // by the address the traffic comes from
)

// Valid reports whether t is one of the documented authorisation types.
func (t AuthType) Valid() bool { return t == AuthTypeLogin || t == AuthTypeIP }

// Protocol is what an IPv6 proxy speaks. The other proxy types speak both.
type Protocol string

// The protocols the service documents.
const (
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolSOCKS Protocol = "SOCKS"
)

// Valid reports whether p is one of the documented protocols.
func (p Protocol) Valid() bool { return p == ProtocolHTTP || p == ProtocolSOCKS }

// PromoCodeStatus says what became of the promo code of a request. It is empty
// where no code was sent. A code that is not valid is no error to the service:
// the order is placed at the full price.
type PromoCodeStatus string

// The promo code states the service documents.
const (
	PromoCodeValid    PromoCodeStatus = "VALID"
	PromoCodeNotValid PromoCodeStatus = "NO_VALID"
)

// Valid reports whether s is a documented state, or the empty one of a request
// without a promo code. It does not say whether the code was accepted: compare
// with [PromoCodeValid] for that.
func (s PromoCodeStatus) Valid() bool {
	return s == "" || s == PromoCodeValid || s == PromoCodeNotValid
}

// OrderNumber is what the reply to an order calls it, such as
// "NUMBER-112233". It is not the [OrderID] that extensions ask for.
type OrderNumber string

// OrderID names an order in the list of IP addresses and in extensions.
type OrderID string

// IPAddressID names one IP address of an order.
type IPAddressID string

// Money is an exact amount in a currency. Compare it with [Money.Equal] or
// [Money.Cmp], never with ==: 1.5 and 1.50 are the same amount written
// differently.
type Money struct {
	Amount   decimal.Decimal
	Currency string // as the service names it, such as "USD"; empty where it named none
}

var (
	_ encoding.TextMarshaler   = Money{}
	_ encoding.TextUnmarshaler = (*Money)(nil)
	_ slog.LogValuer           = Secret{}
)

// ParseMoney reads an amount and its currency, such as "4.57 USD": digits with
// a decimal point, one space, and a code of two to ten capital letters or
// digits.
func ParseMoney(s string) (Money, error) {
	amount, currency, _ := strings.Cut(s, " ")
	if !isCurrency(currency) {
		return Money{}, fmt.Errorf("youproxy: %q is not money: write an amount and its currency, such as 4.57 USD", s)
	}
	d, err := parseAmount(amount)
	if err != nil {
		return Money{}, fmt.Errorf("youproxy: %q is not money: %w: write it such as 4.57 USD", s, err)
	}
	return Money{Amount: d, Currency: currency}, nil
}

// MustMoney is [ParseMoney] for constants: it panics where that gives an error.
func MustMoney(s string) Money {
	m, err := ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

func isCurrency(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 2 && len(s) <= 10
}

// The bounds of an amount that is taken. They are far above any price, and keep
// a hostile exponent from costing memory when the amount is printed or added.
const (
	maxAmountLength   = 128
	maxAmountExponent = 100
)

var errNoAmount = errors.New("the amount is not a decimal number")

func parseAmount(s string) (decimal.Decimal, error) {
	if len(s) > maxAmountLength {
		return decimal.Decimal{}, errors.New("the amount is too long")
	}
	if strings.Trim(s, "0123456789.+-eE") != "" || !strings.ContainsAny(s, "0123456789") {
		return decimal.Decimal{}, errNoAmount
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return decimal.Decimal{}, errNoAmount
	}
	if e := d.Exponent(); e > maxAmountExponent || e < -maxAmountExponent {
		return decimal.Decimal{}, errors.New("the amount's exponent is out of range")
	}
	return d, nil
}

// String gives the exact amount and the currency, such as "4.57 USD".
func (m Money) String() string {
	if m.Currency == "" {
		return m.Amount.String()
	}
	return m.Amount.String() + " " + m.Currency
}

// Equal reports whether both are the same amount of the same currency.
func (m Money) Equal(other Money) bool {
	return m.Currency == other.Currency && m.Amount.Equal(other.Amount)
}

// Cmp gives -1, 0 or +1 as m is less than, equal to or more than other. Amounts
// of different currencies cannot be compared: [ErrCurrencyMismatch].
func (m Money) Cmp(other Money) (int, error) {
	if m.Currency != other.Currency {
		return 0, fmt.Errorf("%w: %s and %s", ErrCurrencyMismatch, m, other)
	}
	return m.Amount.Cmp(other.Amount), nil
}

// MarshalText writes what [Money.String] gives.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote. It takes a missing or unusual
// currency, which the service may have sent, where [ParseMoney] takes none.
func (m *Money) UnmarshalText(text []byte) error {
	amount, currency, _ := strings.Cut(string(text), " ")
	d, err := parseAmount(amount)
	if err != nil {
		return fmt.Errorf("youproxy: %q is not money: %w", text, err)
	}
	*m = Money{Amount: d, Currency: currency}
	return nil
}

// hidden stands wherever a [Secret] would be printed.
const hidden = "***"

// Secret is a text that must not be shown, such as a password. It prints as ***
// under every verb, in logs and in JSON; only [Secret.Reveal] gives it out. The
// zero Secret is empty.
type Secret struct{ text *string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal gives the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both hide the same text.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// IsZero reports whether there is nothing to hide.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String gives ***.
func (Secret) String() string { return hidden }

// Format writes *** whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue gives *** to slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON writes "***", or "" where there is nothing to hide.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte(`""`), nil
	}
	return []byte(`"` + hidden + `"`), nil
}

// UnmarshalJSON reads a string. It refuses "***", so that a value that was
// saved without its secret is not taken for one that has it.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("youproxy: a secret must be a JSON string")
	}
	if text == hidden {
		return fmt.Errorf("youproxy: %q stands for a secret that was not saved: take it from where it is kept", hidden)
	}
	*s = Secret{}
	if text != "" {
		*s = NewSecret(text)
	}
	return nil
}
