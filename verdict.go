package youproxy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"slices"
)

// Errors of [Client.Buy], [Client.Renew], [Client.Reconcile] and [Client.Recover], to match
// with [errors.Is]. Some guards, which stop a purchase before anything is sent, use other
// errors: [ErrInsufficientFunds] for a balance that is too small, [ErrWholeOrderRequired] for
// a part of an IPv6 order, and [ErrCurrencyMismatch] for a limit or a budget in another
// currency than the price.
var (
	// ErrPriceAboveLimit means that the price in the quote is above the limit. Nothing
	// was sent.
	ErrPriceAboveLimit = errors.New("youproxy: the price is above the limit")
	// ErrPromoCodeNotValid means that the service would not accept the promo code and
	// would charge the full price. Nothing was sent.
	ErrPromoCodeNotValid = errors.New("youproxy: the promo code is not valid")
	// ErrQuoteWarning means that the quote has warnings or makes no sense. The error also
	// matches the codes of the warnings. Nothing was sent.
	ErrQuoteWarning = errors.New("youproxy: the service would not execute what was quoted")
	// ErrPending means that an earlier purchase, whose outcome is not known, stops this
	// one. The error is a [*PendingError]. Nothing was sent.
	ErrPending = errors.New("youproxy: an earlier purchase is not settled")
	// ErrOverBudget means that the purchase would exceed the budget of [WithBudget].
	// Nothing was sent.
	ErrOverBudget = errors.New("youproxy: the purchase would exceed the budget")
	// ErrKeyReused means that the key of [IdempotencyKey] belongs to another request.
	// Nothing was sent.
	ErrKeyReused = errors.New("youproxy: the idempotency key belongs to another request")
	// ErrNotExecuted means that the purchase was not sent, that it was refused, or that
	// the account shows that nothing was bought. Repeating is safe.
	ErrNotExecuted = errors.New("youproxy: the purchase was not executed")
	// ErrUndetermined means that the account does not show whether the purchase was
	// executed. It stays open in the journal, and stops others like it.
	ErrUndetermined = errors.New("youproxy: it is not known whether the purchase was executed")
)

// Verdict is what the account shows of a purchase whose outcome was not reported.
type Verdict uint8

const (
	// VerdictUndetermined means that the account does not show whether it was executed.
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

// SpendError is the error of a purchase that was not executed, or whose outcome is not
// known, after its attempt was recorded in the journal. It matches [ErrNotExecuted] or [ErrUndetermined] according to its verdict.
type SpendError struct {
	Attempt  Attempt
	Verdict  Verdict
	Evidence Evidence // what the account showed, if it was looked at
	Err      error    // what went wrong first

	repeatable bool // Buy or Renew returned it: called again with the same key, they look first
}

// Error returns what went wrong, whether money may have been spent, and what to do.
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
	text += "; money may have been spent: "
	if e.repeatable && e.Attempt.Key != "" {
		text += "repeat the purchase with the same key and journal, which looks first, or "
	}
	return text + "let Recover or Reconcile find out, or look at the account, before buying again"
}

// Is reports whether target is the sentinel of the verdict or of the outcome.
func (e *SpendError) Is(target error) bool {
	switch target {
	case ErrNotExecuted:
		return e.Verdict == VerdictNotExecuted
	case ErrUndetermined:
		return e.Verdict == VerdictUndetermined
	}
	return isOutcome(target, e.outcome())
}

// Unwrap returns what went wrong first. If the verdict is undetermined, the result
// matches no timeout, so that a loop that repeats timeouts does not repeat the purchase.
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

// LogValue returns the attempt, the verdict and the cause as a group, for slog.
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

// notFoundOut is the error of a context that ended before the account showed the outcome
// of a call that failed. The text of the context is in the evidence.
type notFoundOut struct{ first, over error }

func (e *notFoundOut) Error() string   { return reasonOf(e.first) }
func (e *notFoundOut) Unwrap() []error { return []error{e.first, e.over} }

// settled is an error whose outcome is known better by now. It matches what err matches,
// except the sentinels of outcomes and, if the purchase is still open, timeouts.
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

// isVerdict reports whether an error is a sentinel of an outcome or a verdict.
func isVerdict(err error) bool {
	return slices.Contains([]error{ErrNotSent, ErrOutcomeUnknown, ErrNotExecuted, ErrUndetermined, ErrPending}, err)
}

// guardError is the error of a purchase that was stopped before anything was sent.
type guardError struct {
	op     string
	text   string
	causes []error
}

func stopped(op, text string, causes ...error) error {
	return &guardError{op: op, text: text, causes: causes}
}

// stoppedBy is stopped for a call that failed, whose outcome is not that of the purchase.
func stoppedBy(op, text string, err error) error {
	return stopped(op, text+": "+reasonOf(err), settled{err: err})
}

func (e *guardError) Error() string {
	return "youproxy: " + e.op + ": " + e.reason() + "; " + moneyAfter(e.op, OutcomeNotSent)
}
func (e *guardError) reason() string       { return e.text }
func (e *guardError) Is(target error) bool { return isOutcome(target, OutcomeNotSent) }
func (e *guardError) Unwrap() []error      { return e.causes }
func (e *guardError) outcome() Outcome     { return OutcomeNotSent }
