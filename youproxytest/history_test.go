package youproxytest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// openServer opens an account, and checks that it can be.
func openServer(t *testing.T, path string, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	s, err := youproxytest.OpenServer(path, opts...)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// state is all that can be seen of an account.
func state(t *testing.T, s *youproxytest.Server) string {
	t.Helper()
	_, _, list := send(t, s, "GET /ipAddress", "")
	_, _, codes := send(t, s, "GET /promoCode", "")
	var lines []string
	for _, o := range s.Orders() {
		o.CreatedAt = o.CreatedAt.UTC()
		lines = append(lines, fmt.Sprintf("%+v", o))
	}
	for _, e := range s.Extensions() {
		e.CreatedAt = e.CreatedAt.UTC()
		lines = append(lines, fmt.Sprintf("%+v", e))
	}
	for _, ip := range s.IPAddresses() {
		ip.Start, ip.End, ip.ReadyAt = ip.Start.UTC(), ip.End.UTC(), ip.ReadyAt.UTC()
		lines = append(lines, fmt.Sprintf("%+v", ip))
	}
	return strings.Join(append(lines, s.Balance().String(), list, codes), "\n")
}

// step changes an account.
type step func(t *testing.T, s *youproxytest.Server)

func ordered(o youproxytest.Order) step {
	return func(_ *testing.T, s *youproxytest.Server) { s.AddOrder(o) }
}

func requested(op, body string) step {
	return func(t *testing.T, s *youproxytest.Server) { send(t, s, op, body) }
}

func failed(f youproxytest.Fault, op, body string) step {
	return func(t *testing.T, s *youproxytest.Server) {
		s.Inject(op, f)
		lose(t, s, op, body)
	}
}

// keptAccount is how an account changes.
type keptAccount struct {
	opts  []youproxytest.Option
	steps []step
	wait  time.Duration // after each
	want  string        // in the state
}

func keptAccounts() map[string]keptAccount {
	ipv4 := youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 3}
	twoIDs := `{"proxyType": "IPv4", "ipAddressIds": ["1111111111111111111", "1111111111111111112"], "rentPeriodDays": 30}`
	return map[string]keptAccount{
		"every type": {
			steps: []step{
				ordered(ipv4),
				ordered(youproxytest.Order{ProxyType: "IPv6", Country: "DEU", Quantity: 3, Protocol: "SOCKS"}),
				ordered(youproxytest.Order{ProxyType: "MOBILE", Country: "GBR", Quantity: 1, ID: "own", Number: "mine"}),
				requested("POST /order", ipv4Body),
			},
			wait: time.Second,
			want: "1111111111111111118",
		},
		"promo codes": {
			opts: []youproxytest.Option{youproxytest.WithPromoCode("TENTH", 10)},
			steps: []step{
				requested("POST /order", edit(ipv4Body, `"USA"`, `"USA", "promoCode": "TENTH"`)),
				requested("POST /order", edit(ipv4Body, `"USA"`, `"USA", "promoCode": "TENTH"`)),
			},
			want: `"countUses": 2`,
		},
		"an end between runs": {
			steps: []step{
				ordered(ipv4), requested("POST /order", ipv4Body),
			},
			wait: 31 * day,
			want: `"IPv4": []`,
		},
		"automatic extensions between runs, until the money is spent": {
			opts: []youproxytest.Option{youproxytest.WithBalance(youproxy.MustMoney("2 USD"))},
			steps: []step{
				ordered(ipv4), requested("POST /extend/auto", autoBody), ordered(ipv4),
				func(_ *testing.T, s *youproxytest.Server) { s.SetBalance(youproxy.MustMoney("50 USD")) }, // too late
			},
			wait: 29 * day,
			want: "50 USD",
		},
		"a late commit between runs": {
			steps: []step{
				failed(youproxytest.CommitLate, "POST /order", ipv4Body), requested("POST /order", ipv4Body),
			},
			wait: 40 * time.Second,
			want: "NUMBER-112234",
		},
		"a lost reply": {
			steps: []step{
				failed(youproxytest.DropAfterCommit, "POST /order", ipv4Body),
				failed(youproxytest.DropBeforeCommit, "POST /order", ipv4Body),
			},
			want: "98.69 USD",
		},
		"half of an extension": {
			steps: []step{
				ordered(ipv4), failed(youproxytest.PartialExtensionDropped, "POST /extend", twoIDs),
			},
			want: "98.69 USD",
		},
		"new ids": {
			opts: []youproxytest.Option{youproxytest.WithRenewedIDs()},
			steps: []step{
				ordered(ipv4), requested("POST /extend", twoIDs), requested("POST /extend", edit(twoIDs, "1111111111111111111", "1111111111111111114")),
			},
			want: "NUMBER-112233-1",
		},
		"balance and prices": {
			steps: []step{
				func(_ *testing.T, s *youproxytest.Server) { s.SetPrice("IPv4", decimal.RequireFromString("2.50")) },
				func(_ *testing.T, s *youproxytest.Server) { s.SetBalance(youproxy.MustMoney("5.50 EUR")) },
				requested("POST /order", ipv4Body),
			},
			want: "3 EUR",
		},
	}
}

// TestAnAccountIsKept runs one server all along, and another that is stopped after each
// step. Both must have the same account.
func TestAnAccountIsKept(t *testing.T) {
	for name, test := range keptAccounts() {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			opts := append([]youproxytest.Option{youproxytest.WithClock(c.Now)}, test.opts...)
			straight, path := newServer(t, opts...), filepath.Join(t.TempDir(), "account.jsonl")
			for i, step := range test.steps {
				kept := openServer(t, path, opts...)
				step(t, straight)
				step(t, kept)
				kept.Close()
				c.advance(test.wait)
				assert.Equal(t, state(t, straight), state(t, openServer(t, path, opts...)), "after step %d", i)
			}
			assert.Contains(t, state(t, straight), test.want)
		})
	}
}

func TestOnlyChangesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.jsonl")
	s := openServer(t, path)
	for op, body := range allBodies {
		if !strings.HasPrefix(op, "POST /order") {
			send(t, s, op, body) // the account is empty: extensions are refused
		}
	}
	send(t, s, "POST /order", "{")
	send(t, s, "POST /order", "{}")
	send(t, s, "POST /order", edit(ipv4Body, "USA", "XXX"))
	sendTo(t, s, "POST", "/client/api/v1/other-key/order", "application/json", ipv4Body)
	sendTo(t, s, "POST", "/client/api/v1/"+s.APIKey()+"/order", "text/plain", ipv4Body)
	s.Refuse("POST /order", 14)
	send(t, s, "POST /order", ipv4Body)
	s.Inject("POST /order", youproxytest.DropBeforeCommit)
	lose(t, s, "POST /order", ipv4Body)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Empty(t, string(kept))

	send(t, s, "POST /order", ipv4Body)
	kept, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Regexp(t, `^\{"at":"[^"]+Z","op":"POST /order","balance":"100 USD","body":\{[^{}]+\}\}\n$`, string(kept))
	assert.NotContains(t, string(kept), s.APIKey())
	assert.NotContains(t, string(kept), s.IPAddresses()[0].Password)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o077)
}

func TestDamagedAccounts(t *testing.T) {
	const (
		first  = `{"at":"2026-03-01T12:00:00Z","op":"POST /order","balance":"100 USD","body":` + ipv4Body + "}\n"
		second = `{"at":"2026-03-01T12:00:01Z","op":"POST /order","balance":"98.69 USD","body":` + ipv4Body + "}\n"
	)
	for name, test := range map[string]struct {
		file   string
		orders int
		want   string
	}{
		"empty":               {file: ""},
		"whole":               {file: first + second, orders: 2},
		"a torn last line":    {file: first + second[:40], orders: 1},
		"a line without end":  {file: first + strings.TrimSuffix(second, "\n") + " ", orders: 1},
		"a torn line between": {file: first[:40] + "\n" + second, want: "line 1: "},
		"no JSON":             {file: first + "hello\n", want: "line 2: "},
		"an empty line":       {file: first + "\n" + second, want: "line 2: "},
		"an unknown member":   {file: `{"at":"2026-03-01T12:00:00Z","op":"POST /order","balance":"100 USD","body":{},"x":1}` + "\n", want: "x"},
		"an unknown change":   {file: edit(first, "/order", "/calculate/order"), want: `line 1: "POST /calculate/order" is not a change of an account`},
		"a refused request":   {file: edit(first, `"USA"`, `"XXX"`), want: "line 1: POST /order is refused and was not: Country is not available"},
		"another balance":     {file: first + edit(second, "98.69", "98.60"), want: "line 2: the balance is 98.69 USD and was 98.60 USD: the options"},
		"an order of nothing": {file: `{"at":"2026-03-01T12:00:00Z","op":"AddOrder","balance":"100 USD","body":{}}` + "\n", want: `line 1: proxy type "" is not sold`},
		"an odd order":        {file: `{"at":"2026-03-01T12:00:00Z","op":"AddOrder","balance":"100 USD","body":[]}` + "\n", want: "line 1: "},
		"odd money":           {file: `{"at":"2026-03-01T12:00:00Z","op":"SetBalance","balance":"100 USD","body":5}` + "\n", want: "line 1: "},
		"an odd price":        {file: `{"at":"2026-03-01T12:00:00Z","op":"SetPrice","balance":"100 USD","body":5}` + "\n", want: "line 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			path, c := filepath.Join(t.TempDir(), "account.jsonl"), newClock()
			require.NoError(t, os.WriteFile(path, []byte(test.file), 0o600))
			s, err := youproxytest.OpenServer(path, youproxytest.WithClock(c.Now))
			if test.want != "" {
				require.ErrorContains(t, err, "youproxytest: the account in "+path+" cannot be used: ")
				assert.ErrorContains(t, err, test.want)
				kept, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, test.file, string(kept), "it stays as it is")
				return
			}
			require.NoError(t, err)
			assert.Len(t, s.Orders(), test.orders)
			c.advance(time.Minute)
			send(t, s, "POST /order", ipv4Body)
			s.Close()
			assert.Len(t, openServer(t, path).Orders(), test.orders+1, "it goes on after the last whole line")
		})
	}
	_, err := youproxytest.OpenServer(t.TempDir())
	assert.ErrorContains(t, err, "cannot be used")
	_, err = youproxytest.OpenServer(filepath.Join(t.TempDir(), "none", "account.jsonl"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestProxiesOfAKeptAccountWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.jsonl")
	s := openServer(t, path, youproxytest.WithProxies())
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 2})
	before := s.IPAddresses()
	s.Close()
	after := openServer(t, path, youproxytest.WithProxies()).IPAddresses()
	require.Len(t, after, len(before))
	for i := range after {
		assert.Equal(t, before[i].ID, after[i].ID)
		assert.Equal(t, before[i].Password, after[i].Password)
		assert.NotZero(t, after[i].HTTPPort)
	}
}

func TestNothingChangesOnceTheFileIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.jsonl")
	s := openServer(t, path)
	s.Close()
	const want = "youproxytest: the account cannot be kept: "
	for name, change := range map[string]func(){
		"AddOrder":   func() { s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1}) },
		"SetBalance": func() { s.SetBalance(youproxy.MustMoney("5 USD")) },
		"SetPrice":   func() { s.SetPrice("IPv4", decimal.NewFromInt(1)) },
	} {
		func() {
			defer func() { assert.Contains(t, fmt.Sprint(recover()), want, name) }()
			change()
		}()
	}
	assert.Empty(t, s.Orders())
	assert.Equal(t, "100 USD", s.Balance().String())
}
