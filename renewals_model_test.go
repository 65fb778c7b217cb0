package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var (
	renewalYears = flag.Int("renewals.years", 0, "how many years TestAYearOfRenewals takes; 0 for as many as is usual, which may be shorter")
	renewalSeed  = flag.Uint64("renewals.seed", 0, "the only year that TestAYearOfRenewals takes; 0 for all")
)

const (
	renewalNights = 365
	renewalWindow = 3 * aDay
)

// TestAYearOfRenewals lets a job renew what ends within three days, each night of a year, in
// an account of 300 proxies, while replies get lost, prices rise, processes end, two of them
// run at once, and people and the service extend as well. It holds what the job promises
// against the books of the service.
func TestAYearOfRenewals(t *testing.T) {
	t.Parallel()
	first, years, nights := uint64(1), *renewalYears, renewalNights
	switch {
	case *renewalSeed != 0:
		first, years = *renewalSeed, 1
	case years == 0 && isRaceDetected():
		years, nights = 2, size(60, 20, 10)
	case years == 0:
		years, nights = size(4, 2, 2), size(renewalNights, 20, 10)
	}
	var next atomic.Uint64
	var mu sync.Mutex
	total := make(map[string]int)
	var workers sync.WaitGroup
	for range min(years, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for n := next.Add(1); n <= uint64(years); n = next.Add(1) {
				seed := first + n - 1
				synctest.Test(t, func(t *testing.T) {
					y := newRenewalYear(seed)
					defer y.server.Close()
					for night := range nights {
						y.night(night)
						time.Sleep(time.Until(y.began.AddDate(0, 0, night+1)))
					}
					y.checkBooks()
					mu.Lock()
					defer mu.Unlock()
					for name, count := range y.count {
						total[name] += count
					}
					for _, wrong := range y.wrong[:min(5, len(y.wrong))] {
						t.Errorf("go test -run AYearOfRenewals -renewals.seed %d: %s", seed, wrong)
					}
				})
			}
		})
	}
	workers.Wait()
	var lines []string
	for name, count := range total {
		lines = append(lines, fmt.Sprintf("%s: %d", name, count))
	}
	slices.Sort(lines)
	t.Logf("%d years of %d nights\n%s", years, nights, strings.Join(lines, "\n"))
}

// renewalYear is an account, and a job that keeps it.
type renewalYear struct {
	rng     *rand.Rand
	began   time.Time
	server  *youproxytest.Server
	people  *youproxy.Client                       // without the journal
	journal *testJournal                           // of all processes
	limit   youproxy.Money                         // of each run
	budget  youproxy.Money                         // of each day
	poor    bool                                   // the money does not suffice
	prices  map[youproxy.ProxyType]decimal.Decimal // of one proxy

	automatic    map[int]time.Time                  // when a proxy extended itself last
	automaticNow map[int]bool                       // tonight
	ends         map[youproxy.IPAddressID]bookedEnd // by the books so far
	read         int                                // of the extensions in the books
	nights       int
	mu           sync.Mutex
	plans        map[string]*youproxy.RenewalPlan
	count        map[string]int
	wrong        []string
	disturbs     bool // the night is not a quiet one
}

type bookedEnd struct {
	at    int // among all proxies
	order youproxy.OrderID
	end   time.Time
}

func (y *renewalYear) fault(format string, args ...any) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.wrong = append(y.wrong, fmt.Sprintf("night %d: ", y.nights)+fmt.Sprintf(format, args...))
}

func (y *renewalYear) add(name string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.count[name] += n
}

func (y *renewalYear) must(err error) {
	if err != nil {
		panic(err)
	}
}

func newRenewalYear(seed uint64) *renewalYear {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	y := &renewalYear{
		rng: rng, began: time.Now(), journal: newTestJournal(), plans: make(map[string]*youproxy.RenewalPlan),
		ends: make(map[youproxy.IPAddressID]bookedEnd), count: make(map[string]int),
		automatic: make(map[int]time.Time), prices: make(map[youproxy.ProxyType]decimal.Decimal),
		limit: youproxy.MustMoney("400 USD"), budget: youproxy.MustMoney("500 USD"), poor: seed%2 == 0,
	}
	opts := []youproxytest.Option{youproxytest.WithBalance(youproxy.MustMoney("1000000 USD"))}
	if y.poor {
		y.limit, y.budget = youproxy.MustMoney("60 USD"), youproxy.MustMoney("70 USD")
		opts = []youproxytest.Option{youproxytest.WithBalance(youproxy.MustMoney("800 USD"))}
	}
	if seed%4 == 3 {
		opts = append(opts, youproxytest.WithRenewedIDs())
	}
	if seed%4 == 1 {
		opts = append(opts, youproxytest.WithClockSkew(seconds(rng, -600, 600)))
	}
	y.server = youproxytest.NewServer(opts...)
	var err error
	y.people, err = y.server.Client()
	y.must(err)
	left := map[youproxy.ProxyType]int{youproxy.ProxyTypeIPv4: 100, youproxy.ProxyTypeIPv6: 90, youproxy.ProxyTypeMobile: 20, youproxy.ProxyTypeISP: 90}
	for _, proxyType := range modelTypes {
		for n := left[proxyType]; n > 0; {
			quantity := min(n, 1+rng.IntN(9))
			y.server.AddOrder(youproxytest.Order{
				ProxyType: proxyType, Country: pick(rng, modelCountries), Quantity: quantity,
				CreatedAt: time.Now().Add(-seconds(rng, 3600, 29*24*3600)),
			})
			n -= quantity
		}
	}
	for at, ip := range y.server.IPAddresses() {
		y.ends[ip.ID] = bookedEnd{at, ip.OrderID, ip.End}
	}
	y.changePrices()
	return y
}

// renewalProcess is a process of the job, which may end at some moment.
type renewalProcess struct {
	y      *renewalYear
	client *youproxy.Client
	ctx    context.Context
	end    context.CancelFunc
	events int // until it ends; negative for never
	mu     sync.Mutex
	rng    *rand.Rand
}

func (y *renewalYear) start(crashes bool) *renewalProcess {
	p := &renewalProcess{y: y, events: -1, rng: rand.New(rand.NewPCG(y.rng.Uint64(), 1))}
	if crashes {
		p.events = y.rng.IntN(60)
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	latency := seconds(y.rng, 1, 900) / 1000
	var err error
	p.client, err = y.server.Client(
		youproxy.WithJournal(p), youproxy.WithBudget(y.budget, aDay),
		youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				time.Sleep(latency)
				return p.pass(next, r)
			})
		}),
	)
	y.must(err)
	return p
}

// passes reports whether the process is still there.
func (p *renewalProcess) passes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == 0 {
		p.y.add("crashes", 1)
		p.end()
	}
	p.events--
	return p.ctx.Err() == nil
}

func (p *renewalProcess) Lock(ctx context.Context) (func(), error) {
	if p.ctx.Err() != nil {
		return nil, errModelCrash
	}
	return p.y.journal.Lock(ctx)
}

func (p *renewalProcess) Record(ctx context.Context, e youproxy.Entry) error {
	if !p.passes() {
		return errModelCrash
	}
	text, err := json.Marshal(e)
	p.y.must(err)
	e = youproxy.Entry{}
	p.y.must(json.Unmarshal(text, &e))
	p.y.must(p.y.journal.Record(ctx, e))
	if !p.passes() {
		return errModelCrash
	}
	return nil
}

func (p *renewalProcess) Entries(ctx context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return p.y.journal.Entries(ctx, q)
}

func (p *renewalProcess) pass(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	if !p.passes() {
		return nil, errModelCrash
	}
	op := opOf(r)
	spends := op == "POST /extend" || op == "POST /extend/order"
	p.mu.Lock()
	switch {
	case !p.y.disturbs:
	case spends && p.rng.IntN(3) == 0:
		if p.rng.IntN(4) == 0 {
			p.y.server.Refuse(op, pick(p.rng, []int{24, 29, 7, 16, 77}))
		} else {
			p.y.server.Inject(op, pick(p.rng, youproxytest.Faults()))
		}
		p.y.add("faults", 1)
	case !spends && p.rng.IntN(40) == 0:
		p.y.server.Inject(op, pick(p.rng, []youproxytest.Fault{youproxytest.BadGateway, youproxytest.HTMLPage, youproxytest.TooManyRequests}))
	}
	p.mu.Unlock()
	resp, err := next.RoundTrip(r)
	if !p.passes() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, errModelCrash
	}
	return resp, err
}

// night is what happens in a night and on the day before it. Each third night is quiet: then
// all that is to be renewed is, as far as the money goes.
func (y *renewalYear) night(n int) {
	y.nights, y.disturbs = n, n%3 != 0
	y.attend()
	y.noteAutomatic()
	if y.disturbs {
		y.byDay()
	}
	y.noteAutomatic()
	due, room := y.due(), y.room()
	processes := []*renewalProcess{y.start(y.disturbs && y.rng.IntN(3) == 0)}
	if y.rng.IntN(2) == 0 {
		processes = append(processes, y.start(y.disturbs && y.rng.IntN(3) == 0))
	}
	plans := make([]*youproxy.RenewalPlan, len(processes))
	var running sync.WaitGroup
	for i, p := range processes {
		running.Go(func() { plans[i] = y.plan(p) })
	}
	running.Wait()
	if y.disturbs && y.rng.IntN(3) == 0 {
		y.changePrices()
	}
	for i, p := range processes {
		running.Go(func() { y.carryOut(p, plans[i]) })
		if y.disturbs && y.rng.IntN(2) == 0 { // the next one runs later
			running.Wait()
		}
	}
	running.Wait()
	for i, p := range processes {
		if p.ctx.Err() != nil && y.rng.IntN(2) == 0 { // it is started again
			y.carryOut(y.start(false), plans[i])
		}
		p.end()
	}
	y.readBooks()
	if !y.disturbs {
		y.checkQuiet(due, room, plans)
	}
}

// plan plans, and writes the plan down.
func (y *renewalYear) plan(p *renewalProcess) *youproxy.RenewalPlan {
	plan, err := p.client.PlanRenewals(p.ctx, youproxy.RenewalPolicy{EndsWithin: renewalWindow, RentPeriodDays: 30, Limit: y.limit})
	if err != nil {
		if !y.disturbs || youproxy.OutcomeOf(err) != youproxy.OutcomeNotSent {
			y.fault("no plan: %v", err)
		}
		return nil
	}
	text, err := json.Marshal(plan)
	y.must(err)
	plan = new(youproxy.RenewalPlan)
	y.must(json.Unmarshal(text, plan))
	y.mu.Lock()
	defer y.mu.Unlock()
	y.plans[plan.ID] = plan
	y.count["plans"]++
	return plan
}

func (y *renewalYear) carryOut(p *renewalProcess, plan *youproxy.RenewalPlan) {
	if plan == nil {
		return
	}
	for renewal, err := range p.client.RenewAll(p.ctx, plan) {
		switch {
		case err == nil:
			y.add("renewed parts", 1)
			if renewal.AboveLimit() {
				y.fault("above the limit: %v", renewal)
			}
		case y.disturbs:
			y.add("parts that failed", 1)
		case errors.Is(err, youproxy.ErrNothingToRenew):
		default:
			y.fault("in a quiet night: %v", err)
		}
	}
}

// attend is what a person does in the evening: what is not settled by then is looked at, and
// dismissed.
func (y *renewalYear) attend() {
	p := y.start(false)
	defer p.end()
	disturbs := y.disturbs
	y.disturbs = false
	found, err := p.client.Recover(p.ctx)
	if err != nil {
		y.fault("Recover: %v", err)
	}
	for _, r := range found {
		if r.Verdict == youproxy.VerdictUndetermined {
			y.add("dismissed", 1)
			y.must(p.client.Dismiss(p.ctx, r.Attempt.ID, "looked at"))
		}
	}
	y.disturbs = disturbs
	y.readBooks()
	if y.poor && y.nights%30 == 0 && y.nights > 0 {
		balance := y.server.Balance()
		balance.Amount = balance.Amount.Add(decimal.NewFromInt(500))
		y.server.SetBalance(balance)
	}
}

// byDay is what people do by day, without the journal.
func (y *renewalYear) byDay() {
	for range y.rng.IntN(3) {
		o := pick(y.rng, y.server.Orders())
		if o.ProxyType == youproxy.ProxyTypeMobile {
			continue
		}
		if y.rng.IntN(4) == 0 {
			_, _ = y.people.Extend(context.Background(), youproxy.ExtendOrdersRequest{ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 90})
		} else {
			_, _ = y.people.SetAutoExtend(context.Background(), youproxy.AutoExtendOrdersRequest{
				ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 90, AutoExtend: y.rng.IntN(3) == 0,
			})
		}
	}
}

func (y *renewalYear) changePrices() {
	base := map[youproxy.ProxyType]string{youproxy.ProxyTypeIPv4: "1.31", youproxy.ProxyTypeIPv6: "0.27", youproxy.ProxyTypeMobile: "18.5", youproxy.ProxyTypeISP: "2.4"}
	for _, proxyType := range modelTypes {
		y.prices[proxyType] = decimal.RequireFromString(base[proxyType]).Mul(decimal.New(90+int64(y.rng.IntN(30)), -2))
		y.server.SetPrice(proxyType, y.prices[proxyType])
	}
}

// dueUnit is what a quiet night is to renew: a proxy, or an IPv6 order.
type dueUnit struct {
	at    int // its first proxy, in the books
	end   time.Time
	price decimal.Decimal
	ids   []youproxy.IPAddressID
}

// now returns the time of the service.
func (y *renewalYear) now() time.Time {
	at, err := http.ParseTime(y.date())
	y.must(err)
	return at
}

func (y *renewalYear) date() (date string) {
	client, err := y.server.Client(youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			y.must(err)
			date = resp.Header.Get("Date")
			return resp, nil
		})
	}))
	y.must(err)
	_, err = client.Balance(context.Background())
	y.must(err)
	return date
}

// noteAutomatic notes which proxies extend themselves, or are in an IPv6 order with one that
// does.
func (y *renewalYear) noteAutomatic() {
	y.automaticNow = make(map[int]bool)
	orders := make(map[youproxy.OrderID]bool)
	list := y.server.IPAddresses()
	for _, ip := range list {
		orders[ip.OrderID] = orders[ip.OrderID] || ip.AutoExtend && ip.ProxyType == youproxy.ProxyTypeIPv6
	}
	for at, ip := range list {
		if ip.AutoExtend || orders[ip.OrderID] {
			y.automatic[at], y.automaticNow[at] = time.Now(), true
		}
	}
}

// due returns what the policy covers now.
func (y *renewalYear) due() (list []*dueUnit) {
	now := y.now()
	orders := make(map[youproxy.OrderID]*dueUnit)
	kept := make(map[*dueUnit]bool)
	for at, ip := range y.server.IPAddresses() {
		u := &dueUnit{at: at, end: ip.End}
		if ip.ProxyType == youproxy.ProxyTypeIPv6 {
			if orders[ip.OrderID] == nil {
				orders[ip.OrderID] = u
				list = append(list, u)
			}
			u = orders[ip.OrderID]
		} else {
			list = append(list, u)
		}
		u.ids = append(u.ids, ip.ID)
		u.price = u.price.Add(y.prices[ip.ProxyType])
		if ip.End.Before(u.end) {
			u.at, u.end = at, ip.End
		}
		if ip.AutoExtend || !ip.End.After(now.Add(time.Hour)) {
			kept[u] = true
		}
	}
	return slices.DeleteFunc(list, func(u *dueUnit) bool { return kept[u] || u.end.After(now.Add(renewalWindow)) })
}

// room returns the most that may be spent now.
func (y *renewalYear) room() decimal.Decimal {
	left := y.budget.Amount
	for _, e := range y.journal.all() {
		if e.State != youproxy.EntryNotExecuted && (e.State == youproxy.EntryOpen || time.Since(e.SettledAt) <= aDay) {
			left = left.Sub(entryCost(&e))
		}
	}
	return decimal.Min(y.limit.Amount, left, y.server.Balance().Amount)
}
