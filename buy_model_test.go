package youproxy_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const defaultModelRuns = 3000

var (
	modelRuns = flag.Int("model.runs", defaultModelRuns, "how many random runs TestModel makes")
	modelSeed = flag.Uint64("model.seed", 0, "the only random run that TestModel makes; 0 for all")
)

// TestModel lets random processes buy and renew in random accounts, while faults
// befall them, processes end, and others buy. It holds all that the package says
// of a purchase against what the service has in its books when all is over.
func TestModel(t *testing.T) {
	first, runs := uint64(1), *modelRuns
	if *modelSeed != 0 {
		first, runs = *modelSeed, 1
	} else if runs == defaultModelRuns && (testing.Short() || isRaceDetected()) {
		runs = 1000 // the same as the first of all runs
	}
	var table modelTable
	var failed atomic.Int32
	shards := runtime.GOMAXPROCS(0)
	t.Run("runs", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for n := shard; n < runs && failed.Load() < 5; n += shards {
					seed := first + uint64(n)
					var wrong []string
					var story string
					synctest.Test(t, func(*testing.T) {
						w := newModelWorld(seed)
						w.run()
						w.check()
						table.add(w)
						if wrong = w.wrong; len(wrong) > 0 || *modelSeed != 0 {
							story = w.story()
						}
					})
					if len(wrong) > 0 {
						failed.Add(1)
						t.Errorf("go test -run Model -model.seed %d\n%s\n%s", seed, strings.Join(wrong, "\n"), story)
					} else if story != "" {
						t.Log(story)
					}
				}
			})
		}
	})
	t.Logf("%d runs, %d of which had orders that nobody could tell apart, %d times to the wrong end\n%s",
		runs, table.lookalikes, table.misled, &table)
	if t.Failed() || runs != defaultModelRuns || *modelSeed != 0 {
		return
	}
	assert.Equal(t, 1, table.misled, "verdicts that are excused, as the README says")
	const begin = "<!-- model: written by go test -run Model -update -->\n"
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	if strings.Contains(string(readme), begin) {
		inREADME(t, begin, table.String(), "<!-- end of model -->")
	}
}

// isRaceDetected reports whether the tests were built with -race.
func isRaceDetected() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// story tells what happened in a run.
func (w *modelWorld) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "run %d: list %q, provisioning %s, late after %s, patience %s, spend timeout %s\n",
		w.seed, w.shape.name, w.delay, w.commitDelay, w.patience, w.spendTimeout)
	for _, line := range w.trace {
		b.WriteString(line + "\n")
	}
	for _, o := range w.server.Orders() {
		fmt.Fprintf(&b, "%12s  order %s %s by %s: %d %s in %s for %d days at %s\n",
			o.CreatedAt.Sub(w.began), o.ID, o.Number, w.orders[o.ID], o.Quantity, o.ProxyType, o.Country, o.RentPeriodDays, o.Price)
	}
	for n, x := range w.server.Extensions() {
		fmt.Fprintf(&b, "%12s  extension by %s: %v for %d days at %s\n",
			x.CreatedAt.Sub(w.began), w.extensions[n], x.IPAddressIDs, x.RentPeriodDays, x.Price)
	}
	return b.String()
}

// modelDeed is what an intent came to in the server's books.
type modelDeed struct {
	times int
	order youproxytest.Order
	price youproxy.Money
	at    time.Time
	ips   []youproxy.IPAddressID
	days  int
}

func (w *modelWorld) deed(i *modelIntent) modelDeed {
	var d modelDeed
	for _, o := range w.server.Orders() {
		if w.orders[o.ID] == i.who() {
			d.times++
			d.order, d.price, d.at = o, o.Price, o.CreatedAt
		}
	}
	for n, x := range w.server.Extensions() {
		if w.extensions[n] == i.who() {
			d.times++
			d.price, d.at, d.ips, d.days = x.Price, x.CreatedAt, x.IPAddressIDs, x.RentPeriodDays
		}
	}
	if d.order.ID != "" {
		d.ips, d.days = nil, d.order.RentPeriodDays
		for _, ip := range w.server.IPAddresses() {
			if ip.OrderID == d.order.ID {
				d.ips = append(d.ips, ip.ID)
			}
		}
	}
	slices.Sort(d.ips)
	return d
}

// check holds what was said against the books.
func (w *modelWorld) check() {
	w.checkSending()
	for id, who := range w.orders {
		if who == modelByItself {
			w.fault("nobody placed the order %s", id)
		}
	}
	for _, i := range w.intents {
		d := w.deed(i)
		if d.times > 1 {
			w.fault("%s was executed %d times", i.who(), d.times)
		}
		w.checkDeed(i, &d)
		for _, s := range i.statements {
			w.checkStatement(i, &d, &s)
		}
		if w.isAlone() {
			w.checkCertainty(i, &d)
		}
	}
}

// checkSending counts what the service got.
func (w *modelWorld) checkSending() {
	got, want := 0, 0
	for _, r := range w.server.Requests() {
		ours := strings.HasSuffix(r.Header.Get("User-Agent"), modelUserAgent)
		if ours && (r.Op == "POST /order" || r.Op == "POST /extend" || r.Op == "POST /extend/order") {
			got++
		}
	}
	for _, i := range w.intents {
		if i.sent > 1 {
			w.fault("%s was sent %d times", i.who(), i.sent)
		}
		want += i.sent
	}
	if want += w.before; got != want {
		w.fault("%d requests that spend were sent, and the service got %d", want, got)
	}
}

// checkDeed looks at whether what was executed is what was wanted.
func (w *modelWorld) checkDeed(i *modelIntent, d *modelDeed) {
	switch {
	case d.times == 0:
	case i.sent == 0:
		w.fault("%s was executed and never sent", i.who())
	case i.order != nil:
		t, country, quantity, days := i.what()
		if o := d.order; t != o.ProxyType || country != o.Country || quantity != o.Quantity || days != o.RentPeriodDays {
			w.fault("%s: another order was placed: %+v", i.who(), o)
		}
	default:
		_, days := w.proxiesOf(i.extend)
		if !slices.Equal(slices.Sorted(maps.Keys(i.attempt.Before.Ends)), d.ips) || days != d.days {
			w.fault("%s: something else was extended: %v for %d days", i.who(), d.ips, d.days)
		}
	}
}

// checkStatement holds a statement about an intent against the books.
func (w *modelWorld) checkStatement(i *modelIntent, d *modelDeed, s *modelStatement) {
	if !s.executed {
		if d.times > 0 {
			w.fault("%s says that %s was not executed, but it was", s.who, i.who())
		}
		return
	}
	if (s.recovered || s.who == "WaitForProxies") && w.isMisleading(i, d, s) {
		w.misled++
		return
	}
	switch {
	case d.times == 0:
		w.fault("%s says that %s was executed, but it was not", s.who, i.who())
		return
	case s.orderID != "" && s.orderID != d.order.ID:
		w.fault("%s says that %s is the order %s, but it is %s", s.who, i.who(), s.orderID, d.order.ID)
	case s.number != "" && s.number != d.order.Number:
		w.fault("%s says that %s is the order %s, but it is %s", s.who, i.who(), s.number, d.order.Number)
	case i.order != nil && s.recovered && s.orderID == "":
		w.fault("%s does not say which order %s is", s.who, i.who())
	}
	switch {
	case s.who == "WaitForProxies":
		slices.Sort(s.ips)
		if !slices.Equal(s.ips, d.ips) {
			w.fault("the proxies of %s are %v, and WaitForProxies gave %v", i.who(), d.ips, s.ips)
		}
	case s.charged == nil:
		w.fault("%s does not say what %s has cost", s.who, i.who())
	case !s.charged.Equal(d.price) && !w.touched && !w.spentMeanwhile(i, s):
		w.fault("%s says that %s has cost %s, but it was %s", s.who, i.who(), s.charged, d.price)
	}
}

// spentMeanwhile reports whether another intent was executed between the snapshot
// of one and the statement about it.
func (w *modelWorld) spentMeanwhile(i *modelIntent, s *modelStatement) bool {
	return slices.ContainsFunc(w.intents, func(other *modelIntent) bool {
		d := w.deed(other)
		return other != i && d.times > 0 && !d.at.Before(i.attempt.At) && !d.at.After(s.at)
	})
}

// isMisleading reports whether the account could not show the truth, as it showed
// another purchase of the very same kind: see [youproxy.Client.Reconcile]. A
// process must tell apart those that it knows.
func (w *modelWorld) isMisleading(i *modelIntent, d *modelDeed, s *modelStatement) bool {
	switch {
	case w.isKnown(i, s):
		return false
	case i.extend != nil:
		return d.times == 0 && w.isExtendedByOthers(i, s.at)
	case d.times > 0 && !d.at.Add(w.delay).After(s.at):
		return false // the list showed both
	}
	return s.orderID != d.order.ID && slices.Contains(w.alike(i, d), s.orderID)
}

// isKnown reports whether the process that speaks of an intent knew already that
// what it names is another intent's.
func (w *modelWorld) isKnown(i *modelIntent, s *modelStatement) bool {
	for _, other := range w.intents {
		d := w.deed(other)
		if other == i || d.times == 0 || d.order.ID != s.orderID {
			continue
		}
		for _, told := range other.statements {
			knows := told.orderID == d.order.ID || told.number == d.order.Number && !w.shape.noNumber
			if told.executed && told.by == s.by && told.at.Before(s.at) && knows {
				return true
			}
		}
	}
	return false
}

// alike gives the orders that the list does not tell from that of an intent: of
// the same kind, and not placed before by more than clocks may differ.
func (w *modelWorld) alike(i *modelIntent, d *modelDeed) []youproxy.OrderID {
	var alike []youproxy.OrderID
	a := i.attempt
	if w.shape.noNumber && len(a.Before.Unseen) > 0 {
		return nil
	}
	for _, o := range w.server.Orders() {
		switch {
		case o.ID == d.order.ID, o.ProxyType != a.ProxyType, o.Quantity != a.Quantity:
		case o.Country != a.Country && !w.shape.noCountry:
		case o.CreatedAt.Before(a.At.Add(-10*time.Second)) && !w.shape.noStart:
		case slices.Contains(a.Before.Orders, o.ID), slices.Contains(a.Before.Unseen, o.Number):
		default:
			alike = append(alike, o.ID)
		}
	}
	return alike
}

// isExtendedByOthers reports whether others had extended all that was intended by
// a moment, by as much, and for as much money.
func (w *modelWorld) isExtendedByOthers(i *modelIntent, at time.Time) bool {
	days := make(map[youproxy.IPAddressID]int)
	var price decimal.Decimal
	for n, x := range w.server.Extensions() {
		if n < i.extended || w.extensions[n] == i.who() || x.CreatedAt.After(at) {
			continue
		}
		price = price.Add(x.Price.Amount)
		for _, id := range x.IPAddressIDs {
			days[id] += x.RentPeriodDays
		}
	}
	for id := range i.attempt.Before.Ends {
		if days[id] != i.attempt.RentPeriodDays {
			return false
		}
	}
	return price.Equal(i.attempt.Price.Amount) || i.attempt.Price.Amount.IsZero()
}

// isAlone reports whether nothing happened but the fault.
func (w *modelWorld) isAlone() bool {
	return len(w.intents) == 1 && !w.touched && !w.crashed && !w.faulty && w.callerWaits == 0
}

// checkCertainty looks at an intent that nothing disturbed but its fault: it is
// sent unless a guard holds, and what became of it is known in the end.
//
// It is known at once where
//   - the list tells the ids of orders, or the ends of what is extended,
//   - nothing that the client ordered shortly before is still to come, or the list
//     tells the numbers of orders,
//   - it costs something where it was not executed, and what was quoted where it was,
//   - and what was ordered is in the list before the patience ends.
//
// An hour later the last is not needed any more.
func (w *modelWorld) checkCertainty(i *modelIntent, d *modelDeed) {
	if w.before == 0 && len(w.acts) == 0 && (i.order != nil || !w.shape.noOrderID) {
		want := 0
		if w.isAllowed(i) && !w.recorderFails {
			want = 1
		}
		if i.sent != want {
			w.fault("%s was sent %d times, not %d", i.who(), i.sent, want)
		}
	}
	if i.sent == 0 {
		return
	}
	a := &i.attempt
	shown := !w.shape.noEnd
	if i.order != nil {
		shown = !w.shape.noOrderID && (len(a.Before.Unseen) == 0 || !w.shape.noNumber)
	}
	if d.times == 0 {
		shown = shown && !a.Price.Amount.IsZero()
	} else {
		shown = shown && d.price.Equal(a.Price)
	}
	if i.order != nil && w.shape.noStart && len(w.alike(i, d)) > 0 {
		shown = false
	}
	inTime := d.times == 0 || i.extend != nil || d.at.Add(w.delay).Before(i.gaveUp.Add(w.patience))
	switch {
	case !shown:
	case inTime && i.first == modelUndetermined:
		w.fault("%s is undetermined, without a reason", i.who())
	case i.last == modelUndetermined:
		w.fault("%s is undetermined an hour later, without a reason", i.who())
	}
}

// isAllowed reports whether no guard should hold an intent back.
func (w *modelWorld) isAllowed(i *modelIntent) bool {
	q := i.quoted
	if q == nil || q.Price.Currency != i.limit.Currency || q.Price.Amount.GreaterThan(i.limit.Amount) || len(q.Warnings) > 0 {
		return false
	}
	return i.promoCode() == "" || q.PromoCodeStatus == youproxy.PromoCodeValid
}

// modelTable counts how the runs ended.
type modelTable struct {
	mu         sync.Mutex
	rows       map[string]*modelRow
	lookalikes int
	misled     int
}

type modelRow struct{ runs, executed, notExecuted, undetermined, settled int }

const (
	modelGuards  = "it is stopped before it is sent"
	modelFaulty  = "calls that read fail"
	modelTwo     = "two purchases at once"
	modelTouched = "others buy and pay in meanwhile"
	modelCaller  = "the caller's context ends"
	modelCrashed = "the process ends, another one looks"
)

func (t *modelTable) add(w *modelWorld) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = make(map[string]*modelRow)
	}
	if w.misled > 0 {
		t.misled++
	}
	for _, i := range w.intents {
		d := w.deed(i)
		if i.order != nil && i.sent > 0 && len(w.alike(i, &d)) > 0 {
			t.lookalikes++
		}
		end := i.first
		name := i.fault.name
		switch {
		case !i.recorded:
			name = modelGuards
		case w.crashed:
			name, end = modelCrashed, i.last
		case w.callerWaits > 0:
			name = modelCaller
		case w.touched:
			name = modelTouched
		case w.faulty:
			name = modelFaulty
		case len(w.intents) > 1:
			name = modelTwo
		}
		row := t.rows[name]
		if row == nil {
			row = new(modelRow)
			t.rows[name] = row
		}
		row.runs++
		switch end {
		case modelExecuted:
			row.executed++
		case modelUndetermined:
			row.undetermined++
			if i.last != modelUndetermined && end == i.first {
				row.settled++
			}
		default:
			row.notExecuted++
		}
	}
}

// String gives the table in Markdown.
func (t *modelTable) String() string {
	var b strings.Builder
	b.WriteString("| What happens | Purchases | Executed | Not executed | Undetermined | Known an hour later |\n|---|---|---|---|---|---|\n")
	var names []string
	for _, f := range modelFaults() {
		names = append(names, f.name)
	}
	names = append(names, modelGuards, modelFaulty, modelTwo, modelTouched, modelCaller, modelCrashed)
	for _, name := range names {
		row := t.rows[name]
		if row == nil {
			continue
		}
		if name == modelFaults()[0].name {
			name = "nothing"
		} else if strings.ToLower(name[:1]) != name[:1] {
			fault, rest, _ := strings.Cut(name, ",")
			name = strings.TrimSuffix("`"+fault+"`,"+rest, ",")
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d (%.1f %%) | %d |\n", name, row.runs, row.executed, row.notExecuted,
			row.undetermined, 100*float64(row.undetermined)/float64(row.runs), row.settled)
	}
	return b.String()
}
