package youproxytest

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/youproxy-go/youproxy"
)

// ListShape is the form in which GET /ipAddress writes its list. The service
// documents only the ids of a record, so a reader should accept every shape. The
// zero value writes one list for each proxy type, named after the type. The records
// are not wrapped, their ids and ports are strings, and fields without a value are
// null.
type ListShape struct {
	// Flat writes one list, "ipAddresses", in place of one for each proxy type. Its
	// records have a "proxyType".
	Flat bool
	// GroupName returns the name of the list of a proxy type. Each type needs its own
	// name. If it is nil, the name is that of the type.
	GroupName func(youproxy.ProxyType) string
	// Orders wraps the records of an order in an object that has the "orderId",
	// "orderNumber", "country", "dateStart" and "dateEnd" in their place. A record
	// that ends before the last of its order keeps its own "dateEnd".
	Orders bool
	// OrdersKey is the name of the list of records in such an object. If it is empty,
	// the name is "ipAddresses".
	OrdersKey string
	// ShortNames writes "id" and "ip" in place of "ipAddressId" and "ipAddressIp".
	ShortNames bool
	// NumericIDs writes ports, and ids that consist of digits, as numbers.
	NumericIDs bool
	// PortInIP writes the port of an IPv6 proxy behind its address, such as
	// "198.18.0.1:10001", in place of "port".
	PortInIP bool
	// Sparse leaves out the fields that are null otherwise.
	Sparse bool
	// DateLayout is the layout of "dateStart" and "dateEnd" for [time.Time.Format],
	// such as [time.RFC3339], "2006-01-02T15:04:00Z07:00" for whole minutes, or
	// [time.DateOnly] for days without a time and a zone. What the layout leaves out is
	// cut off, not rounded. It can also be [EpochSeconds] or [EpochMillis], which write
	// numbers. If it is empty, dates have the documented form of the service:
	// "2026-03-01T12:00:00.000+00:00".
	DateLayout string
	// Zone is the time zone of the dates; nil means UTC.
	Zone *time.Location
	// Extra is added to every record, and replaces members of the same name.
	Extra map[string]any
	// Template is an example of the whole reply, in which fields stand for the values of
	// the account. It can describe forms that the settings above cannot:
	//
	//	{"success": true, "{group}": [{"id": "{orderId}", "number": "{orderNumber}",
	//		"proxies": [{"id": "{ipAddressId}", "ip": "{ipAddressIp}", "port": "#{port}"}]}]}
	//
	// A field is {proxyType}, or {group}, which is the type in lower case; {orderId},
	// {orderNumber}, {country}, {dateStart}, {dateEnd}, {protocol}, {authType}, {authIp},
	// {login}, {password}, {autoExtend}, {extendDays}, {mobileOperator} and
	// {rotationTime} of an order; {ipAddressId}, {ipAddressIp}, {httpsPort},
	// {socks5Port}, {port} and {rebootLink} of a proxy; or {count}, a number of proxies.
	// A string that begins with # is written without quotes if the result is JSON, such as
	// a number. A string that is one field without a value is written as null.
	//
	// An element of an array is repeated for each type, order or proxy, depending on its
	// fields. Fields of arrays inside it do not count. A member of an object is repeated
	// in the same way, depending on the fields in its name. A part that is repeated for
	// each order, and has a field of a proxy at any depth, is written for orders whose
	// proxies are ready; without such a field it is written for those that are not ready
	// yet. Elsewhere, a field has a value only if there is exactly one type, order or proxy
	// that it can belong to.
	//
	// Of the other settings, only DateLayout, Zone and Sparse can be used with it. Sparse
	// leaves out members that are empty, or null for lack of a value.
	Template string
}

// Values of DateLayout for dates that are counted from the beginning of 1970 in UTC.
const (
	EpochSeconds = "seconds since 1970"
	EpochMillis  = "milliseconds since 1970"
)

// WithListShape sets the form in which GET /ipAddress writes its list. It panics if
// [Server.SetListShape] would.
func WithListShape(shape ListShape) Option {
	compiled := shape.compile()
	return func(s *Server) { s.account.shape = compiled }
}

// SetListShape sets the form in which GET /ipAddress writes its list from now on. It
// panics if two groups have the same name, if Extra cannot be written as JSON, if the
// Template cannot be read, or if a setting is set that cannot be used with it.
func (s *Server) SetListShape(shape ListShape) {
	compiled := shape.compile()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.shape = compiled
}

// listShape is a ListShape ready for writing, made by compile.
type listShape struct {
	ListShape

	groups   map[youproxy.ProxyType]string // their names; nil: as the types are written
	extra    []extraMember                 // by name
	template *templateNode                 // nil where there is none

	dateLayout string
	zone       *time.Location
}

type extraMember struct{ name, json string }

func (shape ListShape) compile() listShape {
	compiled := listShape{
		ListShape:  shape,
		dateLayout: cmp.Or(shape.DateLayout, dateLayout),
		zone:       cmp.Or(shape.Zone, time.UTC),
	}
	if shape.GroupName != nil {
		compiled.groups = make(map[youproxy.ProxyType]string)
		taken := make(map[string]bool)
		for _, t := range proxyTypes {
			name := shape.GroupName(t)
			if taken[name] {
				panic(fmt.Sprintf("youproxytest: two groups of the list are named %q: each proxy type needs its own", name))
			}
			taken[name] = true
			compiled.groups[t] = name
		}
	}
	if shape.Template != "" {
		alone := ListShape{Sparse: shape.Sparse, DateLayout: shape.DateLayout, Zone: shape.Zone, Template: shape.Template}
		if !reflect.DeepEqual(shape, alone) {
			panic("youproxytest: only DateLayout, Zone and Sparse go with the template of a list")
		}
		compiled.template = parseTemplate(shape.Template)
	}
	for _, name := range slices.Sorted(maps.Keys(shape.Extra)) {
		compiled.extra = append(compiled.extra, extraMember{name, string(marshal(shape.Extra[name]))})
	}
	return compiled
}

// date returns a date as the list has it.
func (shape *listShape) date(at time.Time) string {
	switch shape.dateLayout {
	case EpochSeconds:
		return strconv.FormatInt(at.Unix(), 10)
	case EpochMillis:
		return strconv.FormatInt(at.UnixMilli(), 10)
	default:
		return at.In(shape.zone).Format(shape.dateLayout)
	}
}

// group returns the name of a proxy type's list.
func (shape *listShape) group(t youproxy.ProxyType) string {
	if shape.groups == nil {
		return string(t)
	}
	return shape.groups[t]
}

// ipList is the reply of GET /ipAddress.
type ipList struct {
	shape  listShape
	groups []ipGroup
	scope  scope // of a template, in place of groups
	why    *refusal
}

// ipGroup is proxies under a name, those of an order one after the other.
type ipGroup struct {
	name string
	ips  []IPAddress
}

func listIPAddresses(a *account, c *call) (any, error) {
	types := proxyTypes
	if c.params.Has("proxyType") {
		only, err := c.proxyType()
		if err != nil {
			return nil, err
		}
		types = []youproxy.ProxyType{only}
	}
	if a.shape.template != nil {
		return &ipList{shape: a.shape, scope: scope{types: types, orders: a.listedOrders(types)}}, nil
	}
	return &ipList{shape: a.shape, groups: a.listed(types)}, nil
}

func refuseList(a *account, _ funds, why *refusal) any {
	list := &ipList{shape: a.shape, why: why}
	if a.shape.template == nil {
		list.groups = a.listed(proxyTypes)
	}
	for i := range list.groups {
		list.groups[i].ips = nil
	}
	return list
}

// listed returns the proxies of some types that the list shows.
func (a *account) listed(types []youproxy.ProxyType) []ipGroup {
	if a.shape.Flat {
		return []ipGroup{{"ipAddresses", a.listedOf(types)}}
	}
	groups := make([]ipGroup, len(types))
	for i, t := range types {
		groups[i] = ipGroup{a.shape.group(t), a.listedOf(types[i : i+1])}
	}
	return groups
}

func (a *account) listedOf(types []youproxy.ProxyType) []IPAddress {
	var orders []*placedOrder
	quantity := 0
	for _, o := range a.orders {
		if slices.Contains(types, o.ProxyType) {
			orders = append(orders, o)
			quantity += len(o.ips)
		}
	}
	list := make([]IPAddress, 0, quantity)
	for _, o := range orders {
		for i := range o.ips {
			if ip := &o.ips[i]; ip.isListed(a.now) {
				list = append(list, *ip)
			}
		}
	}
	return list
}

// listedOrders returns the orders of some types that have proxies in the list, or will
// have.
func (a *account) listedOrders(types []youproxy.ProxyType) []listedOrder {
	var list []listedOrder
	for _, o := range a.orders {
		if !slices.Contains(types, o.ProxyType) {
			continue
		}
		listed := listedOrder{first: o.ips[0]}
		for i := range o.ips {
			if o.ips[i].isListed(a.now) {
				listed.ips = append(listed.ips, o.ips[i])
			}
		}
		if len(listed.ips) > 0 || a.now.Before(listed.first.ReadyAt) {
			list = append(list, listed)
		}
	}
	return list
}

// write returns the reply.
func (list *ipList) write() []byte {
	w := listWriter{shape: &list.shape}
	if list.shape.template != nil && list.why == nil {
		w.template(list.shape.template, list.scope)
		return w.out
	}
	w.open('{')
	w.json("success", strconv.FormatBool(list.why == nil))
	for _, group := range list.groups {
		w.out = slices.Grow(w.out, 512*len(group.ips))
		w.name(group.name)
		w.open('[')
		if list.shape.Orders {
			w.orders(group.ips)
		} else {
			w.records(group.ips, nil)
		}
		w.close(']')
	}
	if list.why != nil {
		w.json("error", string(marshal(list.why)))
	} else {
		w.json("error", "null")
	}
	w.close('}')
	return w.out
}

// listWriter writes JSON as the service's documentation does.
type listWriter struct {
	shape    *listShape
	out      []byte
	replaced []extraMember // that come later, in place of members of these names
}

// orders writes proxies wrapped in their orders.
func (w *listWriter) orders(ips []IPAddress) {
	for len(ips) > 0 {
		end := slices.IndexFunc(ips, func(ip IPAddress) bool { return ip.OrderID != ips[0].OrderID })
		if end < 0 {
			end = len(ips)
		}
		w.order(ips[:end])
		ips = ips[end:]
	}
}

// order writes the proxies of one order.
func (w *listWriter) order(ips []IPAddress) {
	order := ips[0]
	for _, ip := range ips {
		if ip.End.After(order.End) {
			order.End = ip.End
		}
	}
	w.open('{')
	w.id("orderId", string(order.OrderID))
	w.id("orderNumber", string(order.OrderNumber))
	w.text("country", order.Country)
	w.date("dateStart", order.Start)
	w.date("dateEnd", order.End)
	w.name(cmp.Or(w.shape.OrdersKey, "ipAddresses"))
	w.open('[')
	w.records(ips, &order)
	w.close(']')
	w.close('}')
}

// records writes proxies. What the order they are wrapped in says is left out.
func (w *listWriter) records(ips []IPAddress, order *IPAddress) {
	for i := range ips {
		w.open('{')
		w.replaced = w.shape.extra
		w.record(&ips[i], order)
		w.replaced = nil
		for _, extra := range w.shape.extra {
			w.json(extra.name, extra.json)
		}
		w.close('}')
	}
}

func (w *listWriter) record(ip, order *IPAddress) {
	idName, ipName := "ipAddressId", "ipAddressIp"
	if w.shape.ShortNames {
		idName, ipName = "id", "ip"
	}
	w.id(idName, string(ip.ID))
	if ip.Protocol != "" && w.shape.PortInIP {
		w.text(ipName, net.JoinHostPort(ip.Host, ip.port()))
	} else {
		w.text(ipName, ip.Host)
	}
	if w.shape.Flat {
		w.text("proxyType", string(ip.ProxyType))
	}
	if order == nil {
		w.id("orderId", string(ip.OrderID))
		w.id("orderNumber", string(ip.OrderNumber))
		w.text("country", ip.Country)
		w.date("dateStart", ip.Start)
	}
	if order == nil || !ip.End.Equal(order.End) {
		w.date("dateEnd", ip.End)
	}
	if ip.Protocol == "" {
		w.id("httpsPort", strconv.Itoa(ip.HTTPPort))
		w.id("socks5Port", strconv.Itoa(ip.SOCKS5Port))
	} else {
		if !w.shape.PortInIP {
			w.id("port", ip.port())
		}
		w.text("protocol", string(ip.Protocol))
	}
	w.object("authInfo", ip.Login != "", func() {
		w.text("login", ip.Login)
		w.text("password", ip.Password)
	})
	w.object("extendInfo", true, func() {
		w.json("autoExtend", strconv.FormatBool(ip.AutoExtend))
		w.whole("extendDays", ip.AutoExtendDays)
	})
	if ip.ProxyType == youproxy.ProxyTypeMobile {
		w.text("mobileOperator", ip.MobileOperator)
		w.json("rotationTime", ip.rotationTime())
		w.text("rebootLink", ip.rebootLink())
	}
}

// object writes a member that is an object, or null.
func (w *listWriter) object(name string, present bool, members func()) {
	if !present {
		w.null(name)
	} else if w.name(name) {
		outer := w.replaced
		w.replaced = nil
		w.open('{')
		members()
		w.close('}')
		w.replaced = outer
	}
}

// id writes a value that a shape may write as a number.
func (w *listWriter) id(name, value string) {
	isNumber := strings.Trim(value, "0123456789") == "" && value != "" && (value[0] != '0' || len(value) == 1)
	if isNumber && w.shape.NumericIDs {
		w.json(name, value)
	} else {
		w.text(name, value)
	}
}

// whole writes a number that is null where it is 0.
func (w *listWriter) whole(name string, value int) {
	if value == 0 {
		w.null(name)
	} else {
		w.json(name, strconv.Itoa(value))
	}
}

func (w *listWriter) date(name string, at time.Time) {
	switch w.shape.dateLayout {
	case EpochSeconds, EpochMillis:
		w.json(name, w.shape.date(at))
	default:
		w.text(name, w.shape.date(at))
	}
}

func (w *listWriter) text(name, value string) {
	if w.name(name) {
		w.quote(value)
	}
}

func (w *listWriter) null(name string) {
	if !w.shape.Sparse {
		w.json(name, "null")
	}
}

func (w *listWriter) json(name, value string) {
	if w.name(name) {
		w.out = append(w.out, value...)
	}
}

// name begins a member, unless another takes its place.
func (w *listWriter) name(name string) bool {
	for _, extra := range w.replaced {
		if extra.name == name {
			return false
		}
	}
	w.next()
	w.quote(name)
	w.out = append(w.out, ": "...)
	return true
}

func (w *listWriter) quote(text string) {
	w.out, _ = jsontext.AppendQuote(w.out, text) // what is not UTF-8 is replaced
}

func (w *listWriter) open(bracket byte) {
	w.next()
	w.out = append(w.out, bracket)
}

func (w *listWriter) close(bracket byte) { w.out = append(w.out, bracket) }

// next writes a comma where a value stands before: not after a bracket, and not
// after the blank that follows a name.
func (w *listWriter) next() {
	if len(w.out) == 0 {
		return
	}
	switch w.out[len(w.out)-1] {
	case '{', '[', ' ':
	default:
		w.out = append(w.out, ", "...)
	}
}
