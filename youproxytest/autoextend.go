package youproxytest

import (
	"time"

	"github.com/youproxy-go/youproxy"
)

// WithOrderIDsInAutoExtend makes the reply of POST /extend/order/auto contain
// "orderIds" in place of "ipAddressIds". The documentation shows both.
func WithOrderIDsInAutoExtend() Option {
	return func(s *Server) { s.account.orderIDsInAutoExtend = true }
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

// noteRenewal records that something is to be renewed at a time.
func (a *account) noteRenewal(at time.Time) {
	if a.nextRenewal.IsZero() || at.Before(a.nextRenewal) {
		a.nextRenewal = at
	}
}

// dueBy returns the proxies that are to be renewed next, all at the same time, or none if
// that is after to.
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
// If the balance is too low, they end.
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
