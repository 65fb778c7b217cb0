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

// plan returns what ends soon, a batch for each proxy type, and what it left out. An IPv6
// order is extended as a whole or not at all: one due proxy makes it due, and one that
// extends itself, or may, keeps it out.
func plan(all []youproxy.Proxy, o *options, now time.Time) ([]*batch, leftOut) {
	due, automatic := make(map[youproxy.OrderID]bool), make(map[youproxy.OrderID]bool) // of IPv6
	for _, p := range all {
		if p.ProxyType == youproxy.ProxyTypeIPv6 {
			due[p.OrderID] = due[p.OrderID] || o.standing(p, now) == isDue
			automatic[p.OrderID] = automatic[p.OrderID] || p.AutoExtend || p.AutoExtendUnknown
		}
	}
	var batches []*batch
	batchOf := make(map[youproxy.ProxyType]*batch)
	left := make(leftOut)
	for _, p := range all {
		s := o.standing(p, now)
		if p.ProxyType == youproxy.ProxyTypeIPv6 {
			switch kept := automatic[p.OrderID]; {
			case kept && (s == isDue || s == isUnknown):
				s = isBesideAutomatic
			case !kept && due[p.OrderID]:
				s = isDue
			}
		}
		if s != isDue {
			left[s]++
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
	return batches, left
}

// standing is how a proxy stands to what is to be extended.
type standing string

const (
	isDue              standing = "due"
	isLater            standing = "later"
	isAutomatic        standing = "set to extend automatically"
	isPerhapsAutomatic standing = "that may be set to extend automatically: the list does not say it in a known form"
	isBesideAutomatic  standing = "in an IPv6 order with others that extend automatically, or may"
	hasEnded           standing = "ended already"
	isUnknown          standing = "with an end that is not known"
)

func (o *options) standing(p youproxy.Proxy, now time.Time) standing {
	ends := !p.End.IsZero()
	switch {
	case ends && p.End.After(now.AddDate(0, 0, o.within)):
		return isLater
	case ends && !p.End.After(now):
		return hasEnded
	case p.AutoExtend:
		return isAutomatic
	case p.AutoExtendUnknown:
		return isPerhapsAutomatic
	case !ends:
		return isUnknown
	default:
		return isDue
	}
}

// leftOut counts the proxies that are not extended, by why.
type leftOut map[standing]int

func (l leftOut) String() string {
	var reasons []string
	for _, s := range []standing{isAutomatic, isPerhapsAutomatic, isBesideAutomatic, hasEnded, isUnknown} {
		if l[s] > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", l[s], s))
		}
	}
	return strings.Join(reasons, "; ")
}
