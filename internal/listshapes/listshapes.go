// Package listshapes is forms in which the service might send its list of proxies, for
// the tests of this module.
package listshapes

import (
	"strings"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// Shape is a form of the list. Where it has the name of a case of
// testdata/cases/lists.json, it says what that case says, and mostly more.
type Shape struct {
	Name  string
	Shape youproxytest.ListShape
	// Tells reports that the list tells the id, the number, the country, the start and
	// the end of each proxy's order, so that a purchase is told from others.
	Tells bool
	// Loud reports that the list holds addresses that belong to no record, so that to
	// read it is an error.
	Loud bool
}

// All returns the forms of the list.
func All() []Shape {
	all := []Shape{
		{"records by type", youproxytest.ListShape{}, true, false},
		{"one list", youproxytest.ListShape{Flat: true}, true, false},
		{"one list of orders", youproxytest.ListShape{Flat: true, Orders: true, Sparse: true}, true, false},
		{"orders by type", youproxytest.ListShape{Orders: true}, true, false},
		{"orders with short names", youproxytest.ListShape{Orders: true, OrdersKey: "ips", ShortNames: true, PortInIP: true, Sparse: true}, true, false},
		{"numbers in place of strings", youproxytest.ListShape{ShortNames: true, NumericIDs: true, Sparse: true}, true, false},
		{"types in lower case", youproxytest.ListShape{GroupName: func(t youproxy.ProxyType) string { return strings.ToLower(string(t)) }}, true, false},
		{"an account without anything", youproxytest.ListShape{Sparse: true, Template: full(ordersByType)}, true, false},
	}
	for _, t := range telling {
		all = append(all, Shape{t.name, youproxytest.ListShape{Template: full(t.template)}, true, false})
	}
	for _, t := range silent {
		all = append(all, Shape{t.name, youproxytest.ListShape{Template: full(t.template)}, false, false})
	}
	for _, t := range loud {
		all = append(all, Shape{t.name, youproxytest.ListShape{Template: full(t.template)}, false, true})
	}
	for _, d := range dates {
		d.shape.Template = full(d.shape.Template)
		all = append(all, Shape{d.name, d.shape, true, false})
	}
	return all
}

// full replaces the short forms of a template.
func full(template string) string {
	return strings.NewReplacer(
		"$of", `"orderId": "{orderId}", "orderNumber": "{orderNumber}", "country": "{country}", "dateStart": "{dateStart}", "dateEnd": "{dateEnd}"`,
		"$sold", `"country": "{country}", "dateStart": "{dateStart}", "dateEnd": "{dateEnd}"`,
		"$ports", `"httpsPort": "#{httpsPort}", "socks5Port": "#{socks5Port}"`,
	).Replace(template)
}
