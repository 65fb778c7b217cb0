package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// modelCrash is where a process ends, or stands still.
type modelCrash struct {
	where  string
	n      int           // how often it is passed before
	after  time.Duration // since the process began
	frozen time.Duration // it stands still for so long, and loses the lock; 0: it ends
	lease  time.Duration // after which the lock is free
	down   time.Duration // until another process starts
}

const (
	atLock          = "as it locks the journal"
	whenLocked      = "when it has locked the journal"
	beforeRecording = "before it records"
	afterRecording  = "after it recorded"
	beforeSending   = "before it sends"
	afterSending    = "after it sent"
	readingReply    = "while it reads the reply"
	afterVerdict    = "after the verdict"
	atRequest       = "at a request"
	atTime          = "at some time"
)

// What becomes of a record that fails.
const (
	modelRecordFails   = "fails"
	recordFailsWritten = "fails, but is written"
	recordHangs        = "hangs"
)

var errModelCrash = errors.New("the process ended")

func newModelCrash(rng *rand.Rand) modelCrash {
	c := modelCrash{
		where: pick(rng, []string{
			atLock, whenLocked, beforeRecording, beforeRecording, afterRecording, afterRecording, beforeSending, afterSending, afterSending,
			readingReply, readingReply, afterVerdict, atRequest, atRequest, atRequest, atTime,
		}),
		after: seconds(rng, 0, 150) + oddMoment(rng),
		lease: pick(rng, []time.Duration{0, 0, 20 * time.Second}) + oddMoment(rng),
		down:  pick(rng, []time.Duration{0, time.Second, time.Minute, 3 * time.Hour}) + oddMoment(rng),
	}
	if rng.IntN(6) == 0 { // it sends when another one has looked already
		return modelCrash{where: afterRecording, frozen: 9*time.Second + oddMoment(rng)}
	}
	switch c.where {
	case atRequest:
		c.n = rng.IntN(20)
	case atLock, whenLocked, beforeRecording, afterRecording:
		c.n = rng.IntN(4)
	case atTime:
	default:
		c.n = rng.IntN(2)
	}
	if c.where != atLock && rng.IntN(4) == 0 {
		c.frozen = pick(rng, []time.Duration{9 * time.Second, 15 * time.Second, 5 * time.Minute}) + oddMoment(rng)
	}
	return c
}

// modelSlot is where one process runs, and after its end the next.
type modelSlot struct {
	n             int
	wishes        []*modelWish
	crashes       []modelCrash // of the first process, the second ...
	recoversFirst bool
}

// modelProcess is a process that buys, until it ends.
type modelProcess struct {
	w       *modelWorld
	slot    *modelSlot
	crash   modelCrash
	ctx     context.Context
	end     context.CancelFunc
	timer   *time.Timer
	client  *youproxy.Client
	latency time.Duration
	lane    chan struct{} // of those in it who want the journal
	isEnded bool          // by a crash

	opened youproxy.Attempt // the last that was recorded as open

	mu   sync.Mutex
	seen map[string]int // how often it came to where it may crash
}

// modelCall is a call of the package.
type modelCall struct {
	wish     *modelWish // nil where it is for none
	p        *modelProcess
	began    time.Time
	quotedAt time.Time
	extended int
	sends    []*modelSend
}

type modelCallKey struct{}

func (p *modelProcess) call(i *modelWish) (context.Context, *modelCall) {
	c := &modelCall{wish: i, p: p, began: time.Now()}
	return context.WithValue(p.ctx, modelCallKey{}, c), c
}

// modelUserAgent tells the requests of the processes from those of others.
const modelUserAgent = "model/1"

func (w *modelWorld) start(slot *modelSlot, n int) *modelProcess {
	p := &modelProcess{w: w, slot: slot, seen: make(map[string]int), lane: make(chan struct{}, 1)}
	p.latency = time.Duration(20_000_011 + 1_000_003*(3*slot.n+7*n))
	p.ctx, p.end = context.WithCancel(context.Background())
	if n < len(slot.crashes) {
		if p.crash = slot.crashes[n]; p.crash.where == atTime {
			p.timer = time.AfterFunc(p.crash.after, func() { p.reaches(atTime) })
		}
	}
	opts := []youproxy.Option{
		youproxy.WithUserAgent(modelUserAgent),
		youproxy.WithTimeouts(youproxy.Timeouts{Spend: w.spendTimeout}),
		youproxy.WithReconcilePatience(w.patience),
		youproxy.WithJournal(p),
		youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) { return p.pass(next, r) })
		}),
	}
	if w.budgetPer > 0 {
		opts = append(opts, youproxy.WithBudget(w.budget, w.budgetPer))
	}
	var err error
	p.client, err = w.server.Client(opts...)
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

func (p *modelProcess) isOver() bool { return p.ctx.Err() != nil }

// reaches ends the process, or lets it stand still, where it is to do so there, and reports
// whether it is over. What an ended process does from then on reaches nobody.
func (p *modelProcess) reaches(where string) bool {
	p.mu.Lock()
	n := p.seen[where]
	p.seen[where]++
	p.mu.Unlock()
	if p.crash.where != where || p.crash.n != n || p.isOver() {
		return p.isOver()
	}
	w := p.w
	w.mu.Lock()
	w.crashed = true
	unlock := w.unlock
	if w.holder == p {
		w.holder, w.sending = nil, nil
	} else {
		unlock = nil
	}
	w.mu.Unlock()
	if p.crash.frozen == 0 {
		w.tell("process %d ends %s", p.slot.n, where)
		p.isEnded = true
		p.end()
	} else {
		w.tell("process %d stands still %s", p.slot.n, where)
	}
	if unlock != nil {
		time.AfterFunc(p.crash.lease, unlock)
	}
	time.Sleep(p.crash.frozen)
	return p.isOver()
}

// Lock makes the process the journal of its client: one that all processes share.
func (p *modelProcess) Lock(ctx context.Context) (func(), error) {
	if p.reaches(atLock) {
		return nil, errModelCrash
	}
	select {
	case p.lane <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave := sync.OnceFunc(func() { <-p.lane })
	unlock, err := p.w.stored.Lock(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	w := p.w
	w.mu.Lock()
	if w.holder != nil {
		w.mu.Unlock()
		panic("two holders")
	}
	w.holder, w.unlock = p, unlock
	w.mu.Unlock()
	time.Sleep(p.latency / 1000) // until the last holder has come to rest
	over := p.reaches(whenLocked)
	release := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holder == p {
			w.holder = nil
			unlock()
		}
		leave()
	}
	if over {
		release()
		return nil, errModelCrash
	}
	return sync.OnceFunc(release), nil
}

func (p *modelProcess) hasLock() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.holder == p
}

func (p *modelProcess) Record(ctx context.Context, e youproxy.Entry) error {
	w := p.w
	if p.isOver() || p.reaches(beforeRecording) {
		return errModelCrash
	}
	if !p.hasLock() {
		return errors.New("the lock was lost")
	}
	w.mu.Lock()
	fault := w.recordFaults[w.records]
	w.records++
	w.mu.Unlock()
	switch fault {
	case modelRecordFails:
		w.tell("process %d: the record %s %s", p.slot.n, e.State, fault)
		return errors.New("the disk is full")
	case recordHangs:
		w.tell("process %d: the record %s %s", p.slot.n, e.State, fault)
		<-ctx.Done()
		return ctx.Err()
	}
	text, err := json.Marshal(e)
	w.must(err)
	w.checkSecrets("the journal", string(text))
	w.tell("process %d: recorded %s %s", p.slot.n, text, fault)
	p.checkRecord(&e)
	e = youproxy.Entry{}
	w.must(json.Unmarshal(text, &e))
	w.must(w.stored.Record(ctx, e))
	if e.State == youproxy.EntryOpen {
		p.opened = e.Attempt
	}
	if p.reaches(afterRecording) {
		return errModelCrash
	}
	if fault != "" {
		return errors.New("the network is down")
	}
	return nil
}

// checkRecord looks at what an entry was, and becomes.
func (p *modelProcess) checkRecord(e *youproxy.Entry) {
	w := p.w
	old := w.entry(e.Attempt.ID)
	switch {
	case old == nil && e.State != youproxy.EntryOpen && (e.State != youproxy.EntryNotExecuted || w.kind != kindJournal):
		w.fault("an entry begins as %s", e.State) // it may where the first record failed
	case old != nil && old.State != youproxy.EntryOpen && old.State != e.State:
		w.fault("an entry that was %s becomes %s", old.State, e.State)
	case old != nil && e.State == youproxy.EntryOpen:
		w.fault("an entry is opened twice")
	case old != nil && old.OrderID != "" && old.OrderID != e.OrderID:
		w.fault("an entry was of order %s, and becomes that of %s", old.OrderID, e.OrderID)
	}
	if e.State != youproxy.EntryOpen && w.settledBy[e.Attempt.ID] == nil {
		w.mu.Lock()
		w.settledBy[e.Attempt.ID] = p
		w.mu.Unlock()
	}
}

func (w *modelWorld) entry(id string) *youproxy.Entry {
	for _, e := range w.stored.all() {
		if e.Attempt.ID == id {
			return &e
		}
	}
	return nil
}

func (p *modelProcess) Entries(ctx context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	if p.isOver() {
		return func(yield func(youproxy.Entry, error) bool) { yield(youproxy.Entry{}, errModelCrash) }
	}
	return p.w.stored.Entries(ctx, q)
}

// pass is the way of each request of the process.
func (p *modelProcess) pass(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	w := p.w
	time.Sleep(p.latency)
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
	if p.reaches(atRequest) {
		return nil, errModelCrash
	}
	c, _ := r.Context().Value(modelCallKey{}).(*modelCall)
	if op == "POST /order" || op == "POST /extend" || op == "POST /extend/order" {
		return p.passSpend(next, r, op, c)
	}
	if strings.HasPrefix(op, "POST /calculate/") {
		c.quotedAt = time.Now()
	}
	fault := w.readFaults[n]
	if fault != 0 {
		w.server.Inject(op, fault)
	}
	w.tell("process %d: request %d: %s %s", p.slot.n, n, op, fault)
	resp, err := next.RoundTrip(r)
	w.settleLedger(modelByItself)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.wish != nil && len(c.sends) == 0 {
		w.noted = true
		if op == "GET /ipAddress" {
			c.extended = len(w.extensions)
		}
	}
	return resp, err
}

func (p *modelProcess) passSpend(next http.RoundTripper, r *http.Request, op string, c *modelCall) (*http.Response, error) {
	w, began := p.w, time.Now()
	if p.reaches(beforeSending) {
		return nil, errModelCrash
	}
	if r.Context().Err() != nil || time.Since(p.opened.At) > 10*time.Second { // it must not arrive
		got := len(w.server.Requests())
		resp, err := next.RoundTrip(r)
		if len(w.server.Requests()) > got {
			w.fault("%s is sent %s after it was recorded", c.wish.who(), time.Since(p.opened.At))
		}
		return resp, err
	}
	s := p.newSend(c)
	if s.fault.inject == youproxytest.CommitLate && time.Now().After(began) {
		s.fault = modelFaults()[0] // it would be later than the patience allows
	}
	switch f := s.fault; {
	case f.refuse != 0:
		w.server.Refuse(op, f.refuse)
	case f.inject != 0:
		w.server.Inject(op, f.inject)
	}
	w.settleLedger(modelByItself)
	w.tell("process %d: %s: %s, which meets %s", p.slot.n, c.wish.who(), op, s.fault.name)
	w.mu.Lock()
	s.at, s.onItsWay = time.Now(), true
	w.mu.Unlock()
	resp, err := next.RoundTrip(r)
	w.settleLedger(modelByItself)
	w.mu.Lock()
	s.onItsWay, s.isLate = false, s.fault.inject == youproxytest.CommitLate
	w.mu.Unlock()
	if s.fault.hangs {
		<-r.Context().Done()
		if err == nil {
			_ = resp.Body.Close()
		}
		resp, err = nil, r.Context().Err()
	}
	w.mu.Lock()
	s.gaveUp = time.Now()
	if w.sending == s {
		w.sending = nil
	}
	w.mu.Unlock()
	if p.reaches(afterSending) {
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

// newSend notes that something is sent, and looks at whether it may be.
func (p *modelProcess) newSend(c *modelCall) *modelSend {
	w, i := p.w, c.wish
	s := &modelSend{who: i.who(), wish: i, nth: len(i.sends), call: c, extended: c.extended, attempt: p.opened, fault: modelFaults()[0]}
	a := &s.attempt
	e := w.entry(a.ID)
	if s.nth < len(i.faults) {
		s.fault = i.faults[s.nth]
	}
	switch {
	case e == nil || e.State != youproxy.EntryOpen && p.crash.frozen == 0 || a.At.Before(c.began) || a.Key != i.key || w.sendOf(a.ID) != nil:
		w.fault("%s is sent without being recorded: %v", s.who, e)
	case !i.plain && a.At.Sub(c.quotedAt) > time.Minute:
		w.fault("%s is sent %s after it was quoted", s.who, a.At.Sub(c.quotedAt))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i.sends = append(i.sends, s)
	c.sends = append(c.sends, s)
	w.sends = append(w.sends, s)
	if w.holder == p {
		if w.sending != nil {
			w.wrong = append(w.wrong, s.who+" is sent while another one is")
		}
		w.sending = s
	} else if p.crash.frozen == 0 {
		w.wrong = append(w.wrong, s.who+" is sent without the lock")
	}
	return s
}

func (w *modelWorld) sendOf(attempt string) *modelSend {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := slices.IndexFunc(w.sends, func(s *modelSend) bool { return s.attempt.ID == attempt }); n >= 0 {
		return w.sends[n]
	}
	return nil
}

// crashingBody is a reply during which the process ends.
type crashingBody struct {
	io.ReadCloser

	p    *modelProcess
	read bool
}

func (b *crashingBody) Read(into []byte) (int, error) {
	if b.read && b.p.reaches(readingReply) {
		return 0, errModelCrash
	}
	b.read = true
	return b.ReadCloser.Read(into[:min(len(into), 20)])
}
