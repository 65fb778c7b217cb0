package youproxytest_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/listshapes"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// TestShapesOfTheCases proves that each reply of the cases can be served: the names in
// it, how they are nested, and the types of the values.
func TestShapesOfTheCases(t *testing.T) {
	text, err := os.ReadFile("../testdata/cases/lists.json")
	require.NoError(t, err)
	var cases []struct {
		Name  string
		Reply any
		Want  []any
		Loud  bool
	}
	require.NoError(t, json.Unmarshal(text, &cases))
	shapes := map[string]listshapes.Shape{}
	for _, s := range listshapes.All() {
		require.NotContains(t, shapes, s.Name)
		shapes[s.Name] = s
	}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			shape, ok := shapes[tc.Name]
			require.True(t, ok, "no shape has this name")
			assert.Equal(t, tc.Loud, shape.Loud)
			var delay time.Duration
			if len(tc.Want) == 0 && !tc.Loud {
				delay = time.Hour
			}
			s := newServer(t, youproxytest.WithListShape(shape.Shape), youproxytest.WithProvisioningDelay(delay))
			s.AddOrder(youproxytest.Order{ID: "9007199254740993", ProxyType: "IPv4", Country: "USA", Quantity: 1})
			if tc.Name != "single order envelope" {
				s.AddOrder(youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 2})
				s.AddOrder(youproxytest.Order{ProxyType: "MOBILE", Country: "USA", Quantity: 1})
			}
			_, _, reply := send(t, s, "GET /ipAddress", "")
			var served any
			require.NoError(t, json.Unmarshal([]byte(reply), &served), reply)
			assert.Empty(t, lacks(tc.Reply, served, "reply"), reply)
		})
	}
}

var anID = regexp.MustCompile(`^(id)?\d+$`)

// lacks tells what a reply has that another lacks. Null stands for every value that has
// no others inside, and an id for every id.
func lacks(want, got any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		return objectLacks(want, object, at)
	case []any:
		list, ok := got.([]any)
		if !ok || len(want) == 0 && len(list) > 0 {
			return at + " is no list, or is not empty"
		}
		return listLacks(want, list, at)
	}
	if got != nil && want != nil && fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return fmt.Sprintf("%s is a %T in place of a %T", at, got, want)
	}
	return ""
}

func objectLacks(want, got map[string]any, at string) string {
	for name, value := range want {
		if anID.MatchString(name) {
			for other := range got {
				if anID.MatchString(other) {
					name = other
				}
			}
		}
		other, ok := got[name]
		if !ok {
			return at + " has no " + name
		}
		if lacking := lacks(value, other, at+"."+name); lacking != "" {
			return lacking
		}
	}
	return ""
}

func listLacks(want, got []any, at string) string {
	for _, value := range want {
		lacking := at + " is empty"
		for _, other := range got {
			if lacking = lacks(value, other, at+"[]"); lacking == "" {
				break
			}
		}
		if lacking != "" {
			return lacking
		}
	}
	return ""
}

// Every form serves every proxy, and answers the question for one type with that type.
func TestEveryShapeListsEveryProxy(t *testing.T) {
	for _, shape := range listshapes.All() {
		t.Run(shape.Name, func(t *testing.T) {
			s := newAccount(t, youproxytest.WithListShape(shape.Shape))
			_, _, all := send(t, s, "GET /ipAddress", "")
			_, _, some := send(t, s, "GET /ipAddress?proxyType=IPv6", "")
			require.True(t, json.Valid([]byte(all)), all)
			require.True(t, json.Valid([]byte(some)), some)
			for _, ip := range s.IPAddresses() {
				assert.True(t, strings.Contains(all, string(ip.ID)) || strings.Contains(all, ip.Host), "%s: %s", ip.ID, all)
				found := strings.Contains(some, string(ip.ID)) || strings.Contains(some, `"`+ip.Host)
				assert.Equal(t, ip.ProxyType == youproxy.ProxyTypeIPv6, found, "%s: %s", ip.ID, some)
			}
			if shape.Tells {
				for _, o := range s.Orders() {
					assert.Contains(t, all, o.ID)
					assert.Contains(t, all, o.Number)
				}
			}
			_, _, refused := send(t, s, "GET /ipAddress?proxyType=X", "")
			assert.Contains(t, refused, `"error": {"code": 4, "message": "Incorrect proxy type"}}`)
		})
	}
}

func TestTemplates(t *testing.T) {
	for _, tc := range []struct {
		name     string
		template string
		query    string
		want     string
	}{
		{"without fields", `{"success":true,"a":[1,-2.50,null,[],{}],"b":{"#x":"#1"}}`, "", `{"success": true, "a": [1, -2.50, null, [], {}], "b": {"#x": "#1"}}`},
		{"no object", `["{ipAddressId}"]`, "?proxyType=ISP", `["1111111111111111117"]`},
		{"a type, always", `{"{group}": ["{country}"]}`, "", `{"ipv4": [], "ipv6": [], "mobile": [], "isp": []}`},
		{"the number of proxies", `[{"proxyType": "{proxyType}", "n": "#{count}", "m": "{count}"}]`, "?proxyType=IPv6", `[{"proxyType": "IPv6", "n": 3, "m": "3"}]`},
		{"orders", `[{"id": "{orderId}", "of": ["{ipAddressIp}:{port}"]}]`, "?proxyType=IPv6", `[{"id": "1112223334c6748bd", "of": ["198.18.0.3:10001", "198.18.0.3:10002", "198.18.0.3:10003"]}]`},
		{"records in lists of records", `[{"id": "{ipAddressId}", "ports": [{"port": "#{httpsPort}"}, {"port": "#{socks5Port}"}]}]`, "?proxyType=ISP", `[{"id": "1111111111111111117", "ports": [{"port": 59100}, {"port": 59101}]}]`},
		{"the only one", `{"type": "{proxyType}", "id": "{orderId}", "ip": "{ipAddressId}"}`, "?proxyType=ISP", `{"type": "ISP", "id": "111222333402e37f3", "ip": "1111111111111111117"}`},
		{"none of several", `{"type": "{proxyType}", "id": "{orderId}", "bare": "#{orderId}", "text": "of {orderId}"}`, "", `{"type": null, "id": null, "bare": null, "text": "of "}`},
		{"numbers", `{"a": "#{port}", "b": "#{port}.0", "c": "#-{port}", "d": "#{ipAddressId}"}`, "?proxyType=ISP", `{"a": 59100, "b": 59100.0, "c": -59100, "d": 1111111111111111117}`},
		{"no numbers", `{"a": "#{country}", "b": "#0{port}", "c": "{port}"}`, "?proxyType=ISP", `{"a": "DEU", "b": "059100", "c": "59100"}`},
		{
			"how to connect", `{"a": "{authType}", "b": "{authIp}", "c": "{login}", "d": "{protocol}", "e": "#{autoExtend}", "f": "#{extendDays}"}`,
			"?proxyType=ISP", `{"a": "IP", "b": "2001:db8::1", "c": null, "d": null, "e": false, "f": null}`,
		},
		{"a mobile proxy", `{"a": "{mobileOperator}", "b": "#{rotationTime}", "c": "{rebootLink}"}`, "?proxyType=MOBILE", `{"a": "vodafone", "b": 300, "c": "https://reboot.youproxy.invalid/1111111111111111116"}`},
		{"another proxy", `{"a": "{mobileOperator}", "b": "#{rotationTime}", "c": "{rebootLink}"}`, "?proxyType=ISP", `{"a": null, "b": null, "c": null}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newAccount(t, youproxytest.WithListShape(youproxytest.ListShape{Template: tc.template}))
			_, _, reply := send(t, s, "GET /ipAddress"+tc.query, "")
			assert.Equal(t, tc.want, reply)
		})
	}
}

func TestTemplatesTellEndsAndDates(t *testing.T) {
	for layout, want := range map[string]string{
		"":                        `["2026-04-30T12:00:00.000+00:00", {"end": "2026-03-31T12:00:00.000+00:00"}, {"end": "2026-04-30T12:00:00.000+00:00"}]`,
		time.DateOnly:             `["2026-04-30", {"end": "2026-03-31"}, {"end": "2026-04-30"}]`,
		youproxytest.EpochSeconds: `["1777550400", {"end": 1774958400}, {"end": 1777550400}]`,
		youproxytest.EpochMillis:  `["1777550400000", {"end": 1774958400000}, {"end": 1777550400000}]`,
	} {
		s := newServer(t, youproxytest.WithClock(newClock().Now), youproxytest.WithListShape(youproxytest.ListShape{
			DateLayout: layout, Template: `{"{orderId}": ["{dateEnd}", {"id": "{ipAddressId}", "end": "#{dateEnd}"}]}`,
		}))
		addOrders(s)
		send(t, s, "POST /extend", edit(extendBody, ipv4ID, ipv4ID2))
		_, _, reply := send(t, s, "GET /ipAddress?proxyType=IPv4", "")
		reply = regexp.MustCompile(`"id": "\d+", `).ReplaceAllString(reply, "")
		assert.Contains(t, reply, want)
	}
}

func TestOrdersThatAreNotReady(t *testing.T) {
	c := newClock()
	shape := youproxytest.ListShape{Template: `[{"id": "{orderId}", "ips": ["{ipAddressId}"]}, {"waits": "{orderNumber}", "login": "{login}"}]`}
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithProvisioningDelay(time.Minute), youproxytest.WithListShape(shape))
	order := s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, `[{"waits": "` + string(order.Number) + `", "login": "login1"}]`},
		{time.Minute, `[{"id": "` + string(order.ID) + `", "ips": ["1111111111111111111"]}]`},
		{30 * day, `[]`},
	} {
		c.advance(step.after)
		_, _, reply := send(t, s, "GET /ipAddress", "")
		assert.Equal(t, step.want, reply)
	}
}

func TestASparseTemplate(t *testing.T) {
	shape := youproxytest.ListShape{Sparse: true, Template: `{"success": true, "{group}": [{"id": "{ipAddressId}",
		"auth": {"login": "{login}", "password": "{password}"}, "authIp": "{authIp}", "note": null, "tags": []}], "error": null}`}
	s := newServer(t, youproxytest.WithListShape(shape))
	_, _, reply := send(t, s, "GET /ipAddress", "")
	assert.Equal(t, `{"success": true, "error": null}`, reply)
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1, AuthIP: netip.MustParseAddr("192.0.2.7")})
	_, _, reply = send(t, s, "GET /ipAddress", "")
	assert.Equal(t, `{"success": true, "ipv4": [{"id": "1111111111111111111", "authIp": "192.0.2.7", "note": null}], "error": null}`, reply)
}

func TestTemplatesThatMakeNoSense(t *testing.T) {
	for template, want := range map[string]string{
		`{`:                   "youproxytest: the template of the list cannot be read: ",
		`{"a": tru}`:          "youproxytest: the template of the list cannot be read: ",
		`{} {}`:               "there is data after its end",
		`{"a": ["{colour}"]}`: "there is no field {colour}",
		`{"{colour}": 1}`:     "there is no field {colour}",
	} {
		assert.Contains(t, panicOf(youproxytest.ListShape{Template: template}), want, template)
	}
	for _, shape := range []youproxytest.ListShape{
		{Template: `{}`, Flat: true},
		{Template: `{}`, Orders: true},
		{Template: `{}`, Extra: map[string]any{"a": 1}},
		{Template: `{}`, GroupName: func(p youproxy.ProxyType) string { return string(p) }},
	} {
		assert.Contains(t, panicOf(shape), "only DateLayout, Zone and Sparse go with the template")
	}
}

func panicOf(shape youproxytest.ListShape) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	youproxytest.WithListShape(shape)
	return ""
}
