package youproxytest

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/youproxy-go/youproxy"
)

// Order is an order of the account.
type Order struct {
	ID             youproxy.OrderID
	Number         youproxy.OrderNumber // as the reply to the order has it
	ProxyType      youproxy.ProxyType
	Country        string
	Quantity       int
	RentPeriodDays int
	AuthType       youproxy.AuthType
	AuthIP         netip.Addr        // where AuthType is IP
	Protocol       youproxy.Protocol // of IPv6
	MobileOperator string            // of MOBILE
	RotationTime   int               // of MOBILE, in seconds; 0 for changes by the reboot link alone
	Price          youproxy.Money    // in total, after the discount
	PromoCode      string            // as it was sent, valid or not
	CreatedAt      time.Time
}

// placedOrder is an order and its proxies.
type placedOrder struct {
	Order

	ips        []IPAddress
	proxies    []*soldProxy // of WithProxies
	renumbered int          // times, see WithRenewedIDs
}

// Orders returns the orders that were executed or added, oldest first.
func (s *Server) Orders() []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.look()
	list := make([]Order, len(a.orders))
	for i, o := range a.orders {
		list[i] = o.Order
	}
	return list
}

// AddOrder puts an order into the account as if it had been placed at CreatedAt, and
// returns it as it was added. Nothing is charged. Proxy type, country and quantity
// are required. The other fields have defaults: the present time, the shortest rent
// period, authorisation by login, protocol HTTP, and the first operator and rotation
// time of the country; 0 is not a rotation time here. AddOrder panics if the type is not
// sold in the country, if a field is invalid, if the ID or Number is taken, or if the
// proxies cannot work.
func (s *Server) AddOrder(o Order) Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.look()
	o.complete(a.now)
	if wrong := a.checkOrder(&o); wrong != "" {
		panic("youproxytest: the order cannot be added: " + wrong)
	}
	end := s.keepChange(a, addOrder, o)
	placed, err := a.place(o)
	end(err == nil)
	if err != nil {
		panic("youproxytest: the order cannot be added: its proxies cannot work: " + err.Error())
	}
	return placed.Order
}

// complete sets the fields that an order leaves empty.
func (o *Order) complete(now time.Time) {
	if o.CreatedAt.IsZero() {
		o.CreatedAt = now
	}
	if periods := tariffs[o.ProxyType].days; o.RentPeriodDays == 0 && len(periods) > 0 {
		o.RentPeriodDays = periods[0]
	}
	if o.AuthType == "" {
		o.AuthType = youproxy.AuthTypeLogin
		if o.AuthIP.IsValid() {
			o.AuthType = youproxy.AuthTypeIP
		}
	}
	switch o.ProxyType {
	case youproxy.ProxyTypeIPv6:
		o.Protocol = cmp.Or(o.Protocol, youproxy.ProtocolHTTP)
	case youproxy.ProxyTypeMobile:
		for _, known := range operatorsIn(o.Country) {
			if o.MobileOperator == "" || o.MobileOperator == known.Code {
				o.MobileOperator = known.Code
				o.RotationTime = cmp.Or(o.RotationTime, known.RotationTimes[0])
				break
			}
		}
	}
}

// checkOrder returns what is wrong with an order that is to be added, or "".
func (a *account) checkOrder(o *Order) string {
	switch {
	case !o.ProxyType.Valid():
		return fmt.Sprintf("proxy type %q is not sold", o.ProxyType)
	case !sells(o.ProxyType, o.Country):
		return fmt.Sprintf("%s is not sold in country %q", o.ProxyType, o.Country)
	case o.Quantity < 1:
		return fmt.Sprintf("the quantity is %d: it must be 1 or more", o.Quantity)
	case o.RentPeriodDays < 1:
		return fmt.Sprintf("the rent period is %d days: it must be 1 or more", o.RentPeriodDays)
	case !o.AuthType.Valid():
		return fmt.Sprintf("authorisation type %q does not exist", o.AuthType)
	case o.AuthIP.IsValid() != (o.AuthType == youproxy.AuthTypeIP):
		return "AuthIP is needed with AuthType IP, and not allowed with another"
	case o.ProxyType == youproxy.ProxyTypeIPv6 && !o.Protocol.Valid():
		return fmt.Sprintf("protocol %q does not exist", o.Protocol)
	case o.ProxyType == youproxy.ProxyTypeMobile && !hasOperator(o.Country, o.MobileOperator):
		return fmt.Sprintf("there is no operator %q in %s", o.MobileOperator, o.Country)
	case a.byNumber[o.Number] != nil:
		return fmt.Sprintf("order number %s is taken", o.Number)
	case a.byID[o.ID] != nil:
		return fmt.Sprintf("order id %s is taken", o.ID)
	}
	return ""
}

// place records an order, sets its number and id if they are empty, and creates its
// proxies.
func (a *account) place(o Order) (*placedOrder, error) {
	for n := len(a.orders); o.Number == ""; n++ {
		if number := orderNumber(n); a.byNumber[number] == nil {
			o.Number = number
		}
	}
	for n := len(a.orders); o.ID == ""; n++ {
		if id := orderID(n); a.byID[id] == nil {
			o.ID = id
		}
	}
	placed := &placedOrder{Order: o}
	if err := a.provision(placed, len(a.orders)+1); err != nil {
		return nil, err
	}
	a.orders = append(a.orders, placed)
	a.byNumber[o.Number] = placed
	a.byID[o.ID] = placed
	return placed, nil
}

// orderNumber returns the number of the nth order.
func orderNumber(n int) youproxy.OrderNumber {
	return youproxy.OrderNumber("NUMBER-" + strconv.Itoa(112233+n))
}

// orderID returns the id of the nth order. The factor is odd, so that no two of
// 2^28 are the same.
func orderID(n int) youproxy.OrderID {
	return youproxy.OrderID(fmt.Sprintf("1112223334%07x", (0x283d122+uint32(n)*0x9e3779b)&0xfffffff))
}

type quoteReply struct {
	Success         bool       `json:"success"`
	ProxyType       *string    `json:"proxyType"`
	Balance         number     `json:"balance"`
	Price           number     `json:"price"`
	Total           number     `json:"total,omitzero"` // nil where there is none
	Currency        *string    `json:"currency"`
	Discount        number     `json:"discount"`
	PromoCodeStatus *string    `json:"promoCodeStatus"`
	Error           *refusal   `json:"error"`
	Warnings        *[]refusal `json:"warnings"` // null where there is none
}

func calculateOrder(a *account, c *call) (any, error) {
	t, err := a.readTerms(c.body, false)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	p := a.price(t.proxyType, t.quantity, t.days, t.promoCode)
	return a.quote(t.proxyType, p, append(t.doubts(), a.doubts(p)...)), nil
}

// quote returns the reply to a question for a price.
func (a *account) quote(t youproxy.ProxyType, p price, doubts []refusal) any {
	left := a.funds()
	quote := quoteReply{
		Success:         true,
		ProxyType:       (*string)(&t),
		Balance:         left.balance,
		Price:           exact(p.quoted),
		Currency:        left.currency,
		Discount:        whole(p.discount),
		PromoCodeStatus: p.promoCodeStatus,
	}
	if a.totalBesidePrice {
		quote.Total = exact(p.total)
	}
	if a.nullBalances {
		quote.Balance = nil
	}
	if len(doubts) > 0 {
		quote.Warnings = &doubts
	}
	return quote
}

func refuseQuote(_ *account, left funds, why *refusal) any {
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

func createOrder(a *account, c *call) (any, error) {
	t, err := a.readTerms(c.body, true)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(t.check(), t.checkAccess()); err != nil {
		return nil, err
	}
	p := a.price(t.proxyType, t.quantity, t.days, t.promoCode)
	if doubts := append(t.doubts(), a.doubts(p)...); len(doubts) > 0 {
		return nil, &doubts[0]
	}
	o := t.order()
	o.Price = youproxy.Money{Amount: p.total, Currency: a.balance.Currency}
	o.CreatedAt = a.now
	placed, err := a.place(o)
	if err != nil {
		return nil, &refusal{Code: int(youproxy.ErrServiceFault), Message: "the proxies cannot work: " + err.Error()}
	}
	a.spend(p)
	left := a.funds()
	return orderReply{
		Success:         true,
		ProxyType:       (*string)(&t.proxyType),
		OrderNumber:     (*string)(&placed.Number),
		Balance:         left.balance,
		Currency:        left.currency,
		PromoCodeStatus: p.promoCodeStatus,
	}, nil
}

func refuseOrder(_ *account, left funds, why *refusal) any {
	return orderReply{Balance: left.balance, Currency: left.currency, Error: why}
}
