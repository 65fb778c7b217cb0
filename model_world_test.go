package youproxy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// modelKind is what happens in a run beside the faults.
type modelKind int

const (
	kindAlone   modelKind = iota // nothing: one purchase with one fault
	kindFleet                    // several purchases of several processes
	kindCaller                   // the caller's context ends
	kindReads                    // calls that read fail
	kindCache                    // a cache answers
	kindOthers                   // others use the account
	kindJournal                  // the journal fails
	kindCrash                    // processes end, or lose the lock
)

var modelKinds = []modelKind{
	kindAlone, kindAlone, kindAlone, kindAlone, kindAlone, kindAlone, kindAlone, kindAlone,
	kindFleet, kindFleet, kindCaller, kindReads, kindCache, kindOthers, kindOthers, kindJournal,
	kindCrash, kindCrash, kindCrash, kindCrash, kindCrash,
}

// modelWorld is an account with all that goes on around it, in one run.
type modelWorld struct {
	seed   uint64
	kind   modelKind
	began  time.Time
	server *youproxytest.Server
	others *youproxy.Client

	shape        modelShape
	delay        time.Duration // of provisioning
	commitDelay  time.Duration
	patience     time.Duration
	spendTimeout time.Duration
	skew         time.Duration // of the service's clock
	perProxy     bool          // a quote tells the price of one
	noBalances   bool          // quotes and refusals tell none
	renewedIDs   bool
	hasOthers    bool // who use the account
	budget       youproxy.Money
	budgetPer    time.Duration    // 0 for none
	ending       youproxy.OrderID // one that soon does, if there is one
	endingDays   int              // by which it is then extended; 0 for not
	hangs        bool             // what is executed late is so after the client gave up
	wishes       []*modelWish
	acts         []*modelAct
	readFaults   map[int]youproxytest.Fault // by the request
	recordFaults map[int]string             // by the record
	slots        []*modelSlot

	stored *testJournal // of all processes

	mu         sync.Mutex
	trace      []string
	wrong      []string
	misled     int // statements that are false as they had to be
	requests   int // of the processes
	records    int
	noted      bool // something was read for a wish
	touched    bool // others changed the account
	crashed    bool
	holder     *modelProcess // that has the journal locked
	unlock     func()
	sending    *modelSend // in time, under the lock
	sends      []*modelSend
	statements []modelStatement
	settledBy  map[string]*modelProcess        // by attempt
	extensions []*modelSend                    // that made them, as the server lists them
	orders     map[youproxy.OrderID]*modelSend // that placed them
}

// modelWish is a purchase or a renewal that somebody wants to make once.
type modelWish struct {
	n      int
	order  *modelOrder            // or
	extend youproxy.ExtendRequest // one of them
	promo  string
	limit  youproxy.Money
	key    string
	plain  bool // by a call without a guard
	faults []modelFault
	quoted *youproxy.Quote // before all, to others
	each   bool            // that is the price of each proxy, and the price of one alone shows it

	after    time.Duration   // when it is wanted first
	pauses   []time.Duration // between the tries
	recovers bool            // the caller calls Recover where something is pending
	waits    time.Duration   // until the context of the first try ends; 0 for ever

	// Under the world's lock.
	sends []*modelSend
	tries int
	done  bool // the caller was told that it was bought
}

func (i *modelWish) who() string { return fmt.Sprint("wish ", i.n) }

// modelOrder is what is ordered, and how.
type modelOrder struct {
	youproxytest.Order // type, country, quantity and period

	goal string
	byIP bool
}

func newModelOrder(t youproxy.ProxyType, country string, quantity, days int) *modelOrder {
	return &modelOrder{youproxytest.Order{ProxyType: t, Country: country, Quantity: quantity, RentPeriodDays: days}, "surveys", false}
}

func (o *modelOrder) request(promo string) youproxy.OrderRequest {
	auth, ip := youproxy.AuthTypeLogin, netip.Addr{}
	if o.byIP {
		auth, ip = youproxy.AuthTypeIP, netip.MustParseAddr("203.0.113.7")
	}
	common := youproxy.ISPOrderRequest{
		Country: o.Country, Quantity: o.Quantity, RentPeriodDays: o.RentPeriodDays, Goal: o.goal, AuthType: auth, AuthIP: ip, PromoCode: promo,
	}
	switch o.ProxyType {
	case youproxy.ProxyTypeIPv4:
		return youproxy.IPv4OrderRequest(common)
	case youproxy.ProxyTypeIPv6:
		return youproxy.IPv6OrderRequest{Country: o.Country, Quantity: o.Quantity, RentPeriodDays: o.RentPeriodDays, Goal: o.goal, AuthType: auth, AuthIP: ip, PromoCode: promo, Protocol: youproxy.ProtocolSOCKS}
	case youproxy.ProxyTypeMobile:
		return youproxy.MobileOrderRequest{Country: o.Country, Quantity: o.Quantity, RentPeriodDays: o.RentPeriodDays, Goal: o.goal, AuthType: auth, AuthIP: ip, PromoCode: promo, MobileOperator: modelOperators[o.Country], RotationTime: 300}
	}
	return common
}

// modelSend is a request that spends.
type modelSend struct {
	who      string
	wish     *modelWish // nil for others
	nth      int        // of the wish
	call     *modelCall
	attempt  youproxy.Attempt
	fault    modelFault
	at       time.Time
	gaveUp   time.Time
	extended int // extensions before its proxies were looked at
	onItsWay bool
	isLate   bool // to be executed later

	first    string // what the call that sent it said
	toldAt   time.Time
	toldCall *modelCall
}

var (
	modelByOthers = &modelSend{who: "others"}
	modelByItself = &modelSend{who: "the service"}
	modelByNobody = &modelSend{who: "before"}
)

// modelAct is what others do at some time.
type modelAct struct {
	rng   *rand.Rand
	after time.Duration // since the processes began; 0: see request
	at    int           // just before this request
}

// newModelWorld draws a run. Every run is decided by its seed alone.
func newModelWorld(seed uint64) *modelWorld {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	w := &modelWorld{
		seed: seed, kind: pick(rng, modelKinds), began: time.Now(), shape: pick(rng, modelShapes()), stored: newTestJournal(),
		orders: make(map[youproxy.OrderID]*modelSend), settledBy: make(map[string]*modelProcess),
		readFaults: make(map[int]youproxytest.Fault), recordFaults: make(map[int]string),
	}
	w.patience = pick(rng, []time.Duration{2 * time.Minute, 2 * time.Minute, 40 * time.Second, 5 * time.Minute})
	w.spendTimeout = pick(rng, []time.Duration{2 * time.Minute, 30 * time.Second})
	switch delayed := rng.IntN(16); {
	case delayed == 0:
		w.delay = seconds(rng, 1, 300)
	case delayed < 8:
		w.delay = seconds(rng, 1, 35)
	}
	// No later than the patience after the sending ended.
	w.commitDelay = w.patience - time.Second
	if rng.IntN(3) > 0 || w.kind == kindAlone {
		w.commitDelay = seconds(rng, 1, int(w.patience/time.Second))
	}
	if w.kind != kindCaller && rng.IntN(2) == 0 {
		w.hangs = true
		w.commitDelay += w.spendTimeout - 10*time.Second // which may pass before it is sent
	}
	w.openAccount(rng)
	w.stock(rng)
	if w.kind == kindOthers && rng.IntN(3) == 0 {
		w.stockEnding(rng)
	}
	processes := 1
	if w.kind != kindAlone {
		processes += rng.IntN(3)
	}
	for n := range processes {
		w.slots = append(w.slots, &modelSlot{n: n, recoversFirst: rng.IntN(2) == 0})
	}
	w.wishFor(rng)
	w.disturb(rng)
	var sum decimal.Decimal
	for _, i := range w.wishes {
		w.ask(i, rng)
		sum = sum.Add(i.limit.Amount)
	}
	if rng.IntN(5) == 0 && sum.IsPositive() {
		w.budgetPer = pick(rng, []time.Duration{10 * time.Minute, 24 * time.Hour})
		w.budget = youproxy.Money{Amount: sum.Mul(decimal.New(int64(60+rng.IntN(60)), -2)).Round(2), Currency: "USD"}
	}
	return w
}

// openAccount draws what kind of service it is.
func (w *modelWorld) openAccount(rng *rand.Rand) {
	balance := "30000 USD"
	if rng.IntN(30) == 0 {
		balance = "7.5 USD"
	}
	promoEnd := time.Time{}
	if rng.IntN(3) == 0 {
		promoEnd = w.began.Add(time.Second)
	}
	if rng.IntN(3) == 0 {
		w.skew = seconds(rng, -900, 900) + oddMoment(rng)
		promoEnd = time.Time{}
	}
	opts := []youproxytest.Option{
		youproxytest.WithBalance(youproxy.MustMoney(balance)), youproxytest.WithListShape(w.shape.shape),
		youproxytest.WithProvisioningDelay(w.delay), youproxytest.WithCommitDelay(w.commitDelay), youproxytest.WithClockSkew(w.skew),
		youproxytest.WithPromoCodes(
			youproxytest.PromoCode{Code: "HALF", Percent: 50}, youproxytest.PromoCode{Code: "FREE", Percent: 100},
			youproxytest.PromoCode{Code: "ENDS", Percent: 30, End: promoEnd},
		),
	}
	if rng.IntN(8) == 0 {
		w.perProxy = true
		opts = append(opts, youproxytest.WithPricePerProxy())
	}
	if w.kind != kindCache && rng.IntN(40) == 0 { // what a cache tells of them cannot be checked
		w.noBalances = true
		opts = append(opts, youproxytest.WithNullBalances())
	}
	if rng.IntN(12) == 0 {
		opts = append(opts, youproxytest.WithoutDate())
	}
	if w.hasOthers = w.kind == kindOthers || w.kind == kindCrash && rng.IntN(6) == 0; !w.hasOthers && rng.IntN(6) == 0 {
		w.renewedIDs = true
		opts = append(opts, youproxytest.WithRenewedIDs())
	}
	switch rng.IntN(8) {
	case 0:
		opts = append(opts, youproxytest.WithExtensionEnd(func(end time.Time, days int) time.Time {
			return end.AddDate(0, 0, days+1).Truncate(24 * time.Hour)
		}))
	case 1:
		offset := time.Duration(rng.IntN(60)-30) * time.Hour
		opts = append(opts, youproxytest.WithExtensionEnd(func(end time.Time, days int) time.Time {
			return end.AddDate(0, 0, days).Add(offset)
		}))
	}
	if w.kind == kindCache {
		opts = append(opts, youproxytest.WithCache(youproxytest.Cache{MaxAge: seconds(rng, 2, 200), Silent: rng.IntN(2) == 0}))
	}
	w.server = youproxytest.NewServer(opts...)
	var err error
	w.others, err = w.server.Client()
	w.must(err)
}

// seconds draws a duration of whole seconds.
func seconds(rng *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+rng.IntN(to-from+1)) * time.Second
}

// oddMoment draws a part of a second at which nothing else happens.
func oddMoment(rng *rand.Rand) time.Duration {
	return time.Duration(1+rng.IntN(400_000))*time.Microsecond + time.Duration(1+rng.IntN(900))
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// stock puts orders into the account that are there already.
func (w *modelWorld) stock(rng *rand.Rand) {
	for range rng.IntN(5) {
		o := youproxytest.Order{ProxyType: pick(rng, modelTypes), Country: pick(rng, modelCountries), Quantity: 1 + rng.IntN(3)}
		o.CreatedAt = w.began.Add(w.skew - time.Duration(rng.IntN(25*24))*time.Hour - time.Hour)
		w.orders[w.server.AddOrder(o).ID] = modelByNobody
	}
}

// stockEnding puts an order into the account that ends soon, or is then extended by the
// service itself.
func (w *modelWorld) stockEnding(rng *rand.Rand) {
	days := pick(rng, modelPeriods)
	o := w.server.AddOrder(youproxytest.Order{
		ProxyType: pick(rng, modelTypes), Country: pick(rng, modelCountries), Quantity: 1 + rng.IntN(3), RentPeriodDays: days,
		CreatedAt: w.began.Add(w.skew).AddDate(0, 0, -days).Add(seconds(rng, 3, 400) + oddMoment(rng)),
	})
	w.orders[o.ID] = modelByNobody
	w.ending = o.ID
	if rng.IntN(3) > 0 {
		w.endingDays = pick(rng, modelPeriods)
		_, err := w.others.SetAutoExtend(context.Background(), youproxy.AutoExtendOrdersRequest{
			ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: w.endingDays, AutoExtend: true,
		})
		w.must(err)
	}
	w.touched = true
}

var (
	modelTypes     = []youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP}
	modelCountries = []string{"USA", "DEU", "GBR"}
	modelOperators = map[string]string{"USA": "verizon", "DEU": "telekom", "GBR": "vodafone"}
	modelPeriods   = []int{30, 360}
)

// wishFor draws what is to be bought, and by which processes.
func (w *modelWorld) wishFor(rng *rand.Rand) {
	many := 1
	switch w.kind {
	case kindAlone:
	case kindFleet:
		many = 2 + rng.IntN(3)
	default:
		many = 1 + rng.IntN(3)
	}
	for n := range many {
		i := &modelWish{n: n, after: seconds(rng, 0, 1+20*min(n, 1)*rng.IntN(4)) + oddMoment(rng), recovers: rng.IntN(2) == 0}
		if first := w.wishes; n > 0 && rng.IntN(2) == 0 { // the very same
			i.order, i.extend, i.promo = first[0].order, first[0].extend, first[0].promo
		} else {
			w.draw(rng, i)
		}
		if i.plain = n > 0 && w.kind != kindAlone && rng.IntN(4) == 0; !i.plain && rng.IntN(2) == 0 {
			i.key = "job " + i.who()
		}
		for range rng.IntN(5) {
			i.pauses = append(i.pauses, pick(rng, []time.Duration{time.Second, 20 * time.Second, 3 * time.Minute, 10 * time.Minute})+oddMoment(rng))
		}
		for range 1 + rng.IntN(2) {
			i.faults = append(i.faults, w.faultFor(rng, i))
		}
		if i.plain && rng.IntN(2) == 0 {
			i.faults = nil
		}
		if w.kind == kindAlone {
			i.faults = i.faults[:1]
		}
		if w.kind == kindCaller && n == 0 {
			i.waits = seconds(rng, 1, 200) + oddMoment(rng)
		}
		slot := pick(rng, w.slots)
		slot.wishes = append(slot.wishes, i)
		if other := pick(rng, w.slots); i.key != "" && other != slot && rng.IntN(2) == 0 {
			other.wishes = append(other.wishes, i)
		}
		w.wishes = append(w.wishes, i)
	}
}

func (w *modelWorld) draw(rng *rand.Rand, i *modelWish) {
	i.promo = pick(rng, []string{"", "", "", "", "", "", "", "", "HALF", "HALF", "HALF", "ENDS", "NONE"})
	if rng.IntN(40) == 0 {
		i.promo = "FREE"
	}
	if i.extend = w.renewal(rng, i.promo); i.extend == nil || rng.IntN(2) == 0 {
		i.extend = nil
		i.order = newModelOrder(pick(rng, modelTypes), pick(rng, modelCountries), 1+rng.IntN(3), pick(rng, modelPeriods))
		i.order.byIP = rng.IntN(2) == 0
		if rng.IntN(40) == 0 {
			i.order.goal = "spam"
		}
	}
}

// renewal draws an extension of proxies in the account: whole orders, or a part of one;
// nil where there is none.
func (w *modelWorld) renewal(rng *rand.Rand, promo string) youproxy.ExtendRequest {
	now := time.Now().Add(w.skew)
	var orders []youproxytest.Order
	ips := make(map[youproxy.OrderID][]youproxy.IPAddressID)
	for _, ip := range w.server.IPAddresses() {
		if !ip.ReadyAt.After(now) && ip.End.After(now) {
			ips[ip.OrderID] = append(ips[ip.OrderID], ip.ID)
		}
	}
	for _, o := range w.server.Orders() {
		if ips[o.ID] != nil {
			orders = append(orders, o)
		}
	}
	if len(orders) == 0 {
		return nil
	}
	first := pick(rng, orders)
	days := pick(rng, modelPeriods)
	if n := slices.IndexFunc(orders, func(o youproxytest.Order) bool { return o.ID == w.ending }); n >= 0 && rng.IntN(4) > 0 {
		first, orders = orders[n], orders[n:n+1]
		if w.endingDays > 0 && rng.IntN(3) > 0 {
			days = w.endingDays
		}
	}
	orders = slices.DeleteFunc(orders, func(o youproxytest.Order) bool {
		return o.ProxyType != first.ProxyType || o.ID != first.ID && rng.IntN(2) == 0
	})
	if rng.IntN(2) == 0 {
		r := youproxy.ExtendOrdersRequest{ProxyType: first.ProxyType, RentPeriodDays: days, PromoCode: promo}
		for _, o := range orders {
			r.OrderIDs = append(r.OrderIDs, o.ID)
		}
		return r
	}
	r := youproxy.ExtendIPsRequest{ProxyType: first.ProxyType, RentPeriodDays: days, PromoCode: promo}
	for _, o := range orders {
		chosen := ips[o.ID]
		if len(chosen) > 1 && (o.ProxyType != youproxy.ProxyTypeIPv6 && rng.IntN(2) == 0 || rng.IntN(8) == 0) {
			chosen = chosen[1:]
		}
		r.IPAddressIDs = append(r.IPAddressIDs, chosen...)
	}
	return r
}

// ask asks what a wish costs, and sets its limit.
func (w *modelWorld) ask(i *modelWish, rng *rand.Rand) {
	limit := rng.IntN(24)
	var err error
	if i.order != nil {
		i.quoted, err = w.others.QuoteOrder(context.Background(), i.order.request(i.promo))
	} else {
		i.quoted, err = w.others.QuoteExtension(context.Background(), i.extend)
	}
	i.limit = youproxy.MustMoney("1 USD")
	if err != nil { // a part of an IPv6 order
		return
	}
	i.limit = i.quoted.Price
	i.each = w.perProxy && w.showsEach(i)
	if i.each {
		i.limit.Amount = i.limit.Amount.Mul(decimal.NewFromInt(int64(w.quantity(i))))
	}
	switch {
	case limit == 0:
		i.limit.Amount = i.limit.Amount.Sub(decimal.New(1, -2))
	case limit == 1:
		i.limit.Currency = "EUR"
	case limit < 13:
		i.limit.Amount = i.limit.Amount.Mul(decimal.New(15, -1))
	}
}

// showsEach reports whether the price of one can be asked beside that of all.
func (w *modelWorld) showsEach(i *modelWish) bool {
	switch x := i.extend.(type) {
	case youproxy.ExtendOrdersRequest:
		return len(x.OrderIDs) > 1
	case youproxy.ExtendIPsRequest: // a part of an IPv6 order cannot
		for _, o := range w.server.Orders() {
			for _, ip := range w.server.IPAddresses() {
				if ip.ID == x.IPAddressIDs[0] && ip.OrderID == o.ID {
					return o.Quantity == 1 || o.ProxyType != youproxy.ProxyTypeIPv6
				}
			}
		}
	}
	return true
}

func (w *modelWorld) quantity(i *modelWish) int {
	if i.order != nil {
		return i.order.Quantity
	}
	ips, _ := w.proxiesOf(i.extend)
	return len(ips)
}
