package youproxy_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// modelDeed is what a request came to in the server's books.
type modelDeed struct {
	times int
	order youproxytest.Order
	price youproxy.Money
	at    time.Time
	ips   []youproxy.IPAddressID
	days  int
}

func (w *modelWorld) deed(s *modelSend) modelDeed {
	var d modelDeed
	for _, o := range w.server.Orders() {
		if s != nil && w.orders[o.ID] == s {
			d.times++
			d.order, d.price, d.at, d.days = o, o.Price, o.CreatedAt.Add(-w.skew), o.RentPeriodDays
		}
	}
	for n, x := range w.server.Extensions() {
		if s != nil && w.extensions[n] == s {
			d.times++
			d.price, d.at, d.ips, d.days = x.Price, x.CreatedAt.Add(-w.skew), x.IPAddressIDs, x.RentPeriodDays
		}
	}
	for _, ip := range w.server.IPAddresses() {
		if d.order.ID != "" && ip.OrderID == d.order.ID {
			d.ips = append(d.ips, ip.ID)
		}
	}
	slices.Sort(d.ips)
	return d
}

// check holds what was said against the books.
func (w *modelWorld) check() {
	for id, who := range w.orders {
		if who == modelByItself {
			w.fault("nobody placed the order %s", id)
		}
	}
	got := 0
	for _, r := range w.server.Requests() {
		ours := strings.HasSuffix(r.Header.Get("User-Agent"), modelUserAgent)
		if ours && (r.Op == "POST /order" || r.Op == "POST /extend" || r.Op == "POST /extend/order") {
			got++
		}
	}
	if got != len(w.sends) {
		w.fault("%d requests that spend were sent, and the service got %d", len(w.sends), got)
	}
	for _, s := range w.sends {
		d := w.deed(s)
		w.checkDeed(s, &d)
		if w.kind == kindAlone && s.nth == 0 {
			w.checkCertainty(s, &d)
		}
	}
	for _, i := range w.wishes {
		w.checkWish(i)
	}
	w.checkBudget()
	for _, s := range w.statements {
		w.checkStatement(&s)
	}
	for _, e := range w.stored.all() {
		w.checkStatement(&modelStatement{e, "the journal", e.SettledAt, false})
	}
}

// checkWish looks at how often a wish was fulfilled. One with a key is so at most once.
// One without is so again where a process ended that knew of the purchase and had told
// nobody, or where Recover told somebody else while the caller waited already.
func (w *modelWorld) checkWish(i *modelWish) {
	var done []*modelSend
	for _, s := range i.sends {
		if w.deed(s).times > 0 {
			done = append(done, s)
		}
	}
	for n := 1; n < len(done); n++ {
		first, again := done[n-1], done[n]
		e, by := w.entry(first.attempt.ID), w.settledBy[first.attempt.ID]
		isLost := first.toldAt.IsZero() && e.State == youproxy.EntryExecuted && by != nil && by.isEnded
		isHandedToOthers := first.toldCall != nil && first.toldCall.wish == nil && again.call.began.Before(first.toldAt)
		if i.key != "" || !isLost && !isHandedToOthers {
			w.fault("%s was executed %d times", i.who(), len(done))
		}
	}
	if w.kind == kindAlone && (i.order != nil || !w.shape.noOrderID) && i.promo != "ENDS" && (len(i.sends) > 0) != w.isAllowed(i) {
		w.fault("%s was sent %d times, allowed: %v", i.who(), len(i.sends), w.isAllowed(i))
	}
}

// checkBudget looks at whether the guards kept to the budget, by the prices of quotes.
func (w *modelWorld) checkBudget() {
	for _, last := range w.sends {
		sum := decimal.Zero
		d := w.deed(last)
		for _, s := range w.sends {
			if its := w.deed(s); !s.wish.plain && its.times > 0 && !its.at.After(d.at) && d.at.Sub(its.at) < w.budgetPer {
				sum = sum.Add(w.cost(s))
			}
		}
		if w.budgetPer > 0 && d.times > 0 && !last.wish.plain && sum.GreaterThan(w.budget.Amount) {
			w.fault("with %s, %s are spent, where the budget is %s", last.who, sum, w.budget)
		}
	}
}

// cost is what a purchase should cost by the quote, as far as that can be known.
func (w *modelWorld) cost(s *modelSend) decimal.Decimal {
	if s.wish.each {
		return s.attempt.Price.Amount.Mul(decimal.NewFromInt(int64(s.attempt.Quantity)))
	}
	return s.attempt.Price.Amount
}

// checkDeed looks at whether what was executed is what was wanted, and for how much.
func (w *modelWorld) checkDeed(s *modelSend, d *modelDeed) {
	i, a := s.wish, &s.attempt
	switch {
	case d.times == 0:
		return
	case d.times > 1:
		w.fault("%s was executed %d times by one request", s.who, d.times)
	case i.order != nil:
		if o, want := d.order, i.order; want.ProxyType != o.ProxyType || want.Country != o.Country || want.Quantity != o.Quantity || want.RentPeriodDays != o.RentPeriodDays {
			w.fault("%s: another order was placed: %+v", s.who, o)
		}
	case i.plain || s.fault.isPartial() || w.renewedIDs && len(d.ips) == len(a.Before.Ends) && a.RentPeriodDays == d.days: // under ids that changed since
	case !slices.Equal(slices.Sorted(maps.Keys(a.Before.Ends)), d.ips) || a.RentPeriodDays != d.days:
		w.fault("%s: something else was extended: %v for %d days", s.who, d.ips, d.days)
	}
	if i.plain {
		return
	}
	hidden := w.perProxy && !i.each || i.promo == "ENDS"
	if d.price.Currency != i.limit.Currency || w.cost(s).GreaterThan(i.limit.Amount) || d.price.Amount.GreaterThan(i.limit.Amount) && !hidden {
		w.fault("%s has cost %s, quoted %s, with a limit of %s", s.who, d.price, a.Price, i.limit)
	}
}

// checkStatement holds a statement against the books.
func (w *modelWorld) checkStatement(s *modelStatement) {
	send := w.sendOf(s.Attempt.ID) // nil where it was never sent
	d := w.deed(send)
	switch {
	case s.State == youproxy.EntryNotExecuted && d.times > 0:
		w.fault("%s says that attempt %s was not executed, but it was", s.who, s.Attempt.ID)
	case s.State != youproxy.EntryExecuted:
	case (s.Recovered || s.who == waiting) && w.isMisleading(s, send, &d):
		w.misled++
	case d.times == 0:
		w.fault("%s says that attempt %s was executed, but it was not", s.who, s.Attempt.ID)
	default:
		w.checkExecuted(s, send, &d)
	}
}

func (w *modelWorld) checkExecuted(s *modelStatement, send *modelSend, d *modelDeed) {
	if s.OrderID != "" && s.OrderID != d.order.ID || s.OrderNumber != "" && !strings.HasPrefix(string(s.OrderNumber), string(d.order.Number)) {
		w.fault("%s says that %s is the order %s %s, but it is %s %s", s.who, send.who, s.OrderID, s.OrderNumber, d.order.ID, d.order.Number)
	}
	slices.Sort(s.IPAddressIDs)
	told := s.who == waiting && !w.renewedIDs || s.Attempt.Op != "POST /order" && s.priced
	if told && !slices.Equal(s.IPAddressIDs, d.ips) {
		w.fault("the proxies of %s are %v, and %s gives %v", send.who, d.ips, s.who, s.IPAddressIDs)
	}
	switch {
	case s.Charged == nil && s.priced && !w.noBalances:
		w.fault("%s does not say what %s has cost", s.who, send.who)
	case s.Charged != nil && !s.Charged.Equal(d.price) && !w.touched && !w.spentMeanwhile(s, send):
		w.fault("%s says that %s has cost %s, but it was %s", s.who, send.who, s.Charged, d.price)
	}
}

// spentMeanwhile reports whether another request was executed between the snapshot of one
// and the statement about it.
func (w *modelWorld) spentMeanwhile(s *modelStatement, send *modelSend) bool {
	return slices.ContainsFunc(w.sends, func(other *modelSend) bool {
		d := w.deed(other)
		return other != send && d.times > 0 && !d.at.Before(send.call.quotedAt) && !d.at.After(s.at)
	})
}

// isMisleading reports whether the account could not show the truth, as it showed a
// purchase of the very same kind that others made: see [youproxy.Client.Reconcile]. What
// the processes bought themselves must be told apart.
func (w *modelWorld) isMisleading(s *modelStatement, send *modelSend, d *modelDeed) bool {
	switch {
	case !w.touched || send == nil:
		return false
	case s.Attempt.Op != "POST /order":
		return d.times == 0 && w.isExtendedByOthers(send, s.at)
	case d.times > 0 && !d.at.Add(w.delay).After(s.at):
		return false // the list showed both
	}
	return s.OrderID != d.order.ID && slices.Contains(w.alike(send, d), s.OrderID)
}

// alike gives the orders of others that the list does not tell from that of a request: of
// the same kind, not there before, and not placed before by the service's clock, as
// precisely as the list tells. Midnight is but a date, if it is not told to the second.
func (w *modelWorld) alike(s *modelSend, d *modelDeed) []youproxy.OrderID {
	var alike []youproxy.OrderID
	a := &s.attempt
	precision := time.Second
	if w.shape.wholeMinutes {
		precision = time.Minute
	}
	date := a.Before.Date.Truncate(precision)
	for _, o := range w.server.Orders() {
		start := o.CreatedAt.Truncate(precision)
		isDate := w.shape.wholeMinutes && start.Equal(start.Truncate(24*time.Hour))
		switch {
		case w.orders[o.ID] != modelByOthers, o.ID == d.order.ID, o.ProxyType != a.ProxyType, o.Quantity != a.Quantity:
		case o.Country != a.Country && !w.shape.noCountry:
		case start.Before(date) && !w.shape.noStart && !isDate:
		case slices.Contains(a.Before.Orders, o.ID):
		default:
			alike = append(alike, o.ID)
		}
	}
	return alike
}

// isExtendedByOthers reports whether others had extended all that was wanted by a moment,
// by as much, and for as much money.
func (w *modelWorld) isExtendedByOthers(s *modelSend, at time.Time) bool {
	days := make(map[youproxy.IPAddressID]int)
	var price decimal.Decimal
	for n, x := range w.server.Extensions() {
		if n < s.extended || w.extensions[n].wish != nil || x.CreatedAt.Add(-w.skew).After(at) {
			continue
		}
		price = price.Add(x.Price.Amount)
		for _, id := range x.IPAddressIDs {
			days[id] += x.RentPeriodDays
		}
	}
	for id := range s.attempt.Before.Ends {
		if days[id] != s.attempt.RentPeriodDays {
			return false
		}
	}
	return price.Equal(s.attempt.Price.Amount) || price.Equal(w.cost(s))
}

// checkCertainty looks at what nothing disturbed but its fault: what became of it is known
// at once where the service tells enough, and it is in the list before the patience ends.
// An hour later the last is not needed any more.
func (w *modelWorld) checkCertainty(s *modelSend, d *modelDeed) {
	if !w.isShown(s, d) {
		return
	}
	inTime := d.times == 0 || s.wish.order == nil || d.at.Add(w.delay).Before(s.gaveUp.Add(w.patience))
	switch {
	case inTime && s.first == modelUndetermined:
		w.fault("%s is undetermined, without a reason", s.who)
	case w.last(s) == modelUndetermined:
		w.fault("%s is undetermined an hour later, without a reason", s.who)
	}
}

// isShown reports whether the service tells what became of a request:
//   - the ids of orders, or the ends of what is extended, and what of,
//   - and a balance that fell by the price as quoted, or one that would have, as two calls
//     tell it.
func (w *modelWorld) isShown(s *modelSend, d *modelDeed) bool {
	shown := !w.shape.noOrderID
	if s.wish.extend != nil {
		shown = !w.shape.noEnd && (!w.shape.noOrderID || !w.renewedIDs) && !s.fault.isPartial()
	}
	return shown && !w.isBlind(s) && (d.times == 0 || d.price.Amount.Equal(w.cost(s)))
}

// isBlind reports whether the balance cannot show what became of a request.
func (w *modelWorld) isBlind(s *modelSend) bool {
	return w.noBalances || !s.attempt.Price.Amount.GreaterThan(decimal.New(1, -2)) || w.perProxy && !s.wish.each && s.attempt.Quantity > 1
}

// last is what the journal knows of a request in the end.
func (w *modelWorld) last(s *modelSend) string {
	switch e := w.entry(s.attempt.ID); e.State {
	case youproxy.EntryExecuted:
		return modelExecuted
	case youproxy.EntryNotExecuted:
		return modelNotExecuted
	}
	return modelUndetermined
}

// isAllowed reports whether no guard should hold a wish back.
func (w *modelWorld) isAllowed(i *modelWish) bool {
	q := i.quoted
	if q == nil || q.Price.Currency != i.limit.Currency || len(q.Warnings) > 0 {
		return false
	}
	cost := q.Price.Amount
	if i.each {
		cost = cost.Mul(decimal.NewFromInt(int64(w.quantity(i))))
	}
	if cost.GreaterThan(i.limit.Amount) || w.budgetPer > 0 && cost.GreaterThan(w.budget.Amount) {
		return false
	}
	return i.promo == "" || q.PromoCodeStatus == youproxy.PromoCodeValid
}
