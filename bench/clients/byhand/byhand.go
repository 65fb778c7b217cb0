// Package byhand makes the calls that are compared on net/http and encoding/json, as
// a careful program would.
package byhand

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/youproxy-go/youproxy/bench/clients/wire"
)

// Client holds what the calls need.
type Client struct {
	base, key string
	http      *http.Client
}

// New returns a client of the service at base.
func New(base, key string, hc *http.Client) *Client { return &Client{base, key, hc} }

// Order places an order and returns its number.
func (c *Client) Order(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	body, err := json.Marshal(&wire.TheOrder)
	if err != nil {
		return "", err
	}
	var reply wire.OrderReply
	if err := c.call(ctx, http.MethodPost, "/order", bytes.NewReader(body), &reply); err != nil {
		return "", err
	}
	return reply.OrderNumber, reply.Err()
}

// Balance reads the balance of the account.
func (c *Client) Balance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var reply wire.BalanceReply
	if err := c.call(ctx, http.MethodGet, "/balance", nil, &reply); err != nil {
		return err
	}
	return reply.Err()
}

func (c *Client) call(ctx context.Context, method, path string, body io.Reader, reply any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/client/api/v1/"+c.key+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(reply)
}
