package youproxy_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
)

var (
	firstIP  = netip.MustParseAddr("192.0.2.1")
	secondIP = netip.MustParseAddr("192.0.2.2")
	shapeDay = time.Date(2026, 10, 1, 8, 30, 0, 220e6, time.UTC)
)

const (
	bareRecord  = `{"ipAddressId": "1", "ipAddressIp": "192.0.2.1"}`
	otherRecord = `{"ipAddressId": "2", "ipAddressIp": "192.0.2.2"}`
	bigID       = "9223372036854775807"
)

type listShape struct {
	name    string
	members string
	want    []youproxy.Proxy
}

// The forms in which a list may come, and what is made of them.
var listShapes = []listShape{
	{"a whole record", `"IPv4": [{"ipAddressId": "1111111111111111111", "ipAddressIp": "192.0.2.1", "orderId": "11122233", "orderNumber": "NUMBER-1",
		"country": "USA", "dateStart": "2026-10-01T10:30:00.220+02:00", "dateEnd": "2026-10-31T08:30:00.22Z", "httpsPort": "8080", "socks5Port": "9090",
		"protocol": "HTTP", "authInfo": {"login": "user", "password": "pässword"}, "extendInfo": {"autoExtend": true, "extendDays": 30},
		"mobileOperator": "verizon", "rotationTime": 300, "rebootLink": "https://example.com/r?t=1"}]`,
		oneProxy(youproxy.Proxy{
			ID: "1111111111111111111", OrderID: "11122233", OrderNumber: "NUMBER-1", ProxyType: "IPv4", Host: "192.0.2.1", IP: firstIP,
			HTTPPort: 8080, SOCKS5Port: 9090, Protocol: "HTTP", Credentials: credentials("user", "pässword"), Country: "USA",
			Start: shapeDay, End: shapeDay.AddDate(0, 0, 30), AutoExtend: true, AutoExtendDays: 30,
			MobileOperator: "verizon", RotationTime: 300, RebootURL: youproxy.NewSecret("https://example.com/r?t=1"),
		})},

	// Groups and flat lists.
	{"a group in lower case", `"ipv4": [` + bareRecord + `]`, oneProxy(at("1", typed("IPv4")))},
	{"a group in capitals", `"IPV6": [` + bareRecord + `]`, oneProxy(at("1", typed("IPv6")))},
	{"a group in mixed case", `"moBile": [` + bareRecord + `]`, oneProxy(at("1", typed("MOBILE")))},
	{"a group with its name escaped", `"\u0049SP": [` + bareRecord + `]`, oneProxy(at("1", typed("ISP")))},
	{"two groups", `"ipv4": [` + bareRecord + `], "isp": [` + otherRecord + `]`,
		[]youproxy.Proxy{at("1", typed("IPv4")), {ID: "2", ProxyType: "ISP", Host: "192.0.2.2", IP: secondIP}}},
	{"the same group twice", `"ipv4": [` + bareRecord + `], "ipv4": [` + bareRecord + `]`, []youproxy.Proxy{at("1", typed("IPv4")), at("1", typed("IPv4"))}},
	{"a group that is null, and an empty one", `"ipv4": null, "ipv6": [], "isp": {}, "mobile": [null, {}, [], 1, "x", true]`, nil},
	{"a group that is one record", `"ipv4": {"id": "1", "ip": "192.0.2.1"}`, oneProxy(at("1", typed("IPv4")))},
	{"a record that has a type of its own", `"ipv4": [{"ipAddressId": "1", "proxyType": "isp"}]`, oneProxy(youproxy.Proxy{ID: "1", ProxyType: "ISP"})},
	{"a type that nobody knows", `"list": [{"ipAddressId": "1", "proxyType": "Residential"}]`, oneProxy(youproxy.Proxy{ID: "1", ProxyType: "Residential"})},
	{"a type that is null within a group", `"ipv4": [{"ipAddressId": "1", "proxyType": null}]`, oneProxy(youproxy.Proxy{ID: "1", ProxyType: "IPv4"})},
	{"a flat list of any name", `"ⓐny": [` + bareRecord + `]`, oneProxy(at("1"))},
	{"a flat list without a name", `"": [` + bareRecord + `]`, oneProxy(at("1"))},
	{"groups within a member", `"data": {"ipv4": [` + bareRecord + `], "Mobile": {"items": [{"ipAddressId": "2"}]}}`,
		[]youproxy.Proxy{at("1", typed("IPv4")), {ID: "2", ProxyType: "MOBILE"}}},
	{"lists within lists", `"list": [[[` + bareRecord + `]], [[], [` + bareRecord + `]]]`, []youproxy.Proxy{at("1"), at("1")}},
	{"records by their number", `"list": {"0": ` + bareRecord + `, "1": {"ipAddressId": "2"}}`, []youproxy.Proxy{at("1"), only("2")}},
	{"a record that is alone", `"item": ` + bareRecord, oneProxy(at("1"))},
	{"short names", `"list": [{"id": "1", "ip": "192.0.2.1"}]`, oneProxy(at("1"))},
	{"short id and long address", `"list": [{"id": "1", "ipAddress": "192.0.2.1"}]`, oneProxy(at("1"))},
	{"names in capitals", `"list": [{"IPADDRESSID": "1", "IPADDRESSIP": "192.0.2.1", "COUNTRY": "USA"}]`, oneProxy(at("1", in("USA")))},
	{"names that are escaped", `"list": [{"\u0069pAddressId": "1", "i\u0070": "192.0.2.1", "countr\u0079": "USA"}]`, oneProxy(at("1", in("USA")))},
	{"white space wherever it may be", "\"list\"\n:\t[ \r\n{ \"ipAddressId\"\t: \"1\" ,\n\"ip\" :\"192.0.2.1\" } ]\n", oneProxy(at("1"))},
	{"an address that is not known yet", `"list": [{"id": "1", "ip": null}, {"ipAddressId": "2", "ip": null}]`, oneProxy(only("2"))},
	{"ports without an address", `"list": [{"id": "1", "httpsPort": 80}]`, nil},

	// Order objects around records.
	{"an order around its records", `"ipv4": [{"orderId": "o", "orderNumber": "N-1", "country": "USA", "dateStart": "2026-10-01T08:30:00.220Z", "ips": [` + bareRecord + `, {"ipAddressId": "2"}],
		"dateEnd": "2026-10-02T08:30:00.220Z", "extendInfo": {"autoExtend": true}, "authInfo": {"login": "l", "password": "p"}}]`,
		[]youproxy.Proxy{at("1", ordered), {
			ID: "2", OrderID: "o", OrderNumber: "N-1", ProxyType: "IPv4", Country: "USA", Start: shapeDay, End: shapeDay.AddDate(0, 0, 1),
			AutoExtend: true, Credentials: credentials("l", "p"),
		}}},
	{"an order with an id of its own", `"list": [{"id": "99", "orderId": "o", "items": [{"id": "1", "ip": "192.0.2.1"}]}]`, oneProxy(at("1", ofOrder("o")))},
	{"an order with its gateway", `"ipv6": [{"id": "99", "ip": "203.0.113.9:10002", "items": [{"ipAddressId": "1", "ip": "192.0.2.1"}]}]`, oneProxy(at("1", typed("IPv6"), ofOrder("99")))},
	{"an order with one record as an object", `"list": [{"orderId": "o", "ipAddress": {"id": "1", "ip": "192.0.2.1"}}]`, oneProxy(at("1", ofOrder("o")))},
	{"an order with its records under the name of an address", `"list": [{"orderId": "o", "ip": [{"id": "1", "ip": "192.0.2.1"}]}]`, oneProxy(at("1", ofOrder("o")))},
	{"an order with one full record as an object", `"list": [{"orderId": "o", "ipAddress": ` + bareRecord + `}]`, oneProxy(at("1", ofOrder("o")))},
	{"orders by their number", `"orders": {"N-1": {"orderId": "o", "x": [` + bareRecord + `]}, "N-2": {"orderId": "p", "x": [{"ipAddressId": "2"}]}}`,
		[]youproxy.Proxy{at("1", ofOrder("o")), {ID: "2", OrderID: "p"}}},
	{"a record that knows better", `"list": [{"orderId": "o", "country": "USA", "x": [{"ipAddressId": "1", "orderId": "own", "country": "DEU"}]}]`,
		oneProxy(youproxy.Proxy{ID: "1", OrderID: "own", Country: "DEU"})},
	{"a record whose own is null", `"list": [{"x": [{"ipAddressId": "1", "orderId": null, "country": null, "authInfo": null}], "orderId": "o", "country": "USA", "authInfo": {"login": "l"}}]`,
		oneProxy(youproxy.Proxy{ID: "1", OrderID: "o", Country: "USA", Credentials: credentials("l", "")})},
	{"the inner of two orders", `"list": [{"orderId": "out", "country": "USA", "sub": {"orderId": "in", "x": [{"ipAddressId": "1"}]}, "orderNumber": "N"}]`,
		oneProxy(youproxy.Proxy{ID: "1", OrderID: "in", OrderNumber: "N", Country: "USA"})},
	{"the inner of two orders is null", `"list": [{"orderId": "out", "sub": {"orderId": null, "x": [{"ipAddressId": "1"}]}}]`, oneProxy(youproxy.Proxy{ID: "1", OrderID: "out"})},
	{"what an order says ends with it", `"list": [{"orderId": "o", "x": [{"ipAddressId": "1"}]}, {"ipAddressId": "2"}, {"y": [{"ipAddressId": "3"}]}]`,
		[]youproxy.Proxy{{ID: "1", OrderID: "o"}, only("2"), only("3")}},
	{"what an order says of its address is not its records'", `"list": [{"id": 5, "ip": "203.0.113.1", "port": 80, "httpsPort": 81, "x": [{"ipAddressId": "1"}]}]`, oneProxy(youproxy.Proxy{ID: "1", OrderID: "5"})},
	{"an order's unknown fields are its own", `"list": [{"note": "n", "x": [{"ipAddressId": "1"}, {"ipAddressId": "2", "note": "own"}]}]`,
		[]youproxy.Proxy{{ID: "1"}, {ID: "2", Extra: raw("note", `"own"`)}}},
	{"odd forms of a record and its order", `"list": [{"country": ["USA"], "start": "soon", "x": [{"ipAddressId": "1", "country": [], "countryCode": true}]}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("country", `["USA"]`, "countryCode", "true", "start", `"soon"`)})},
	{"an order's field in an odd form", `"list": [{"country": ["USA"], "orderId": 1.5, "x": [{"ipAddressId": "1"}]}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("country", `["USA"]`, "orderId", "1.5")})},
	{"a group within an order", `"data": [{"proxyType": "ISP", "orderId": "o", "ipv4": [{"ipAddressId": "1"}], "rest": [{"ipAddressId": "2"}]}]`,
		[]youproxy.Proxy{{ID: "1", OrderID: "o", ProxyType: "IPv4"}, {ID: "2", OrderID: "o", ProxyType: "ISP"}}},

	// Ids.
	{"an id that is a long number", `"list": [{"ipAddressId": ` + bigID + `, "orderId": 9007199254740993, "orderNumber": 12345678901234567890}]`,
		oneProxy(youproxy.Proxy{ID: bigID, OrderID: "9007199254740993", OrderNumber: "12345678901234567890"})},
	{"an id beyond 64 bits", `"list": [{"ipAddressId": 99999999999999999999999999999999}]`, oneProxy(only("99999999999999999999999999999999"))},
	{"an id that begins with zeros", `"list": [{"ipAddressId": "0012"}]`, oneProxy(only("0012"))},
	{"an id that is escaped", `"list": [{"ipAddressId": "\u0031\u00e9"}]`, oneProxy(only("1é"))},
	{"both ids, equal", `"list": [{"id": 7, "ipAddressId": "7"}]`, oneProxy(only("7"))},
	{"both ids, unequal", `"list": [{"id": 8, "ipAddressId": "7"}]`, oneProxy(youproxy.Proxy{ID: "7", Extra: raw("id", "8")})},
	{"one id null", `"list": [{"id": 8, "ipAddressId": null, "ip": "192.0.2.1"}]`, oneProxy(at("8"))},
	{"one id empty", `"list": [{"ipAddressId": "", "id": "8", "ip": "192.0.2.1"}]`, oneProxy(at("8"))},
	{"one id blank", `"list": [{"ipAddressId": " \t", "id": "8", "ip": "192.0.2.1"}]`, oneProxy(at("8", extra("ipAddressId", `" \t"`)))},
	{"one id no whole number", `"list": [{"ipAddressId": 1.5, "id": "8", "ip": "192.0.2.1"}]`, oneProxy(at("8", extra("ipAddressId", "1.5")))},
	{"one id an object", `"list": [{"ipAddressId": {"id": 1}, "id": "8", "ip": "192.0.2.1"}]`, oneProxy(at("8", extra("ipAddressId", `{"id": 1}`)))},
	{"one id true", `"list": [{"ipAddressId": true, "id": "8", "ip": "192.0.2.1"}]`, oneProxy(at("8", extra("ipAddressId", "true")))},
	{"an order id in odd forms", `"list": [{"ipAddressId": "1", "orderId": ""}, {"ipAddressId": "2", "orderId": -1}, {"ipAddressId": "3", "orderId": 1e3}, {"ipAddressId": "4", "orderId": [1]}]`,
		[]youproxy.Proxy{
			{ID: "1"}, {ID: "2", Extra: raw("orderId", "-1")},
			{ID: "3", Extra: raw("orderId", "1e3")}, {ID: "4", Extra: raw("orderId", "[1]")},
		}},
	{"a name in two letter cases", `"list": [{"ipAddressId": "1", "COUNTRY": "DEU", "country": "USA"}]`, oneProxy(youproxy.Proxy{ID: "1", Country: "USA", Extra: raw("COUNTRY", `"DEU"`)})},
	{"an odd form under a name in capitals", `"list": [{"ipAddressId": "1", "COUNTRY": [1]}]`, oneProxy(youproxy.Proxy{ID: "1", Extra: raw("COUNTRY", `[1]`)})},
	{"a country in two letters and in three", `"list": [{"ipAddressId": "1", "countryCode": "US", "country": "United States", "alpha_3": "USA"}]`,
		oneProxy(youproxy.Proxy{ID: "1", Country: "USA", Extra: raw("countryCode", `"US"`, "country", `"United States"`)})},

	// Addresses and ports.
	{"an address with its port and a protocol", `"list": [{"id": "1", "ip": "192.0.2.1:10002", "protocol": "http"}]`, oneProxy(at("1", speaking("HTTP", 10002, 0)))},
	{"an address with its port and the other protocol", `"list": [{"id": "1", "ip": "192.0.2.1:10002", "protocol": "Socks"}]`, oneProxy(at("1", speaking("SOCKS", 0, 10002)))},
	{"an address with the port that is known already", `"list": [{"id": "1", "ip": "192.0.2.1:10002", "socks5Port": 10002}]`, oneProxy(at("1", speaking("", 0, 10002)))},
	{"an address with a port nobody knows the use of", `"list": [{"id": "1", "ip": "192.0.2.1:10002"}]`, oneProxy(at("1", extra("ip", `"192.0.2.1:10002"`)))},
	{"an address with port 0", `"list": [{"id": "1", "ip": "192.0.2.1:0"}]`, oneProxy(at("1"))},
	{"one port", `"list": [{"id": "1", "ip": "192.0.2.1", "port": "10002", "protocol": "HTTP"}]`, oneProxy(at("1", speaking("HTTP", 10002, 0)))},
	{"one port, SOCKS5", `"list": [{"id": "1", "ip": "192.0.2.1", "port": 10002, "protocol": "SOCKS5"}]`, oneProxy(at("1", speaking("SOCKS5", 0, 10002)))},
	{"one port, the order's protocol", `"list": [{"protocol": "SOCKS", "x": [{"id": "1", "ip": "192.0.2.1", "port": 10002}]}]`, oneProxy(at("1", speaking("SOCKS", 0, 10002)))},
	{"one port, a protocol nobody knows", `"list": [{"id": "1", "ip": "192.0.2.1", "port": 10002, "protocol": "QUIC"}]`, oneProxy(at("1", speaking("QUIC", 0, 0), extra("port", "10002")))},
	{"one port, no protocol", `"list": [{"id": "1", "ip": "192.0.2.1", "port": 10002}]`, oneProxy(at("1", extra("port", "10002")))},
	{"one port beside another", `"list": [{"id": "1", "ip": "192.0.2.1", "port": 10002, "httpsPort": 80, "protocol": "HTTP"}]`, oneProxy(at("1", speaking("HTTP", 80, 0), extra("port", "10002")))},
	{"ports as numbers", `"list": [{"ipAddressId": "1", "httpsPort": 65535, "socks5Port": 1}]`, oneProxy(youproxy.Proxy{ID: "1", HTTPPort: 65535, SOCKS5Port: 1})},
	{"ports that are none", `"list": [{"ipAddressId": "1", "httpsPort": 0, "socks5Port": "", "port": null}]`, oneProxy(only("1"))},
	{"ports in odd forms", `"list": [{"ipAddressId": "1", "httpsPort": 65536, "socks5Port": "-1", "port": "ten"}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("httpsPort", "65536", "socks5Port", `"-1"`, "port", `"ten"`)})},
	{"more ports in odd forms", `"list": [{"ipAddressId": "1", "httpsPort": 80.5, "socks5Port": true, "port": 99999999999999999999}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("httpsPort", "80.5", "socks5Port", "true", "port", "99999999999999999999")})},
	{"numbers as texts", `"list": [{"ipAddressId": "1", "httpsPort": 80.0, "socks5Port": " 81 ", "rotationTime": "300.00"}]`,
		oneProxy(youproxy.Proxy{ID: "1", HTTPPort: 80, SOCKS5Port: 81, RotationTime: 300})},
	{"two ports in one text", `"list": [{"ipAddressId": "1", "port": "49162/49163"}]`, oneProxy(youproxy.Proxy{ID: "1", Extra: raw("port", `"49162/49163"`)})},
	{"IPv6", `"list": [{"ipAddressId": "1", "ip": "2001:DB8::1"}]`, oneProxy(youproxy.Proxy{ID: "1", Host: "2001:DB8::1", IP: netip.MustParseAddr("2001:db8::1")})},
	{"IPv6 in brackets", `"list": [{"ipAddressId": "1", "ip": "[2001:db8::1]"}]`, oneProxy(youproxy.Proxy{ID: "1", Host: "2001:db8::1", IP: netip.MustParseAddr("2001:db8::1")})},
	{"IPv6 with its port", `"list": [{"ipAddressId": "1", "ip": "[2001:db8::1]:8080", "protocol": "HTTP"}]`,
		oneProxy(youproxy.Proxy{ID: "1", Host: "2001:db8::1", IP: netip.MustParseAddr("2001:db8::1"), HTTPPort: 8080, Protocol: "HTTP"})},
	{"a host name", `"list": [{"ipAddressId": "1", "ip": "gw-1.example.com:8080", "protocol": "HTTP"}]`, oneProxy(youproxy.Proxy{ID: "1", Host: "gw-1.example.com", HTTPPort: 8080, Protocol: "HTTP"})},
	{"two addresses, equal", `"list": [{"ipAddressId": "1", "ip": "192.0.2.1", "ipAddress": "192.0.2.1"}]`, oneProxy(at("1"))},
	{"two addresses, unequal", `"list": [{"ipAddressId": "1", "ipAddress": "192.0.2.2", "ip": "192.0.2.1"}]`, oneProxy(at("1", extra("ipAddress", `"192.0.2.2"`)))},
	{"an empty address beside another", `"list": [{"ipAddressId": "1", "ipAddressIp": "", "ip": "192.0.2.1"}]`, oneProxy(at("1"))},

	// Parts that are null, missing or odd.
	{"no more than an id", `"list": [{"ipAddressId": "1"}]`, oneProxy(only("1"))},
	{"all null", `"list": [{"ipAddressId": "1", "ipAddressIp": null, "ip": null, "ipAddress": null, "id": null, "orderId": null, "orderNumber": null, "proxyType": null,
		"country": null, "dateStart": null, "dateEnd": null, "httpsPort": null, "socks5Port": null, "port": null, "protocol": null, "authInfo": null,
		"extendInfo": null, "mobileOperator": null, "rotationTime": null, "rebootLink": null}]`, oneProxy(only("1"))},
	{"parts of parts null", `"list": [{"ipAddressId": "1", "authInfo": {"login": null, "password": null}, "extendInfo": {"autoExtend": null, "extendDays": null}}]`, oneProxy(only("1"))},
	{"parts of parts missing", `"list": [{"ipAddressId": "1", "authInfo": {}, "extendInfo": {}}]`, oneProxy(only("1"))},
	{"all empty", `"list": [{"ipAddressId": "1", "ip": "", "orderNumber": "", "proxyType": "", "country": "", "dateStart": "", "dateEnd": "", "protocol": "",
		"mobileOperator": "", "rotationTime": "", "rebootLink": "", "authInfo": {"login": "", "password": ""}}]`, oneProxy(only("1"))},
	{"numbers as texts, texts as numbers", `"list": [{"ipAddressId": "1", "rotationTime": "300", "extendInfo": {"extendDays": "30"}, "country": 276, "authInfo": {"login": 17, "password": 42}, "mobileOperator": 5}]`,
		oneProxy(youproxy.Proxy{ID: "1", RotationTime: 300, AutoExtendDays: 30, Country: "276", Credentials: credentials("17", "42"), MobileOperator: "5"})},
	{"a password alone", `"list": [{"ipAddressId": "1", "authInfo": {"password": "p"}}]`, oneProxy(youproxy.Proxy{ID: "1", Credentials: credentials("", "p")})},
	{"escapes in a password", `"list": [{"ipAddressId": "1", "authInfo": {"login": "a\"b", "password": "\\\u00e9\ud83d\ude00\n"}}]`, oneProxy(youproxy.Proxy{ID: "1", Credentials: credentials(`a"b`, "\\é😀\n")})},
	{"texts in odd forms", `"list": [{"ipAddressId": "1", "country": {"phone": "1"}, "orderNumber": [1], "proxyType": true, "protocol": false, "mobileOperator": {"x": 1}, "rebootLink": ["x"]}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("country", `{"phone": "1"}`, "orderNumber", "[1]", "proxyType", "true", "protocol", "false", "mobileOperator", `{"x": 1}`, "rebootLink", `["x"]`)})},
	{"dates in odd forms", `"list": [{"ipAddressId": "1", "dateStart": "soon", "dateEnd": "01.10.2026"}, {"ipAddressId": "2", "dateStart": true, "dateEnd": {"date": "2026-10-01T08:30:00Z"}}]`,
		[]youproxy.Proxy{
			{ID: "1", Extra: raw("dateStart", `"soon"`, "dateEnd", `"01.10.2026"`)},
			{ID: "2", Extra: raw("dateStart", `true`, "dateEnd", `{"date": "2026-10-01T08:30:00Z"}`)},
		}},
	{"dates without a time zone", `"list": [{"start": "2026-10-01 08:30", "x": [{"ipAddressId": "1", "dateEnd": "2026-10-31"}]}]`,
		oneProxy(youproxy.Proxy{
			ID: "1", Start: time.Date(2026, 10, 1, 8, 30, 0, 0, time.UTC), End: time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC),
			Extra: raw("start", `"2026-10-01 08:30"`, "dateEnd", `"2026-10-31"`),
		})},
	{"dates of other kinds", `"list": [{"ipAddressId": "1", "dateStart": 1790843400220, "dateEnd": {"$date": "2026-10-31T08:30:00.220+0000"}}]`,
		oneProxy(youproxy.Proxy{ID: "1", Start: shapeDay, End: shapeDay.AddDate(0, 0, 30)})},
	{"a rotation time in odd forms", `"list": [{"ipAddressId": "1", "rotationTime": "5 min"}, {"ipAddressId": "2", "rotationTime": 1.5}]`,
		[]youproxy.Proxy{{ID: "1", Extra: raw("rotationTime", `"5 min"`)}, {ID: "2", Extra: raw("rotationTime", "1.5")}}},
	{"a login and an extension in odd forms", `"list": [{"ipAddressId": "1", "authInfo": "user:pass", "extendInfo": "later"}, {"ipAddressId": "2", "authInfo": ["u", "p"], "extendInfo": {"autoExtend": "soon"}}]`,
		[]youproxy.Proxy{
			{ID: "1", AutoExtendUnknown: true, Extra: raw("authInfo", `"user:pass"`, "extendInfo", `"later"`)},
			{ID: "2", AutoExtendUnknown: true, Extra: raw("authInfo", `["u", "p"]`, "extendInfo", `{"autoExtend": "soon"}`)},
		}},
	{"an automatic extension in the usual forms", `"list": [{"ipAddressId": "1", "autoExtend": "true"}, {"ipAddressId": "2", "auto_renew": 1, "autoExtendDays": "30"}, {"ipAddressId": "3", "extendInfo": {"auto": "no"}},
		{"ipAddressId": "4", "extendInfo": []}, {"ipAddressId": "5", "extendInfo": {"plan": "gold"}}, {"ipAddressId": "6", "extendInfo": {"extendDays": 30}, "autoExtend": "Yes"}]`,
		[]youproxy.Proxy{
			{ID: "1", AutoExtend: true}, {ID: "2", AutoExtend: true, AutoExtendDays: 30}, only("3"), only("4"),
			{ID: "5", AutoExtendUnknown: true, Extra: raw("extendInfo", `{"plan": "gold"}`)}, {ID: "6", AutoExtend: true, AutoExtendDays: 30},
		}},
	{"an order may extend its proxies", `"list": [{"autoExtend": true, "x": [{"ipAddressId": "1", "extendInfo": {}}]}, {"autoExtend": "soon", "x": [{"ipAddressId": "2", "autoExtend": false}, {"ipAddressId": "3"}]}]`,
		[]youproxy.Proxy{{ID: "1", AutoExtend: true}, only("2"), {ID: "3", AutoExtendUnknown: true, Extra: raw("autoExtend", `"soon"`)}}},
	{"a login of its own", `"list": [{"login": "order", "pass": "o", "x": [{"ipAddressId": "1", "username": "l", "password": "p"}, {"ipAddressId": "2", "credentials": {"USER": "l", "Pass": "p"}},
		{"ipAddressId": "3", "auth": [{"login": "l", "password": "p"}]}, {"ipAddressId": "4", "authInfo": null}, {"ipAddressId": "5", "user": {"name": "customer"}}]}]`,
		[]youproxy.Proxy{
			{ID: "1", Credentials: credentials("l", "p")}, {ID: "2", Credentials: credentials("l", "p")}, {ID: "3", Credentials: credentials("l", "p")},
			{ID: "4", Credentials: credentials("order", "o")}, {ID: "5", Credentials: credentials("order", "o"), Extra: raw("user", `{"name": "customer"}`)},
		}},
	{"more about a login than is known", `"list": [{"ipAddressId": "1", "authInfo": {"login": "l", "password": "p", "allowed": ["203.0.113.1"]}}]`,
		oneProxy(youproxy.Proxy{ID: "1", Credentials: credentials("l", "p"), Extra: raw("authInfo", `{"allowed":["203.0.113.1"]}`)})},
	{"a login that is odd in one record alone", `"list": [{"ipAddressId": "1", "authInfo": {"login": {"x": 1}}}, {"ipAddressId": "2", "authInfo": {"login": "l"}}]`,
		[]youproxy.Proxy{{ID: "1", Extra: raw("authInfo", `{"login":{"x": 1}}`)}, {ID: "2", Credentials: credentials("l", "")}}},
	{"the same login again", `"list": [{"ipAddressId": "1", "authInfo": {"login": "l", "password": "p"}}, {"ipAddressId": "2", "authInfo": {"login": "l", "password": "p"}}, {"ipAddressId": "3"}]`,
		[]youproxy.Proxy{{ID: "1", Credentials: credentials("l", "p")}, {ID: "2", Credentials: credentials("l", "p")}, only("3")}},
	{"secrets that are only stars", `"list": [{"ipAddressId": "1", "authInfo": {"login": "l", "password": "***"}, "rebootLink": "***"}]`,
		oneProxy(youproxy.Proxy{ID: "1", Credentials: credentials("l", ""), Extra: raw("authInfo", `{"password":"***"}`, "rebootLink", `"***"`)})},
	{"fields nobody knows", `"list": [{"ipAddressId": "1", "status": "ACTIVE", "a b": [1, {"x": null}], "n": 1e999, "none": null, "\u0061": {}, "": false}]`,
		oneProxy(youproxy.Proxy{ID: "1", Extra: raw("status", `"ACTIVE"`, "a b", `[1, {"x": null}]`, "n", "1e999", "none", "null", "a", "{}", "", "false")})},
	{"invalid UTF-8", "\"list\": [{\"ipAddressId\": \"1\xff\", \"country\": \"\xc3\", \"x\": \"\xff\"}]",
		oneProxy(youproxy.Proxy{ID: "1\ufffd", Country: "\ufffd", Extra: raw("x", "\"\xff\"")})},
	{"half a surrogate pair", `"list": [{"ipAddressId": "1\ud800", "country": "\udc00x"}]`, oneProxy(youproxy.Proxy{ID: "1\ufffd", Country: "\ufffdx"})},

	// What is no record.
	{"nothing", `"balance": 1`, nil},
	{"members that are no lists", `"a": 1, "b": "id", "c": true, "d": null, "e": {}, "f": []`, nil},
	{"the caller's address at the top", `"id": "1", "ip": "192.0.2.1", "ipv4": []`, nil},
	{"warnings", `"warnings": [{"code": 14, "message": "Incorrect goal"}]`, nil},
	{"paging", `"page": {"id": "1", "number": 1, "size": 20, "total": 0}, "pageable": {"sort": {"id": "asc"}}`, nil},
	{"promo codes", `"promoCodes": [{"id": "1", "code": "CLIENT-PROMO", "countUses": 0, "startDate": "2026-10-01T08:30:00Z", "discount": 10}]`, nil},
	{"countries", `"countries": [{"id": 1, "country": "USA", "name": "United States"}]`, nil},
	{"the user", `"user": {"id": "1", "ip": "203.0.113.1", "authInfo": {"login": "l"}}`, nil},
	{"orders without records", `"ipv4": [{"id": "1", "orderId": "o", "country": "USA", "dateStart": "2026-10-01T08:30:00Z", "ips": []}, {"orderId": "p", "ips": null}]`, nil},
	{"texts", `"list": ["{\"ipAddressId\": \"1\"}", "verizon", 12]`, nil},
	{"objects within a record", `"list": [{"ipAddressId": "1", "ip": "192.0.2.1", "owner": {"id": "5", "ip": "192.0.2.9"}, "previous": [{"ipAddressId": "6"}]}]`,
		oneProxy(at("1", extra("owner", `{"id": "5", "ip": "192.0.2.9"}`, "previous", `[{"ipAddressId": "6"}]`)))},
	{"objects within a record with short names", `"list": [{"id": "1", "ip": "192.0.2.1", "ipHistory": [{"id": "5", "ip": "192.0.2.9"}]}]`,
		oneProxy(at("1", extra("ipHistory", `[{"id": "5", "ip": "192.0.2.9"}]`)))},
	{"objects within a login or an extension", `"list": [{"id": "1", "ip": "192.0.2.1", "authInfo": {"ips": [{"ipAddressId": "6"}]}, "extendInfo": [{"ipAddressId": "7"}]}]`,
		oneProxy(at("1", extra("authInfo", `{"ips":[{"ipAddressId": "6"}]}`, "extendInfo", `[{"ipAddressId": "7"}]`), func(p *youproxy.Proxy) { p.AutoExtendUnknown = true }))},
	// Records that no list holds, and orders that look like records.
	{"a group of records by their number", `"ipv4": {"0": {"id": "1", "ip": "192.0.2.1", "httpsPort": "80"}}`, oneProxy(at("1", typed("IPv4"), func(p *youproxy.Proxy) { p.HTTPPort = 80 }))},
	{"a record under a name in an order", `"ipv4": [{"orderId": "o", "proxy": {"id": "1", "ip": "192.0.2.1", "httpsPort": 80}}]`,
		oneProxy(at("1", typed("IPv4"), func(p *youproxy.Proxy) { p.HTTPPort, p.OrderID = 80, "o" }))},
	{"a record in the place of an address, in an order", `"ipv4": [{"orderId": "o", "ipAddress": {"id": "1", "ip": "192.0.2.1"}}]`,
		oneProxy(at("1", typed("IPv4"), func(p *youproxy.Proxy) { p.OrderID = "o" }))},
	{"an order's customer and gateway are no records", `"ipv4": [{"orderId": "o", "customer": {"id": "7", "ip": "203.0.113.1"}, "gateway": {"ip": "203.0.113.2", "port": 80}, "ips": [` + bareRecord + `]}]`,
		oneProxy(at("1", typed("IPv4"), func(p *youproxy.Proxy) { p.OrderID = "o" }))},
	{"an order with its gateway and no records yet", `"ipv6": [{"orderId": "o", "ip": "203.0.113.9:80", "ips": []}, {"ipAddressId": "1", "ipAddressIp": "192.0.2.1"}]`, oneProxy(at("1", typed("IPv6")))},
	{"an order with an id and no address yet", `"list": [{"id": "99", "ip": null, "orderId": "o", "ips": [{"id": "1", "ip": "192.0.2.1"}]}]`,
		oneProxy(at("1", func(p *youproxy.Proxy) { p.OrderID = "o" }))},
	{"an order with an id and a login around records", `"list": [{"id": "99", "authInfo": {"login": "l"}, "ips": [{"id": "1", "ip": "192.0.2.1"}]}]`,
		oneProxy(at("1", func(p *youproxy.Proxy) { p.OrderID, p.Credentials = "99", credentials("l", "") }))},
	{"what is no record for want of an address", `"list": [{"id": "1", "port": "10002", "protocol": "HTTP"}, {"id": "2", "authInfo": {"login": "l"}}, {"id": "3", "extendInfo": {"autoExtend": true}}]`, nil},
	{"an order's own number and the digits it stands under", `"ipv4": {"5001": {"number": "N-1", "ips": [` + bareRecord + `]}, "5002": {"ips": {"6001": {"ip": "192.0.2.1"}}}}`,
		[]youproxy.Proxy{at("1", typed("IPv4"), func(p *youproxy.Proxy) { p.OrderID, p.OrderNumber = "5001", "N-1" }), at("6001", typed("IPv4"), ofOrder("5002"))}},
	{"the order in a record", `"list": [{"id": "1", "ip": "192.0.2.1", "order": {"id": "o", "number": "N-1", "country": "USA", "ip": "203.0.113.1"}}]`,
		oneProxy(at("1", in("USA"), func(p *youproxy.Proxy) { p.OrderID, p.OrderNumber = "o", "N-1" }))},
	{"the order beside its records", `"order": {"id": "o", "number": "N-1", "autoExtend": true, "country": "USA"}, "proxies": [{"id": "1", "ip": "192.0.2.1"}]`,
		oneProxy(at("1", in("USA"), func(p *youproxy.Proxy) { p.OrderID, p.OrderNumber, p.AutoExtend = "o", "N-1", true }))},
	{"ports in a list and in an object", `"list": [{"ipAddressId": "1", "ports": [{"id": 1, "type": "http", "port": "80"}, {"protocol": "SOCKS5", "port": 81}]}, {"ipAddressId": "2", "port": {"http": 80, "socks5": "81"}}]`,
		[]youproxy.Proxy{{ID: "1", HTTPPort: 80, SOCKS5Port: 81}, {ID: "2", HTTPPort: 80, SOCKS5Port: 81}}},
	{"a lone object in what could be a record", `"list": [{"id": "1", "ip": "192.0.2.1", "server": {"id": "5", "ip": "192.0.2.9"}}]`, oneProxy(at("1", extra("server", `{"id": "5", "ip": "192.0.2.9"}`)))},
	{"names with an underscore or a hyphen", `"list": [{"ip_address_id": "1", "IP-Address": "192.0.2.1", "order_number": "N"}]`, oneProxy(at("1", func(p *youproxy.Proxy) { p.OrderNumber = "N" }))},
	{"what an order tells where its record is blank", `"list": [{"orderId": "o", "country": "USA", "ips": [{"ipAddressId": "1", "orderId": "", "country": ""}]}]`,
		oneProxy(youproxy.Proxy{ID: "1", OrderID: "o", Country: "USA"})},

	// Fields that are hard to read.
	{"an address that cannot be read before one that can", `"list": [{"ipAddressId": "1", "ipAddressIp": "n/a here", "ip": "192.0.2.1"}]`, oneProxy(at("1", extra("ipAddressIp", `"n/a here"`)))},
	{"an address with a zone", `"list": [{"ipAddressId": "1", "ip": "fe80::1%eth0"}]`, oneProxy(youproxy.Proxy{ID: "1", Extra: raw("ip", `"fe80::1%eth0"`)})},
	{"a host name that is too long", `"list": [{"ipAddressId": "1", "ip": "` + strings.Repeat("a.", 127) + `a"}]`, oneProxy(youproxy.Proxy{ID: "1", Extra: raw("ip", `"`+strings.Repeat("a.", 127)+`a"`)})},
	{"an extension by fewer than no days", `"list": [{"ipAddressId": "1", "extendInfo": {"autoExtend": true, "extendDays": -1}}]`,
		oneProxy(youproxy.Proxy{ID: "1", AutoExtend: true, Extra: raw("extendInfo", `{"autoExtend": true, "extendDays": -1}`)})},
	{"escaped names in a login and an extension", `"list": [{"ipAddressId": "1", "authInfo": {"lo\u0067in": "l", "password": "p"}, "extendInfo": {"auto\u0045xtend": true}}]`,
		oneProxy(youproxy.Proxy{ID: "1", Credentials: credentials("l", "p"), AutoExtend: true})},
	{"a protocol in small letters beside one port", `"list": [{"ipAddressId": "1", "ip": "192.0.2.1:2", "protocol": "socks5"}]`,
		oneProxy(at("1", func(p *youproxy.Proxy) { p.SOCKS5Port, p.Protocol = 2, "socks5" }))},
	{"a name that only begins like a field", `"list": [{"ipAddressIds": ["1"], "x": 1}, {"ipAddressI": "1"}]`, nil},
	{"a name that only folds to a field", `"list": [{"ıpAddressId": "1"}, {"ipAddreſſId": "1"}]`, nil},
}

func typed(t youproxy.ProxyType) func(*youproxy.Proxy) {
	return func(p *youproxy.Proxy) { p.ProxyType = t }
}

func in(country string) func(*youproxy.Proxy) {
	return func(p *youproxy.Proxy) { p.Country = country }
}

func ofOrder(id youproxy.OrderID) func(*youproxy.Proxy) {
	return func(p *youproxy.Proxy) { p.OrderID = id }
}

func speaking(protocol youproxy.Protocol, http, socks5 int) func(*youproxy.Proxy) {
	return func(p *youproxy.Proxy) { p.Protocol, p.HTTPPort, p.SOCKS5Port = protocol, http, socks5 }
}

func extra(pairs ...string) func(*youproxy.Proxy) {
	return func(p *youproxy.Proxy) { p.Extra = raw(pairs...) }
}

func ordered(p *youproxy.Proxy) {
	p.OrderID, p.OrderNumber, p.ProxyType, p.Country = "o", "N-1", "IPv4", "USA"
	p.Start, p.End, p.AutoExtend, p.Credentials = shapeDay, shapeDay.AddDate(0, 0, 1), true, credentials("l", "p")
}

func TestListShapes(t *testing.T) {
	t.Parallel()
	for _, tc := range listShapes {
		t.Run(tc.name, func(t *testing.T) {
			for _, way := range []struct {
				name string
				r    io.Reader
			}{
				{"at once", strings.NewReader(inEnvelope(tc.members))},
				{"byte by byte", iotest.OneByteReader(strings.NewReader(inEnvelope(tc.members)))},
				{"with the end", iotest.DataErrReader(strings.NewReader(inEnvelope(tc.members)))},
				{"success last", strings.NewReader(`{` + tc.members + `, "success": true}`)},
			} {
				got, err := readAll(t, way.r)
				assert.NoError(t, err, way.name)
				assert.Equal(t, tc.want, got, way.name)
			}
			client, _ := answering(t, 200, inEnvelope(tc.members))
			got, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
			assert.NoError(t, err)
			assert.Equal(t, append([]youproxy.Proxy{}, tc.want...), got, "ListProxies")
			assert.NotNil(t, got, "a list without proxies is empty, not nil")
		})
	}
}
