package youproxy_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// change gives a copy of a valid request with a change.
func change[R any](valid R, change func(*R)) R {
	change(&valid)
	return valid
}

// brokenRules gives field and rule of everything a validation error names.
func brokenRules(e *youproxy.ValidationError) []string {
	var rules []string
	for _, f := range e.Fields {
		rules = append(rules, f.Field+" "+f.Rule)
	}
	return rules
}

type (
	ipv4Request   = youproxy.IPv4OrderRequest
	ipv6Request   = youproxy.IPv6OrderRequest
	mobileRequest = youproxy.MobileOrderRequest
	ispRequest    = youproxy.ISPOrderRequest
)

var (
	anAddress    = netip.MustParseAddr("203.0.113.7")
	zonedAddress = netip.MustParseAddr("fe80::1%eth0")
)

var brokenOrders = []struct {
	name    string
	request youproxy.OrderRequest
	broken  []string
}{
	{"quantity of none", change(anIPv4Order(), func(r *ipv4Request) { r.Quantity = 0 }), []string{"quantity range"}},
	{"negative quantity", change(anIPv6Order(), func(r *ipv6Request) { r.Quantity = -1 }), []string{"quantity range"}},
	{"no rent period", change(aMobileOrder(), func(r *mobileRequest) { r.RentPeriodDays = 0 }), []string{"rentPeriodDays range"}},
	{"negative rent period", change(anISPOrder(), func(r *ispRequest) { r.RentPeriodDays = -30 }), []string{"rentPeriodDays range"}},
	{"no country", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "" }), []string{"country required"}},
	{"blank country", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "   " }), []string{"country required"}},
	{"alpha-2 country", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "US" }), []string{"country format"}},
	{"country in small letters", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "usa" }), []string{"country format"}},
	{"four letters", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "USAA" }), []string{"country format"}},
	{"country with a digit", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "U2A" }), []string{"country format"}},
	{"country with a digit at its end", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "US1" }), []string{"country format"}},
	{"country in other letters", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "ÜSA" }), []string{"country format"}},
	{"country of three bytes", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "日" }), []string{"country format"}},
	{"spaced country", change(anIPv4Order(), func(r *ipv4Request) { r.Country = " USA" }), []string{"country format"}},
	{"no goal", change(anIPv4Order(), func(r *ipv4Request) { r.Goal = "" }), []string{"goal required"}},
	{"blank goal", change(anISPOrder(), func(r *ispRequest) { r.Goal = "\t\n\u00a0" }), []string{"goal required"}},
	{"goal that is not UTF-8", change(anIPv4Order(), func(r *ipv4Request) { r.Goal = "caf\xe9" }), []string{"goal format"}},
	{"no authType", change(anIPv4Order(), func(r *ipv4Request) { r.AuthType = "" }), []string{"authType required"}},
	{"unknown authType", change(anIPv4Order(), func(r *ipv4Request) { r.AuthType = "PASSWORD" }), []string{"authType unknown"}},
	{"authType in small letters", change(anIPv4Order(), func(r *ipv4Request) { r.AuthType = "login" }), []string{"authType unknown"}},
	{"IP without an address", change(anISPOrder(), func(r *ispRequest) { r.AuthIP = netip.Addr{} }), []string{"authIp required"}},
	{"LOGIN with an address", change(anIPv4Order(), func(r *ipv4Request) { r.AuthIP = anAddress }), []string{"authIp conflict"}},
	{"address with a zone", change(anISPOrder(), func(r *ispRequest) { r.AuthIP = zonedAddress }), []string{"authIp format"}},
	{"blank promo code", change(anIPv4Order(), func(r *ipv4Request) { r.PromoCode = " " }), []string{"promoCode format"}},
	{"spaced promo code", change(anIPv4Order(), func(r *ipv4Request) { r.PromoCode = "PROMO\n" }), []string{"promoCode format"}},
	{"promo code that is not UTF-8", change(anIPv4Order(), func(r *ipv4Request) { r.PromoCode = "\xff" }), []string{"promoCode format"}},
	{"no protocol", change(anIPv6Order(), func(r *ipv6Request) { r.Protocol = "" }), []string{"protocol required"}},
	{"unknown protocol", change(anIPv6Order(), func(r *ipv6Request) { r.Protocol = "SOCKS5" }), []string{"protocol unknown"}},
	{"no rotation time", change(aMobileOrder(), func(r *mobileRequest) { r.RotationTime = 0 }), []string{"rotationTime required"}},
	{"a rotation time, and a rotation by link", change(aMobileOrder(), func(r *mobileRequest) { r.RotateByLink = true }), []string{"rotationTime conflict"}},
	{"no operator", change(aMobileOrder(), func(r *mobileRequest) { r.MobileOperator = "" }), []string{"mobileOperator required"}},
	{"blank operator", change(aMobileOrder(), func(r *mobileRequest) { r.MobileOperator = " " }), []string{"mobileOperator required"}},
	{"operator that is not UTF-8", change(aMobileOrder(), func(r *mobileRequest) { r.MobileOperator = "\xc3" }), []string{"mobileOperator format"}},

	{"empty IPv4", ipv4Request{}, []string{
		"quantity range", "rentPeriodDays range", "country required", "goal required", "authType required",
	}},
	{"empty IPv6", ipv6Request{}, []string{
		"quantity range", "rentPeriodDays range", "country required", "goal required", "authType required", "protocol required",
	}},
	{"empty mobile", mobileRequest{}, []string{
		"quantity range", "rentPeriodDays range", "country required", "goal required", "authType required",
		"rotationTime required", "mobileOperator required",
	}},
	{"empty ISP", ispRequest{}, []string{
		"quantity range", "rentPeriodDays range", "country required", "goal required", "authType required",
	}},
	{
		"everything wrong, mobile",
		mobileRequest{
			Country: "us", Quantity: -1, RentPeriodDays: -1, Goal: "\xff", AuthType: "X", AuthIP: zonedAddress,
			PromoCode: " P", MobileOperator: "\xff",
		},
		[]string{
			"quantity range", "rentPeriodDays range", "country format", "goal format", "authType unknown", "authIp format",
			"promoCode format", "rotationTime required", "mobileOperator format",
		},
	},
	{
		"everything wrong, IPv6",
		ipv6Request{
			Country: "us", Quantity: -1, RentPeriodDays: -1, Goal: " ", AuthType: youproxy.AuthTypeIP,
			PromoCode: "P ", Protocol: "http",
		},
		[]string{
			"quantity range", "rentPeriodDays range", "country format", "goal required", "authIp required",
			"promoCode format", "protocol unknown",
		},
	},
	{"the same by a pointer", &ipv4Request{}, []string{
		"quantity range", "rentPeriodDays range", "country required", "goal required", "authType required",
	}},
}

func TestOrderRequestRules(t *testing.T) {
	t.Parallel()
	for _, tt := range brokenOrders {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.request.Validate()
			var invalid *youproxy.ValidationError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, tt.broken, brokenRules(invalid))
			for _, f := range invalid.Fields {
				assert.NotEmpty(t, f.Message, f.Field)
				assert.Contains(t, invalid.Error(), f.Field+" "+f.Message)
			}
			assertNeverSent(t, tt.request, invalid)
		})
	}
}

// assertNeverSent tries to order and to quote what is not valid.
func assertNeverSent(t *testing.T, request youproxy.OrderRequest, want *youproxy.ValidationError) {
	t.Helper()
	client, transport := answering(t, http.StatusOK, `{"success": true, "orderNumber": "N", "price": 1}`)

	order, err := client.CreateOrder(t.Context(), request)
	assert.Nil(t, order)
	var invalid *youproxy.ValidationError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, want, invalid)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	assert.ErrorIs(t, err, youproxy.ErrNotSent)

	quote, err := client.QuoteOrder(t.Context(), request)
	assert.Nil(t, quote)
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, want, invalid, "a quote is held against the rules of the order")

	assert.Empty(t, transport.requests)
}

func TestValidOrderRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		request youproxy.OrderRequest
		proxies youproxy.ProxyType
	}{
		{"IPv4", anIPv4Order(), youproxy.ProxyTypeIPv4},
		{"IPv6", anIPv6Order(), youproxy.ProxyTypeIPv6},
		{"mobile", aMobileOrder(), youproxy.ProxyTypeMobile},
		{"ISP", anISPOrder(), youproxy.ProxyTypeISP},
		{"pointer to IPv4", new(anIPv4Order()), youproxy.ProxyTypeIPv4},
		{"pointer to IPv6", new(anIPv6Order()), youproxy.ProxyTypeIPv6},
		{"pointer to mobile", new(aMobileOrder()), youproxy.ProxyTypeMobile},
		{"pointer to ISP", new(anISPOrder()), youproxy.ProxyTypeISP},
		{"a negative rotation time", change(aMobileOrder(), func(r *mobileRequest) { r.RotationTime = -1 }), youproxy.ProxyTypeMobile},
		{"a rotation by link", change(aMobileOrder(), func(r *mobileRequest) { r.RotationTime, r.RotateByLink = 0, true }), youproxy.ProxyTypeMobile},
		{"a country that may not exist", change(anIPv4Order(), func(r *ipv4Request) { r.Country = "XXX" }), youproxy.ProxyTypeIPv4},
		{"a period that may not be sold", change(anIPv4Order(), func(r *ipv4Request) { r.RentPeriodDays = 7 }), youproxy.ProxyTypeIPv4},
		{"a promo code with a space inside", change(anIPv4Order(), func(r *ipv4Request) { r.PromoCode = "BLACK FRIDAY" }), youproxy.ProxyTypeIPv4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, tt.request.Validate())
			assert.Equal(t, tt.proxies, tt.request.ProxyType())
			client, transport := answering(t, http.StatusOK, `{"success": true, "orderNumber": "N", "price": 1}`)
			_, err := client.CreateOrder(t.Context(), tt.request)
			require.NoError(t, err)
			_, err = client.QuoteOrder(t.Context(), tt.request)
			require.NoError(t, err)
			assert.Len(t, transport.requests, 2)
		})
	}
}

type (
	embedding        struct{ youproxy.IPv4OrderRequest }
	embeddingPointer struct{ *youproxy.MobileOrderRequest }
)

func TestWhatIsNoOrderRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		request youproxy.OrderRequest
		names   string // the request that the error names
		rule    string
	}{
		{"nil", nil, "OrderRequest", "required"},
		{"nil pointer to IPv4", (*youproxy.IPv4OrderRequest)(nil), "IPv4OrderRequest", "required"},
		{"nil pointer to IPv6", (*youproxy.IPv6OrderRequest)(nil), "IPv6OrderRequest", "required"},
		{"nil pointer to mobile", (*youproxy.MobileOrderRequest)(nil), "MobileOrderRequest", "required"},
		{"nil pointer to ISP", (*youproxy.ISPOrderRequest)(nil), "ISPOrderRequest", "required"},
		{"a struct that embeds one", embedding{anIPv4Order()}, "youproxy_test.embedding", "unknown"},
		{"a pointer to such a struct", &embedding{anIPv4Order()}, "*youproxy_test.embedding", "unknown"},
		{"a struct that embeds a nil pointer", embeddingPointer{}, "youproxy_test.embeddingPointer", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, "orderNumber": "N"}`)
			_, err := client.CreateOrder(t.Context(), tt.request)
			var invalid *youproxy.ValidationError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, tt.names, invalid.Request)
			assert.Equal(t, []string{"request " + tt.rule}, brokenRules(invalid))
			assertNeverSent(t, tt.request, invalid)
		})
	}
}
