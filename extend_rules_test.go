package youproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

type validatable interface{ Validate() error }

func TestExtendRequestRules(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
				transport.answer = agreeing
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
	t.Parallel()
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
