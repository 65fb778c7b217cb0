package youproxy

import (
	"encoding"
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// Money is an exact amount in a currency. The zero Money is an unknown amount: it prints
// as "unknown", and cannot be compared with or added to any amount. Compare with
// [Money.Equal] or [Money.Cmp], never with ==, as 1.5 and 1.50 are the same amount
// written differently.
type Money struct {
	Amount   decimal.Decimal
	Currency string // as the service names it, such as "USD"; empty if it named none
}

var (
	_ encoding.TextMarshaler   = Money{}
	_ encoding.TextUnmarshaler = (*Money)(nil)
)

// ErrCurrencyMismatch is returned if amounts are compared or added that are in different
// currencies, or one of which is unknown.
var ErrCurrencyMismatch = errors.New("youproxy: amounts in different currencies cannot be compared or added")

// unknownMoney is the text of the zero Money.
const unknownMoney = "unknown"

// ParseMoney parses an amount and its currency, such as "4.57 USD": digits, optionally
// with a decimal point and more digits, one space, and a currency of 2 to 10 capital
// letters or digits. It does not accept signs or exponents.
func ParseMoney(s string) (Money, error) {
	amount, currency, _ := strings.Cut(s, " ")
	d, err := parsePlain(amount)
	switch {
	case err != nil:
		return Money{}, fmt.Errorf("youproxy: %s is not money: %w: write it like 4.57 USD", shortQuote(s), err)
	case !isCurrency(currency):
		return Money{}, fmt.Errorf("youproxy: %s is not money: write an amount, one space, and a currency in capital letters, such as 4.57 USD", shortQuote(s))
	}
	return Money{Amount: d, Currency: currency}, nil
}

// MustMoney is like [ParseMoney] but panics if the string is not valid. It is meant for
// constants.
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

// The bounds of an amount. They are far above any price, and keep a hostile exponent from
// costing memory when the amount is printed or added.
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

// parsePlain parses digits with or without a decimal point.
func parsePlain(s string) (decimal.Decimal, error) {
	whole, fraction, point := strings.Cut(s, ".")
	for _, digits := range []string{whole, fraction} {
		if strings.Trim(digits, "0123456789") != "" {
			return decimal.Decimal{}, errNoAmount
		}
	}
	if whole == "" || point && fraction == "" {
		return decimal.Decimal{}, errNoAmount
	}
	return parseAmount(s)
}

// IsZero reports whether m is the zero Money, an unknown amount. For an amount of 0 use
// m.Amount.IsZero().
func (m Money) IsZero() bool { return m == Money{} }

// String returns the exact amount and the currency, such as "4.57 USD", or
// "unknown".
func (m Money) String() string {
	switch {
	case m.IsZero():
		return unknownMoney
	case m.Currency == "":
		return m.Amount.String()
	}
	return m.Amount.String() + " " + m.Currency
}

// Equal reports whether both are the same amount in the same currency, or both are
// unknown.
func (m Money) Equal(other Money) bool {
	return m.Currency == other.Currency && m.Amount.Equal(other.Amount) && m.IsZero() == other.IsZero()
}

// Cmp returns -1, 0 or +1 if m is less than, equal to or more than other. If the
// currencies differ or one amount is unknown, it returns [ErrCurrencyMismatch].
func (m Money) Cmp(other Money) (int, error) {
	if err := m.matches(other); err != nil {
		return 0, err
	}
	return m.Amount.Cmp(other.Amount), nil
}

// Add returns the sum of m and other. If the currencies differ or one amount is unknown,
// it returns [ErrCurrencyMismatch].
func (m Money) Add(other Money) (Money, error) {
	if err := m.matches(other); err != nil {
		return Money{}, err
	}
	return Money{Amount: m.Amount.Add(other.Amount), Currency: m.Currency}, nil
}

// Sub returns m minus other, which may be negative. If the currencies differ or one
// amount is unknown, it returns [ErrCurrencyMismatch].
func (m Money) Sub(other Money) (Money, error) {
	if err := m.matches(other); err != nil {
		return Money{}, err
	}
	return Money{Amount: m.Amount.Sub(other.Amount), Currency: m.Currency}, nil
}

func (m Money) matches(other Money) error {
	if m.Currency != other.Currency || m.IsZero() || other.IsZero() {
		return fmt.Errorf("%w: %s and %s", ErrCurrencyMismatch, m, other)
	}
	return nil
}

// MarshalText returns the same as [Money.String].
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses the form that MarshalText returns. Unlike [ParseMoney] it also
// accepts what only the service can have sent: a negative amount, a missing or unusual
// currency, and "unknown".
func (m *Money) UnmarshalText(text []byte) error {
	amount, currency, spaced := strings.Cut(string(text), " ")
	if string(text) == unknownMoney {
		*m = Money{}
		return nil
	}
	d, err := parsePlain(strings.TrimPrefix(amount, "-"))
	if err == nil && spaced && currency != strings.TrimSpace(currency) || spaced && currency == "" {
		err = errors.New("there are blanks around the currency")
	}
	if err != nil {
		return fmt.Errorf("youproxy: %s is not money: %w: write it like 4.57 USD", shortQuote(string(text)), err)
	}
	if strings.HasPrefix(amount, "-") {
		d = d.Neg()
	}
	*m = Money{Amount: d, Currency: currency}
	return nil
}
