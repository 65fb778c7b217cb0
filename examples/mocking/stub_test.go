package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// stub answers with what a test gives it, and keeps what it was asked to order.
type stub struct {
	quote    *youproxy.Quote
	quoteErr error
	order    *youproxy.Order
	orderErr error

	ordered []youproxy.OrderRequest
}

func (s *stub) QuoteOrder(context.Context, youproxy.OrderRequest) (*youproxy.Quote, error) {
	return s.quote, s.quoteErr
}

func (s *stub) CreateOrder(_ context.Context, req youproxy.OrderRequest) (*youproxy.Order, error) {
	s.ordered = append(s.ordered, req)
	return s.order, s.orderErr
}

func quoted(price string, warnings ...youproxy.Warning) *youproxy.Quote {
	return &youproxy.Quote{Price: youproxy.MustMoney(price), Warnings: warnings}
}

func TestRestockOrdersWhatIsMissing(t *testing.T) {
	ordering := &stub{quote: quoted("3.93 USD"), order: &youproxy.Order{Number: "NUMBER-1"}}
	restocker := &Restocker{Ordering: ordering, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("4 USD")}

	decision, order, err := restocker.Restock(t.Context(), 2)

	require.NoError(t, err)
	assert.Equal(t, Restocked, decision)
	assert.Equal(t, youproxy.OrderNumber("NUMBER-1"), order.Number)
	assert.Equal(t, []youproxy.OrderRequest{youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 3, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}}, ordering.ordered)
}

func TestRestockOrdersNothing(t *testing.T) {
	refused := func(code youproxy.ErrorCode) error {
		return &youproxy.APIError{Op: "POST /calculate/order", HTTPStatus: 200, Code: code}
	}
	for name, test := range map[string]struct {
		stock int
		stub  stub
		want  Decision
	}{
		"enough in stock":       {5, stub{}, FullyStocked},
		"price above limit":     {4, stub{quote: quoted("4.01 USD")}, RepeatLater},
		"another currency":      {4, stub{quote: quoted("1 EUR")}, AskHuman},
		"warning: goal":         {4, stub{quote: quoted("1 USD", youproxy.Warning{Code: youproxy.ErrIncorrectGoal})}, GiveUp},
		"warning: balance":      {4, stub{quote: quoted("1 USD", youproxy.Warning{Code: youproxy.ErrInsufficientFunds})}, AskHuman},
		"country not offered":   {4, stub{quoteErr: refused(youproxy.ErrCountryUnavailable)}, RepeatLater},
		"wrong API key":         {4, stub{quoteErr: refused(youproxy.ErrInvalidAPIKey)}, AskHuman},
		"no answer to a quote":  {4, stub{quoteErr: &youproxy.CallError{Outcome: youproxy.OutcomeUnknown}}, RepeatLater},
		"quote was never sent":  {4, stub{quoteErr: &youproxy.CallError{Outcome: youproxy.OutcomeNotSent}}, RepeatLater},
		"request breaks a rule": {4, stub{quoteErr: &youproxy.ValidationError{Request: "IPv4OrderRequest"}}, GiveUp},
	} {
		t.Run(name, func(t *testing.T) {
			restocker := &Restocker{Ordering: &test.stub, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("4 USD")}
			decision, order, _ := restocker.Restock(t.Context(), test.stock)
			assert.Equal(t, test.want, decision)
			assert.Nil(t, order)
			assert.Empty(t, test.stub.ordered)
		})
	}
}

// The errors of the package can be made by hand, so a stub can end a call in
// each of the ways there are.
func TestRestockAfterAFailedOrder(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want Decision
	}{
		"not sent":               {&youproxy.CallError{Outcome: youproxy.OutcomeNotSent}, RepeatLater},
		"refused: goal":          {&youproxy.APIError{Code: youproxy.ErrIncorrectGoal}, GiveUp},
		"refused: balance":       {&youproxy.APIError{Code: youproxy.ErrInsufficientFunds}, AskHuman},
		"refused: too many":      {&youproxy.CallError{HTTPStatus: 429, Outcome: youproxy.OutcomeRejected}, RepeatLater},
		"refused: no such page":  {&youproxy.CallError{HTTPStatus: 404, Outcome: youproxy.OutcomeRejected}, GiveUp},
		"unknown: no answer":     {&youproxy.CallError{Outcome: youproxy.OutcomeUnknown}, AskHuman},
		"unknown: service fault": {&youproxy.APIError{Code: youproxy.ErrServiceFault}, AskHuman},
		"unknown: another error": {errors.New("something else"), AskHuman},
	} {
		t.Run(name, func(t *testing.T) {
			ordering := &stub{quote: quoted("1 USD"), orderErr: test.err}
			restocker := &Restocker{Ordering: ordering, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("4 USD")}
			decision, order, err := restocker.Restock(t.Context(), 4)
			assert.Equal(t, test.want, decision)
			assert.Nil(t, order)
			assert.ErrorIs(t, err, test.err)
			assert.Len(t, ordering.ordered, 1)
		})
	}
}
