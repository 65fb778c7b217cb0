package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/youproxy-go/youproxy"
)

// Ordering is all that a Restocker needs of a *youproxy.Client. An interface of
// one's own, as small as this, is easy to stub.
type Ordering interface {
	QuoteOrder(ctx context.Context, req youproxy.OrderRequest) (*youproxy.Quote, error)
	CreateOrder(ctx context.Context, req youproxy.OrderRequest) (*youproxy.Order, error)
}

// Decision is what the program does next.
type Decision string

// The decisions a Restocker comes to.
const (
	FullyStocked Decision = "fully stocked"
	Restocked    Decision = "restocked"
	RepeatLater  Decision = "repeat later" // nothing was spent, and it may work another time
	AskHuman     Decision = "ask a human"  // do not repeat before somebody has looked at the account
	GiveUp       Decision = "give up"      // nothing was spent, and this order will never work
)

// Restocker keeps IPv4 proxies in stock.
type Restocker struct {
	Ordering Ordering
	Country  string
	Target   int            // proxies to keep
	MaxPrice youproxy.Money // for one order
}

var errTooExpensive = errors.New("the order is too expensive")

// Restock orders what is missing where there are only stock proxies. The order
// is nil where none was placed, and the error says why.
func (r *Restocker) Restock(ctx context.Context, stock int) (Decision, *youproxy.Order, error) {
	if stock >= r.Target {
		return FullyStocked, nil, nil
	}
	request := youproxy.IPv4OrderRequest{
		Country:        r.Country,
		Quantity:       r.Target - stock,
		RentPeriodDays: 30,
		Goal:           "price monitoring",
		AuthType:       youproxy.AuthTypeLogin,
	}

	quote, err := r.Ordering.QuoteOrder(ctx, request)
	if err != nil {
		decision := decide(err)
		if youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown {
			decision = RepeatLater // a quote spends nothing, whatever became of it
		}
		return decision, nil, err
	}
	if len(quote.Warnings) > 0 {
		warning := quote.Warnings[0].Code
		return decideCode(warning), nil, warning
	}
	compared, err := quote.Price.Cmp(r.MaxPrice)
	switch {
	case err != nil: // another currency
		return AskHuman, nil, err
	case compared > 0:
		return RepeatLater, nil, fmt.Errorf("%w: %s", errTooExpensive, quote.Price)
	}

	order, err := r.Ordering.CreateOrder(ctx, request)
	if err != nil {
		return decide(err), nil, err
	}
	return Restocked, order, nil
}

// decide makes a decision of a failed call, by what became of the money.
func decide(err error) Decision {
	switch youproxy.OutcomeOf(err) {
	case youproxy.OutcomeNotSent:
		var invalid *youproxy.ValidationError
		if errors.As(err, &invalid) {
			return GiveUp
		}
		return RepeatLater
	case youproxy.OutcomeRejected:
		var code youproxy.ErrorCode
		if errors.As(err, &code) {
			return decideCode(code)
		}
		var call *youproxy.CallError
		if errors.As(err, &call) && call.HTTPStatus == http.StatusTooManyRequests {
			return RepeatLater
		}
		return GiveUp
	default: // the proxies may have been bought: repeating could buy them twice
		return AskHuman
	}
}

// decideCode makes a decision of a reason the service gave for its no.
func decideCode(code youproxy.ErrorCode) Decision {
	switch code {
	case youproxy.ErrCountryUnavailable:
		return RepeatLater
	case youproxy.ErrInsufficientFunds, youproxy.ErrInvalidAPIKey, youproxy.ErrCallerNotAllowed:
		return AskHuman
	default:
		return GiveUp
	}
}
