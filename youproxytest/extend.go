package youproxytest

import (
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
)

// Extension is an extension the server executed, also by itself where proxies
// were set to extend automatically.
type Extension struct {
	IPAddressIDs   []youproxy.IPAddressID
	OrderIDs       []youproxy.OrderID // as they were sent; nil where proxies were named
	ProxyType      youproxy.ProxyType
	RentPeriodDays int
	Price          youproxy.Money // of all of it, discount taken off
	PromoCode      string         // as it was sent, valid or not
	CreatedAt      time.Time
}

// Extensions gives the extensions that were executed, oldest first. Proxies of an
// order that are extended automatically and together are one.
func (s *Server) Extensions() []Extension {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.look().extensions)
	for i, e := range list {
		list[i].IPAddressIDs = slices.Clone(e.IPAddressIDs)
		list[i].OrderIDs = slices.Clone(e.OrderIDs)
	}
	return list
}

// WithOrderIDsInAutoExtend makes the reply of POST /extend/order/auto hold
// "orderIds" in place of "ipAddressIds". The documentation shows both.
func WithOrderIDsInAutoExtend() Option {
	return func(s *Server) { s.account.orderIDsInAutoExtend = true }
}

// target is how a request names the proxies it is about.
type target struct {
	field string // that holds the ids
	code  int    // that refuses them
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

// renewal is what a request about the end of proxies asks for.
type renewal struct {
	proxyType youproxy.ProxyType
	ids       []string // as they were sent
	days      int
	ips       []*IPAddress

	promoCode  *string // nil where none was sent
	autoExtend bool
}

// read reads and checks a request. Its last field is one that not all have.
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

// choose finds the proxies of a renewal, and reports whether its ids were in
// order.
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

// isWhole reports whether a renewal is about all proxies of an order, where it
// has to be.
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

// calculate answers what an extension would cost.
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

// extend takes the price, moves the end of proxies, and writes that down.
func (a *account) extend(ips []*IPAddress, days int, p price) *Extension {
	a.spend(p)
	e := Extension{
		ProxyType:      ips[0].ProxyType,
		RentPeriodDays: days,
		Price:          youproxy.Money{Amount: p.total, Currency: a.balance.Currency},
		CreatedAt:      a.now,
	}
	for _, ip := range ips {
		ip.End = ip.End.Add(time.Duration(days) * day)
		e.IPAddressIDs = append(e.IPAddressIDs, ip.ID)
	}
	a.extensions = append(a.extensions, e)
	return &a.extensions[len(a.extensions)-1]
}

type autoExtendReply struct {
	Success        bool                   `json:"success"`
	ProxyType      *string                `json:"proxyType"`
	RentPeriodDays int                    `json:"rentPeriodDays"`
	Quantity       int                    `json:"quantity"`
	IPAddressIDs   []youproxy.IPAddressID `json:"ipAddressIds,omitzero"` // nil where there are order ids
	OrderIDs       []youproxy.OrderID     `json:"orderIds,omitzero"`
	Balance        number                 `json:"balance"`
	Currency       *string                `json:"currency"`
	Error          *refusal               `json:"error"`
}

// setAutoExtend switches automatic extension on or off.
func (t target) setAutoExtend(a *account, c *call) (any, error) {
	r, err := t.read(a, c, autoExtendField)
	if err != nil {
		return nil, err
	}
	left := a.funds()
	done := autoExtendReply{
		Success:        true,
		ProxyType:      (*string)(&r.proxyType),
		RentPeriodDays: r.days,
		Quantity:       len(r.ips),
		Balance:        left.balance,
		Currency:       left.currency,
	}
	for _, ip := range r.ips {
		ip.AutoExtend, ip.AutoExtendDays = r.autoExtend, r.days
		if ip.AutoExtend {
			a.noteRenewal(ip.End)
		}
		done.IPAddressIDs = append(done.IPAddressIDs, ip.ID)
	}
	if t.field == byOrders.field && a.orderIDsInAutoExtend {
		done.IPAddressIDs, done.OrderIDs = nil, idsOf[youproxy.OrderID](r.ids)
	}
	return done, nil
}

func refuseAutoExtend(_ *account, left funds, why *refusal) any {
	return autoExtendReply{IPAddressIDs: []youproxy.IPAddressID{}, Balance: left.balance, Currency: left.currency, Error: why}
}

func refuseAutoExtendOrders(a *account, left funds, why *refusal) any {
	if !a.orderIDsInAutoExtend {
		return refuseAutoExtend(a, left, why)
	}
	return autoExtendReply{OrderIDs: []youproxy.OrderID{}, Balance: left.balance, Currency: left.currency, Error: why}
}

func idsOf[ID ~string](list []string) []ID {
	ids := make([]ID, len(list))
	for i, id := range list {
		ids[i] = ID(id)
	}
	return ids
}

// noteRenewal keeps in mind that something is to be renewed at a moment.
func (a *account) noteRenewal(at time.Time) {
	if a.nextRenewal.IsZero() || at.Before(a.nextRenewal) {
		a.nextRenewal = at
	}
}

// dueBy gives the proxies that are to be renewed first, all at one moment, if
// that has come by the given one.
func (a *account) dueBy(to time.Time) []*IPAddress {
	if a.nextRenewal.IsZero() || a.nextRenewal.After(to) {
		return nil
	}
	a.nextRenewal = time.Time{}
	var due []*IPAddress
	for _, o := range a.orders {
		for i := range o.ips {
			ip := &o.ips[i]
			if !ip.AutoExtend || !ip.End.After(a.now) {
				continue
			}
			a.noteRenewal(ip.End)
			switch {
			case ip.End.After(to) || len(due) > 0 && ip.End.After(due[0].End):
			case len(due) > 0 && ip.End.Equal(due[0].End):
				due = append(due, ip)
			default:
				due = []*IPAddress{ip}
			}
		}
	}
	return due
}

// renew extends proxies that are due, those of an order with one period together.
// Where the money does not suffice they end.
func (a *account) renew(due []*IPAddress) {
	type batch struct {
		order youproxy.OrderID
		days  int
	}
	var order []batch
	batches := make(map[batch][]*IPAddress)
	for _, ip := range due {
		b := batch{ip.OrderID, ip.AutoExtendDays}
		if batches[b] == nil {
			order = append(order, b)
		}
		batches[b] = append(batches[b], ip)
	}
	for _, b := range order {
		ips := batches[b]
		p := a.price(ips[0].ProxyType, len(ips), b.days, nil)
		if len(a.doubts(p)) == 0 {
			a.extend(ips, b.days, p)
		}
	}
}
