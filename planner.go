package youproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// The bounds of a plan and of the quotes for it.
const (
	mostOfPart   = 1000 // proxies; keeps the journal entry of a part below 1 MiB
	mostSiftings = 32   // quotes to find out which ids of a batch the service refuses
	mostFittings = 5    // how often a batch is cut to the limit and quoted again
)

// planner makes a plan.
type planner struct {
	c       *Client
	ctx     context.Context
	policy  *RenewalPolicy
	plan    *RenewalPlan
	batches []*batch
}

// unit is what can only be renewed as a whole: a proxy, or an IPv6 order. It is sorted by
// end.
type unit []PlannedRenewal

// batch is what one request may extend.
type batch struct {
	proxyType ProxyType
	units     []unit          // sorted by end
	chosen    []unit          // some of units
	cost      Money           // of chosen
	each      decimal.Decimal // the average cost of a proxy
}

// leave adds units to what the plan leaves out.
func (p *planner) leave(t ProxyType, units []unit, why LeftOut) {
	for _, u := range units {
		for _, planned := range u {
			p.plan.LeftOut = append(p.plan.LeftOut, why.of(t, planned))
		}
	}
}

// of returns a copy of l for one proxy.
func (l LeftOut) of(t ProxyType, r PlannedRenewal) LeftOut {
	l.ProxyType, l.ID, l.OrderID, l.End = t, r.ID, r.OrderID, r.End
	return l
}

// candidate is a proxy in the list.
type candidate struct {
	PlannedRenewal
	covered bool        // selected by the policy
	reason  LeaveReason // why it must be left out
}

// hindrance returns why a proxy must not be renewed, whatever the policy, or "".
func (p *Proxy) hindrance(now time.Time) LeaveReason {
	switch {
	case !p.End.IsZero() && !p.End.After(now):
		return LeaveEnded
	case p.AutoExtend:
		return LeaveExtendsItself
	case p.AutoExtendUnknown:
		return LeaveMayExtendItself
	case p.End.IsZero():
		return LeaveEndUnknown
	case !p.ProxyType.Valid():
		return LeaveTypeUnknown
	case p.ProxyType == ProxyTypeIPv6 && p.OrderID == "":
		return LeaveOrderUnknown
	}
	return ""
}

// read reads the list and makes batches of what the policy selects.
func (p *planner) read() error {
	types := slices.Compact(slices.Sorted(slices.Values(p.policy.ProxyTypes)))
	if len(types) == 0 {
		types = []ProxyType{""} // all
	}
	since := p.plan.At.Add(-clockTolerance)
	entries, err := (&turn{Context: p.ctx, ledger: p.c.core().ledger}).entries(EntryQuery{Since: lagging(since)})
	if err != nil {
		return notSent(opPlan, p.c.core().unreadJournal(err))
	}
	others := extendedBy(entries, since, func(a *Attempt) bool { return time.Since(a.At) > time.Hour })
	seen := make(map[IPAddressID]bool)
	units := make(map[ProxyType][]unit)
	for _, asked := range types {
		var listed []Proxy
		date, err := p.c.survey(p.ctx, asked, func(found *Proxy) {
			if !seen[found.ID] && (asked == "" || found.ProxyType == asked) {
				seen[found.ID] = true
				listed = append(listed, *found)
			}
		})
		if err != nil {
			return stoppedBy(opPlan, "the list could not be read", err)
		}
		if date.IsZero() {
			date = time.Now()
		}
		p.collect(listed, date, others, units)
	}
	for _, t := range knownProxyTypes {
		slices.SortFunc(units[t], func(a, b unit) int { return a[0].compare(b[0]) })
		var b *batch
		size := 0
		for _, u := range units[t] {
			if size += len(u); b == nil || size > mostOfPart {
				b, size = &batch{proxyType: t}, len(u)
				p.batches = append(p.batches, b)
			}
			b.units = append(b.units, u)
		}
	}
	return nil
}

// collect adds to units what of a list is to be renewed, and leaves out the rest of what
// the policy selects. An IPv6 order is renewed if one of its proxies is covered by the
// policy and none has a reason against it.
func (p *planner) collect(listed []Proxy, now time.Time, others *extended, units map[ProxyType][]unit) {
	orders := make(map[OrderID][]candidate)
	for i := range listed {
		found := &listed[i]
		one := candidate{PlannedRenewal{found.ID, found.OrderID, found.End}, false, ""}
		one.reason = one.hindrance(found.ProxyType, found, others, now).Reason
		selected := p.policy.Select == nil || p.policy.Select(*found)
		one.covered = selected && !found.End.After(now.Add(p.policy.EndsWithin))
		switch {
		case found.ProxyType == ProxyTypeIPv6 && found.OrderID != "":
			if !selected {
				one.reason = LeavePartOfOrder
			}
			orders[found.OrderID] = append(orders[found.OrderID], one)
		case one.covered && one.reason == "":
			units[found.ProxyType] = append(units[found.ProxyType], unit{one.PlannedRenewal})
		case one.covered:
			p.leave(found.ProxyType, []unit{{one.PlannedRenewal}}, LeftOut{Reason: one.reason})
		}
	}
	for i := range listed { // each order once, in the order of the list
		id := listed[i].OrderID
		order := orders[id]
		delete(orders, id)
		var whole, covered unit
		var reason LeaveReason
		for _, one := range order {
			whole = append(whole, one.PlannedRenewal)
			reason = cmp.Or(reason, one.reason)
			if one.covered {
				covered = append(covered, one.PlannedRenewal)
			}
		}
		switch {
		case covered == nil:
		case reason == "":
			slices.SortFunc(whole, PlannedRenewal.compare)
			units[ProxyTypeIPv6] = append(units[ProxyTypeIPv6], whole)
		default:
			p.leave(ProxyTypeIPv6, []unit{covered}, LeftOut{Reason: reason})
		}
	}
}

func (p *planner) part(b *batch, units []unit) RenewalPart {
	return RenewalPart{
		ProxyType: b.proxyType, RentPeriodDays: p.policy.RentPeriodDays, PromoCode: p.policy.PromoCode,
		Proxies: slices.Concat(units...),
	}
}

// ask asks for the prices of all batches, and leaves out what the service refuses. A
// batch that was split stays split if the service does not accept the pieces together.
func (p *planner) ask() error {
	var accepted []*batch
	for _, b := range p.batches {
		tries := mostSiftings
		pieces, err := p.sift(b, &tries)
		if err != nil {
			return err
		}
		if len(pieces) > 1 {
			whole := &batch{proxyType: b.proxyType}
			for _, piece := range pieces {
				whole.units = append(whole.units, piece.units...)
			}
			no, _, err := p.price(whole, whole.units)
			if err != nil {
				return err
			}
			if no == nil {
				pieces = []*batch{whole}
			}
		}
		accepted = append(accepted, pieces...)
	}
	p.batches = accepted
	return nil
}

// sift quotes a batch and returns the pieces that the service accepts. The rest is left
// out. If only some of the ids may be the reason for a refusal, each half is quoted by
// itself.
func (p *planner) sift(b *batch, tries *int) ([]*batch, error) {
	no, some, err := p.price(b, b.units)
	switch *tries--; {
	case err != nil:
		return nil, err
	case no == nil:
		return []*batch{b}, nil
	case !some || len(b.units) == 1 || *tries < 2:
		p.leave(b.proxyType, b.units, *no)
		return nil, nil
	}
	half := len(b.units) / 2
	first, err := p.sift(&batch{proxyType: b.proxyType, units: b.units[:half:half]}, tries)
	if err != nil {
		return nil, err
	}
	second, err := p.sift(&batch{proxyType: b.proxyType, units: b.units[half:]}, tries)
	return append(first, second...), err
}

// quote asks for the price of some units of a batch, and chooses them. If they are
// refused, the batch is left out.
func (p *planner) quote(b *batch, units []unit) error {
	if b.chosen = nil; len(units) == 0 {
		return nil
	}
	no, _, err := p.price(b, units)
	if no != nil {
		p.leave(b.proxyType, b.units, *no)
		b.units = nil
	}
	return err
}

// price asks for the price of some units of a batch, and chooses them. If the service
// refuses them, it returns why, and whether only some of the ids may be the reason.
func (p *planner) price(b *batch, units []unit) (no *LeftOut, some bool, err error) {
	part := p.part(b, units)
	x, err := checkedExtension(part.Request())
	var invalid *ValidationError
	if errors.As(err, &invalid) { // ids that cannot be sent
		return &LeftOut{Reason: LeaveRefused, Detail: reasonOf(err)}, true, nil
	}
	s := p.c.extending(x)
	s.entry.Attempt.Quantity = len(part.Proxies)
	ctx, cancel := context.WithTimeoutCause(p.ctx, quoteBound, errSlowQuote)
	defer cancel()
	var warnings []Warning
	if err = s.askAll(ctx); err == nil {
		// The balance is compared with the price of all parts later.
		warnings = slices.DeleteFunc(s.quote.Warnings, func(w Warning) bool { return w.Code == ErrInsufficientFunds })
		s.quote.Warnings = warnings
		err = s.checkTerms()
	}
	if err == nil {
		err = s.askOne(ctx)
	}
	var refused *APIError
	if errors.As(err, &refused) {
		warnings = []Warning{{Code: refused.Code, Message: refused.Message}}
	}
	switch {
	case err == nil:
		b.chosen, b.cost = units, s.largest()
		b.each = b.cost.Amount.Div(decimal.NewFromInt(int64(len(part.Proxies))))
		p.plan.Balance = s.quote.Balance
		return nil, false, nil
	case errors.Is(err, ErrInvalidAPIKey) || errors.Is(err, ErrCallerNotAllowed) || errors.Is(err, ErrServiceFault):
		return nil, false, err
	case refused != nil || errors.Is(err, ErrQuoteWarning) || errors.Is(err, ErrPromoCodeNotValid):
		some = slices.ContainsFunc(warnings, func(w Warning) bool { return !w.Code.Known() || slices.Contains(aboutIDs, w.Code) })
		return &LeftOut{Reason: LeaveRefused, Detail: reasonOf(err), Warnings: warnings}, some, nil
	}
	return nil, false, err
}

// aboutIDs lists the refusals for which some ids of many may be the reason.
var aboutIDs = []ErrorCode{
	ErrIncorrectIPAddresses, ErrIncorrectOrderIDs, ErrWholeOrderRequired, ErrIncorrectCountry, ErrCountryUnavailable, ErrIncorrectQuantity,
}

// fit leaves out what there is no money for. It chooses by the average price of one and
// asks for the price of the choice. If that is still too much, it chooses less.
func (p *planner) fit() error {
	room, reason, err := p.room()
	for n := 0; err == nil && n < mostFittings && p.sum().GreaterThan(room); n++ {
		chosen := p.choose(room)
		for _, b := range p.batches {
			if units := chosen[b]; err == nil && len(units) < len(b.chosen) {
				err = p.quote(b, units)
			}
		}
	}
	if err != nil {
		return err
	}
	for _, b := range slices.Backward(p.batches) {
		if p.sum().GreaterThan(room) {
			b.chosen = nil
		}
	}
	for _, b := range p.batches {
		chosen := setOf(firsts(b.chosen))
		p.leave(b.proxyType, slices.DeleteFunc(slices.Clone(b.units), func(u unit) bool { return chosen[u[0].ID] }), LeftOut{Reason: reason})
	}
	return nil
}

func firsts(units []unit) []IPAddressID {
	ids := make([]IPAddressID, len(units))
	for i, u := range units {
		ids[i] = u[0].ID
	}
	return ids
}

func (p *planner) sum() (sum decimal.Decimal) {
	for _, b := range p.batches {
		if len(b.chosen) > 0 {
			sum = sum.Add(b.cost.Amount)
		}
	}
	return sum
}

// choose returns what of each batch an amount pays for, by end. What does not fit is
// skipped.
func (p *planner) choose(amount decimal.Decimal) map[*batch][]unit {
	type choice struct {
		unit

		b *batch
	}
	var all []choice
	for _, b := range p.batches {
		for _, u := range b.chosen {
			all = append(all, choice{u, b})
		}
	}
	slices.SortStableFunc(all, func(a, b choice) int { return a.unit[0].End.Compare(b.unit[0].End) })
	chosen := make(map[*batch][]unit)
	for _, c := range all {
		cost := c.b.each.Mul(decimal.NewFromInt(int64(len(c.unit))))
		if cost.LessThanOrEqual(amount) {
			amount = amount.Sub(cost)
			chosen[c.b] = append(chosen[c.b], c.unit)
		}
	}
	return chosen
}

// room returns what all parts may cost together, and the reason for that bound.
func (p *planner) room() (room decimal.Decimal, reason LeaveReason, err error) {
	least, reason := p.policy.Limit, LeaveAboveLimit
	lower := func(to Money, name string, because LeaveReason) {
		order, cmpErr := to.Cmp(least)
		switch {
		case err != nil:
		case cmpErr != nil:
			err = stopped(opPlan, fmt.Sprintf("the %s of %s cannot be compared with the limit of %s: their currencies are not the same", name, to, p.policy.Limit), cmpErr)
		case order < 0:
			least, reason = to, because
		}
	}
	for _, b := range p.batches {
		if len(b.chosen) > 0 {
			lower(Money{Amount: least.Amount, Currency: b.cost.Currency}, "price", reason)
		}
	}
	cfg := &p.c.core().config
	if cfg.budgetPer > 0 && err == nil {
		spent, spentErr := (&turn{Context: p.ctx, ledger: p.c.core().ledger}).spent(time.Now().Add(-cfg.budgetPer), cfg.budget.Currency)
		if spentErr != nil {
			spentErr = outside(p.c.core().redact, spentErr)
			return room, reason, stopped(opPlan, "what was spent of the budget is not known: "+reasonOf(spentErr), spentErr)
		}
		lower(Money{Amount: cfg.budget.Amount.Sub(spent.Amount), Currency: cfg.budget.Currency}, "budget", LeaveAboveBudget)
	}
	if p.plan.Balance.IsZero() && err == nil && p.sum().IsPositive() { // the quotes may leave it out
		balance, balanceErr := p.c.freshBalance(p.ctx)
		if balanceErr != nil {
			return room, reason, stoppedBy(opPlan, "what the account holds could not be read", balanceErr)
		}
		p.plan.Balance = balance
	}
	if !p.plan.Balance.IsZero() {
		lower(p.plan.Balance, "balance", LeaveAboveBalance)
	}
	return decimal.Max(least.Amount, decimal.Zero), reason, err
}
