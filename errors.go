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
	"unicode"
)

// Outcome says what is known of a call after it ended: above all, whether
// money can have been spent.
type Outcome uint8

const (
	// OutcomeUnknown means that the call may or may not have been executed. Look at the
	// account before repeating it.
	OutcomeUnknown Outcome = iota
	// OutcomeNotSent means that nothing reached the service or, of a [*SpendError],
	// that the account shows that nothing was executed. Repeating is safe.
	OutcomeNotSent
	// OutcomeRejected means that the service refused the call and executed nothing.
	OutcomeRejected
	// OutcomeDone means that the service executed the call.
	OutcomeDone
)

// String gives "unknown", "not sent", "rejected" or "done".
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

// Errors that others match with [errors.Is], whatever their type.
var (
	// ErrNotSent matches every error whose outcome is [OutcomeNotSent].
	ErrNotSent = errors.New("youproxy: nothing was sent")
	// ErrOutcomeUnknown matches every error of this package whose outcome is
	// [OutcomeUnknown].
	ErrOutcomeUnknown = errors.New("youproxy: the outcome is unknown")
	// ErrReplyTooLarge: a reply, or an element of a list of proxies, was longer than
	// [WithMaxReplySize] allows.
	ErrReplyTooLarge = errors.New("the reply is too large")
	// ErrRedirect: the service, or whatever answered in its place, sent a
	// redirect. None is followed: it would hand the API key to another address.
	ErrRedirect = errors.New("the reply is a redirect, which is never followed")
)

// OutcomeOf says what an error of this package tells about the call: done where
// err is nil, unknown where the error is not this package's. Where err joins the
// errors of several calls that ended differently, the outcome is unknown.
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

// outcomer is an error that knows its outcome; what it wraps is not asked.
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

// isOutcome makes the sentinels match an error of outcome o.
func isOutcome(target error, o Outcome) bool {
	return o == OutcomeNotSent && target == ErrNotSent || //nolint:errorlint // called by an Is method
		o == OutcomeUnknown && target == ErrOutcomeUnknown //nolint:errorlint // as above
}

// ErrorCode is the number the service gives a refusal. It is an error itself,
// so that the constants serve as sentinels:
//
//	errors.Is(err, youproxy.ErrInsufficientFunds)
//
// The service has codes that are not among the constants; they are kept as they
// came.
type ErrorCode int

// The codes whose meaning is known. Those marked (integration) were found in a
// reseller's integration, the others are in the service's documentation.
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

// Error gives the meaning of the code and its number.
func (c ErrorCode) Error() string {
	return fmt.Sprintf("youproxy: %s (code %d)", c.meaning(), int(c))
}

// APIError is a complete refusal by the service: an envelope whose success is
// false. Its outcome is [OutcomeRejected], but [OutcomeUnknown] where the
// service gave no code, or [ErrServiceFault].
type APIError struct {
	Op         string    // the call, such as "POST /order"
	HTTPStatus int       // 200 for most refusals
	Code       ErrorCode // 0 where the service gave none
	Message    string    // the service's words
	Balance    *Money    // what the account holds, where the service said so

	aged bool // a cache told it
}

// Error tells what was refused, why, and what became of the money.
func (e *APIError) Error() string {
	text := "youproxy: " + e.Op + ": " + e.reason()
	if e.HTTPStatus != 0 && e.HTTPStatus != 200 {
		text += ", HTTP status " + strconv.Itoa(e.HTTPStatus)
	}
	return text + "; " + moneyAfter(e.Op, e.outcome())
}

// reason tells why it was refused.
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

// Unwrap gives the code, so that [errors.Is] matches its constant.
func (e *APIError) Unwrap() error {
	if e.Code == 0 {
		return nil
	}
	return e.Code
}

// Is matches [ErrOutcomeUnknown] where that is the outcome.
func (e *APIError) Is(target error) bool { return isOutcome(target, e.outcome()) }

func (e *APIError) outcome() Outcome {
	if e.Code == 0 || e.Code == ErrServiceFault {
		return OutcomeUnknown
	}
	return OutcomeRejected
}

// LogValue gives slog the fields as a group.
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
	ruleRange    = "range"    // a number that no request can mean
	ruleFormat   = "format"   // not written as the service wants it
	ruleUnknown  = "unknown"  // none of the documented values
	ruleConflict = "conflict" // contradicts another field
)

// FieldError is one broken rule of a request.
type FieldError struct {
	Field   string // by its name in the API's JSON, such as "rentPeriodDays"
	Rule    string // "required", "range", "format", "unknown" or "conflict"
	Message string // what is wrong and what to write instead
}

// ValidationError is a request that breaks rules. It names every one of them.
// Nothing was sent: its outcome is [OutcomeNotSent].
type ValidationError struct {
	Request string // the request's type, such as "IPv4OrderRequest", or the method
	Fields  []FieldError
}

// Error names every broken rule.
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

// Unwrap gives [ErrNotSent].
func (e *ValidationError) Unwrap() error { return ErrNotSent }

func (e *ValidationError) outcome() Outcome { return OutcomeNotSent }

// LogValue gives slog the request's type and a field for each broken rule.
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

// CallError is a call that ended without a readable answer, or with an HTTP
// status that is an answer of its own. Its Outcome tells whether repeating is
// safe.
type CallError struct {
	Op         string        // the call, such as "POST /order"
	HTTPStatus int           // 0 where no reply came
	Outcome    Outcome       // what is known of the call
	RetryAfter time.Duration // how long the service asked to wait; 0 where it did not
	Err        error         // the cause, without the API key in it
}

// Error tells what happened and what became of the money.
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

// reason tells what happened.
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

// reasonOf gives the text of an error without what is said of the call and of
// the money, which the error around it says.
func reasonOf(err error) string {
	if e, ok := err.(interface{ reason() string }); ok {
		return e.reason()
	}
	return strings.TrimPrefix(err.Error(), "youproxy: ")
}

// gaveUp is a context that ended while a failed call waited to be repeated.
type gaveUp struct{ over, last error }

func (e *gaveUp) Error() string {
	return reasonOf(e.over) + " while waiting to repeat it after: " + reasonOf(e.last)
}

func (e *gaveUp) Unwrap() []error { return []error{e.over, e.last} }

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Is matches [ErrNotSent] and [ErrOutcomeUnknown] by the outcome.
func (e *CallError) Is(target error) bool { return isOutcome(target, e.Outcome) }

func (e *CallError) outcome() Outcome { return e.Outcome }

// LogValue gives slog the fields as a group.
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

// outsideError stands in for an error of the network or of the caller's own
// functions. It has that one's text without the key, and matches what that one
// matches with [errors.Is], but for the outcome of a call, which only this package
// knows. With [errors.As] it gives out certificate errors alone: others may hold
// the request.
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

// outside returns what stands in for err.
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

// quoted is what net/http quotes of a reply that it cannot read.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// outsideText returns the text of err without anything that may be quoted from a
// reply.
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
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// timedOut reports whether err says that a time ran out, whatever asking it does.
func timedOut(err error) (yes bool) {
	defer func() { _ = recover() }()
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// moneyAfter is the sentence that ends every error.
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

// shortQuote quotes a text from outside, so that it cannot break a log line,
// and shortens it.
func shortQuote(s string) string {
	const most = 200
	r := []rune(s)
	if len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(s)
}
