package youproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const cannedKey = "k-5f1e9c07ab"

// canned is a transport that gives every request the same reply and remembers
// what it was asked.
type canned struct {
	status int
	reply  string
	answer func(body string) string // instead of reply, where it is not nil

	mu       sync.Mutex
	requests []cannedRequest
}

type cannedRequest struct{ method, url, contentType, body string }

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, cannedRequest{r.Method, r.URL.String(), r.Header.Get("Content-Type"), string(body)})
	reply := c.reply
	if c.answer != nil {
		reply = c.answer(string(body))
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", c.status, http.StatusText(c.status)), StatusCode: c.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(reply)), ContentLength: int64(len(reply)),
		Request: r,
	}, nil
}

// answering gives a client whose every call is answered with reply.
func answering(t testing.TB, status int, reply string) (*youproxy.Client, *canned) {
	t.Helper()
	transport := &canned{status: status, reply: reply}
	client, err := youproxy.New(cannedKey, youproxy.WithHTTPClient(&http.Client{Transport: transport}), youproxy.WithReadRetries(0))
	require.NoError(t, err)
	return client, transport
}

// assertMoney compares to the last digit.
func assertMoney(t *testing.T, want string, got youproxy.Money) {
	t.Helper()
	assert.Equal(t, want, got.String())
	var m youproxy.Money
	require.NoError(t, m.UnmarshalText([]byte(want)))
	assert.True(t, m.Equal(got), "%s is not %s", got, want)
}

func anIPv4Order() youproxy.IPv4OrderRequest {
	return youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}
}

func anIPv6Order() youproxy.IPv6OrderRequest {
	return youproxy.IPv6OrderRequest{
		Country: "DEU", Quantity: 10, RentPeriodDays: 90, Goal: "search results", AuthType: youproxy.AuthTypeLogin,
		Protocol: youproxy.ProtocolSOCKS, PromoCode: "CLIENT-PROMO",
	}
}

func aMobileOrder() youproxy.MobileOrderRequest {
	return youproxy.MobileOrderRequest{
		Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "app tests", AuthType: youproxy.AuthTypeLogin,
		MobileOperator: "verizon", RotationTime: 300, PromoCode: "OLD-PROMO",
	}
}

func anISPOrder() youproxy.ISPOrderRequest {
	return youproxy.ISPOrderRequest{
		Country: "GBR", Quantity: 3, RentPeriodDays: 30, Goal: "ad checks", AuthType: youproxy.AuthTypeIP,
		AuthIP: netip.MustParseAddr("203.0.113.7"),
	}
}

// The replies are those the API's documentation prints; it prints none of an ISP
// order that succeeded.
func TestCreateOrderReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		request youproxy.OrderRequest
		reply   string
		number  youproxy.OrderNumber
		proxies youproxy.ProxyType
		balance string
		promo   youproxy.PromoCodeStatus
	}{
		{
			name: "IPv4, no promo code", request: anIPv4Order(),
			reply:  `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`,
			number: "NUMBER-112233", proxies: youproxy.ProxyTypeIPv4, balance: "4.57 USD",
		},
		{
			name: "IPv6, a valid promo code", request: anIPv6Order(),
			reply:  `{"success": true, "proxyType": "IPv6", "orderNumber": "NUMBER-22334455", "balance": 3.76, "currency": "USD", "error": null, "promoCodeStatus": "VALID"}`,
			number: "NUMBER-22334455", proxies: youproxy.ProxyTypeIPv6, balance: "3.76 USD", promo: youproxy.PromoCodeValid,
		},
		{
			name: "mobile, a promo code that is not valid", request: aMobileOrder(),
			reply:  `{"success": true, "proxyType": "MOBILE", "orderNumber": "NUMBER-4455566677", "balance": 1.95, "currency": "USD", "error": null, "promoCodeStatus": "NO_VALID"}`,
			number: "NUMBER-4455566677", proxies: youproxy.ProxyTypeMobile, balance: "1.95 USD", promo: youproxy.PromoCodeNotValid,
		},
		{
			name: "ISP", request: anISPOrder(),
			reply:  `{"success": true, "proxyType": "ISP", "orderNumber": "NUMBER-77", "balance": 7.18, "currency": "USD", "error": null, "promoCodeStatus": null}`,
			number: "NUMBER-77", proxies: youproxy.ProxyTypeISP, balance: "7.18 USD",
		},
		{
			name: "values that came later survive", request: anIPv4Order(),
			reply:  `{"success": true, "proxyType": "ipv4", "orderNumber": "N", "balance": 0.5, "currency": "EUR", "promoCodeStatus": "HALF", "new": {"a": [1]}}`,
			number: "N", proxies: "ipv4", balance: "0.5 EUR", promo: "HALF",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			order, err := client.CreateOrder(t.Context(), tt.request)
			require.NoError(t, err)
			assert.Equal(t, tt.number, order.Number)
			assert.Equal(t, tt.proxies, order.ProxyType)
			assert.Equal(t, tt.promo, order.PromoCodeStatus)
			assertMoney(t, tt.balance, order.Balance)
			assert.Len(t, transport.requests, 1)
		})
	}
}

func TestQuoteOrderReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		reply    string
		price    string
		balance  string
		discount string
		promo    youproxy.PromoCodeStatus
		warnings []youproxy.Warning
	}{
		{
			name:  "plain",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`,
			price: "1.31 USD", balance: "7.18 USD", discount: "0",
		},
		{
			name: "warnings are no error",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 22.61, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null,
 "warnings": [{"code": 14, "message": "Incorrect goal"}, {"code": 16, "message": "Insufficient funds on balance"}]}`,
			price: "22.61 USD", balance: "7.18 USD", discount: "0",
			warnings: []youproxy.Warning{
				{Code: youproxy.ErrIncorrectGoal, Message: "Incorrect goal"},
				{Code: youproxy.ErrInsufficientFunds, Message: "Insufficient funds on balance"},
			},
		},
		{
			name:  "a valid promo code",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.18, "currency": "USD", "discount": 10, "promoCodeStatus": "VALID", "error": null, "warnings": null}`,
			price: "1.18 USD", balance: "7.18 USD", discount: "10", promo: youproxy.PromoCodeValid,
		},
		{
			name:  "a promo code that is not valid, and no discount",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": "1.31", "currency": "USD", "discount": null, "promoCodeStatus": "NO_VALID", "error": null, "warnings": []}`,
			price: "1.31 USD", balance: "7.18 USD", discount: "0", promo: youproxy.PromoCodeNotValid,
		},
		{
			name:  "warnings with codes in quotes, unknown, and none",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "warnings": [{"code": "16", "message": null}, {"code": 99, "message": "Incorrect moon", "more": {}}, null]}`,
			price: "1.31 USD", balance: "7.18 USD", discount: "0",
			warnings: []youproxy.Warning{{Code: youproxy.ErrInsufficientFunds}, {Code: 99, Message: "Incorrect moon"}, {}},
		},
		{
			name:  "half a percent",
			reply: `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 12.5, "promoCodeStatus": "VALID"}`,
			price: "1.31 USD", balance: "7.18 USD", discount: "12.5", promo: youproxy.PromoCodeValid,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			quote, err := client.QuoteOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assert.Equal(t, youproxy.ProxyTypeIPv4, quote.ProxyType)
			assertMoney(t, tt.price, quote.Price)
			assertMoney(t, tt.balance, quote.Balance)
			assert.Equal(t, tt.discount, quote.Discount.String())
			assert.Equal(t, tt.promo, quote.PromoCodeStatus)
			assert.Equal(t, tt.warnings, quote.Warnings)
			assert.Len(t, transport.requests, 1)
		})
	}
}

func TestBalanceReply(t *testing.T) {
	t.Parallel()
	client, transport := answering(t, http.StatusOK, `{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`)
	balance, err := client.Balance(t.Context())
	require.NoError(t, err)
	assertMoney(t, "25.03 USD", balance)
	assert.Equal(t, []cannedRequest{{http.MethodGet, "https://youproxy.io/client/api/v1/" + cannedKey + "/balance", "", ""}}, transport.requests)
}

// calls is every call of this file, by its label.
var calls = map[string]func(context.Context, *youproxy.Client) error{
	"POST /order": func(ctx context.Context, c *youproxy.Client) error {
		order, err := c.CreateOrder(ctx, anIPv4Order())
		return withoutResult(order, err)
	},
	"POST /calculate/order": func(ctx context.Context, c *youproxy.Client) error {
		quote, err := c.QuoteOrder(ctx, anIPv4Order())
		return withoutResult(quote, err)
	},
	"GET /balance": func(ctx context.Context, c *youproxy.Client) error {
		balance, err := c.Balance(ctx)
		if err != nil && (balance.Currency != "" || !balance.Amount.IsZero()) {
			return fmt.Errorf("a balance of %s came with the error: %w", balance, err)
		}
		return err
	},
}

func withoutResult[T any](result *T, err error) error {
	if (result == nil) != (err != nil) {
		return fmt.Errorf("the result %v came with the error %w", result, err)
	}
	return err
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		op      string
		reply   string
		code    youproxy.ErrorCode
		message string
		balance string // empty where the service named none
	}{
		{
			"order, incorrect goal", "POST /order",
			`{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`,
			youproxy.ErrIncorrectGoal, "Incorrect goal", "7.18 USD",
		},
		{
			"order, incorrect protocol", "POST /order",
			`{"success": false, "proxyType": null, "orderNumber": null, "balance": 4.57, "currency": "USD", "error": {"code": 13, "message": "Incorrect protocol"}, "promoCodeStatus": null}`,
			youproxy.ErrIncorrectProtocol, "Incorrect protocol", "4.57 USD",
		},
		{
			"order, incorrect mobile operator", "POST /order",
			`{"success": false, "proxyType": null, "orderNumber": null, "balance": 3.76, "currency": "USD", "error": {"code": 8, "message": "Incorrect mobile operator"}, "promoCodeStatus": null}`,
			youproxy.ErrIncorrectMobileOperator, "Incorrect mobile operator", "3.76 USD",
		},
		{
			"order, a balance that is null", "POST /order",
			`{"success": false, "proxyType": null, "orderNumber": null, "balance": null, "currency": null, "error": {"code": 2, "message": "Error api key"}, "promoCodeStatus": null}`,
			youproxy.ErrInvalidAPIKey, "Error api key", "",
		},
		{
			"order, a code of which nothing is known", "POST /order",
			`{"success": false, "balance": 0, "currency": "USD", "error": {"code": 31, "message": "Incorrect moon"}}`,
			31, "Incorrect moon", "0 USD",
		},
		{
			"quote, incorrect proxy type", "POST /calculate/order",
			`{"success": false, "proxyType": null, "balance": 7.18, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null,
 "error": {"code": 4, "message": "Incorrect proxy type"}, "warnings": null}`,
			youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "7.18 USD",
		},
		{
			"balance, wrong key", "GET /balance",
			`{"success": false, "balance": null, "currencyCode": null, "error": {"code": 2, "message": "Error api key"}}`,
			youproxy.ErrInvalidAPIKey, "Error api key", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			err := calls[tt.op](t.Context(), client)
			var refused *youproxy.APIError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, tt.op, refused.Op)
			assert.Equal(t, http.StatusOK, refused.HTTPStatus)
			assert.Equal(t, tt.code, refused.Code)
			assert.Equal(t, tt.message, refused.Message)
			if tt.balance == "" {
				assert.Nil(t, refused.Balance)
			} else if assert.NotNil(t, refused.Balance) {
				assertMoney(t, tt.balance, *refused.Balance)
			}
			assert.ErrorIs(t, err, tt.code)
			assert.NotErrorIs(t, err, youproxy.ErrorCode(999))
			assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
			assert.Len(t, transport.requests, 1)
		})
	}
}

func TestReplyMoneyIsExact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, json, want string }{
		{"two decimals", `4.57`, "4.57"},
		{"whole", `25`, "25"},
		{"zero", `0`, "0"},
		{"beyond 2^53", `9007199254740993`, "9007199254740993"},
		{"beyond 2^53, with cents", `9007199254740993.01`, "9007199254740993.01"},
		{"beyond 2^64", `123456789012345678901234567890.12`, "123456789012345678901234567890.12"},
		{"twelve decimals", `0.123456789012`, "0.123456789012"},
		{"in quotes", `"4.57"`, "4.57"},
		{"in quotes, spaced", `" 4.57 "`, "4.57"},
		{"in quotes, escaped", `"4\u002e57"`, "4.57"},
		{"negative", `-3.76`, "-3.76"},
		{"exponent", `1e2`, "100"},
		{"negative exponent", `457E-2`, "4.57"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want + " USD"

			client, _ := answering(t, http.StatusOK, `{"success": true, "orderNumber": "N", "balance": `+tt.json+`, "currency": "USD"}`)
			order, err := client.CreateOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assertMoney(t, want, order.Balance)

			client, _ = answering(t, http.StatusOK, `{"success": true, "price": `+tt.json+`, "balance": `+tt.json+`, "currency": "USD", "discount": `+tt.json+`}`)
			quote, err := client.QuoteOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assertMoney(t, want, quote.Price)
			assertMoney(t, want, quote.Balance)
			assert.Equal(t, tt.want, quote.Discount.String())

			client, _ = answering(t, http.StatusOK, `{"success": true, "balance": `+tt.json+`, "currencyCode": "USD"}`)
			balance, err := client.Balance(t.Context())
			require.NoError(t, err)
			assertMoney(t, want, balance)

			client, _ = answering(t, http.StatusOK, `{"success": false, "balance": `+tt.json+`, "currency": "USD", "error": {"code": 14, "message": ""}}`)
			_, err = client.CreateOrder(t.Context(), anIPv4Order())
			var refused *youproxy.APIError
			require.ErrorAs(t, err, &refused)
			require.NotNil(t, refused.Balance)
			assertMoney(t, want, *refused.Balance)
		})
	}
}

// An order that was placed is placed, whatever its reply says of the balance. A
// call that asks for an amount is not answered without it.
func TestReplyMoneyInAnOddForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, member string }{
		{"absent", ``},
		{"null", `, "%s": null`},
		{"object", `, "%s": {"amount": 4.57}`},
		{"array", `, "%s": [4.57]`},
		{"boolean", `, "%s": true`},
		{"words", `, "%s": "abc"`},
		{"empty text", `, "%s": ""`},
		{"decimal comma", `, "%s": "4,57"`},
		{"thousands", `, "%s": "1,234.5"`},
		{"infinity", `, "%s": "Infinity"`},
		{"huge exponent", `, "%s": 1e999999999`},
		{"huge exponent in quotes", `, "%s": "1e999999999"`},
		{"tiny exponent", `, "%s": 1e-999999999`},
		{"exponent beyond 32 bits", `, "%s": 1e99999999999`},
		{"ten thousand digits", `, "%s": ` + strings.Repeat("9", 10_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			member := func(name string) string { return strings.ReplaceAll(tt.member, "%s", name) }

			client, _ := answering(t, http.StatusOK, `{"success": true, "orderNumber": "NUMBER-1", "currency": "USD"`+member("balance")+`}`)
			order, err := client.CreateOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assert.Equal(t, youproxy.OrderNumber("NUMBER-1"), order.Number)
			assert.True(t, order.Balance.IsZero(), order.Balance.String())
			assert.Equal(t, "unknown", order.Balance.String())

			client, _ = answering(t, http.StatusOK, `{"success": false, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}`+member("balance")+`}`)
			_, err = client.CreateOrder(t.Context(), anIPv4Order())
			var refused *youproxy.APIError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, youproxy.ErrIncorrectGoal, refused.Code)
			assert.Nil(t, refused.Balance)

			client, _ = answering(t, http.StatusOK, `{"success": true, "balance": 7.18, "currency": "USD"`+member("price")+`}`)
			quote, err := client.QuoteOrder(t.Context(), anIPv4Order())
			assert.Nil(t, quote)
			assertUnreadable(t, err, "price")

			client, _ = answering(t, http.StatusOK, `{"success": true, "price": 1.31, "currency": "USD"`+member("balance")+member("discount")+`}`)
			quote, err = client.QuoteOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assertMoney(t, "1.31 USD", quote.Price)
			assert.True(t, quote.Balance.IsZero())
			assert.True(t, quote.Discount.IsZero())

			client, _ = answering(t, http.StatusOK, `{"success": true, "currencyCode": "USD"`+member("balance")+`}`)
			_, err = client.Balance(t.Context())
			assertUnreadable(t, err, "balance")
		})
	}
}

func assertUnreadable(t *testing.T, err error, member string) {
	t.Helper()
	var failed *youproxy.CallError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, youproxy.OutcomeUnknown, failed.Outcome)
	assert.ErrorContains(t, err, `"`+member+`"`)
}

func TestRequestBody(t *testing.T) {
	t.Parallel()
	awkward := anIPv4Order()
	awkward.Goal = `"Käse" <b> & \ 日本`
	authIP := func(addr string) youproxy.OrderRequest {
		r := anIPv4Order()
		r.AuthType, r.AuthIP = youproxy.AuthTypeIP, netip.MustParseAddr(addr)
		return r
	}
	sibling := aMobileOrder()
	sibling.RotationTime, sibling.PromoCode = -1, ""
	byLink := sibling
	byLink.RotationTime, byLink.RotateByLink = 0, true
	ipv6, mobile := anIPv6Order(), aMobileOrder()

	const plain = `{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring"`
	for _, tt := range []struct {
		name    string
		request youproxy.OrderRequest
		terms   string // what the quote sends, without the closing brace
		rest    string // what the order sends besides
	}{
		{
			"IPv4", anIPv4Order(), plain, `,"authType":"LOGIN"}`,
		},
		{
			"IPv6", anIPv6Order(),
			`{"proxyType":"IPv6","quantity":10,"rentPeriodDays":90,"country":"DEU","goal":"search results","promoCode":"CLIENT-PROMO"`,
			`,"authType":"LOGIN","protocol":"SOCKS"}`,
		},
		{
			"mobile", aMobileOrder(),
			`{"proxyType":"MOBILE","quantity":2,"rentPeriodDays":30,"country":"USA","goal":"app tests","promoCode":"OLD-PROMO","rotationTime":300,"mobileOperator":"verizon"`,
			`,"authType":"LOGIN"}`,
		},
		{
			"ISP", anISPOrder(),
			`{"proxyType":"ISP","quantity":3,"rentPeriodDays":30,"country":"GBR","goal":"ad checks"`,
			`,"authType":"IP","authIp":"203.0.113.7"}`,
		},
		{
			"pointer to a request", &ipv6,
			`{"proxyType":"IPv6","quantity":10,"rentPeriodDays":90,"country":"DEU","goal":"search results","promoCode":"CLIENT-PROMO"`,
			`,"authType":"LOGIN","protocol":"SOCKS"}`,
		},
		{
			"pointer to a mobile request", &mobile,
			`{"proxyType":"MOBILE","quantity":2,"rentPeriodDays":30,"country":"USA","goal":"app tests","promoCode":"OLD-PROMO","rotationTime":300,"mobileOperator":"verizon"`,
			`,"authType":"LOGIN"}`,
		},
		{
			"a negative rotation time", sibling,
			`{"proxyType":"MOBILE","quantity":2,"rentPeriodDays":30,"country":"USA","goal":"app tests","rotationTime":-1,"mobileOperator":"verizon"`,
			`,"authType":"LOGIN"}`,
		},
		{
			"a rotation by link", byLink,
			`{"proxyType":"MOBILE","quantity":2,"rentPeriodDays":30,"country":"USA","goal":"app tests","rotationTime":0,"mobileOperator":"verizon"`,
			`,"authType":"LOGIN"}`,
		},
		{
			"a goal is sent as it is written", awkward,
			`{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"\"Käse\" <b> & \\ 日本"`,
			`,"authType":"LOGIN"}`,
		},
		{"an IPv4 address", authIP("1.2.3.4"), plain, `,"authType":"IP","authIp":"1.2.3.4"}`},
		{"an IPv4 address written as IPv6", authIP("::ffff:1.2.3.4"), plain, `,"authType":"IP","authIp":"1.2.3.4"}`},
		{"an IPv6 address", authIP("2001:db8::1"), plain, `,"authType":"IP","authIp":"2001:db8::1"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, `{"success": true, "orderNumber": "N", "price": 1}`)
			_, err := client.CreateOrder(t.Context(), tt.request)
			require.NoError(t, err)
			_, err = client.QuoteOrder(t.Context(), tt.request)
			require.NoError(t, err)
			const base = "https://youproxy.io/client/api/v1/" + cannedKey
			assert.Equal(t, []cannedRequest{
				{http.MethodPost, base + "/order", "application/json", tt.terms + tt.rest},
				{http.MethodPost, base + "/calculate/order", "application/json", tt.terms + "}"},
			}, transport.requests)
		})
	}
}
