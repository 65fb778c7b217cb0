package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	for v, want := range map[youproxy.Verdict]string{
		youproxy.VerdictUndetermined: "undetermined", youproxy.VerdictExecuted: "executed", youproxy.VerdictNotExecuted: "not executed", 99: "undetermined",
	} {
		assert.Equal(t, want, v.String())
	}
	assert.Zero(t, youproxy.VerdictUndetermined, "what is not set is not known")
}

func TestEvidenceText(t *testing.T) {
	t.Parallel()
	fell := youproxy.MustMoney("7.2 USD")
	many := make([]youproxy.SeenOrder, 7)
	for i := range many {
		many[i] = youproxy.SeenOrder{ID: youproxy.OrderID(fmt.Sprint("o", i)), Proxies: i}
	}
	for _, tc := range []struct {
		name string
		e    youproxy.Evidence
		want string
	}{
		{"none", youproxy.Evidence{}, ""},
		{"no look that succeeded", youproxy.Evidence{Fell: &fell, Err: errors.New("no route to host")}, "the account could not be read: no route to host"},
		{"a look", youproxy.Evidence{Looks: 1, Fell: &fell}, "the balance fell by 7.2 USD"},
		{"a balance that stayed", youproxy.Evidence{Looks: 1, Fell: new(youproxy.MustMoney("0.00 USD"))}, "the balance is as it was"},
		{"an order", youproxy.Evidence{Looks: 1, NewOrders: many[3:4]}, "new orders: 1: o3 (3 proxies)"},
		{"many orders", youproxy.Evidence{Looks: 1, NewOrders: many}, "new orders: 7: o0 (0 proxies), o1 (1 proxies), o2 (2 proxies), o3 (3 proxies), o4 (4 proxies)"},
		{"an odd id", youproxy.Evidence{Looks: 1, NewOrders: []youproxy.SeenOrder{{ID: "a\nb", Proxies: 1}}}, `new orders: 1: "a\nb" (1 proxies)`},
		{"ends", youproxy.Evidence{Looks: 1, Moved: 1, Unmoved: 2, Otherwise: 3}, "of 6 proxies, extended: 1, not extended: 2, with another end: 3"},
		{"all", youproxy.Evidence{Looks: 2, Fell: &fell, Moved: 1, Err: io.EOF}, "the balance fell by 7.2 USD; of 1 proxies, extended: 1, not extended: 0, with another end: 0; the account could not be read: EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) { assert.Equal(t, tc.want, tc.e.String()) })
	}
}

// anOrderAttempt gives an attempt as errors tell it.
func anOrderAttempt() youproxy.Attempt {
	return youproxy.Attempt{
		Version: 2, ID: "ATTEMPT1", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Op: "POST /order", ProxyType: youproxy.ProxyTypeISP,
		RentPeriodDays: 30, Price: youproxy.MustMoney("7.2 USD"), Limit: youproxy.MustMoney("10 USD"), Country: "GBR", Quantity: 3,
		Before: youproxy.Holdings{Balance: youproxy.MustMoney("100 USD")},
	}
}

func TestSpendErrorText(t *testing.T) {
	t.Parallel()
	a := anOrderAttempt()
	const (
		what = "youproxy: order of 3 x ISP for 30 days at 7.2 USD, attempt ATTEMPT1 at 2026-01-02T03:04:05Z"
		open = "; money may have been spent: let Recover or Reconcile find out, or look at the account, before buying again"
	)
	fell := youproxy.MustMoney("7.2 USD")
	for _, tc := range []struct {
		name string
		err  *youproxy.SpendError
		want string
	}{
		{"no cause", &youproxy.SpendError{Attempt: a}, what + open},
		{
			"undetermined", &youproxy.SpendError{Attempt: a, Err: io.ErrUnexpectedEOF, Evidence: youproxy.Evidence{Looks: 1, Fell: &fell}},
			what + ": unexpected EOF; the balance fell by 7.2 USD" + open,
		},
		{
			"not executed", &youproxy.SpendError{Attempt: a, Verdict: youproxy.VerdictNotExecuted, Err: &youproxy.APIError{Op: "POST /order", Code: 14}},
			what + ": refused: incorrect goal (code 14); it was not executed, nothing was spent",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.EqualError(t, tc.err, tc.want)
			assert.Equal(t, tc.err.Err == nil, errors.Unwrap(tc.err) == nil)
			if tc.err.Err != nil {
				assert.ErrorIs(t, tc.err, tc.err.Err)
				assert.EqualError(t, errors.Unwrap(tc.err), tc.err.Err.Error())
			}
		})
	}
}

// The verdict is later knowledge than what the call ended with, and what is undetermined
// is no timeout.
func TestSpendErrorMatches(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{
		nil, youproxy.ErrOutcomeUnknown, youproxy.ErrNotSent, &youproxy.CallError{Outcome: youproxy.OutcomeNotSent}, &youproxy.CallError{},
		&youproxy.CallError{Outcome: youproxy.OutcomeRejected, Err: context.DeadlineExceeded}, &youproxy.APIError{Code: 35}, &youproxy.APIError{Code: 14},
		&youproxy.CallError{Err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}}, errors.Join(io.EOF, youproxy.ErrOutcomeUnknown),
	} {
		for _, v := range []youproxy.Verdict{youproxy.VerdictUndetermined, youproxy.VerdictExecuted, youproxy.VerdictNotExecuted} {
			err := fmt.Errorf("bought: %w", &youproxy.SpendError{Attempt: anOrderAttempt(), Verdict: v, Err: cause})
			undetermined := v == youproxy.VerdictUndetermined
			assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrUndetermined), "%v", err)
			assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrOutcomeUnknown), "%v", err)
			assert.Equal(t, v == youproxy.VerdictNotExecuted, errors.Is(err, youproxy.ErrNotExecuted), "%v", err)
			want := map[youproxy.Verdict]youproxy.Outcome{youproxy.VerdictExecuted: youproxy.OutcomeDone, youproxy.VerdictNotExecuted: youproxy.OutcomeNotSent}[v]
			if v == youproxy.VerdictNotExecuted && youproxy.OutcomeOf(cause) == youproxy.OutcomeRejected {
				want = youproxy.OutcomeRejected
			}
			assert.Equal(t, want, youproxy.OutcomeOf(err), "%v", err)
			assert.Equal(t, want == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent), "%v", err)
			var refused *youproxy.APIError
			var lost *youproxy.CallError
			var timeout interface{ Timeout() bool }
			assert.Equal(t, errors.As(cause, &refused), errors.As(err, &refused))
			assert.Equal(t, errors.As(cause, &lost), errors.As(err, &lost))
			assert.Equal(t, !undetermined && errors.As(cause, &timeout), errors.As(err, &timeout))
			for _, over := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded} {
				assert.Equal(t, !undetermined && errors.Is(cause, over), errors.Is(err, over))
			}
			assert.Equal(t, errors.Is(cause, youproxy.ErrIncorrectGoal), errors.Is(err, youproxy.ErrIncorrectGoal))
		}
	}
}
