package youproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reconciliation is what the account shows of an attempt.
type Reconciliation struct {
	Verdict  Verdict
	Purchase *Purchase // of an order that was executed
	Renewal  *Renewal  // of an extension that was executed
	Evidence Evidence
}

// Evidence is what the account showed when it was last looked at.
type Evidence struct {
	At        time.Time   // of that look; zero where none succeeded
	Looks     int         // that succeeded
	Balance   *Money      // nil where it was not read
	Fell      *Money      // by what the balance fell since the attempt; nil where that is not known
	NewOrders []SeenOrder // of the proxy type that were not there before
	Vanished  bool        // none of the orders that were there before is there any more
	Moved     int         // proxies that end when they should after the extension
	Unmoved   int         // proxies that end when they did before
	Otherwise int         // proxies that end at another time, or are gone
	Renewed   bool        // the service may have extended some of them by itself
	Err       error       // why the last look failed, or none more was taken
}

// SeenOrder is an order as the list of proxies shows it.
type SeenOrder struct {
	ID      OrderID
	Number  OrderNumber
	Country string
	Proxies int       // so far
	Start   time.Time // the earliest; zero where the list tells none
}

// String tells the evidence in one line.
func (e *Evidence) String() string {
	var parts []string
	if e.Looks > 0 {
		switch {
		case e.Fell == nil:
		case e.Fell.Amount.IsZero():
			parts = append(parts, "the balance is as it was")
		default:
			parts = append(parts, "the balance fell by "+e.Fell.String())
		}
		if n := len(e.NewOrders); n > 0 {
			ids := make([]string, 0, n)
			for _, o := range e.NewOrders[:min(n, 5)] {
				ids = append(ids, fmt.Sprintf("%s (%d proxies)", plainText(string(o.ID)), o.Proxies))
			}
			parts = append(parts, fmt.Sprintf("new orders: %d: %s", n, strings.Join(ids, ", ")))
		}
		if e.Vanished {
			parts = append(parts, "none of the orders that were there before is listed: it may be another account")
		}
		if n := e.Moved + e.Unmoved + e.Otherwise; n > 0 {
			parts = append(parts, fmt.Sprintf("of %d proxies %d were extended, %d were not, %d end otherwise", n, e.Moved, e.Unmoved, e.Otherwise))
		}
		if e.Renewed {
			parts = append(parts, "the service may have extended some by itself")
		}
	}
	if e.Err != nil {
		parts = append(parts, "the account could not be read: "+reasonOf(e.Err))
	}
	return strings.Join(parts, "; ")
}

// The pauses between two looks at the account.
const (
	firstLookPause   = time.Second
	longestLookPause = 15 * time.Second
)

// clockTolerance is how much the clocks of the service and of this machine may
// differ. The more it is, the likelier an order that somebody else placed just
// before is taken for the attempt's.
const clockTolerance = 10 * time.Second

// Reconcile finds out what became of an attempt whose outcome was not heard of,
// by what the account holds now: whether exactly what was asked for has appeared
// and the balance fell by its price, or nothing has changed for the whole patience
// of [WithReconcilePatience]. Where the attempt is older than that and twice
// [Timeouts.Spend] together, one look is enough. It spends nothing, and takes its
// turn among the calls that do.
//
// It compares with what the account held before the attempt. Where others buy for
// the account at the same time, other processes or people, that mostly makes it
// undetermined; what they buy of the very same kind at that moment cannot be told
// from the attempt, nor, after a restart, an extension of the same proxies that was
// made since: reconcile before extending them again. Let processes that share an
// account share a lock with [WithSpendLock]. Money that is paid in meanwhile, and is
// just as much as the price, hides that the price was paid: as long as what was
// bought does not show, that looks like nothing was.
//
// The clock of this machine must be right to within ten seconds, when the attempt
// was made and now: else no order counts as executed, and one look may be too few
// to say that it was not. The client must be one of the same account, with the
// same [Timeouts] and patience as the one that made the attempt. Of automatic
// extension it is assumed that it happens when a proxy ends.
//
// An error is a [*SpendError] of an undetermined attempt, and the reconciliation
// that is returned beside it holds the evidence: ctx was over before the account
// showed it, or the attempt is not one that this package wrote.
func (c *Client) Reconcile(ctx context.Context, a Attempt) (*Reconciliation, error) {
	unseen := func(err error) (*Reconciliation, error) {
		return &Reconciliation{Evidence: Evidence{Err: err}}, &SpendError{Attempt: a, Err: err}
	}
	switch err := a.check(); {
	case err != nil:
		return unseen(err)
	case c == nil || c.core == nil:
		return unseen(errEmptyClient)
	case ctx == nil:
		return unseen(errNilContext)
	}
	ctx, leave, err := c.core().takeTurn(ctx, a.Op)
	if err != nil {
		// Nothing was sent by this call. Of the attempt that is not known.
		return unseen(errors.Unwrap(err))
	}
	defer leave()
	// The process that made the attempt may have written it down, and waited for the
	// reply, until now.
	latest := a.At.Add(2*c.core().config.timeouts.Spend + c.core().config.patience)
	until := time.Now().Add(c.core().config.patience)
	if until.After(latest) {
		until = latest
	}
	seen, err := c.reconcile(ctx, &a, until)
	if err != nil {
		err = &SpendError{Attempt: a, Evidence: seen.Evidence, Err: err}
	}
	return seen, err
}

// reconcile looks at the account until it shows what became of a, or until the
// latest moment at which it can have been executed.
func (c *Client) reconcile(ctx context.Context, a *Attempt, until time.Time) (*Reconciliation, error) {
	latest := until
	own := func(number OrderNumber) bool {
		if !a.isOrder() {
			return c.core().spends.extended(a, 0)
		}
		return c.core().spends.ordered(a, number)
	}
	var evidence Evidence
	stayed := true // as it was, at each look
	for pause := firstLookPause; ; pause = min(2*pause, longestLookPause) {
		last := !time.Now().Before(until)
		seen, err := c.look(ctx, a)
		if err != nil {
			evidence.Err = err
		} else {
			seen.Looks = evidence.Looks + 1
			evidence = *seen
			switch verdict := a.judge(seen, latest, own, last); {
			case verdict == VerdictExecuted:
				return a.executed(seen, latest), nil
			case verdict != VerdictNotExecuted:
				stayed = false
			case last && stayed:
				return &Reconciliation{Verdict: VerdictNotExecuted, Evidence: evidence}, nil
			}
		}
		if err := contextError(ctx, nil); err != nil {
			evidence.Err = outside(c.core().redact, err)
			return &Reconciliation{Evidence: evidence}, evidence.Err
		}
		if last {
			return &Reconciliation{Evidence: evidence}, nil
		}
		wait(ctx, min(pause, time.Until(until)))
	}
}

// wait waits for d, or until ctx is over.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// look reads what the account holds of what a is about: the list first, so that
// what is executed meanwhile shows in the balance at least.
func (c *Client) look(ctx context.Context, a *Attempt) (*Evidence, error) {
	seen := new(Evidence)
	var err error
	if a.isOrder() {
		err = c.newOrders(ctx, a, seen)
	} else {
		err = c.ends(ctx, a, seen)
	}
	if err != nil {
		return nil, err
	}
	balance, aged, err := c.balance(ctx)
	switch {
	case err != nil:
		return nil, err
	case aged:
		return nil, errAged
	}
	seen.At, seen.Balance, seen.Fell = time.Now().UTC(), &balance, a.fell(balance)
	seen.Renewed = seen.Renewed || a.mayRenewItself(a.Before.Renewing, seen.At)
	return seen, nil
}

// newOrders notes the orders of the type of a that were not there before. A list
// may show the same proxy more than once.
func (c *Client) newOrders(ctx context.Context, a *Attempt, seen *Evidence) error {
	before := make(map[OrderID]bool, len(a.Before.Orders))
	for _, id := range a.Before.Orders {
		before[id] = true
	}
	seen.Vanished = len(before) > 0
	at := make(map[OrderID]int)
	shown := make(map[IPAddressID]bool)
	for p, err := range c.fresh(ctx, a.ProxyType) {
		if err != nil {
			return err
		}
		id := redactID(c, p.OrderID)
		if before[id] {
			seen.Vanished = false
			continue
		}
		if shown[p.ID] {
			continue
		}
		shown[p.ID] = true
		i, known := at[id]
		if !known {
			i = len(seen.NewOrders)
			at[id] = i
			seen.NewOrders = append(seen.NewOrders, SeenOrder{ID: id, Number: redactID(c, p.OrderNumber), Country: c.core().redact(p.Country), Start: p.Start})
		}
		o := &seen.NewOrders[i]
		o.Proxies++
		if o.Start.IsZero() || !p.Start.IsZero() && p.Start.Before(o.Start) {
			o.Start = p.Start
		}
	}
	return nil
}

// redactID takes the key out of an id that is kept, or shown in errors.
func redactID[ID ~string](c *Client, id ID) ID { return ID(c.core().redact(string(id))) }

func (c *Client) ends(ctx context.Context, a *Attempt, seen *Evidence) error {
	shown := make(map[IPAddressID]bool)
	var renewing []IPAddressID
	for p, err := range c.fresh(ctx, a.ProxyType) {
		if err != nil {
			return err
		}
		before, ours := a.Before.Ends[p.ID]
		if !ours || shown[p.ID] {
			continue
		}
		shown[p.ID] = true
		if p.AutoExtend {
			renewing = append(renewing, p.ID)
		}
		switch {
		case before.IsZero() || p.End.IsZero():
			seen.Otherwise++
		case p.End.Equal(before):
			seen.Unmoved++
		case p.End.Equal(before.Add(a.period())):
			seen.Moved++
		default:
			seen.Otherwise++
		}
	}
	seen.Otherwise += len(a.Before.Ends) - len(shown)
	seen.Renewed = a.mayRenewItself(renewing, time.Now())
	return nil
}

func (a *Attempt) period() time.Duration { return time.Duration(a.RentPeriodDays) * 24 * time.Hour }

// judge tells what one look shows: that a was executed, that nothing has changed,
// or too little.
func (a *Attempt) judge(seen *Evidence, latest time.Time, own func(OrderNumber) bool, last bool) Verdict {
	paid := seen.Fell != nil && seen.Fell.Equal(a.Price)
	if !a.isOrder() {
		switch {
		case seen.Moved == len(a.Before.Ends) && paid && !seen.Renewed && !a.Before.Disturbed && !own(""):
			return VerdictExecuted
		case seen.Unmoved == len(a.Before.Ends) && seen.Fell != nil && seen.Fell.Amount.IsZero():
			return VerdictNotExecuted
		}
		return VerdictUndetermined
	}
	var fitting, others []SeenOrder
	for _, o := range seen.NewOrders {
		switch {
		case o.Number != "" && slices.Contains(a.Before.Unseen, o.Number):
			// It was placed before.
		case a.fits(&o, latest) && !own(o.Number):
			fitting = append(fitting, o)
		default:
			others = append(others, o)
		}
	}
	switch {
	case len(fitting) == 1 && len(others) == 0 && paid:
		// The list tells milliseconds. One that began before may be another that shows
		// only now: the attempt's may follow.
		if start := fitting[0].Start; !last && !start.IsZero() && start.Before(a.At.Truncate(time.Millisecond)) {
			return VerdictUndetermined
		}
		return VerdictExecuted
	case len(fitting) == 0 && len(others) == 0 && !seen.Vanished && seen.Fell != nil && seen.Fell.Amount.IsZero() && !a.Price.Amount.IsZero():
		return VerdictNotExecuted
	}
	return VerdictUndetermined
}

// fits reports whether an order is all that a asked for.
func (a *Attempt) fits(o *SeenOrder, latest time.Time) bool {
	switch {
	case o.ID == "" || o.Proxies != a.Quantity:
		return false
	case o.Number == "" && len(a.Before.Unseen) > 0:
		return false // it may be one of those
	case slices.Contains(a.Before.Unseen, ""):
		return false // it may be that one
	case o.Country != a.Country && isCountryCode(o.Country):
		return false
	}
	return o.Start.IsZero() || !o.Start.Before(a.At.Add(-clockTolerance)) && !o.Start.After(latest.Add(clockTolerance))
}

// mayRenewItself reports whether the service may have extended some of those
// proxies by itself that are set so.
func (a *Attempt) mayRenewItself(renewing []IPAddressID, now time.Time) bool {
	return slices.ContainsFunc(renewing, func(id IPAddressID) bool {
		return !a.Before.Ends[id].After(now.Add(clockTolerance))
	})
}

func (a *Attempt) executed(seen *Evidence, latest time.Time) *Reconciliation {
	r := &Reconciliation{Verdict: VerdictExecuted, Evidence: *seen}
	quote := Quote{ProxyType: a.ProxyType, Price: a.Price, Balance: a.Before.Balance}
	if !a.isOrder() {
		r.Renewal = &Renewal{Quote: quote, Attempt: *a, Recovered: true, Charged: seen.Fell}
		return r
	}
	r.Purchase = &Purchase{Quote: quote, Attempt: *a, Recovered: true, Charged: seen.Fell}
	for _, o := range seen.NewOrders {
		if a.fits(&o, latest) && (o.Number == "" || !slices.Contains(a.Before.Unseen, o.Number)) {
			r.Purchase.OrderID = o.ID
		}
	}
	return r
}

// WaitForProxies waits until the account's list shows all proxies of a purchase,
// and gives them. It does not take those of another order: where it cannot tell
// which order is the one, it waits on. Where the list carries no order numbers, it
// tells by what was ordered and when. It looks again after growing pauses, until
// ctx is over; the error then tells how many came. A call that fails is made again
// then, too, unless the service does not accept the API key or the caller.
//
// It notes the OrderID in the purchase. So two must not wait for one purchase at
// once. Its errors, and their outcomes, are of reading the list: the purchase
// stands, and can be waited for again.
func (c *Client) WaitForProxies(ctx context.Context, p *Purchase) ([]Proxy, error) {
	const op = "GET /ipAddress"
	switch {
	case c == nil || c.core == nil:
		return nil, notSent(op, errEmptyClient)
	case ctx == nil:
		return nil, notSent(op, errNilContext)
	case p == nil:
		return nil, notSent(op, errors.New("the purchase is nil"))
	case p.Attempt.check() != nil || !p.Attempt.isOrder():
		return nil, notSent(op, errors.New("the purchase has no attempt: give one that Buy or Reconcile returned"))
	}
	came := 0
	var problem error
	for pause := firstLookPause; ; pause = min(2*pause, longestLookPause) {
		proxies, err := c.proxiesOf(ctx, p)
		switch {
		case err == nil && len(proxies) >= p.Attempt.Quantity:
			if p.Order != nil {
				c.core().spends.see(p.Order.Number)
			}
			return proxies, nil
		case errors.Is(err, ErrInvalidAPIKey), errors.Is(err, ErrCallerNotAllowed), errors.Is(err, ErrIncorrectProxyType):
			return nil, err // to ask again would not help
		case err == nil:
			came = len(proxies)
		}
		problem = err
		wait(ctx, pause)
		if over := contextError(ctx, nil); over != nil {
			text := fmt.Sprintf("the order stands, %d of %d proxies came", came, p.Attempt.Quantity)
			if problem != nil && !errors.Is(problem, ctx.Err()) {
				text += ", and the last look failed: " + reasonOf(problem)
			}
			return nil, &CallError{Op: op, Err: fmt.Errorf("%s: %w", text, outside(c.core().redact, over))}
		}
	}
}

// proxiesOf gives the proxies of a purchase that are in the list so far.
func (c *Client) proxiesOf(ctx context.Context, p *Purchase) ([]Proxy, error) {
	a := &p.Attempt
	before := make(map[OrderID]bool, len(a.Before.Orders))
	for _, id := range a.Before.Orders {
		before[id] = true
	}
	var list []Proxy
	shown := make(map[IPAddressID]bool)
	for proxy, err := range c.fresh(ctx, a.ProxyType) {
		if err != nil {
			return nil, err
		}
		id := redactID(c, proxy.OrderID)
		if shown[proxy.ID] || p.OrderID != "" && id != p.OrderID || p.OrderID == "" && before[id] {
			continue
		}
		shown[proxy.ID] = true
		list = append(list, proxy)
	}
	if p.OrderID != "" {
		return list, nil
	}
	return a.only(p, list), nil
}

// only gives the proxies of the one order among them that is the purchase, or
// none. The number of the order decides, where the list carries numbers.
func (a *Attempt) only(p *Purchase, list []Proxy) []Proxy {
	orders := make(map[OrderID][]Proxy)
	for _, proxy := range list {
		if proxy.OrderID != "" {
			orders[proxy.OrderID] = append(orders[proxy.OrderID], proxy)
		}
	}
	var fitting []OrderID
	incomplete := false
	for id, proxies := range orders {
		o := SeenOrder{ID: id, Number: proxies[0].OrderNumber, Country: proxies[0].Country, Proxies: len(proxies), Start: proxies[0].Start}
		switch {
		case p.Order != nil && o.Number == p.Order.Number:
			p.OrderID = id
			return proxies
		case o.Number == "" && a.fits(&o, time.Now()):
			fitting = append(fitting, id)
		case o.Number == "" && o.Proxies < a.Quantity:
			o.Proxies = a.Quantity
			incomplete = incomplete || a.fits(&o, time.Now()) // it may become the one
		}
	}
	if len(fitting) != 1 || incomplete {
		return nil
	}
	p.OrderID = fitting[0]
	return orders[p.OrderID]
}
