package youproxy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"slices"
)

// Errors of [Client.Buy], [Client.Renew], [Client.Reconcile] and [Client.Recover]. Of
// the guards, which stop a purchase before anything is sent, more are codes of the
// service: [ErrInsufficientFunds] for a balance that is too small, and
// [ErrWholeOrderRequired] for a part of an IPv6 order. [ErrCurrencyMismatch] is a limit
// or a budget in another currency than the price.
var (
	// ErrPriceAboveLimit: the quote is above the limit. Nothing was sent.
	ErrPriceAboveLimit = errors.New("youproxy: the price is above the limit")
	// ErrPromoCodeNotValid: the service would not accept the promo code, and would
	// charge the full price. Nothing was sent.
	ErrPromoCodeNotValid = errors.New("youproxy: the promo code is not valid")
	// ErrQuoteWarning: the quote came with warnings, or makes no sense. The error matches
	// the codes of the warnings as well. Nothing was sent.
	ErrQuoteWarning = errors.New("youproxy: the service would not execute what was quoted")
	// ErrPending: an earlier purchase whose outcome is not known stands in the way. The
	// error is a [*PendingError]. Nothing was sent.
	ErrPending = errors.New("youproxy: an earlier purchase is not settled")
	// ErrOverBudget: the purchase would exceed the budget of [WithBudget]. Nothing was
	// sent.
	ErrOverBudget = errors.New("youproxy: the purchase would exceed the budget")
	// ErrKeyReused: the key of [IdempotencyKey] belongs to another request. Nothing was
	// sent.
	ErrKeyReused = errors.New("youproxy: the idempotency key belongs to another request")
	// ErrNotExecuted: the purchase was not sent, was refused, or the account shows
	// that nothing was bought. Repeating is safe.
	ErrNotExecuted = errors.New("youproxy: the purchase was not executed")
	// ErrUndetermined: the account does not show what became of the purchase. It stays
	// open in the journal, and stands in the way of others like it.
	ErrUndetermined = errors.New("youproxy: it is not known whether the purchase was executed")
)

// Verdict says what the account shows of a purchase whose outcome was not reported.
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

// String returns "undetermined", "executed" or "not executed".
func (v Verdict) String() string {
	switch v {
	case VerdictExecuted:
		return "executed"
	case VerdictNotExecuted:
		return "not executed"
	}
	return "undetermined"
}

// SpendError is a purchase that did not end well after its attempt was written into the
// journal. It matches [ErrNotExecuted] or [ErrUndetermined] by its verdict.
type SpendError struct {
	Attempt  Attempt
	Verdict  Verdict
	Evidence Evidence // what the account showed, if it was looked at
	Err      error    // what went wrong first
}

// Error tells what went wrong, what became of the money, and what to do.
func (e *SpendError) Error() string {
	text := "youproxy: " + e.Attempt.String()
	if e.Err != nil {
		text += ": " + reasonOf(e.Err)
	}
	if evidence := e.Evidence.String(); evidence != "" {
		text += "; " + evidence
	}
	if e.Verdict == VerdictNotExecuted {
		return text + "; it was not executed, nothing was spent"
	}
	return text + "; money may have been spent: let Recover or Reconcile find out, or look at the account, before buying again"
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

// Unwrap returns what went wrong first. Where the purchase is undetermined, that
// matches no timeout: a loop that repeats timeouts must not repeat it.
func (e *SpendError) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return settled{err: e.Err, open: e.Verdict == VerdictUndetermined}
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
// it did but the sentinels of outcomes and, where the purchase is still open, timeouts.
type settled struct {
	err  error
	open bool
}

func (e settled) Error() string { return e.err.Error() }

func (e settled) As(target any) bool {
	if t := reflect.TypeOf(target).Elem(); e.open && t.Kind() == reflect.Interface {
		if _, timeout := t.MethodByName("Timeout"); timeout {
			return false
		}
	}
	return errors.As(e.err, target)
}

func (e settled) Is(target error) bool {
	if e.open && (target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded) {
		return false
	}
	return !isVerdict(target) && errors.Is(e.err, target)
}

// isVerdict reports whether an error tells what became of a call.
func isVerdict(err error) bool {
	return slices.Contains([]error{ErrNotSent, ErrOutcomeUnknown, ErrNotExecuted, ErrUndetermined, ErrPending}, err)
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
