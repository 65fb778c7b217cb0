package listshapes

import (
	"time"

	"github.com/youproxy-go/youproxy/youproxytest"
)

type shapeTemplate struct{ name, template string }

// record is one of most templates, in short forms: see full.
const record = `{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}`

const ordersByType = `{"success": true, "{group}": [{"orderId": "{orderId}", "orderNumber": "{orderNumber}", $sold,
	"ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}], "error": null}`

// byType returns a template of records by type.
func byType(record string) string { return `{"success": true, "{group}": [` + record + `]}` }

// with returns a template of records by type that have further members.
func with(members string) string {
	return byType(`{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", ` + members + `, $of}`)
}

// telling is templates that tell of which order each proxy is.
var telling = []shapeTemplate{
	// Where the type stands.
	{
		"envelope proxyType + flat list",
		`{"success": true, "proxyType": "{proxyType}", "proxies": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}]}`,
	},
	{
		"sister filtered reply verbatim",
		`{"success": true, "user": "u@example.com", "balance": 13.09, "currency": "USD", "proxyType": "{group}", "countOfProxy": "#{count}",
			"proxies": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $of, "httpsPort": "{httpsPort}", "socks5Port": "{socks5Port}",
				"authInfo": {"login": "{login}", "password": "{password}"}}]}`,
	},
	{
		"data wrapper with proxyType",
		`{"success": true, "data": {"proxyType": "{proxyType}", "items": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}]}}`,
	},
	{
		"groups as list with type field",
		`{"success": true, "groups": [{"proxyType": "{proxyType}", "orders": [{"orderId": "{orderId}", "orderNumber": "{orderNumber}", $sold,
			"ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}]}]}`,
	},
	{`group MOBILE under "mobileProxies"`, `{"success": true, "{group}Proxies": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}]}`},
	{"proxyType numeric id", with(`"proxyType": 1, $ports`)},
	{"a type with more behind it", `{"success": true, "list": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", "proxyType": "{proxyType}_INDIVIDUAL", $ports, $of}]}`},

	// What stands around the list.
	{
		"spring page",
		`{"success": true, "content": [{"ipAddressId": "{ipAddressId}", "ipAddressIp": "{ipAddressIp}", $ports, $of, "proxyType": "{proxyType}"}],
			"pageable": {"sort": {"sorted": false}, "pageNumber": 0, "pageSize": 20, "offset": 0},
			"totalElements": "#{count}", "totalPages": 1, "last": true, "first": true, "number": 0}`,
	},
	{
		"group value single page obj",
		`{"success": true, "{group}": {"content": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}], "totalElements": "#{count}", "number": 0, "size": 20}}`,
	},
	{
		"a page's number is no order number",
		`{"success": true, "{group}": {"content": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $of}], "totalElements": "#{count}", "number": 0, "size": 20}}`,
	},
	{
		"page wrapper in a group with paging numbers first",
		`{"success": true, "{group}": {"page": 0, "size": 20, "totalElements": "#{count}", "content": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, $of}]}}`,
	},
	{
		"spring page of a hypermedia service",
		`{"success": true, "_embedded": {"ipAddressList": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", "proxyType": "{proxyType}", $ports, $of}]},
			"_links": {"self": {"href": "/ipAddress"}}, "page": {"size": 20, "totalElements": "#{count}", "number": 0}}`,
	},
	{
		"laravel page",
		`{"success": true, "data": [{"id": "#{ipAddressId}", "ip": "{ipAddressIp}", "proxy_type": "{group}", "http_port": "#{httpsPort}", "socks5_port": "#{socks5Port}",
			"order_id": "{orderId}", "order_number": "{orderNumber}", "country": "{country}", "date_start": "{dateStart}", "date_end": "{dateEnd}"}],
			"links": {"first": "/ipAddress?page=1", "next": null}, "meta": {"current_page": 1, "per_page": 50, "total": "#{count}"}}`,
	},
	{"result wrapper groups", `{"success": true, "result": {"{group}": [{"orderId": "{orderId}", "orderNumber": "{orderNumber}", $sold, "ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}"}]}]}}`},
	{
		"deep nesting",
		`{"success": true, "data": {"result": {"payload": {"list": {"content": [{"groups": [{"orders": [{$of,
			"ips": [{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}]}]}]}}}}}`,
	},
	{"goals / tariffs list with port-like", `{"success": true, "tariffs": [{"id": 9, "port": 1, "price": 2}], "{group}": [` + record + `]}`},
	{"gateways w/out id beside good records", `{"success": true, "gateways": [{"ip": "192.0.2.5", "port": 80}], "{group}": [` + record + `]}`},

	// Records by their ids.
	{"records as map keyed by id, no id inside", `{"success": true, "{group}": {"{ipAddressId}": {"ip": "{ipAddressIp}", $ports, $of}}}`},
	{"records as map keyed by id with ipAddressId", `{"success": true, "{group}": {"{ipAddressId}": ` + record + `}}`},
	{"ids > 2^53", byType(`{"ipAddressId": "#{ipAddressId}", "orderId": "#{orderId}", "orderNumber": "{orderNumber}", $sold, "ip": "{ipAddressIp}"}`)},

	// Where the order stands.
	{"nested order, short id", byType(`{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $sold, "order": {"orderId": "{orderId}", "orderNumber": "{orderNumber}"}}`)},
	{
		"order w/ country and own proxies key",
		`{"success": true, "orders": [{"id": "{orderId}", "number": "{orderNumber}", "proxyType": "{proxyType}", $sold,
			"proxies": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}]}`,
	},
	{"id both as record and order id", byType(`{"id": "{orderId}", "orderNumber": "{orderNumber}", $sold, "ipAddresses": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}`)},
	{"nested wrapper ipAddress object", byType(`{"orderId": "{orderId}", "orderNumber": "{orderNumber}", "ipAddress": {"id": "{ipAddressId}", "ip": "{ipAddressIp}", "httpsPort": "#{port}"}, $sold}`)},
	{"record with short id under key, ports w/out id", byType(`{$of, "proxy": {"id": "{ipAddressId}", "ip": "{ipAddressIp}", "ports": [{"protocol": "HTTP", "port": "#{port}"}]}}`)},
	{"a page in an order", byType(`{$of, "ips": {"content": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}], "totalElements": "#{count}", "number": 0}}`)},
	{"order w/ allowed IPs before records", byType(`{$of, "allowedIps": [{"id": 5, "ip": "192.0.2.99"}], "ips": [{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}`)},
	{"order's ports list w/out id", byType(`{$of, "ports": [{"protocol": "HTTP", "port": 8080}], "ips": [{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}"}]}`)},
	{
		"order with own id+gateway, short-id records",
		byType(`{"id": "{orderId}", "number": "{orderNumber}", $sold, "ip": "203.0.113.9", "port": 80, "protocol": "HTTP",
			"ips": [{"id": "{ipAddressId}", "ipv6": "2001:db8::1", "ip": "{ipAddressIp}"}]}`),
	},

	// Orders whose proxies are not ready yet.
	{
		"order pending, own id, auth, no ips key",
		byType(`{"id": "{orderId}", "orderNumber": "{orderNumber}", $sold, "ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]},
			{"id": "{orderId}", "orderNumber": "{orderNumber}", "country": "{country}", "authInfo": {"login": "{login}", "password": "{password}"}, "status": "PENDING"}`),
	},
	{
		"order pending, ips []",
		byType(`{"id": "{orderId}", "orderNumber": "{orderNumber}", $sold, "ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]},
			{"id": "{orderId}", "orderNumber": "{orderNumber}", "authInfo": {"login": "{login}", "password": "{password}"}, "ips": []}`),
	},
	{
		"an order that waits, its list null",
		byType(`{$of, "ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]}, {$of, "ips": null}`),
	},
	{
		"a first order that waits, authorised by address",
		byType(`{"id": "{orderId}", "orderNumber": "{orderNumber}", $sold, "authType": "IP", "authIp": "192.0.2.99", "ips": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}]},
			{"id": "{orderId}", "orderNumber": "{orderNumber}", "authType": "IP", "authIp": "192.0.2.99", "ips": []}`),
	},

	// Members of a record.
	{"country object", byType(`{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", "orderId": "{orderId}", "orderNumber": "{orderNumber}",
		"dateStart": "{dateStart}", "dateEnd": "{dateEnd}", "country": {"alpha3code": "{country}", "name": "Somewhere"}}`)},
	{"port object", with(`"port": {"http": "#{httpsPort}", "socks5": "#{socks5Port}"}`)},
	{"httpPort socksPort", with(`"httpPort": "#{httpsPort}", "socksPort": "#{socks5Port}"`)},
	{"port float", with(`"httpsPort": "#{port}.0"`)},
	{"ports in one string", with(`"ports": "{httpsPort}/{socks5Port}"`)},
	{"ports list objects", byType(`{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $of,
		"ports": [{"id": 1, "protocol": "HTTP", "port": "#{httpsPort}"}, {"id": 2, "protocol": "SOCKS5", "port": "#{socks5Port}"}]}`)},
	{"http_port snake", byType(`{"ip_address_id": "{ipAddressId}", "ip": "{ipAddressIp}", "order_id": "{orderId}", "order_number": "{orderNumber}", "country": "{country}",
		"http_port": "#{httpsPort}", "socks5_port": "#{socks5Port}", "date_start": "{dateStart}", "date_end": "{dateEnd}"}`)},
	{"ipWithPort", byType(`{"ipAddressId": "{ipAddressId}", "ipWithPort": "{ipAddressIp}:{port}", $of}`)},
	{"IPv6 gateway + own", byType(`{"ipAddressId": "{ipAddressId}", "ipAddressIp": "{ipAddressIp}:{port}", "ipv6": "2001:db8::5", "protocol": "{protocol}", $of}`)},
	{"mobile changeIpUrl, operator object", with(`$ports, "changeIpUrl": "{rebootLink}", "mobileOperator": {"tag": "{mobileOperator}", "name": "Operator"}, "rotationTime": {"seconds": "#{rotationTime}"}`)},

	// Logins.
	{"login password flat", with(`$ports, "login": "{login}", "password": "{password}"`)},
	{"login under auth", with(`$ports, "auth": {"username": "{login}", "pass": "{password}"}`)},
	{"login under credentials", with(`$ports, "credentials": {"user": "{login}", "password": "{password}"}`)},
	{"authInfo as string", with(`$ports, "authInfo": "{login}:{password}"`)},
	{"authInfo list", with(`$ports, "authInfo": [{"login": "{login}", "password": "{password}"}]`)},
	{"authInfo upper case keys", with(`$ports, "authInfo": {"Login": "{login}", "Password": "{password}"}`)},
	{"authType IP with authIp", with(`$ports, "authType": "IP", "authIp": "192.0.2.6"`)},
	{`authInfo for IP auth {"ip"}`, with(`$ports, "authInfo": {"ip": "192.0.2.9"}`)},

	// Automatic extensions.
	{"autoExtend flat", with(`$ports, "autoExtend": "#{autoExtend}", "autoExtendDays": "#{extendDays}"`)},
	{"autoExtendInfo", with(`"extendInfo": {"autoExtend": "#{autoExtend}", "autoExtendDays": "#{extendDays}"}`)},
	{"an automatic extension in a string", with(`"extendInfo": {"autoExtend": "{autoExtend}", "extendDays": "{extendDays}"}`)},
	{"an automatic extension that cannot be read", with(`"extendInfo": {"autoExtend": "soon"}`)},
}

// silent is templates that leave out what tells of which order a proxy is, or say it in
// another form than an order does.
var silent = []shapeTemplate{
	{"country object on record, order says country", byType(`{$of, "ips": [{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", "country": {"code": "US"}}]}`)},
	{"records without their order", byType(`{"ipAddressId": "{ipAddressId}", "ipAddressIp": "{ipAddressIp}", $ports, $sold}`)},
	{"records with nothing but a host and its ports", byType(`{"id": "{ipAddressId}", "ip": "{ipAddressIp}", $ports}`)},
	{"records without dates", byType(`{"id": "{ipAddressId}", "ip": "{ipAddressIp}", "orderId": "{orderId}", "country": "{country}", $ports}`)},
	{"single order envelope", `{"success": true, $of, "proxyType": "{proxyType}", "ips": [{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}"}]}`},
}

// loud is templates with addresses that belong to no record.
var loud = []shapeTemplate{
	{"server:port:login:pass string records", byType(`"{ipAddressIp}:{port}:{login}:{password}"`)},
	{"order with extendInfo and id, ips as strings", byType(`{"id": "{orderId}", "orderNumber": "{orderNumber}", "extendInfo": {"autoExtend": "#{autoExtend}"}, "ips": ["{ipAddressIp}"]}`)},
	{"map id->ip", `{"success": true, "{group}": {"{ipAddressId}": "{ipAddressIp}"}}`},
	{"one record of a list lost its id", byType(`{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}"}, {"ip": "{ipAddressIp}", "httpsPort": "#{port}"}`)},
}

// dates is layouts of dates. Those that cut the time off, or leave out a zone other than
// UTC, move the start of an order.
var dates = []struct {
	name  string
	shape youproxytest.ListShape
}{
	{"dates epoch ms", youproxytest.ListShape{DateLayout: youproxytest.EpochMillis, Template: byType(countedRecord)}},
	{"dates epoch s", youproxytest.ListShape{DateLayout: youproxytest.EpochSeconds, Template: byType(countedRecord)}},
	{"dates epoch ms in strings", youproxytest.ListShape{DateLayout: youproxytest.EpochMillis, Template: byType(record)}},
	{"dates sql", youproxytest.ListShape{DateLayout: time.DateTime, Template: byType(record)}},
	{"dates micro and no zone", youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05.000000", Template: byType(record)}},
	{"dates with +0000", youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05.000-0700", Template: byType(record)}},
	{"dates with +02", youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05-07", Zone: time.FixedZone("", 2*60*60), Template: byType(record)}},
	{"dates with a named zone", youproxytest.ListShape{DateLayout: "2006-01-02T15:04:05Z[UTC]", Template: byType(record)}},
	{"dates without seconds", youproxytest.ListShape{DateLayout: "2006-01-02T15:04Z07:00", Template: byType(record)}},
	{"dates of days", youproxytest.ListShape{DateLayout: time.DateOnly, Template: byType(record)}},
	{"dates of RFC 1123", youproxytest.ListShape{DateLayout: time.RFC1123, Template: byType(record)}},
}

// countedRecord is a record whose dates are numbers.
const countedRecord = `{"ipAddressId": "{ipAddressId}", "ip": "{ipAddressIp}", $ports, "orderId": "{orderId}", "orderNumber": "{orderNumber}",
	"country": "{country}", "dateStart": "#{dateStart}", "dateEnd": "#{dateEnd}"}`
