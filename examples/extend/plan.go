package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy"
)

// batch is what one request extends: proxies of one type.
type batch struct {
	proxyType youproxy.ProxyType
	proxies   []youproxy.Proxy
	orders    []youproxy.OrderID // of them, each once
	quote     *youproxy.Quote
}

func (b *batch) add(p youproxy.Proxy) {
	b.proxies = append(b.proxies, p)
	if !slices.Contains(b.orders, p.OrderID) {
		b.orders = append(b.orders, p.OrderID)
	}
}

// request names the orders of IPv6 proxies, which are extended as a whole, and
// single proxies of other types.
func (b *batch) request(o *options) youproxy.ExtendRequest {
	if b.proxyType == youproxy.ProxyTypeIPv6 {
		return youproxy.ExtendOrdersRequest{
			ProxyType: b.proxyType, OrderIDs: b.orders, RentPeriodDays: o.days, PromoCode: o.promo,
		}
	}
	ids := make([]youproxy.IPAddressID, len(b.proxies))
	for i, p := range b.proxies {
		ids[i] = p.ID
	}
	return youproxy.ExtendIPsRequest{
		ProxyType: b.proxyType, IPAddressIDs: ids, RentPeriodDays: o.days, PromoCode: o.promo,
	}
}

// firstEnd gives when the first of the proxies ends whose end is known.
func (b *batch) firstEnd() (first time.Time) {
	for _, p := range b.proxies {
		if first.IsZero() || !p.End.IsZero() && p.End.Before(first) {
			first = p.End
		}
	}
	return first
}

// plan gives what ends soon, a batch for each proxy type, and tells what it left
// out and why. One due proxy makes its whole IPv6 order due.
func plan(all []youproxy.Proxy, o *options, now time.Time) (batches []*batch, leftOut string) {
	dueOrders := make(map[youproxy.OrderID]bool)
	for _, p := range all {
		if p.ProxyType == youproxy.ProxyTypeIPv6 && o.standing(p, now) == due {
			dueOrders[p.OrderID] = true
		}
	}
	batchOf := make(map[youproxy.ProxyType]*batch)
	count := make(map[standing]int)
	for _, p := range all {
		s := o.standing(p, now)
		if s != due && (p.ProxyType != youproxy.ProxyTypeIPv6 || !dueOrders[p.OrderID]) {
			count[s]++
			continue
		}
		b := batchOf[p.ProxyType]
		if b == nil {
			b = &batch{proxyType: p.ProxyType}
			batchOf[p.ProxyType] = b
			batches = append(batches, b)
		}
		b.add(p)
	}
	var reasons []string
	for _, s := range []standing{automatic, ended, unknown} {
		if count[s] > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return batches, strings.Join(reasons, "; ")
}

// standing is how a proxy stands to what is to be extended.
type standing string

const (
	due       standing = "due"
	later     standing = "later"
	automatic standing = "set to extend automatically"
	ended     standing = "ended already"
	unknown   standing = "with an end that is not known"
)

func (o *options) standing(p youproxy.Proxy, now time.Time) standing {
	switch {
	case p.End.IsZero():
		return unknown
	case p.End.After(now.AddDate(0, 0, o.within)):
		return later
	case !p.End.After(now):
		return ended
	case p.AutoExtend:
		return automatic
	default:
		return due
	}
}
