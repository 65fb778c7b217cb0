package youproxy

import (
	"context"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// survey reads the account's current proxies of a type within a minute, and returns the
// service's clock.
func (c *Client) survey(ctx context.Context, t ProxyType, f func(*Proxy)) (date time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listBound, errSlowList)
	defer cancel()
	e, err := c.list(ctx, ProxyQuery{t}, func(p *Proxy) bool {
		p.ID, p.OrderID, p.OrderNumber = redactID(c, p.ID), redactID(c, p.OrderID), redactID(c, p.OrderNumber)
		f(p)
		return true
	})
	switch {
	case err != nil:
		return time.Time{}, err
	case e.aged:
		return time.Time{}, errAged
	}
	return e.date, nil
}

// redactID takes the API key out of an id that is kept or shown in errors.
func redactID[ID ~string](c *Client, id ID) ID { return ID(c.core().redact(string(id))) }

// listing collects what a list shows of one proxy type. A list may show the same proxy
// more than once.
type listing struct {
	c          *Client
	orders     []SeenOrder
	at         map[OrderID]int
	shown      map[IPAddressID]bool
	extensions map[string]*endings    // by attempt
	fields     map[string]recordField // by names in Extra
	err        error
}

func newListing(c *Client) *listing {
	return &listing{c: c, at: make(map[OrderID]int), shown: make(map[IPAddressID]bool), extensions: make(map[string]*endings)}
}

func (l *listing) add(p *Proxy) {
	if l.shown[p.ID] {
		return
	}
	l.shown[p.ID] = true
	id := redactID(l.c, p.OrderID)
	i, known := l.at[id]
	if !known {
		i = len(l.orders)
		l.at[id] = i
		l.orders = append(l.orders, SeenOrder{ID: id, Number: redactID(l.c, p.OrderNumber), Country: l.c.core().redact(p.Country)})
	}
	o := &l.orders[i]
	o.Proxies++
	if !p.Start.IsZero() && (o.Start.IsZero() || p.Start.Before(o.Start)) {
		o.Start, o.zoneless = p.Start, l.isZoneless(p, fieldStart)
	}
	for _, x := range l.extensions {
		x.add(p, l)
	}
}

// isZoneless reports whether the list has a date of a proxy without its time zone. The
// text of such a date is in Extra.
func (l *listing) isZoneless(p *Proxy, date recordField) bool {
	for name := range p.Extra {
		f, known := l.fields[name]
		if !known {
			if l.fields == nil || len(l.fields) >= maxNames {
				l.fields = make(map[string]recordField)
			}
			f = newListName(name).field
			l.fields[name] = f
		}
		if f == date {
			return true
		}
	}
	return false
}

// zoneTolerance is the largest difference between a date without a time zone, which is
// read as UTC, and the time that is meant.
const zoneTolerance = 24 * time.Hour

// since returns the orders that were not listed before an attempt. vanished reports
// whether none of the earlier ones is listed.
func (l *listing) since(a *Attempt) (fresh []SeenOrder, vanished bool) {
	before := setOf(a.Before.Orders)
	vanished = len(before) > 0
	for _, o := range l.orders {
		if before[o.ID] {
			vanished = false
		} else {
			fresh = append(fresh, o)
		}
	}
	return fresh, vanished
}

func setOf[T comparable](list []T) map[T]bool {
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

// endings collects what a list shows of the proxies of an extension.
type endings struct {
	attempt  *Attempt
	now      map[IPAddressID]time.Time
	renewing []IPAddressID
	fresh    []time.Time // of proxies of the same orders that were not there before
	renews   bool        // the service may extend some of these by itself
	zoneless bool        // the list has some ends without their time zone
}

func (x *endings) add(p *Proxy, l *listing) {
	b := &x.attempt.Before
	switch _, ours := b.Ends[p.ID]; {
	case ours:
		x.now[p.ID] = p.End
		x.zoneless = x.zoneless || l.isZoneless(p, fieldEnd)
		if p.AutoExtend || p.AutoExtendUnknown {
			x.renewing = append(x.renewing, p.ID)
		}
	case p.OrderID != "" && slices.Contains(b.Orders, p.OrderID) && !slices.Contains(b.Beside, p.ID):
		x.fresh = append(x.fresh, p.End)
		x.renews = x.renews || p.AutoExtend || p.AutoExtendUnknown
		x.zoneless = x.zoneless || l.isZoneless(p, fieldEnd)
	}
}

// tell adds what was seen of an extension to the evidence. Missing proxies count as
// extended if as many new ones of their orders have the expected ends, as ids may change
// on renewal (inferred from another service).
func (x *endings) tell(seen *Evidence) {
	a := x.attempt
	var gone []time.Time
	for id, before := range a.Before.Ends {
		now, listed := x.now[id]
		switch {
		case !listed:
			gone = append(gone, before)
		case before.IsZero() || now.IsZero():
			seen.Otherwise++
		case now.Equal(before):
			seen.Unmoved++
		case a.extends(before, now):
			seen.Moved++
		default:
			seen.Otherwise++
		}
	}
	slices.SortFunc(gone, time.Time.Compare)
	slices.SortFunc(x.fresh, time.Time.Compare)
	renamed := len(gone) == len(x.fresh)
	for i := range gone {
		renamed = renamed && a.extends(gone[i], x.fresh[i])
	}
	if renamed {
		seen.Moved += len(gone)
	} else {
		seen.Otherwise += len(gone)
	}
	soon := seen.At.Add(clockTolerance)
	if x.zoneless {
		soon = soon.Add(zoneTolerance)
	}
	seen.Renewed = slices.ContainsFunc(append(x.renewing, a.Before.Renewing...), func(id IPAddressID) bool {
		return !a.Before.Ends[id].After(soon)
	}) || x.renews && len(gone) > 0 && !gone[0].After(soon)
}

// clockTolerance is how much the clocks of the service and of this machine may differ,
// where proxies that extend themselves are about to do so.
const clockTolerance = 10 * time.Minute

// extends reports whether an end moved by the rent period. A service may count months, or
// to the end of a day.
func (a *Attempt) extends(before, now time.Time) bool {
	return now.After(before) && now.Sub(before.Add(a.period())).Abs() <= 36*time.Hour
}

// judge decides what one look shows of an attempt: that it was executed, that the account
// is unchanged, or too little.
func (c *core) judge(e *Entry, v *vigil, seen *Evidence, l *listing, entries []Entry) {
	a := &e.Attempt
	v.verdict, v.order, v.charged = VerdictUndetermined, SeenOrder{}, nil
	account := c.accountOf([]byte(a.ID))
	same := a.Account == "" || a.Account == string(account[:])
	if !a.isOrder() {
		x := l.extensions[a.ID]
		x.tell(seen)
		paid, stayed := a.money(seen, entries, nil)
		switch {
		case seen.Moved == len(a.Before.Ends) && paid != nil && !seen.Renewed && !a.Before.Disturbed && !a.isTouched(entries):
			v.verdict, v.charged = VerdictExecuted, paid
		case seen.Unmoved == len(a.Before.Ends) && stayed && same:
			v.verdict = VerdictNotExecuted
		}
		return
	}
	seen.NewOrders, seen.Vanished = l.since(a)
	left, rivals := a.contest(l.orders, seen.NewOrders, entries)
	order, assumed, placed := a.placed(left, rivals)
	paid, stayed := a.money(seen, entries, assumed)
	same = same || len(a.Before.Orders) > 0 && !seen.Vanished && placed
	switch {
	case placed && paid != nil && same && !seen.Vanished:
		v.verdict, v.order, v.charged = VerdictExecuted, order, paid
	case stayed && same && !seen.Vanished && areAccounted(left, rivals):
		v.verdict = VerdictNotExecuted
	}
}

// money returns what was paid for an attempt, or nil if the balance did not fall by its
// price. stayed reports whether the balance is unchanged, except for what later entries
// of the journal account for. Entries in assumed count as executed: later ones lowered the
// balance, and earlier ones may have been paid before or after the snapshot of a.
func (a *Attempt) money(seen *Evidence, entries, assumed []Entry) (paid *Money, stayed bool) {
	if seen.Fell == nil {
		return nil, false
	}
	rest, certain, isLater := seen.Fell.Amount, len(assumed) == 0, a.order(entries)
	var earlier decimal.Decimal // what those before a cost
	for i := range entries {
		e := &entries[i]
		own, later := e.Attempt.ID == a.ID, isLater(e)
		if slices.ContainsFunc(assumed, func(other Entry) bool { return other.Attempt.ID == e.Attempt.ID }) {
			if !e.Attempt.PriceIfEach.IsZero() || e.Attempt.Price.Currency != seen.Fell.Currency {
				return nil, false
			}
			if later {
				rest = rest.Sub(e.Attempt.Price.Amount)
			} else {
				earlier = earlier.Add(e.Attempt.Price.Amount)
			}
		}
		if own || !later || e.State != EntryExecuted {
			continue
		}
		if e.Charged == nil || e.Charged.Currency != seen.Fell.Currency {
			return nil, false
		}
		rest = rest.Sub(e.Charged.Amount)
		certain = certain && e.Charged.Equal(e.Attempt.Price) && e.Attempt.PriceIfEach.IsZero() // otherwise it may hide that a was paid meanwhile
	}
	for _, price := range []Money{a.Price, a.PriceIfEach} {
		for _, sum := range []decimal.Decimal{rest, rest.Sub(earlier)} {
			if !price.IsZero() && sum.IsPositive() && sum.Sub(price.Amount).Abs().LessThanOrEqual(cent) {
				paid = &Money{Amount: sum, Currency: seen.Fell.Currency}
			}
		}
	}
	stayed = certain && rest.IsZero() && seen.Quoted != nil && seen.Balance.Equal(*seen.Quoted) && a.Price.Amount.GreaterThan(cent)
	return paid, stayed
}

var cent = decimal.New(1, -2)

// order returns a function that, called with the entries in turn, reports whether each
// came after a. For an attempt that is not among the entries only clocks show that.
func (a *Attempt) order(entries []Entry) (isLater func(e *Entry) bool) {
	if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Attempt.ID == a.ID }) {
		return func(e *Entry) bool { return !e.SettledAt.Before(a.At.Add(-time.Hour)) }
	}
	later := false
	return func(e *Entry) bool {
		later = later || e.Attempt.ID == a.ID
		return later
	}
}

// isTouched reports whether another entry may have moved the ends of an extension.
func (a *Attempt) isTouched(entries []Entry) bool {
	isLater := a.order(entries)
	return slices.ContainsFunc(entries, func(e Entry) bool {
		o := &e.Attempt
		later := isLater(&e)
		switch {
		case o.ID == a.ID, e.State == EntryNotExecuted, o.isOrder() && o.ProxyType != "":
			return false
		case !later && e.State == EntryExecuted:
			return false // the snapshot showed it
		case o.isPlain():
			return a.At.Sub(o.At) < remainsFor && (o.ProxyType == "" || o.ProxyType == a.ProxyType)
		}
		return a.shares(o)
	})
}

// contest returns the new orders that no other entry of the journal accounts for, and the
// entries that may account for one of them, though it is not known which. If the list
// shows the numbers of orders, an entry with a number is none of these.
func (a *Attempt) contest(all, fresh []SeenOrder, entries []Entry) (left []SeenOrder, rivals []Entry) {
	left = slices.Clone(fresh)
	taken := make(map[OrderID]bool)
	take := func(is func(SeenOrder) bool) bool {
		i := slices.IndexFunc(all, is)
		if i < 0 {
			return false
		}
		taken[all[i].ID] = true
		left = slices.DeleteFunc(left, is)
		return true
	}
	for _, n := range a.Before.Unseen { // of version 1
		e := Entry{State: EntryOpen, OrderNumber: n, Attempt: Attempt{Op: opOrder, ProxyType: a.ProxyType}}
		if n != "" {
			e.State = EntryExecuted
		}
		entries = append([]Entry{e}, entries...)
	}
	unknown := make([]bool, len(entries)) // which order it is
	for i, e := range entries {
		o := &e.Attempt
		if o.ID == a.ID || e.State == EntryNotExecuted || !o.mayOrder(a.ProxyType) {
			continue
		}
		if o.isPlain() && e.State != EntryOpen && a.At.Sub(o.At) > remainsFor && o.Version != 0 {
			continue
		}
		found := e.OrderID != "" && take(func(s SeenOrder) bool { return s.ID == e.OrderID }) ||
			e.OrderID == "" && e.OrderNumber != "" && take(func(s SeenOrder) bool { return s.Number == e.OrderNumber })
		unknown[i] = !found && e.OrderID == ""
	}
	numbered := !slices.ContainsFunc(left, func(s SeenOrder) bool { return s.Number == "" })
	early, later := 0, false // rivals before a
	for i, e := range entries {
		later = later || e.Attempt.ID == a.ID
		if !unknown[i] || e.OrderNumber != "" && numbered {
			continue
		}
		if rivals = append(rivals, e); !later {
			early = len(rivals)
		}
	}
	return left, a.unseen(all, taken, rivals, early)
}

// unseen drops, from the first rivals, those whose order was already in the snapshot of
// a.
func (a *Attempt) unseen(all []SeenOrder, taken map[OrderID]bool, rivals []Entry, early int) []Entry {
	before := setOf(a.Before.Orders)
	for i := early - 1; i >= 0; i-- {
		e := &rivals[i]
		for _, s := range all {
			if before[s.ID] && !taken[s.ID] && e.State == EntryExecuted && !e.Attempt.isPlain() && e.mayBe(&s) {
				taken[s.ID] = true
				rivals = slices.Delete(rivals, i, i+1)
				break
			}
		}
	}
	return rivals
}

// mayOrder reports whether an attempt may place an order of a type.
func (a *Attempt) mayOrder(t ProxyType) bool {
	return a.ProxyType == "" || a.isOrder() && a.ProxyType == t
}

// mayBe reports whether an order may be that of an entry, as far as is known.
func (e *Entry) mayBe(o *SeenOrder) bool {
	a := &e.Attempt
	return !slices.Contains(a.Before.Orders, o.ID) && (a.Quantity == 0 || o.Proxies <= a.Quantity) &&
		(e.OrderNumber == "" || o.Number == "" || o.Number == e.OrderNumber) &&
		(a.Country == "" || o.Country == a.Country || !isCountryCode(o.Country))
}

// placed returns the order that an attempt placed, out of those that no other entry
// accounts for. If other entries may account for some of them, as many orders as entries
// must have come; then it may not be known which order is that of the attempt. Open
// rivals are assumed to have been executed, which the balance must confirm.
func (a *Attempt) placed(left []SeenOrder, rivals []Entry) (order SeenOrder, assumed []Entry, ok bool) {
	var fitting, own, early []SeenOrder
	contested := make(map[int]bool)
	for _, o := range left {
		claimed := false
		fits := a.fits(&o)
		for i := range rivals {
			if rivals[i].mayBe(&o) {
				claimed = true
				contested[i] = contested[i] || fits
			}
		}
		switch {
		case fits && !claimed:
			own = append(own, o)
			fallthrough
		case fits:
			fitting = append(fitting, o)
		case !claimed:
			return SeenOrder{}, nil, false // of somebody else, or incomplete
		case a.isBefore(&o):
			early = append(early, o)
		}
	}
	count := 1
	for i, c := range contested {
		if c {
			count++
		}
		if c && rivals[i].State != EntryExecuted {
			assumed = append(assumed, rivals[i])
		}
	}
	came := len(fitting)
	for i := range early { // which can only belong to the others
		for j, c := range contested {
			if c && rivals[j].mayBe(&early[i]) {
				came++
				break
			}
		}
	}
	switch {
	case came != count || len(fitting) == 0:
		return SeenOrder{}, nil, false
	case len(fitting) == 1:
		return fitting[0], assumed, true
	case len(own) == 1:
		return own[0], assumed, true
	}
	return SeenOrder{}, assumed, true
}

// areAccounted reports whether each order may be that of an entry that was executed.
func areAccounted(left []SeenOrder, rivals []Entry) bool {
	rivals = slices.Clone(rivals)
	for _, o := range left {
		i := slices.IndexFunc(rivals, func(e Entry) bool { return e.State == EntryExecuted && e.mayBe(&o) })
		if i < 0 {
			return false
		}
		rivals = slices.Delete(rivals, i, i+1)
	}
	return true
}

// fits reports whether an order is complete and as requested.
func (a *Attempt) fits(o *SeenOrder) bool {
	return o.ID != "" && o.Proxies == a.Quantity && (o.Country == a.Country || !isCountryCode(o.Country)) && !a.isBefore(o)
}

// isBefore reports whether an order started before the attempt, by the service's own
// clock and as precisely as the list shows it. A start without a time zone, or without a
// time, may be in any zone.
func (a *Attempt) isBefore(o *SeenOrder) bool {
	date := a.Before.Date
	if date.IsZero() || o.Start.IsZero() {
		return false
	}
	precision, zoneless := time.Second, o.zoneless
	switch {
	case o.Start.Truncate(24 * time.Hour).Equal(o.Start):
		precision, zoneless = 24*time.Hour, true
	case o.Start.Truncate(time.Minute).Equal(o.Start):
		precision = time.Minute
	}
	if zoneless {
		date = date.Add(-zoneTolerance)
	}
	return o.Start.Truncate(precision).Before(date.Truncate(precision))
}
