package youproxytest

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/youproxy-go/youproxy"
)

// level is how often a value is in a reply: once, or once for each proxy type, order or
// proxy.
type level int

const (
	ofReply level = iota
	ofType
	ofOrder
	ofProxy
)

// templateField is what a field of a template stands for. read returns "" if there is no
// value.
type templateField struct {
	level level
	read  func(ip *IPAddress, shape *listShape) string
}

// templateFields is every field of a template but "count", by name. A field of an order
// is read from one of its proxies.
var templateFields = map[string]templateField{
	"proxyType": {ofType, func(ip *IPAddress, _ *listShape) string { return string(ip.ProxyType) }},
	"group":     {ofType, func(ip *IPAddress, _ *listShape) string { return strings.ToLower(string(ip.ProxyType)) }},

	"orderId":        {ofOrder, func(ip *IPAddress, _ *listShape) string { return string(ip.OrderID) }},
	"orderNumber":    {ofOrder, func(ip *IPAddress, _ *listShape) string { return string(ip.OrderNumber) }},
	"country":        {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.Country }},
	"dateStart":      {ofOrder, func(ip *IPAddress, shape *listShape) string { return shape.date(ip.Start) }},
	"dateEnd":        {ofOrder, func(ip *IPAddress, shape *listShape) string { return shape.date(ip.End) }},
	"protocol":       {ofOrder, func(ip *IPAddress, _ *listShape) string { return string(ip.Protocol) }},
	"authType":       {ofOrder, func(ip *IPAddress, _ *listShape) string { return string(ip.authType()) }},
	"authIp":         {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.authIP() }},
	"login":          {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.Login }},
	"password":       {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.Password }},
	"autoExtend":     {ofOrder, func(ip *IPAddress, _ *listShape) string { return strconv.FormatBool(ip.AutoExtend) }},
	"extendDays":     {ofOrder, func(ip *IPAddress, _ *listShape) string { return positive(ip.AutoExtendDays) }},
	"mobileOperator": {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.MobileOperator }},
	"rotationTime":   {ofOrder, func(ip *IPAddress, _ *listShape) string { return ip.rotationTime() }},

	"ipAddressId": {ofProxy, func(ip *IPAddress, _ *listShape) string { return string(ip.ID) }},
	"ipAddressIp": {ofProxy, func(ip *IPAddress, _ *listShape) string { return ip.Host }},
	"httpsPort":   {ofProxy, func(ip *IPAddress, _ *listShape) string { return positive(ip.HTTPPort) }},
	"socks5Port":  {ofProxy, func(ip *IPAddress, _ *listShape) string { return positive(ip.SOCKS5Port) }},
	"port":        {ofProxy, func(ip *IPAddress, _ *listShape) string { return ip.port() }},
	"rebootLink":  {ofProxy, func(ip *IPAddress, _ *listShape) string { return ip.rebootLink() }},
}

func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// fieldPattern finds the fields in a string of a template.
var fieldPattern = regexp.MustCompile(`\{[A-Za-z0-9]+\}`)

// templateNode is a value of a template.
type templateNode struct {
	kind     jsontext.Kind // of an object, an array or a string; 0 for another
	text     string        // of a string, unquoted; the JSON of another
	bare     bool          // a string that is written without quotes, if that is JSON
	members  []templateMember
	elements []templateNode

	level   level // it is written once for each of these
	proxies bool  // it has a field of a proxy, at whatever depth
}

type templateMember struct{ name, value templateNode }

// each returns the level at which a member is repeated, which its name says.
func (m *templateMember) each() (at level, proxies bool) {
	return m.name.level, m.name.proxies || m.value.proxies
}

// parseTemplate reads a template. It panics if that is not one JSON value, or has an
// unknown field.
func parseTemplate(text string) *templateNode {
	dec := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true))
	node, err := readNode(dec)
	if err == nil {
		if _, err = dec.ReadToken(); errors.Is(err, io.EOF) {
			return &node
		}
		err = errors.New("there is data after its end")
	}
	panic("youproxytest: the template of the list cannot be read: " + err.Error())
}

func readNode(dec *jsontext.Decoder) (n templateNode, err error) {
	switch dec.PeekKind() {
	case '{':
		n.kind = '{'
		_, err = dec.ReadToken()
		for err == nil && dec.PeekKind() != '}' {
			var m templateMember
			if m.name, err = readNode(dec); err == nil {
				m.value, err = readNode(dec)
			}
			n.members = append(n.members, m)
			n.proxies = n.proxies || m.name.proxies || m.value.proxies
			if m.name.level == ofReply {
				n.level = max(n.level, m.value.level)
			}
		}
	case '[':
		n.kind = '['
		_, err = dec.ReadToken()
		for err == nil && dec.PeekKind() != ']' {
			var e templateNode
			e, err = readNode(dec)
			n.elements = append(n.elements, e)
			n.proxies = n.proxies || e.proxies
		}
	default:
		value, err := dec.ReadValue()
		if err != nil {
			return n, err
		}
		return textNode(value)
	}
	if err == nil {
		_, err = dec.ReadToken()
	}
	return n, err
}

// textNode reads a value that has no others inside.
func textNode(value jsontext.Value) (templateNode, error) {
	if value.Kind() != '"' {
		return templateNode{text: string(value)}, nil
	}
	unquoted, _ := jsontext.AppendUnquote(nil, value)
	n := templateNode{kind: '"', text: string(unquoted)}
	for _, name := range fieldPattern.FindAllString(n.text, -1) {
		name = strings.Trim(name, "{}")
		field, ok := templateFields[name]
		if !ok && name != "count" {
			return n, fmt.Errorf("there is no field {%s}", name)
		}
		n.level = max(n.level, field.level)
		n.proxies = n.proxies || field.level == ofProxy
		n.bare = n.text[0] == '#'
	}
	if n.bare {
		n.text = n.text[1:]
	}
	return n, nil
}

// listedOrder is an order with those of its proxies that the list shows: none where they
// are not ready yet.
type listedOrder struct {
	first IPAddress // ready or not
	ips   []IPAddress
}

// scope is the proxy types and orders to which a part of the reply belongs.
type scope struct {
	level  level
	types  []youproxy.ProxyType
	orders []listedOrder
}

// each returns the scopes in which something is written that is repeated at a level.
func (s scope) each(at level, proxies bool) []scope {
	if at <= s.level {
		return []scope{s}
	}
	var list []scope
	if at == ofType {
		for _, t := range s.types {
			only := scope{level: at, types: []youproxy.ProxyType{t}}
			for _, o := range s.orders {
				if o.first.ProxyType == t {
					only.orders = append(only.orders, o)
				}
			}
			list = append(list, only)
		}
		return list
	}
	for _, o := range s.orders {
		types := []youproxy.ProxyType{o.first.ProxyType}
		if at == ofProxy {
			for i := range o.ips {
				list = append(list, scope{at, types, []listedOrder{{o.ips[i], o.ips[i : i+1]}}})
			}
		} else if proxies == (len(o.ips) > 0) {
			list = append(list, scope{at, types, []listedOrder{o}})
		}
	}
	return list
}

// one returns the only type, order or proxy in the scope, or nil.
func (s scope) one(at level) *IPAddress {
	switch {
	case at == ofType && len(s.types) == 1:
		return &IPAddress{ProxyType: s.types[0]}
	case at == ofType && len(s.orders) > 0:
		for _, o := range s.orders {
			if o.first.ProxyType != s.orders[0].first.ProxyType {
				return nil
			}
		}
		return &s.orders[0].first
	case len(s.orders) != 1 || at == ofProxy && len(s.orders[0].ips) != 1:
		return nil
	}
	ip := s.orders[0].first
	for _, other := range s.orders[0].ips {
		if other.End.After(ip.End) {
			ip.End = other.End
		}
	}
	return &ip
}

// read returns the value of a field, or "" where there is none.
func (s scope) read(name string, shape *listShape) string {
	if name == "count" {
		count := 0
		for _, o := range s.orders {
			count += len(o.ips)
		}
		return strconv.Itoa(count)
	}
	field := templateFields[name]
	if ip := s.one(field.level); ip != nil {
		return field.read(ip, shape)
	}
	return ""
}

// fill returns a string of the template with its fields filled in, and reports whether one
// of them has no value.
func (n *templateNode) fill(s scope, shape *listShape) (filled string, lacking bool) {
	filled = fieldPattern.ReplaceAllStringFunc(n.text, func(field string) string {
		value := s.read(strings.Trim(field, "{}"), shape)
		lacking = lacking || value == ""
		return value
	})
	return filled, lacking
}

// templateText writes a value of a template that has no others inside.
func (w *listWriter) templateText(n *templateNode, s scope) {
	w.next()
	if n.kind == 0 {
		w.out = append(w.out, n.text...)
		return
	}
	filled, lacking := n.fill(s, w.shape)
	switch {
	case lacking && (n.bare || filled == ""):
		w.out = append(w.out, "null"...)
	case n.bare && jsontext.Value(filled).IsValid():
		w.out = append(w.out, filled...)
	default:
		w.quote(filled)
	}
}

// template writes a value of a template.
func (w *listWriter) template(n *templateNode, s scope) {
	switch n.kind {
	case '{':
		w.open('{')
		for i := range n.members {
			m := &n.members[i]
			for _, s := range s.each(m.each()) {
				w.templateMember(m, s)
			}
		}
		w.close('}')
	case '[':
		w.open('[')
		for i := range n.elements {
			e := &n.elements[i]
			for _, s := range s.each(e.level, e.proxies) {
				w.template(e, s)
			}
		}
		w.close(']')
	default:
		w.templateText(n, s)
	}
}

// templateMember writes a member of an object, unless it is empty and the shape is
// sparse.
func (w *listWriter) templateMember(m *templateMember, s scope) {
	before := len(w.out)
	name, _ := m.name.fill(s, w.shape)
	w.name(name)
	start := len(w.out)
	w.template(&m.value, s)
	if w.shape.Sparse && m.value.kind != 0 {
		switch string(w.out[start:]) {
		case "null", "[]", "{}":
			w.out = w.out[:before]
		}
	}
}
