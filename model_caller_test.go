package youproxy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
)

// modelStatement is what the package said of an attempt.
type modelStatement struct {
	youproxy.Entry

	who    string
	at     time.Time
	priced bool // it should say what was charged
}

// run lets it all happen.
func (w *modelWorld) run() {
	defer w.server.Close()
	var all sync.WaitGroup
	for _, a := range w.acts {
		if a.after != 0 {
			all.Go(func() {
				time.Sleep(a.after)
				w.perform(a)
			})
		}
	}
	if slices.ContainsFunc(w.acts, func(a *modelAct) bool { return a.after != 0 }) {
		time.Sleep(100 * time.Second)
	}
	for _, slot := range w.slots {
		all.Go(func() {
			time.Sleep(time.Duration(slot.n))
			w.runSlot(slot)
		})
	}
	all.Wait()
	time.Sleep(time.Hour)
	last := w.start(&modelSlot{n: len(w.slots)}, 0)
	w.conclude(last)
	last.stop()
	time.Sleep(15 * time.Minute)
	w.settleLedger(modelByItself)
}

// runSlot lets one process after the other pursue what is wished for.
func (w *modelWorld) runSlot(slot *modelSlot) {
	for n := 0; ; n++ {
		p := w.start(slot, n)
		w.tell("process %d starts", slot.n)
		if n > 0 && slot.recoversFirst {
			p.recover()
		}
		var jobs sync.WaitGroup
		for _, i := range slot.wishes {
			jobs.Go(func() {
				if n == 0 {
					time.Sleep(i.after)
				}
				time.Sleep(time.Duration(i.n))
				p.pursue(i)
			})
		}
		jobs.Wait()
		over := p.isOver()
		p.stop()
		if !over {
			return
		}
		time.Sleep(p.crash.down)
	}
}

// pursue is an ordinary caller: one that tries again.
func (p *modelProcess) pursue(i *modelWish) {
	for try := 0; ; try++ {
		if p.isOver() || i.isDone(p.w) {
			return
		}
		err := p.buy(i)
		if p.isOver() || err == nil || i.plain || try >= len(i.pauses) {
			return
		}
		p.sleep(i.pauses[try])
		if errors.Is(err, youproxy.ErrPending) && i.recovers {
			p.recover()
		}
	}
}

// isDone reports whether the wish is fulfilled, as its caller knows.
func (i *modelWish) isDone(w *modelWorld) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return i.done || i.plain && i.tries > 0
}

func (p *modelProcess) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.ctx.Done():
	}
}

// The ends of a purchase, as those who buy see them.
const (
	modelStopped      = "stopped"
	modelExecuted     = "executed"
	modelNotExecuted  = "not executed"
	modelUndetermined = "undetermined"
)

// buy makes a purchase or a renewal.
func (p *modelProcess) buy(i *modelWish) (err error) {
	w := p.w
	ctx, c := p.call(i)
	w.mu.Lock()
	first := i.tries == 0
	i.tries++
	w.mu.Unlock()
	if i.waits > 0 && first {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, i.waits)
		defer cancel()
	}
	var opts []youproxy.SpendOption
	if i.key != "" {
		opts = append(opts, youproxy.IdempotencyKey(i.key))
	}
	var purchase *youproxy.Purchase
	var renewal *youproxy.Renewal
	w.tell("process %d: %s (plain: %v, key %q): %+v %+v for %s at the most", p.slot.n, i.who(), i.plain, i.key, i.order, i.extend, i.limit)
	switch {
	case i.plain && i.order != nil:
		_, err = p.client.CreateOrder(ctx, i.order.request(i.promo))
	case i.plain:
		_, err = p.client.Extend(ctx, i.extend)
	case i.order != nil:
		purchase, err = p.client.Buy(ctx, i.order.request(i.promo), i.limit, opts...)
	default:
		renewal, err = p.client.Renew(ctx, i.extend, i.limit, opts...)
	}
	if p.isOver() || p.reaches(afterVerdict) {
		return err
	}
	w.tell("process %d: %s: purchase %v, renewal %v, error %v", p.slot.n, i.who(), purchase != nil, renewal != nil, err)
	p.hear(c, purchase, renewal, err)
	if purchase != nil {
		p.wait(purchase)
	}
	return err
}

// hear notes what a call says.
func (p *modelProcess) hear(c *modelCall, purchase *youproxy.Purchase, renewal *youproxy.Renewal, err error) {
	w, i := p.w, c.wish
	if err != nil {
		w.checkSecrets("an error", err.Error())
	}
	if len(c.sends) > 1 {
		w.fault("%s was sent %d times by one call", i.who(), len(c.sends))
	}
	var spent *youproxy.SpendError
	var pending *youproxy.PendingError
	outcome := youproxy.OutcomeOf(err)
	end := modelStopped
	switch {
	case i.plain:
		end = "" // the journal tells
	case err == nil:
		end = modelExecuted
		if (purchase == nil) == (renewal == nil) || (purchase != nil) != (i.order != nil) {
			w.fault("%s: purchase %v, renewal %v", i.who(), purchase, renewal)
		}
		p.told("the purchase", c, purchase, renewal)
	case errors.As(err, &pending):
		if !errors.Is(err, youproxy.ErrPending) || spent != nil {
			w.fault("%s: pending, but %v", i.who(), err)
		}
		if pending.Verdict == youproxy.VerdictExecuted && !isPlainAttempt(&pending.Attempt) {
			w.state("what is pending", youproxy.Entry{Attempt: pending.Attempt, State: youproxy.EntryExecuted, Recovered: true}, false)
		}
	case errors.Is(err, youproxy.ErrUndetermined):
		end = modelUndetermined
		if !errors.As(err, &spent) || outcome != youproxy.OutcomeUnknown || errors.Is(err, youproxy.ErrNotSent) || errors.Is(err, context.DeadlineExceeded) || len(c.sends) == 0 {
			w.fault("%s: undetermined, but outcome %s: %v", i.who(), outcome, err)
		}
	case errors.As(err, &spent):
		end = modelNotExecuted
		if !errors.Is(err, youproxy.ErrNotExecuted) {
			w.fault("%s: what kind of error is this: %v", i.who(), err)
		}
		w.state("the purchase", youproxy.Entry{Attempt: spent.Attempt, State: youproxy.EntryNotExecuted}, false)
	}
	if outcome == youproxy.OutcomeNotSent && len(c.sends) > 0 && !errors.Is(err, youproxy.ErrNotExecuted) {
		w.fault("%s: says that nothing was sent, but it was: %v", i.who(), err)
	}
	if err != nil && !i.plain && outcome == youproxy.OutcomeUnknown != (end == modelUndetermined) {
		w.fault("%s: %s, with outcome %s: %v", i.who(), end, outcome, err)
	}
	for _, s := range c.sends {
		s.first = end
	}
}

func isPlainAttempt(a *youproxy.Attempt) bool { return a.Before.Balance.IsZero() }

// told notes that a purchase was handed out.
func (p *modelProcess) told(who string, c *modelCall, purchase *youproxy.Purchase, renewal *youproxy.Renewal) {
	var e youproxy.Entry
	var above bool
	if purchase != nil {
		e = youproxy.Entry{Attempt: purchase.Attempt, OrderID: purchase.OrderID, OrderNumber: purchase.OrderNumber, Recovered: purchase.Recovered, Charged: purchase.Charged}
		above = purchase.AboveLimit()
	} else {
		e = youproxy.Entry{Attempt: renewal.Attempt, IPAddressIDs: renewal.IPAddressIDs, Recovered: renewal.Recovered, Charged: renewal.Charged}
		above = renewal.AboveLimit()
	}
	if e.Charged != nil && above != e.Charged.Amount.GreaterThan(e.Attempt.Limit.Amount) {
		p.w.fault("charged %s with a limit of %s, above: %v", e.Charged, e.Attempt.Limit, above)
	}
	e.State = youproxy.EntryExecuted
	p.w.state(who, e, true)
	if sent := p.w.sendOf(e.Attempt.ID); sent != nil {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if sent.toldAt.IsZero() {
			sent.toldAt, sent.toldCall = time.Now(), c
		}
		sent.wish.done = true
	}
}

// state notes a statement.
func (w *modelWorld) state(who string, e youproxy.Entry, priced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statements = append(w.statements, modelStatement{e, who, time.Now(), priced})
}

// recover settles what is open.
func (p *modelProcess) recover() {
	w := p.w
	ctx, c := p.call(nil)
	w.tell("process %d: Recover", p.slot.n)
	found, err := p.client.Recover(ctx)
	if p.isOver() || p.reaches(afterVerdict) {
		return
	}
	w.tell("process %d: recovered %d, error %v", p.slot.n, len(found), err)
	for _, r := range found {
		p.hearOf("Recover", c, r)
	}
}

// reconcile looks at one attempt.
func (p *modelProcess) reconcile(a youproxy.Attempt) {
	ctx, c := p.call(nil)
	r, err := p.client.Reconcile(ctx, a)
	p.w.tell("process %d: reconciled, error %v", p.slot.n, err)
	if err != nil && r.Verdict != youproxy.VerdictUndetermined {
		p.w.fault("Reconcile gives the verdict %q and the error %v", r.Verdict, err)
	}
	p.hearOf("Reconcile", c, r)
}

func (p *modelProcess) hearOf(who string, c *modelCall, r *youproxy.Reconciliation) {
	w := p.w
	w.tell("process %d: attempt %s: %s, %s", p.slot.n, r.Attempt.ID, r.Verdict, &r.Evidence)
	if (r.Purchase != nil || r.Renewal != nil) != (r.Verdict == youproxy.VerdictExecuted) {
		w.fault("%s gives the verdict %q and purchase %v, renewal %v", who, r.Verdict, r.Purchase, r.Renewal)
	}
	switch r.Verdict {
	case youproxy.VerdictExecuted:
		p.told(who, c, r.Purchase, r.Renewal)
		if r.Purchase != nil {
			p.wait(r.Purchase)
		}
	case youproxy.VerdictNotExecuted:
		w.state(who, youproxy.Entry{Attempt: r.Attempt, State: youproxy.EntryNotExecuted}, false)
	}
}

const waiting = "WaitForProxies"

// wait waits for the proxies of a purchase.
func (p *modelProcess) wait(purchase *youproxy.Purchase) {
	w := p.w
	ctx, _ := p.call(nil)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	named, identified := purchase.OrderNumber != "" && !w.shape.noNumber, purchase.OrderID != ""
	proxies, err := p.client.WaitForProxies(ctx, purchase)
	if p.isOver() {
		return
	}
	w.tell("process %d: %d proxies came, error %v", p.slot.n, len(proxies), err)
	switch {
	case err == nil:
		e := youproxy.Entry{Attempt: purchase.Attempt, State: youproxy.EntryExecuted, OrderID: purchase.OrderID, Recovered: !named}
		for _, proxy := range proxies {
			e.IPAddressIDs = append(e.IPAddressIDs, proxy.ID)
		}
		w.state(waiting, e, false)
	case w.kind == kindReads || w.renewedIDs:
	case !errors.Is(err, context.DeadlineExceeded):
		w.fault("WaitForProxies: %v", err)
	case (named || identified) && !w.shape.noOrderID:
		w.fault("the proxies never came: %v", err)
	}
}

// conclude settles in the end what can be settled, and dismisses the rest.
func (w *modelWorld) conclude(p *modelProcess) {
	if w.seed%2 == 0 {
		p.recover()
	}
	for _, e := range w.stored.all() {
		if e.State == youproxy.EntryOpen && !isPlainAttempt(&e.Attempt) {
			p.reconcile(e.Attempt)
		}
	}
	p.recover() // which dismisses plain calls
	for _, e := range w.stored.all() {
		if e.State != youproxy.EntryOpen {
			continue
		}
		if isPlainAttempt(&e.Attempt) {
			w.fault("a plain call is open for ever: %s", e.Attempt)
			continue
		}
		if w.seed%3 == 0 {
			w.dismiss(p, &e)
		}
	}
}

// dismiss dismisses what is open: its key is dead then.
func (w *modelWorld) dismiss(p *modelProcess, e *youproxy.Entry) {
	var err error
	for try := range 10 { // as a person does, while the journal fails
		err = p.client.Dismiss(p.ctx, e.Attempt.ID, "nobody knows")
		if try > 0 && err != nil && strings.Contains(err.Error(), "no open attempt") {
			err = nil // it had been written all the same
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		w.fault("Dismiss: %v", err)
	}
	if e.Attempt.Key == "" {
		return
	}
	for _, i := range w.wishes {
		if i.key != e.Attempt.Key {
			continue
		}
		var pending *youproxy.PendingError
		if err := p.buy(i); !errors.As(err, &pending) || pending.Note != "nobody knows" {
			w.fault("%s was dismissed, and Buy says %v", i.who(), err)
		}
	}
}
