package youproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
	querystring "github.com/google/go-querystring/query"
)

// effect is what a call does to the account. It decides the timeout, the retries, and
// whether the call takes a turn.
type effect uint8

const (
	spend effect = iota // may cost money: sent once
	write               // changes the account, costs nothing, and may be repeated
	read                // changes nothing
)

// endpoints lists every call of the API that the package knows, by its label: the method
// and the path below the API key.
var endpoints = map[string]effect{
	"GET /balance":                 read,
	"GET /country":                 read,
	"GET /ipAddress":               read,
	"GET /mobileOperator":          read,
	"GET /promoCode":               read,
	"GET /proxyType":               read,
	"GET /rentPeriod":              read,
	"POST /calculate/order":        read,
	"POST /calculate/extend":       read,
	"POST /calculate/extend/order": read,
	"POST /order":                  spend,
	"POST /extend":                 spend,
	"POST /extend/order":           spend,
	"POST /extend/auto":            write,
	"POST /extend/order/auto":      write,
}

// effectOf returns the effect of a call by its label. A call that is not in the table is
// assumed to spend money unless it is a GET.
func effectOf(op string) effect {
	if e, ok := endpoints[op]; ok {
		return e
	}
	if strings.HasPrefix(op, http.MethodGet+" ") || op == opReadProxies {
		return read
	}
	return spend
}

// apiCall is one call, ready to be sent as often as its effect allows.
type apiCall struct {
	op     string // its label, as errors and logs name it
	effect effect
	method string
	path   string // below the API key
	query  string // encoded
	body   []byte // nil for none
	reply  any    // a pointer to a struct for readEnvelope, a *rawReply, or nil

	entry    *Entry    // of a plain call that spends
	turn     turn      // the turn it takes
	recorded time.Time // when the attempt was recorded, or zero
}

// The pauses between the attempts of a call that spends nothing.
const (
	firstPause    = 300 * time.Millisecond
	longestPause  = 5 * time.Second
	maxRetryAfter = 30 * time.Second
)

// get makes a GET call of the table. query is a struct with url tags, or nil.
func (c *Client) get(ctx context.Context, op string, query, reply any) (*envelope, error) {
	values, err := querystring.Values(query)
	if err != nil {
		return nil, notSent(op, fmt.Errorf("the query cannot be written: %w", err))
	}
	return c.call(ctx, op, values.Encode(), nil, reply, nil)
}

// call makes a call of the table and reads its reply.
func (c *Client) call(ctx context.Context, op, query string, body []byte, reply any, entry *Entry) (*envelope, error) {
	method, path, _ := strings.Cut(op, " ")
	return c.do(ctx, &apiCall{
		op: op, effect: effectOf(op), method: method, path: path, query: query, body: body, reply: reply, entry: entry,
	})
}

// post makes a call of the table with body as JSON.
func (c *Client) post(ctx context.Context, op string, body, reply any) (*envelope, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, notSent(op, fmt.Errorf("the request cannot be written as JSON: %w", err))
	}
	var entry *Entry
	if b, ok := body.(interface{ spent() *Entry }); ok && effectOf(op) == spend {
		entry = b.spent()
	}
	return c.call(ctx, op, "", payload, reply, entry)
}

// do makes a call. All calls take this way but the spending call of Buy and Renew.
func (c *Client) do(ctx context.Context, call *apiCall) (*envelope, error) {
	if err := c.check(ctx); err != nil {
		return nil, notSent(call.op, err)
	}
	core := c.core()
	if call.effect != spend {
		return core.repeat(ctx, call)
	}
	t, err := core.enter(&call.turn, ctx, call.op)
	if err != nil {
		return nil, err
	}
	defer t.leave()
	r := core.spendPlainly(t, call)
	return r.envelope, r.err
}

// spendPlainly makes a call that spends without a guard. It is recorded in the journal as
// well, so that its effects are not taken for those of another call.
func (c *core) spendPlainly(t *turn, call *apiCall) result {
	e := call.entry
	c.complete(&e.Attempt, call.body)
	if c.config.budgetPer > 0 {
		c.log(t, slog.LevelWarn, "youproxy: a plain call spends without the budget", slog.Any("attempt", e.Attempt))
	}
	r := c.spend(t, call, e)
	if call.recorded.IsZero() {
		return r
	}
	switch OutcomeOf(r.err) {
	case OutcomeDone:
		if reply, ok := call.reply.(spendReply); ok {
			c.tell(reply, e)
		}
		e.settle(EntryExecuted)
	case OutcomeNotSent:
		e.settle(EntryNotExecuted)
	case OutcomeRejected:
		if e.settle(EntryNotExecuted); !e.Attempt.refused(r.err) {
			e.State, e.Note = EntryDismissed, "rejected by what may not be the service"
		}
	default:
		t.ledger.watch(&e.Attempt).since = call.recorded
		return r // it stays open until its patience is over
	}
	_ = c.settle(t, e, nil)
	return r
}

// check returns an error if a call cannot even begin.
func (c *Client) check(ctx context.Context) error {
	switch {
	case c == nil || c.core == nil:
		return errEmptyClient
	case ctx == nil:
		return errNilContext
	}
	return nil
}

var (
	errEmptyClient = errors.New("the client is empty: make one with New")
	errNilContext  = errors.New("the context is nil")
	errSwitched    = errors.New("the reply switches to another protocol")
)

var noCache = []string{"no-cache"}

func notSent(op string, err error) error {
	return &CallError{Op: op, Outcome: OutcomeNotSent, Err: err}
}

// contextError returns err. If the context is over, the result also matches the error of
// the context, and its cause if it has one.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	for _, over := range []error{context.Cause(ctx), ctx.Err()} {
		switch {
		case err == nil:
			err = over
		case !errors.Is(err, over):
			err = fmt.Errorf("%w: %w", over, err)
		}
	}
	return err
}

// result is the result of one attempt.
type result struct {
	*envelope
	status int
	err    error
	again  bool          // another attempt may help
	wait   time.Duration // how long the service asked to wait
}

// errAgain asks for another attempt. It is never shown.
var errAgain = errors.New("again")

// repeat makes a call that spends nothing until it succeeds, fails for good, or runs out
// of attempts or of the context.
func (c *core) repeat(ctx context.Context, call *apiCall) (*envelope, error) {
	var last result
	attempts := 0
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = firstPause, longestPause, 2
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		attempts++
		last = c.try(ctx, call, attempts)
		switch {
		case last.err == nil:
			return struct{}{}, nil
		case !last.again || last.wait > maxRetryAfter || ctx.Err() != nil:
			return struct{}{}, backoff.Permanent(errAgain)
		case last.wait > 0:
			return struct{}{}, &backoff.RetryAfterError{Duration: last.wait}
		default:
			return struct{}{}, errAgain
		}
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(uint(c.config.readRetries)+1), backoff.WithMaxElapsedTime(0))
	if err != nil && ctx.Err() != nil && !errors.Is(last.err, ctx.Err()) {
		return last.envelope, &CallError{
			Op: call.op, Outcome: OutcomeOf(last.err),
			Err: &gaveUp{over: outside(c.redact, contextError(ctx, nil)), last: last.err},
		}
	}
	return last.envelope, last.err
}

// try makes one attempt and reports it to the logger and the observer.
func (c *core) try(ctx context.Context, call *apiCall, number int) result {
	if c.config.observer == nil && c.config.logger == nil {
		return c.send(ctx, call, number > 1)
	}
	started := time.Now()
	r := c.send(ctx, call, number > 1)
	c.report(ctx, call.op, CallEvent{
		Op: call.label(), Attempt: number, HTTPStatus: r.status,
		Duration: time.Since(started), Outcome: OutcomeOf(r.err), Err: r.err,
	})
	return r
}

// label returns the [CallEvent.Op] of a call. It is one of few values, as it may become
// the label of a metric, whereas the path of [Client.Call] can contain ids.
func (a *apiCall) label() string {
	if _, ok := endpoints[a.op]; ok {
		return a.op
	}
	switch a.method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return "Call " + a.method
	}
	return "Call"
}

// log logs a message about a purchase, if there is a logger.
func (c *core) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if c.config.logger != nil {
		c.config.logger.LogAttrs(ctx, level, message, attrs...)
	}
}

func (c *core) report(ctx context.Context, op string, e CallEvent) {
	if c.config.observer != nil {
		c.config.observer(ctx, e)
	}
	if c.config.logger == nil {
		return
	}
	level := slog.LevelDebug
	if e.Err != nil {
		level = slog.LevelWarn
	}
	if !c.config.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("op", op),
		slog.Int("attempt", e.Attempt),
		slog.Int("status", e.HTTPStatus),
		slog.Duration("duration", e.Duration),
		slog.String("outcome", e.Outcome.String()),
	}
	var code ErrorCode
	if errors.As(e.Err, &code) {
		attrs = append(attrs, slog.Int("code", int(code)))
	}
	c.config.logger.LogAttrs(ctx, level, "youproxy call", attrs...)
}

// send makes one attempt: request, reply, result.
func (c *core) send(ctx context.Context, call *apiCall, again bool) result {
	if err := contextError(ctx, nil); err != nil {
		return result{err: notSent(call.op, outside(c.redact, err))}
	}
	patience := c.config.timeouts.Read
	if call.effect == spend {
		patience = c.config.timeouts.Spend
		if !call.recorded.IsZero() { // others count the timeout from then
			patience -= time.Since(call.recorded)
		}
	}
	list, _ := call.reply.(*proxyList)
	s := newSending(ctx, patience, call.effect == spend, list != nil)
	s.recorded = call.recorded
	defer s.cancel(nil)
	defer s.end()
	resp, err := c.exchange(s, call)
	if err != nil {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return c.lost(ctx, s, call, err)
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	defer func() { s.close(resp.Body) }()
	if again {
		forget(call.reply)
	}
	return c.open(ctx, s, resp, call)
}

// exchange sends the call through the middleware, if any.
func (c *core) exchange(s *sending, call *apiCall) (*http.Response, error) {
	if len(c.config.middleware) == 0 {
		resp, native, err := c.inner.exchange(s, s, replayed(call.method, nil), func(ctx context.Context) *http.Request {
			return c.request(ctx, s, call, c.inner.address(call.path, call.query))
		})
		s.native = native
		return resp, err
	}
	base := c.config.base
	resp, err := c.chain.RoundTrip(c.request(s, s, call, &url.URL{
		Scheme: base.Scheme, Host: base.Host, Path: base.Path + apiPath + keyPlaceholder + call.path, RawQuery: call.query,
	}))
	if err == nil && resp == nil {
		err = errNoResponse
	}
	return resp, err
}

func (c *core) request(ctx context.Context, s *sending, call *apiCall, u *url.URL) *http.Request {
	req := c.blank.WithContext(ctx)
	req.Method, req.URL, req.Host = call.method, u, u.Host
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	req.Header = http.Header{"Accept": jsonMediaType, "User-Agent": c.config.userAgent}
	if call.effect == read {
		req.Header["Cache-Control"] = noCache
	}
	if call.body != nil {
		req.Header["Content-Type"] = jsonMediaType
		req.ContentLength = int64(len(call.body))
		req.GetBody = func() (io.ReadCloser, error) { return s.body(call.body) }
		req.Body, _ = req.GetBody()
	}
	return req
}

// lost classifies an attempt without a reply.
func (c *core) lost(ctx context.Context, s *sending, call *apiCall, err error) result {
	outcome := OutcomeUnknown
	if s.end() {
		outcome = OutcomeNotSent
	}
	var cert *tls.CertificateVerificationError
	err = c.why(ctx, s, err)
	return result{
		err:   &CallError{Op: call.op, Outcome: outcome, Err: err},
		again: !errors.Is(err, errOtherHost) && !errors.Is(err, errNotACall) && !errors.Is(err, ErrRedirect) && !errors.As(err, &cert),
	}
}

// why returns the reason why an attempt failed with err: the end of its context, or of
// its sending, or err without the API key.
func (c *core) why(ctx context.Context, s *sending, err error) error {
	if ctx.Err() == nil && s.Err() != nil {
		return context.Cause(s)
	}
	return outside(c.redact, contextError(ctx, err))
}

// open reads a reply and decides what it means: the table of outcomes.
func (c *core) open(ctx context.Context, s *sending, resp *http.Response, call *apiCall) result {
	status, class := resp.StatusCode, resp.StatusCode/100
	r := result{status: status, wait: seconds(resp.Header.Get("Retry-After"))}
	fail := func(outcome Outcome, err error) result {
		r.err = &CallError{Op: call.op, HTTPStatus: status, Outcome: outcome, RetryAfter: r.wait, Err: err}
		return r
	}
	if status == http.StatusSwitchingProtocols {
		return fail(OutcomeUnknown, errSwitched) // what follows is no reply, and does not end
	}
	e, err := c.read(s, resp, call.reply)
	e.aged = strings.Trim(resp.Header.Get("Age"), "0 ") != ""
	if _, ok := call.reply.(*proxyList); ok {
		e.date, _ = http.ParseTime(resp.Header.Get("Date"))
	}
	e.currency = text(c.redact(string(e.currency)))
	r.envelope = e
	if err == errStopped { //nolint:errorlint // it is never wrapped
		return r
	}
	if broken, ok := err.(*brokenReply); ok { //nolint:errorlint // it is never wrapped
		r.again = ctx.Err() == nil
		err = fmt.Errorf("the reply broke off: %w", c.why(ctx, s, broken.error))
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.again = true
	}
	if list, ok := call.reply.(*proxyList); ok && list.begun {
		r.again = false
	}

	complete := err == nil
	switch {
	case class == 3:
		return fail(OutcomeUnknown, ErrRedirect)
	case (status == http.StatusRequestTimeout || class == 5) && complete && e.refused:
		return fail(OutcomeUnknown, c.refusal(call.op, status, e))
	case status == http.StatusRequestTimeout || class == 5:
		return fail(OutcomeUnknown, c.unreadable(e, err))
	case (class == 2 || class == 4) && complete && e.refused:
		r.err = c.refusal(call.op, status, e)
		return r
	case class == 4 && !e.claims:
		return fail(OutcomeRejected, c.unreadable(e, err))
	case class != 2 || !complete || !e.success || e.fault.stands() || e.faults.stands() || e.fault.given && call.effect == spend:
		return fail(OutcomeUnknown, c.unreadable(e, err))
	}
	if m, ok := call.reply.(checked); ok {
		if problem := m.problem(e); problem != "" {
			return fail(OutcomeUnknown, errors.New("the reply says success, but its "+problem))
		}
	}
	return r
}

// refusal returns a refusal by the service as an error.
func (c *core) refusal(op string, status int, e *envelope) *APIError {
	refused := &APIError{Op: op, HTTPStatus: status, aged: e.aged}
	if e.balance.given {
		balance := e.money(e.balance)
		refused.Balance = &balance
	}
	reason := e.fault
	reason.join(&e.faults)
	refused.Code, refused.Message = reason.code, c.redact(reason.message)
	return refused
}

// unreadable returns what is wrong with a reply. It quotes nothing of the reply but the
// service's message.
func (c *core) unreadable(e *envelope, err error) error {
	switch {
	case err != nil:
		return err
	case e.fault.given || e.faults.given:
		said, reason := `no "success"`, e.fault
		if reason.join(&e.faults); e.success {
			said = "both success"
		}
		return fmt.Errorf("the reply says %s and error %d %s", said, int(reason.code), shortQuote(c.redact(reason.message)))
	case e.success:
		return errors.New(`the reply says "success": true`)
	}
	return errors.New(`the reply has no "success"`)
}

// seconds parses the value of a Retry-After header, in seconds or as a date, rounded up.
// It returns 0 if the value is neither.
func seconds(value string) time.Duration {
	value = strings.TrimSpace(value)
	if strings.Trim(value, "0123456789.") != "" {
		date, err := http.ParseTime(value)
		if err != nil {
			return 0
		}
		left := min(max(time.Until(date), 0), math.MaxInt64-time.Second)
		return (left + time.Second - 1).Truncate(time.Second)
	}
	if value == "" {
		return 0
	}
	const most = int64(math.MaxInt64 / time.Second)
	whole, fraction, _ := strings.Cut(value, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		n = most
	case err != nil, strings.Contains(fraction, "."):
		return 0
	case strings.Trim(fraction, "0") != "":
		n = min(n, most-1) + 1
	}
	return time.Duration(min(n, most)) * time.Second
}
