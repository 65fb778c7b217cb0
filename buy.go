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
	OrderNumber     OrderNumber // empty where the purchase was recovered: the list may not tell it
	OrderID         OrderID     // empty until it is known: the reply does not tell it
	PromoCodeStatus PromoCodeStatus
	Quote           Quote
	Attempt         Attempt
	Recovered       bool   // the reply was lost, and the account shows the order
	Charged         *Money // what the balance fell by; nil where that is not known
}

// AboveLimit reports whether more than the limit was charged, as far as that is known.
// The service takes no limit: a price that rises between the quote and the order is
// seen only then.
func (p *Purchase) AboveLimit() bool { return isAbove(p.Charged, p.Attempt.Limit) }

func isAbove(charged *Money, limit Money) bool {
	if charged == nil {
		return false
	}
	above, err := charged.Cmp(limit)
	return err == nil && above > 0
}

// SpendOption sets one thing about a [Client.Buy] or a [Client.Renew].
type SpendOption func(*spending) error

// IdempotencyKey names a purchase: with the same key it is made at most once, for as long
// as the journal lasts. Where it was made before, that purchase is returned; nothing is
// spent. Where its outcome is not known, the account is looked at first. Where it was not
// executed, it is made. The same key with another request is [ErrKeyReused].
//
// A key is 1 to 255 bytes of UTF-8 without NUL, such as the id of a job. The journal in
// memory remembers the last 100,000 keys, until the process ends; a journal that lasts,
// such as that of package filejournal, remembers all.
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

// Buy places an order for no more than limit, once. The error is nil exactly when it was
// bought.
//
// It locks the journal of the client, which is in memory unless [WithJournal] sets
// another. It asks for the quote, and stops where that is above the limit, in another
// currency, above the balance, comes with warnings, or does not honor the promo code. It
// notes what the account holds, records the attempt as open, and sends the order, once.
// Where no reply tells what became of it, or it is rejected otherwise than by a documented
// code beside a balance that did not fall, it finds out by what the account holds. That can
// take as long as [Timeouts.Spend] and the patience of [WithReconcilePatience] together,
// two minutes each unless they are set.
//
// An error with [OutcomeNotSent] spent nothing. One that came after the attempt was
// recorded is a [*SpendError], which matches [ErrNotExecuted] where repeating is safe, and
// [ErrUndetermined] where the outcome is not known. Then the attempt stays open in the
// journal, and stops other orders of its proxy type with a [*PendingError]: to call Buy
// again does not buy twice. [Client.Recover] finds out later; with [IdempotencyKey], Buy
// does so by itself.
//
// The quote may tell the price of one proxy (it is not documented). So for more than one,
// Buy asks for the price of one as well; where both are equal, the limit must allow that
// price for each.
//
// To cancel ctx after the order was sent only destroys the knowledge of what became of it.
// In a request handler, buy with [context.WithoutCancel]:
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

// purchase returns the order of an entry that was executed. The quote is nil where it was
// not asked for now.
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
		kept.PromoCodeStatus = PromoCodeValid // else it had been stopped
	}
	return kept
}

// spending is a Buy or a Renew under way.
type spending struct {
	c         *Client
	turn      *turn
	body      any // of the call that spends
	payload   []byte
	reply     spendReply
	selection *selection // of an extension
	part      *partTurn  // of a plan; nil for a Renew
	quoteOp   string
	terms     any // what is quoted
	one       any // the same for one; nil where it is for one already
	quote     *Quote
	ofOne     *Quote // nil where one is not quoted
	quotedAt  time.Time
	entry     Entry
	open      []Entry // that the journal had open, and those with the same key
}

// spendReply is the reply of a call that spends. It adds what it tells to an entry.
type spendReply interface{ tell(e *Entry) }

// run makes the purchase. Where it returns nil, the entry was executed.
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

// begin checks what needs no other look, and completes the attempt.
func (s *spending) begin(ctx context.Context, limit Money, opts []SpendOption) error {
	a := &s.entry.Attempt
	if err := s.c.check(ctx); err != nil {
		return notSent(a.Op, err)
	}
	if !isCurrency(limit.Currency) {
		return stopped(a.Op, fmt.Sprintf("the limit is %s, where a currency must be named in capital letters, without blanks: write it such as ParseMoney(\"10 USD\")", limit), ErrCurrencyMismatch)
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

// complete gives an attempt its id, and what tells its request and its account.
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

// accountOf tells whether two attempts were made with the same key, and nothing of the key.
func (c *core) accountOf(id []byte) (account [accountLength]byte) {
	var room [256]byte
	sum := sha256.Sum256(append(append(append(room[:0], id...), '\n'), c.key()...))
	hex.Encode(account[:], sum[:accountLength/2])
	return account
}

// ask asks for the price of all, and for that of one, and stops what is not as it should
// be.
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
		return stopped(a.Op, "the price could not be asked: "+reasonOf(err), settled{err: err})
	}
	if s.quote.aged {
		return stopped(a.Op, "the price could not be asked: "+errAged.Error())
	}
	a.Price, a.Discount, a.Before.Balance = s.quote.Price, s.quote.Discount, s.quote.Balance
	return nil
}

// askOne asks for the price of one, which may not be had alone.
func (s *spending) askOne(ctx context.Context) (err error) {
	a := &s.entry.Attempt
	if s.ofOne = nil; s.one == nil {
		return nil
	}
	s.ofOne, err = s.c.quote(ctx, s.quoteOp, s.one, a.ProxyType)
	var refused *APIError
	if err != nil && (!errors.As(err, &refused) || !refused.Code.Known() || refused.Code == ErrServiceFault) {
		return stopped(a.Op, "the price of one could not be asked: "+reasonOf(err), settled{err: err})
	}
	if err != nil || len(s.ofOne.Warnings) > 0 {
		s.ofOne = nil
		s.c.core().log(ctx, slog.LevelInfo, "youproxy: one alone cannot be quoted: the price counts as that of all", slog.Any("attempt", *a))
	}
	return nil
}

var (
	errSlowQuote = fmt.Errorf("the price was not told within %s: %w", quoteBound, context.DeadlineExceeded)
	errSlowList  = fmt.Errorf("the list did not end within %s: %w", listBound, context.DeadlineExceeded)
)

// checkLast checks what is known only with the quantity, and the budget.
func (s *spending) checkLast() error {
	a, largest := &s.entry.Attempt, s.largest()
	if isAbove(&largest, a.Limit) {
		return stopped(a.Op, fmt.Sprintf("the price of %s is within the limit of %s, but one alone costs as much, so the price may be per proxy: allow %d times as much, %s",
			a.Price, a.Limit, a.Quantity, largest), ErrPriceAboveLimit)
	}
	if a.Before.Balance.IsZero() { // the quote may leave it out
		ctx, cancel := context.WithTimeoutCause(s.turn, quoteBound, errSlowQuote)
		defer cancel()
		balance, aged, err := s.c.balance(ctx)
		if aged {
			err = errAged
		}
		if err != nil {
			return stopped(a.Op, "what the account holds could not be read: "+reasonOf(err), settled{err: err})
		}
		a.Before.Balance = balance
	}
	if err := checkFunds(a.Op, largest, a.Before.Balance); err != nil {
		return err
	}
	return s.checkBudget(largest)
}

// largest returns the larger reading of the price: that of all, or that of each where one
// alone costs as much.
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
		return stopped(op, fmt.Sprintf("the price is %s, and the balance %s", price, balance), err)
	case below < 0:
		return stopped(op, fmt.Sprintf("the balance of %s is less than the price of %s", balance, price), ErrInsufficientFunds)
	}
	return nil
}

// checkQuote stops a purchase that is not what the caller is ready to pay for.
func (s *spending) checkQuote() error {
	a, q := &s.entry.Attempt, s.quote
	switch above, err := q.Price.Cmp(a.Limit); {
	case err != nil:
		return stopped(a.Op, fmt.Sprintf("the price is %s, and the limit %s", q.Price, a.Limit), err)
	case above > 0:
		return stopped(a.Op, fmt.Sprintf("the price of %s is above the limit of %s", q.Price, a.Limit), ErrPriceAboveLimit)
	}
	if err := s.checkTerms(); err != nil || q.Balance.IsZero() {
		return err // a balance that is not told is asked for before anything is sent
	}
	return checkFunds(a.Op, q.Price, q.Balance)
}

// checkTerms stops what the service would not execute as it is quoted.
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
		err = fmt.Errorf("the journal could not be read: %w", outside(s.c.core().redact, err))
		return stopped(op, err.Error(), err)
	}
	total := Money{}
	if err == nil {
		total, err = spent.Add(price)
	}
	switch over, cmpErr := total.Cmp(budget); {
	case err != nil || cmpErr != nil:
		return stopped(op, fmt.Sprintf("the budget is %s, and something is paid in another currency", budget), cmp.Or(err, cmpErr))
	case over > 0:
		return stopped(op, fmt.Sprintf("with the price of %s, %s would be spent within %s, where the budget is %s", price, total, per, budget), ErrOverBudget)
	}
	return nil
}

// spend records a call that spends as open, and sends it, once.
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

// tell adds what a reply tells to an entry, without the key.
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

// settle records what became of what was sent, and finds it out where the reply does not
// tell.
func (s *spending) settle(r result) error {
	core, e, a := s.c.core(), &s.entry, &s.entry.Attempt
	if x, ok := s.reply.(*extendReply); ok && r.err == nil && !x.names(a) {
		r.err = &CallError{Op: a.Op, HTTPStatus: r.status, Err: errors.New("the reply names other proxies than those that were to be extended")}
	}
	failed := &SpendError{Attempt: a.clone(), Err: r.err}
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

// settle records an entry that is settled. The caller is told of the purchase whether that
// succeeds or not: it is recorded at the next turn then.
func (c *core) settle(t *turn, e *Entry, known *seenEntries) error {
	err := t.settle(e, known)
	switch {
	case err == errLockLost: //nolint:errorlint // it is never wrapped
		return err
	case err != nil:
		c.log(t, slog.LevelError, "youproxy: what became of a purchase could not be recorded: it is tried again at the next one",
			slog.Any("attempt", e.Attempt), slog.String("state", string(e.State)), slog.String("error", outside(c.redact, err).Error()))
	}
	if e.State == EntryExecuted && isAbove(e.Charged, e.Attempt.Limit) && !e.Attempt.isPlain() {
		c.log(t, slog.LevelWarn, "youproxy: more than the limit was charged",
			slog.Any("attempt", e.Attempt), slog.String("charged", e.Charged.String()))
	}
	return nil
}

// refused reports whether a rejection is the service's own word: a documented code in
// its envelope, beside a balance that did not fall. What stands in front of the
// service, or answers for it, may reject what was executed.
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

// fell returns by how much the balance fell since the attempt, or nil where it is
// in another currency.
func (a *Attempt) fell(now Money) *Money {
	fell, err := a.Before.Balance.Sub(now)
	if err != nil {
		return nil
	}
	return &fell
}
