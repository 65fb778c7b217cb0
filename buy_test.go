package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// market is a service whose account holds some proxies already, and a client
// that records its attempts.
type market struct {
	*youproxytest.Server
	client *youproxy.Client

	ipv4, ipv6 youproxytest.Order // that are in the account
	opened     ledger             // what it holds at first

	recorded []youproxy.Attempt
	sentThen []int // what had been sent that spends when each was recorded

	// What happens around the calls of the client, by their op.
	before, after map[string]func()
	rewrite       map[string]func(reply string) string
}

// inMarket runs f in a bubble with a market.
func inMarket(t *testing.T, f func(t *testing.T, m *market), opts ...any) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		serverOpts := []youproxytest.Option{
			youproxytest.WithPromoCode("CLIENT-PROMO", 10), youproxytest.WithPromoCode("OLD-PROMO", 0), youproxytest.WithPromoCode("GIFT", 100),
		}
		m := &market{before: make(map[string]func()), after: make(map[string]func()), rewrite: make(map[string]func(string) string)}
		clientOpts := []youproxy.Option{
			youproxy.WithMiddleware(m.around),
			youproxy.WithAttemptRecorder(m.record),
		}
		for _, opt := range opts {
			switch opt := opt.(type) {
			case youproxytest.Option:
				serverOpts = append(serverOpts, opt)
			case youproxy.Option:
				clientOpts = append(clientOpts, opt)
			default:
				t.Fatalf("%T is no option", opt)
			}
		}
		m.Server = youproxytest.NewServer(serverOpts...)
		defer m.Close()
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "GBR", Quantity: 3})
		m.ipv4 = m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2, RentPeriodDays: 60})
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
		m.ipv6 = m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 3})
		time.Sleep(time.Hour) // else they might have been ordered just now
		m.opened = m.ledger()
		var err error
		m.client, err = m.Client(clientOpts...)
		require.NoError(t, err)
		f(t, m)
	})
}

func (m *market) record(_ context.Context, a youproxy.Attempt) error {
	m.recorded = append(m.recorded, a)
	m.sentThen = append(m.sentThen, len(m.sends()))
	return nil
}

func (m *market) around(next http.RoundTripper) http.RoundTripper {
	return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		op := opOf(r)
		if f := m.before[op]; f != nil {
			f()
		}
		resp, err := next.RoundTrip(r)
		if f := m.after[op]; f != nil {
			f()
		}
		change := m.rewrite[op]
		if err != nil || change == nil {
			return resp, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return resp, err
		}
		_ = resp.Body.Close()
		text := change(string(body))
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		return resp, nil
	})
}

// opOf gives the op of a request: its method, and its path below the key.
func opOf(r *http.Request) string {
	return r.Method + " /" + strings.SplitN(r.URL.Path, "/", 6)[5]
}

// editList changes the records of the list of proxies; one for which edit gives
// false is left out.
func (m *market) editList(edit func(record map[string]any) bool) {
	m.rewrite["GET /ipAddress"] = func(reply string) string {
		var list map[string]any
		if json.Unmarshal([]byte(reply), &list) != nil {
			return reply
		}
		for name, group := range list {
			if records, ok := group.([]any); ok {
				list[name] = slices.DeleteFunc(records, func(r any) bool { return !edit(r.(map[string]any)) })
			}
		}
		b, _ := json.Marshal(list)
		return string(b)
	}
}

// reverseList turns the list round.
func (m *market) reverseList() {
	m.rewrite["GET /ipAddress"] = func(reply string) string {
		var list map[string]any
		if json.Unmarshal([]byte(reply), &list) != nil {
			return reply
		}
		for _, group := range list {
			if records, ok := group.([]any); ok {
				slices.Reverse(records)
			}
		}
		b, _ := json.Marshal(list)
		return string(b)
	}
}

// changeQuote changes a member of every quote.
func (m *market) changeQuote(b buying, name string, value any) {
	m.rewrite[b.quoteOp()] = func(reply string) string {
		var quote map[string]any
		if json.Unmarshal([]byte(reply), &quote) != nil {
			return reply
		}
		quote[name] = value
		text, _ := json.Marshal(quote)
		return string(text)
	}
}

// ops gives the calls that reached the service.
func (m *market) ops() []string {
	var ops []string
	for _, r := range m.Requests() {
		ops = append(ops, r.Op)
	}
	return ops
}

// sends gives those that spend.
func (m *market) sends() []string {
	return slices.DeleteFunc(m.ops(), func(op string) bool {
		return op != "POST /order" && op != "POST /extend" && op != "POST /extend/order"
	})
}

// ledger is all that a purchase can change.
type ledger struct {
	balance    string
	orders     []youproxytest.Order
	extensions []youproxytest.Extension
	proxies    []youproxytest.IPAddress
}

func (m *market) ledger() ledger {
	return ledger{m.Balance().String(), m.Orders(), m.Extensions(), m.IPAddresses()}
}

// proxiesOf gives what the service made of an order.
func (m *market) proxiesOf(id youproxy.OrderID) []youproxytest.IPAddress {
	return slices.DeleteFunc(m.IPAddresses(), func(ip youproxytest.IPAddress) bool { return ip.OrderID != id })
}

func (m *market) lastOrder() youproxytest.Order {
	orders := m.Orders()
	return orders[len(orders)-1]
}

// anotherClient gives one that knows nothing of the first, as after a restart.
func (m *market) anotherClient(t *testing.T, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	client, err := m.Client(opts...)
	require.NoError(t, err)
	return client
}

// buying is one of the ways to spend with a guard: an order of each type, and
// both ways to extend what is in the account of a market.
type buying struct {
	name     string
	op       string
	price    string
	proxies  youproxy.ProxyType
	days     int
	quantity int
	country  string
	promo    string
	order    youproxy.OrderRequest
	extend   func(m *market) youproxy.ExtendRequest
}

// bought is what a purchase and a renewal have in common.
type bought struct {
	*youproxy.Purchase
	*youproxy.Renewal

	quote     youproxy.Quote
	attempt   youproxy.Attempt
	recovered bool
	charged   *youproxy.Money
}

var buyings = []buying{
	{"IPv4", "POST /order", "1.31 USD", youproxy.ProxyTypeIPv4, 30, 1, "USA", "", anIPv4Order(), nil},
	{"IPv6", "POST /order", "7.29 USD", youproxy.ProxyTypeIPv6, 90, 10, "DEU", "CLIENT-PROMO", anIPv6Order(), nil},
	{"mobile", "POST /order", "37 USD", youproxy.ProxyTypeMobile, 30, 2, "USA", "OLD-PROMO", aMobileOrder(), nil},
	{"ISP", "POST /order", "7.2 USD", youproxy.ProxyTypeISP, 30, 3, "GBR", "", new(anISPOrder()), nil},
	{"extension of IPs", "POST /extend", "2.62 USD", youproxy.ProxyTypeIPv4, 30, 2, "", "", nil, func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: m.idsOf(m.ipv4.ID), RentPeriodDays: 30}
	}},
	{"extension of orders", "POST /extend/order", "2.19 USD", youproxy.ProxyTypeIPv6, 90, 3, "", "CLIENT-PROMO", nil, func(m *market) youproxy.ExtendRequest {
		return &youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{m.ipv6.ID}, RentPeriodDays: 90, PromoCode: "CLIENT-PROMO"}
	}},
}

// Some of buyings by their names.
var (
	buyIPv4   = buyings[0]
	buyMobile = buyings[2]
	buyISP    = buyings[3]
	renewIPs  = buyings[4]
)

func (m *market) idsOf(id youproxy.OrderID) []youproxy.IPAddressID {
	var ids []youproxy.IPAddressID
	for _, ip := range m.proxiesOf(id) {
		ids = append(ids, ip.ID)
	}
	return ids
}

func (b buying) isOrder() bool   { return b.order != nil }
func (b buying) quoteOp() string { return "POST /calculate" + strings.TrimPrefix(b.op, "POST ") }

func (b buying) limit() youproxy.Money { return youproxy.MustMoney(b.price) }

// buy buys with a client of m for no more than the price.
func (b buying) buy(ctx context.Context, m *market, c *youproxy.Client) (*bought, error) {
	return b.buyFor(ctx, m, c, b.limit())
}

func (b buying) buyFor(ctx context.Context, m *market, c *youproxy.Client, limit youproxy.Money) (*bought, error) {
	if b.isOrder() {
		return asBought(c.Buy(ctx, b.order, limit))
	}
	return asRenewed(c.Renew(ctx, b.extend(m), limit))
}

func asBought(p *youproxy.Purchase, err error) (*bought, error) {
	if p == nil {
		return nil, err
	}
	return &bought{p, nil, p.Quote, p.Attempt, p.Recovered, p.Charged}, err
}

func asRenewed(r *youproxy.Renewal, err error) (*bought, error) {
	if r == nil {
		return nil, err
	}
	return &bought{nil, r, r.Quote, r.Attempt, r.Recovered, r.Charged}, err
}

// again places the order of b as somebody else would; nothing is charged for it.
func (b buying) again(m *market) youproxytest.Order {
	return m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity, RentPeriodDays: b.days})
}

// less gives money that is so much less.
func less(m youproxy.Money, amount string) youproxy.Money {
	return youproxy.Money{Amount: m.Amount.Sub(decimal.RequireFromString(amount)), Currency: m.Currency}
}

// forEachBuying runs f for every way to buy, each in its own market.
func forEachBuying(t *testing.T, f func(t *testing.T, m *market, b buying), opts ...any) {
	for _, b := range buyings {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) { f(t, m, b) }, opts...)
		})
	}
}

// assertAttempt holds an attempt of b against what it must tell.
func assertAttempt(t *testing.T, m *market, b buying, a youproxy.Attempt, at time.Time) {
	t.Helper()
	assert.Equal(t, 1, a.Version)
	assert.NotEmpty(t, a.ID)
	assert.True(t, at.Equal(a.At), "%s, not %s", a.At, at)
	assert.Equal(t, time.UTC, a.At.Location())
	assert.Equal(t, b.op, a.Op)
	assert.Equal(t, b.proxies, a.ProxyType)
	assert.Equal(t, b.days, a.RentPeriodDays)
	assert.Equal(t, b.quantity, a.Quantity)
	assert.Equal(t, b.country, a.Country)
	assert.Equal(t, b.promo, a.PromoCode)
	assertMoney(t, b.price, a.Price)
	assertMoney(t, m.opened.balance, a.Before.Balance)
	assert.Empty(t, a.Before.Unseen)
	assert.Empty(t, a.Before.Renewing)
	var orders []youproxy.OrderID
	ends := make(map[youproxy.IPAddressID]time.Time)
	if b.isOrder() {
		for _, o := range m.opened.orders {
			if o.ProxyType == b.proxies {
				orders = append(orders, o.ID)
			}
		}
	} else {
		for _, ip := range m.opened.proxies {
			if ip.OrderID == map[string]youproxy.OrderID{"POST /extend": m.ipv4.ID, "POST /extend/order": m.ipv6.ID}[b.op] {
				ends[ip.ID] = ip.End
			}
		}
	}
	assert.Equal(t, orders, a.Before.Orders)
	require.Len(t, a.Before.Ends, len(ends))
	for id, end := range ends {
		// the list tells milliseconds
		assert.True(t, end.Truncate(time.Millisecond).Equal(a.Before.Ends[id]), id)
	}
}

// assertExecuted holds the ledger of a market against one purchase of b.
func assertExecuted(t *testing.T, m *market, b buying) {
	t.Helper()
	assert.Equal(t, []string{b.op}, m.sends(), "sent once")
	assertMoney(t, less(youproxy.MustMoney(m.opened.balance), b.limit().Amount.String()).String(), m.Balance())
	if b.isOrder() {
		require.Len(t, m.Orders(), len(m.opened.orders)+1)
		assert.Empty(t, m.Extensions())
		o := m.lastOrder()
		assert.Equal(t, []any{b.proxies, b.quantity, b.days, b.country}, []any{o.ProxyType, o.Quantity, o.RentPeriodDays, o.Country})
		return
	}
	assert.Len(t, m.Orders(), len(m.opened.orders))
	require.Len(t, m.Extensions(), 1)
	assert.Len(t, m.Extensions()[0].IPAddressIDs, b.quantity)
}

func TestBuyAndRenew(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		now := time.Now()
		limit := youproxy.MustMoney("50 USD")
		got, err := b.buyFor(t.Context(), m, m.client, limit)
		require.NoError(t, err)
		assertExecuted(t, m, b)
		assert.Equal(t, []string{b.quoteOp(), "GET /ipAddress", "GET /balance", b.op}, m.ops())
		assert.Equal(t, now, time.Now(), "it waits for nothing")

		assert.False(t, got.recovered)
		assert.Equal(t, b.proxies, got.quote.ProxyType)
		assertMoney(t, b.price, got.quote.Price)
		assertMoney(t, m.opened.balance, got.quote.Balance)
		require.NotNil(t, got.charged)
		assertMoney(t, b.price, *got.charged)
		assertAttempt(t, m, b, got.attempt, now)
		assertMoney(t, "50 USD", got.attempt.Limit)
		assert.Equal(t, []youproxy.Attempt{got.attempt}, m.recorded)
		assert.Equal(t, []int{0}, m.sentThen, "it is recorded before it is sent")
		if b.isOrder() {
			require.NotNil(t, got.Order)
			assert.Equal(t, m.lastOrder().Number, got.Order.Number)
			assert.Equal(t, b.proxies, got.Order.ProxyType)
			assertMoney(t, m.Balance().String(), got.Order.Balance)
			assert.Empty(t, got.OrderID, "the reply does not tell it")
			return
		}
		require.NotNil(t, got.Extension)
		assert.Equal(t, m.Extensions()[0].IPAddressIDs, got.Extension.IPAddressIDs)
		assert.Equal(t, b.quantity, got.Extension.Quantity)
		assert.Equal(t, b.days, got.Extension.RentPeriodDays)
		assertMoney(t, m.Balance().String(), got.Extension.Balance)
	})
}

func TestPriceEqualToTheLimitPasses(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		limit := youproxy.Money{Amount: decimal.RequireFromString(b.limit().Amount.StringFixed(5)), Currency: "USD"} // written differently
		_, err := b.buyFor(t.Context(), m, m.client, limit)
		require.NoError(t, err)
		assertExecuted(t, m, b)
	})
}

func TestBalanceEqualToThePricePasses(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.SetBalance(b.limit())
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assertMoney(t, "0 USD", m.Balance())
		assertMoney(t, b.price, *got.charged)
	})
}

func TestEveryAttemptHasItsOwnID(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		for range 3 {
			_, err := buyIPv4.buy(t.Context(), m, m.client)
			require.NoError(t, err)
		}
		assert.NotEqual(t, m.recorded[0].ID, m.recorded[1].ID)
		assert.NotEqual(t, m.recorded[0].ID, m.recorded[2].ID)
		assert.NotEqual(t, m.recorded[1].ID, m.recorded[2].ID)
	})
}

func TestBuyWithoutRecorder(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		got, err := buyIPv4.buy(t.Context(), m, m.anotherClient(t))
		require.NoError(t, err)
		assert.NotEmpty(t, got.attempt.ID)
		assert.Empty(t, m.recorded)
	})
}

// A reply that does not tell the balance is no less a success.
func TestChargedIsUnknown(t *testing.T) {
	for name, reply := range map[string]string{
		"no balance":       `"nothing": 1`,
		"another currency": `"balance": 1, "currency": "EUR"`,
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.rewrite["POST /order"] = func(string) string {
					return `{"success": true, "orderNumber": "N", "error": null, ` + reply + `}`
				}
				got, err := buyIPv4.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.Nil(t, got.charged)
				assert.Equal(t, youproxy.OrderNumber("N"), got.Order.Number)
			})
		})
	}
}

// assertNothingSent holds an error of a guard, and the account, against its
// promises.
func assertNothingSent(t *testing.T, m *market, before ledger, got *bought, err error) {
	t.Helper()
	require.Error(t, err)
	assert.Nil(t, got)
	assert.Empty(t, m.sends())
	assert.Equal(t, before, m.ledger())
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), "%v", err)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
	assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
	assert.ErrorContains(t, err, "nothing was spent")
	assert.True(t, strings.HasPrefix(err.Error(), "youproxy: "), "%v", err)
	assert.Equal(t, 1, strings.Count(err.Error(), "youproxy: "), "%v", err)
	assertNoSecrets(t, m, err)
}

// assertNoSecrets looks for the key and the proxies' passwords in all the ways a
// value is printed.
func assertNoSecrets(t *testing.T, m *market, values ...any) {
	t.Helper()
	var shown seen
	for _, v := range values {
		shown.addPrinted(fmt.Sprintf("%T", v), v)
		if err, ok := v.(error); ok {
			shown.addError("error", err)
		}
	}
	shown.check(t, m.APIKey())
	for _, ip := range m.IPAddresses() {
		for _, text := range shown.texts {
			assert.False(t, ip.Password != "" && strings.Contains(text, ip.Password), "a password shows: %s", text)
		}
	}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("the disk is full")
	for _, tc := range []struct {
		name    string
		option  youproxy.Option
		arrange func(t *testing.T, m *market, b buying)
		limit   func(price youproxy.Money) youproxy.Money // the price, where nil
		want    []error
		not     []error
		text    string
	}{
		{
			name:  "price above the limit",
			limit: func(price youproxy.Money) youproxy.Money { return less(price, "0.01") },
			want:  []error{youproxy.ErrPriceAboveLimit}, text: "USD is above the limit of ",
		},
		{
			name:  "limit of nothing",
			limit: func(youproxy.Money) youproxy.Money { return youproxy.MustMoney("0 USD") },
			want:  []error{youproxy.ErrPriceAboveLimit}, text: "above the limit of 0 USD",
		},
		{
			name:  "limit in another currency",
			limit: func(youproxy.Money) youproxy.Money { return youproxy.MustMoney("1000 EUR") },
			want:  []error{youproxy.ErrCurrencyMismatch}, not: []error{youproxy.ErrPriceAboveLimit}, text: "and the limit 1000 EUR",
		},
		{
			name:  "limit without a currency",
			limit: func(youproxy.Money) youproxy.Money { return youproxy.Money{Amount: decimal.NewFromInt(1000)} },
			want:  []error{youproxy.ErrCurrencyMismatch}, text: `write it such as ParseMoney("10 USD")`,
		},
		{
			name:  "limit that is not known",
			limit: func(youproxy.Money) youproxy.Money { return youproxy.Money{} },
			want:  []error{youproxy.ErrCurrencyMismatch}, text: `the limit is unknown, where a currency must be named`,
		},
		{
			name: "limit in a currency with blanks",
			limit: func(youproxy.Money) youproxy.Money {
				return youproxy.Money{Amount: decimal.NewFromInt(1000), Currency: " USD "}
			},
			want: []error{youproxy.ErrCurrencyMismatch}, text: "without blanks",
		},
		{
			name:    "price without a currency",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "currency", nil) },
			want:    []error{youproxy.ErrCurrencyMismatch},
		},
		{
			name:    "price of nothing",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", 0) },
			want:    []error{youproxy.ErrQuoteWarning}, text: "without a full discount",
		},
		{
			name:    "quote of another proxy type",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "proxyType", "IPv9") },
			text:    `its "proxyType" is not what was asked for`,
		},
		{
			name: "a warning that stands alone",
			arrange: func(_ *testing.T, m *market, b buying) {
				m.changeQuote(b, "warnings", map[string]any{"code": 14, "message": "Incorrect goal"})
			},
			want: []error{youproxy.ErrQuoteWarning, youproxy.ErrIncorrectGoal}, text: "Incorrect goal",
		},
		{
			name:    "a warning in words",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "warnings", "not today") },
			want:    []error{youproxy.ErrQuoteWarning}, text: "not today",
		},
		{
			name:    "negative price",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", -1) },
			want:    []error{youproxy.ErrQuoteWarning}, text: "negative",
		},
		{
			name:    "balance too small by the quote",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "balance", 1.3) },
			want:    []error{youproxy.ErrInsufficientFunds}, not: []error{youproxy.ErrQuoteWarning}, text: "the balance of 1.3 USD is less than the price of ",
		},
		{
			name: "balance too small by a warning",
			arrange: func(_ *testing.T, m *market, b buying) {
				m.SetBalance(less(b.limit(), "0.01"))
			},
			want: []error{youproxy.ErrInsufficientFunds, youproxy.ErrQuoteWarning}, text: "Insufficient funds on balance",
		},
		{
			name: "balance fell after the quote",
			arrange: func(_ *testing.T, m *market, b buying) {
				m.after[b.quoteOp()] = func() { m.SetBalance(less(b.limit(), "0.01")) }
			},
			want: []error{youproxy.ErrInsufficientFunds}, not: []error{youproxy.ErrQuoteWarning},
		},
		{
			name: "balance in another currency after the quote",
			arrange: func(_ *testing.T, m *market, b buying) {
				m.after[b.quoteOp()] = func() { m.SetBalance(youproxy.MustMoney("100 EUR")) }
			},
			want: []error{youproxy.ErrCurrencyMismatch},
		},
		{
			name:    "quote refused",
			arrange: func(_ *testing.T, m *market, b buying) { m.Refuse(b.quoteOp(), 11) },
			want:    []error{youproxy.ErrIncorrectRentPeriod}, text: "the price could not be asked",
		},
		{
			name:    "quote refused with a fault of the service",
			arrange: func(_ *testing.T, m *market, b buying) { m.Refuse(b.quoteOp(), 35) },
			want:    []error{youproxy.ErrServiceFault},
		},
		{
			name:    "quote unreachable",
			arrange: func(_ *testing.T, m *market, b buying) { m.Inject(b.quoteOp(), threeTimes(youproxytest.BadGateway)...) },
			text:    "the price could not be asked: HTTP status 502",
		},
		{
			name:    "quote without a price",
			arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", nil) },
		},
		{
			name:    "quote that shows the key",
			arrange: func(_ *testing.T, m *market, b buying) { m.Inject(b.quoteOp(), youproxytest.EchoKey) },
		},
		{
			name:    "list refused",
			arrange: func(_ *testing.T, m *market, _ buying) { m.Refuse("GET /ipAddress", 3) },
			want:    []error{youproxy.ErrCallerNotAllowed}, text: "what the account holds could not be read",
		},
		{
			name: "list unreadable",
			arrange: func(_ *testing.T, m *market, _ buying) {
				m.Inject("GET /ipAddress", threeTimes(youproxytest.HTMLPage)...)
			},
			text: "what the account holds could not be read",
		},
		{
			name: "list that breaks off",
			arrange: func(_ *testing.T, m *market, _ buying) {
				m.Inject("GET /ipAddress", threeTimes(youproxytest.Truncated)...)
			},
			text: "what the account holds could not be read",
		},
		{
			name:    "balance refused",
			arrange: func(_ *testing.T, m *market, _ buying) { m.Refuse("GET /balance", 2) },
			want:    []error{youproxy.ErrInvalidAPIKey}, text: "what the account holds could not be read",
		},
		{
			name: "balance unreadable",
			arrange: func(_ *testing.T, m *market, _ buying) {
				m.Inject("GET /balance", threeTimes(youproxytest.ServiceUnavailable)...)
			},
			text: "what the account holds could not be read: HTTP status 503",
		},
		{
			name:   "recorder's error",
			option: youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error { return errDisk }),
			want:   []error{errDisk, youproxy.ErrNotExecuted}, text: "the attempt could not be recorded: the disk is full",
		},
		{
			name: "recorder's error that shows the key and looks unknown",
			option: youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error {
				return looksUnknown{"https://x/" + youproxytest.DefaultAPIKey}
			}),
			want: []error{youproxy.ErrNotExecuted},
		},
		{
			name:   "spend lock's error",
			option: youproxy.WithSpendLock(func(context.Context) (func(), error) { return nil, errDisk }),
			want:   []error{errDisk}, text: "the spend lock was not taken: the disk is full",
		},
		{
			name: "spend lock's error that shows the key",
			option: youproxy.WithSpendLock(func(context.Context) (func(), error) {
				return nil, errors.New("lock/" + youproxytest.DefaultAPIKey)
			}),
			text: "the spend lock was not taken",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var opts []any
			if tc.option != nil {
				opts = append(opts, tc.option)
			}
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				if tc.arrange != nil {
					tc.arrange(t, m, b)
				}
				limit := b.limit()
				if tc.limit != nil {
					limit = tc.limit(limit)
				}
				got, err := b.buyFor(t.Context(), m, m.client, limit)
				before := m.opened
				before.balance = m.Balance().String() // some cases set it
				assertNothingSent(t, m, before, got, err)
				for _, want := range tc.want {
					assert.ErrorIs(t, err, want)
				}
				for _, not := range tc.not {
					assert.NotErrorIs(t, err, not)
				}
				assert.ErrorContains(t, err, tc.text)
				assert.Empty(t, m.recorded)
			}, opts...)
		})
	}
}

func threeTimes(f youproxytest.Fault) []youproxytest.Fault {
	return slices.Repeat([]youproxytest.Fault{f}, 3)
}

// looksUnknown matches what an error whose outcome is unknown does.
type looksUnknown struct{ text string }

func (e looksUnknown) Error() string        { return e.text }
func (e looksUnknown) Is(target error) bool { return target == youproxy.ErrOutcomeUnknown }

// A refused quote, list or balance can be asked for what the service said.
func TestGuardsKeepTheRefusal(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"quote", "GET /ipAddress", "GET /balance"} {
		t.Run(asked, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				op := asked
				if op == "quote" {
					op = b.quoteOp()
				}
				m.Refuse(op, 99)
				_, err := b.buy(t.Context(), m, m.client)
				var refused *youproxy.APIError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, youproxy.ErrorCode(99), refused.Code)
				assert.Equal(t, op, refused.Op)
				assert.ErrorIs(t, err, youproxy.ErrorCode(99))
				assert.ErrorContains(t, err, `"Error 99" (code 99)`)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
			})
		})
	}
}

// A quote that could not be had keeps how long the service asks to wait.
func TestGuardsKeepTheCallError(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.quoteOp(), threeTimes(youproxytest.TooManyRequests)...)
		_, err := b.buy(t.Context(), m, m.client)
		var lost *youproxy.CallError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, time.Second, lost.RetryAfter)
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	})
}

func TestWarningsStopThePurchase(t *testing.T) {
	t.Parallel()
	for _, code := range []youproxy.ErrorCode{2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 16, 19, 23, 24, 25, 28, 29, 35, 99, 0} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.changeQuote(b, "warnings", []map[string]any{{"code": code, "message": "Such a pity"}, {"code": 98, "message": m.APIKey()}})
				got, err := b.buy(t.Context(), m, m.client)
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrQuoteWarning)
				assert.ErrorIs(t, err, code)
				assert.ErrorIs(t, err, youproxy.ErrorCode(98))
				assert.NotErrorIs(t, err, youproxy.ErrorCode(97))
				assert.ErrorContains(t, err, fmt.Sprintf(`the service would not execute it: "Such a pity" (code %d), `, int(code)))
			})
		})
	}
	t.Run("of the service", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.SetBalance(youproxy.MustMoney("1 USD"))
			before := m.ledger()
			got, err := asBought(m.client.Buy(t.Context(), change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.Goal = "spam" }), buyIPv4.limit()))
			assertNothingSent(t, m, before, got, err)
			assert.ErrorIs(t, err, youproxy.ErrQuoteWarning)
			assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)
			assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
			assert.EqualError(t, err, `youproxy: POST /order: the service would not execute it: "Incorrect goal" (code 14), "Insufficient funds on balance" (code 16); nothing was sent, nothing was spent`)
		})
	})
}

func TestPromoCodeThatIsNotValidStopsThePurchase(t *testing.T) {
	t.Parallel()
	limit := youproxy.MustMoney("100 USD")
	for name, status := range map[string]any{"NO_VALID": "NO_VALID", "null": nil, "unheard of": "HALF"} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.changeQuote(b, "promoCodeStatus", status)
				got, err := b.buyFor(t.Context(), m, m.client, limit)
				if b.promo == "" {
					require.NoError(t, err, "none was sent")
					return
				}
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
				assert.ErrorContains(t, err, "the promo code is not valid: the full price of "+b.price+" would be charged")
			})
		})
	}
	t.Run("of the service", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			got, err := asBought(m.client.Buy(t.Context(), change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.PromoCode = "WRONG" }), limit))
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
			x := renewIPs.extend(m).(youproxy.ExtendIPsRequest)
			x.PromoCode = "WRONG"
			got, err = asRenewed(m.client.Renew(t.Context(), x, limit))
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
		})
	})
}

func TestRenewRefusesWhatItCannotFollow(t *testing.T) {
	byIPs := func(of youproxy.ProxyType, ids ...youproxy.IPAddressID) youproxy.ExtendRequest {
		return youproxy.ExtendIPsRequest{ProxyType: of, IPAddressIDs: ids, RentPeriodDays: 90}
	}
	byOrders := func(of youproxy.ProxyType, ids ...youproxy.OrderID) youproxy.ExtendRequest {
		return youproxy.ExtendOrdersRequest{ProxyType: of, OrderIDs: ids, RentPeriodDays: 90}
	}
	for _, tc := range []struct {
		name string
		req  func(m *market) youproxy.ExtendRequest
		want youproxy.ErrorCode
		text string
	}{
		{"a proxy that is not in the account", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeIPv4, append(m.idsOf(m.ipv4.ID), "42")...)
		}, youproxy.ErrIncorrectIPAddresses, "42 is not among the account's proxies of that type"},
		{"a proxy of another type", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeISP, m.idsOf(m.ipv4.ID)[0])
		}, youproxy.ErrIncorrectIPAddresses, "is not among"},
		{"an order that is not in the account", func(m *market) youproxy.ExtendRequest {
			return byOrders(youproxy.ProxyTypeIPv4, m.ipv4.ID, "42")
		}, youproxy.ErrIncorrectOrderIDs, "42 is not among"},
		{"an order of another type", func(m *market) youproxy.ExtendRequest {
			return byOrders(youproxy.ProxyTypeISP, m.ipv4.ID)
		}, youproxy.ErrIncorrectOrderIDs, "is not among"},
		{"a part of an IPv6 order", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeIPv6, m.idsOf(m.ipv6.ID)[:2]...)
		}, youproxy.ErrWholeOrderRequired, "only a part of the IPv6 order "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				limit := youproxy.MustMoney("50 USD")
				got, err := asRenewed(m.client.Renew(t.Context(), tc.req(m), limit))
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, tc.want)
				assert.ErrorContains(t, err, "the price could not be asked", "the service refuses it as well")

				for _, op := range []string{"POST /calculate/extend", "POST /calculate/extend/order"} {
					m.rewrite[op] = func(string) string {
						return `{"success": true, "balance": 100, "price": 1, "currency": "USD", "error": null}`
					}
				}
				got, err = asRenewed(m.client.Renew(t.Context(), tc.req(m), limit))
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, tc.want)
				assert.ErrorContains(t, err, tc.text)
				assert.Empty(t, m.recorded)
			})
		})
	}
	t.Run("but not all proxies of an IPv6 order, nor some of an IPv4 order", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			limit := youproxy.MustMoney("50 USD")
			_, err := m.client.Renew(t.Context(), byIPs(youproxy.ProxyTypeIPv6, m.idsOf(m.ipv6.ID)...), limit)
			require.NoError(t, err)
			renewal, err := m.client.Renew(t.Context(), byIPs(youproxy.ProxyTypeIPv4, m.idsOf(m.ipv4.ID)[0]), limit)
			require.NoError(t, err)
			assert.Equal(t, 1, renewal.Attempt.Quantity)
			assert.Len(t, m.Extensions(), 2)
		})
	})
}

func TestInvalidPurchasesAskNothing(t *testing.T) {
	limit := youproxy.MustMoney("50 USD")
	for name, buy := range map[string]func(context.Context, *youproxy.Client) (*bought, error){
		"nil order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, nil, limit))
		},
		"nil pointer to an order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, (*youproxy.IPv4OrderRequest)(nil), limit))
		},
		"empty order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, youproxy.ISPOrderRequest{}, limit))
		},
		"nil extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, nil, limit))
		},
		"nil pointer to an extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, (*youproxy.ExtendOrdersRequest)(nil), limit))
		},
		"empty extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, youproxy.ExtendIPsRequest{}, limit))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				got, err := buy(t.Context(), m.client)
				assertNothingSent(t, m, m.opened, got, err)
				var invalid *youproxy.ValidationError
				assert.ErrorAs(t, err, &invalid)
				assert.Empty(t, m.Requests())
			})
		})
	}
	for name, buy := range map[string]func(*market, context.Context, *youproxy.Client) (*bought, error){
		"order": func(m *market, ctx context.Context, c *youproxy.Client) (*bought, error) {
			return buyIPv4.buy(ctx, m, c)
		},
		"extension": func(m *market, ctx context.Context, c *youproxy.Client) (*bought, error) {
			return renewIPs.buy(ctx, m, c)
		},
	} {
		t.Run(name+" without a client or a context", func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				var none context.Context
				got, err := buy(m, none, m.client)
				assertNothingSent(t, m, m.opened, got, err)
				for _, c := range []*youproxy.Client{nil, {}} {
					got, err = buy(m, t.Context(), c)
					assertNothingSent(t, m, m.opened, got, err)
				}
				assert.Empty(t, m.Requests())
			})
		})
	}
}

func TestContextOverWhileWaitingForTheTurn(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject("POST /extend/auto", youproxytest.Slow)
		var busy sync.WaitGroup
		busy.Go(func() { _ = m.client.Call(t.Context(), "POST", "/extend/auto", nil, nil, nil) })
		defer busy.Wait()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		started := time.Now()
		got, err := b.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, 7*time.Second, time.Since(started))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "while waiting for another purchase to end")
		assert.Equal(t, []string{"POST /extend/auto"}, m.ops())
	})
}

// The service says no to what it quoted, or to the request as a whole: nothing
// was bought, and where the service says so itself that is known at once.
func TestRefusedPurchases(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		refuse func(m *market, op string)
		want   error
		text   string
		looks  bool // it is no word of the service's own: the account is looked at first
	}{
		{"incorrect goal", func(m *market, op string) { m.Refuse(op, 14) }, youproxy.ErrIncorrectGoal, `refused: "Incorrect goal" (code 14)`, false},
		{"insufficient funds", func(m *market, op string) { m.Refuse(op, 16) }, youproxy.ErrInsufficientFunds, "(code 16)", false},
		{"an unknown code", func(m *market, op string) { m.Refuse(op, 99) }, youproxy.ErrorCode(99), "(code 99)", true},
		{"too many requests", func(m *market, op string) { m.Inject(op, youproxytest.TooManyRequests) }, nil, "HTTP status 429", true},
		{"a page that shows the key", func(m *market, op string) { m.Inject(op, youproxytest.EchoKey) }, nil, "HTTP status 404", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				tc.refuse(m, b.op)
				now := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				assert.Nil(t, got)
				assert.Equal(t, []string{b.quoteOp(), "GET /ipAddress", "GET /balance", b.op}, m.ops()[:4])
				assert.Equal(t, m.opened, m.ledger())
				failed := assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
				assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
				if tc.looks {
					assert.Equal(t, 2*time.Minute, time.Since(now), "the patience")
					assert.Positive(t, failed.Evidence.Looks)
				} else {
					assert.Equal(t, now, time.Now(), "it is known at once")
					assert.Len(t, m.ops(), 4)
					assert.Zero(t, failed.Evidence)
				}
				assert.ErrorContains(t, err, tc.text)
				if tc.want == nil {
					var call *youproxy.CallError
					require.ErrorAs(t, err, &call)
					assert.Equal(t, youproxy.OutcomeRejected, call.Outcome)
					return
				}
				assert.ErrorIs(t, err, tc.want)
				var refused *youproxy.APIError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, b.op, refused.Op)
				assertMoney(t, "100 USD", *refused.Balance)
			})
		})
	}
}

// What rejects a purchase may have executed it all the same: then it is found, and
// nobody buys it again.
func TestRejectedPurchasesThatWereExecuted(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.RejectAfterCommit, youproxytest.UnknownCodeAfterCommit} {
		t.Run(fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, fault)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assert.Len(t, m.sends(), 1)
				assert.Empty(t, m.Pending())
			})
		})
	}
	t.Run("a documented code beside a balance that fell", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.rewrite["POST /order"] = func(reply string) string { return strings.Replace(reply, `"code": 99`, `"code": 14`, 1) }
			m.Inject("POST /order", youproxytest.UnknownCodeAfterCommit)
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			assert.True(t, purchase.Recovered)
		})
	})
}

// assertSpendError holds an error of a purchase against what all of them promise,
// and gives it.
func assertSpendError(t *testing.T, m *market, err error, verdict youproxy.Verdict) *youproxy.SpendError {
	t.Helper()
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, verdict, failed.Verdict, "%v", err)
	assert.Len(t, m.sends(), 1, "sent once")
	require.Len(t, m.recorded, 1)
	assert.Equal(t, []int{0}, m.sentThen, "it is recorded before it is sent")
	assert.Equal(t, m.recorded[0], failed.Attempt)

	undetermined := verdict == youproxy.VerdictUndetermined
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrUndetermined))
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrOutcomeUnknown))
	assert.Equal(t, undetermined, youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown)
	assert.Equal(t, verdict == youproxy.VerdictNotExecuted, errors.Is(err, youproxy.ErrNotExecuted))
	assert.Equal(t, youproxy.OutcomeOf(err) == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))
	assert.NotErrorIs(t, err, youproxy.ErrChargedAboveLimit)

	text := err.Error()
	assert.True(t, strings.HasPrefix(text, "youproxy: "+failed.Attempt.String()+": "), text)
	assert.Equal(t, 1, strings.Count(text, "youproxy: "), text)
	assert.NotContains(t, text, "\n")
	if undetermined {
		assert.True(t, strings.HasSuffix(text, "; money may have been spent: look at the account, or reconcile the attempt, before buying again"), text)
		assert.NotContains(t, text, "nothing was")
	} else {
		assert.True(t, strings.HasSuffix(text, "; it was not executed, nothing was spent"), text)
		assert.NotContains(t, text, "may have been spent")
	}
	assertNoSecrets(t, m, err, *failed, failed.Attempt, failed.Evidence)
	return failed
}

// The price rises after the quote, which the service does not tell.
func TestChargedAboveTheLimit(t *testing.T) {
	t.Parallel()
	limit := youproxy.MustMoney("0.5 USD")
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.changeQuote(b, "price", 0.5)
		got, err := b.buyFor(t.Context(), m, m.client, limit)
		require.NotNil(t, got, "%v", err)
		assertExecuted(t, m, b)
		assert.False(t, got.recovered)
		assert.Equal(t, b.isOrder(), got.Purchase != nil && got.Order != nil)
		assertMoney(t, b.price, *got.charged)
		assertMoney(t, "0.5 USD", got.quote.Price)
		assertMoney(t, "0.5 USD", got.attempt.Limit)
		require.ErrorIs(t, err, youproxy.ErrChargedAboveLimit)
		assert.Equal(t, youproxy.OutcomeDone, youproxy.OutcomeOf(err))
		for _, not := range []error{youproxy.ErrNotExecuted, youproxy.ErrUndetermined, youproxy.ErrNotSent, youproxy.ErrOutcomeUnknown, youproxy.ErrPriceAboveLimit} {
			assert.NotErrorIs(t, err, not)
		}
		var failed *youproxy.SpendError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, youproxy.VerdictExecuted, failed.Verdict)
		assert.Equal(t, got.attempt, failed.Attempt)
		assert.EqualError(t, err, "youproxy: "+got.attempt.String()+": more than the limit was charged: "+b.price+", where the limit was 0.5 USD; it was executed")
		assertNoSecrets(t, m, err)
	})
	t.Run("the reply is lost as well", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.changeQuote(b, "price", 0.5)
			m.Inject(b.op, youproxytest.DropAfterCommit)
			got, err := b.buyFor(t.Context(), m, m.client, limit)
			assert.Nil(t, got)
			assertExecuted(t, m, b)
			assertSpendError(t, m, err, youproxy.VerdictUndetermined)
			assert.ErrorContains(t, err, "; the balance fell by "+b.price)
		})
	})
	t.Run("up to the limit", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.changeQuote(b, "price", 0.5)
			got, err := b.buyFor(t.Context(), m, m.client, b.limit())
			require.NoError(t, err)
			assertMoney(t, b.price, *got.charged)
		})
	})
}

// ownerKey is under what a context names who makes a call.
type ownerKey struct{}

// turns sees who calls, and takes its time, so that calls could overlap.
type turns struct {
	mu       sync.Mutex
	owners   []string
	inFlight int
	most     int
	held     int // locks
	mostHeld int
	locks    int
	without  []string // ops that came while no lock was held
}

func (w *turns) middleware(next http.RoundTripper) http.RoundTripper {
	return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		owner, _ := r.Context().Value(ownerKey{}).(string)
		w.mu.Lock()
		w.owners = append(w.owners, owner)
		w.inFlight++
		w.most = max(w.most, w.inFlight)
		if w.held == 0 {
			w.without = append(w.without, opOf(r))
		}
		w.mu.Unlock()
		time.Sleep(time.Second)
		resp, err := next.RoundTrip(r)
		w.mu.Lock()
		w.inFlight--
		w.mu.Unlock()
		return resp, err
	})
}

func (w *turns) lock(context.Context) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
	w.locks++
	w.mostHeld = max(w.mostHeld, w.held)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held--
	}, nil
}

// spenders is every call that takes its turn.
func spenders(m *market, missed youproxy.Attempt) map[string]func(context.Context, *youproxy.Client) error {
	all := map[string]func(context.Context, *youproxy.Client) error{
		"CreateOrder": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.CreateOrder(ctx, anISPOrder())
			return err
		},
		"Extend": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Extend(ctx, youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{m.ipv6.ID}, RentPeriodDays: 30})
			return err
		},
		"Call": func(ctx context.Context, c *youproxy.Client) error {
			return c.Call(ctx, "POST", "/order", nil, map[string]any{
				"proxyType": "ISP", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "tests", "authType": "LOGIN",
			}, nil)
		},
		"Reconcile": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Reconcile(ctx, missed)
			return err
		},
	}
	for _, b := range buyings {
		all[b.name] = func(ctx context.Context, c *youproxy.Client) error {
			_, err := b.buy(ctx, m, c)
			return err
		}
	}
	return all
}

// missedAttempt gives one that was not executed.
func missedAttempt(t *testing.T, m *market) youproxy.Attempt {
	t.Helper()
	m.Refuse("POST /order", 99)
	_, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	return failed.Attempt
}

func TestEverySpendTakesItsTurn(t *testing.T) {
	t.Parallel()
	for _, locked := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a lock: %t", locked), func(t *testing.T) {
			var w turns
			opts := []any{youproxytest.WithBalance(youproxy.MustMoney("1000 USD"))}
			if locked {
				opts = append(opts, youproxy.WithSpendLock(w.lock))
			}
			inMarket(t, func(t *testing.T, m *market) {
				missed := missedAttempt(t, m)
				w.locks = 0
				client, err := m.client.With(youproxy.WithMiddleware(w.middleware))
				require.NoError(t, err)
				variant, err := client.With(youproxy.WithUserAgent("variant/1"))
				require.NoError(t, err)
				m.Inject("POST /extend", youproxytest.DropAfterCommit)
				m.Inject("POST /calculate/order", youproxytest.BadGateway)
				calls := spenders(m, missed)
				var all sync.WaitGroup
				for name, call := range calls {
					for i, c := range []*youproxy.Client{client, variant} {
						if i == 1 && strings.Contains(name, "xten") {
							continue
						}
						ctx := context.WithValue(t.Context(), ownerKey{}, fmt.Sprint(name, " ", i))
						all.Go(func() {
							assert.NoError(t, call(ctx, c), "%s %d", name, i)
						})
					}
				}
				all.Wait()
				assert.Equal(t, 1, w.most, "requests in flight")
				turnsTaken := slices.Compact(slices.Clone(w.owners))
				assert.Len(t, turnsTaken, 2*len(calls)-3, "each calls without another in between: %q", turnsTaken)
				assert.Greater(t, len(w.owners), 3*len(calls))
				if locked {
					assert.Equal(t, len(turnsTaken), w.locks)
					assert.Equal(t, 1, w.mostHeld)
					assert.Zero(t, w.held)
				}
			}, opts...)
		})
	}
}

func TestSpendLockIsHeldForAllOfIt(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		missed := missedAttempt(t, m)
		for name, call := range spenders(m, missed) {
			var w turns
			client, err := m.client.With(youproxy.WithMiddleware(w.middleware), youproxy.WithSpendLock(w.lock), youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error {
				assert.Equal(t, 1, w.held, name)
				return nil
			}))
			require.NoError(t, err)
			assert.NoError(t, call(t.Context(), client), name)
			assert.NotEmpty(t, w.owners, name)
			assert.Empty(t, w.without, name)
			assert.Equal(t, []int{1, 0}, []int{w.locks, w.held}, name)
		}
		for _, b := range buyings {
			var w turns
			client, err := m.client.With(youproxy.WithMiddleware(w.middleware), youproxy.WithSpendLock(w.lock))
			require.NoError(t, err)
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err = b.buy(t.Context(), m, client)
			assert.ErrorIs(t, err, youproxy.ErrNotExecuted, b.name)
			assert.Empty(t, w.without, "reconciling included: %s", b.name)
			assert.Equal(t, []int{1, 0}, []int{w.locks, w.held}, b.name)
		}

		var w turns
		client, err := m.client.With(youproxy.WithMiddleware(w.middleware), youproxy.WithSpendLock(w.lock))
		require.NoError(t, err)
		_, err = client.Balance(t.Context())
		require.NoError(t, err)
		_, err = client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err)
		_, err = client.QuoteOrder(t.Context(), anISPOrder())
		require.NoError(t, err)
		assert.Zero(t, w.locks, "what spends nothing takes none")
	}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
}

func TestSpendLockGetsTheContext(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		started := time.Now()
		got, err := buyIPv4.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(started))
	}, youproxy.WithSpendLock(func(ctx context.Context) (func(), error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))
}

func TestSpendLockWithoutUnlock(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		missed := missedAttempt(t, m)
		for name, call := range spenders(m, missed) {
			assert.NoError(t, call(t.Context(), m.client), name)
		}
	}, youproxy.WithSpendLock(func(context.Context) (func(), error) { return nil, nil }), youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
}

// Whatever comes of a purchase, the next one gets its turn and the lock.
func TestTurnsAreGivenBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		arrange func(m *market, b buying)
		option  youproxy.Option
		panics  bool
	}{
		{name: "success"},
		{name: "a guard", arrange: func(m *market, b buying) { m.changeQuote(b, "price", 90) }},
		{name: "a refused quote", arrange: func(m *market, b buying) { m.Refuse(b.quoteOp(), 11) }},
		{name: "an unreadable list", arrange: func(m *market, _ buying) { m.Refuse("GET /ipAddress", 3) }},
		{name: "a refusal", arrange: func(m *market, b buying) { m.Refuse(b.op, 14) }},
		{name: "a lost reply", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropAfterCommit) }},
		{name: "a lost request", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropBeforeCommit) }},
		{name: "a recorder's error", option: youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error { return io.ErrShortWrite })},
		{name: "a recorder's panic", option: youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error { panic("recorder") }), panics: true},
		{name: "an observer's panic", option: youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
			if strings.HasPrefix(e.Op, "POST /calculate") {
				panic("observer")
			}
		}), panics: true},
		{name: "a middleware's panic", option: youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if opOf(r) == "GET /balance" {
					panic("middleware")
				}
				return next.RoundTrip(r)
			})
		}), panics: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				var w turns
				base, err := m.client.With(youproxy.WithSpendLock(w.lock))
				require.NoError(t, err)
				client := base
				if tc.option != nil {
					client, err = base.With(tc.option)
					require.NoError(t, err)
				}
				if tc.arrange != nil {
					tc.arrange(m, b)
				}
				buy := func() { _, _ = b.buy(t.Context(), m, client) }
				if tc.panics {
					assert.Panics(t, buy)
				} else {
					buy()
				}
				assert.Equal(t, []int{1, 0}, []int{w.locks, w.held})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = base.CreateOrder(ctx, anISPOrder())
				assert.NoError(t, err, "the next one")
			})
		})
	}
	for name, lock := range map[string]func(context.Context) (func(), error){
		"a lock's panic":    func(context.Context) (func(), error) { panic("lock") },
		"an unlock's panic": func(context.Context) (func(), error) { return func() { panic("unlock") }, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				client, err := m.client.With(youproxy.WithSpendLock(lock))
				require.NoError(t, err)
				assert.Panics(t, func() { _, _ = buyIPv4.buy(t.Context(), m, client) })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = m.client.CreateOrder(ctx, anISPOrder())
				assert.NoError(t, err, "the next one")
			})
		})
	}
}

// A purchase whose context ends stops there and then, and tells how far it came.
func TestCancelling(t *testing.T) {
	t.Parallel()
	const after = 5 * time.Second
	slow := func(op string) func(m *market, b buying) {
		return func(m *market, b buying) {
			if op == "quote" {
				m.Inject(b.quoteOp(), youproxytest.Slow)
				return
			}
			m.Inject(op, youproxytest.Slow)
		}
	}
	for _, tc := range []struct {
		name     string
		arrange  func(m *market, b buying)
		option   youproxy.Option
		calls    int // that reached the service
		recorded bool
		sent     bool
		executed bool
	}{
		{name: "in the quote", arrange: slow("quote"), calls: 1},
		{name: "in the list", arrange: slow("GET /ipAddress"), calls: 2},
		{name: "in the balance", arrange: slow("GET /balance"), calls: 3},
		{name: "in a recorder that goes on", option: youproxy.WithAttemptRecorder(func(ctx context.Context, _ youproxy.Attempt) error {
			<-ctx.Done()
			return nil
		}), calls: 3, recorded: true},
		{name: "in a recorder that gives up", option: youproxy.WithAttemptRecorder(func(ctx context.Context, _ youproxy.Attempt) error {
			<-ctx.Done()
			return ctx.Err()
		}), calls: 3, recorded: true},
		{name: "while it is sent", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.Slow) }, calls: 4, recorded: true, sent: true, executed: true},
		{name: "while reconciling", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropBeforeCommit) }, calls: 4 + 3*2, recorded: true, sent: true},
		{name: "while looking", arrange: func(m *market, b buying) {
			m.Inject(b.op, youproxytest.DropAfterCommit)
			m.after["GET /balance"] = func() { // of the snapshot
				m.after["GET /balance"] = nil
				m.Inject("GET /balance", youproxytest.Slow)
			}
		}, calls: 4 + 2, recorded: true, sent: true, executed: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var opts []any
			if tc.option != nil {
				opts = append(opts, tc.option)
			}
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				if tc.arrange != nil {
					tc.arrange(m, b)
				}
				errWhy := errors.New("the shop closes")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				time.AfterFunc(after, func() { cancel(errWhy) })
				started := time.Now()
				got, err := b.buy(ctx, m, m.client)
				assert.Equal(t, after, time.Since(started))
				assert.Nil(t, got)
				require.ErrorIs(t, err, context.Canceled)
				assert.ErrorContains(t, err, context.Canceled.Error())
				assert.Len(t, m.ops(), tc.calls)
				if tc.option == nil {
					assert.Len(t, m.recorded, map[bool]int{true: 1}[tc.recorded])
				}
				if !tc.sent {
					assertNothingSent(t, m, m.opened, got, err)
					var failed *youproxy.SpendError
					assert.Equal(t, tc.recorded, errors.As(err, &failed))
					return
				}
				assert.ErrorIs(t, err, errWhy)
				assert.NotContains(t, err.Error(), "to repeat it", "nothing that spends is repeated")
				failed := assertSpendError(t, m, err, youproxy.VerdictUndetermined)
				assert.Error(t, failed.Evidence.Err)
				assert.ErrorContains(t, err, "the account could not be read: ")

				m.before, m.after = nil, nil
				found, err := m.client.Reconcile(t.Context(), failed.Attempt)
				require.NoError(t, err)
				want := youproxy.VerdictNotExecuted
				if tc.executed {
					want = youproxy.VerdictExecuted
				}
				assert.Equal(t, want, found.Verdict)
			}, opts...)
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			got, err := b.buy(ctx, m, m.client)
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, m.Requests())
		})
	})
}
