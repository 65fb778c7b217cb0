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
	for _, tt := range []struct{ text, amount, currency string }{
		{"4.57 USD", "4.57", "USD"},
		{"0 USD", "0", "USD"},
		{"25 EUR", "25", "EUR"},
		{"-3.76 USD", "-3.76", "USD"},
		{"9007199254740993.01 USD", "9007199254740993.01", "USD"},
		{"0.123456789012 USD", "0.123456789012", "USD"},
		{"1e2 USD", "100", "USD"},
		{"4.50 USDT", "4.5", "USDT"},
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
	large, small := youproxy.MustMoney("1e100 USD"), youproxy.MustMoney("1e-100 USD")
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
	assert.Equal(t, "4.57 USD", youproxy.MustMoney("4.57 USD").String())
	assert.Equal(t, "4.57 USD", fmt.Sprint(youproxy.MustMoney("4.57 USD")))
	assert.Equal(t, "4.57", youproxy.Money{Amount: decimal.RequireFromString("4.57")}.String(), "no currency was named")
	assert.Equal(t, "0", youproxy.Money{}.String())
}

func TestMoneyCompares(t *testing.T) {
	for _, tt := range []struct {
		a, b  string
		order int
	}{
		{"1.5 USD", "1.50 USD", 0},
		{"1e2 USD", "100 USD", 0},
		{"1.31 USD", "1.18 USD", 1},
		{"-1 USD", "0 USD", -1},
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
	for _, m := range []youproxy.Money{
		youproxy.MustMoney("4.57 USD"),
		youproxy.MustMoney("-9007199254740993.123456789012 USDT"),
		youproxy.MustMoney("1e100 USD"),
		{},
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

func TestMoneyUnmarshalTextRefuses(t *testing.T) {
	for _, text := range []string{"", " USD", "USD", "abc", "4,57 USD", "1e999999999 USD", strings.Repeat("9", 1000)} {
		m := youproxy.MustMoney("1 USD")
		assert.Error(t, m.UnmarshalText([]byte(text)), text)
		assert.Equal(t, "1 USD", m.String(), "what could not be read leaves it as it was")
	}
}

const hushed = "pa55-w0rd/é"

func TestSecretReveal(t *testing.T) {
	s := youproxy.NewSecret(hushed)
	assert.Equal(t, hushed, s.Reveal())
	assert.False(t, s.IsZero())
	assert.True(t, s.Equal(youproxy.NewSecret(hushed)))
	assert.False(t, s.Equal(youproxy.NewSecret("another")))
	assert.Equal(t, s, youproxy.NewSecret(hushed), "tests of callers compare whole records")
	assert.NotEqual(t, s, youproxy.NewSecret("another"))

	for _, empty := range []youproxy.Secret{{}, youproxy.NewSecret("")} {
		assert.Empty(t, empty.Reveal())
		assert.True(t, empty.IsZero())
		assert.True(t, empty.Equal(youproxy.Secret{}))
		assert.Equal(t, "***", empty.String())
	}
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%b", "%o", "%20s", "%.1s", "%z"}

func TestSecretUnderEveryVerb(t *testing.T) {
	s := youproxy.NewSecret(hushed)
	for _, verb := range verbs {
		assert.Equal(t, "***", fmt.Sprintf(verb, s), verb)
		assert.Equal(t, "***", fmt.Sprintf(verb, &s), verb)
	}
	assert.Equal(t, "***", s.String())
	assert.Equal(t, "***", fmt.Sprint(s))
}

// fmt does not ask a value in an unexported field how it wants to be printed.
func TestSecretInOtherValues(t *testing.T) {
	type exported struct {
		Login    string
		Password youproxy.Secret
	}
	type unexported struct {
		password youproxy.Secret
		pointer  *youproxy.Secret
		list     []youproxy.Secret
		byName   map[string]youproxy.Secret
		nested   struct{ any any }
	}
	s := youproxy.NewSecret(hushed)
	hidden := unexported{s, &s, []youproxy.Secret{s}, map[string]youproxy.Secret{"a": s}, struct{ any any }{s}}

	assert.Equal(t, "{user ***}", fmt.Sprint(exported{"user", s}))
	assert.Equal(t, "[***]", fmt.Sprint([]youproxy.Secret{s}))
	assert.Equal(t, "map[a:***]", fmt.Sprint(map[string]youproxy.Secret{"a": s}))
	for _, verb := range append([]string{"%p"}, verbs...) {
		for _, value := range []any{s, &s, exported{"user", s}, &exported{"user", s}, hidden, &hidden, []any{hidden}, map[string]any{"a": hidden}} {
			assertHushed(t, fmt.Sprintf(verb, value))
		}
	}
}

func assertHushed(t *testing.T, text string) {
	t.Helper()
	for _, form := range []string{
		hushed, hushed[:4],
		fmt.Sprintf("%x", hushed), fmt.Sprintf("%X", hushed), fmt.Sprintf("% x", hushed),
		strings.Trim(fmt.Sprintf("%d", []byte(hushed)), "[]"),
	} {
		assert.NotContains(t, text, form)
	}
}

func TestSecretInLogs(t *testing.T) {
	type credentials struct{ Password youproxy.Secret }
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			s := youproxy.NewSecret(hushed)
			slog.New(handler(&b)).Info("a", "secret", s, "pointer", &s, "in", credentials{s}, "list", []youproxy.Secret{s})
			assertHushed(t, b.String())
			assert.Equal(t, 4, strings.Count(b.String(), "***"), b.String())
		})
	}
}

func TestSecretJSON(t *testing.T) {
	type credentials struct {
		Password youproxy.Secret `json:"password"`
		Reboot   youproxy.Secret `json:"reboot,omitzero"`
	}
	b, err := json.Marshal(credentials{Password: youproxy.NewSecret(hushed), Reboot: youproxy.NewSecret(hushed)})
	require.NoError(t, err)
	assert.Equal(t, `{"password":"***","reboot":"***"}`, string(b))

	var read credentials
	err = json.Unmarshal(b, &read)
	assert.ErrorContains(t, err, "not saved", "stars must not become a password")
	assert.True(t, read.Password.IsZero())

	b, err = json.Marshal(credentials{})
	require.NoError(t, err)
	assert.Equal(t, `{"password":""}`, string(b))
	require.NoError(t, json.Unmarshal(b, &read))
	assert.Equal(t, credentials{}, read)

	require.NoError(t, json.Unmarshal([]byte(`{"password":"pa55-w0rd\/\u00e9"}`), &read))
	assert.Equal(t, hushed, read.Password.Reveal())
	require.NoError(t, json.Unmarshal([]byte(`{"password":null}`), &read))

	for _, odd := range []string{`5500550055`, `true`, `["pa55-w0rd"]`, `{"is":"pa55-w0rd"}`} {
		err := json.Unmarshal([]byte(`{"password":`+odd+`}`), &credentials{})
		if assert.Error(t, err, odd) {
			assertHushed(t, err.Error())
			assert.NotContains(t, err.Error(), "5500550055")
		}
	}
}

func TestEnumsValid(t *testing.T) {
	for value, valid := range map[interface{ Valid() bool }]bool{
		youproxy.ProxyTypeIPv4:      true,
		youproxy.ProxyTypeIPv6:      true,
		youproxy.ProxyTypeMobile:    true,
		youproxy.ProxyTypeISP:       true,
		youproxy.ProxyType(""):      false,
		youproxy.ProxyType("ipv4"):  false,
		youproxy.ProxyType("Isp"):   false,
		youproxy.AuthTypeLogin:      true,
		youproxy.AuthTypeIP:         true,
		youproxy.AuthType(""):       false,
		youproxy.AuthType("Login"):  false,
		youproxy.ProtocolHTTP:       true,
		youproxy.ProtocolSOCKS:      true,
		youproxy.Protocol(""):       false,
		youproxy.Protocol("SOCKS5"): false,
		youproxy.PromoCodeValid:     true,
		youproxy.PromoCodeNotValid:  true,

		youproxy.PromoCodeStatus(""):      true, // no code was sent
		youproxy.PromoCodeStatus("valid"): false,
	} {
		assert.Equal(t, valid, value.Valid(), "%T %q", value, value)
	}
}

// The service compares them letter by letter.
func TestEnumsOnTheWire(t *testing.T) {
	assert.Equal(t, []youproxy.ProxyType{"IPv4", "IPv6", "MOBILE", "ISP"},
		[]youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP})
	assert.Equal(t, []youproxy.AuthType{"LOGIN", "IP"}, []youproxy.AuthType{youproxy.AuthTypeLogin, youproxy.AuthTypeIP})
	assert.Equal(t, []youproxy.Protocol{"HTTP", "SOCKS"}, []youproxy.Protocol{youproxy.ProtocolHTTP, youproxy.ProtocolSOCKS})
	assert.Equal(t, []youproxy.PromoCodeStatus{"VALID", "NO_VALID"},
		[]youproxy.PromoCodeStatus{youproxy.PromoCodeValid, youproxy.PromoCodeNotValid})
}
