package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// spendFlags are the flags of a command that spends.
type spendFlags struct {
	maxPrice price
	yes      bool
	key      string
}

func (f *spendFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(&f.maxPrice, "max-price", "the most that it may cost in total, such as '10 USD'; required")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	flags.StringVar(&f.key, "idempotency-key", "", "`name` of the purchase: with the same name it is made at most once (default: a new one)")
}

// check returns what is wrong with the flags, before anything is sent.
func (f *spendFlags) check(a *app, cmd *cobra.Command) error {
	switch {
	case f.maxPrice.IsZero():
		return usageError{errors.New("--max-price is missing: set the most that all of it may cost, such as --max-price '10 USD'")}
	case !f.yes && !a.asks:
		return usageError{errors.New("nobody can be asked here: add --yes to spend up to --max-price without a question")}
	case len(f.key) > 255 || !utf8.ValidString(f.key):
		return usageError{errors.New("--idempotency-key must be 1 to 255 bytes of UTF-8, such as the id of a job")}
	case f.key == "" && cmd.Flags().Changed("idempotency-key"):
		return usageError{errors.New("--idempotency-key is empty: name the purchase, or leave the flag out")}
	}
	return nil
}

// client returns a client for a purchase, if the flags are valid.
func (f *spendFlags) client(a *app, cmd *cobra.Command) (*youproxy.Client, error) {
	if err := f.check(a, cmd); err != nil {
		return nil, err
	}
	return a.spender(a.watch())
}

// price is a flag that takes an amount of money.
type price struct{ youproxy.Money }

func (p *price) Set(s string) (err error) {
	p.Money, err = youproxy.ParseMoney(s)
	return err
}

func (*price) Type() string { return "price" }

func (p *price) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Money.String()
}

// deal is a purchase or an extension of a command.
type deal struct {
	a      *app
	cmd    *cobra.Command
	flags  *spendFlags
	client *youproxy.Client

	what     string
	quantity int
	promo    bool
	quote    func(ctx context.Context) (*youproxy.Quote, error)
	ofOne    func(ctx context.Context) (*youproxy.Quote, error) // nil where it is one
	request  string                                             // the fingerprint of what is asked for
	differs  func(*youproxy.Attempt) bool                       // reports whether an attempt was of something else
	meets    func(*youproxy.Attempt) bool                       // reports whether an open attempt stands in the way

	earlier *youproxy.Entry // the newest with the same key
	before  bool            // an earlier run made it
	fresh   bool            // this run generated its key
	mark    *mark           // nil where this run holds none
}

// make makes the deal: it looks for an earlier one with the same key, shows the price, asks
// the person, and calls do with the options of the purchase.
func (d *deal) make(ctx context.Context, do func(...youproxy.SpendOption) error) error {
	var err error
	if d.before, err = d.lookBack(ctx); err != nil {
		return err
	}
	if !d.before {
		if err := d.agree(ctx); err != nil {
			return err
		}
	}
	if err := d.name(); err != nil {
		return err
	}
	return d.failed(do(youproxy.IdempotencyKey(d.flags.key)))
}

// lookBack reports whether the outcome of the deal is already known, so that nothing is
// spent. If an earlier run with the same key left it open, lookBack looks at the account.
func (d *deal) lookBack(ctx context.Context) (decided bool, err error) {
	e := d.earlier
	switch {
	case e == nil:
		return false, nil
	case d.differs(&e.Attempt), e.State == youproxy.EntryDismissed, e.State == youproxy.EntryExecuted:
		return true, nil
	case e.State == youproxy.EntryNotExecuted:
		return false, nil
	}
	d.a.note("It is not known yet what became of an earlier run with this key: looking at the account, which can take minutes.")
	found, err := d.client.Reconcile(ctx, e.Attempt)
	if err == nil && found.Verdict == youproxy.VerdictUndetermined {
		err = &youproxy.SpendError{Attempt: e.Attempt, Evidence: found.Evidence}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = interruptedIn(&e.Attempt, err)
		}
		return false, &mayBeSpent{err, d.next()}
	}
	if found.Verdict == youproxy.VerdictNotExecuted {
		d.a.note("It was not executed, and nothing was spent.")
	}
	return found.Verdict == youproxy.VerdictExecuted, nil
}

// madeUp is the beginning of generated keys.
const madeUp = "auto-"

// isMadeUp reports whether [deal.name] generated a key.
func isMadeUp(key string) bool {
	rest, ok := strings.CutPrefix(key, madeUp)
	return ok && len(rest) == 16 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// name generates a key if there is none, marks it, and prints it: whatever happens to the
// program from here on, the key finds the purchase.
func (d *deal) name() error {
	if d.flags.key != "" {
		return nil
	}
	key := madeUp + strings.ToLower(rand.Text()[:16])
	var err error
	if d.mark, err = d.a.mark(key, d.request); err != nil {
		return err
	}
	d.fresh = true
	d.a.note("The idempotency key is %s: with it, this purchase is made at most once.", key)
	return d.cmd.Flags().Set("idempotency-key", key)
}

// failed adds what an error of a purchase means for the money.
func (d *deal) failed(err error) error {
	if err == nil {
		return nil
	}
	var pending *youproxy.PendingError
	own := errors.As(err, &pending) && pending.Attempt.Key == d.flags.key && pending.Note == ""
	made := d.before && !errors.Is(err, youproxy.ErrKeyReused) && pending == nil // by an earlier run
	switch outcome := youproxy.OutcomeOf(err); {
	case own, made, outcome != youproxy.OutcomeNotSent && outcome != youproxy.OutcomeRejected:
		return &mayBeSpent{interrupted(d.cmd.Context(), err), d.next()}
	}
	if d.fresh {
		d.finish() // nothing was spent with this key
	}
	return byFlag(err)
}

// interrupted replaces the error of a purchase whose context is done: what went wrong after
// that says nothing about the purchase.
func interrupted(ctx context.Context, err error) error {
	var failed *youproxy.SpendError
	if ctx.Err() == nil || !errors.As(err, &failed) {
		return err
	}
	return interruptedIn(&failed.Attempt, err)
}

func interruptedIn(a *youproxy.Attempt, err error) error {
	return &refusal{"interrupted, and it may have been executed: " + a.String() + "; money may have been spent", []error{err}}
}

// next says how to go on with a purchase whose outcome is not known.
func (d *deal) next() string {
	return fmt.Sprintf("To find out, and to buy only if it was not bought, run:\n  %s\nTo find out and buy nothing, run:\n  %s",
		d.a.again(d.cmd), d.a.command("journal", "recover"))
}

// told finishes a deal that was made. If err says that it could not be printed, the deal is
// left for the next run.
func (d *deal) told(err error, untold string) error {
	if err == nil {
		d.finish()
		return nil
	}
	return &mayBeSpent{
		&refusal{untold + inWords(err), []error{err}},
		"To print it, which spends nothing, run:\n  " + d.a.again(d.cmd),
	}
}

// watch returns an option that prints a note when the account is looked at, because a
// purchase has got no reply.
func (a *app) watch() youproxy.Option {
	return youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
		spends := e.Op == "POST /order" || e.Op == "POST /extend" || e.Op == "POST /extend/order"
		if spends && e.Outcome == youproxy.OutcomeUnknown && ctx.Err() == nil {
			a.note("No reply says what became of it: looking at what the account holds, which can take minutes. Ctrl-C ends that.")
		}
	})
}

// describe returns what was charged, and how that is known.
func (d *deal) describe(a *youproxy.Attempt, charged *youproxy.Money, recovered bool) string {
	text := d.what + " for " + a.Price.String() + " as quoted; what was charged is not known"
	if charged != nil {
		text = d.what + " for " + charged.String()
		if above, err := charged.Cmp(a.Limit); err == nil && above > 0 {
			text += ", which is above the limit of " + a.Limit.String()
		}
	}
	if recovered {
		text += "; the reply was lost, the account shows it"
	}
	if d.before {
		text += "; that was at " + a.At.UTC().Format(time.RFC3339) + " already, nothing was spent now"
	}
	return text
}
