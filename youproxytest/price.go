package youproxytest

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// WithPricePerProxy makes the "price" of a quote the price of one proxy, rounded up to
// cents, while an order or an extension is charged that price for each proxy. The
// service does not document which of the two a price is.
func WithPricePerProxy() Option {
	return func(s *Server) { s.account.pricePerProxy = true }
}

// WithTotalBesidePrice charges a tax of 20 percent, rounded up to cents, that the
// "price" of a quote does not include. The quote has a member "total" beside it, which
// is what all proxies cost, tax included. The service does not document such a member.
func WithTotalBesidePrice() Option {
	return func(s *Server) { s.account.totalBesidePrice = true }
}

// SetPrice sets the price of one proxy of a type for 30 days, in the currency of the
// balance. SetPrice panics if the server does not sell the type, or if the amount is negative.
func (s *Server) SetPrice(t youproxy.ProxyType, amount decimal.Decimal) {
	if _, ok := tariffs[t]; !ok || amount.IsNegative() {
		panic(fmt.Sprintf("youproxytest: a price of %s for proxy type %q: it must not be negative, and the type must be on sale", amount, t))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.look()
	s.keepChange(a, setPrice, newPrice{t, amount})(true)
	a.prices[t] = amount
}

// taxed is 100 with the tax of [WithTotalBesidePrice].
const taxed = 120

// price is what an order or an extension costs.
type price struct {
	total           decimal.Decimal // what is charged
	quoted          decimal.Decimal // what a quote has as "price"
	discount        int             // percent
	promoCode       *promoCode
	promoCodeStatus *string
}

// price calculates what a quantity of proxies costs for a period.
func (a *account) price(t youproxy.ProxyType, quantity, days int, promoCode *string) price {
	var p price
	p.promoCode, p.promoCodeStatus = a.redeem(promoCode)
	if p.promoCode != nil {
		p.discount = p.promoCode.Percent
	}
	net := func(quantity int) decimal.Decimal {
		units := decimal.NewFromInt(int64(quantity * days * (100 - p.discount)))
		each, ok := a.prices[t]
		if !ok {
			each = tariffs[t].price
		}
		return roundUp(each.Mul(units).Shift(-2), 30)
	}
	p.quoted = net(quantity)
	p.total = p.quoted
	if a.pricePerProxy {
		p.quoted = net(1)
		p.total = p.quoted.Mul(decimal.NewFromInt(int64(quantity)))
	}
	if a.totalBesidePrice {
		p.total = roundUp(p.total.Mul(decimal.NewFromInt(taxed)), 100)
	}
	return p
}

// doubts returns a refusal if the balance is too low. In a quote it is only a warning.
func (a *account) doubts(p price) []refusal {
	if p.total.GreaterThan(a.balance.Amount) {
		return []refusal{*refusalOf(16)}
	}
	return nil
}

// roundUp divides exactly and rounds up to cents.
func roundUp(d decimal.Decimal, by int64) decimal.Decimal {
	quotient, rest := d.QuoRem(decimal.NewFromInt(by), 2)
	if rest.IsPositive() {
		quotient = quotient.Add(decimal.New(1, -2))
	}
	return quotient
}
