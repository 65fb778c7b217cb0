// Package oapi makes the calls that are compared with the client that oapi-codegen
// generates from the API description.
package oapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config config.yaml ../../../api/openapi.yaml

// Caller holds what the calls need.
type Caller struct {
	key    string
	client *ClientWithResponses
}

// New returns a caller of the service at base.
func New(base, key string, hc *http.Client) (*Caller, error) {
	c, err := NewClientWithResponses(base+"/client/api/v1", WithHTTPClient(hc))
	return &Caller{key, c}, err
}

// Order places an order and returns its number.
func (c *Caller) Order(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var body CreateOrderJSONRequestBody
	if err := body.FromIpv4Order(Ipv4Order{
		ProxyType: IPv4, Quantity: 1, RentPeriodDays: 30, Country: "USA", Goal: "price monitoring", AuthType: LOGIN,
	}); err != nil {
		return "", err
	}
	resp, err := c.client.CreateOrderWithResponse(ctx, c.key, body)
	if err != nil {
		return "", err
	}
	reply := resp.JSON200
	switch {
	case reply == nil:
		return "", errors.New(resp.Status())
	case !reply.Success:
		return "", refusal(reply.Error)
	case reply.OrderNumber == nil:
		return "", errors.New("no order number")
	}
	return *reply.OrderNumber, nil
}

// Balance reads the balance of the account.
func (c *Caller) Balance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	resp, err := c.client.GetBalanceWithResponse(ctx, c.key)
	if err != nil {
		return err
	}
	reply := resp.JSON200
	switch {
	case reply == nil:
		return errors.New(resp.Status())
	case !reply.Success:
		return refusal(reply.Error)
	}
	return nil
}

func refusal(e *Error) error {
	if e == nil {
		return errors.New("refused without an error")
	}
	return fmt.Errorf("error %d: %s", e.Code, e.Message)
}
