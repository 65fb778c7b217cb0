package youproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shopspring/decimal"
)

// Errors of [Client.Buy], [Client.Renew] and [Client.Reconcile]. Of the guards,
// which send nothing, more are codes of the service: [ErrInsufficientFunds] for
// a balance that is too small, and [ErrWholeOrderRequired] for a part of an IPv6
// order. [ErrCurrencyMismatch] is a limit in another currency than the price.
var (
	// ErrPriceAboveLimit: the quote is above the limit. Nothing was sent.
	ErrPriceAboveLimit = errors.New("youproxy: the price is above the limit")
	// ErrPromoCodeNotValid: the service would not accept the promo code, and would
	// charge the full price. Nothing was sent.
	ErrPromoCodeNotValid = errors.New("youproxy: the promo code is not valid")
	// ErrQuoteWarning: the quote came with warnings. The error matches their codes
	// as well. Nothing was sent.
	ErrQuoteWarning = errors.New("youproxy: the service would not execute what was quoted")
	// ErrNotExecuted: the purchase was not sent, was refused, or the account shows
	// that nothing was bought. Repeating is safe.
	ErrNotExecuted = errors.New("youproxy: the purchase was not executed")
	// ErrUndetermined: the account does not show what became of the purchase.
	// Look at it before buying again.
	ErrUndetermined = errors.New("youproxy: it is not known whether the purchase was executed")
	// ErrChargedAboveLimit: the purchase was made, and the balance fell by more than
	// the limit. That is its price, unless others spent from the account meanwhile.
	ErrChargedAboveLimit = errors.New("youproxy: more than the limit was charged")
)

// Verdict says what the account shows of a purchase whose outcome was not heard
// of.
type Verdict uint8

const (
	// VerdictUndetermined means that the account does not show what became of it.
	VerdictUndetermined Verdict = iota
	// VerdictExecuted means that exactly what was asked for has appeared.
	VerdictExecuted
	// VerdictNotExecuted means that it was not sent, or refused, or that the account
	// stayed as it was for the whole patience.
	VerdictNotExecuted
)

// String gives "undetermined", "executed" or "not executed".
func (v Verdict) String() string {
	switch v {
	case VerdictExecuted:
		return "executed"
	case VerdictNotExecuted:
		return "not executed"
	}
	return "undetermined"
}

// Purchase is an order that was placed.
type Purchase struct {
	Order     *Order  // the reply; nil where the purchase was recovered
	OrderID   OrderID // empty until it is known: the reply does not tell it
	Quote     Quote
	Attempt   Attempt
	Recovered bool   // the reply was lost, and the account shows the order
	Charged   *Money // what the balance fell by since before; nil where that is not known
}

// Renewal is an extension that was made.
type Renewal struct {
	Extension *Extension // the reply; nil where the renewal was recovered
	Quote     Quote
	Attempt   Attempt
	Recovered bool   // the reply was lost, and the account shows the new ends
	Charged   *Money // what the balance fell by since before; nil where that is not known
}

// SpendError is a purchase that did not end well after its attempt was recorded.
// It matches [ErrNotExecuted] or [ErrUndetermined] by its verdict. Beside a
// purchase that is returned, it tells that more than the limit was charged.
type SpendError struct {
	Attempt  Attempt
	Verdict  Verdict
	Evidence Evidence // what the account showed, if it was looked at
	Err      error    // what went wrong first
}

// Error tells what went wrong, what became of the money, and what to look at.
func (e *SpendError) Error() string {
	text := "youproxy: " + e.Attempt.String()
	if e.Err != nil {
		text += ": " + reasonOf(e.Err)
	}
	if evidence := e.Evidence.String(); evidence != "" {
		text += "; " + evidence
	}
	switch e.Verdict {
	case VerdictExecuted:
		return text + "; it was executed"
	case VerdictNotExecuted:
		return text + "; it was not executed, nothing was spent"
	}
	return text + "; money may have been spent: look at the account, or reconcile the attempt, before buying again"
}

// Is matches the sentinel of the verdict, and of the outcome.
func (e *SpendError) Is(target error) bool {
	switch target {
	case ErrNotExecuted:
		return e.Verdict == VerdictNotExecuted
	case ErrUndetermined:
		return e.Verdict == VerdictUndetermined
	}
	return isOutcome(target, e.outcome())
}

// Unwrap gives what went wrong first.
func (e *SpendError) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return settled{e.Err}
}

func (e *SpendError) outcome() Outcome {
	switch e.Verdict {
	case VerdictExecuted:
		return OutcomeDone
	case VerdictNotExecuted:
		if o, ok := outcomeIn(e.Err); ok && o == OutcomeRejected {
			return OutcomeRejected
		}
		return OutcomeNotSent
	}
	return OutcomeUnknown
}

// LogValue gives slog the attempt, the verdict and the cause.
func (e *SpendError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Any("attempt", e.Attempt),
		slog.String("verdict", e.Verdict.String()),
		slog.String("outcome", e.outcome().String()),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// notFoundOut is a context that ended before the account showed what became of a
// call that failed. The evidence tells of the context.
type notFoundOut struct{ first, over error }

func (e *notFoundOut) Error() string   { return reasonOf(e.first) }
func (e *notFoundOut) Unwrap() []error { return []error{e.first, e.over} }

// settled is an error whose outcome is known better by now: it matches all that
// it did but the sentinels of outcomes.
type settled struct{ err error }

func (e settled) Error() string      { return e.err.Error() }
func (e settled) As(target any) bool { return errors.As(e.err, target) }
func (e settled) Is(target error) bool {
	return !isVerdict(target) && errors.Is(e.err, target)
}

// isVerdict reports whether an error tells what became of a call.
func isVerdict(err error) bool {
	return slices.Contains([]error{ErrNotSent, ErrOutcomeUnknown, ErrNotExecuted, ErrUndetermined}, err)
}

// guardError is a purchase that was stopped before anything was sent.
type guardError struct {
	op     string
	text   string
	causes []error
}

func stopped(op, text string, causes ...error) error {
	return &guardError{op: op, text: text, causes: causes}
}

func (e *guardError) Error() string {
	return "youproxy: " + e.op + ": " + e.reason() + "; " + moneyAfter(e.op, OutcomeNotSent)
}
func (e *guardError) reason() string       { return e.text }
func (e *guardError) Is(target error) bool { return isOutcome(target, OutcomeNotSent) }
func (e *guardError) Unwrap() []error      { return e.causes }
func (e *guardError) outcome() Outcome     { return OutcomeNotSent }

// checkQuote stops a purchase that is not what the caller is ready to pay for.
func checkQuote(op string, q *Quote, promoCode string, limit Money) error {
	switch above, err := q.Price.Cmp(limit); {
	case err != nil:
		return stopped(op, fmt.Sprintf("the price is %s, and the limit %s", q.Price, limit), err)
	case above > 0:
		return stopped(op, fmt.Sprintf("the price of %s is above the limit of %s", q.Price, limit), ErrPriceAboveLimit)
	case q.Price.Amount.IsNegative():
		return stopped(op, fmt.Sprintf("the price of %s is negative", q.Price), ErrQuoteWarning)
	case q.Price.Amount.IsZero() && q.Discount.LessThan(decimal.NewFromInt(100)):
		return stopped(op, fmt.Sprintf("the price is %s without a full discount", q.Price), ErrQuoteWarning)
	case promoCode != "" && q.PromoCodeStatus != PromoCodeValid:
		return stopped(op, fmt.Sprintf("the promo code is not valid: the full price of %s would be charged", q.Price), ErrPromoCodeNotValid)
	}
	if len(q.Warnings) > 0 {
		causes := []error{ErrQuoteWarning}
		var texts []string
		for _, w := range q.Warnings {
			causes = append(causes, w.Code)
			texts = append(texts, fmt.Sprintf("%s (code %d)", shortQuote(w.Message), int(w.Code)))
		}
		return stopped(op, "the service would not execute it: "+strings.Join(texts, ", "), causes...)
	}
	if q.Balance.IsZero() {
		return nil // the reply may leave it out: the balance is asked for before anything is sent
	}
	return checkFunds(op, q.Price, q.Balance)
}

func checkFunds(op string, price, balance Money) error {
	switch below, err := balance.Cmp(price); {
	case err != nil:
		return stopped(op, fmt.Sprintf("the price is %s, and the balance %s", price, balance), err)
	case below < 0:
		return stopped(op, fmt.Sprintf("the balance of %s is less than the price of %s", balance, price), ErrInsufficientFunds)
	}
	return nil
}

// Buy places an order for no more than maxPrice, once. It asks for the quote, and
// stops where that is above the limit, in another currency, above the balance,
// comes with warnings, or does not honour the promo code. It notes what the
// account holds, lets the recorder of [WithAttemptRecorder] write the attempt
// down, and sends the order. Where no reply tells what became of it, or it is rejected
// otherwise than by a documented code beside a balance that did not fall, it finds out
// by what the account holds afterwards, as [Client.Reconcile] does. That can take
// as long as [Timeouts.Spend] and the patience of [WithReconcilePatience] together,
// two minutes each unless they are set.
//
// An error before the attempt was recorded has [OutcomeNotSent]. One after that is
// a [*SpendError], which matches [ErrNotExecuted] where repeating is safe, and
// [ErrUndetermined] where it is not. Where the purchase is returned as well, it
// was made, and the error is [ErrChargedAboveLimit]: the service takes no limit,
// so a price that rose after the quote is seen only then.
//
// To cancel ctx after the order left only destroys the knowledge of what became
// of it. In a request handler, buy with [context.WithoutCancel]:
//
//	purchase, err := client.Buy(context.WithoutCancel(r.Context()), order, limit)
func (c *Client) Buy(ctx context.Context, req OrderRequest, maxPrice Money) (*Purchase, error) {
	o, err := checkedOrder(req)
	if err != nil {
		return nil, err
	}
	ctx, s, err := c.beginSpend(ctx, opOrder, maxPrice)
	if err != nil {
		return nil, err
	}
	defer s.leave()
	s.quote, err = c.quote(ctx, "POST /calculate/order", &o.orderTerms, o.ProxyType)
	if err := s.guard(o.PromoCode, err); err != nil {
		return nil, err
	}
	a := &s.attempt
	a.ProxyType, a.RentPeriodDays, a.Quantity, a.Country = o.ProxyType, o.RentPeriodDays, o.Quantity, o.Country
	if err := s.snapshot(ctx); err != nil {
		return nil, err
	}

	reply := orderReply{asked: o.ProxyType}
	e, err := s.send(ctx, o, &reply)
	purchase := &Purchase{Quote: *s.quote, Attempt: s.attempt}
	if err == nil {
		purchase.Order = reply.order(e)
		purchase.Charged, err = s.charged(e)
		return purchase, err
	}
	seen, err := s.settle(ctx, err)
	if seen == nil || seen.Verdict != VerdictExecuted {
		return nil, err
	}
	seen.Purchase.Quote = *s.quote
	return seen.Purchase, err
}

// Renew extends proxies for no more than maxPrice, once, as [Client.Buy] orders
// them. Where no reply tells, the ends of the proxies and the balance do. It
// refuses a part of an IPv6 order with [ErrWholeOrderRequired], and proxies that
// are not in the account.
func (c *Client) Renew(ctx context.Context, req ExtendRequest, maxPrice Money) (*Renewal, error) {
	x, err := checkedExtension(req)
	if err != nil {
		return nil, err
	}
	ctx, s, err := c.beginSpend(ctx, opExtend+x.suffix, maxPrice)
	if err != nil {
		return nil, err
	}
	defer s.leave()
	s.quote, err = c.quote(ctx, "POST /calculate/extend"+x.suffix, x, x.ProxyType)
	if err := s.guard(x.PromoCode, err); err != nil {
		return nil, err
	}
	a := &s.attempt
	a.ProxyType, a.RentPeriodDays = x.ProxyType, x.RentPeriodDays
	s.selection = &x.selection
	if err := s.snapshot(ctx); err != nil {
		return nil, err
	}

	reply := extendReply{asked: &x.selection}
	e, err := s.send(ctx, x, &reply)
	renewal := &Renewal{Quote: *s.quote, Attempt: s.attempt}
	if err == nil {
		renewal.Extension = reply.extension(e)
		renewal.Charged, err = s.charged(e)
		return renewal, err
	}
	seen, err := s.settle(ctx, err)
	if seen == nil || seen.Verdict != VerdictExecuted {
		return nil, err
	}
	seen.Renewal.Quote = *s.quote
	return seen.Renewal, err
}

// guardedSpend is a purchase under way.
type guardedSpend struct {
	c         *Client
	leave     func()
	quote     *Quote
	selection *selection // of an extension
	attempt   Attempt
	own       ownSpend
}

// beginSpend waits for the turn. All that the purchase does is done with the
// context that it returns.
func (c *Client) beginSpend(ctx context.Context, op string, limit Money) (context.Context, *guardedSpend, error) {
	if err := c.check(ctx); err != nil {
		return nil, nil, notSent(op, err)
	}
	if err := checkLimit(op, limit); err != nil {
		return nil, nil, err
	}
	turn, leave, err := c.core().takeTurn(ctx, op)
	if err != nil {
		return nil, nil, err
	}
	s := &guardedSpend{c: c, leave: leave, attempt: Attempt{Version: attemptVersion, ID: rand.Text(), Op: op, Limit: limit}}
	return turn, s, nil
}

// checkLimit stops a purchase whose limit could be in any currency.
func checkLimit(op string, limit Money) error {
	if isCurrency(limit.Currency) {
		return nil
	}
	return stopped(op, fmt.Sprintf("the limit is %s, where a currency must be named in capital letters, without blanks: write it such as ParseMoney(\"10 USD\")", limit), ErrCurrencyMismatch)
}

// guard stops what was quoted, or could not be.
func (s *guardedSpend) guard(promoCode string, quoteErr error) error {
	if quoteErr != nil {
		return stopped(s.attempt.Op, "the price could not be asked: "+reasonOf(quoteErr), settled{quoteErr})
	}
	s.attempt.PromoCode, s.attempt.Price = promoCode, s.quote.Price
	return checkQuote(s.attempt.Op, s.quote, promoCode, s.attempt.Limit)
}

// snapshot notes what the account holds.
func (s *guardedSpend) snapshot(ctx context.Context) error {
	a := &s.attempt
	fail := func(err error) error {
		return stopped(a.Op, "what the account holds could not be read: "+reasonOf(err), settled{err})
	}
	if s.selection != nil {
		if err := s.noteEnds(ctx); err != nil {
			if _, ok := err.(*guardError); ok { //nolint:errorlint // it is never wrapped
				return err
			}
			return fail(err)
		}
	} else if err := s.noteOrders(ctx); err != nil {
		return fail(err)
	}
	balance, aged, err := s.c.balance(ctx)
	switch {
	case err != nil:
		return fail(err)
	case aged:
		return fail(errAged)
	}
	a.Before.Balance = balance
	return checkFunds(a.Op, a.Price, balance)
}

func (s *guardedSpend) noteOrders(ctx context.Context) error {
	a := &s.attempt
	numbers := make(map[OrderNumber]bool)
	seen := make(map[OrderID]bool)
	for p, err := range s.c.fresh(ctx, a.ProxyType) {
		if err != nil {
			return err
		}
		numbers[p.OrderNumber] = true
		if id := redactID(s.c, p.OrderID); !seen[id] {
			seen[id] = true
			a.Before.Orders = append(a.Before.Orders, id)
		}
	}
	a.Before.Unseen = s.c.core().spends.unseen(a.ProxyType, numbers, s.c.core().config.patience+2*clockTolerance)
	return nil
}

func (s *guardedSpend) noteEnds(ctx context.Context) error {
	a, x := &s.attempt, s.selection
	wanted := make(map[string]bool)
	for _, id := range x.IPAddressIDs {
		wanted[string(id)] = true
	}
	for _, id := range x.OrderIDs {
		wanted[string(id)] = true
	}
	found := make(map[string]bool)
	a.Before.Ends = make(map[IPAddressID]time.Time)
	left := make(map[OrderID]bool)     // orders of which some proxy is not chosen
	selected := make(map[OrderID]bool) // orders of which some proxy is
	for p, err := range s.c.fresh(ctx, a.ProxyType) {
		if err != nil {
			return err
		}
		id := string(p.ID)
		if x.suffix != "" {
			id = string(p.OrderID)
		}
		if !wanted[id] {
			left[p.OrderID] = true
			continue
		}
		found[id] = true
		selected[p.OrderID] = true
		a.Before.Ends[p.ID] = p.End
		if p.AutoExtend {
			a.Before.Renewing = append(a.Before.Renewing, p.ID)
		}
	}
	for id := range wanted {
		if !found[id] {
			cause := ErrIncorrectIPAddresses
			if x.suffix != "" {
				cause = ErrIncorrectOrderIDs
			}
			return stopped(a.Op, plainText(id)+" is not among the account's proxies of that type", cause)
		}
	}
	for id := range selected {
		if a.ProxyType == ProxyTypeIPv6 && x.suffix == "" && left[id] {
			return stopped(a.Op, "only a part of the IPv6 order "+plainText(string(id))+" is to be extended, which the service does not do: extend all of it", ErrWholeOrderRequired)
		}
	}
	a.Quantity = len(a.Before.Ends)
	return nil
}

// send lets the recorder write the attempt down and sends the request, once.
func (s *guardedSpend) send(ctx context.Context, body interface{ own() ownSpend }, reply any) (*envelope, error) {
	core, a := s.c.core(), &s.attempt
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, notSent(a.Op, fmt.Errorf("the request cannot be written as JSON: %w", err))
	}
	a.At = time.Now().UTC()
	a.Before.Disturbed = core.spends.extended(a, core.config.patience+2*clockTolerance)
	if core.config.recorder != nil {
		if err := core.config.recorder(ctx, a.clone()); err != nil {
			return nil, notSent(a.Op, fmt.Errorf("the attempt could not be recorded: %w", outside(core.redact, err)))
		}
		if took := time.Since(a.At); took > core.config.timeouts.Spend { // what is reconciled counts from then
			return nil, notSent(a.Op, fmt.Errorf("to record the attempt took %s, which is longer than the call may take", took.Round(time.Second)))
		}
	}
	method, path, _ := strings.Cut(a.Op, " ")
	s.own = body.own()
	s.own.attempt = a.ID
	if len(a.Before.Ends) > 0 {
		s.own.proxies = slices.Collect(maps.Keys(a.Before.Ends))
	}
	r := core.spend(ctx, &apiCall{op: a.Op, effect: spend, method: method, path: path, body: payload, reply: reply, own: s.own})
	return r.envelope, r.err
}

// settle finds out what became of an attempt that gave an error.
func (s *guardedSpend) settle(ctx context.Context, err error) (*Reconciliation, error) {
	failed := &SpendError{Attempt: s.attempt, Err: err}
	switch OutcomeOf(err) {
	case OutcomeNotSent:
		failed.Verdict = VerdictNotExecuted
		return nil, failed
	case OutcomeRejected:
		if s.attempt.refused(err) {
			failed.Verdict = VerdictNotExecuted
			return nil, failed
		}
		s.c.core().spends.begin(s.own) // it may have been executed all the same
	}
	seen, lookErr := s.c.reconcile(ctx, &s.attempt, time.Now().Add(s.c.core().config.patience))
	failed.Verdict, failed.Evidence = seen.Verdict, seen.Evidence
	if lookErr != nil {
		failed.Err = &notFoundOut{first: err, over: lookErr}
	}
	switch seen.Verdict {
	case VerdictExecuted:
		s.c.core().spends.recovered()
		return seen, nil // for the price of the quote, else it would not be known
	case VerdictNotExecuted:
		s.c.core().spends.end(OutcomeNotSent, nil)
	default:
		s.c.core().spends.end(OutcomeUnknown, nil)
	}
	return seen, failed
}

// refused reports whether a rejection is the service's own word: a documented code in
// its envelope, beside a balance that did not fall. What stands in front of the
// service, or answers for it, may reject what was executed.
func (a *Attempt) refused(err error) bool {
	var no *APIError
	if !errors.As(err, &no) || !no.Code.Known() {
		return false
	}
	if no.Balance == nil {
		return true
	}
	fell := a.fell(*no.Balance)
	return fell != nil && !fell.Amount.IsPositive()
}

// charged tells what the balance of a reply fell by.
func (s *guardedSpend) charged(e *envelope) (*Money, error) {
	if !e.balance.given {
		return nil, nil
	}
	charged := s.attempt.fell(e.money(e.balance))
	return charged, s.checkCharged(charged)
}

func (s *guardedSpend) checkCharged(charged *Money) error {
	if charged == nil {
		return nil
	}
	if above, err := charged.Cmp(s.attempt.Limit); err != nil || above <= 0 {
		return nil //nolint:nilerr // the currencies are those that the quote was checked with
	}
	return &SpendError{
		Attempt: s.attempt, Verdict: VerdictExecuted,
		Err: fmt.Errorf("%w: %s, where the limit was %s", ErrChargedAboveLimit, charged, s.attempt.Limit),
	}
}

// fell gives by how much the balance fell since the attempt, or nil where it is
// in another currency.
func (a *Attempt) fell(now Money) *Money {
	fell, err := a.Before.Balance.Sub(now)
	if err != nil || now.IsZero() || a.Before.Balance.IsZero() {
		return nil
	}
	return &fell
}
