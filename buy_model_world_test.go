package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// modelFault is what befalls the request that spends.
type modelFault struct {
	name   string
	inject youproxytest.Fault
	refuse int    // a code of the service
	hangs  bool   // the client hears of nothing until it gives up
	answer string // in place of the reply to what was executed
	status int    // of that answer
}

const hanging = ", after hanging"

// modelFaults is every fault, the first of which is none.
func modelFaults() []modelFault {
	list := []modelFault{{name: "none"}, {name: "refused", refuse: 11}}
	for _, f := range youproxytest.Faults() {
		list = append(list, modelFault{name: f.String(), inject: f})
		if f == youproxytest.DropBeforeCommit || f == youproxytest.CommitLate {
			list = append(list, modelFault{name: f.String() + hanging, inject: f, hangs: true})
		}
	}
	const page, executed = "<html><title>Sorry</title></html>", ", after executing it"
	return append(list,
		modelFault{name: youproxytest.BadGateway.String() + executed, status: 502, answer: page},
		modelFault{name: youproxytest.HTMLPage.String() + executed, status: 200, answer: page},
		modelFault{name: youproxytest.Redirect.String() + executed, status: 307, answer: page},
		modelFault{name: youproxytest.ServiceFault.String() + executed, status: 200, answer: `{"success": false, "error": {"code": 35, "message": "Unknown error"}}`},
	)
}

// modelShape is a shape of the list, with what it keeps silent about.
type modelShape struct {
	name  string
	shape youproxytest.ListShape

	noNumber, noStart, noCountry, noOrderID, noEnd bool
}

func modelShapes() []modelShape {
	without := func(names ...string) youproxytest.ListShape {
		extra := make(map[string]any)
		for _, name := range names {
			extra[name] = nil
		}
		return youproxytest.ListShape{Extra: extra}
	}
	sparse := without("orderNumber", "dateStart")
	sparse.Flat, sparse.Sparse, sparse.NumericIDs, sparse.PortInIP = true, true, true, true
	return []modelShape{
		{name: "bare"},
		{name: "bare"},
		{name: "bare"},
		{name: "flat", shape: youproxytest.ListShape{Flat: true, Sparse: true, NumericIDs: true}},
		{name: "orders", shape: youproxytest.ListShape{Orders: true}},
		{name: "short orders", shape: youproxytest.ListShape{Orders: true, OrdersKey: "list", ShortNames: true, Sparse: true, NumericIDs: true}},
		{name: "no numbers", shape: without("orderNumber"), noNumber: true},
		{name: "no starts", shape: without("dateStart"), noStart: true},
		{name: "no countries", shape: without("country"), noCountry: true},
		{name: "country names", shape: youproxytest.ListShape{Extra: map[string]any{"country": "Somewhere"}}, noCountry: true},
		{name: "no numbers, no starts", shape: sparse, noNumber: true, noStart: true},
		{name: "no order ids", shape: without("orderId"), noOrderID: true},
		{name: "no ends", shape: without("dateEnd"), noEnd: true},
	}
}

// modelWorld is an account with all that goes on around it, in one run.
type modelWorld struct {
	seed   uint64
	began  time.Time
	server *youproxytest.Server
	others *youproxy.Client

	shape         modelShape
	delay         time.Duration // of provisioning
	commitDelay   time.Duration
	patience      time.Duration
	spendTimeout  time.Duration
	ending        youproxy.OrderID // one that soon does, if there is one
	endingDays    int              // by which it is then extended; 0 for not
	hangs         bool             // what is executed late is so after the client gave up
	recorderTakes time.Duration
	recorderFails bool
	callerWaits   time.Duration // until the context of the first purchase ends; 0 for ever
	intents       []*modelIntent
	acts          []*modelAct
	readFaults    map[int]youproxytest.Fault // by the request
	crashes       []modelCrash               // of the first process, the second ...
	downtimes     []time.Duration

	mu         sync.Mutex
	trace      []string
	wrong      []string
	misled     int  // statements that are false as they had to be
	requests   int  // of the processes
	noted      bool // a balance before an attempt was read
	touched    bool // others changed the account
	crashed    bool
	faulty     bool                        // a read failed
	extensions []string                    // who made them, as the server lists them
	orders     map[youproxy.OrderID]string // who placed them
	journal    []*modelEntry
	before     int // orders that the client sent before
}

const (
	modelByIntent = "intent " // and its number
	modelByOthers = "others"
	modelByClient = "the client before"
	modelByItself = "the service"
)

// modelIntent is a purchase or a renewal that somebody wants to make once.
type modelIntent struct {
	n      int
	order  youproxy.OrderRequest
	extend youproxy.ExtendRequest
	limit  youproxy.Money
	fault  modelFault
	quoted *youproxy.Quote // before all, to others

	replies  map[string]*bytes.Buffer // what the guards had to go by, by call
	sent     int
	sentAt   time.Time
	onItsWay bool // sent, and the client has not given up
	isLate   bool // to be executed later
	extended int  // extensions before its proxies were looked at
	gaveUp   time.Time
	recorded bool
	attempt  youproxy.Attempt // if recorded

	first      string // what Buy or Renew said
	last       string
	statements []modelStatement
}

// modelStatement is what the package said of an intent.
type modelStatement struct {
	who       string
	by        *modelProcess
	at        time.Time
	executed  bool
	orderID   youproxy.OrderID
	number    youproxy.OrderNumber
	recovered bool
	charged   *youproxy.Money
	ips       []youproxy.IPAddressID // of WaitForProxies
}

func (i *modelIntent) who() string { return fmt.Sprint(modelByIntent, i.n) }

// what gives type, country, quantity and period of an order.
func (i *modelIntent) what() (t youproxy.ProxyType, country string, quantity, days int) {
	switch r := i.order.(type) {
	case youproxy.IPv4OrderRequest:
		return r.ProxyType(), r.Country, r.Quantity, r.RentPeriodDays
	case youproxy.IPv6OrderRequest:
		return r.ProxyType(), r.Country, r.Quantity, r.RentPeriodDays
	case youproxy.MobileOrderRequest:
		return r.ProxyType(), r.Country, r.Quantity, r.RentPeriodDays
	case youproxy.ISPOrderRequest:
		return r.ProxyType(), r.Country, r.Quantity, r.RentPeriodDays
	}
	return "", "", 0, 0
}

// modelEntry is a line of the journal: an attempt as JSON.
type modelEntry struct {
	intent *modelIntent
	text   []byte
	done   bool
}

// modelAct is what others do at some time.
type modelAct struct {
	rng   *rand.Rand
	after time.Duration // since the purchase began; negative: before; 0: see request
	at    int           // just before this request
}

// modelCrash is where a process ends.
type modelCrash struct {
	where string // "" for nowhere
	n     int    // the request
	after time.Duration
}

const (
	beforeRecording = "before it was recorded"
	afterRecording  = "after it was recorded"
	beforeSending   = "before it was sent"
	afterSending    = "after it was sent"
	readingReply    = "while the reply is read"
	afterVerdict    = "after the verdict"
	atRequest       = "at a request"
	atTime          = "at some time"
)

var errModelCrash = errors.New("the process ended")

// newModelWorld draws a run. Every run is decided by its seed alone.
func newModelWorld(seed uint64) *modelWorld {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	w := &modelWorld{
		seed: seed, began: time.Now(),
		shape:      pick(rng, modelShapes()),
		orders:     make(map[youproxy.OrderID]string),
		readFaults: make(map[int]youproxytest.Fault),
	}
	w.patience = pick(rng, []time.Duration{2 * time.Minute, 2 * time.Minute, 40 * time.Second, 5 * time.Minute})
	w.spendTimeout = pick(rng, []time.Duration{2 * time.Minute, 30 * time.Second})
	if rng.IntN(4) == 0 {
		w.recorderTakes = time.Duration(rng.IntN(3000)) * time.Millisecond
	}
	group := rng.IntN(20) // what happens beside the fault
	two := group == 10 || group == 11 || group == 12 || group > 12 && rng.IntN(4) == 0
	switch delayed := rng.IntN(4); {
	case delayed == 0:
		w.delay = seconds(rng, 1, 300)
	case delayed == 1, delayed == 2 && group >= 14:
		w.delay = seconds(rng, 1, 60)
	}
	// No later than the patience after the client gave up.
	w.commitDelay = seconds(rng, 1, int(w.patience/time.Second)-5)
	if group < 17 && rng.IntN(2) == 0 {
		w.hangs = true
		w.commitDelay += w.spendTimeout
	}
	balance := "30000 USD"
	if rng.IntN(30) == 0 {
		balance = "7.5 USD"
	}
	promoEnd := time.Time{}
	if rng.IntN(2) == 0 {
		promoEnd = w.began.Add(time.Second)
	}
	w.server = youproxytest.NewServer(
		youproxytest.WithBalance(youproxy.MustMoney(balance)),
		youproxytest.WithListShape(w.shape.shape),
		youproxytest.WithProvisioningDelay(w.delay),
		youproxytest.WithCommitDelay(w.commitDelay),
		youproxytest.WithPromoCodes(
			youproxytest.PromoCode{Code: "HALF", Percent: 50},
			youproxytest.PromoCode{Code: "FREE", Percent: 100},
			youproxytest.PromoCode{Code: "ENDS", Percent: 30, End: promoEnd},
		),
	)
	var err error
	w.others, err = w.server.Client()
	w.must(err)
	w.stock(rng)
	if group >= 14 && group < 18 && rng.IntN(3) == 0 {
		w.stockEnding(rng)
	}
	w.intend(rng)
	if two {
		w.intend(rng)
		if group == 12 || rng.IntN(2) == 0 {
			w.intents[1].order, w.intents[1].extend, w.intents[1].limit = w.intents[0].order, w.intents[0].extend, w.intents[0].limit
		}
	}
	if group == 12 {
		w.callerWaits = seconds(rng, 1, 200) + oddMoment(rng)
	}
	if group == 13 {
		for range 1 + rng.IntN(3) {
			w.readFaults[rng.IntN(14)] = pick(rng, youproxytest.Faults())
		}
	}
	if group >= 14 && group < 18 {
		n := rng.IntN(4)
		if w.ending != "" {
			n -= 2
		}
		for ; n > 0 || len(w.acts) == 0 && w.ending == ""; n-- {
			w.acts = append(w.acts, newModelAct(rng))
		}
	}
	if group >= 17 {
		for range 1 + rng.IntN(2) {
			w.crashes = append(w.crashes, modelCrash{
				where: pick(rng, []string{
					beforeRecording, afterRecording, beforeSending, afterSending, readingReply, afterVerdict, atRequest, atRequest, atTime,
				}),
				n:     rng.IntN(14),
				after: seconds(rng, 0, 150) + oddMoment(rng),
			})
			w.downtimes = append(w.downtimes, pick(rng, []time.Duration{0, time.Second, time.Minute, 3 * time.Hour}))
		}
	}
	w.recorderFails = rng.IntN(100) == 0
	for _, i := range w.intents {
		w.ask(i, rng)
	}
	return w
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
		o.CreatedAt = w.began.Add(-time.Duration(rng.IntN(25*24))*time.Hour - time.Hour)
		w.orders[w.server.AddOrder(o).ID] = "before"
	}
}

// stockEnding puts an order into the account that ends soon, or is then extended
// by the service itself.
func (w *modelWorld) stockEnding(rng *rand.Rand) {
	days := pick(rng, modelPeriods)
	o := w.server.AddOrder(youproxytest.Order{
		ProxyType: pick(rng, modelTypes), Country: pick(rng, modelCountries), Quantity: 1 + rng.IntN(3), RentPeriodDays: days,
		CreatedAt: w.began.AddDate(0, 0, -days).Add(seconds(rng, 3, 400) + oddMoment(rng)),
	})
	w.orders[o.ID] = "before"
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

// intend draws what is to be bought.
func (w *modelWorld) intend(rng *rand.Rand) {
	i := &modelIntent{n: len(w.intents), fault: pick(rng, modelFaults()), replies: make(map[string]*bytes.Buffer)}
	if rng.IntN(8) == 0 {
		i.fault = modelFaults()[0]
	}
	if i.fault.inject == youproxytest.CommitLate && w.hangs {
		i.fault = modelFault{name: i.fault.inject.String() + hanging, inject: i.fault.inject, hangs: true}
	}
	promo := pick(rng, []string{"", "", "", "", "", "", "", "", "", "HALF", "HALF", "HALF", "ENDS", "FREE", "NONE"})
	if i.extend = w.renewal(rng, promo); i.extend == nil || rng.IntN(2) == 0 {
		i.extend = nil
		goal := "price monitoring"
		if rng.IntN(40) == 0 {
			goal = "spam"
		}
		i.order = orderOf(pick(rng, modelTypes), pick(rng, modelCountries), 1+rng.IntN(3), pick(rng, modelPeriods), goal, promo, rng.IntN(2) == 0)
	}
	w.intents = append(w.intents, i)
}

func orderOf(t youproxy.ProxyType, country string, quantity, days int, goal, promo string, byIP bool) youproxy.OrderRequest {
	auth, ip := youproxy.AuthTypeLogin, netip.Addr{}
	if byIP {
		auth, ip = youproxy.AuthTypeIP, netip.MustParseAddr("203.0.113.7")
	}
	switch t {
	case youproxy.ProxyTypeIPv4:
		return youproxy.IPv4OrderRequest{Country: country, Quantity: quantity, RentPeriodDays: days, Goal: goal, AuthType: auth, AuthIP: ip, PromoCode: promo}
	case youproxy.ProxyTypeIPv6:
		return youproxy.IPv6OrderRequest{Country: country, Quantity: quantity, RentPeriodDays: days, Goal: goal, AuthType: auth, AuthIP: ip, PromoCode: promo, Protocol: youproxy.ProtocolSOCKS}
	case youproxy.ProxyTypeMobile:
		return youproxy.MobileOrderRequest{Country: country, Quantity: quantity, RentPeriodDays: days, Goal: goal, AuthType: auth, AuthIP: ip, PromoCode: promo, MobileOperator: modelOperators[country], RotationTime: 300}
	default:
		return youproxy.ISPOrderRequest{Country: country, Quantity: quantity, RentPeriodDays: days, Goal: goal, AuthType: auth, AuthIP: ip, PromoCode: promo}
	}
}

// renewal draws an extension of proxies in the account: whole orders, or a part
// of one; nil where there is none.
func (w *modelWorld) renewal(rng *rand.Rand, promo string) youproxy.ExtendRequest {
	now := time.Now()
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

// nearRenewal draws an extension that is nearly one that is intended: with one
// proxy more, or another one in place of one; nil where there is none.
func (w *modelWorld) nearRenewal(rng *rand.Rand) youproxy.ExtendRequest {
	i := pick(rng, w.intents)
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
		if !ips[ip.ID] && ip.ProxyType == x.ProxyType && !ip.ReadyAt.After(time.Now()) {
			others = append(others, ip.ID)
		}
	}
	if len(others) == 0 {
		return nil
	}
	if rng.IntN(2) == 0 {
		x.IPAddressIDs = x.IPAddressIDs[1:]
	}
	x.IPAddressIDs = append(x.IPAddressIDs, pick(rng, others))
	return x
}

// ask asks what an intent costs, and sets its limit.
func (w *modelWorld) ask(i *modelIntent, rng *rand.Rand) {
	limit := rng.IntN(24)
	var err error
	if i.order != nil {
		i.quoted, err = w.others.QuoteOrder(context.Background(), i.order)
	} else {
		i.quoted, err = w.others.QuoteExtension(context.Background(), i.extend)
	}
	i.limit = youproxy.MustMoney("1 USD")
	if err != nil { // a part of an IPv6 order
		return
	}
	i.limit = i.quoted.Price
	switch {
	case limit == 0:
		i.limit.Amount = i.limit.Amount.Sub(decimal.New(1, -2))
	case limit == 1:
		i.limit.Currency = "EUR"
	case limit < 13:
		i.limit.Amount = i.limit.Amount.Mul(decimal.New(15, -1))
	}
}

func newModelAct(rng *rand.Rand) *modelAct {
	a := &modelAct{rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	switch rng.IntN(3) {
	case 0:
		a.after = -pick(rng, []time.Duration{100 * time.Second, 45 * time.Second, 20 * time.Second, 9 * time.Second, 2 * time.Second}) - oddMoment(rng)
	case 1:
		a.after = time.Duration(rng.IntN(100))*time.Second + oddMoment(rng)
		if rng.IntN(2) == 0 {
			a.after = oddMoment(rng)
		}
	default:
		a.at = rng.IntN(10)
	}
	return a
}

// perform lets others do something to the account.
func (w *modelWorld) perform(a *modelAct) {
	rng := a.rng
	w.settleLedger(modelByItself)
	kind := rng.IntN(16)
	if pick(rng, w.intents).extend != nil && rng.IntN(2) == 0 {
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
		if x == nil || w.isNoted() && w.isIntended(x) {
			w.tell("others do nothing")
			return
		}
		_, err := w.others.Extend(context.Background(), x)
		w.tell("others extend %+v: %v", x, err)
	default:
		o := w.orderOfOthers(rng)
		t, country, quantity, days := o.what()
		if rng.IntN(2) == 0 {
			_, err := w.others.CreateOrder(context.Background(), o.order)
			w.tell("others order %d %s in %s for %d days: %v", quantity, t, country, days, err)
			break
		}
		q, err := w.others.QuoteOrder(context.Background(), o.order)
		w.must(err)
		if b := w.server.Balance(); rng.IntN(3) > 0 && b.Amount.GreaterThan(q.Price.Amount) {
			b.Amount = b.Amount.Sub(q.Price.Amount)
			w.server.SetBalance(b)
		}
		w.server.AddOrder(youproxytest.Order{ProxyType: t, Country: country, Quantity: quantity, RentPeriodDays: days})
		w.tell("others order %d %s in %s for %d days by hand", quantity, t, country, days)
	}
	w.settleLedger(modelByOthers)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched = true
}

// orderOfOthers draws an order: once an attempt was noted, it differs from all
// that is intended.
func (w *modelWorld) orderOfOthers(rng *rand.Rand) *modelIntent {
	if i := pick(rng, w.intents); i.order != nil && !w.isNoted() && rng.IntN(2) == 0 {
		t, country, quantity, days := i.what()
		return &modelIntent{order: orderOf(t, country, quantity, days, "surveys", "", false)}
	}
	for {
		t, country, quantity, days := pick(rng, modelTypes), pick(rng, modelCountries), 1+rng.IntN(3), pick(rng, modelPeriods)
		if i := pick(rng, w.intents); i.order != nil { // nearly the same
			itsType, itsCountry, itsQuantity, itsDays := i.what()
			switch rng.IntN(4) {
			case 0:
				t, country = itsType, itsCountry
			case 1:
				t, quantity, days = itsType, itsQuantity, itsDays
			}
		}
		if !slices.ContainsFunc(w.intents, func(i *modelIntent) bool {
			itsType, itsCountry, itsQuantity, _ := i.what()
			return t == itsType && country == itsCountry && quantity == itsQuantity
		}) {
			return &modelIntent{order: orderOf(t, country, quantity, days, "surveys", "", false)}
		}
	}
}

// isIntended reports whether an extension is the very one that is intended.
func (w *modelWorld) isIntended(x youproxy.ExtendRequest) bool {
	ips, days := w.proxiesOf(x)
	return slices.ContainsFunc(w.intents, func(i *modelIntent) bool {
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

// settleLedger writes down who made what has come to the server's ledger since
// the last time.
func (w *modelWorld) settleLedger(who string) {
	orders, extensions := w.server.Orders(), w.server.Extensions()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range orders {
		if w.orders[o.ID] == "" {
			w.orders[o.ID] = w.orIntent(who, o.CreatedAt)
		}
	}
	for _, x := range extensions[len(w.extensions):] {
		w.extensions = append(w.extensions, w.orIntent(who, x.CreatedAt))
	}
}

// orIntent gives the intent whose request was executed at a moment, or who.
func (w *modelWorld) orIntent(who string, at time.Time) string {
	for _, i := range w.intents {
		if i.onItsWay && at.Equal(i.sentAt) {
			return i.who()
		}
	}
	for _, i := range w.intents {
		if i.isLate && at.Equal(i.sentAt.Add(w.commitDelay)) {
			i.isLate = false
			return i.who()
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

// modelProcess is a process that buys, until it ends.
type modelProcess struct {
	w      *modelWorld
	crash  modelCrash
	ctx    context.Context
	end    context.CancelFunc
	timer  *time.Timer
	client *youproxy.Client

	mu       sync.Mutex
	requests int
}

// modelUserAgent tells the requests of the processes from those of others.
const modelUserAgent = "model/1"

func (w *modelWorld) start(n int) *modelProcess {
	p := &modelProcess{w: w}
	if n < len(w.crashes) {
		p.crash = w.crashes[n]
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	if p.crash.where == atTime {
		p.timer = time.AfterFunc(p.crash.after, p.die)
	}
	var err error
	p.client, err = w.server.Client(
		youproxy.WithUserAgent(modelUserAgent),
		youproxy.WithTimeouts(youproxy.Timeouts{Spend: w.spendTimeout}),
		youproxy.WithReconcilePatience(w.patience),
		youproxy.WithAttemptRecorder(p.record),
		youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return roundTripperFunc(func(r *http.Request) (*http.Response, error) { return p.pass(next, r) })
		}),
	)
	w.must(err)
	return p
}

// stop ends the process in peace.
func (p *modelProcess) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.end()
}

// die is the crash. What the process does from then on reaches nobody.
func (p *modelProcess) die() {
	p.w.mu.Lock()
	p.w.crashed = true
	p.w.mu.Unlock()
	p.w.tell("the process ends")
	p.end()
}

// reaches ends the process where it is to crash there, and reports whether it is
// over.
func (p *modelProcess) reaches(where string) bool {
	if p.crash.where == where {
		p.w.tell("%s:", where)
		p.die()
	}
	return p.isOver()
}

func (p *modelProcess) isOver() bool { return p.ctx.Err() != nil }

type modelIntentKey struct{}

// record is the attempt recorder.
func (p *modelProcess) record(ctx context.Context, a youproxy.Attempt) error {
	w := p.w
	i, _ := ctx.Value(modelIntentKey{}).(*modelIntent)
	if p.isOver() || p.reaches(beforeRecording) {
		return errModelCrash
	}
	time.Sleep(w.recorderTakes)
	if p.isOver() {
		return errModelCrash
	}
	if w.recorderFails {
		return errors.New("the disk is full")
	}
	text, err := json.Marshal(a)
	w.must(err)
	w.checkSecrets("the journal", string(text))
	w.tell("%s: recorded %s", i.who(), text)
	if i.recorded {
		w.fault("%s was recorded twice", i.who())
	}
	i.recorded, i.attempt = true, a
	w.mu.Lock()
	w.journal = append(w.journal, &modelEntry{intent: i, text: text})
	w.mu.Unlock()
	if p.reaches(afterRecording) {
		return errModelCrash
	}
	return nil
}

// pass is the way of each request of the process.
func (p *modelProcess) pass(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	w := p.w
	if p.isOver() {
		return nil, errModelCrash
	}
	_, path, _ := strings.Cut(r.URL.Path, "/REDACTED")
	op := r.Method + " " + path
	w.mu.Lock()
	n := w.requests
	w.requests++
	w.mu.Unlock()
	for _, a := range w.acts {
		if a.after == 0 && a.at == n {
			w.perform(a)
		}
	}
	p.mu.Lock()
	mine := p.requests
	p.requests++
	p.mu.Unlock()
	if p.crash.where == atRequest && mine == p.crash.n {
		p.reaches(atRequest)
		return nil, errModelCrash
	}
	i, _ := r.Context().Value(modelIntentKey{}).(*modelIntent)
	if op == "POST /order" || op == "POST /extend" || op == "POST /extend/order" {
		return p.passSpend(next, r, op, i)
	}
	fault := w.readFaults[n]
	if fault != 0 {
		w.mu.Lock()
		w.faulty = true
		w.mu.Unlock()
		w.server.Inject(op, fault)
	}
	w.tell("%d: %s %s", n, op, fault)
	resp, err := next.RoundTrip(r)
	if err != nil || i == nil || i.recorded {
		return resp, err
	}
	// What the guards go by.
	heard := new(bytes.Buffer)
	i.replies[op] = heard
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, heard), resp.Body}
	w.settleLedger(modelByItself)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch op {
	case "GET /ipAddress":
		i.extended = len(w.extensions)
	case "GET /balance":
		w.noted = true
	}
	return resp, nil
}

func (p *modelProcess) passSpend(next http.RoundTripper, r *http.Request, op string, i *modelIntent) (*http.Response, error) {
	w := p.w
	if i == nil { // see buyBefore
		w.settleLedger(modelByItself)
		w.before++
		resp, err := next.RoundTrip(r)
		w.settleLedger(modelByClient)
		return resp, err
	}
	w.checkGuards(i)
	if p.reaches(beforeSending) {
		return nil, errModelCrash
	}
	switch {
	case i.fault.refuse != 0:
		w.server.Refuse(op, i.fault.refuse)
	case i.fault.inject != 0:
		w.server.Inject(op, i.fault.inject)
	}
	w.settleLedger(modelByItself)
	w.tell("%s: %s, which meets %s", i.who(), op, i.fault.name)
	w.mu.Lock()
	i.sent++
	i.sentAt, i.onItsWay = time.Now(), true
	w.mu.Unlock()
	resp, err := next.RoundTrip(r)
	w.settleLedger(modelByItself)
	w.mu.Lock()
	i.onItsWay, i.isLate = false, i.fault.inject == youproxytest.CommitLate
	w.mu.Unlock()
	if i.fault.hangs {
		<-r.Context().Done()
		if err == nil {
			_ = resp.Body.Close()
		}
		resp, err = nil, r.Context().Err()
	}
	if i.fault.answer != "" && err == nil {
		_ = resp.Body.Close()
		resp = stubReply(r, i.fault.status, i.fault.answer)
	}
	i.gaveUp = time.Now()
	if p.reaches(afterSending) || p.isOver() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, errModelCrash
	}
	if err == nil && p.crash.where == readingReply {
		resp.Body = &crashingBody{ReadCloser: resp.Body, p: p}
	}
	return resp, err
}

// crashingBody is a reply during which the process ends.
type crashingBody struct {
	io.ReadCloser

	p    *modelProcess
	read bool
}

func (b *crashingBody) Read(into []byte) (int, error) {
	if b.read {
		b.p.reaches(readingReply)
		return 0, errModelCrash
	}
	b.read = true
	return b.ReadCloser.Read(into[:min(len(into), 20)])
}

// run lets it all happen.
func (w *modelWorld) run() {
	defer w.server.Close()
	p := w.start(0)
	start := 0 * time.Second // of the purchases
	for _, a := range w.acts {
		start = max(start, -a.after)
	}
	var acting sync.WaitGroup
	for _, a := range w.acts {
		if a.after != 0 {
			acting.Go(func() {
				time.Sleep(start + a.after)
				w.perform(a)
			})
		}
	}
	time.Sleep(start)
	w.buyBefore(p)

	var buying sync.WaitGroup
	for n, i := range w.intents {
		buying.Go(func() {
			time.Sleep(time.Duration(n)) // in turn
			w.buy(p, i)
		})
	}
	buying.Wait()
	looked := false // by a process that was not there at the purchase
	for n := 1; ; n++ {
		for round := range 2 {
			if round == 0 && !looked {
				continue
			}
			for _, e := range w.open() {
				if p.isOver() {
					break
				}
				if round == 1 {
					w.sleep(p, time.Hour)
				}
				w.look(p, e)
			}
		}
		over := p.isOver()
		p.stop()
		if !over {
			break
		}
		time.Sleep(w.downtimes[n-1])
		w.tell("another process starts")
		p, looked = w.start(n), true
	}
	acting.Wait()
	time.Sleep(15 * time.Minute)
	w.settleLedger(modelByItself)
}

// sleep waits in a process.
func (w *modelWorld) sleep(p *modelProcess, d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.ctx.Done():
	}
}

// buyBefore places the orders that the client itself placed shortly before, and
// knows of.
func (w *modelWorld) buyBefore(p *modelProcess) {
	rng := rand.New(rand.NewPCG(w.seed, 1))
	for range rng.IntN(10) - 7 {
		o := w.orderOfOthers(rng).order
		_, err := p.client.CreateOrder(p.ctx, o)
		w.tell("the client orders %+v: %v", o, err)
		w.sleep(p, seconds(rng, 0, 15))
	}
}

func (w *modelWorld) open() []*modelEntry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.journal), func(e *modelEntry) bool { return e.done })
}

func (w *modelWorld) entryOf(i *modelIntent) *modelEntry {
	for _, e := range w.open() {
		if e.intent == i {
			return e
		}
	}
	return nil
}

// The ends of a purchase, as those who buy see them.
const (
	modelStopped      = "stopped"
	modelExecuted     = "executed"
	modelNotExecuted  = "not executed"
	modelUndetermined = "undetermined"
)

// buy makes a purchase or a renewal.
func (w *modelWorld) buy(p *modelProcess, i *modelIntent) {
	ctx := context.WithValue(p.ctx, modelIntentKey{}, i)
	if w.callerWaits > 0 && i.n == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.callerWaits)
		defer cancel()
	}
	var purchase *youproxy.Purchase
	var renewal *youproxy.Renewal
	var err error
	if i.order != nil {
		w.tell("%s: Buy %+v for %s at the most", i.who(), i.order, i.limit)
		purchase, err = p.client.Buy(ctx, i.order, i.limit)
	} else {
		w.tell("%s: Renew %+v for %s at the most", i.who(), i.extend, i.limit)
		renewal, err = p.client.Renew(ctx, i.extend, i.limit)
	}
	if p.isOver() || p.reaches(afterVerdict) {
		return
	}
	w.tell("%s: purchase %v, renewal %v, error %v", i.who(), purchase != nil, renewal != nil, err)
	i.first = w.hear(p, i, purchase, renewal, err)
	if n := len(i.statements); n > 0 && i.statements[n-1].charged != nil {
		above := i.statements[n-1].charged.Amount.GreaterThan(i.limit.Amount)
		if above != errors.Is(err, youproxy.ErrChargedAboveLimit) {
			w.fault("%s has cost %s with a limit of %s: %v", i.who(), i.statements[n-1].charged, i.limit, err)
		}
	}
	i.last = i.first
	w.conclude(p, i, i.first, purchase)
}

// look reconciles an attempt of the journal.
func (w *modelWorld) look(p *modelProcess, e *modelEntry) {
	var a youproxy.Attempt
	w.must(json.Unmarshal(e.text, &a))
	i := e.intent
	r, err := p.client.Reconcile(p.ctx, a)
	if p.isOver() || p.reaches(afterVerdict) {
		return
	}
	w.tell("%s: reconciled: %s, error %v, %s", i.who(), r.Verdict, err, &r.Evidence)
	if (err != nil) && r.Verdict != youproxy.VerdictUndetermined {
		w.fault("%s: Reconcile gives the verdict %q and the error %v", i.who(), r.Verdict, err)
	}
	if (r.Purchase != nil || r.Renewal != nil) != (r.Verdict == youproxy.VerdictExecuted) {
		w.fault("%s: Reconcile gives the verdict %q and purchase %v, renewal %v", i.who(), r.Verdict, r.Purchase, r.Renewal)
	}
	i.last = r.Verdict.String()
	switch r.Verdict {
	case youproxy.VerdictExecuted:
		i.last = w.hear(p, i, r.Purchase, r.Renewal, nil)
	case youproxy.VerdictNotExecuted:
		i.statements = append(i.statements, modelStatement{who: "Reconcile", by: p, at: time.Now()})
	}
	w.conclude(p, i, i.last, r.Purchase)
}

// hear notes what the package says of an intent.
func (w *modelWorld) hear(p *modelProcess, i *modelIntent, purchase *youproxy.Purchase, renewal *youproxy.Renewal, err error) string {
	if err != nil {
		w.checkSecrets("an error", err.Error())
	}
	outcome := youproxy.OutcomeOf(err)
	var spent *youproxy.SpendError
	errors.As(err, &spent)
	s := modelStatement{who: "the purchase", by: p, at: time.Now()}
	switch {
	case purchase != nil:
		s.executed, s.orderID, s.recovered, s.charged = true, purchase.OrderID, purchase.Recovered, purchase.Charged
		if purchase.Recovered != (purchase.Order == nil) {
			w.fault("%s: recovered is %v, the reply %v", i.who(), purchase.Recovered, purchase.Order)
		}
		if purchase.Order != nil {
			s.number = purchase.Order.Number
		}
		if i.order == nil {
			w.fault("%s: a purchase, but a renewal was asked for", i.who())
		}
	case renewal != nil:
		s.executed, s.recovered, s.charged = true, renewal.Recovered, renewal.Charged
		if renewal.Recovered != (renewal.Extension == nil) {
			w.fault("%s: recovered is %v, the reply %v", i.who(), renewal.Recovered, renewal.Extension)
		}
		if i.extend == nil {
			w.fault("%s: a renewal, but a purchase was asked for", i.who())
		}
	}
	if s.executed {
		if err != nil && (!errors.Is(err, youproxy.ErrChargedAboveLimit) || outcome != youproxy.OutcomeDone) {
			w.fault("%s: was executed, with the error %v of outcome %s", i.who(), err, outcome)
		}
		i.statements = append(i.statements, s)
		return modelExecuted
	}
	switch {
	case err == nil:
		w.fault("%s: neither a purchase nor an error", i.who())
		return modelUndetermined
	case errors.Is(err, youproxy.ErrUndetermined):
		if outcome != youproxy.OutcomeUnknown || errors.Is(err, youproxy.ErrNotSent) || spent == nil {
			w.fault("%s: undetermined, but outcome %s: %v", i.who(), outcome, err)
		}
		return modelUndetermined
	case outcome != youproxy.OutcomeNotSent && outcome != youproxy.OutcomeRejected:
		w.fault("%s: outcome %s without ErrUndetermined: %v", i.who(), outcome, err)
	case errors.Is(err, youproxy.ErrNotExecuted) != (spent != nil):
		w.fault("%s: what kind of error is this: %v", i.who(), err)
	}
	i.statements = append(i.statements, s)
	if spent == nil {
		return modelStopped
	}
	return modelNotExecuted
}

// conclude does what follows from a verdict: the proxies are waited for, and the
// journal closed.
func (w *modelWorld) conclude(p *modelProcess, i *modelIntent, end string, purchase *youproxy.Purchase) {
	e := w.entryOf(i)
	if e == nil || end == modelUndetermined {
		return
	}
	if purchase != nil {
		ctx, cancel := context.WithTimeout(p.ctx, 20*time.Minute)
		defer cancel()
		named, identified := purchase.Order != nil && !w.shape.noNumber, purchase.OrderID != ""
		proxies, err := p.client.WaitForProxies(ctx, purchase)
		if p.isOver() {
			return
		}
		w.tell("%s: %d proxies came, error %v", i.who(), len(proxies), err)
		switch {
		case err == nil:
			s := modelStatement{who: "WaitForProxies", by: p, at: time.Now(), executed: true, orderID: purchase.OrderID, recovered: !named}
			for _, proxy := range proxies {
				s.ips = append(s.ips, proxy.ID)
			}
			i.statements = append(i.statements, s)
		case w.isFaulty():
		case !errors.Is(err, context.DeadlineExceeded):
			w.fault("%s: WaitForProxies: %v", i.who(), err)
		case (named || identified) && !w.shape.noOrderID:
			w.fault("%s: the proxies never came: %v", i.who(), err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e.done = true
}

func (w *modelWorld) isFaulty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faulty
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

// checkGuards looks at what was told before an intent is sent: it must be all
// right.
func (w *modelWorld) checkGuards(i *modelIntent) {
	var quote, balance struct {
		Success         bool
		Price           decimal.Decimal
		Balance         decimal.Decimal
		Currency        string
		CurrencyCode    string
		PromoCodeStatus string
		Warnings        []any
	}
	for op, heard := range i.replies {
		into := &quote
		switch {
		case op == "GET /balance":
			into = &balance
		case !strings.HasPrefix(op, "POST /calculate/"):
			continue
		}
		if err := json.Unmarshal(heard.Bytes(), into); err != nil || !into.Success {
			w.fault("%s is sent though the last reply to %s was %s", i.who(), op, heard)
		}
	}
	promo := i.promoCode()
	switch {
	case !i.recorded:
		w.fault("%s is sent without being recorded", i.who())
	case !quote.Success || !balance.Success:
		w.fault("%s is sent without a quote or without looking at the balance", i.who())
	case quote.Currency != i.limit.Currency || balance.CurrencyCode != i.limit.Currency:
		w.fault("%s is sent at a price in %s with a limit of %s", i.who(), quote.Currency, i.limit)
	case quote.Price.GreaterThan(i.limit.Amount):
		w.fault("%s is sent at a price of %s with a limit of %s", i.who(), quote.Price, i.limit)
	case quote.Price.GreaterThan(quote.Balance) || quote.Price.GreaterThan(balance.Balance):
		w.fault("%s is sent at a price of %s with a balance of %s", i.who(), quote.Price, balance.Balance)
	case len(quote.Warnings) > 0:
		w.fault("%s is sent in spite of %v", i.who(), quote.Warnings)
	case promo != "" && quote.PromoCodeStatus != "VALID":
		w.fault("%s is sent with a promo code that is %s", i.who(), quote.PromoCodeStatus)
	}
}

func (i *modelIntent) promoCode() string {
	switch r := i.extend.(type) {
	case youproxy.ExtendIPsRequest:
		return r.PromoCode
	case youproxy.ExtendOrdersRequest:
		return r.PromoCode
	}
	switch r := i.order.(type) {
	case youproxy.IPv4OrderRequest:
		return r.PromoCode
	case youproxy.IPv6OrderRequest:
		return r.PromoCode
	case youproxy.MobileOrderRequest:
		return r.PromoCode
	case youproxy.ISPOrderRequest:
		return r.PromoCode
	}
	return ""
}
