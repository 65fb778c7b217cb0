// Package resty makes the calls that are compared with resty.
package resty

import (
	"context"
	"net/http"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/youproxy-go/youproxy/bench/clients/wire"
)

// Client holds what the calls need.
type Client struct{ resty *resty.Client }

// New returns a client of the service at base. Where hc is nil, it is resty's default,
// with a transport of its own.
func New(base, key string, hc *http.Client) *Client {
	c := resty.New()
	if hc != nil {
		c = resty.NewWithClient(hc)
	}
	return &Client{c.SetBaseURL(base + "/client/api/v1/" + key)}
}

// HTTPClient returns the HTTP client that resty uses.
func (c *Client) HTTPClient() *http.Client { return c.resty.GetClient() }

// Order places an order and returns its number.
func (c *Client) Order(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var reply wire.OrderReply
	if _, err := c.resty.R().SetContext(ctx).SetBody(&wire.TheOrder).SetResult(&reply).Post("/order"); err != nil {
		return "", err
	}
	return reply.OrderNumber, reply.Err()
}

// Balance reads the balance of the account.
func (c *Client) Balance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var reply wire.BalanceReply
	if _, err := c.resty.R().SetContext(ctx).SetResult(&reply).Get("/balance"); err != nil {
		return err
	}
	return reply.Err()
}
