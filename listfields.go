package youproxy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// recordField is the field of a proxy that a member of a list belongs to. The fields from
// fieldType on are filled in this order.
type recordField uint8

const (
	fieldNone recordField = iota
	fieldID
	fieldShortID
	fieldAddress
	fieldNumber
	fieldOrder
	fieldPort
	fieldLogin
	fieldPassword
	fieldAuth
	fieldType
	fieldOrderID
	fieldOrderNumber
	fieldCountry
	fieldStart
	fieldEnd
	fieldProtocol
	fieldHTTPPort
	fieldSOCKS5Port
	fieldExtend
	fieldAutoExtend
	fieldExtendDays
	fieldOperator
	fieldRotation
	fieldReboot
	fieldAuthType
	fieldOddLogin
	fieldCount
)

// said is which surrounding objects may have a field for the records inside.
type said uint8

const (
	byRecord said = iota // none
	byOrder
	byAll // an order, a group or the envelope
)

// listFields is the table of the fields: their names, the likeliest first; which
// surrounding objects may have them; and how they are read. Letter case, "_" and "-" in
// names are ignored.
var listFields = [fieldCount]struct {
	names string
	said  said
	parse func(d *proxyDecoder, r *reading, v []byte)
	set   func(p *Proxy, r *reading)
}{
	fieldID:          {"ipAddressId", byRecord, nil, nil},
	fieldShortID:     {"id proxyId ipId", byRecord, nil, nil},
	fieldAddress:     {"ipAddressIp host hostname proxyHost proxyAddress proxyIp ip ipAddress address server proxy ipv4 ipv6", byRecord, nil, nil},
	fieldNumber:      {"number", byRecord, nil, nil},
	fieldOrder:       {"order", byRecord, nil, nil},
	fieldLogin:       {"login username user", byOrder, asText(), nil},
	fieldPassword:    {"password pass", byOrder, asSecret, nil},
	fieldAuth:        {"authInfo auth credentials", byOrder, asLogin, nil},
	fieldType:        {"proxyType type ipType", byAll, asType, func(p *Proxy, r *reading) { p.ProxyType = ProxyType(r.text) }},
	fieldOrderID:     {"orderId", byAll, asID, func(p *Proxy, r *reading) { p.OrderID = OrderID(r.text) }},
	fieldOrderNumber: {"orderNumber", byAll, asText(), func(p *Proxy, r *reading) { p.OrderNumber = OrderNumber(r.text) }},
	fieldCountry:     {"country countryCode alpha3code alpha3", byAll, asText("alpha3code", "alpha3", "iso3", "code", "countrycode", "alpha2", "name"), func(p *Proxy, r *reading) { p.Country = r.text }},
	fieldStart:       {"dateStart startDate start startsAt startedAt", byAll, asDate, func(p *Proxy, r *reading) { p.Start = r.time }},
	fieldEnd:         {"dateEnd endDate end endsAt expiresAt expireDate expirationDate expires validUntil", byAll, asDate, func(p *Proxy, r *reading) { p.End = r.time }},
	fieldProtocol:    {"protocol", byAll, asText("code", "name"), func(p *Proxy, r *reading) { p.Protocol = knownProtocol(r.text) }},
	fieldHTTPPort:    {"httpsPort httpPort portHttp portHttps http https", byRecord, asPort, func(p *Proxy, r *reading) { p.HTTPPort = r.number }},
	fieldSOCKS5Port:  {"socks5Port socksPort portSocks5 portSocks socks5 socks", byRecord, asPort, func(p *Proxy, r *reading) { p.SOCKS5Port = r.number }},
	fieldPort:        {"port ports proxyPort", byRecord, nil, nil},
	fieldExtend:      {"extendInfo extension", byAll, asExtension, (*Proxy).extendsItself},
	fieldAutoExtend:  {"autoExtend autoExtension autoRenew autoRenewal isAutoExtend", byAll, asExtension, (*Proxy).extendsItself},
	fieldExtendDays:  {"autoExtendDays extendDays", byAll, asNumber(), (*Proxy).extendsBy},
	fieldOperator:    {"mobileOperator operator", byAll, asText("tag", "mobileoperator", "code", "operator", "name"), func(p *Proxy, r *reading) { p.MobileOperator = r.text }},
	fieldRotation:    {"rotationTime", byAll, asNumber("seconds", "time", "value"), func(p *Proxy, r *reading) { p.RotationTime = r.number }},
	fieldReboot:      {"rebootLink rebootUrl changeIpUrl changeIpLink rotationLink rotationUrl", byOrder, asSecret, func(p *Proxy, r *reading) { p.RebootURL = r.secret }},
	fieldAuthType:    {"authType authMethod authorizationType", byAll, keepIt, nil},
	fieldOddLogin:    {"", byOrder, keepIt, nil}, // resembles a login
}

// listName is what is known of the name of a member.
type listName struct {
	text   string
	plain  string // without letter case, "_" and "-"
	field  recordField
	rank   int       // among the names of its field
	exact  bool      // it is spelled as in the table
	always bool      // it means its field, whatever the value
	typ    ProxyType // the type that it begins with
	group  bool      // it names only that type
	list   bool      // records are listed under it
	lone   bool      // a single object under it may be a record, even in what could be one
	orders bool      // what is listed under it is orders
	others bool      // what is listed under it is not orders, and the ids in it are not those of orders
	digits bool      // it is an id, or an index
	texts  bool      // a string under it replaces records
	barred bool      // nothing under it is a record
	past   bool      // likewise, but what had or has another use
	quiet  bool      // an address under it is not that of a proxy
	title  bool      // it names a group rather than an order
	person bool      // what is under it is about a customer or the request
	site   bool      // what is under it may be machines or companies rather than proxies
	page   bool      // it belongs to the page of a list
	host   bool      // it is an address itself
}

// fieldsNamed is the table by plain names.
var fieldsNamed = func() map[string]listName {
	named := make(map[string]listName)
	for f := range listFields {
		for rank, name := range strings.Fields(listFields[f].names) {
			named[strings.ToLower(name)] = listName{text: name, field: recordField(f), rank: rank}
		}
	}
	return named
}()

func newListName(text string) *listName {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '_' || r == '-':
			return -1
		}
		return r
	}, text)
	known := fieldsNamed[plain]
	n := &listName{text: text, plain: plain, field: known.field, rank: known.rank, exact: text == known.text}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(plain, w) })
	}
	ends := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(plain, w) })
	}
	switch {
	case n.field != fieldNone:
	case has("auto") && has("extend", "renew", "prolong", "extension"):
		if !has("day", "period", "price", "cost", "date", "time", "count", "month", "term", "until") && !ends("at", "id") {
			n.field, n.rank = fieldAutoExtend, unlisted
		}
	case has("last", "has", "can", "reset", "change", "ftp", "account", "user") && !has("userpass"):
	case has("userpass", "logpass", "loginpass", "logininfo", "authdata", "authstring", "authline", "authparams", "basicauth"),
		ends("login", "logins", "password", "passwd", "pwd", "authuser", "authpass", "proxyuser", "proxypass", "creds", "credential", "credentials", "authorization", "authentication", "proxyauth"):
		n.field, n.rank = fieldOddLogin, unlisted
	}
	switch n.field {
	case fieldType, fieldLogin, fieldExtend:
		n.always = n.rank == 0
	case fieldHTTPPort, fieldSOCKS5Port:
	default:
		n.always = true
	}
	n.typ = typeAtStart(plain)
	n.group = n.typ != "" && slices.Contains([]string{"", "s", "list", "proxies", "ips", "orders", "dedicated", "shared", "individual"}, plain[min(len(n.typ), len(plain)):])
	n.digits = text != "" && strings.Trim(text, "0123456789") == ""
	n.person = has("user", "owner", "customer", "client", "account", "profile", "buyer", "partner", "session", "visitor", "payment", "invoice") && !has("prox", "order") ||
		n.is("meta", "request", "links", "logs", "debug")
	unknown := n.field == fieldNone || n.field == fieldOddLogin
	n.barred = unknown && has("allow", "auth", "white", "gateway")
	n.past = unknown && !n.barred && !has("prox") && (has("black", "blocked", "dns", "nameserver", "resolver", "trusted", "acces", "previous", "history") || n.is("acl"))
	n.quiet = n.barred || n.past || n.person || ends("version", "url", "path", "link", "href")
	n.title = n.is("name", "title", "label")
	n.list = n.is("ips", "proxies", "ipaddresses", "addresses", "items", "list", "content", "records", "proxylist", "iplist")
	n.texts = n.list || n.group || n.digits
	n.lone = n.is("ip", "ipaddress", "address", "proxy", "proxyinfo", "ipinfo", "data", "item", "node", "result", "record")
	n.orders = n.group || has("order")
	n.others = n.person || has("countr", "group", "type", "operator", "region", "location") && !has("order")
	n.site = !has("prox") && has("server", "machine", "operator") || n.is("nodes", "isps")
	n.page = n.is("size", "totalelements", "totalpages", "perpage", "pagesize")
	n.host = holdsAddress(text)
	return n
}

// unlisted is the rank of a name that only resembles those of its field.
const unlisted = 100

func (n *listName) is(words ...string) bool { return slices.Contains(words, n.plain) }

// typeAtStart returns the proxy type that a string begins with, or "".
func typeAtStart(text string) ProxyType {
	text = strings.ReplaceAll(text, "_", "")
	for _, t := range knownProxyTypes {
		if len(text) >= len(t) && strings.EqualFold(text[:len(t)], string(t)) {
			return t
		}
	}
	return ""
}

// isWalked reports whether records may be under a name with this value.
func (n *listName) isWalked(v []byte) bool {
	if v[0] == '"' {
		return n.texts
	}
	return nested(v) && !n.barred && !n.past && (n.field == fieldNone || n.field == fieldAddress || n.field == fieldOrder || n.field == fieldOddLogin || !n.means(v))
}

// hides reports whether a value that is not searched seems to contain proxies.
func (n *listName) hides(v []byte) bool {
	return n.barred && v[0] == '[' && bytes.Contains(v, []byte(`"ipAddressId"`)) ||
		n.past && nested(v) && (bytes.Contains(v, []byte(`"ipAddressId"`)) || bytes.Contains(v, []byte(`"httpsPort"`)) || bytes.Contains(v, []byte(`"orderId"`)))
}

// isID reports whether the name may be an id. An index may be as long, but not from the
// start.
func (n *listName) isID() bool { return n.digits && len(n.text) >= 3 }

// means reports whether a name with this value means its field.
func (n *listName) means(v []byte) bool {
	switch n.field {
	case fieldType: // "type" may say anything
		return n.always || v[0] == '{' || v[0] == '"' && typeAtStart(textOf(v)) != ""
	case fieldLogin: // "user" may be a customer
		return n.rank < 2 || v[0] == '"'
	case fieldHTTPPort, fieldSOCKS5Port: // "http" may be a list of proxies, or a boolean
		if n.rank < 4 {
			return !nested(v)
		}
		port, ok := portNumber(v)
		return ok && port > 1
	case fieldExtend:
		return n.always || v[0] == '{'
	}
	return true
}

// known returns a name as it may be shown in an error. Unknown names are shown as …, as
// they may be anything.
func (n *listName) known() string {
	switch {
	case len(n.text) > maxNameLength:
		return "…"
	case n.field != fieldNone && n.rank < unlisted || n.list || n.group:
		return n.text
	case n.typ != "":
		return string(n.typ) + "…"
	}
	return "…"
}

// pathOf returns a JSON pointer that shows only known names.
func pathOf(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if strings.Trim(token, "0123456789") != "" {
			token = newListName(token).known()
		}
		b.WriteString("/" + token)
	}
	return b.String()
}

// The bounds of the names that are remembered.
const (
	maxNames      = 512
	maxNameLength = 64
)

// named returns what is known of a name, which is JSON without its quotes.
func (d *proxyDecoder) named(name []byte) *listName {
	if n, ok := d.names[string(name)]; ok {
		return n
	}
	text := string(name)
	if bytes.IndexByte(name, '\\') >= 0 {
		text = textOf([]byte(`"` + text + `"`))
	}
	return d.remembered(text)
}

// remembered returns what is known of a name.
func (d *proxyDecoder) remembered(text string) *listName {
	if n, ok := d.names[text]; ok {
		return n
	}
	n := d.name(text)
	if len(text) > maxNameLength || strings.IndexByte(text, '\\') >= 0 {
		return n
	}
	if d.names == nil || len(d.names) >= maxNames {
		d.names = make(map[string]*listName)
	}
	d.names[text] = n
	return n
}

// member is a member of an object.
type member struct {
	name  *listName
	field recordField // that the name means with this value
	value []byte      // as it is written
}
