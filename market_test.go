package youproxy_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
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
// whose journal can be looked into.
type market struct {
	*youproxytest.Server
	client *youproxy.Client

	ipv4, ipv6 youproxytest.Order // that are in the account
	opened     ledger             // what it holds at first

	journal  *testJournal // in place of the client's own
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
		m.journal = newTestJournal()
		m.journal.onRecord = m.record
		clientOpts := []youproxy.Option{
			youproxy.WithMiddleware(m.around),
			youproxy.WithJournal(m.journal),
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

func (m *market) record(_ context.Context, e youproxy.Entry) error {
	if e.State == youproxy.EntryOpen {
		m.recorded = append(m.recorded, e.Attempt)
		m.sentThen = append(m.sentThen, len(m.sends()))
	}
	return nil
}

func (m *market) around(next http.RoundTripper) http.RoundTripper {
	return stubTransport(func(r *http.Request) (*http.Response, error) {
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

// anotherClient gives one that knows nothing of the first, as after a restart, unless its
// options give it the journal.
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
func (b buying) buy(ctx context.Context, m *market, c *youproxy.Client, opts ...youproxy.SpendOption) (*bought, error) {
	return b.buyFor(ctx, m, c, b.limit(), opts...)
}

func (b buying) buyFor(ctx context.Context, m *market, c *youproxy.Client, limit youproxy.Money, opts ...youproxy.SpendOption) (*bought, error) {
	if b.isOrder() {
		return asBought(c.Buy(ctx, b.order, limit, opts...))
	}
	return asRenewed(c.Renew(ctx, b.extend(m), limit, opts...))
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

// forEachBuying runs f for every way to buy, each in its own market. With -short these are
// an order and an extension; the test's name says which.
func forEachBuying(t *testing.T, f func(t *testing.T, m *market, b buying), opts ...any) {
	some := buyings
	if n := len(t.Name()); size(0, 0, 1) == 1 {
		some = []buying{buyings[n%4], buyings[4+n%2]}
	}
	for _, b := range some {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) { f(t, m, b) }, opts...)
		})
	}
}

// assertAttempt holds an attempt of b against what it must tell.
func assertAttempt(t *testing.T, m *market, b buying, a youproxy.Attempt, at time.Time) {
	t.Helper()
	assert.Equal(t, 2, a.Version)
	assert.NotEmpty(t, a.ID)
	assert.Len(t, a.Request, 64)
	assert.Len(t, a.Account, 8)
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
	if b.isOrder() {
		assert.Equal(t, orders, a.Before.Orders)
	}
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

// isRaceDetected reports whether the tests were built with -race.
func isRaceDetected() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
