package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestCheckOfAQuote(t *testing.T) {
	for name, test := range map[string]struct {
		price, balance, limit string
		want                  error
	}{
		"all of it":        {"5 USD", "5 USD", "5 USD", nil},
		"above the limit":  {"5.01 USD", "9 USD", "5 USD", youproxy.ErrPriceAboveLimit},
		"no funds":         {"5 USD", "4.99 USD", "9 USD", youproxy.ErrInsufficientFunds},
		"another currency": {"5 USD", "9 USD", "9 EUR", youproxy.ErrCurrencyMismatch},
		"another balance":  {"5 USD", "9 EUR", "9 USD", youproxy.ErrInsufficientFunds},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deal{flags: &spendFlags{maxPrice: price{youproxy.MustMoney(test.limit)}}}
			q := &youproxy.Quote{Price: youproxy.MustMoney(test.price), Balance: youproxy.MustMoney(test.balance)}
			err := d.check(q, q.Price)
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
			assert.Contains(t, err.Error(), "nothing was spent")
		})
	}
}
