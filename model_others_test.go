package youproxy_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

func newModelAct(rng *rand.Rand) *modelAct {
	a := &modelAct{rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	switch rng.IntN(3) {
	case 0: // before the purchases
		a.after = seconds(rng, 0, 90) + oddMoment(rng)
	case 1:
		a.after = 100*time.Second + oddMoment(rng)
		if rng.IntN(2) == 0 {
			a.after += seconds(rng, 0, 100)
		}
	default:
		a.at = rng.IntN(12)
	}
	return a
}

// perform lets others do something to the account.
func (w *modelWorld) perform(a *modelAct) {
	rng := a.rng
	w.settleLedger(modelByItself)
	kind := rng.IntN(16)
	if pick(rng, w.wishes).extend != nil && rng.IntN(2) == 0 {
		kind = 3
	}
	switch {
	case kind <= 1: // never as much as something costs
		b := w.server.Balance()
		b.Amount = b.Amount.Add(decimal.New(int64(1+rng.IntN(9))*1003, -3))
		w.server.SetBalance(b)
		w.tell("others pay in")
	case kind == 2:
		w.server.SetBalance(youproxy.MustMoney("0.123 USD"))
		w.tell("others take nearly all money out")
	case kind <= 8:
		x := w.nearRenewal(rng)
		if x == nil {
			x = w.renewal(rng, "")
		}
		if x == nil || w.isNoted() && w.isWanted(x) {
			w.tell("others do nothing")
			return
		}
		_, err := w.others.Extend(context.Background(), x)
		w.tell("others extend %+v: %v", x, err)
	default:
		o := w.orderOfOthers(rng)
		if rng.IntN(2) == 0 {
			_, err := w.others.CreateOrder(context.Background(), o.request(""))
			w.tell("others order: %v", err)
			break
		}
		q, err := w.others.QuoteOrder(context.Background(), o.request(""))
		w.must(err)
		if b := w.server.Balance(); rng.IntN(3) > 0 && b.Amount.GreaterThan(q.Price.Amount) {
			b.Amount = b.Amount.Sub(q.Price.Amount)
			w.server.SetBalance(b)
		}
		w.server.AddOrder(o.Order)
		w.tell("others order by hand")
	}
	w.settleLedger(modelByOthers)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched = true
}

// orderOfOthers draws an order: once something was noted for a wish, it differs from all
// that is wanted.
func (w *modelWorld) orderOfOthers(rng *rand.Rand) *modelOrder {
	if i := pick(rng, w.wishes); i.order != nil && !w.isNoted() && rng.IntN(2) == 0 {
		return newModelOrder(i.order.ProxyType, i.order.Country, i.order.Quantity, i.order.RentPeriodDays)
	}
	for {
		o := newModelOrder(pick(rng, modelTypes), pick(rng, modelCountries), 1+rng.IntN(3), pick(rng, modelPeriods))
		if i := pick(rng, w.wishes); i.order != nil { // nearly the same
			switch rng.IntN(4) {
			case 0:
				o.ProxyType, o.Country = i.order.ProxyType, i.order.Country
			case 1:
				o.ProxyType, o.Quantity, o.RentPeriodDays = i.order.ProxyType, i.order.Quantity, i.order.RentPeriodDays
			}
		}
		if !slices.ContainsFunc(w.wishes, func(i *modelWish) bool {
			return i.order != nil && o.ProxyType == i.order.ProxyType && o.Country == i.order.Country && o.Quantity == i.order.Quantity
		}) {
			return o
		}
	}
}

// nearRenewal draws an extension that is nearly one that is wanted: with one proxy more,
// or another one in place of one; nil where there is none.
func (w *modelWorld) nearRenewal(rng *rand.Rand) youproxy.ExtendRequest {
	i := pick(rng, w.wishes)
	if i.extend == nil || rng.IntN(3) == 0 {
		return nil
	}
	ips, days := w.proxiesOf(i.extend)
	x := youproxy.ExtendIPsRequest{RentPeriodDays: days}
	var others []youproxy.IPAddressID
	for _, ip := range w.server.IPAddresses() {
		if ips[ip.ID] {
			x.ProxyType = ip.ProxyType
			x.IPAddressIDs = append(x.IPAddressIDs, ip.ID)
		}
	}
	for _, ip := range w.server.IPAddresses() {
		if !ips[ip.ID] && ip.ProxyType == x.ProxyType && !ip.ReadyAt.After(time.Now().Add(w.skew)) {
			others = append(others, ip.ID)
		}
	}
	if len(others) == 0 || len(x.IPAddressIDs) == 0 {
		return nil
	}
	if rng.IntN(2) == 0 {
		x.IPAddressIDs = x.IPAddressIDs[1:]
	}
	x.IPAddressIDs = append(x.IPAddressIDs, pick(rng, others))
	return x
}

// isWanted reports whether an extension is the very one that is wanted.
func (w *modelWorld) isWanted(x youproxy.ExtendRequest) bool {
	ips, days := w.proxiesOf(x)
	return slices.ContainsFunc(w.wishes, func(i *modelWish) bool {
		if i.extend == nil {
			return false
		}
		itsIPs, itsDays := w.proxiesOf(i.extend)
		return maps.Equal(ips, itsIPs) && days == itsDays
	})
}

func (w *modelWorld) proxiesOf(x youproxy.ExtendRequest) (ips map[youproxy.IPAddressID]bool, days int) {
	ips = make(map[youproxy.IPAddressID]bool)
	switch x := x.(type) {
	case youproxy.ExtendIPsRequest:
		for _, id := range x.IPAddressIDs {
			ips[id] = true
		}
		days = x.RentPeriodDays
	case youproxy.ExtendOrdersRequest:
		for _, ip := range w.server.IPAddresses() {
			if slices.Contains(x.OrderIDs, ip.OrderID) {
				ips[ip.ID] = true
			}
		}
		days = x.RentPeriodDays
	}
	return ips, days
}

// settleLedger writes down who made what has come to the server's ledger since the last
// time.
func (w *modelWorld) settleLedger(who *modelSend) {
	orders, extensions := w.server.Orders(), w.server.Extensions()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range orders {
		if w.orders[o.ID] == nil {
			w.orders[o.ID] = w.orSend(who, o.CreatedAt)
		}
	}
	for _, x := range extensions[len(w.extensions):] {
		w.extensions = append(w.extensions, w.orSend(who, x.CreatedAt))
	}
}

// orSend gives what was sent and executed at a moment, or who.
func (w *modelWorld) orSend(who *modelSend, at time.Time) *modelSend {
	at = at.Add(-w.skew)
	for _, s := range w.sends {
		if s.onItsWay && at.Equal(s.at) {
			return s
		}
	}
	for _, s := range w.sends {
		if s.isLate && at.Equal(s.at.Add(w.commitDelay)) {
			s.isLate = false
			return s
		}
	}
	return who
}

func (w *modelWorld) isNoted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noted
}

// tell writes down what happens, for whoever looks into a run that failed.
func (w *modelWorld) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%12s  %s", time.Since(w.began), fmt.Sprintf(format, args...)))
}

// fault notes what must not be.
func (w *modelWorld) fault(format string, args ...any) {
	w.mu.Lock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	w.mu.Unlock()
	w.tell("WRONG: "+format, args...)
}

func (w *modelWorld) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("run %d: %v", w.seed, err))
	}
}

// checkSecrets finds the key and passwords in a text.
func (w *modelWorld) checkSecrets(where, text string) {
	if strings.Contains(text, w.server.APIKey()) {
		w.fault("%s shows the API key: %s", where, text)
	}
	for _, ip := range w.server.IPAddresses() {
		if ip.Password != "" && strings.Contains(text, ip.Password) {
			w.fault("%s shows a password: %s", where, text)
		}
	}
}

// story tells what happened in a run.
func (w *modelWorld) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "run %d of kind %d: list %q, provisioning %s, late after %s, patience %s, spend timeout %s, skew %s, per proxy %v, no balances %v, renewed ids %v, budget %s per %s\n",
		w.seed, w.kind, w.shape.name, w.delay, w.commitDelay, w.patience, w.spendTimeout, w.skew, w.perProxy, w.noBalances, w.renewedIDs, w.budget, w.budgetPer)
	for _, line := range w.trace {
		b.WriteString(line + "\n")
	}
	for _, o := range w.server.Orders() {
		fmt.Fprintf(&b, "%12s  order %s %s by %s: %d %s in %s for %d days at %s\n",
			o.CreatedAt.Sub(w.began)-w.skew, o.ID, o.Number, w.orders[o.ID].who, o.Quantity, o.ProxyType, o.Country, o.RentPeriodDays, o.Price)
	}
	for n, x := range w.server.Extensions() {
		fmt.Fprintf(&b, "%12s  extension by %s: %v for %d days at %s\n",
			x.CreatedAt.Sub(w.began)-w.skew, w.extensions[n].who, x.IPAddressIDs, x.RentPeriodDays, x.Price)
	}
	for _, e := range w.stored.all() {
		fmt.Fprintf(&b, "%12s  entry %s %s %s order %s %s, charged %s, %s\n", e.Attempt.At.Sub(w.began), e.Attempt.ID, e.Attempt.Key, e.State, e.OrderID, e.OrderNumber, e.Charged, e.Note)
	}
	return b.String()
}
