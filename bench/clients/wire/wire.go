// Package wire is the requests and replies of the calls that are compared, as a program
// would write them down that knows the form of each.
package wire

import (
	"errors"
	"fmt"
)

// Order is the body of an order.
type Order struct {
	ProxyType      string `json:"proxyType"`
	Quantity       int    `json:"quantity"`
	RentPeriodDays int    `json:"rentPeriodDays"`
	Country        string `json:"country"`
	Goal           string `json:"goal"`
	AuthType       string `json:"authType"`
}

// TheOrder is the order that every client places.
var TheOrder = Order{"IPv4", 1, 30, "USA", "price monitoring", "LOGIN"}

// Envelope is what both replies have in common.
type Envelope struct {
	Success bool `json:"success"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Err returns the error of a refusal.
func (e *Envelope) Err() error {
	switch {
	case e.Success:
		return nil
	case e.Error == nil:
		return errors.New("refused without an error")
	}
	return fmt.Errorf("error %d: %s", e.Error.Code, e.Error.Message)
}

// OrderReply is the reply to an order.
type OrderReply struct {
	Envelope
	ProxyType       string  `json:"proxyType"`
	OrderNumber     string  `json:"orderNumber"`
	Balance         float64 `json:"balance"`
	Currency        string  `json:"currency"`
	PromoCodeStatus string  `json:"promoCodeStatus"`
}

// BalanceReply is the reply to a question for the balance.
type BalanceReply struct {
	Envelope
	Balance      float64 `json:"balance"`
	CurrencyCode string  `json:"currencyCode"`
}
