// Package sdk makes the calls that are compared with the SDK.
package sdk

import (
	"context"
	"net/http"

	"github.com/youproxy-go/youproxy"
)

// Client holds what the calls need.
type Client struct{ client *youproxy.Client }

// New returns a client of the service at base. Without hc it has the SDK's own transport.
func New(base, key string, hc *http.Client) (*Client, error) {
	opts := []youproxy.Option{youproxy.WithBaseURL(base)}
	if hc != nil {
		opts = append(opts, youproxy.WithHTTPClient(hc))
	}
	c, err := youproxy.New(key, opts...)
	return &Client{c}, err
}

// Order places an order and returns its number.
func (c *Client) Order(ctx context.Context) (string, error) {
	order, err := c.client.CreateOrder(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	})
	if err != nil {
		return "", err
	}
	return string(order.Number), nil
}

// Balance reads the balance of the account.
func (c *Client) Balance(ctx context.Context) error {
	_, err := c.client.Balance(ctx)
	return err
}
