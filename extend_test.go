package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/routetest"
)

func anExtension() youproxy.ExtendIPsRequest {
	return youproxy.ExtendIPsRequest{
		ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: []youproxy.IPAddressID{"1111111111111111111", "1112223334283d122"}, RentPeriodDays: 30,
	}
}

func anExtensionOfOrders() youproxy.ExtendOrdersRequest {
	return youproxy.ExtendOrdersRequest{
		ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{"2222222222222222222"}, RentPeriodDays: 90,
	}
}

func anAutoExtension(on bool) youproxy.AutoExtendIPsRequest {
	return youproxy.AutoExtendIPsRequest{
		ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: []youproxy.IPAddressID{"1111111111111111111", "1112223334283d122"}, RentPeriodDays: 30,
		AutoExtend: on,
	}
}

func anAutoExtensionOfOrders(on bool) youproxy.AutoExtendOrdersRequest {
	return youproxy.AutoExtendOrdersRequest{
		ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{"2222222222222222222"}, RentPeriodDays: 90,
		AutoExtend: on,
	}
}

// extendTerms is what the four requests have in common.
type extendTerms struct {
	proxies youproxy.ProxyType
	ids     []string
	days    int
	promo   string // of two of them
}

type validatable interface{ Validate() error }

// extendKinds makes each of the four requests of the same terms.
var extendKinds = []struct {
	name  string
	ids   string // how its ids are called
	promo bool   // it takes a promo code
	make  func(extendTerms) validatable
	byPtr func(extendTerms) validatable
}{
	{
		"ExtendIPsRequest", "ipAddressIds", true,
		func(e extendTerms) validatable { return ipExtension(e) },
		func(e extendTerms) validatable { return new(ipExtension(e)) },
	},
	{
		"ExtendOrdersRequest", "orderIds", true,
		func(e extendTerms) validatable { return orderExtension(e) },
		func(e extendTerms) validatable { return new(orderExtension(e)) },
	},
	{
		"AutoExtendIPsRequest", "ipAddressIds", false,
		func(e extendTerms) validatable { return ipAutoExtension(e) },
		func(e extendTerms) validatable { return new(ipAutoExtension(e)) },
	},
	{
		"AutoExtendOrdersRequest", "orderIds", false,
		func(e extendTerms) validatable { return orderAutoExtension(e) },
		func(e extendTerms) validatable { return new(orderAutoExtension(e)) },
	},
}

func ipExtension(e extendTerms) youproxy.ExtendIPsRequest {
	return youproxy.ExtendIPsRequest{ProxyType: e.proxies, IPAddressIDs: asIDs[youproxy.IPAddressID](e.ids), RentPeriodDays: e.days, PromoCode: e.promo}
}

func orderExtension(e extendTerms) youproxy.ExtendOrdersRequest {
	return youproxy.ExtendOrdersRequest{ProxyType: e.proxies, OrderIDs: asIDs[youproxy.OrderID](e.ids), RentPeriodDays: e.days, PromoCode: e.promo}
}

func ipAutoExtension(e extendTerms) youproxy.AutoExtendIPsRequest {
	return youproxy.AutoExtendIPsRequest{ProxyType: e.proxies, IPAddressIDs: asIDs[youproxy.IPAddressID](e.ids), RentPeriodDays: e.days}
}

func orderAutoExtension(e extendTerms) youproxy.AutoExtendOrdersRequest {
	return youproxy.AutoExtendOrdersRequest{ProxyType: e.proxies, OrderIDs: asIDs[youproxy.OrderID](e.ids), RentPeriodDays: e.days}
}

func asIDs[ID ~string](texts []string) []ID {
	if texts == nil {
		return nil
	}
	ids := make([]ID, len(texts))
	for i, id := range texts {
		ids[i] = ID(id)
	}
	return ids
}

// extendCalls gives what each call that takes the request says to it.
func extendCalls(ctx context.Context, c *youproxy.Client, req any) []error {
	if r, ok := req.(youproxy.AutoExtendRequest); ok {
		done, err := c.SetAutoExtend(ctx, r)
		return []error{withoutResult(done, err)}
	}
	r, _ := req.(youproxy.ExtendRequest)
	quote, quoteErr := c.QuoteExtension(ctx, r)
	done, err := c.Extend(ctx, r)
	return []error{withoutResult(quote, quoteErr), withoutResult(done, err)}
}

// assertExtendsNothing makes each call that takes the request, none of which may
// send it.
func assertExtendsNothing(t *testing.T, req any, want *youproxy.ValidationError) {
	t.Helper()
	client, transport := answering(t, http.StatusOK, routeReply)
	for _, err := range extendCalls(t.Context(), client, req) {
		var invalid *youproxy.ValidationError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, want, invalid)
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.ErrorContains(t, err, "; nothing was sent, nothing was spent")
	}
	assert.Empty(t, transport.requests)
}

func TestExtendRequestRules(t *testing.T) {
	valid := extendTerms{proxies: youproxy.ProxyTypeIPv4, ids: []string{"1", "2"}, days: 30}
	ids := func(ids ...string) extendTerms { return change(valid, func(e *extendTerms) { e.ids = ids }) }
	promo := func(code string) extendTerms { return change(valid, func(e *extendTerms) { e.promo = code }) }
	for _, tt := range []struct {
		name    string
		terms   extendTerms
		broken  []string // "ids" stands for the name of the ids
		message string   // a part of the first
	}{
		{"no proxy type", change(valid, func(e *extendTerms) { e.proxies = "" }), []string{"proxyType required"}, "missing"},
		{"blank proxy type", change(valid, func(e *extendTerms) { e.proxies = " " }), []string{"proxyType unknown"}, "IPv4, IPv6, MOBILE or ISP"},
		{"unknown proxy type", change(valid, func(e *extendTerms) { e.proxies = "IPv9" }), []string{"proxyType unknown"}, "IPv4, IPv6, MOBILE or ISP"},
		{"proxy type in small letters", change(valid, func(e *extendTerms) { e.proxies = "ipv4" }), []string{"proxyType unknown"}, ""},
		{"no ids", ids(), []string{"ids required"}, "at least one"},
		{"an empty list of ids", ids([]string{}...), []string{"ids required"}, "at least one"},
		{"an id that is empty", ids("1", ""), []string{"ids format"}, "index 1"},
		{"an id that is blank", ids(" ", "1"), []string{"ids format"}, "index 0"},
		{"an id of wide white space", ids("\u3000"), []string{"ids format"}, "index 0"},
		{"white space before an id", ids("1", "2", " 3"), []string{"ids format"}, "index 2"},
		{"white space after an id", ids("1\n"), []string{"ids format"}, "index 0"},
		{"white space of another kind", ids("\u00a01"), []string{"ids format"}, "index 0"},
		{"an id that is not UTF-8", ids("1", "\xff"), []string{"ids format"}, "index 1"},
		{"several malformed ids, of which the first is named", ids("1", " 2", "", "\xff"), []string{"ids format"}, "index 1"},
		{"several blank ids, of which the first is named", ids("1", " ", ""), []string{"ids format"}, "index 1"},
		{"a repeated id", ids("1", "2", "1"), []string{"ids conflict"}, "index 2 the same as at index 0"},
		{"repeated ids, of which the first is named", ids("1", "1", "2", "2", "1"), []string{"ids conflict"}, "index 1 the same as at index 0"},
		{"malformed and repeated ids", ids("1", "", "1"), []string{"ids format", "ids conflict"}, "index 1"},
		{"no rent period", change(valid, func(e *extendTerms) { e.days = 0 }), []string{"rentPeriodDays range"}, "1 or more"},
		{"negative rent period", change(valid, func(e *extendTerms) { e.days = -30 }), []string{"rentPeriodDays range"}, "1 or more"},
		{"blank promo code", promo(" "), []string{"promoCode format"}, "full price"},
		{"spaced promo code", promo("PROMO\t"), []string{"promoCode format"}, "white space"},
		{"promo code that is not UTF-8", promo("PR\xffMO"), []string{"promoCode format"}, "UTF-8"},
		{"empty", extendTerms{}, []string{"proxyType required", "ids required", "rentPeriodDays range"}, ""},
		{
			"everything wrong",
			extendTerms{proxies: "X", ids: []string{"\xff", "1", "1"}, days: -1, promo: " P"},
			[]string{"proxyType unknown", "ids format", "ids conflict", "rentPeriodDays range", "promoCode format"}, "",
		},
	} {
		for _, kind := range extendKinds {
			if tt.broken[0] == "promoCode format" && !kind.promo {
				continue
			}
			t.Run(tt.name+", "+kind.name, func(t *testing.T) {
				var broken []string
				for _, rule := range tt.broken {
					if rule != "promoCode format" || kind.promo {
						broken = append(broken, strings.Replace(rule, "ids ", kind.ids+" ", 1))
					}
				}
				for _, request := range []validatable{kind.make(tt.terms), kind.byPtr(tt.terms)} {
					var invalid *youproxy.ValidationError
					require.ErrorAs(t, request.Validate(), &invalid)
					assert.Equal(t, kind.name, invalid.Request)
					assert.Equal(t, broken, brokenRules(invalid))
					assert.Contains(t, invalid.Fields[0].Message, tt.message)
					for _, f := range invalid.Fields {
						assert.NotEmpty(t, f.Message, f.Field)
						assert.Contains(t, invalid.Error(), f.Field+" "+f.Message)
					}
					assertExtendsNothing(t, request, invalid)
				}
			})
		}
	}
}

// Value and pointer send the same.
func TestValidExtendRequests(t *testing.T) {
	for _, tt := range []struct {
		name  string
		terms extendTerms
		sent  string // from the proxy type on; IDS stands for the name of the ids
		promo string
	}{
		{"one id", extendTerms{proxies: "IPv4", ids: []string{"1"}, days: 30}, `{"proxyType":"IPv4","IDS":["1"],"rentPeriodDays":30`, ""},
		{"IPv6", extendTerms{proxies: "IPv6", ids: []string{"a", "b"}, days: 90}, `{"proxyType":"IPv6","IDS":["a","b"],"rentPeriodDays":90`, ""},
		{"mobile", extendTerms{proxies: "MOBILE", ids: []string{"1"}, days: 1}, `{"proxyType":"MOBILE","IDS":["1"],"rentPeriodDays":1`, ""},
		{"ISP, a period that may not be sold", extendTerms{proxies: "ISP", ids: []string{"1"}, days: 7}, `{"proxyType":"ISP","IDS":["1"],"rentPeriodDays":7`, ""},
		{
			"ids that look alike", extendTerms{proxies: "IPv4", ids: []string{"1", "01", "a", "A", "a b", `"<é>`}, days: 30},
			`{"proxyType":"IPv4","IDS":["1","01","a","A","a b","\"<é>"],"rentPeriodDays":30`, "",
		},
		{
			"a promo code with a space inside", extendTerms{proxies: "IPv4", ids: []string{"1"}, days: 30, promo: "BLACK FRIDAY"},
			`{"proxyType":"IPv4","IDS":["1"],"rentPeriodDays":30`, `,"promoCode":"BLACK FRIDAY"`,
		},
	} {
		for _, kind := range extendKinds {
			t.Run(tt.name+", "+kind.name, func(t *testing.T) {
				want := strings.Replace(tt.sent, "IDS", kind.ids, 1) + `,"autoExtend":false}`
				if kind.promo {
					want = strings.Replace(tt.sent, "IDS", kind.ids, 1) + tt.promo + "}"
				}
				client, transport := answering(t, http.StatusOK, routeReply)
				for _, request := range []validatable{kind.make(tt.terms), kind.byPtr(tt.terms)} {
					require.NoError(t, request.Validate())
					for _, err := range extendCalls(t.Context(), client, request) {
						require.NoError(t, err)
					}
				}
				require.NotEmpty(t, transport.requests)
				for _, r := range transport.requests {
					assert.Equal(t, want, r.body)
				}
			})
		}
	}
}

type (
	embeddingExtension     struct{ youproxy.ExtendIPsRequest }
	embeddingExtensionPtr  struct{ *youproxy.ExtendOrdersRequest }
	embeddingInterface     struct{ youproxy.ExtendRequest }
	embeddingAutoExtension struct {
		youproxy.AutoExtendOrdersRequest
	}
	embeddingAutoInterface struct{ youproxy.AutoExtendRequest }
)

func TestWhatIsNoExtendRequest(t *testing.T) {
	client, transport := answering(t, http.StatusOK, routeReply)
	quote := func(r youproxy.ExtendRequest) error {
		got, err := client.QuoteExtension(t.Context(), r)
		return withoutResult(got, err)
	}
	extend := func(r youproxy.ExtendRequest) error {
		got, err := client.Extend(t.Context(), r)
		return withoutResult(got, err)
	}
	auto := func(r youproxy.AutoExtendRequest) error {
		got, err := client.SetAutoExtend(t.Context(), r)
		return withoutResult(got, err)
	}
	for _, tt := range []struct {
		name    string
		request youproxy.ExtendRequest
		auto    youproxy.AutoExtendRequest // where that is nil, request counts
		names   string                     // the request that the error names
		rule    string
	}{
		{"nil", nil, nil, "ExtendRequest", "required"},
		{"nil pointer to IPs", (*youproxy.ExtendIPsRequest)(nil), nil, "ExtendIPsRequest", "required"},
		{"nil pointer to orders", (*youproxy.ExtendOrdersRequest)(nil), nil, "ExtendOrdersRequest", "required"},
		{"a struct that embeds one", embeddingExtension{anExtension()}, nil, "youproxy_test.embeddingExtension", "unknown"},
		{"a pointer to such a struct", &embeddingExtension{anExtension()}, nil, "*youproxy_test.embeddingExtension", "unknown"},
		{"a nil pointer to such a struct", (*embeddingExtension)(nil), nil, "*youproxy_test.embeddingExtension", "unknown"},
		{"a struct that embeds a pointer", embeddingExtensionPtr{new(anExtensionOfOrders())}, nil, "youproxy_test.embeddingExtensionPtr", "unknown"},
		{"a struct that embeds a nil pointer", embeddingExtensionPtr{}, nil, "youproxy_test.embeddingExtensionPtr", "unknown"},
		{"a struct that embeds the interface", embeddingInterface{anExtension()}, nil, "youproxy_test.embeddingInterface", "unknown"},
		{"a struct that embeds a nil interface", embeddingInterface{}, nil, "youproxy_test.embeddingInterface", "unknown"},
		{"a struct without a name", struct{ youproxy.ExtendIPsRequest }{anExtension()}, nil, "struct { youproxy.ExtendIPsRequest }", "unknown"},

		{"auto: nil pointer to IPs", nil, (*youproxy.AutoExtendIPsRequest)(nil), "AutoExtendIPsRequest", "required"},
		{"auto: nil pointer to orders", nil, (*youproxy.AutoExtendOrdersRequest)(nil), "AutoExtendOrdersRequest", "required"},
		{"auto: a struct that embeds one", nil, embeddingAutoExtension{anAutoExtensionOfOrders(true)}, "youproxy_test.embeddingAutoExtension", "unknown"},
		{"auto: a pointer to such a struct", nil, &embeddingAutoExtension{}, "*youproxy_test.embeddingAutoExtension", "unknown"},
		{"auto: a struct that embeds a nil interface", nil, embeddingAutoInterface{}, "youproxy_test.embeddingAutoInterface", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			errs := []error{quote(tt.request), extend(tt.request)}
			if tt.auto != nil {
				errs = []error{auto(tt.auto)}
			}
			for _, err := range errs {
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, err, &invalid)
				assert.Equal(t, tt.names, invalid.Request)
				assert.Equal(t, []string{"request " + tt.rule}, brokenRules(invalid))
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
			}
		})
	}
	t.Run("auto: nil", func(t *testing.T) {
		var invalid *youproxy.ValidationError
		require.ErrorAs(t, auto(nil), &invalid)
		assert.Equal(t, "AutoExtendRequest", invalid.Request)
		assert.Equal(t, []string{"request required"}, brokenRules(invalid))
	})
	assert.Empty(t, transport.requests)
}

// The ids may come under either name, whatever was asked with.
func TestExtensionReplyIDs(t *testing.T) {
	type ips = []youproxy.IPAddressID
	type orders = []youproxy.OrderID
	for _, tt := range []struct {
		name, members string
		ips           ips
		orders        orders
	}{
		{"IPs", `, "ipAddressIds": ["1111111111111111111", "1112223334283d122"]`, ips{"1111111111111111111", "1112223334283d122"}, nil},
		{"orders", `, "orderIds": ["2222222222222222222"]`, nil, orders{"2222222222222222222"}},
		{"both", `, "orderIds": ["2"], "ipAddressIds": ["1", "3"]`, ips{"1", "3"}, orders{"2"}},
		{"one of them null", `, "orderIds": ["2"], "ipAddressIds": null`, nil, orders{"2"}},
		{"both null", `, "orderIds": null, "ipAddressIds": null`, nil, nil},
		{"both empty", `, "orderIds": [], "ipAddressIds": []`, nil, nil},
		{"none", ``, nil, nil},
		{"numbers, to the last digit", `, "ipAddressIds": [1111111111111111111], "orderIds": [9007199254740993]`, ips{"1111111111111111111"}, orders{"9007199254740993"}},
		{"in an odd form", `, "orderIds": "2", "ipAddressIds": {"1": true}`, nil, nil},
	} {
		for _, op := range []string{"POST /extend", "POST /extend/order", "POST /extend/auto", "POST /extend/order/auto"} {
			t.Run(tt.name+", "+op, func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, `{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "balance": 0.65, "currency": "USD", "error": null`+tt.members+`}`)
				var done *youproxy.Extension
				var err error
				switch op {
				case "POST /extend":
					done, err = client.Extend(t.Context(), anExtension())
				case "POST /extend/order":
					done, err = client.Extend(t.Context(), anExtensionOfOrders())
				case "POST /extend/auto":
					done, err = client.SetAutoExtend(t.Context(), anAutoExtension(true))
				default:
					done, err = client.SetAutoExtend(t.Context(), anAutoExtensionOfOrders(true))
				}
				require.NoError(t, err)
				require.Len(t, transport.requests, 1)
				assert.True(t, strings.HasSuffix(transport.requests[0].url, cannedKey+strings.TrimPrefix(op, "POST ")))
				assert.ElementsMatch(t, tt.ips, done.IPAddressIDs)
				assert.ElementsMatch(t, tt.orders, done.OrderIDs)
				assert.Equal(t, 1, done.Quantity)
				assertMoney(t, "0.65 USD", done.Balance)
			})
		}
	}
}

// What was extended is extended, whatever its reply says besides.
func TestExtensionReplyInAnOddForm(t *testing.T) {
	for _, tt := range []struct {
		name, members string
		want          youproxy.Extension
	}{
		{"nothing", ``, youproxy.Extension{}},
		{"nulls", `, "proxyType": null, "rentPeriodDays": null, "quantity": null, "balance": null, "currency": null, "promoCodeStatus": null`, youproxy.Extension{}},
		{"numbers in quotes", `, "rentPeriodDays": "30", "quantity": "2", "balance": "0.65", "currency": "USD"`, youproxy.Extension{RentPeriodDays: 30, Quantity: 2, Balance: youproxy.MustMoney("0.65 USD")}},
		{"odd values", `, "rentPeriodDays": {}, "quantity": "some", "balance": [], "proxyType": 4`, youproxy.Extension{ProxyType: "4"}},
		{"values that came later", `, "proxyType": "IPv9", "promoCodeStatus": "HALF", "autoExtend": true`, youproxy.Extension{ProxyType: "IPv9", PromoCodeStatus: "HALF"}},
		{"a valid promo code", `, "promoCodeStatus": "VALID"`, youproxy.Extension{PromoCodeStatus: youproxy.PromoCodeValid}},
		{"a promo code that is not valid", `, "promoCodeStatus": "NO_VALID"`, youproxy.Extension{PromoCodeStatus: youproxy.PromoCodeNotValid}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true`+tt.members+`}`)
			done, err := client.Extend(t.Context(), anExtension())
			require.NoError(t, err)
			assert.Equal(t, &tt.want, done)
			done, err = client.SetAutoExtend(t.Context(), anAutoExtension(true))
			require.NoError(t, err)
			assert.Equal(t, &tt.want, done)
		})
	}
}

func TestExtensionRefusals(t *testing.T) {
	for _, code := range []youproxy.ErrorCode{
		youproxy.ErrIncorrectIPAddresses, youproxy.ErrWholeOrderRequired, youproxy.ErrIncorrectOrderIDs,
		youproxy.ErrIncorrectRentPeriod, youproxy.ErrInsufficientFunds,
	} {
		for _, r := range routetest.Routes() {
			if r.Method != "QuoteExtension" && r.Method != "Extend" && r.Method != "SetAutoExtend" {
				continue
			}
			t.Run(fmt.Sprintf("code %d, %s", int(code), r.Name()), func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, fmt.Sprintf(
					`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 0.65, "currency": "USD", "error": {"code": %d, "message": "No"}, "promoCodeStatus": null}`, int(code)))
				err := r.Call(t.Context(), client)
				var refusal *youproxy.APIError
				require.ErrorAs(t, err, &refusal)
				assert.Equal(t, code, refusal.Code)
				assert.Equal(t, r.Op, refusal.Op)
				require.NotNil(t, refusal.Balance)
				assertMoney(t, "0.65 USD", *refusal.Balance)
				assert.ErrorIs(t, err, code)
				assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
				says := "; nothing was spent"
				if r.Effect == "read" {
					says = "; the call spends nothing"
				}
				assert.True(t, strings.HasSuffix(err.Error(), fmt.Sprintf(`"No" (code %d)%s`, int(code), says)), err.Error())
				assert.Len(t, transport.requests, 1)
			})
		}
	}
}

func TestExtensionOutcomes(t *testing.T) {
	const (
		mayBeSpent = "; money may have been spent: look at the account before repeating it"
		mayBeMade  = "; the change may or may not have been made: it is safe to repeat"
		notSpent   = "; nothing was spent"
		executed   = ""
	)
	for _, tt := range []struct {
		name    string
		answer  answer
		outcome youproxy.Outcome
		spend   string // what Extend says of the money
		write   string // what SetAutoExtend says
		sent    int    // how often SetAutoExtend sends it
		is      error
	}{
		{"success", status(200, routeReply), youproxy.OutcomeDone, executed, executed, 1, nil},
		{"success with nothing else", status(200, `{"success": true}`), youproxy.OutcomeDone, executed, executed, 1, nil},
		{"no reply in time", never, youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, context.DeadlineExceeded},
		{"no end in time", neverEnds, youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, context.DeadlineExceeded},
		{"a connection that breaks", breaks(errors.New("connection reset")), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, youproxy.ErrOutcomeUnknown},
		{"a truncated reply", truncated(200), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, youproxy.ErrOutcomeUnknown},
		{"502", status(502, "<html>Bad Gateway</html>"), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, youproxy.ErrOutcomeUnknown},
		{"502 with a refusal", status(502, clientNoFunds), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 3, youproxy.ErrInsufficientFunds},
		{"500", status(500, ""), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
		{"408", status(408, clientNoFunds), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
		{"302", status(302, "", "Location", "/elsewhere"), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrRedirect},
		{"429", status(429, ""), youproxy.OutcomeRejected, notSpent, notSpent, 3, nil},
		{"404", status(404, "<html>no such page</html>"), youproxy.OutcomeRejected, notSpent, notSpent, 1, nil},
		{"404 that says success", status(404, routeReply), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
		{"a refusal", status(200, clientNoFunds), youproxy.OutcomeRejected, notSpent, notSpent, 1, youproxy.ErrInsufficientFunds},
		{"a refusal with 400", status(400, clientNoFunds), youproxy.OutcomeRejected, notSpent, notSpent, 1, youproxy.ErrInsufficientFunds},
		{"a fault of the service", status(200, `{"success": false, "error": {"code": 35, "message": "Unknown error"}}`), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrServiceFault},
		{"a refusal without a code", status(200, `{"success": false, "error": null}`), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
		{"a page with 200", status(200, "<html></html>"), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
		{"success and an error", status(200, `{"success": true, "error": {"code": 24, "message": "No"}}`), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, youproxy.ErrOutcomeUnknown},
	} {
		for _, r := range routetest.Routes() {
			if r.Method != "Extend" && r.Method != "SetAutoExtend" {
				continue
			}
			t.Run(tt.name+", "+r.Name(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answers: []answer{tt.answer}}
					err := r.Call(t.Context(), clientFor(t, s.option()))
					sent, says := 1, tt.spend
					if r.Effect == "write" {
						sent, says = tt.sent, tt.write
					}
					assert.Len(t, s.times, sent)
					assert.Equal(t, tt.outcome, youproxy.OutcomeOf(err), "%v", err)
					if tt.outcome == youproxy.OutcomeDone {
						require.NoError(t, err)
						return
					}
					require.Error(t, err)
					assert.True(t, strings.HasSuffix(err.Error(), says), err.Error())
					assert.Equal(t, tt.outcome == youproxy.OutcomeUnknown, errors.Is(err, youproxy.ErrOutcomeUnknown))
					if tt.is != nil {
						assert.ErrorIs(t, err, tt.is)
					}
				})
			})
		}
	}
}

// An extension that was repeated by the service's fault is one all the same.
func TestSetAutoExtendRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			status(502, "<html>Bad Gateway</html>"), breaks(errors.New("connection reset")),
			status(200, `{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111"], "balance": 5, "currency": "USD", "error": null}`),
		}}
		done, err := clientFor(t, s.option()).SetAutoExtend(t.Context(), anAutoExtension(true))
		require.NoError(t, err)
		assert.Equal(t, []youproxy.IPAddressID{"1111111111111111"}, done.IPAddressIDs)
		assert.Len(t, s.times, 3)
	})
}

// While an order is on its way an extension waits, and can still be called off.
func TestExtendWaitsForItsTurn(t *testing.T) {
	for _, request := range []youproxy.ExtendRequest{anExtension(), anExtensionOfOrders()} {
		t.Run(fmt.Sprintf("%T", request), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent []string
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
					sent = append(sent, strings.TrimPrefix(r.URL.Path, clientPathOfKey))
					if r.URL.Path == clientPathOfKey+"/order" {
						time.Sleep(10 * time.Second)
					}
					return stubReply(r, 200, routeReply), nil
				}))
				variant, err := c.With(youproxy.WithUserAgent("shop/1"))
				require.NoError(t, err)

				ordered := make(chan error, 1)
				go func() {
					_, err := c.CreateOrder(t.Context(), anIPv4Order())
					ordered <- err
				}()
				synctest.Wait()

				ctx, cancel := context.WithCancel(t.Context())
				calledOff := make(chan error, 1)
				go func() {
					done, err := variant.Extend(ctx, request)
					calledOff <- withoutResult(done, err)
				}()
				synctest.Wait()
				assert.Equal(t, []string{"/order"}, sent)
				_, err = variant.SetAutoExtend(t.Context(), anAutoExtension(false))
				require.NoError(t, err, "what spends nothing does not wait")

				cancel()
				err = <-calledOff
				var failed *youproxy.CallError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, youproxy.OutcomeNotSent, failed.Outcome)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.ErrorIs(t, err, context.Canceled)
				assert.EqualError(t, err, "youproxy: "+failed.Op+": context canceled while waiting for another purchase to end; nothing was sent, nothing was spent")

				_, err = variant.Extend(t.Context(), request)
				require.NoError(t, err)
				require.NoError(t, <-ordered)
				assert.Equal(t, []string{"/order", "/extend/auto", strings.TrimPrefix(failed.Op, "POST ")}, sent)
			})
		})
	}
}
