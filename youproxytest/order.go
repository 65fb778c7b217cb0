package youproxytest

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/youproxy-go/youproxy"
)

// Order is an order the server executed.
type Order struct {
	Number         youproxy.OrderNumber
	ProxyType      youproxy.ProxyType
	Country        string
	Quantity       int
	RentPeriodDays int
	Price          youproxy.Money // of all of it, discount taken off
	PromoCode      string         // as it was sent, valid or not
	CreatedAt      time.Time
}

// firstOrder is the number of the first order.
const firstOrder = 112233

// WithPromoCode makes a promo code valid, with its discount in percent, 0 to 100.
// It panics on any other discount.
func WithPromoCode(code string, percent int) Option {
	if percent < 0 || percent > 100 {
		panic(fmt.Sprintf("youproxytest: the discount of %q is %d percent: give 0 to 100", code, percent))
	}
	return func(s *Server) { s.account.promoCodes[code] = percent }
}

type quoteReply struct {
	Success         bool       `json:"success"`
	ProxyType       *string    `json:"proxyType"`
	Balance         number     `json:"balance"`
	Price           number     `json:"price"`
	Currency        *string    `json:"currency"`
	Discount        number     `json:"discount"`
	PromoCodeStatus *string    `json:"promoCodeStatus"`
	Error           *refusal   `json:"error"`
	Warnings        *[]refusal `json:"warnings"` // null where there is none
}

func (s *Server) calculateOrder(body []byte) (any, error) {
	t, err := readTerms(body, false)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	price, left := s.account.price(t), s.account.funds()
	quote := quoteReply{
		Success:         true,
		ProxyType:       (*string)(&t.proxyType),
		Balance:         left.balance,
		Price:           exact(price.total),
		Currency:        left.currency,
		Discount:        whole(price.discount),
		PromoCodeStatus: price.promoCodeStatus,
	}
	if doubts := s.account.doubts(t, price); len(doubts) > 0 {
		quote.Warnings = &doubts
	}
	return quote, nil
}

func refuseQuote(left funds, why *refusal) any {
	return quoteReply{Balance: left.balance, Currency: left.currency, Error: why}
}

type orderReply struct {
	Success         bool     `json:"success"`
	ProxyType       *string  `json:"proxyType"`
	OrderNumber     *string  `json:"orderNumber"`
	Balance         number   `json:"balance"`
	Currency        *string  `json:"currency"`
	Error           *refusal `json:"error"`
	PromoCodeStatus *string  `json:"promoCodeStatus"`
}

func (s *Server) createOrder(body []byte) (any, error) {
	t, err := readTerms(body, true)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(t.check(), t.checkAccess()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.account
	price := a.price(t)
	if doubts := a.doubts(t, price); len(doubts) > 0 {
		return nil, &doubts[0]
	}
	number := a.place(t, price)
	left := a.funds()
	return orderReply{
		Success:         true,
		ProxyType:       (*string)(&t.proxyType),
		OrderNumber:     (*string)(&number),
		Balance:         left.balance,
		Currency:        left.currency,
		PromoCodeStatus: price.promoCodeStatus,
	}, nil
}

func refuseOrder(left funds, why *refusal) any {
	return orderReply{Balance: left.balance, Currency: left.currency, Error: why}
}

// place takes the price and writes the order down.
func (a *account) place(t *terms, p price) youproxy.OrderNumber {
	a.balance.Amount = a.balance.Amount.Sub(p.total)
	number := youproxy.OrderNumber("NUMBER-" + strconv.Itoa(firstOrder+len(a.orders)))
	a.orders = append(a.orders, Order{
		Number:         number,
		ProxyType:      t.proxyType,
		Country:        t.country,
		Quantity:       t.quantity,
		RentPeriodDays: t.days,
		Price:          youproxy.Money{Amount: p.total, Currency: a.balance.Currency},
		PromoCode:      t.promoCode,
		CreatedAt:      time.Now(),
	})
	return number
}
