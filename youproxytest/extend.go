package youproxytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
)

// Extension is an extension that the server executed, on request or automatically.
type Extension struct {
	IPAddressIDs   []youproxy.IPAddressID // as they were before
	RenewedIDs     []youproxy.IPAddressID // as they are from then on, in the same order; nil without WithRenewedIDs
	OrderIDs       []youproxy.OrderID     // as they were sent; nil where proxies were named
	ProxyType      youproxy.ProxyType
	RentPeriodDays int
	Price          youproxy.Money // in total, after the discount
	PromoCode      string         // as it was sent, valid or not
	CreatedAt      time.Time
}

// Extensions returns the extensions that were executed, oldest first. Proxies of the
// same order that are extended automatically at the same time are one extension.
func (s *Server) Extensions() []Extension {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.look().extensions)
	for i, e := range list {
		list[i].IPAddressIDs = slices.Clone(e.IPAddressIDs)
		list[i].RenewedIDs = slices.Clone(e.RenewedIDs)
		list[i].OrderIDs = slices.Clone(e.OrderIDs)
	}
	return list
}

// target is how a request names its proxies.
type target struct {
	field string // with the ids
	code  int    // of the error for wrong ids
	find  func(a *account, id string) []*IPAddress
}

var (
	byIPs    = target{"ipAddressIds", 24, (*account).findIP}
	byOrders = target{"orderIds", 29, (*account).findOrder}
)

func (a *account) findIP(id string) []*IPAddress {
	ip := a.ips[youproxy.IPAddressID(id)]
	if ip == nil || !ip.isListed(a.now) {
		return nil
	}
	return []*IPAddress{ip}
}

func (a *account) findOrder(id string) []*IPAddress {
	var list []*IPAddress
	if o := a.byID[youproxy.OrderID(id)]; o != nil {
		for i := range o.ips {
			if ip := &o.ips[i]; ip.isListed(a.now) {
				list = append(list, ip)
			}
		}
	}
	return list
}

// renewal is a request to extend proxies, or to switch their automatic extension.
type renewal struct {
	proxyType youproxy.ProxyType
	ids       []string // as they were sent
	days      int
	ips       []*IPAddress

	promoCode  *string // nil where none was sent
	autoExtend bool
}

// read reads and checks a request. The last field is not the same for all requests.
func (t target) read(a *account, c *call, last field) (*renewal, error) {
	f, err := readForm(c.body)
	if err != nil {
		return nil, err
	}
	err = f.check([]field{{"proxyType", aText, false}, {t.field, texts, false}, {"rentPeriodDays", aWhole, false}, last})
	if err != nil {
		return nil, err
	}
	r := &renewal{
		proxyType:  youproxy.ProxyType(f.text("proxyType")),
		ids:        f.texts(t.field),
		days:       f.whole("rentPeriodDays"),
		promoCode:  f.optionalText("promoCode"),
		autoExtend: f.truth("autoExtend"),
	}
	if !r.proxyType.Valid() {
		return nil, refusalOf(4)
	}
	if !t.choose(a, r) {
		return nil, refusalOf(t.code)
	}
	if !a.isWhole(r) {
		return nil, refusalOf(28)
	}
	if !slices.Contains(tariffs[r.proxyType].days, r.days) {
		return nil, refusalOf(11)
	}
	return r, nil
}

// choose finds the proxies of a renewal, and reports whether its ids are valid.
func (t target) choose(a *account, r *renewal) bool {
	chosen := make(map[string]bool, len(r.ids))
	for _, id := range r.ids {
		found := t.find(a, id)
		if chosen[id] || len(found) == 0 || found[0].ProxyType != r.proxyType {
			return false
		}
		chosen[id] = true
		r.ips = append(r.ips, found...)
	}
	return len(r.ids) > 0
}

// isWhole reports whether a renewal has all proxies of its orders, or need not have them.
func (a *account) isWhole(r *renewal) bool {
	if r.proxyType != youproxy.ProxyTypeIPv6 {
		return true
	}
	chosen := make(map[youproxy.OrderID]int)
	for _, ip := range r.ips {
		chosen[ip.OrderID]++
	}
	for id, quantity := range chosen {
		if len(a.findOrder(string(id))) != quantity {
			return false
		}
	}
	return true
}

var (
	promoCodeField  = field{"promoCode", aText, true}
	autoExtendField = field{"autoExtend", aTruth, false}
)

// calculate returns the price of an extension.
func (t target) calculate(a *account, c *call) (any, error) {
	r, err := t.read(a, c, promoCodeField)
	if err != nil {
		return nil, err
	}
	p := a.price(r.proxyType, len(r.ips), r.days, r.promoCode)
	return a.quote(r.proxyType, p, a.doubts(p)), nil
}

type extensionReply struct {
	Success         bool                   `json:"success"`
	ProxyType       *string                `json:"proxyType"`
	RentPeriodDays  int                    `json:"rentPeriodDays"`
	Quantity        int                    `json:"quantity"`
	IPAddressIDs    []youproxy.IPAddressID `json:"ipAddressIds"`
	Balance         number                 `json:"balance"`
	Currency        *string                `json:"currency"`
	Error           *refusal               `json:"error"`
	PromoCodeStatus *string                `json:"promoCodeStatus"`
}

// extend executes an extension.
func (t target) extend(a *account, c *call) (any, error) {
	r, err := t.read(a, c, promoCodeField)
	if err != nil {
		return nil, err
	}
	if c.inPart {
		r.ips = r.ips[:(len(r.ips)+1)/2]
	}
	p := a.price(r.proxyType, len(r.ips), r.days, r.promoCode)
	if doubts := a.doubts(p); len(doubts) > 0 {
		return nil, &doubts[0]
	}
	e := a.extend(r.ips, r.days, p)
	if t.field == byOrders.field {
		e.OrderIDs = idsOf[youproxy.OrderID](r.ids)
	}
	if r.promoCode != nil {
		e.PromoCode = *r.promoCode
	}
	left := a.funds()
	return extensionReply{
		Success:         true,
		ProxyType:       (*string)(&r.proxyType),
		RentPeriodDays:  r.days,
		Quantity:        len(r.ips),
		IPAddressIDs:    slices.Clone(e.IPAddressIDs),
		Balance:         left.balance,
		Currency:        left.currency,
		PromoCodeStatus: p.promoCodeStatus,
	}, nil
}

func refuseExtension(_ *account, left funds, why *refusal) any {
	return extensionReply{Balance: left.balance, Currency: left.currency, Error: why}
}

// extend charges the price, moves the end of proxies, and records the extension.
func (a *account) extend(ips []*IPAddress, days int, p price) *Extension {
	a.spend(p)
	e := Extension{
		ProxyType:      ips[0].ProxyType,
		RentPeriodDays: days,
		Price:          youproxy.Money{Amount: p.total, Currency: a.balance.Currency},
		CreatedAt:      a.now,
	}
	for _, ip := range ips {
		ip.End = a.extensionEnd(ip.End, days)
		e.IPAddressIDs = append(e.IPAddressIDs, ip.ID)
	}
	if a.renewedIDs {
		e.RenewedIDs = a.renewIDs(ips)
	}
	a.extensions = append(a.extensions, e)
	return &a.extensions[len(a.extensions)-1]
}

// WithExtensionEnd sets the function that calculates the new end of a proxy from its
// present end and the days of an extension, automatic extensions included. By default
// each day is 24 hours. Other services count in calendar months, round up to the end
// of the day, or add an offset. The function must not call the server.
// WithExtensionEnd panics if it is nil.
func WithExtensionEnd(end func(end time.Time, days int) time.Time) Option {
	if end == nil {
		panic("youproxytest: the function for the end of an extension is nil")
	}
	return func(s *Server) { s.account.extensionEnd = end }
}

func afterDays(end time.Time, days int) time.Time {
	return end.Add(time.Duration(days) * day)
}

// WithRenewedIDs makes every extension, automatic ones included, replace the ids of
// its proxies, and add a suffix to the numbers of their orders, such as
// "NUMBER-112233-1". The list shows the new ids and numbers, and the server no longer
// accepts the old ids. The ids of the orders stay the same. The reply to the
// extension contains the old ids, as they were sent.
func WithRenewedIDs() Option {
	return func(s *Server) { s.account.renewedIDs = true }
}

// renewIDs replaces the ids of proxies and the numbers of their orders, and returns the
// new ids.
func (a *account) renewIDs(ips []*IPAddress) []youproxy.IPAddressID {
	ids := make([]youproxy.IPAddressID, len(ips))
	renumbered := make(map[youproxy.OrderID]bool)
	for i, ip := range ips {
		delete(a.ips, ip.ID)
		ip.ID = a.nextIPAddressID()
		a.ips[ip.ID] = ip
		ids[i] = ip.ID
		if !renumbered[ip.OrderID] {
			renumbered[ip.OrderID] = true
			a.renumber(a.byID[ip.OrderID])
		}
	}
	return ids
}

// renumber sets the order number of an order's proxies to its number with the next suffix.
func (a *account) renumber(o *placedOrder) {
	number := o.Number
	for a.byNumber[number] != nil {
		o.renumbered++
		number = youproxy.OrderNumber(fmt.Sprintf("%s-%d", o.Number, o.renumbered))
	}
	a.byNumber[number] = o
	for i := range o.ips {
		o.ips[i].OrderNumber = number
	}
}

func idsOf[ID ~string](list []string) []ID {
	ids := make([]ID, len(list))
	for i, id := range list {
		ids[i] = ID(id)
	}
	return ids
}
