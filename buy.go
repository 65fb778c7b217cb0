package youproxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/shopspring/decimal"
)

// Purchase is an order that was placed.
type Purchase struct {
	OrderNumber     OrderNumber // empty if the purchase was recovered and the list shows no number
	OrderID         OrderID     // empty until the list shows it: the reply to an order does not contain it
	PromoCodeStatus PromoCodeStatus
	Quote           Quote
	Attempt         Attempt
	Recovered       bool   // the reply was lost, and the account showed the order
	Charged         *Money // by how much the balance fell; nil if not known
}

// AboveLimit reports whether more than the limit is known to have been charged. The
// service accepts no limit, so a price that rises between the quote and the order is
// noticed only afterwards.
func (p *Purchase) AboveLimit() bool { return isAbove(p.Charged, p.Attempt.Limit) }

func isAbove(charged *Money, limit Money) bool {
	if charged == nil {
		return false
	}
	above, err := charged.Cmp(limit)
	return err == nil && above > 0
}

// SpendOption configures one [Client.Buy] or [Client.Renew].
type SpendOption func(*spending) error

// IdempotencyKey names a purchase: with the same key it is made at most once, for as long
// as the journal lasts. If it was made before, that purchase is returned and nothing is
// spent. If its outcome is not known, the account is looked at first. If it was not
// executed, it is made. If its attempt was dismissed, the error is a [*PendingError]. The
// same key with another request is [ErrKeyReused].
//
// A key is 1 to 255 bytes of UTF-8 without NUL, such as the id of a job. The journal in
// memory remembers the last 100,000 keys until the process ends. A journal that lasts,
// such as that of package filejournal, remembers all keys.
func IdempotencyKey(key string) SpendOption {
	return func(s *spending) error {
		if key == "" || len(key) > 255 || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
			return &ValidationError{Request: "IdempotencyKey", Fields: []FieldError{{
				Field: "key", Rule: ruleFormat, Message: "must be 1 to 255 bytes of UTF-8 without NUL, such as the id of a job",
			}}}
		}
		s.entry.Attempt.Key = key
		return nil
	}
}

// Buy places an order once, for no more than limit. The error is nil exactly when the
// order is known to have been placed.
//
// Buy locks the client's journal, which is in memory unless [WithJournal] sets another,
// and asks for a quote. It stops if the price is above the limit or the balance or is in
// another currency, if the quote has warnings, or if the promo code is not valid.
// Otherwise it notes what the account holds, records the attempt as open, and sends the
// order once. If the reply is lost, or is a rejection that may not be the service's own,
// Buy looks at the account until that shows whether the order was placed. This can take
// as long as [Timeouts.Spend] and the patience of [WithReconcilePatience] together, 2
// minutes each by default.
//
// An error with [OutcomeNotSent] or [OutcomeRejected] means that nothing was spent. A
// request that breaks a rule is a [*ValidationError]. A purchase that was stopped matches
// the error of its guard, such as [ErrPriceAboveLimit], [ErrInsufficientFunds] or
// [ErrPending]. An error after the attempt was recorded is a [*SpendError], which matches
// [ErrNotExecuted] if repeating is safe, and [ErrUndetermined] if the outcome is not
// known. An undetermined attempt stays open in the journal and stops other orders of its
// proxy type with a [*PendingError], so calling Buy again does not buy twice. An order
// with another key is stopped only until the patience for that attempt is over.
// [Client.Recover] looks again later; with [IdempotencyKey], Buy does so by itself.
//
// Whether the price of a quote is for one proxy or for all is not documented. For more
// than one proxy, Buy therefore asks for the price of one as well. If both are equal, the
// limit must allow that price for each proxy.
//
// Canceling ctx after the order was sent does not stop the order; it only ends the search
// for its outcome. In a request handler, use [context.WithoutCancel]:
//
//	purchase, err := client.Buy(context.WithoutCancel(r.Context()), order, limit)
func (c *Client) Buy(ctx context.Context, req OrderRequest, limit Money, opts ...SpendOption) (*Purchase, error) {
	o, err := checkedOrder(req)
	if err != nil {
		return nil, err
	}
	reply := &orderReply{asked: o.ProxyType}
	s := &spending{c: c, body: o, reply: reply, quoteOp: "POST /calculate/order", terms: &o.orderTerms, entry: *o.spent()}
	if o.Quantity > 1 {
		one := o.orderTerms
		one.Quantity = 1
		s.one = &one
	}
	if err := s.run(ctx, limit, opts); err != nil {
		return nil, err
	}
	return s.entry.purchase(s.quote), nil
}

// purchase returns the order of an executed entry. q is nil if no quote was asked for
// now.
func (e *Entry) purchase(q *Quote) *Purchase {
	return &Purchase{
		OrderNumber: e.OrderNumber, OrderID: e.OrderID, PromoCodeStatus: e.PromoCodeStatus,
		Quote: e.quote(q), Attempt: e.Attempt.clone(), Recovered: e.Recovered, Charged: e.charged(),
	}
}

func (e *Entry) quote(q *Quote) Quote {
	if q != nil {
		return *q
	}
	a := &e.Attempt
	kept := Quote{ProxyType: a.ProxyType, Price: a.Price, Balance: a.Before.Balance, Discount: a.Discount}
	if a.PromoCode != "" {
		kept.PromoCodeStatus = PromoCodeValid // otherwise it would have been stopped
	}
	return kept
}

// spending is a Buy or a Renew in progress.
type spending struct {
	c         *Client
	turn      *turn
	body      any // of the call that spends
	payload   []byte
	reply     spendReply
	selection *selection // of an extension
	part      *partTurn  // of a plan; nil for a Renew
	quoteOp   string
	terms     any // the body of the quote
	one       any // the same for one proxy; nil if terms is for one already
	quote     *Quote
	ofOne     *Quote // nil if one alone cannot be quoted
	quotedAt  time.Time
	entry     Entry
	open      []Entry // open entries of the journal, and those with the same key
}

// spendReply is the reply to a call that spends. tell copies what the reply says to an
// entry.
type spendReply interface{ tell(e *Entry) }

// run makes the purchase. If it returns nil, the entry was executed.
func (s *spending) run(ctx context.Context, limit Money, opts []SpendOption) error {
	a := &s.entry.Attempt
	if err := s.begin(ctx, limit, opts); err != nil {
		return err
	}
	t, err := s.c.core().takeTurn(ctx, a.Op)
	if err != nil {
		return err
	}
	defer t.leave()
	s.turn = t
	if done, err := s.earlier(); done || err != nil {
		return err
	}
	first, then := s.ask, s.snapshot
	if s.part != nil {
		first, then = then, first // the price of what is still to be renewed
	}
	if err := first(); err != nil {
		return err
	}
	if err := then(); err != nil {
		return err
	}
	if elapsed(s.quotedAt) > time.Minute {
		if err := s.ask(); err != nil {
			return err
		}
		if elapsed(s.quotedAt) > time.Minute {
			return stopped(a.Op, "the quote was more than a minute old when it came")
		}
	}
	if err := s.checkLast(); err != nil {
		return err
	}
	if t.broken {
		return notSent(a.Op, errBroken)
	}
	method, path, _ := strings.Cut(a.Op, " ")
	call := &apiCall{op: a.Op, effect: spend, method: method, path: path, body: s.payload, reply: s.reply}
	r := s.c.core().spend(t, call, &s.entry)
	if call.recorded.IsZero() {
		return r.err
	}
	return s.settle(r)
}

// begin checks what can be checked before the journal is locked, and completes the
// attempt.
func (s *spending) begin(ctx context.Context, limit Money, opts []SpendOption) error {
	a := &s.entry.Attempt
	if err := s.c.check(ctx); err != nil {
		return notSent(a.Op, err)
	}
	if limit.IsZero() {
		return stopped(a.Op, "the limit is missing: pass one such as MustMoney(\"10 USD\")", ErrCurrencyMismatch)
	}
	if !isCurrency(limit.Currency) {
		return stopped(a.Op, fmt.Sprintf("the limit is %s, but must have a currency in capital letters, without blanks: pass one such as MustMoney(\"10 USD\")", limit), ErrCurrencyMismatch)
	}
	a.Limit = limit
	for i, opt := range opts {
		if opt == nil {
			return notSent(a.Op, fmt.Errorf("option %d is nil: leave it out", i+1))
		}
		if err := opt(s); err != nil {
			return err
		}
	}
	var err error
	if s.payload, err = json.Marshal(s.body); err != nil {
		return notSent(a.Op, fmt.Errorf("the request cannot be written as JSON: %w", err))
	}
	request := s.payload
	if x, ok := s.body.(*extension); ok { // the order of ids does not count
		sorted := *x
		sorted.IPAddressIDs, sorted.OrderIDs = slices.Sorted(slices.Values(x.IPAddressIDs)), slices.Sorted(slices.Values(x.OrderIDs))
		request, _ = json.Marshal(&sorted)
	}
	s.c.core().complete(a, request)
	if s.part != nil {
		a.Key = s.part.key(a)
	}
	return nil
}

// complete sets the fields that identify an attempt: its id, its request and its account.
func (c *core) complete(a *Attempt, payload []byte) {
	var room [1024]byte
	var text [idLength + 2*sha256.Size + accountLength]byte
	_, _ = rand.Read(room[:idLength]) // it never fails
	id := text[:idLength]
	for i := range id {
		id[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[room[i]%32]
	}
	request := sha256.Sum256(append(append(append(room[:0], a.Op...), '\n'), payload...))
	account := c.accountOf(id)
	hex.Encode(text[idLength:], request[:])
	copy(text[len(text)-accountLength:], account[:])
	all := string(text[:]) // one string for all three
	a.Version, a.ID = attemptVersion, all[:idLength]
	a.Request, a.Account = all[idLength:len(all)-accountLength], all[len(all)-accountLength:]
	a.SpendMillis, a.PatienceMillis = c.config.timeouts.Spend.Milliseconds(), c.config.patience.Milliseconds()
}

const (
	idLength      = 26
	accountLength = 8
)

// accountOf returns a checksum of an attempt's id and the API key, which shows whether the
// attempt was made with this key, and reveals nothing of it.
func (c *core) accountOf(id []byte) (account [accountLength]byte) {
	var room [256]byte
	sum := sha256.Sum256(append(append(append(room[:0], id...), '\n'), c.key()...))
	hex.Encode(account[:], sum[:accountLength/2])
	return account
}

// ask asks for the price of all and for that of one, and checks the quote.
func (s *spending) ask() error {
	ctx, cancel := context.WithTimeoutCause(s.turn, quoteBound, errSlowQuote)
	defer cancel()
	if err := s.askAll(ctx); err != nil {
		return err
	}
	if err := s.checkQuote(); err != nil {
		return err
	}
	return s.askOne(ctx)
}

// askAll asks for the price of all.
func (s *spending) askAll(ctx context.Context) (err error) {
	a := &s.entry.Attempt
	s.quotedAt = time.Now()
	if s.quote, err = s.c.quote(ctx, s.quoteOp, s.terms, a.ProxyType); err != nil {
		return stoppedBy(a.Op, "the quote failed", err)
	}
	if s.quote.aged {
		return stopped(a.Op, "the quote failed: "+errAged.Error())
	}
	a.Price, a.Discount, a.Before.Balance = s.quote.Price, s.quote.Discount, s.quote.Balance
	return nil
}

// askOne asks for the price of one, which may not be sold alone.
func (s *spending) askOne(ctx context.Context) (err error) {
	a := &s.entry.Attempt
	if s.ofOne = nil; s.one == nil {
		return nil
	}
	s.ofOne, err = s.c.quote(ctx, s.quoteOp, s.one, a.ProxyType)
	var refused *APIError
	if err != nil && (!errors.As(err, &refused) || !refused.Code.Known() || refused.Code == ErrServiceFault) {
		return stoppedBy(a.Op, "the quote for one failed", err)
	}
	if err != nil || len(s.ofOne.Warnings) > 0 {
		s.ofOne = nil
		s.c.core().log(ctx, slog.LevelInfo, "youproxy: one alone cannot be quoted: the price counts as that of all", slog.Any("attempt", *a))
	}
	return nil
}

var (
	errSlowQuote = fmt.Errorf("no reply came within %s: %w", quoteBound, context.DeadlineExceeded)
	errSlowList  = fmt.Errorf("the list did not end within %s: %w", listBound, context.DeadlineExceeded)
)

// checkLast checks what can be checked only when the quantity is known, and the budget.
func (s *spending) checkLast() error {
	a, largest := &s.entry.Attempt, s.largest()
	if isAbove(&largest, a.Limit) {
		return stopped(a.Op, fmt.Sprintf("the price of %s is within the limit of %s, but one alone costs as much, so the price may be per proxy: allow %d times as much, %s",
			a.Price, a.Limit, a.Quantity, largest), ErrPriceAboveLimit)
	}
	if a.Before.Balance.IsZero() { // the quote may leave it out
		ctx, cancel := context.WithTimeoutCause(s.turn, quoteBound, errSlowQuote)
		defer cancel()
		balance, err := s.c.freshBalance(ctx)
		if err != nil {
			return stoppedBy(a.Op, "what the account holds could not be read", err)
		}
		a.Before.Balance = balance
	}
	if err := checkFunds(a.Op, largest, a.Before.Balance); err != nil {
		return err
	}
	return s.checkBudget(largest)
}

// largest returns the larger reading of the price: that of all, or the same for each
// proxy if one alone costs as much.
func (s *spending) largest() Money {
	a := &s.entry.Attempt
	a.PriceIfEach = Money{}
	if s.ofOne != nil && a.Quantity > 1 {
		if order, err := a.Price.Cmp(s.ofOne.Price); err == nil && order <= 0 {
			a.PriceIfEach = Money{Amount: a.Price.Amount.Mul(decimal.NewFromInt(int64(a.Quantity))), Currency: a.Price.Currency}
		}
	}
	return s.entry.cost()
}

func checkFunds(op string, price, balance Money) error {
	switch below, err := balance.Cmp(price); {
	case err != nil:
		return stopped(op, fmt.Sprintf("the price of %s cannot be compared with the balance of %s: their currencies are not the same", price, balance), err)
	case below < 0:
		return stopped(op, fmt.Sprintf("the balance of %s is less than the price of %s", balance, price), ErrInsufficientFunds)
	}
	return nil
}

// checkQuote stops a purchase whose quote breaks a guard.
func (s *spending) checkQuote() error {
	a, q := &s.entry.Attempt, s.quote
	switch above, err := q.Price.Cmp(a.Limit); {
	case err != nil:
		return stopped(a.Op, fmt.Sprintf("the price of %s cannot be compared with the limit of %s: their currencies are not the same", q.Price, a.Limit), err)
	case above > 0:
		return stopped(a.Op, fmt.Sprintf("the price of %s is above the limit of %s", q.Price, a.Limit), ErrPriceAboveLimit)
	}
	if err := s.checkTerms(); err != nil || q.Balance.IsZero() {
		return err // a missing balance is asked for before anything is sent
	}
	return checkFunds(a.Op, q.Price, q.Balance)
}

// checkTerms stops a purchase that the service would not execute as quoted.
func (s *spending) checkTerms() error {
	a, q := &s.entry.Attempt, s.quote
	switch {
	case q.Price.Amount.IsNegative():
		return stopped(a.Op, fmt.Sprintf("the price of %s is negative", q.Price), ErrQuoteWarning)
	case q.Price.Amount.IsZero() && q.Discount.LessThan(decimal.NewFromInt(100)):
		return stopped(a.Op, fmt.Sprintf("the price is %s without a full discount", q.Price), ErrQuoteWarning)
	case a.PromoCode != "" && q.PromoCodeStatus != PromoCodeValid:
		return stopped(a.Op, fmt.Sprintf("the promo code is not valid: the full price of %s would be charged", q.Price), ErrPromoCodeNotValid)
	}
	if len(q.Warnings) == 0 {
		return nil
	}
	causes := []error{ErrQuoteWarning}
	var texts []string
	for _, w := range q.Warnings {
		causes = append(causes, w.Code)
		texts = append(texts, fmt.Sprintf("%s (code %d)", shortQuote(w.Message), int(w.Code)))
	}
	return stopped(a.Op, "the service would not execute it: "+strings.Join(texts, ", "), causes...)
}

// checkBudget stops a purchase that would exceed the budget of all processes.
func (s *spending) checkBudget(price Money) error {
	budget, per, op := s.c.core().config.budget, s.c.core().config.budgetPer, s.entry.Attempt.Op
	if per == 0 {
		return nil
	}
	spent, err := s.turn.spent(time.Now().Add(-per), budget.Currency)
	if err != nil && !errors.Is(err, ErrCurrencyMismatch) {
		err = s.c.core().unreadJournal(err)
		return stopped(op, err.Error(), err)
	}
	total := Money{}
	if err == nil {
		total, err = spent.Add(price)
	}
	switch over, cmpErr := total.Cmp(budget); {
	case err != nil || cmpErr != nil:
		return stopped(op, fmt.Sprintf("the budget is %s, and the price, or an amount in the journal, has another currency or none", budget), cmp.Or(err, cmpErr))
	case over > 0:
		return stopped(op, fmt.Sprintf("with the price of %s, %s would be spent within %s, where the budget is %s", price, total, per, budget), ErrOverBudget)
	}
	return nil
}

// spend records a call that spends as open, and sends it once.
func (c *core) spend(t *turn, call *apiCall, e *Entry) result {
	a := &e.Attempt
	call.recorded = time.Now() // it may be there from now on
	e.State, a.At = EntryOpen, call.recorded.UTC()
	if err := t.record(e); err != nil {
		unsent := *e // though it may have been recorded all the same
		unsent.settle(EntryNotExecuted)
		t.ledger.owe(&unsent)
		call.recorded = time.Time{}
		return result{err: notSent(a.Op, fmt.Errorf("the attempt could not be recorded: %w", outside(c.redact, err)))}
	}
	return c.try(t, call, 1)
}

// tell copies what a reply says to an entry, without the API key.
func (c *core) tell(reply spendReply, e *Entry) {
	reply.tell(e)
	e.OrderNumber, e.PromoCodeStatus = OrderNumber(c.redact(string(e.OrderNumber))), PromoCodeStatus(c.redact(string(e.PromoCodeStatus)))
	for i, id := range e.IPAddressIDs {
		e.IPAddressIDs[i] = IPAddressID(c.redact(string(id)))
	}
	for i, id := range e.OrderIDs {
		e.OrderIDs[i] = OrderID(c.redact(string(id)))
	}
}

// settle records the outcome of what was sent. If the reply does not show it, settle
// looks at the account.
func (s *spending) settle(r result) error {
	core, e, a := s.c.core(), &s.entry, &s.entry.Attempt
	if x, ok := s.reply.(*extendReply); ok && r.err == nil && !x.names(a) {
		r.err = &CallError{Op: a.Op, HTTPStatus: r.status, Err: errors.New("the reply names other proxies than those that were to be extended")}
	}
	failed := &SpendError{Attempt: a.clone(), Err: r.err, repeatable: true}
	switch OutcomeOf(r.err) {
	case OutcomeDone:
		if core.tell(s.reply, e); r.balance.given {
			e.Charged = a.fell(r.money(r.balance))
		}
		return core.close(s.turn, e, EntryExecuted, nil)
	case OutcomeNotSent:
		failed.Verdict = VerdictNotExecuted
	case OutcomeRejected:
		if a.refused(r.err) {
			failed.Verdict = VerdictNotExecuted
		}
	}
	if failed.Verdict == VerdictNotExecuted {
		_ = core.close(s.turn, e, EntryNotExecuted, nil)
		return failed
	}
	s.turn.ledger.sendingEnded(a)
	seen, err := s.c.lookUntil(s.turn, []*Entry{e})
	if seen[0].Verdict == VerdictExecuted {
		return nil
	}
	failed.Verdict, failed.Evidence = seen[0].Verdict, seen[0].Evidence
	if err != nil {
		failed.Err = &notFoundOut{first: r.err, over: err}
	}
	return failed
}

// settle records a settled entry. If that fails, the caller still gets the result, and
// recording is tried again at the next turn.
func (c *core) settle(t *turn, e *Entry, known *seenEntries) error {
	err := t.settle(e, known)
	switch {
	case err == errLockLost: //nolint:errorlint // it is never wrapped
		return err
	case err != nil:
		c.log(t, slog.LevelError, "youproxy: the outcome of a purchase could not be recorded: that is tried again at the next one",
			slog.Any("attempt", e.Attempt), slog.String("state", string(e.State)), slog.String("error", outside(c.redact, err).Error()))
	}
	if e.State == EntryExecuted && isAbove(e.Charged, e.Attempt.Limit) && !e.Attempt.isPlain() {
		c.log(t, slog.LevelWarn, "youproxy: more than the limit was charged",
			slog.Any("attempt", e.Attempt), slog.String("charged", e.Charged.String()))
	}
	return nil
}

// refused reports whether a rejection is the service's own: a documented code in its
// envelope, with a balance that did not fall. A proxy in front of the service may reject
// what was executed.
func (a *Attempt) refused(err error) bool {
	var no *APIError
	if !errors.As(err, &no) || !no.Code.Known() || no.aged {
		return false
	}
	if no.Balance == nil || a.isPlain() {
		return true
	}
	fell := a.fell(*no.Balance)
	return fell != nil && !fell.Amount.IsPositive()
}

// fell returns by how much the balance fell since the attempt, or nil if it is in another
// currency.
func (a *Attempt) fell(now Money) *Money {
	fell, err := a.Before.Balance.Sub(now)
	if err != nil {
		return nil
	}
	return &fell
}
