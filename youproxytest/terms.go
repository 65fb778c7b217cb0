package youproxytest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/youproxy-go/youproxy"
)

// terms is the content of an order, or of a question for its price.
type terms struct {
	proxyType youproxy.ProxyType
	country   string
	quantity  int
	days      int
	goal      string
	promoCode *string // nil where none was sent
	operator  string
	rotation  int // seconds

	authType youproxy.AuthType
	authIP   string
	protocol youproxy.Protocol
}

// readTerms reads the body of an order, or of the question for its price.
func (a *account) readTerms(body []byte, order bool) (*terms, error) {
	f, err := readForm(body)
	if err != nil {
		return nil, err
	}
	proxyType := youproxy.ProxyType(f.text("proxyType"))
	authType := youproxy.AuthType(f.text("authType"))
	fields := commonFields
	if mobile := proxyType == youproxy.ProxyTypeMobile; mobile || !proxyType.Valid() {
		fields = append(fields, field{"rotationTime", aWhole, !mobile}, field{"mobileOperator", aText, !mobile})
	}
	if order {
		fields = append(fields, field{"authType", aText, false})
		if byIP := authType == youproxy.AuthTypeIP; byIP || !authType.Valid() {
			fields = append(fields, field{"authIp", aText, !byIP})
		}
		if ipv6 := proxyType == youproxy.ProxyTypeIPv6; ipv6 || !proxyType.Valid() {
			fields = append(fields, field{"protocol", aText, !ipv6})
		}
	}
	if err := f.check(fields); err != nil {
		return nil, err
	}
	if proxyType == youproxy.ProxyTypeMobile && f.whole("rotationTime") == 0 && !a.rotatesByLink {
		return nil, errors.New(`field "rotationTime" must not be 0`)
	}
	return &terms{
		proxyType: proxyType,
		country:   f.text("country"),
		quantity:  f.whole("quantity"),
		days:      f.whole("rentPeriodDays"),
		goal:      f.text("goal"),
		promoCode: f.optionalText("promoCode"),
		operator:  f.text("mobileOperator"),
		rotation:  f.whole("rotationTime"),
		authType:  authType,
		authIP:    f.text("authIp"),
		protocol:  youproxy.Protocol(f.text("protocol")),
	}, nil
}

// commonFields is what every order has, whatever it orders. Its capacity is its
// length, so that appending copies it.
var commonFields = slices.Clip([]field{
	{"proxyType", aText, false},
	{"quantity", aWhole, false},
	{"rentPeriodDays", aWhole, false},
	{"country", aText, false},
	{"goal", aText, false},
	{"promoCode", aText, true},
})

const maxQuantity = 1000

// check returns the first reason why the terms cannot be priced, or nil.
func (t *terms) check() error {
	switch {
	case !t.proxyType.Valid():
		return refusalOf(4)
	case len(t.country) != 3 || strings.Trim(t.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return refusalOf(6)
	case !sells(t.proxyType, t.country):
		return refusalOf(7)
	case t.quantity < 1 || t.quantity > maxQuantity:
		return refusalOf(19)
	case !slices.Contains(tariffs[t.proxyType].days, t.days):
		return refusalOf(11)
	case t.proxyType == youproxy.ProxyTypeMobile && !hasOperator(t.country, t.operator):
		return refusalOf(8)
	}
	return nil
}

func hasOperator(country, code string) bool {
	return slices.ContainsFunc(operatorsIn(country), func(o operator) bool { return o.Code == code })
}

// checkAccess returns the first reason why nobody could use the proxies, or nil.
func (t *terms) checkAccess() error {
	if !t.authType.Valid() {
		return refusalOf(10)
	}
	if _, err := netip.ParseAddr(t.authIP); err != nil && t.authType == youproxy.AuthTypeIP {
		return refusalOf(23)
	}
	if t.proxyType == youproxy.ProxyTypeIPv6 && !t.protocol.Valid() {
		return refusalOf(13)
	}
	return nil
}

// doubts returns the reasons to refuse an order, which are only warnings in a quote. A
// balance that is too low comes after them, see [account.doubts].
func (t *terms) doubts() []refusal {
	if strings.TrimSpace(t.goal) == "" || strings.Contains(strings.ToLower(t.goal), "spam") {
		return []refusal{*refusalOf(14)}
	}
	return nil
}

// order returns the order of terms that were checked.
func (t *terms) order() Order {
	o := Order{
		ProxyType:      t.proxyType,
		Country:        t.country,
		Quantity:       t.quantity,
		RentPeriodDays: t.days,
		AuthType:       t.authType,
		Protocol:       t.protocol,
		MobileOperator: t.operator,
		RotationTime:   t.rotation,
	}
	o.AuthIP, _ = netip.ParseAddr(t.authIP)
	if t.promoCode != nil {
		o.PromoCode = *t.promoCode
	}
	return o
}
