package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// agreeing is the reply to an extension that did what the request asked for.
func agreeing(request string) string {
	return `{"success": true, "price": 1.31, "quantity": null, "error": null, ` + strings.TrimPrefix(request, "{")
}

// agrees answers with that.
func agrees(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return stubReply(r, 200, agreeing(string(body))), nil
}

// What the reply to an extension says must agree with the request. Of an extension by
// orders it may name the proxies instead.
func TestExtensionReplyAgrees(t *testing.T) {
	t.Parallel()
	const (
		ips    = `"ipAddressIds": ["1111111111111111111", "1112223334283d122"]`
		orders = `"orderIds": ["2222222222222222222"]`
	)
	for _, tt := range []struct {
		name, byIPs, byOrders string // the members of the reply; empty where it is not tried
		problem               string // the member that does not agree
	}{
		{name: "all of it", byIPs: ips + `, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 2`, byOrders: orders + `, "proxyType": "IPv6", "rentPeriodDays": 90, "quantity": 10`},
		{name: "the ids alone", byIPs: ips, byOrders: orders},
		{name: "the rest null", byIPs: ips + `, "proxyType": null, "rentPeriodDays": null, "quantity": null, "orderIds": null`, byOrders: orders + `, "quantity": null, "ipAddressIds": null`},
		{name: "ids in another order", byIPs: `"ipAddressIds": ["1112223334283d122", "1111111111111111111"]`},
		{name: "an id as a number", byOrders: `"orderIds": [2222222222222222222]`},
		{name: "proxies of an order", byOrders: `"ipAddressIds": ["1", "2"], "quantity": 2`},
		{name: "proxies and the order", byOrders: orders + `, "ipAddressIds": ["1", "2"]`},
		{name: "a type in other letter case", byIPs: ips + `, "proxyType": "ipv4"`, byOrders: orders + `, "proxyType": "IPV6"`},
		{name: "numbers in quotes", byIPs: ips + `, "rentPeriodDays": "30", "quantity": "2"`},

		{name: "nothing", byIPs: `"balance": 5`, byOrders: `"balance": 5`, problem: "ipAddressIds"},
		{name: "a health page", byIPs: `"status": "UP"`, byOrders: `"status": "UP"`, problem: "ipAddressIds"},
		{name: "no ids", byIPs: `"ipAddressIds": []`, byOrders: `"orderIds": [], "ipAddressIds": null`, problem: "ipAddressIds"},
		{name: "ids in an odd form", byIPs: `"ipAddressIds": "1111111111111111111"`, byOrders: `"orderIds": {"2222222222222222222": true}`, problem: "ipAddressIds"},
		{name: "other ids", byIPs: `"ipAddressIds": ["1", "2"]`, problem: "ipAddressIds"},
		{name: "one of two", byIPs: `"ipAddressIds": ["1111111111111111111"], "quantity": 1`, problem: "ipAddressIds"},
		{name: "one of two, twice", byIPs: `"ipAddressIds": ["1111111111111111111", "1111111111111111111"]`, problem: "ipAddressIds"},
		{name: "one more", byIPs: `"ipAddressIds": ["1111111111111111111", "1112223334283d122", "3"]`, problem: "ipAddressIds"},
		{name: "another order", byOrders: `"orderIds": ["2"]`, problem: "orderIds"},
		{name: "the order instead of its proxies", byIPs: orders, problem: "ipAddressIds"},
		{name: "another type", byIPs: ips + `, "proxyType": "IPv6"`, byOrders: orders + `, "proxyType": "IPv4"`, problem: "proxyType"},
		{name: "another period", byIPs: ips + `, "rentPeriodDays": 60`, byOrders: orders + `, "rentPeriodDays": 30`, problem: "rentPeriodDays"},
		{name: "a quantity of nothing", byIPs: ips + `, "quantity": 0`, byOrders: orders + `, "quantity": 0`, problem: "quantity"},
		{name: "another quantity", byIPs: ips + `, "quantity": 1`, problem: "quantity"},
		{name: "a quantity in words", byIPs: ips + `, "quantity": "some"`, problem: "quantity"},
	} {
		for _, call := range []struct {
			name, members string
			make          func(*youproxy.Client) (*youproxy.Extension, error)
		}{
			{"Extend by IPs", tt.byIPs, func(c *youproxy.Client) (*youproxy.Extension, error) { return c.Extend(t.Context(), anExtension()) }},
			{"Extend by orders", tt.byOrders, func(c *youproxy.Client) (*youproxy.Extension, error) {
				return c.Extend(t.Context(), anExtensionOfOrders())
			}},
			{"SetAutoExtend by IPs", tt.byIPs, func(c *youproxy.Client) (*youproxy.Extension, error) {
				return c.SetAutoExtend(t.Context(), anAutoExtension(true))
			}},
			{"SetAutoExtend by orders", tt.byOrders, func(c *youproxy.Client) (*youproxy.Extension, error) {
				return c.SetAutoExtend(t.Context(), anAutoExtensionOfOrders(true))
			}},
		} {
			if call.members == "" {
				continue
			}
			t.Run(tt.name+", "+call.name, func(t *testing.T) {
				client, _ := answering(t, http.StatusOK, `{"success": true, `+call.members+`}`)
				done, err := call.make(client)
				if tt.problem == "" {
					require.NoError(t, err)
					require.NotNil(t, done)
					return
				}
				assert.Nil(t, done)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
				assert.ErrorContains(t, err, `the reply says success, but its "`+tt.problem+`" is `)
			})
		}
	}
}

// What else the reply to an extension says is kept as it came.
func TestExtensionReply(t *testing.T) {
	t.Parallel()
	const ips = `"ipAddressIds": [1111111111111111111, "1112223334283d122"]`
	want := youproxy.Extension{IPAddressIDs: anExtension().IPAddressIDs}
	for _, tt := range []struct {
		name, members string
		set           func(*youproxy.Extension)
	}{
		{"nothing", ``, func(*youproxy.Extension) {}},
		{"a balance", `, "balance": "0.65", "currency": "USD"`, func(e *youproxy.Extension) { e.Balance = youproxy.MustMoney("0.65 USD") }},
		{"an odd balance", `, "balance": [], "currency": "USD"`, func(*youproxy.Extension) {}},
		{"a status that came later", `, "promoCodeStatus": "HALF", "autoExtend": true`, func(e *youproxy.Extension) { e.PromoCodeStatus = "HALF" }},
		{"a valid promo code", `, "promoCodeStatus": "VALID"`, func(e *youproxy.Extension) { e.PromoCodeStatus = youproxy.PromoCodeValid }},
		{"a promo code that is not valid", `, "promoCodeStatus": "NO_VALID"`, func(e *youproxy.Extension) { e.PromoCodeStatus = youproxy.PromoCodeNotValid }},
		{"all of it", `, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 2, "orderIds": ["7"]`, func(e *youproxy.Extension) {
			e.ProxyType, e.RentPeriodDays, e.Quantity, e.OrderIDs = "IPv4", 30, 2, []youproxy.OrderID{"7"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := want
			tt.set(&want)
			client, _ := answering(t, http.StatusOK, `{"success": true, `+ips+tt.members+`}`)
			done, err := client.Extend(t.Context(), anExtension())
			require.NoError(t, err)
			assert.Equal(t, &want, done)
		})
	}
}

func TestExtensionRefusals(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
		{"success", agrees, youproxy.OutcomeDone, executed, executed, 1, nil},
		{"success with nothing else", status(200, `{"success": true}`), youproxy.OutcomeUnknown, mayBeSpent, mayBeMade, 1, nil},
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			status(502, "<html>Bad Gateway</html>"), breaks(errors.New("connection reset")),
			agrees,
		}}
		done, err := clientFor(t, s.option()).SetAutoExtend(t.Context(), anAutoExtension(true))
		require.NoError(t, err)
		assert.Equal(t, anAutoExtension(true).IPAddressIDs, done.IPAddressIDs)
		assert.Len(t, s.times, 3)
	})
}

// While an order is on its way an extension waits, and can still be called off.
func TestExtendWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	for _, request := range []youproxy.ExtendRequest{anExtension(), anExtensionOfOrders()} {
		t.Run(fmt.Sprintf("%T", request), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent []string
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
					sent = append(sent, strings.TrimPrefix(r.URL.Path, clientPathOfKey))
					if r.URL.Path == clientPathOfKey+"/order" {
						time.Sleep(10 * time.Second)
					}
					if strings.Contains(r.URL.Path, "/extend") {
						return agrees(r)
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
