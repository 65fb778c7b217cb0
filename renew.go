package youproxy

import (
	"context"
	"slices"
	"time"
)

// Renewal is an extension that was made.
type Renewal struct {
	IPAddressIDs    []IPAddressID // the extended proxies, by their ids before it
	OrderIDs        []OrderID
	PromoCodeStatus PromoCodeStatus
	Quote           Quote
	Attempt         Attempt
	Recovered       bool      // the reply was lost, and the account showed the new ends
	Charged         *Money    // by how much the balance fell; nil if not known
	LeftOut         []LeftOut // what [Client.RenewAll] left out of the part
}

// AboveLimit reports whether more than the limit is known to have been charged.
func (r *Renewal) AboveLimit() bool { return isAbove(r.Charged, r.Attempt.Limit) }

// Renew extends proxies once, for no more than limit. It works like [Client.Buy]: the
// error is nil exactly when they are known to have been extended. If the reply is lost, the ends of the
// proxies and the balance show whether they were. An extension of a part of an IPv6 order
// is stopped with [ErrWholeOrderRequired]. Ids that are not in the account are stopped
// with [ErrIncorrectIPAddresses] or [ErrIncorrectOrderIDs]. An earlier extension whose
// outcome is not known stops those that share a proxy or an order with it, with a
// [*PendingError].
//
// Like Buy, Renew asks for the price of one id as well. If the request has only one order
// id, whether its price is per proxy cannot be found out, and it counts as that of all.
func (c *Client) Renew(ctx context.Context, req ExtendRequest, limit Money, opts ...SpendOption) (*Renewal, error) {
	x, err := checkedExtension(req)
	if err != nil {
		return nil, err
	}
	s := c.extending(x)
	if err := s.run(ctx, limit, opts); err != nil {
		return nil, err
	}
	return s.entry.renewal(s.quote), nil
}

// extending returns the spending of an extension.
func (c *Client) extending(x *extension) *spending {
	s := &spending{
		c: c, body: x, reply: &extendReply{asked: &x.selection}, selection: &x.selection,
		quoteOp: "POST /calculate/extend" + x.suffix, terms: x, entry: *x.spent(),
	}
	s.one = x.one()
	return s
}

// one returns the request for the price of one id, or nil if there is only one.
func (e *extension) one() any {
	if len(e.IPAddressIDs)+len(e.OrderIDs) <= 1 {
		return nil
	}
	one := *e
	one.IPAddressIDs, one.OrderIDs = one.IPAddressIDs[:min(1, len(one.IPAddressIDs))], one.OrderIDs[:min(1, len(one.OrderIDs))]
	return &one
}

// renewal returns the extension of an executed entry. q is nil if no quote was asked for
// now.
func (e *Entry) renewal(q *Quote) *Renewal {
	return &Renewal{
		IPAddressIDs: slices.Clone(e.IPAddressIDs), OrderIDs: slices.Clone(e.OrderIDs), PromoCodeStatus: e.PromoCodeStatus,
		Quote: e.quote(q), Attempt: e.Attempt.clone(), Recovered: e.Recovered, Charged: e.charged(),
	}
}

// snapshot notes what the account holds.
func (s *spending) snapshot() error {
	a := &s.entry.Attempt
	numbers := make(map[OrderNumber]OrderID)
	var listed []Proxy
	note := s.noteOrder(numbers)
	if s.selection != nil {
		note = func(p *Proxy) {
			listed = append(listed, Proxy{ID: p.ID, OrderID: p.OrderID, ProxyType: a.ProxyType, End: p.End, AutoExtend: p.AutoExtend, AutoExtendUnknown: p.AutoExtendUnknown})
		}
	}
	date, err := s.c.survey(s.turn, a.ProxyType, note)
	if err != nil {
		return stoppedBy(a.Op, "what the account holds could not be read", err)
	}
	a.Before.Date = date
	if s.selection == nil {
		if err := s.turn.name(a.ProxyType, numbers); err != nil {
			return notSent(a.Op, s.c.core().unwrittenJournal(err))
		}
		return nil
	}
	if s.part != nil {
		if err := s.prune(listed, date); err != nil {
			return err
		}
	}
	if err := s.noteEnds(listed); err != nil {
		return err
	}
	return s.clear() // now that the orders are known
}

// noteOrder returns a function that notes the orders that are already listed, and the ids
// of their numbers.
func (s *spending) noteOrder(numbers map[OrderNumber]OrderID) func(*Proxy) {
	b := &s.entry.Attempt.Before
	seen := make(map[OrderID]bool)
	return func(p *Proxy) {
		if id := redactID(s.c, p.OrderID); !seen[id] {
			seen[id] = true
			b.Orders = append(b.Orders, id)
			numbers[p.OrderNumber] = id
		}
	}
}

// noteEnds notes the proxies that are to be extended, or returns an error for what cannot
// be.
func (s *spending) noteEnds(listed []Proxy) error {
	a, x := &s.entry.Attempt, s.selection
	wanted := make(map[string]bool) // whether it was found
	for _, id := range x.IPAddressIDs {
		wanted[string(id)] = false
	}
	for _, id := range x.OrderIDs {
		wanted[string(id)] = false
	}
	a.Before.Ends = make(map[IPAddressID]time.Time)
	chosen, left := make(map[OrderID]bool), make(map[OrderID][]IPAddressID)
	for i := range listed {
		p := &listed[i]
		id := string(p.ID)
		if x.suffix != "" {
			id = string(p.OrderID)
		}
		if _, ok := wanted[id]; !ok {
			left[p.OrderID] = append(left[p.OrderID], p.ID)
			continue
		}
		wanted[id] = true
		if !chosen[p.OrderID] && p.OrderID != "" {
			a.Before.Orders = append(a.Before.Orders, p.OrderID)
		}
		chosen[p.OrderID] = true
		a.Before.Ends[p.ID] = p.End
		if p.AutoExtend || p.AutoExtendUnknown {
			a.Before.Renewing = append(a.Before.Renewing, p.ID)
		}
	}
	for id, found := range wanted {
		if !found {
			cause := ErrIncorrectIPAddresses
			if x.suffix != "" {
				cause = ErrIncorrectOrderIDs
			}
			return stopped(a.Op, plainText(id)+" is not among the account's proxies of that type", cause)
		}
	}
	for id := range chosen {
		if len(left[id]) > 0 && a.ProxyType == ProxyTypeIPv6 {
			return stopped(a.Op, "only a part of the IPv6 order "+plainText(string(id))+" is to be extended, which the service does not do: extend all of it", ErrWholeOrderRequired)
		}
		a.Before.Beside = append(a.Before.Beside, left[id]...)
	}
	a.Quantity = len(a.Before.Ends)
	return nil
}
