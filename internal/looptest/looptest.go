// Package looptest is the table of programs that buy in a loop, or start again after
// they ended in the middle of a purchase: how often is one wanted purchase charged? The
// tests of the SDK and those of journals in databases share it, and the documentation shows it.
package looptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// Journals is a kind of journal.
type Journals struct {
	Name  string // as the documentation names it
	Lasts bool   // what one process records the next one finds
	Waits bool   // for its lock in real time: processes that wait for each other, and most faults, are left out

	// Fresh makes an empty journal, and returns a function that opens it in another
	// process. It is called in a bubble of [testing/synctest], which ends with t.
	Fresh func(t *testing.T) (open func() youproxy.Journal)
}

// Where a process ends, for callers that end.
type step string

const (
	nowhere      step = ""
	beforeRecord step = "before it records the attempt"
	afterRecord  step = "after it recorded the attempt"
	beforeSend   step = "just before it sends the order"
	afterSend    step = "after it sent the order"
	afterReply   step = "after it read the reply"
	beforeSettle step = "before it records what became of it"
	afterSettle  step = "after it recorded what became of it"
	afterTold    step = "after it was told of the purchase"
)

// Caller is a program that wants one purchase.
type Caller struct {
	Name string // as the documentation names it

	ends    step
	workers int
	apart   bool // each of them is a process of its own
	lives   bool // it gets its purchase in the end, with a key
	buy     func(buy func(context.Context) error)
}

// Once reports whether one wanted purchase is charged at most once. A caller that comes
// again though it was told of a purchase, or whose journal knows of it no more, must give
// a key for that, and have a journal that lasts.
func (c Caller) Once(j Journals, keyed bool) bool {
	switch c.ends {
	case nowhere:
		return c.workers == 1 || keyed && (j.Lasts || !c.apart)
	case beforeRecord, afterRecord, beforeSend:
		return true
	case afterSettle, afterTold:
		return keyed && j.Lasts
	}
	return j.Lasts
}

// Callers is all of them.
var Callers = append([]Caller{
	{"repeats any error, five times, at once", nowhere, 1, false, true, repeat(5, 0, 0, anyError)},
	{"repeats any error, five times, a minute apart", nowhere, 1, false, true, repeat(5, time.Minute, 0, anyError)},
	{"calls `Buy` in `backoff.Retry`", nowhere, 1, false, true, func(buy func(context.Context) error) {
		_, _ = backoff.Retry(context.Background(), func() (struct{}, error) { return struct{}{}, buy(context.Background()) })
	}},
	{"waits half a minute, and repeats timeouts", nowhere, 1, false, false, repeat(20, time.Minute, 30*time.Second, isTimeout)},
	{"repeats `ErrNotSent` and `ErrNotExecuted`", nowhere, 1, false, false, repeat(20, time.Minute, 0, func(err error) bool {
		return errors.Is(err, youproxy.ErrNotSent) || errors.Is(err, youproxy.ErrNotExecuted)
	})},
	{"gives one job to two workers at once", nowhere, 2, false, false, repeat(5, time.Minute, 0, anyError)},
	{"gives one job to two processes at once", nowhere, 2, true, false, repeat(5, time.Minute, 0, anyError)},
}, ending(beforeRecord, afterRecord, beforeSend, afterSend, afterReply, beforeSettle, afterSettle, afterTold)...)

// ending returns programs that end at a step, and start again, twice.
func ending(steps ...step) []Caller {
	var callers []Caller
	for _, s := range steps {
		callers = append(callers, Caller{"ends " + string(s) + ", and starts again", s, 1, false, false, repeat(10, time.Minute, 0, anyError)})
	}
	return callers
}

func anyError(error) bool { return true }

// isTimeout is how programs tell a timeout.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) || errors.As(err, &timeout) && timeout.Timeout()
}

// repeat buys until there is no error, or it is one that is not to be repeated. It waits
// for each purchase as long as its patience, or where that is zero, until it ends.
func repeat(most int, pause, patience time.Duration, again func(error) bool) func(func(context.Context) error) {
	return func(buy func(context.Context) error) {
		for range most {
			ctx, cancel := context.Background(), func() {}
			if patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, patience)
			}
			err := buy(ctx)
			cancel()
			if err == nil || !again(err) {
				return
			}
			time.Sleep(pause)
		}
	}
}

// purchase is what is wanted.
type purchase struct {
	name   string
	op     string
	slow   time.Duration
	second youproxytest.Fault // of the second request
	renew  bool
}

var purchases = []purchase{
	{name: "an order", op: "POST /order"},
	{name: "an order that is ready late", op: "POST /order", slow: 10 * time.Minute},
	{name: "an order whose second reply is lost as well", op: "POST /order", second: youproxytest.DropAfterCommit},
	{name: "an extension", op: "POST /extend", renew: true},
}

// faults returns those with which a caller is tried, 0 for none. In the long runs they are
// all, or some where a run takes long, as one that waits for a file or a database does.
func (c Caller) faults(j Journals) []youproxytest.Fault {
	if !long.Run() {
		some := []youproxytest.Fault{0, youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit, youproxytest.CommitLate}
		if testing.Short() {
			return some[:2]
		}
		return some
	}
	info, _ := debug.ReadBuildInfo()
	slow := info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	var faults []youproxytest.Fault
	for i, fault := range append([]youproxytest.Fault{0}, youproxytest.Faults()...) {
		if (!slow || i%5 == 0) && (!c.apart && !j.Waits || i%8 == 0) {
			faults = append(faults, fault)
		}
	}
	return faults
}

// Charges returns how often one wanted purchase of a caller was charged at the most, with
// the faults of the fake service, and none.
func (c Caller) Charges(t *testing.T, j Journals, keyed bool) (most int) {
	for _, p := range purchases {
		for _, fault := range c.faults(j) {
			executes := fault == 0 || fault.AfterCommit() == fault
			if p.slow > 0 && (!executes || !long.Run()) || p.second != 0 && executes { // as without
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				r := &run{t: t, caller: c, once: c.Once(j, keyed), purchase: p, fault: fault, keyed: keyed, open: j.Fresh(t), left: 2}
				charges := r.charges()
				most = max(most, charges)
				if r.once {
					assert.LessOrEqual(t, charges, 1, "%s, %s, %s, key: %v, %s", c.Name, p.name, j.Name, keyed, fault)
				}
			})
		}
	}
	return most
}

// run is a caller with one fault.
type run struct {
	t        *testing.T
	caller   Caller
	once     bool // it is to be charged at most once
	purchase purchase
	fault    youproxytest.Fault
	keyed    bool
	open     func() youproxy.Journal
	server   *youproxytest.Server

	mu   sync.Mutex
	left int // how often the process is to end still
	told []string
}

func (r *run) charges() int {
	s := youproxytest.NewServer(youproxytest.WithProvisioningDelay(r.purchase.slow), youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
	defer s.Close()
	r.server = s
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2, RentPeriodDays: 60})
	time.Sleep(time.Hour) // else it might have been ordered just now
	before := s.Balance()
	for _, fault := range []youproxytest.Fault{r.fault, r.purchase.second} {
		if fault != 0 {
			s.Inject(r.purchase.op, fault)
		}
	}
	var workers sync.WaitGroup
	shared := r.open()
	for range r.caller.workers {
		journal := shared
		if r.caller.apart {
			journal = r.open()
		}
		workers.Go(func() {
			for r.process(journal) {
				journal = r.open()
			}
		})
	}
	workers.Wait()
	time.Sleep(time.Hour) // for what is executed late
	charges := len(s.Orders()) - 1 + len(s.Extensions())
	assert.Equal(r.t, charges > 0, s.Balance().Amount.LessThan(before.Amount))
	if len(r.told) > 0 {
		assert.Positive(r.t, charges, "a purchase that was not made")
	}
	if r.lives() {
		assert.Equal(r.t, []int{1, 1}, []int{charges, len(r.told)}, "it was not bought in the end: %s, %s", r.purchase.name, r.fault)
	}
	if r.keyed && r.once {
		assert.Len(r.t, slices.Compact(r.told), min(1, len(r.told)), "one purchase")
	}
	return charges
}

// lives reports whether the caller gets its purchase in the end: it gives a key, and repeats
// for as long as the account may have to be looked at, and the account shows it.
func (r *run) lives() bool {
	halved := r.fault == youproxytest.PartialExtension || r.fault == youproxytest.PartialExtensionDropped
	return r.keyed && r.caller.lives && r.purchase.slow == 0 && (!halved || !r.purchase.renew)
}

// process runs the caller in a process of its own, and reports whether it ended early.
func (r *run) process(j youproxy.Journal) (ended bool) {
	client, err := r.server.Client(youproxy.WithJournal(r.journal(j)), youproxy.WithMiddleware(r.around), youproxy.WithObserver(r.observe))
	require.NoError(r.t, err)
	ended = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.caller.buy(func(ctx context.Context) error {
			id, err := r.buy(ctx, client)
			if err != nil {
				return err
			}
			r.mu.Lock()
			r.told = append(r.told, id)
			r.mu.Unlock()
			r.at(afterTold)
			return nil
		})
		ended = false
	}()
	<-done
	return ended
}

func (r *run) buy(ctx context.Context, c *youproxy.Client) (attempt string, err error) {
	var opts []youproxy.SpendOption
	if r.keyed {
		opts = append(opts, youproxy.IdempotencyKey("job 17"))
	}
	limit := youproxy.MustMoney("10 USD")
	if r.purchase.renew {
		var ids []youproxy.IPAddressID
		for _, ip := range r.server.IPAddresses() {
			ids = append(ids, ip.ID)
		}
		p, err := c.Renew(ctx, youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ids, RentPeriodDays: 30}, limit, opts...)
		if err != nil {
			return "", err
		}
		return p.Attempt.ID, nil
	}
	p, err := c.Buy(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}, limit, opts...)
	if err != nil {
		return "", err
	}
	return p.Attempt.ID, nil
}

// at ends the process if it is to end there: nothing more of it runs, and its locks are
// released.
func (r *run) at(s step) {
	r.mu.Lock()
	end := s == r.caller.ends && r.left > 0
	if end {
		r.left--
	}
	r.mu.Unlock()
	if end {
		runtime.Goexit()
	}
}

func (r *run) observe(_ context.Context, e youproxy.CallEvent) {
	if e.Op == r.purchase.op {
		r.at(afterReply)
	}
}

func (r *run) around(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		sends := req.Method+" "+req.URL.Path[strings.LastIndex(req.URL.Path, "/"):] == r.purchase.op && !strings.Contains(req.URL.Path, "/calculate/")
		if sends {
			r.at(beforeSend)
		}
		resp, err := next.RoundTrip(req)
		if sends {
			if resp != nil && r.caller.ends == afterSend {
				_ = resp.Body.Close()
			}
			r.at(afterSend)
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// journal returns j, or one in which the process ends.
func (r *run) journal(j youproxy.Journal) youproxy.Journal {
	switch r.caller.ends {
	case beforeRecord, afterRecord, beforeSettle, afterSettle:
		return &stepping{j, r}
	}
	return j
}

type stepping struct {
	youproxy.Journal

	run *run
}

func (s *stepping) Record(ctx context.Context, e youproxy.Entry) error {
	before, after := beforeRecord, afterRecord
	if e.State != youproxy.EntryOpen {
		before, after = beforeSettle, afterSettle
	}
	s.run.at(before)
	if err := s.Journal.Record(ctx, e); err != nil {
		return err
	}
	s.run.at(after)
	return nil
}

// Table runs all callers, and returns the table in Markdown: how often one wanted purchase
// is charged at the most.
func Table(t *testing.T, journals ...Journals) string {
	var table strings.Builder
	table.WriteString("| A program that |")
	for _, j := range journals {
		fmt.Fprintf(&table, " %s | %s, with a key |", j.Name, j.Name)
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", 2*len(journals)) + "\n")
	cells := make([]string, 2*len(Callers)*len(journals))
	t.Run("callers", func(t *testing.T) {
		i := 0
		for _, c := range Callers {
			for _, j := range journals {
				for _, keyed := range []bool{false, true} {
					cell := &cells[i]
					i++
					t.Run(fmt.Sprintf("%s/%s/key %v", c.Name, j.Name, keyed), func(t *testing.T) {
						t.Parallel()
						if *cell = "not tried here"; c.apart && j.Waits {
							return
						}
						most := c.Charges(t, j, keyed)
						assert.Equal(t, c.Once(j, keyed), most == 1, "%d charges", most)
						*cell = map[bool]string{true: "once", false: "**may be more**"}[most == 1]
					})
				}
			}
		}
	})
	row := 2 * len(journals)
	for i, c := range Callers {
		fmt.Fprintf(&table, "| %s | %s |\n", c.Name, strings.Join(cells[i*row:(i+1)*row], " | "))
	}
	return table.String()
}
