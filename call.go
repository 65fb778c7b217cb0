package youproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	querystring "github.com/google/go-querystring/query"
)

// effect is what a call does to the account. It decides the timeout, the
// retries, and whether the call waits for its turn.
type effect uint8

const (
	spend effect = iota // may cost money: sent once
	write               // changes the account, costs nothing, and may be repeated
	read                // changes nothing
)

// endpoints is every call the package knows, by its label: method and path
// below the API key.
var endpoints = map[string]effect{
	"GET /balance":        read,
	"GET /country":        read,
	"GET /ipAddress":      read,
	"GET /mobileOperator": read,
	"GET /promoCode":      read,
	"GET /proxyType":      read,
	"GET /rentPeriod":     read,

	"POST /calculate/order":        read,
	"POST /calculate/extend":       read,
	"POST /calculate/extend/order": read,

	"POST /order":        spend,
	"POST /extend":       spend,
	"POST /extend/order": spend,

	"POST /extend/auto":       write,
	"POST /extend/order/auto": write,
}

// effectOf gives the effect of a call by its label. Of a call that is not in the
// table only a GET is taken to spend nothing.
func effectOf(op string) effect {
	if e, ok := endpoints[op]; ok {
		return e
	}
	if strings.HasPrefix(op, http.MethodGet+" ") || op == opReadProxies {
		return read
	}
	return spend
}

// apiCall is one call, made ready to be sent as often as its effect allows.
type apiCall struct {
	op     string // its label, as errors and logs name it
	effect effect
	method string
	path   string // below the API key
	query  string // encoded
	body   []byte // nil for none
	reply  any    // a pointer to a struct for readEnvelope, a *rawReply, or nil
	own    ownSpend
}

// rawReply takes a whole reply as it came.
type rawReply struct {
	status int
	data   []byte
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
	return c.call(ctx, op, values.Encode(), nil, reply, ownSpend{})
}

// call makes a call of the table and reads its reply.
func (c *Client) call(ctx context.Context, op, query string, body []byte, reply any, own ownSpend) (*envelope, error) {
	method, path, _ := strings.Cut(op, " ")
	return c.do(ctx, &apiCall{
		op: op, effect: effectOf(op), method: method, path: path, query: query, body: body, reply: reply, own: own,
	})
}

// post makes a call of the table with body as JSON.
func (c *Client) post(ctx context.Context, op string, body, reply any) (*envelope, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, notSent(op, fmt.Errorf("the request cannot be written as JSON: %w", err))
	}
	var own ownSpend
	if b, ok := body.(interface{ own() ownSpend }); ok {
		own = b.own()
	}
	return c.call(ctx, op, "", payload, reply, own)
}

// do is the one way every call takes.
func (c *Client) do(ctx context.Context, call *apiCall) (*envelope, error) {
	switch {
	case c == nil || c.core == nil:
		return nil, notSent(call.op, errEmptyClient)
	case ctx == nil:
		return nil, notSent(call.op, errNilContext)
	}
	if call.effect != spend {
		return c.core.repeat(ctx, call)
	}
	leave, err := c.core.takeTurn(ctx, call.op)
	if err != nil {
		return nil, err
	}
	defer leave()
	r := c.core.spend(ctx, call)
	return r.envelope, r.err
}

// spend makes a call that spends, and remembers what became of it. The caller has
// the turn.
func (c *core) spend(ctx context.Context, call *apiCall) result {
	c.spends.begin(call.own)
	r := c.try(ctx, call, 1)
	c.spends.end(OutcomeOf(r.err), call.reply)
	return r
}

// takeTurn waits until nothing else of this client spends, and for the caller's
// lock.
func (c *core) takeTurn(ctx context.Context, op string) (leave func(), err error) {
	if err := c.lane.enter(ctx); err != nil {
		if errors.Is(err, errWithinSpend) {
			return nil, notSent(op, err)
		}
		err = redactError(c.redact, err)
		return nil, notSent(op, fmt.Errorf("%w while waiting for another purchase to end", err))
	}
	if c.config.spendLock == nil {
		return c.leaveLane, nil
	}
	defer func() {
		if leave == nil { // no lock, or a panic
			c.lane.leave()
		}
	}()
	unlock, err := c.config.spendLock(c.lane.entered(ctx))
	if err != nil {
		return nil, notSent(op, fmt.Errorf("the spend lock was not taken: %w", settled{redactError(c.redact, err)}))
	}
	return func() {
		defer c.lane.leave()
		if unlock != nil {
			unlock()
		}
	}, nil
}

var (
	errEmptyClient = errors.New("the client is empty: make one with New")
	errNilContext  = errors.New("the context is nil")
)

func notSent(op string, err error) error {
	return &CallError{Op: op, Outcome: OutcomeNotSent, Err: err}
}

// lane lets the calls that spend take turns.
type lane chan struct{}

func newLane() lane { return make(lane, 1) }

type laneKey struct{}

var errWithinSpend = errors.New("called by a function that this client calls while it spends, which would wait for itself")

// entered gives a context for functions of the caller's that are called within a
// turn: another one cannot begin there.
func (l lane) entered(ctx context.Context) context.Context {
	return context.WithValue(ctx, laneKey{}, l)
}

func (l lane) enter(ctx context.Context) error {
	if err := contextError(ctx, nil); err != nil {
		return err
	}
	if ctx.Value(laneKey{}) == any(l) {
		return errWithinSpend
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx, nil)
	}
}

func (l lane) leave() { <-l }

// contextError gives err, made to match the context's error, and its cause if it
// has one of its own, where the context is over.
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

// result is what came of one attempt.
type result struct {
	*envelope
	status int
	err    error
	again  bool          // it may be worth another attempt
	wait   time.Duration // which the service asked for
}

// errAgain asks for another attempt; it is never shown.
var errAgain = errors.New("again")

// repeat makes a call that spends nothing until it succeeds, fails for good, or
// the attempts or the context are over.
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
			Err: &gaveUp{over: redactError(c.redact, contextError(ctx, nil)), last: last.err},
		}
	}
	return last.envelope, last.err
}

// try makes one attempt and tells the logger and the observer of it.
func (c *core) try(ctx context.Context, call *apiCall, number int) result {
	started := time.Now()
	r := c.send(ctx, call)
	if call.effect == spend {
		ctx = c.lane.entered(ctx)
	}
	c.report(ctx, CallEvent{
		Op: call.op, Attempt: number, HTTPStatus: r.status,
		Duration: time.Since(started), Outcome: OutcomeOf(r.err), Err: r.err,
	})
	return r
}

func (c *core) report(ctx context.Context, e CallEvent) {
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
		slog.String("op", e.Op),
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
func (c *core) send(ctx context.Context, call *apiCall) result {
	if err := contextError(ctx, nil); err != nil {
		return result{err: notSent(call.op, redactError(c.redact, err))}
	}
	timeout := c.config.timeouts.Read
	if call.effect == spend {
		timeout = c.config.timeouts.Spend
	}
	var attemptCtx context.Context
	var cancel context.CancelFunc
	var wait *pause
	if _, ok := call.reply.(streamed); ok {
		attemptCtx, cancel, wait = withPauses(ctx, timeout)
	} else {
		attemptCtx, cancel = context.WithTimeoutCause(ctx, timeout, errTooSlow)
	}
	defer cancel()
	a := newAttempt(attemptCtx, cancel, call.effect == spend)

	resp, err := c.chain.RoundTrip(c.request(a, call))
	wait.stop()
	if err == nil && resp == nil {
		err = errNoResponse
	}
	if err != nil {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return c.lost(ctx, attemptCtx, call, a, err)
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	defer func() { _ = resp.Body.Close() }()
	if a.has(followed) {
		return result{status: resp.StatusCode, err: &CallError{
			Op: call.op, HTTPStatus: resp.StatusCode,
			Err: fmt.Errorf("the transport followed a redirect: %w", ErrRedirect),
		}}
	}
	return c.open(ctx, attemptCtx, resp, call, wait)
}

// Why an attempt ends at its timeout.
var (
	errTooSlow = fmt.Errorf("no complete reply within the timeout: %w", context.DeadlineExceeded)
	errStalled = fmt.Errorf("nothing more came within the timeout: %w", context.DeadlineExceeded)
)

// streamed is a reply that is handed out while it is read.
type streamed interface {
	memberReader
	readFrom(in *replyReader)
	handedOut() bool // anything so far
}

// pause bounds each wait for more of a reply that is handed out while it is
// read. A nil pause bounds none.
type pause struct {
	most  time.Duration
	timer *time.Timer
}

// withPauses gives a context that ends when a wait is too long. The first one
// has begun.
func withPauses(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc, *pause) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &pause{most: most, timer: time.AfterFunc(most, func() { cancel(errStalled) })}
	return ctx, func() {
		p.stop()
		cancel(nil)
	}, p
}

func (p *pause) start() {
	if p != nil {
		p.timer.Reset(p.most)
	}
}

func (p *pause) stop() {
	if p != nil {
		p.timer.Stop()
	}
}

func (c *core) request(a *attempt, call *apiCall) *http.Request {
	req := new(http.Request).WithContext(a)
	req.Method = call.method
	req.URL = &url.URL{
		Scheme:   c.config.base.Scheme,
		Host:     c.config.base.Host,
		Path:     c.config.base.Path + apiPath + keyPlaceholder + call.path,
		RawQuery: call.query,
	}
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	req.Host = c.config.base.Host
	req.Header = http.Header{"Accept": jsonMediaType, "User-Agent": c.config.userAgent}
	if call.body != nil {
		req.Header["Content-Type"] = jsonMediaType
		req.ContentLength = int64(len(call.body))
		req.GetBody = func() (io.ReadCloser, error) { return a.body(call.body) }
		req.Body, _ = req.GetBody()
	}
	return req
}

// lost classifies an attempt to which no reply came.
func (c *core) lost(ctx, attemptCtx context.Context, call *apiCall, a *attempt, err error) result {
	a.mark(over)
	outcome := OutcomeUnknown
	if a.unsent() || !a.has(asked) && isDialError(err) {
		outcome = OutcomeNotSent
	}
	switch {
	case ctx.Err() != nil:
	case a.has(strayed):
		err = errOtherHost
	case a.has(repeated):
		err = errSecondSend
	}
	err = redactError(c.redact, whyOver(ctx, attemptCtx, err))
	return result{
		err:   &CallError{Op: call.op, Outcome: outcome, Err: err},
		again: !a.has(strayed) && !isCertificateError(err),
	}
}

// whyOver makes err tell that the context, or the time for one attempt, is over.
func whyOver(ctx, attemptCtx context.Context, err error) error {
	if cause := context.Cause(attemptCtx); ctx.Err() == nil && errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return contextError(ctx, err)
}

func isDialError(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

func isCertificateError(err error) bool {
	var cert *tls.CertificateVerificationError
	return errors.As(err, &cert)
}

// open reads a reply and decides what it means: the table of outcomes.
func (c *core) open(ctx, attemptCtx context.Context, resp *http.Response, call *apiCall, wait *pause) result {
	status := resp.StatusCode
	stream, _ := call.reply.(streamed)
	in := c.limitReply(resp, stream != nil)
	in.pause = wait
	e, err := readReply(in, resp, call.reply)
	e.currency, e.currencyCode = text(c.redact(string(e.currency))), text(c.redact(string(e.currencyCode)))
	if err == nil || stream == nil { // the rest of a list may be long
		in.drain()
	}
	switch {
	case errors.Is(err, errStopped):
		return result{envelope: e, status: status}
	case in.tooLarge:
		err = ErrReplyTooLarge
	case in.err != nil:
		err = fmt.Errorf("the reply broke off after %d bytes: %w", in.read, whyOver(ctx, attemptCtx, in.err))
	}

	r := result{envelope: e, status: status, wait: retryAfter(resp), again: in.err != nil && ctx.Err() == nil}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.again = true
	}
	r.again = r.again && (stream == nil || !stream.handedOut())
	fail := func(outcome Outcome, err error) result {
		r.err = &CallError{Op: call.op, HTTPStatus: status, Outcome: outcome, RetryAfter: r.wait, Err: redactError(c.redact, err)}
		return r
	}
	unreadable := func() error { return c.describe(in, e, err) }

	complete := err == nil
	class := status / 100
	switch {
	case class == 3:
		return fail(OutcomeUnknown, ErrRedirect)
	case (status == http.StatusRequestTimeout || class == 5) && complete && e.refused:
		return fail(OutcomeUnknown, c.refusal(call.op, status, e))
	case status == http.StatusRequestTimeout || class == 5:
		return fail(OutcomeUnknown, unreadable())
	case (class == 2 || class == 4) && complete && e.refused:
		r.err = c.refusal(call.op, status, e)
		return r
	case class == 4 && !e.success:
		return fail(OutcomeRejected, unreadable())
	case class != 2 || !complete || !e.success || e.fault != nil:
		return fail(OutcomeUnknown, unreadable())
	}
	if raw, ok := call.reply.(*rawReply); ok {
		raw.status = status
	}
	if m, ok := call.reply.(mustCarry); ok {
		if missing := m.missing(e); missing != "" {
			return fail(OutcomeUnknown, fmt.Errorf("the reply says success, but its %q is missing or cannot be read", missing))
		}
	}
	return r
}

func (c *core) limitReply(resp *http.Response, stream bool) *replyReader {
	limit, lookahead := c.config.maxReply, c.config.maxReply
	switch {
	case limit == 0 && stream:
		limit, lookahead = math.MaxInt64, maxRecord
	case limit == 0:
		limit, lookahead = defaultMaxReply, maxReplyValue
	}
	if resp.StatusCode/100 != 2 {
		limit = min(limit, maxErrorPage)
	}
	in := newReplyReader(resp.Body, limit, lookahead)
	in.tooLarge = resp.ContentLength > limit
	return in
}

// readReply reads what came. Of an attempt before nothing stays in reply.
func readReply(in *replyReader, resp *http.Response, reply any) (*envelope, error) {
	switch r := reply.(type) {
	case nil:
	case *rawReply:
		*r = rawReply{}
		in.whole = r
		reply = nil
	case memberReader:
		r.reset()
	default:
		reflect.ValueOf(reply).Elem().SetZero()
	}
	if stream, ok := reply.(streamed); ok {
		stream.readFrom(in)
		if resp.StatusCode/100 != 2 {
			reply = nil // nothing is handed out of an error page
		}
	}
	return readEnvelope(in.decoder(resp.ContentLength), reply)
}

// refusal makes the service's no an error.
func (c *core) refusal(op string, status int, e *envelope) *APIError {
	refused := &APIError{Op: op, HTTPStatus: status}
	if e.balance.given {
		balance := e.money(e.balance)
		refused.Balance = &balance
	}
	if e.fault != nil {
		refused.Code = ErrorCode(e.fault.Code)
		refused.Message = c.redact(string(e.fault.Message))
	}
	return refused
}

// describe says what is wrong with a reply, with the beginning of one that is no
// JSON.
func (c *core) describe(in *replyReader, e *envelope, err error) error {
	switch {
	case in.tooLarge || in.err != nil:
		return err
	case in.read == 0:
		return errors.New("the reply is empty")
	}
	if head := in.excerpt(); head != "" {
		return fmt.Errorf("the reply is not the service's JSON: %s", shortQuote(c.redact(head)))
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		err = &misplaced{offset: syntax.ByteOffset, path: pathOf(syntax.JSONPointer), err: syntax.Err}
	}
	var at *misplaced
	if errors.As(err, &at) {
		at.path = c.redact(at.path) // before it is cut
	}
	switch {
	case err != nil:
		return fmt.Errorf("the reply is malformed: %w", err)
	case e.success && e.fault != nil:
		return fmt.Errorf("the reply says both success and error %d %s", e.fault.Code, shortQuote(c.redact(string(e.fault.Message))))
	case e.success:
		return errors.New(`the reply says "success": true`)
	case e.fault != nil:
		return fmt.Errorf(`the reply has no "success", but error %d %s`, e.fault.Code, shortQuote(c.redact(string(e.fault.Message))))
	}
	return errors.New(`the reply has no "success"`)
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(resp *http.Response) time.Duration {
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		const most = int64(math.MaxInt64 / time.Second)
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date).Round(time.Second), 0)
	}
	return 0
}
