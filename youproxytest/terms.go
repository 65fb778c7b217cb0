package youproxytest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// terms is what an order, or the question for its price, asks for.
type terms struct {
	proxyType youproxy.ProxyType
	country   string
	quantity  int
	days      int
	goal      string
	promoCode string
	promoSent bool
	operator  string

	order    bool // and not the question for its price
	authType youproxy.AuthType
	authIP   string
	protocol youproxy.Protocol
}

// readTerms reads the body of an order, or of the question for its price.
func readTerms(body []byte, order bool) (*terms, error) {
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
	if proxyType == youproxy.ProxyTypeMobile && f.whole("rotationTime") == 0 {
		return nil, errors.New(`field "rotationTime" must not be 0`)
	}
	return &terms{
		proxyType: proxyType,
		country:   f.text("country"),
		quantity:  f.whole("quantity"),
		days:      f.whole("rentPeriodDays"),
		goal:      f.text("goal"),
		promoCode: f.text("promoCode"),
		promoSent: slices.Contains(f.names, "promoCode"),
		operator:  f.text("mobileOperator"),
		order:     order,
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

// What the server sells.
var (
	tariffs = map[youproxy.ProxyType]struct {
		price decimal.Decimal // of one proxy for 30 days
		days  []int
	}{
		youproxy.ProxyTypeIPv4:   {decimal.RequireFromString("1.31"), []int{30, 60, 90, 180, 360}},
		youproxy.ProxyTypeIPv6:   {decimal.RequireFromString("0.27"), []int{30, 90, 180, 360}},
		youproxy.ProxyTypeMobile: {decimal.RequireFromString("18.50"), []int{30, 360}},
		youproxy.ProxyTypeISP:    {decimal.RequireFromString("2.40"), []int{30, 60, 90, 180, 360}},
	}
	countries = []string{"USA", "DEU", "GBR", "FRA", "NLD"}
	operators = []string{"verizon", "tmobile", "vodafone"}
)

const maxQuantity = 1000

// check gives the first reason for which the terms cannot even be priced.
func (t *terms) check() error {
	switch {
	case !t.proxyType.Valid():
		return refusalOf(4)
	case len(t.country) != 3 || strings.Trim(t.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return refusalOf(6)
	case !slices.Contains(countries, t.country):
		return refusalOf(7)
	case t.quantity < 1 || t.quantity > maxQuantity:
		return refusalOf(19)
	case !slices.Contains(tariffs[t.proxyType].days, t.days):
		return refusalOf(11)
	case t.proxyType == youproxy.ProxyTypeMobile && !slices.Contains(operators, t.operator):
		return refusalOf(8)
	}
	return nil
}

// checkAccess gives the first reason for which proxies that are priced cannot be
// handed over.
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

// doubts is what refuses an order, but is only a warning where its price is
// asked.
func (a *account) doubts(t *terms, p price) []refusal {
	var list []refusal
	if strings.TrimSpace(t.goal) == "" || strings.Contains(strings.ToLower(t.goal), "spam") {
		list = append(list, *refusalOf(14))
	}
	if p.total.GreaterThan(a.balance.Amount) {
		list = append(list, *refusalOf(16))
	}
	return list
}

// price is what terms cost.
type price struct {
	total           decimal.Decimal
	discount        int // percent
	promoCodeStatus *string
}

// price reckons what terms cost that were checked.
func (a *account) price(t *terms) price {
	var p price
	if t.promoSent {
		percent, ok := a.promoCodes[t.promoCode]
		status := string(youproxy.PromoCodeNotValid)
		if ok {
			status = string(youproxy.PromoCodeValid)
		}
		p.discount, p.promoCodeStatus = percent, &status
	}
	units := decimal.NewFromInt(int64(t.quantity * t.days * (100 - p.discount)))
	p.total = tariffs[t.proxyType].price.Mul(units).Shift(-2)
	p.total = roundUp(p.total, decimal.NewFromInt(30))
	return p
}

// roundUp divides exactly and rounds up to cents.
func roundUp(d, by decimal.Decimal) decimal.Decimal {
	quotient, rest := d.QuoRem(by, 2)
	if rest.IsPositive() {
		quotient = quotient.Add(decimal.New(1, -2))
	}
	return quotient
}
