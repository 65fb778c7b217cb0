package youproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestParseMoney(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, amount, currency string }{
		{"4.57 USD", "4.57", "USD"},
		{"0 USD", "0", "USD"},
		{"25 EUR", "25", "EUR"},
		{"9007199254740993.01 USD", "9007199254740993.01", "USD"},
		{"0.123456789012 USD", "0.123456789012", "USD"},
		{"4.50 USDT", "4.5", "USDT"},
		{"4.57 AB", "4.57", "AB"},
		{"4.57 ABCDEFGHIJ", "4.57", "ABCDEFGHIJ"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			m, err := youproxy.ParseMoney(tt.text)
			require.NoError(t, err)
			assert.True(t, decimal.RequireFromString(tt.amount).Equal(m.Amount), m.Amount.String())
			assert.Equal(t, tt.currency, m.Currency)
			assert.Equal(t, tt.amount+" "+tt.currency, m.String())
			assert.True(t, youproxy.MustMoney(tt.text).Equal(m))
		})
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text string }{
		{"nothing", ""},
		{"no currency", "4.57"},
		{"no currency after the space", "4.57 "},
		{"no amount", "USD"},
		{"no amount before the space", " USD"},
		{"currency first", "USD 4.57"},
		{"no space", "4.57USD"},
		{"two spaces", "4.57  USD"},
		{"a tab", "4.57\tUSD"},
		{"space before", " 4.57 USD"},
		{"space after", "4.57 USD "},
		{"small letters", "4.57 usd"},
		{"one letter", "4.57 U"},
		{"eleven letters", "4.57 ABCDEFGHIJK"},
		{"a symbol", "4.57 $"},
		{"comma", "4,57 USD"},
		{"thousands", "1,000.00 USD"},
		{"underscore", "1_000 USD"},
		{"hexadecimal", "0x10 USD"},
		{"words", "abc USD"},
		{"not a number", "NaN USD"},
		{"infinity", "Inf USD"},
		{"two points", "1.2.3 USD"},
		{"two signs", "--1 USD"},
		{"sign inside", "1.-5 USD"},
		{"two exponents", "1e2e3 USD"},
		{"only an exponent", "e5 USD"},
		{"only a point", ". USD"},
		{"only a sign", "- USD"},
		{"other digits", "٤ USD"},
		{"a sign", "-3.76 USD"},
		{"a plus", "+3.76 USD"},
		{"an exponent", "1e2 USD"},
		{"nothing before the point", ".5 USD"},
		{"nothing after the point", "5. USD"},
		{"an unknown amount", "unknown"},
		{"huge exponent", "1e999999999 USD"},
		{"tiny exponent", "1e-999999999 USD"},
		{"exponent beyond 32 bits", "1e99999999999999999999 USD"},
		{"a million digits", strings.Repeat("9", 1_000_000) + " USD"},
		{"a million decimals", "0." + strings.Repeat("1", 1_000_000) + " USD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := youproxy.ParseMoney(tt.text)
			require.Error(t, err)
			assert.Equal(t, youproxy.Money{}, m)
			assert.ErrorContains(t, err, "4.57 USD", "it says how to write it")
			assert.Panics(t, func() { youproxy.MustMoney(tt.text) })
		})
	}
}

// What is taken stays small when it is written out or compared.
func TestMoneyStaysSmall(t *testing.T) {
	t.Parallel()
	large := youproxy.Money{Amount: decimal.RequireFromString("1e100"), Currency: "USD"}
	small := youproxy.Money{Amount: decimal.RequireFromString("1e-100"), Currency: "USD"}
	assert.Len(t, large.String(), len("1 USD")+100)
	assert.Len(t, small.String(), len("0. USD")+100)
	order, err := large.Cmp(small)
	require.NoError(t, err)
	assert.Equal(t, 1, order)

	for _, text := range []string{"1e101 USD", "1e-101 USD"} {
		_, err := youproxy.ParseMoney(text)
		assert.Error(t, err, text)
		var m youproxy.Money
		assert.Error(t, m.UnmarshalText([]byte(text)), text)
	}
}

func TestMoneyString(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "4.57 USD", youproxy.MustMoney("4.57 USD").String())
	assert.Equal(t, "4.57 USD", fmt.Sprint(youproxy.MustMoney("4.57 USD")))
	assert.Equal(t, "4.57", youproxy.Money{Amount: decimal.RequireFromString("4.57")}.String(), "no currency was named")
	assert.Equal(t, "0", youproxy.Money{Amount: decimal.RequireFromString("0")}.String())
}

func TestMoneyCompares(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b  string
		order int
	}{
		{"1.5 USD", "1.50 USD", 0},
		{"1.31 USD", "1.18 USD", 1},
		{"0 USD", "1 USD", -1},
		{"9007199254740993 USD", "9007199254740992 USD", 1},
		{"0.123456789012 USD", "0.123456789013 USD", -1},
	} {
		a, b := youproxy.MustMoney(tt.a), youproxy.MustMoney(tt.b)
		order, err := a.Cmp(b)
		require.NoError(t, err)
		assert.Equal(t, tt.order, order, "%s and %s", a, b)
		order, err = b.Cmp(a)
		require.NoError(t, err)
		assert.Equal(t, -tt.order, order, "%s and %s", b, a)
		assert.Equal(t, tt.order == 0, a.Equal(b), "%s and %s", a, b)
	}
}

func TestMoneyOfTwoCurrencies(t *testing.T) {
	t.Parallel()
	usd, eur := youproxy.MustMoney("1 USD"), youproxy.MustMoney("1 EUR")
	none := youproxy.Money{Amount: decimal.NewFromInt(1)}
	for _, other := range []youproxy.Money{eur, none} {
		assert.False(t, usd.Equal(other))
		order, err := usd.Cmp(other)
		assert.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		assert.ErrorContains(t, err, usd.String())
		assert.ErrorContains(t, err, other.String())
		assert.Zero(t, order)
	}
}

func TestMoneyRoundTrip(t *testing.T) {
	t.Parallel()
	for _, m := range []youproxy.Money{
		youproxy.MustMoney("4.57 USD"),
		{Amount: decimal.RequireFromString("-9007199254740993.123456789012"), Currency: "USDT"},
		{Amount: decimal.RequireFromString("1e100"), Currency: "USD"},
		{},
		{Amount: decimal.RequireFromString("0")},
		{Amount: decimal.RequireFromString("4.57")},
		{Amount: decimal.RequireFromString("4.57"), Currency: "us dollars"},
	} {
		t.Run(m.String(), func(t *testing.T) {
			text, err := m.MarshalText()
			require.NoError(t, err)
			assert.Equal(t, m.String(), string(text))
			var read youproxy.Money
			require.NoError(t, read.UnmarshalText(text))
			assert.True(t, m.Equal(read), "%s is not %s", read, m)

			b, err := json.Marshal(map[string]any{"price": m})
			require.NoError(t, err)
			assert.Equal(t, `{"price":"`+m.String()+`"}`, string(b))
			var record struct {
				Price youproxy.Money `json:"price"`
			}
			require.NoError(t, json.Unmarshal(b, &record))
			assert.True(t, m.Equal(record.Price), "%s is not %s", record.Price, m)
		})
	}
}

// What is not known is no amount, and above all not zero.
func TestMoneyThatIsNotKnown(t *testing.T) {
	t.Parallel()
	unknown, nothing, none := youproxy.Money{}, youproxy.MustMoney("0 USD"), youproxy.Money{Amount: decimal.RequireFromString("0")}
	assert.True(t, unknown.IsZero())
	assert.Equal(t, "unknown", unknown.String())
	assert.Equal(t, "unknown", fmt.Sprint(unknown))
	assert.True(t, unknown.Equal(youproxy.Money{}))
	for _, told := range []youproxy.Money{nothing, none, {Currency: "USD"}} {
		assert.False(t, told.IsZero())
		assert.NotContains(t, told.String(), "unknown")
		assert.False(t, unknown.Equal(told))
		assert.False(t, told.Equal(unknown))
	}
	for _, other := range []youproxy.Money{nothing, none, unknown} {
		for _, op := range []func(youproxy.Money) error{
			func(m youproxy.Money) error { _, err := unknown.Add(m); return err },
			func(m youproxy.Money) error { _, err := m.Sub(unknown); return err },
			func(m youproxy.Money) error { _, err := m.Cmp(unknown); return err },
		} {
			assert.ErrorIs(t, op(other), youproxy.ErrCurrencyMismatch)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "balance", unknown)
	assert.Contains(t, log.String(), "balance=unknown")
}

func TestMoneyAddsUp(t *testing.T) {
	t.Parallel()
	a, b := youproxy.MustMoney("4.57 USD"), youproxy.MustMoney("0.0000000001 USD")
	sum, err := a.Add(b)
	require.NoError(t, err)
	assert.Equal(t, "4.5700000001 USD", sum.String())
	rest, err := b.Sub(a)
	require.NoError(t, err)
	assert.Equal(t, "-4.5699999999 USD", rest.String())
	for _, other := range []youproxy.Money{youproxy.MustMoney("1 EUR"), {Amount: a.Amount}} {
		_, err = a.Add(other)
		assert.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		_, err = a.Sub(other)
		assert.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
	}
}

func TestMoneyUnmarshalTextRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " USD", "USD", "abc", "4,57 USD", "1e2 USD", "+1 USD", "--1 USD", "1,234.5", " 1 USD", "1  USD", "1 ", "1 USD ", "Unknown", "1e999999999 USD", strings.Repeat("9", 1000),
	} {
		m := youproxy.MustMoney("1 USD")
		assert.Error(t, m.UnmarshalText([]byte(text)), text)
		assert.Equal(t, "1 USD", m.String(), "what could not be read leaves it as it was")
	}
}
