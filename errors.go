package youproxy

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Outcome is what is known of a call that has ended: above all, whether money may have
// been spent.
type Outcome uint8

const (
	// OutcomeUnknown means that the call may or may not have been executed. Look at the
	// account before repeating it.
	OutcomeUnknown Outcome = iota
	// OutcomeNotSent means that nothing reached the service or, for a [*SpendError],
	// that the account shows that nothing was executed. Repeating is safe.
	OutcomeNotSent
	// OutcomeRejected means that the service refused the call and executed nothing.
	OutcomeRejected
	// OutcomeDone means that the service executed the call.
	OutcomeDone
)

// String returns "unknown", "not sent", "rejected" or "done".
func (o Outcome) String() string {
	switch o {
	case OutcomeNotSent:
		return "not sent"
	case OutcomeRejected:
		return "rejected"
	case OutcomeDone:
		return "done"
	}
	return "unknown"
}

// Errors to match with [errors.Is], whatever the type of the error.
var (
	// ErrNotSent matches every error whose outcome is [OutcomeNotSent].
	ErrNotSent = errors.New("youproxy: nothing was sent")
	// ErrOutcomeUnknown matches every error of this package whose outcome is
	// [OutcomeUnknown].
	ErrOutcomeUnknown = errors.New("youproxy: the outcome is unknown")
	// ErrReplyTooLarge means that a reply, or an element of a list of proxies, was longer
	// than [WithMaxReplySize] allows.
	ErrReplyTooLarge = errors.New("the reply is too large")
	// ErrRedirect means that the service, or whatever answered in its place, sent a
	// redirect. None is followed, as that would send the API key to another address.
	ErrRedirect = errors.New("the reply is a redirect, which is never followed")
)

// OutcomeOf returns the outcome of the call that returned err: [OutcomeDone] if err is
// nil, and [OutcomeUnknown] if err neither is an error of this package nor wraps
// [ErrNotSent]. If err joins the
// errors of several calls with different outcomes, it returns [OutcomeUnknown].
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeDone
	}
	o, ok := outcomeIn(err)
	if !ok {
		return OutcomeUnknown
	}
	return o
}

// outcomer is an error that has an outcome. The errors that it wraps do not count.
type outcomer interface {
	error
	outcome() Outcome
}

func outcomeIn(err error) (Outcome, bool) {
	if err == ErrNotSent { //nolint:errorlint // the tree is walked here
		return OutcomeNotSent, true
	}
	if err == ErrOutcomeUnknown { //nolint:errorlint // as above
		return OutcomeUnknown, true
	}
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case outcomer:
		return e.outcome(), true
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return outcomeIn(inner)
		}
	case interface{ Unwrap() []error }:
		var found Outcome
		seen := false
		for _, inner := range e.Unwrap() {
			if inner == nil {
				continue
			}
			o, ok := outcomeIn(inner)
			if ok && seen && o != found {
				return OutcomeUnknown, true
			}
			if ok {
				found, seen = o, true
			}
		}
		return found, seen
	}
	return OutcomeUnknown, false
}

// isOutcome reports whether target is the sentinel of outcome o.
func isOutcome(target error, o Outcome) bool {
	return o == OutcomeNotSent && target == ErrNotSent || //nolint:errorlint // called by an Is method
		o == OutcomeUnknown && target == ErrOutcomeUnknown //nolint:errorlint // as above
}

// ErrorCode is the number that the service assigns to a refusal or a warning. It is an
// error itself, so that the constants serve as sentinels:
//
//	errors.Is(err, youproxy.ErrInsufficientFunds)
//
// A code that is not among the constants is kept as it came.
type ErrorCode int

// The codes whose meaning is known. Those marked (integration) come from a reseller's
// integration, the others from the service's documentation.
const (
	ErrInvalidAPIKey           ErrorCode = 2  // the API key is not valid
	ErrCallerNotAllowed        ErrorCode = 3  // this address may not use the API (integration)
	ErrIncorrectProxyType      ErrorCode = 4  // the proxy type is not valid
	ErrIncorrectCountry        ErrorCode = 6  // the country is not valid (integration)
	ErrCountryUnavailable      ErrorCode = 7  // the country is not offered at present (integration)
	ErrIncorrectMobileOperator ErrorCode = 8  // the mobile operator is not valid
	ErrIncorrectAuthType       ErrorCode = 10 // the authorisation type is not valid (integration)
	ErrIncorrectRentPeriod     ErrorCode = 11 // the rent period is not valid (integration)
	ErrIncorrectProtocol       ErrorCode = 13 // the protocol is not valid
	ErrIncorrectGoal           ErrorCode = 14 // the goal is not accepted
	ErrInsufficientFunds       ErrorCode = 16 // the balance is too small
	ErrIncorrectQuantity       ErrorCode = 19 // the quantity is not valid (integration)
	ErrIncorrectAuthIP         ErrorCode = 23 // the address to authorise is not valid (integration)
	ErrIncorrectIPAddresses    ErrorCode = 24 // the ids of IP addresses are not valid
	ErrIncorrectOrderNumber    ErrorCode = 25 // the order code is not valid; which field is meant is not known (integration)
	ErrWholeOrderRequired      ErrorCode = 28 // all IP addresses of the order must be chosen (integration)
	ErrIncorrectOrderIDs       ErrorCode = 29 // the order ids are not valid
	ErrServiceFault            ErrorCode = 35 // the service does not know what went wrong; the outcome is unknown (integration)
)

var meanings = map[ErrorCode]string{
	ErrInvalidAPIKey:           "the API key is not valid",
	ErrCallerNotAllowed:        "this address may not use the API",
	ErrIncorrectProxyType:      "incorrect proxy type",
	ErrIncorrectCountry:        "incorrect country",
	ErrCountryUnavailable:      "the country is not offered at present",
	ErrIncorrectMobileOperator: "incorrect mobile operator",
	ErrIncorrectAuthType:       "incorrect authorisation type",
	ErrIncorrectRentPeriod:     "incorrect rent period",
	ErrIncorrectProtocol:       "incorrect protocol",
	ErrIncorrectGoal:           "incorrect goal",
	ErrInsufficientFunds:       "insufficient funds",
	ErrIncorrectQuantity:       "incorrect quantity",
	ErrIncorrectAuthIP:         "incorrect address to authorise",
	ErrIncorrectIPAddresses:    "incorrect ids of IP addresses",
	ErrIncorrectOrderNumber:    "incorrect order code",
	ErrWholeOrderRequired:      "all IP addresses of the order must be chosen",
	ErrIncorrectOrderIDs:       "incorrect order ids",
	ErrServiceFault:            "unknown error of the service",
}

func (c ErrorCode) meaning() string {
	return cmp.Or(meanings[c], "an error this package does not know")
}

// Known reports whether the code is one of the constants.
func (c ErrorCode) Known() bool { return meanings[c] != "" }

// Error returns the meaning of the code and its number.
func (c ErrorCode) Error() string {
	return fmt.Sprintf("youproxy: %s (code %d)", c.meaning(), int(c))
}

// APIError is a refusal by the service: a complete reply whose success is false. Its
// outcome is [OutcomeRejected], or [OutcomeUnknown] if the service sent no code or
// [ErrServiceFault].
type APIError struct {
	Op         string    // the call, such as "POST /order"
	HTTPStatus int       // 200 for most refusals
	Code       ErrorCode // 0 if the service sent none
	Message    string    // the service's message
	Balance    *Money    // the balance of the account; nil if the service sent none

	aged bool // the reply came from a cache
}

// Error returns what was refused, why, and whether money may have been spent.
func (e *APIError) Error() string {
	text := "youproxy: " + e.Op + ": " + e.reason()
	if e.HTTPStatus != 0 && e.HTTPStatus != 200 {
		text += ", HTTP status " + strconv.Itoa(e.HTTPStatus)
	}
	return text + "; " + moneyAfter(e.Op, e.outcome())
}

// reason returns why the call was refused.
func (e *APIError) reason() string {
	var b strings.Builder
	switch {
	case e.Code == 0 && e.Message == "":
		b.WriteString("refused without a reason")
	case e.Code == 0:
		b.WriteString("refused: " + shortQuote(e.Message))
	case e.Message == "":
		b.WriteString("refused: " + e.Code.meaning())
	case e.Code.Known() && !strings.EqualFold(e.Code.meaning(), e.Message):
		b.WriteString("refused: " + e.Code.meaning() + ": " + shortQuote(e.Message))
	default:
		b.WriteString("refused: " + shortQuote(e.Message))
	}
	if e.Code != 0 {
		b.WriteString(" (code " + strconv.Itoa(int(e.Code)) + ")")
	}
	return b.String()
}

// Unwrap returns Code, so that [errors.Is] matches its constant, or nil if there is none.
func (e *APIError) Unwrap() error {
	if e.Code == 0 {
		return nil
	}
	return e.Code
}

// Is reports whether target is [ErrOutcomeUnknown] and the outcome is [OutcomeUnknown].
func (e *APIError) Is(target error) bool { return isOutcome(target, e.outcome()) }

func (e *APIError) outcome() Outcome {
	if e.Code == 0 || e.Code == ErrServiceFault {
		return OutcomeUnknown
	}
	return OutcomeRejected
}

// LogValue returns the fields as a group, for slog.
func (e *APIError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("op", e.Op),
		slog.Int("status", e.HTTPStatus),
		slog.Int("code", int(e.Code)),
		slog.String("message", e.Message),
		slog.String("outcome", e.outcome().String()),
	}
	if e.Balance != nil {
		attrs = append(attrs, slog.String("balance", e.Balance.String()))
	}
	return slog.GroupValue(attrs...)
}

// The values of [FieldError.Rule].
const (
	ruleRequired = "required" // missing, or blank
	ruleRange    = "range"    // a number that no request can use
	ruleFormat   = "format"   // not in the form that the service expects
	ruleUnknown  = "unknown"  // none of the documented values
	ruleConflict = "conflict" // contradicts another field
)

// FieldError is a rule that a request breaks.
type FieldError struct {
	Field   string // the name in the API's JSON, such as "rentPeriodDays"
	Rule    string // "required", "range", "format", "unknown" or "conflict"
	Message string // what is wrong and what to write instead
}

// ValidationError is the error of a request that breaks rules. It lists all of them.
// Nothing was sent: its outcome is [OutcomeNotSent].
type ValidationError struct {
	Request string // the type of the request, such as "IPv4OrderRequest", or a method
	Fields  []FieldError
}

// Error returns all broken rules.
func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString("youproxy: " + e.Request + " is not valid: ")
	for i, f := range e.Fields {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field + " " + f.Message)
	}
	return b.String() + "; " + moneyAfter("", OutcomeNotSent)
}

// Unwrap returns [ErrNotSent].
func (e *ValidationError) Unwrap() error { return ErrNotSent }

func (e *ValidationError) outcome() Outcome { return OutcomeNotSent }

// LogValue returns the type of the request and each broken rule as a group, for slog.
func (e *ValidationError) LogValue() slog.Value {
	fields := make([]slog.Attr, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = slog.String(f.Field, f.Rule+": "+f.Message)
	}
	return slog.GroupValue(
		slog.String("request", e.Request),
		slog.String("outcome", OutcomeNotSent.String()),
		slog.Attr{Key: "fields", Value: slog.GroupValue(fields...)},
	)
}

// CallError is the error of a call that ended without a readable reply, or with an HTTP
// status that decides its outcome. Outcome shows whether repeating the call is safe.
type CallError struct {
	Op         string        // the call, such as "POST /order"
	HTTPStatus int           // 0 if no reply came
	Outcome    Outcome       // whether the call may have been executed
	RetryAfter time.Duration // how long the service asked to wait; 0 if it did not
	Err        error         // the cause, without the API key
}

// Error returns what happened and whether money may have been spent.
func (e *CallError) Error() string {
	text := "youproxy: " + e.Op
	if reason := e.reason(); reason != "" {
		text += ": " + reason
	}
	if e.RetryAfter > 0 {
		text += "; the service asks to wait " + e.RetryAfter.String()
	}
	return text + "; " + moneyAfter(e.Op, e.Outcome)
}

// reason returns what happened.
func (e *CallError) reason() string {
	var parts []string
	if e.HTTPStatus != 0 && e.HTTPStatus != 200 {
		parts = append(parts, "HTTP status "+strconv.Itoa(e.HTTPStatus))
	}
	if e.Err != nil {
		parts = append(parts, reasonOf(e.Err))
	}
	return strings.Join(parts, ": ")
}

// reasonOf returns the text of an error without its call and its outcome, which the error
// around it contains.
func reasonOf(err error) string {
	if e, ok := err.(interface{ reason() string }); ok {
		return e.reason()
	}
	return strings.TrimPrefix(err.Error(), "youproxy: ")
}

// gaveUp is the error of a context that ended while a failed call waited to be repeated.
type gaveUp struct{ over, last error }

func (e *gaveUp) Error() string {
	return reasonOf(e.over) + " while waiting to repeat it after: " + reasonOf(e.last)
}

func (e *gaveUp) Unwrap() []error { return []error{e.over, e.last} }

// Unwrap returns Err, the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrNotSent] or [ErrOutcomeUnknown] and matches Outcome.
func (e *CallError) Is(target error) bool { return isOutcome(target, e.Outcome) }

func (e *CallError) outcome() Outcome { return e.Outcome }

// LogValue returns the fields as a group, for slog.
func (e *CallError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("op", e.Op),
		slog.Int("status", e.HTTPStatus),
		slog.String("outcome", e.Outcome.String()),
	}
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// outsideError replaces an error of the network or of a caller's function. It has the
// text of that error without the API key, and matches the same errors with [errors.Is],
// except the sentinels of outcomes, which only this package sets. With [errors.As] it
// matches only certificate errors, as others may contain the request.
type outsideError struct {
	text    string
	timeout bool
	is      func(error) bool
	as      func(any) bool
}

func (e *outsideError) Error() string   { return e.text }
func (e *outsideError) Timeout() bool   { return e.timeout }
func (e *outsideError) Temporary() bool { return e.timeout } // makes it a net.Error

func (e *outsideError) Is(target error) bool { return !isVerdict(target) && e.is(target) }

func (e *outsideError) As(target any) bool {
	switch target.(type) {
	case **tls.CertificateVerificationError, *x509.UnknownAuthorityError, *x509.HostnameError, *x509.CertificateInvalidError:
		return e.as(target)
	}
	return false
}

// outside returns the replacement of err.
func outside(redact func(string) string, err error) error {
	if _, ok := err.(*outsideError); ok || err == nil { //nolint:errorlint // a wrapped one gets a text of its own
		return err
	}
	return &outsideError{
		text:    redact(outsideText(err)),
		timeout: timedOut(err),
		is:      func(target error) bool { return errors.Is(err, target) },
		as:      func(target any) bool { return errors.As(err, target) },
	}
}

// quoted matches what net/http quotes of a reply that it cannot read.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// outsideText returns the text of err without anything that may be quoted from a reply.
func outsideText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error without a text (%T)", err)
		}
	}()
	var malformed textproto.ProtocolError
	if errors.As(err, &malformed) {
		return "the reply is not HTTP"
	}
	switch text = err.Error(); err.(type) { //nolint:errorlint // what wraps one may quote anything
	case *net.OpError, *tls.CertificateVerificationError:
	default:
		text = quoted.ReplaceAllString(text, `"…"`)
	}
	return printable(text)
}

// timedOut reports whether err is a timeout, even if asking it panics.
func timedOut(err error) (yes bool) {
	defer func() { _ = recover() }()
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// moneyAfter returns the part of an error text that says whether money may have been
// spent.
func moneyAfter(op string, o Outcome) string {
	switch {
	case o == OutcomeNotSent:
		return "nothing was sent, nothing was spent"
	case o == OutcomeDone:
		return "the call was executed"
	case effectOf(op) == read:
		return "the call spends nothing"
	case o == OutcomeRejected:
		return "nothing was spent"
	case effectOf(op) == write:
		return "the change may or may not have been made: it is safe to repeat"
	}
	return "money may have been spent: look at the account before repeating it"
}

// shortQuote quotes a string from outside, so that it cannot break a log line, and
// shortens it.
func shortQuote(s string) string {
	const most = 200
	r := []rune(s)
	if len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(s)
}
