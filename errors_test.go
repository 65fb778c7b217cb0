package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

var codes = []struct {
	code    youproxy.ErrorCode
	number  int
	meaning string
}{
	{youproxy.ErrInvalidAPIKey, 2, "API key"},
	{youproxy.ErrCallerNotAllowed, 3, "address"},
	{youproxy.ErrIncorrectProxyType, 4, "proxy type"},
	{youproxy.ErrIncorrectCountry, 6, "country"},
	{youproxy.ErrCountryUnavailable, 7, "country"},
	{youproxy.ErrIncorrectMobileOperator, 8, "mobile operator"},
	{youproxy.ErrIncorrectAuthType, 10, "authorisation type"},
	{youproxy.ErrIncorrectRentPeriod, 11, "rent period"},
	{youproxy.ErrIncorrectProtocol, 13, "protocol"},
	{youproxy.ErrIncorrectGoal, 14, "goal"},
	{youproxy.ErrInsufficientFunds, 16, "funds"},
	{youproxy.ErrIncorrectQuantity, 19, "quantity"},
	{youproxy.ErrIncorrectAuthIP, 23, "address to authorise"},
	{youproxy.ErrIncorrectIPAddresses, 24, "IP addresses"},
	{youproxy.ErrIncorrectOrderNumber, 25, "order code"},
	{youproxy.ErrWholeOrderRequired, 28, "all IP addresses of the order"},
	{youproxy.ErrIncorrectOrderIDs, 29, "order ids"},
	{youproxy.ErrServiceFault, 35, "unknown error"},
}

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	known := map[int]bool{}
	for _, tt := range codes {
		known[tt.number] = true
		assert.Equal(t, tt.number, int(tt.code))
		assert.True(t, tt.code.Known(), tt.number)
		assert.ErrorContains(t, tt.code, tt.meaning)
		assert.ErrorContains(t, tt.code, fmt.Sprintf("(code %d)", tt.number))
	}
	for number := -1; number < 60; number++ {
		assert.Equal(t, known[number], youproxy.ErrorCode(number).Known(), number)
	}
	assert.ErrorContains(t, youproxy.ErrorCode(31), "(code 31)")
}

// Every code, those nobody knows among them, arrives as it was sent.
func TestRefusalCarriesItsCode(t *testing.T) {
	t.Parallel()
	for code := 1; code <= 60; code++ {
		client, _ := answering(t, http.StatusOK, fmt.Sprintf(`{"success": false, "error": {"code": %d, "message": "because of %[1]d"}}`, code))
		_, err := client.CreateOrder(t.Context(), anIPv4Order())

		var refused *youproxy.APIError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, code, int(refused.Code))
		assert.Equal(t, fmt.Sprintf("because of %d", code), refused.Message)

		var found youproxy.ErrorCode
		require.ErrorAs(t, err, &found)
		assert.Equal(t, code, int(found))

		for _, tt := range codes {
			assert.Equal(t, tt.number == code, errors.Is(err, tt.code), "code %d and %v", code, tt.code)
		}
		want := youproxy.OutcomeRejected
		if code == 35 {
			want = youproxy.OutcomeUnknown
		}
		assert.Equal(t, want, youproxy.OutcomeOf(err), code)
	}
}

func rejected() error {
	return &youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Code: youproxy.ErrIncorrectGoal, Message: "Incorrect goal"}
}

func invalid() error {
	return &youproxy.ValidationError{Request: "IPv4OrderRequest", Fields: []youproxy.FieldError{
		{Field: "quantity", Rule: "range", Message: "must be 1 or more"},
		{Field: "country", Rule: "required", Message: "is missing"},
	}}
}

func failed(o youproxy.Outcome) error {
	return &youproxy.CallError{Op: "POST /order", Outcome: o, Err: errors.New("connection reset")}
}

type unwrapsToNil struct{ error }

func (unwrapsToNil) Unwrap() error { return nil }

type unwrapsToNils struct{ error }

func (unwrapsToNils) Unwrap() []error { return []error{nil, rejected(), nil} }

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want youproxy.Outcome
	}{
		{"nil", nil, youproxy.OutcomeDone},
		{"an error of others", io.ErrUnexpectedEOF, youproxy.OutcomeUnknown},
		{"a context that is over", context.Canceled, youproxy.OutcomeUnknown},
		{"a bare code", youproxy.ErrIncorrectGoal, youproxy.OutcomeUnknown},
		{"ErrNotSent itself", youproxy.ErrNotSent, youproxy.OutcomeNotSent},
		{"ErrNotSent wrapped", fmt.Errorf("guard: %w", youproxy.ErrNotSent), youproxy.OutcomeNotSent},
		{"ErrOutcomeUnknown itself", youproxy.ErrOutcomeUnknown, youproxy.OutcomeUnknown},

		{"invalid request", invalid(), youproxy.OutcomeNotSent},
		{"refusal", rejected(), youproxy.OutcomeRejected},
		{"refusal with a fault of the service", &youproxy.APIError{Code: youproxy.ErrServiceFault}, youproxy.OutcomeUnknown},
		{"refusal without a code", &youproxy.APIError{Message: "no"}, youproxy.OutcomeUnknown},
		{"failure, unknown", failed(youproxy.OutcomeUnknown), youproxy.OutcomeUnknown},
		{"failure, not sent", failed(youproxy.OutcomeNotSent), youproxy.OutcomeNotSent},
		{"failure, rejected", failed(youproxy.OutcomeRejected), youproxy.OutcomeRejected},
		{"failure, done", failed(youproxy.OutcomeDone), youproxy.OutcomeDone},
		{
			"a failure that wraps a refusal knows better than it",
			&youproxy.CallError{Outcome: youproxy.OutcomeUnknown, Err: rejected()}, youproxy.OutcomeUnknown,
		},
		{
			"a failure that wraps ErrNotSent knows better than it",
			&youproxy.CallError{Outcome: youproxy.OutcomeUnknown, Err: youproxy.ErrNotSent}, youproxy.OutcomeUnknown,
		},

		{"wrapped", fmt.Errorf("order 7: %w", rejected()), youproxy.OutcomeRejected},
		{"wrapped twice", fmt.Errorf("shop: %w", fmt.Errorf("order 7: %w", invalid())), youproxy.OutcomeNotSent},
		{"wrapped beside an error of others", fmt.Errorf("%w: %w", io.EOF, rejected()), youproxy.OutcomeRejected},
		{"an error of others that wraps nil", unwrapsToNil{io.EOF}, youproxy.OutcomeUnknown},
		{"an error of others that wraps nils", unwrapsToNils{io.EOF}, youproxy.OutcomeRejected},

		{"joined, one", errors.Join(rejected()), youproxy.OutcomeRejected},
		{"joined, all rejected", errors.Join(rejected(), failed(youproxy.OutcomeRejected)), youproxy.OutcomeRejected},
		{"joined, all not sent", errors.Join(invalid(), failed(youproxy.OutcomeNotSent)), youproxy.OutcomeNotSent},
		{"joined, rejected and not sent", errors.Join(rejected(), invalid()), youproxy.OutcomeUnknown},
		{"joined, not sent and unknown", errors.Join(invalid(), failed(youproxy.OutcomeUnknown)), youproxy.OutcomeUnknown},
		{"joined, unknown and not sent", errors.Join(failed(youproxy.OutcomeUnknown), invalid()), youproxy.OutcomeUnknown},
		{"joined deeply, rejected and not sent", errors.Join(errors.Join(io.EOF, fmt.Errorf("a: %w", rejected())), invalid()), youproxy.OutcomeUnknown},
		{"joined, differing ones and one more", errors.Join(rejected(), invalid(), rejected()), youproxy.OutcomeUnknown},
		{"joined, ErrOutcomeUnknown and not sent", errors.Join(youproxy.ErrOutcomeUnknown, invalid()), youproxy.OutcomeUnknown},
		{"joined, others only", errors.Join(io.EOF, context.Canceled), youproxy.OutcomeUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, youproxy.OutcomeOf(tt.err)) })
	}
}

func TestOutcomeString(t *testing.T) {
	t.Parallel()
	var zero youproxy.Outcome
	assert.Equal(t, youproxy.OutcomeUnknown, zero, "whoever forgets to set it knows nothing")
	for outcome, want := range map[youproxy.Outcome]string{
		youproxy.OutcomeUnknown:  "unknown",
		youproxy.OutcomeNotSent:  "not sent",
		youproxy.OutcomeRejected: "rejected",
		youproxy.OutcomeDone:     "done",
		200:                      "unknown",
	} {
		assert.Equal(t, want, outcome.String())
	}
}

func TestOutcomeSentinels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		err              error
		notSent, unknown bool
	}{
		{"invalid request", invalid(), true, false},
		{"refusal", rejected(), false, false},
		{"refusal with a fault of the service", &youproxy.APIError{Code: youproxy.ErrServiceFault}, false, true},
		{"refusal without a code", &youproxy.APIError{}, false, true},
		{"failure, unknown", failed(youproxy.OutcomeUnknown), false, true},
		{"failure, not sent", failed(youproxy.OutcomeNotSent), true, false},
		{"failure, rejected", failed(youproxy.OutcomeRejected), false, false},
		{"failure, done", failed(youproxy.OutcomeDone), false, false},
		{"failure around a refusal", &youproxy.CallError{Err: rejected()}, false, true},
		{"an error of others", io.EOF, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, fmt.Errorf("shop: %w", tt.err), errors.Join(io.EOF, tt.err)} {
				assert.Equal(t, tt.notSent, errors.Is(err, youproxy.ErrNotSent))
				assert.Equal(t, tt.unknown, errors.Is(err, youproxy.ErrOutcomeUnknown))
			}
		})
	}
}

func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	err := error(&youproxy.CallError{Op: "POST /order", HTTPStatus: 503, Err: rejected()})
	var refused *youproxy.APIError
	require.ErrorAs(t, err, &refused)
	assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)

	err = &youproxy.CallError{Err: fmt.Errorf("no reply: %w", context.DeadlineExceeded)}
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, context.Canceled)

	assert.NoError(t, errors.Unwrap(&youproxy.CallError{}))
	assert.NoError(t, errors.Unwrap(&youproxy.APIError{}), "a refusal without a code matches none")
	assert.NotErrorIs(t, &youproxy.APIError{}, youproxy.ErrorCode(0))

	// Compared, and used as keys, they are told apart by their address.
	a, b := rejected(), rejected()
	assert.Len(t, map[error]bool{a: true, b: true, a: true}, 2)
	assert.NotErrorIs(t, a, b)
}

// Every error says what became of the money.
func TestErrorText(t *testing.T) {
	t.Parallel()
	const mayBeSpent = "; money may have been spent: look at the account before repeating it"
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"refusal in the service's words", rejected(), `youproxy: POST /order: refused: "Incorrect goal" (code 14); nothing was spent`},
		{
			"refusal in other words than the code's",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Code: 14, Message: "not this"},
			`youproxy: POST /order: refused: incorrect goal: "not this" (code 14); nothing was spent`,
		},
		{
			"refusal with an unknown code",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Code: 31, Message: "Incorrect moon"},
			`youproxy: POST /order: refused: "Incorrect moon" (code 31); nothing was spent`,
		},
		{
			"refusal without words",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 400, Code: 16},
			`youproxy: POST /order: refused: insufficient funds (code 16), HTTP status 400; nothing was spent`,
		},
		{
			"refusal without a code",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Message: "no"},
			`youproxy: POST /order: refused: "no"` + mayBeSpent,
		},
		{
			"refusal without anything",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200},
			`youproxy: POST /order: refused without a reason` + mayBeSpent,
		},
		{
			"fault of the service",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Code: 35, Message: "Unknown error"},
			`youproxy: POST /order: refused: unknown error of the service: "Unknown error" (code 35)` + mayBeSpent,
		},
		{
			"refused quote",
			&youproxy.APIError{Op: "POST /calculate/order", HTTPStatus: 200, Code: 4, Message: "Incorrect proxy type"},
			`youproxy: POST /calculate/order: refused: "Incorrect proxy type" (code 4); the call spends nothing`,
		},
		{"invalid request", invalid(), `youproxy: IPv4OrderRequest is not valid: quantity must be 1 or more; country is missing; nothing was sent, nothing was spent`},
		{"failure, unknown", failed(youproxy.OutcomeUnknown), `youproxy: POST /order: connection reset` + mayBeSpent},
		{"failure, not sent", failed(youproxy.OutcomeNotSent), `youproxy: POST /order: connection reset; nothing was sent, nothing was spent`},
		{"failure, rejected", failed(youproxy.OutcomeRejected), `youproxy: POST /order: connection reset; nothing was spent`},
		{"failure, done", failed(youproxy.OutcomeDone), `youproxy: POST /order: connection reset; the call was executed`},
		{
			"failure of a call that spends nothing",
			&youproxy.CallError{Op: "GET /balance", Err: errors.New("connection reset")},
			`youproxy: GET /balance: connection reset; the call spends nothing`,
		},
		{
			"failure of a call nobody knows",
			&youproxy.CallError{Op: "POST /somewhere", Err: errors.New("connection reset")},
			`youproxy: POST /somewhere: connection reset` + mayBeSpent,
		},
		{
			"failure with a status and a wait",
			&youproxy.CallError{Op: "POST /order", HTTPStatus: 503, RetryAfter: 90 * time.Second, Err: errors.New("the reply is empty")},
			`youproxy: POST /order: HTTP status 503: the reply is empty; the service asks to wait 1m30s` + mayBeSpent,
		},
		{"failure with a status alone", &youproxy.CallError{Op: "POST /order", HTTPStatus: 503}, `youproxy: POST /order: HTTP status 503` + mayBeSpent},
		{
			"failure around an error of the package",
			&youproxy.CallError{Op: "POST /order", HTTPStatus: 500, Err: &youproxy.APIError{Op: "POST /order", HTTPStatus: 500, Code: 14, Message: "Incorrect goal"}},
			`youproxy: POST /order: HTTP status 500: `,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasSuffix(tt.want, ": ") {
				assert.Contains(t, tt.err.Error(), tt.want)
				return
			}
			assert.Equal(t, tt.want, tt.err.Error())
		})
	}
}

// An order of which the service said no with HTTP status 500 may be placed: the
// text must not say both.
func TestErrorTextDoesNotContradictItself(t *testing.T) {
	t.Parallel()
	client, _ := answering(t, http.StatusInternalServerError, `{"success": false, "error": {"code": 14, "message": "Incorrect goal"}}`)
	_, err := client.CreateOrder(t.Context(), anIPv4Order())
	require.Error(t, err)
	assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
	assert.ErrorContains(t, err, "money may have been spent")
	assert.NotContains(t, err.Error(), "nothing was spent")
}

// What a stranger writes can neither break a line of a log nor fill it.
func TestErrorTextIsOneShortLine(t *testing.T) {
	t.Parallel()
	err := &youproxy.APIError{Op: "POST /order", Code: 14, Message: "a\nlevel=INFO msg=\"all is well\"\x1b[2J" + strings.Repeat("é", 100_000)}
	assert.NotContains(t, err.Error(), "\n")
	assert.NotContains(t, err.Error(), "\x1b")
	assert.Less(t, len(err.Error()), 1000)
	assert.Contains(t, err.Error(), "nothing was spent")
}

func TestErrorsInLogs(t *testing.T) {
	t.Parallel()
	balance := youproxy.MustMoney("7.18 USD")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{
			"refusal", rejected(),
			`{"op": "POST /order", "status": 200, "code": 14, "message": "Incorrect goal", "outcome": "rejected"}`,
		},
		{
			"refusal with a balance",
			&youproxy.APIError{Op: "POST /order", HTTPStatus: 200, Code: 35, Message: "?", Balance: &balance},
			`{"op": "POST /order", "status": 200, "code": 35, "message": "?", "outcome": "unknown", "balance": "7.18 USD"}`,
		},
		{
			"invalid request", invalid(),
			`{"request": "IPv4OrderRequest", "outcome": "not sent", "fields": {"quantity": "range: must be 1 or more", "country": "required: is missing"}}`,
		},
		{
			"failure", failed(youproxy.OutcomeNotSent),
			`{"op": "POST /order", "status": 0, "outcome": "not sent", "error": "connection reset"}`,
		},
		{
			"failure with a wait",
			&youproxy.CallError{Op: "POST /order", HTTPStatus: 503, RetryAfter: time.Second},
			`{"op": "POST /order", "status": 503, "outcome": "unknown", "retry_after": 1000000000}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Error("order failed", "err", tt.err)
			var line struct{ Err json.RawMessage }
			require.NoError(t, json.Unmarshal(b.Bytes(), &line))
			assert.JSONEq(t, tt.want, string(line.Err))
		})
	}
}
