package youproxytest_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// newAccount returns a server with proxies of each type, one of which was
// extended without the rest of its order.
func newAccount(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	s := newServer(t, append(opts, youproxytest.WithClock(newClock().Now))...)
	addOrders(s)
	s.AddOrder(youproxytest.Order{ProxyType: "MOBILE", Country: "GBR", Quantity: 1})
	s.AddOrder(youproxytest.Order{ProxyType: "ISP", Country: "DEU", Quantity: 1, AuthType: "IP", AuthIP: netip.MustParseAddr("2001:db8::1")})
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "NLD", Quantity: 1})
	send(t, s, "POST /extend", extendBody)
	return s
}

func TestEveryListShapeHoldsTheSame(t *testing.T) {
	s := newAccount(t)
	var want []string
	for _, ip := range s.IPAddresses() {
		want = append(want, string(ip.ID))
	}
	for bits := range 1 << 9 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		shape := youproxytest.ListShape{
			Flat: on(0), Orders: on(1), ShortNames: on(2), NumericIDs: on(3), PortInIP: on(4), Sparse: on(5),
		}
		if on(6) {
			shape.GroupName = func(p youproxy.ProxyType) string { return strings.ToLower(string(p)) }
		}
		if on(7) {
			shape.OrdersKey = "ips"
		}
		if on(8) {
			shape.Extra = map[string]any{"note": map[string]int{"a": 1}, "country": "X"}
		}
		s.SetListShape(shape)
		_, _, reply := send(t, s, "GET /ipAddress", "")
		name := fmt.Sprintf("%+v", shape)
		require.True(t, jsontext.Value(reply).IsValid(), "%s: %s", name, reply)

		var ids []string
		for _, match := range ipIDs.FindAllStringSubmatch(reply, -1) {
			ids = append(ids, match[1])
		}
		assert.ElementsMatch(t, want, ids, name)
		assert.Equal(t, on(0), strings.Contains(reply, `{"success": true, "ipAddresses": [`), name)
		assert.Equal(t, on(0), strings.Contains(reply, `"proxyType": "MOBILE"`), name)
		assert.Equal(t, !on(0) && !on(6), strings.Contains(reply, `"MOBILE": [`), name)
		assert.Equal(t, !on(0) && on(6), strings.Contains(reply, `"mobile": [`), name)
		assert.Equal(t, on(2), strings.Contains(reply, `"id": `), name)
		assert.Equal(t, on(2), strings.Contains(reply, `"ip": "198.18.0.`), name)
		assert.Equal(t, on(3), strings.Contains(reply, `d": 1111111111111111111, `), name)
		assert.Equal(t, on(3), strings.Contains(reply, `"httpsPort": 59100`), name)
		assert.Equal(t, on(4), strings.Contains(reply, `"198.18.0.3:10003"`), name)
		assert.Equal(t, !on(4), strings.Contains(reply, `"port": `), name)
		assert.Equal(t, !on(5), strings.Contains(reply, `"authInfo": null`), name)
		assert.Equal(t, !on(5), strings.Contains(reply, `"extendDays": null`), name)
		assert.Equal(t, on(8), strings.Contains(reply, `"country": "X", "note": {"a": 1}}`), name)
		assert.Equal(t, on(1), strings.Contains(reply, `"dateEnd": "2026-04-30T12:00:00.000+00:00", "`+ordersKey(shape)+`": [`), name)
		orders := 8
		if on(1) {
			orders = 5
		}
		assert.Equal(t, orders, strings.Count(reply, `"orderId": "`), name)
		assert.Equal(t, orders, strings.Count(reply, `"dateStart": "`), name)
		ends := orders
		if on(1) {
			ends++ // of the proxy that does not end with the last of its order
		}
		assert.Equal(t, ends, strings.Count(reply, `"dateEnd": "`), name)
	}
}

var ipIDs = regexp.MustCompile(`"(?:id|ipAddressId)": "?(\d+)`)

func ordersKey(shape youproxytest.ListShape) string {
	if shape.OrdersKey != "" {
		return shape.OrdersKey
	}
	return "ipAddresses"
}

func TestExtraMembersAreThoseOfRecords(t *testing.T) {
	s := newAccount(t, youproxytest.WithListShape(youproxytest.ListShape{
		Orders: true, Extra: map[string]any{"login": 1, "orderId": 2, "error": 3, "httpsPort": nil},
	}))
	_, _, reply := send(t, s, "GET /ipAddress?proxyType=MOBILE", "")
	for want, count := range map[string]int{
		`"authInfo": {"login": "login3", `: 1,
		`{"orderId": "`:                    1,
		`"error": null}`:                   1,
		`"error": 3, "httpsPort": null, "login": 1, "orderId": 2}`: 1,
		`"httpsPort": `: 1,
	} {
		assert.Equal(t, count, strings.Count(reply, want), want)
	}
}

func TestListOfOneType(t *testing.T) {
	for _, tc := range []struct {
		shape youproxytest.ListShape
		want  string
	}{
		{youproxytest.ListShape{}, `^\{"success": true, "ISP": \[\{"ipAddressId": "1111111111111111117", [^\[\]]*\}\], "error": null\}$`},
		{youproxytest.ListShape{Flat: true}, `^\{"success": true, "ipAddresses": \[\{"ipAddressId": "1111111111111111117", [^\[\]]*\}\], "error": null\}$`},
		{
			youproxytest.ListShape{Orders: true, OrdersKey: "ips", GroupName: func(p youproxy.ProxyType) string { return "of" + string(p) }},
			`^\{"success": true, "ofISP": \[\{"orderId": [^\[\]]*, "ips": \[\{"ipAddressId": "1111111111111111117", [^\[\]]*\}\]\}\], "error": null\}$`,
		},
	} {
		s := newAccount(t, youproxytest.WithListShape(tc.shape))
		_, _, reply := send(t, s, "GET /ipAddress?proxyType=ISP", "")
		assert.Regexp(t, tc.want, reply)
	}
}

func TestAnOrderEndsWithTheLastOfIt(t *testing.T) {
	s := newServer(t, youproxytest.WithClock(newClock().Now), youproxytest.WithListShape(youproxytest.ListShape{Orders: true}))
	addOrders(s)
	send(t, s, "POST /extend", edit(extendBody, ipv4ID, ipv4ID2))
	_, _, reply := send(t, s, "GET /ipAddress?proxyType=IPv4", "")
	assert.Regexp(t, `"dateEnd": "2026-04-30T[^[]*\[\{"ipAddressId": "`+ipv4ID+`", "ipAddressIp": "198.18.0.1", "dateEnd": "2026-03-31T12:00:00.000\+00:00", `+
		`.*\{"ipAddressId": "`+ipv4ID2+`", "ipAddressIp": "198.18.0.2", "httpsPort"`, reply)
}

func TestDatesOfTheList(t *testing.T) {
	east := time.FixedZone("", 2*60*60)
	for _, tc := range []struct {
		shape youproxytest.ListShape
		want  string
	}{
		{youproxytest.ListShape{}, "2026-03-01T23:30:59.987+00:00"},
		{youproxytest.ListShape{Zone: east}, "2026-03-02T01:30:59.987+02:00"},
		{youproxytest.ListShape{DateLayout: time.RFC3339}, "2026-03-01T23:30:59Z"},
		{youproxytest.ListShape{DateLayout: time.RFC3339, Zone: east}, "2026-03-02T01:30:59+02:00"},
		{youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05-0700"}, "2026-03-01T23:30:59+0000"},
		{youproxytest.ListShape{DateLayout: "2006-01-02T15:04"}, "2026-03-01T23:30"},
		{youproxytest.ListShape{DateLayout: "2006-01-02T15:04:00Z07:00", Zone: east}, "2026-03-02T01:30:00+02:00"},
		{youproxytest.ListShape{DateLayout: "2006-01-02T00:00:00-07:00"}, "2026-03-01T00:00:00+00:00"},
		{youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05", Zone: east}, "2026-03-02T01:30:59"},
		{youproxytest.ListShape{DateLayout: time.DateOnly}, "2026-03-01"},
		{youproxytest.ListShape{DateLayout: time.DateOnly, Zone: east}, "2026-03-02"},
		{youproxytest.ListShape{DateLayout: `"2006"`}, `\"2026\"`},
	} {
		for _, orders := range []bool{false, true} {
			c := newClock()
			c.advance(11*time.Hour + 30*time.Minute + 59*time.Second + 987*time.Millisecond)
			tc.shape.Orders = orders
			s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithListShape(tc.shape))
			send(t, s, "POST /order", ipv4Body)
			_, _, reply := send(t, s, "GET /ipAddress", "")
			assert.Contains(t, reply, `"dateStart": "`+tc.want+`", `)
			assert.Equal(t, 1, strings.Count(reply, `"dateEnd": "`))
			assert.True(t, jsontext.Value(reply).IsValid(), reply)
		}
	}
}

func TestListShapeOfARefusal(t *testing.T) {
	s := newAccount(t, youproxytest.WithListShape(youproxytest.ListShape{Flat: true, Orders: true, Extra: map[string]any{"a": 1}}))
	_, _, reply := send(t, s, "GET /ipAddress?proxyType=X", "")
	assert.Equal(t, `{"success": false, "ipAddresses": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`, reply)
}

func TestRecordsOfEachKind(t *testing.T) {
	s := newAccount(t)
	_, _, reply := send(t, s, "GET /ipAddress", "")
	for _, want := range []string{
		`"port": "10003", "protocol": "HTTP", "authInfo": {"login": "login2", "password": "Pw3c6ef362"}, "extendInfo": {"autoExtend": false, "extendDays": null}}`,
		`"extendInfo": {"autoExtend": false, "extendDays": null}, "mobileOperator": "vodafone", "rotationTime": 300, "rebootLink": "https://reboot.youproxy.invalid/1111111111111111116"}`,
		`"socks5Port": "59101", "authInfo": null, "extendInfo"`,
	} {
		assert.Contains(t, reply, want)
	}
}

func TestNumericIDsThatAreNoNumbers(t *testing.T) {
	s := newServer(t, youproxytest.WithListShape(youproxytest.ListShape{NumericIDs: true}))
	for _, id := range []youproxy.OrderID{"007", "0", "12", "1e5", "-1", "\xff\""} {
		s.AddOrder(youproxytest.Order{ID: id, ProxyType: "IPv4", Country: "USA", Quantity: 1})
	}
	_, _, reply := send(t, s, "GET /ipAddress", "")
	require.True(t, jsontext.Value(reply).IsValid(), reply)
	for _, want := range []string{`: "007"`, `: 0,`, `: 12,`, `: "1e5"`, `: "-1"`, `: "` + "\uFFFD" + `\""`} {
		assert.Contains(t, reply, `"orderId"`+want)
	}
}

func TestListShapesThatMakeNoSense(t *testing.T) {
	s := newServer(t)
	same := youproxytest.ListShape{GroupName: func(youproxy.ProxyType) string { return "same" }}
	noJSON := youproxytest.ListShape{Extra: map[string]any{"x": func() {}}}
	assert.PanicsWithValue(t, `youproxytest: two groups of the list are named "same": each proxy type needs its own`, func() { s.SetListShape(same) })
	assert.Panics(t, func() { youproxytest.WithListShape(noJSON) })
	assert.Equal(t, 0, listed(t, s), "the server goes on")
}

func TestAHugeListIsAnsweredAtOnce(t *testing.T) {
	s := newServer(t)
	proxies := 20_000
	if long.Run() {
		proxies = 100_000
	}
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: proxies})
	started := time.Now()
	assert.Equal(t, proxies, listed(t, s))
	assert.Less(t, time.Since(started), 30*time.Second, "far above what it takes, under the race detector too")
}

// A client that does not read its list must not stop the others.
func TestAListThatIsNotReadHoldsNothingUp(t *testing.T) {
	s := newServer(t)
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 10_000})
	body := open(t, s, "/ipAddress")
	defer func() { _ = body.Close() }()
	_, _, reply := send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"success": true`)
	assert.Len(t, s.Requests(), 2)
}
