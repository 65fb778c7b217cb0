package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// catalogueCase is a reply of a call of the catalogue in a form that is not documented,
// with what it is to be read as.
type catalogueCase struct {
	Name   string          `json:"name"`
	Call   string          `json:"call"`
	Reply  json.RawMessage `json:"reply"`
	Want   json.RawMessage `json:"want"`   // of objects, only the members that are named count
	Loud   bool            `json:"loud"`   // the call ends with an error
	Either bool            `json:"either"` // Want, or an error
}

// catalogueCalls are the calls by their names in the cases.
var catalogueCalls = map[string]caller{
	"proxyTypes": func(ctx context.Context, c *youproxy.Client) (any, error) { return c.ProxyTypes(ctx) },
	"countries": func(ctx context.Context, c *youproxy.Client) (any, error) {
		return c.Countries(ctx, youproxy.ProxyTypeIPv4)
	},
	"rentPeriods": rentPeriods(youproxy.ProxyTypeIPv4),
	"operators":   func(ctx context.Context, c *youproxy.Client) (any, error) { return c.MobileOperators(ctx) },
	"promoCodes":  func(ctx context.Context, c *youproxy.Client) (any, error) { return c.PromoCodes(ctx) },
}

func readCatalogueCases(t testing.TB) (cases []catalogueCase) {
	t.Helper()
	for _, name := range []string{"testdata/cases/catalogue.json", "testdata/cases/further-catalogue.json"} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		var some []catalogueCase
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		require.NoError(t, dec.Decode(&some), name)
		cases = append(cases, some...)
	}
	for _, f := range catalogueForms {
		cases = append(cases, catalogueCase{
			Name: f.about, Call: f.call, Reply: json.RawMessage(`{"success": true, ` + f.members + `, "error": null}`),
			Want: json.RawMessage(f.want), Loud: f.want == "",
		})
	}
	return cases
}

func TestCatalogueCases(t *testing.T) {
	t.Parallel()
	var right, loud int
	defer func() { t.Logf("%d as wanted, %d an error, as it should be", right, loud) }()
	for _, tt := range readCatalogueCases(t) {
		t.Run(tt.Call+" "+tt.Name+string(tt.Reply), func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, string(tt.Reply))
			got, err := catalogueCalls[tt.Call](t.Context(), client)
			if tt.Loud || tt.Either && err != nil {
				var failed *youproxy.CallError
				require.ErrorAs(t, err, &failed, "what was read is %+v", got)
				loud++
				return
			}
			require.NoError(t, err)
			var want []any
			require.NoError(t, json.Unmarshal(tt.Want, &want))
			entries := asListed(t, got)
			require.Len(t, entries, len(want))
			right++
			for i, entry := range entries {
				members, ok := want[i].(map[string]any)
				if !ok {
					assert.Equal(t, want[i], entry)
				}
				for name, value := range members {
					assert.Equal(t, value, entry.(map[string]any)[name], name)
				}
			}
		})
	}
}

// asListed writes what was read as the cases do.
func asListed(t *testing.T, got any) (listed []any) {
	t.Helper()
	var entries []map[string]any
	switch list := got.(type) {
	case []youproxy.Country:
		for _, c := range list {
			entries = append(entries, map[string]any{"code": c.Code, "name": c.Name})
		}
		got = entries
	case []youproxy.MobileOperator:
		for _, o := range list {
			rotations := append([]int{}, o.RotationTimes...)
			entries = append(entries, map[string]any{"tag": o.Tag, "name": o.Name, "country": o.Country, "rotations": rotations})
		}
		got = entries
	case []youproxy.PromoCode:
		for _, p := range list {
			entries = append(entries, map[string]any{"code": p.Code, "endless": p.Endless})
		}
		got = entries
	}
	text, err := json.Marshal(got)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &listed))
	return listed
}

// catalogueForms goes on where the cases end: members of a reply, with what they are to
// be read as. Nothing is wanted of what must be an error.
var catalogueForms = []struct{ call, about, members, want string }{
	{"proxyTypes", "other letter case, white space, escapes, null", `"proxy\u0054ypes": [" ipv4\n", null, {"code": "Mobile"}, "is\u0070"]`, `["IPv4", "MOBILE", "ISP"]`},
	{"proxyTypes", "the member that is a known type", `"types": [{"code": "static", "name": "IPv4"}, {"proxyType": null, "code": " ", "name": ["x"], "title": "ISP"}]`, `["IPv4", "ISP"]`},
	{"proxyTypes", "the likeliest of several lists", `"items": ["c"], "proxyTypes": ["IPv4"], "types": ["b"]`, `["IPv4"]`},
	{"proxyTypes", "a list beside an empty one, and beside null", `"proxyTypes": [], "types": null, "items": ["IPv4"]`, `["IPv4"]`},
	{"proxyTypes", "groups", `"proxyTypes": {"individual": ["IPv4"], "other": [{"code": "ISP"}]}`, `["IPv4", "ISP"]`},
	{"proxyTypes", "a type that is told beside", `"proxyType": "IPv4"`, ``},
	{"proxyTypes", "lists of a type", `"proxyTypes": {"IPv4": ["USA"]}`, ``},
	{"proxyTypes", "an entry that tells none", `"proxyTypes": ["IPv4", {"other": "ISP"}]`, ``},

	{"countries", "the likeliest of each", `"countries": [{"code": "usa", "countryCode": "US", "alpha3": "XYZ", "alpha3code": "USA", "countryName": "U", "name": "United States"}]`, `[{"code": "USA", "name": "United States"}]`},
	{"countries", "a code as it is written, and no name", `"countries": ["usa", "XK", {"code": "DEU", "name": null}]`, `[{"code": "usa", "name": ""}, {"code": "XK"}, {"code": "DEU", "name": ""}]`},
	{"countries", "English in another letter case, and none", `"countries": [{"code": "USA", "name": {"de": "USA", "EN_us": "United States"}}, {"code": "DEU", "name": {"de": "Deutschland"}}]`, `[{"name": "United States"}, {"name": ""}]`},
	{"countries", "a page under its name", `"countries": {"data": [{"code": "USA"}], "total": 1}`, `[{"code": "USA"}]`},
	{"countries", "by proxy type", `"countries": {"ipv4": [{"code": "USA"}], "ISP": [{"code": "DEU"}]}`, `[{"code": "USA"}]`},
	{"countries", "some of another proxy type", `"countries": [{"code": "USA", "proxyType": "IPv6"}, {"code": "DEU", "proxyType": "IPV4_INDIVIDUAL"}]`, `[{"code": "DEU"}]`},
	{"countries", "all of another proxy type", `"countries": [{"code": "USA", "proxyType": "IPv6"}]`, ``},
	{"countries", "a reply of another proxy type", `"proxyType": "IPv6", "countries": [{"code": "USA"}]`, ``},
	{"countries", "an empty list of something else in it", `"countries": {"cities": []}`, ``},
	{"countries", "cities under a code", `"countries": {"USA": ["NYC", "LAX"]}`, ``},
	{"countries", "maps in a map", `"countries": {"EU": {"DEU": "Germany"}}`, ``},
	{"countries", "a map of other things", `"countries": {"max": "12", "all": "DEU"}`, ``},
	{"countries", "a number as a code", `"countries": [{"code": 840, "name": "United States"}]`, ``},

	{"rentPeriods", "by proxy type", `"rentPeriodDays": [{"proxyType": "IPv6", "days": [30]}, {"proxyType": "IPv4", "days": [60, 90]}]`, `[60, 90]`},
	{"rentPeriods", "of another type", `"rentPeriodDays": {"IPv6": [30]}`, ``},
	{"rentPeriods", "no days", `"rentPeriodDays": [30, 0]`, ``},
	{"rentPeriods", "a map, which may be to prices, to days or to months", `"rentPeriodDays": {"1": 30, "60": 262}`, ``},
	{"rentPeriods", "a value in whatever unit", `"rentPeriodDays": [{"value": 1, "name": "1 month"}]`, ``},

	{"operators", "of a group with a name of 64 bytes", `"operators": [{"name": "` + strings.Repeat("y", 64) + `", "operators": [{"tag": "verizon"}]}]`, `[{"tag": "verizon", "country": "` + strings.Repeat("y", 64) + `"}]`},
	{"operators", "of a group with a name of 65 bytes", `"operators": [{"name": "` + strings.Repeat("y", 65) + `", "operators": [{"tag": "verizon"}]}]`, `[{"tag": "verizon", "country": ""}]`},
	{"operators", "id and title", `"operators": [{"id": "verizon", "title": "Verizon", "country": "USA", "rotationTimes": ["300", " 600 "]}]`, `[{"tag": "verizon", "name": "Verizon", "country": "USA", "rotations": [300, 600]}]`},
	{"operators", "operator is both tag and name, or the name", `"operators": [{"operator": "verizon"}, {"code": "vz", "operator": "Verizon"}]`, `[{"tag": "verizon", "name": "verizon"}, {"tag": "vz", "name": "Verizon"}]`},
	{"operators", "times that are null, or in words", `"operators": [{"code": "v", "rotationTimes": null, "rotationTime": 300}, {"code": "w", "rotationTimes": ["soon"], "rotations": "60"}]`, `[{"rotations": [300]}, {"rotations": [60]}]`},
	{"operators", "times of which some cannot be read", `"operators": [{"code": "v", "rotationTimes": [300, "5 minutes"]}, {"code": "w", "rotations": {"min": "60", "max": "600"}}]`, `[{"rotations": []}, {"rotations": []}]`},
	{"operators", "countries by their names", `"mobileOperators": {"United States": [{"tag": "verizon"}], "DEU": ["o2"], "FRA": []}`, `[{"tag": "verizon", "country": "United States"}, {"tag": "o2", "country": "DEU"}]`},
	{"operators", "sorts of operators", `"operators": {"dedicated": [{"tag": "verizon"}]}`, `[{"tag": "verizon", "country": ""}]`},
	{"operators", "keyed countries with operators", `"countries": {"USA": {"name": "United States", "operators": {"shared": ["verizon"], "dedicated": ["att"]}}}`, `[{"tag": "verizon", "country": "USA"}, {"tag": "att", "country": "USA"}]`},
	{"operators", "an operator's own country in a country", `"countries": [{"alpha3": "USA", "operators": [{"tag": "bell", "countryCode": "CAN"}, {"tag": "v", "country": "States"}]}]`, `[{"country": "CAN"}, {"country": "USA"}]`},
	{"operators", "a country without operators", `"countries": [{"alpha3": "USA", "operators": [{"tag": "v"}]}, {"code": "DEU", "operators": null}]`, `[{"tag": "v", "country": "USA"}]`},
	{"operators", "of another type", `"mobileOperators": [{"tag": "x", "proxyType": "ISP"}, {"tag": "y", "proxyType": "mobile"}]`, `[{"tag": "y"}]`},
	{"operators", "a name alone", `"operators": [{"name": "Verizon LTE"}]`, ``},
	{"operators", "the total of nothing", `"mobileOperators": {"total": 0, "page": 1}`, ``},
	{"operators", "a map to numbers", `"mobileOperators": {"verizon": [300]}`, ``},
	{"operators", "maps in a map", `"mobileOperators": {"USA": {"verizon": {"name": "Verizon"}}}`, ``},
	{"operators", "countries where operators are listed elsewhere", `"countries": [{"code": "USA", "name": "United States"}]`, ``},
	{"operators", "a group that tells nothing", `"countries": [{"alpha3": "USA", "operators": [{"tag": "v"}]}, {"alpha3": "DEU", "operators": {"note": 1}}]`, ``},

	{"promoCodes", "texts, of which the discount is not known", `"promoCodes": ["A"]`, ``},
	{"promoCodes", "numbered entries without a code", `"promoCodes": {"1": {"discount": 10}}`, ``},
	{"promoCodes", "a discount in words", `"promoCodes": [{"code": "A", "discount": "ten"}]`, ``},
	{"promoCodes", "a discount in dollars", `"promoCodes": [{"code": "A", "discount": {"type": "USD", "value": 10}}]`, ``},
	{"promoCodes", "endless in words", `"promoCodes": [{"code": "A", "endless": "perhaps"}]`, ``},
}

// What became no field of an entry is kept, and prints and marshals under no verb.
func TestCatalogueExtra(t *testing.T) {
	t.Parallel()
	client, _ := answering(t, http.StatusOK, `{"success": true,
 "countries": [{"alpha3Code": "USA", "code": "US", "Name": {"en": "United States", "ru": "США"}, "price_usd": {"x": 1}, "none": null}, {"code": "DEU", "name": "Germany"}],
 "operators": [{"id": 17, "tag": "verizon", "name": "Verizon", "rotations": [300, "s3cret"], "countries": ["USA", "CAN"]}, {"tag": "att", "rotations": "300"}, {"tag": "o2", "rotations": [{"id": 5, "name": "5 minutes"}]}]}`)
	countries, err := client.Countries(t.Context(), youproxy.ProxyTypeIPv4)
	require.NoError(t, err)
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	assert.Equal(t, []youproxy.Country{
		{Code: "USA", Name: "United States", Extra: youproxy.Extra{
			"code": raw(`"US"`), "Name": raw(`{"en": "United States", "ru": "США"}`), "price_usd": raw(`{"x": 1}`),
		}},
		{Code: "DEU", Name: "Germany"},
	}, countries)
	operators, err := client.MobileOperators(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []youproxy.MobileOperator{
		{Tag: "verizon", Name: "Verizon", Extra: youproxy.Extra{
			"id": raw(`17`), "rotations": raw(`[300, "s3cret"]`), "countries": raw(`["USA", "CAN"]`),
		}},
		{Tag: "att", RotationTimes: []int{300}},
		{Tag: "o2", RotationTimes: []int{5}, Extra: youproxy.Extra{"rotations": raw(`[{"id": 5, "name": "5 minutes"}]`)}},
	}, operators)

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("listed", "operator", operators[0], "operators", operators, "country", countries[0], "countries", &countries)
	}
	require.NoError(t, json.NewEncoder(&log).Encode([]any{countries, operators}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb+verb, operators, operators[0], &countries)
	}
	for _, kept := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), "США", fmt.Sprintf("%d %d", "С"[0], "С"[1])} {
		assert.NotContains(t, log.String(), kept)
	}
	assert.Contains(t, log.String(), "rotations", "the names are shown")
}

// A list that is not found, or not understood, is no empty list. The error tells which,
// and quotes nothing that is not a name of the list.
func TestCatalogueInAnUnknownForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ op, member, entry string }{
		{"GET /proxyType", "proxyTypes", `"IPv4"`},
		{"GET /country", "countries", `"USA"`},
		{"GET /rentPeriod", "rentPeriodDays", `30`},
		{"GET /mobileOperator", "mobileOperators", `"verizon"`},
		{"GET /promoCode", "promoCodes", `{"code": "A"}`},
	} {
		check := func(members, why string) {
			t.Run(tt.op+" "+members, func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, `{"success": true`+members+`}`)
				err := routeTo(t, tt.op).Call(t.Context(), client)
				var failed *youproxy.CallError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, tt.op, failed.Op)
				assert.Equal(t, http.StatusOK, failed.HTTPStatus)
				assert.Equal(t, youproxy.OutcomeUnknown, failed.Outcome)
				assert.ErrorContains(t, err, `"`+tt.member+`" `+why)
				assert.ErrorContains(t, err, "the call spends nothing")
				assert.NotContains(t, err.Error(), "s3cret")
				assert.Len(t, transport.requests, 1)
			})
		}
		const missing, odd = "is missing or cannot be read", "cannot be read: an entry "
		for _, members := range []string{``, `, "s3cret": []`, `, "s3cret": ["s3cret"]`, `, "data": []`, `, "data": {"s3cret": []}`} {
			check(members, missing)
		}
		for _, member := range []string{tt.member, "data"} {
			for _, value := range []string{`{}`, `null`, `[null]`, `true`, `false`} {
				check(`, "`+member+`": `+value, missing)
			}
			for _, entry := range []string{`{}`, `[]`, `[` + tt.entry + `]`, `true`, `""`, `" "`, `{"s3cret": "s3cret"}`, `{"code": null}`, `{"name": {"s3cret": {}}}`} {
				check(`, "`+member+`": [`+entry+`]`, odd)
				check(`, "`+member+`": [`+tt.entry+`, `+entry+`, `+tt.entry+`]`, odd)
			}
		}
		check(`, "data": `+strings.Repeat(`{"data": `, 70)+`[`+tt.entry+`]`+strings.Repeat(`}`, 70), "cannot be read: it is nested too deep")
	}
}

func TestPromoCodesInEachForm(t *testing.T) {
	t.Parallel()
	start := time.Date(2023, time.October, 26, 10, 49, 49, 220e6, time.UTC)
	ten := decimal.RequireFromString("10")
	for _, tt := range []struct {
		name, list string
		want       []youproxy.PromoCode
	}{
		{"endless, and so without an end", `[{"code": "P", "startDate": "2023-10-26T10:49:49.220+00:00", "endDate": null, "endless": true, "discount": 10}]`, []youproxy.PromoCode{{Code: "P", Start: start, Endless: true, Discount: ten}}},
		{"endless or not, whatever its end", `[{"code": "P", "endDate": "2023-10-26T12:49:49.220+02:00", "endless": true}, {"code": "Q", "endDate": null, "endless": null}]`, []youproxy.PromoCode{{Code: "P", End: start, Endless: true}, {Code: "Q"}}},
		{"dates in words, in numbers, without a zone", `[{"code": "P", "startDate": "soon", "endDate": 1698317389220}, {"code": "Q", "startDate": "2023-10-26 10:49:49.220", "endDate": "2023-10-26T10:49:49.22+0000"}]`, []youproxy.PromoCode{{Code: "P", End: start}, {Code: "Q", Start: start, End: start}}},
		{"dates that are none", `[{"code": "P", "startDate": {"x": 1}, "endDate": [1]}, {"code": "Q", "startDate": true, "endDate": "2023-02-30"}]`, []youproxy.PromoCode{{Code: "P"}, {Code: "Q"}}},
		{"a discount as an object, and with a sign", `[{"code": "P", "discount": {"type": "PERCENT", "value": 10}}, {"code": "Q", "discount": "10 %"}]`, []youproxy.PromoCode{{Code: "P", Discount: ten}, {Code: "Q", Discount: ten}}},
		{"other names, and other letter case", `[{"Promo_Code": "P", "Uses": "3", "valid_from": "2023-10-26T10:49:49.220Z", "ENDLESS": "yes", "percent": 10}]`, []youproxy.PromoCode{{Code: "P", Uses: 3, Start: start, Endless: true, Discount: ten}}},
		{"a code that is a number, and members nobody knows", `[{"id": 1, "code": 2024, "limits": {"code": "Q"}}]`, []youproxy.PromoCode{{Code: "2024"}}},
		{"descriptions of which some are odd", `[{"code": "P", "descriptionsByLocale": {"en": "Ten", "de": null, "fr": {"text": "Dix"}, "es": ["Diez"], "it": 10, "ru": ""}}]`, []youproxy.PromoCode{{Code: "P", Descriptions: map[string]string{"en": "Ten", "it": "10"}}}},
		{"descriptions that are none", `[{"code": "P", "descriptionsByLocale": null}, {"code": "Q", "descriptionsByLocale": {}}, {"code": "R", "descriptionsByLocale": ["Ten"]}, {"code": "S", "descriptionsByLocale": "Ten"}]`, []youproxy.PromoCode{{Code: "P"}, {Code: "Q"}, {Code: "R"}, {Code: "S"}}},
		{"nothing of one stays in the next", `[{"code": "P", "countUses": 3, "endless": true, "discount": 10, "startDate": "2023-10-26T10:49:49.220+00:00", "descriptionsByLocale": {"en": "Ten"}}, {"code": "Q"}]`, []youproxy.PromoCode{
			{Code: "P", Uses: 3, Start: start, Endless: true, Discount: ten, Descriptions: map[string]string{"en": "Ten"}}, {Code: "Q"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, "promoCodes": `+tt.list+`, "error": null}`)
			got, err := client.PromoCodes(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

// FuzzCatalogue has the calls of the catalogue read a reply. What is read can be used in
// an order, and the same reply gives the same again.
func FuzzCatalogue(f *testing.F) {
	names := slices.Sorted(maps.Keys(catalogueCalls))
	for _, c := range readCatalogueCases(f) {
		f.Add(byte(slices.Index(names, c.Call)), string(c.Reply))
	}
	f.Fuzz(func(t *testing.T, pick byte, reply string) {
		call := catalogueCalls[names[int(pick)%len(names)]]
		client, _ := answering(t, http.StatusOK, reply)
		got, err := call(t.Context(), client)
		again, errAgain := call(t.Context(), client)
		assert.Equal(t, got, again)
		assert.Equal(t, err, errAgain)
		if err != nil {
			assert.Less(t, len(err.Error()), 1000)
			return
		}
		assert.LessOrEqual(t, reflect.ValueOf(got).Len(), len(reply), "entries")
		assert.True(t, utf8.ValidString(fmt.Sprint(got)))
		_, isCountry := got.([]youproxy.Country)
		for _, entry := range asListed(t, got) {
			members, ok := entry.(map[string]any)
			if !ok {
				members = map[string]any{"": entry}
			}
			for name, member := range members {
				switch word, isText := member.(string); {
				case isText:
					assert.False(t, strings.ContainsFunc(word, unicode.IsControl), "%q", word)
					assert.True(t, name != "code" || !isCountry || regexp.MustCompile(`^[A-Za-z]{2,3}$`).MatchString(word), word)
					assert.True(t, name == "name" || name == "country" || strings.TrimSpace(word) != "", name)
				case name == "":
					assert.Positive(t, member, "days")
				}
			}
		}
	})
}

func TestProxyTypeOfACall(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *youproxy.Client, youproxy.ProxyType) error{
		"Countries": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			return withoutList(c.Countries(ctx, of))
		},
		"RentPeriods": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			return withoutList(c.RentPeriods(ctx, of))
		},
		"ProxyQuery": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			return withoutList(c.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: of}))
		},
	}
	for name, call := range calls {
		for of, rule := range map[youproxy.ProxyType]string{
			"": "required", " ": "required", "\t\n": "required", "\u00a0": "required", "IPv4\xff": "format",
		} {
			if name == "ProxyQuery" && of == "" {
				continue // which asks for all
			}
			t.Run(name+" refuses "+quoteJSON(string(of)), func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, routeReply)
				err := call(t.Context(), client, of)
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, err, &invalid)
				assert.Equal(t, name, invalid.Request)
				assert.Equal(t, []string{"proxyType " + rule}, brokenRules(invalid))
				assert.NotEmpty(t, invalid.Fields[0].Message)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.Empty(t, transport.requests)
			})
		}
		for _, of := range []youproxy.ProxyType{"IPv4", "IPv9", "ipv4", "RESIDENTIAL", "a b&c=d#e/é"} {
			t.Run(name+" sends "+string(of), func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, routeReply)
				require.NoError(t, call(t.Context(), client, of))
				require.Len(t, transport.requests, 1)
				sent, err := url.Parse(transport.requests[0].url)
				require.NoError(t, err)
				assert.Equal(t, url.Values{"proxyType": {string(of)}}, sent.Query())
				assert.Empty(t, sent.Fragment)
			})
		}
	}
}

// Nothing of a reply that broke off is taken for a part of the next.
func TestCatalogueForgetsAReplyThatBrokeOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		call   caller
		first  string
		second string
		want   any    // or
		lacks  string // which the second reply does not carry
	}{
		{"Balance", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.Balance(ctx) },
			`"balance": 99, "currency": "EUR"`, `"balance": 25.03, "currencyCode": "USD"`, youproxy.MustMoney("25.03 USD"), "balance"},
		{"Countries", catalogueCalls["countries"],
			`"countries": [{"alpha3code": "USA", "name": "United States"}, "GBR"]`, `"countries": ["DEU"]`, []youproxy.Country{{Code: "DEU"}}, "countries"},
		{"RentPeriods, none", catalogueCalls["rentPeriods"],
			`"rentPeriodDays": [30, 60, 90]`, `"rentPeriodDays": []`, []int{}, "rentPeriodDays"},
		{"PromoCodes", catalogueCalls["promoCodes"],
			`"promoCodes": [{"code": "A", "countUses": 3, "endless": true, "descriptionsByLocale": {"en": "Ten"}}, {"code": "B"}]`, `"promoCodes": [{"code": "C"}]`, []youproxy.PromoCode{{Code: "C"}}, "promoCodes"},
		{"QuoteExtension", quotingExtension(anExtension()),
			`"proxyType": "IPv6", "price": 9, "balance": 9, "currency": "EUR", "discount": 9, "promoCodeStatus": "VALID", "warnings": [{"code": 14}]`, `"price": 2.65`,
			&youproxy.Quote{Price: youproxy.Money{Amount: decimal.RequireFromString("2.65")}}, "price"},
		{"SetAutoExtend", autoExtending(anAutoExtension(true)),
			`"proxyType": "IPv6", "rentPeriodDays": 30, "quantity": 2, "ipAddressIds": ["1", "2"], "orderIds": ["3"], "balance": 9, "promoCodeStatus": "VALID"`,
			`"ipAddressIds": ["1111111111111111111", "1112223334283d122"]`, &youproxy.Extension{IPAddressIDs: anExtension().IPAddressIDs}, "ipAddressIds"},
	} {
		for about, second := range map[string]string{"": tt.second, ", lacking a member,": `"more": true`} {
			for _, first := range []string{
				`{"success": true, ` + tt.first + `, "error"`,
				`{` + tt.first + `, "success": false, "error": {"code": 2, "message": "Error api key"}, `,
				`{"success": true, ` + tt.first[:len(tt.first)-1],
			} {
				t.Run(tt.name+about+" after "+first, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &script{answers: []answer{breakingOff(first), status(200, `{"success": true, `+second+`}`)}}
						got, err := tt.call(t.Context(), clientFor(t, s.option()))
						assert.Len(t, s.times, 2)
						if about != "" {
							assertUnreadable(t, err, tt.lacks)
							return
						}
						require.NoError(t, err)
						assert.Equal(t, tt.want, got)
					})
				})
			}
		}
	}
}

// breakingOff gives only the beginning of a reply.
func breakingOff(beginning string) answer {
	return func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, 200, "")
		resp.ContentLength = -1
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(beginning), iotest.ErrReader(errors.New("connection reset"))))
		return resp, nil
	}
}
