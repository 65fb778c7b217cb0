package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// quote shows what an order would cost.
func (a *app) quote() *cobra.Command {
	var o orderFlags
	var maxPrice price
	cmd := &cobra.Command{
		Use:   "quote",
		Short: "Show what an order would cost",
		Long: `quote shows what an order would cost, and spends nothing. It has the flags of an order, like buy.

With --max-price it fails if buy would: the price is above it or above the balance, the promo
code is not valid, or the service would not execute the order.`,
		Example: `  youproxy quote --country USA --goal 'price monitoring'
  youproxy quote --type MOBILE --country USA --operator verizon --rotation 300 --goal 'app testing'
  youproxy quote --country DEU --quantity 10 --goal 'price monitoring' --max-price '20 USD'`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := o.request()
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			quote, err := client.QuoteOrder(ctx, request)
			if err != nil {
				return err
			}
			if quote.Balance.IsZero() {
				if quote.Balance, err = client.Balance(ctx); err != nil {
					return err
				}
			}
			if err := a.showQuote(quote); err != nil || maxPrice.IsZero() {
				return err
			}
			d := &deal{a: a, flags: &spendFlags{maxPrice: maxPrice}, quantity: o.quantity, promo: o.promo != "", ofOne: o.ofOne(client)}
			largest, err := d.largest(ctx, quote)
			if err != nil {
				return err
			}
			return d.check(quote, largest)
		},
	}
	o.add(a, cmd)
	cmd.Flags().Var(&maxPrice, "max-price", "fail if buy with this limit would")
	return cmd
}

// showQuote writes a quote.
func (a *app) showQuote(q *youproxy.Quote) error {
	var warnings []string
	for _, w := range q.Warnings {
		warnings = append(warnings, w.Message)
	}
	t := &table{head: []string{"TYPE", "PRICE", "BALANCE", "DISCOUNT", "PROMO CODE", "WARNINGS"}}
	t.add(q.ProxyType, q.Price, q.Balance, q.Discount.String()+"%", q.PromoCodeStatus, strings.Join(warnings, "; "))
	return a.show(t, struct {
		ProxyType       youproxy.ProxyType       `json:"proxyType"`
		Price           youproxy.Money           `json:"price"`
		Balance         youproxy.Money           `json:"balance"`
		Discount        string                   `json:"discount"` // in percent
		PromoCodeStatus youproxy.PromoCodeStatus `json:"promoCodeStatus,omitempty"`
		Warnings        []youproxy.Warning       `json:"warnings,omitempty"`
	}{q.ProxyType, q.Price, q.Balance, q.Discount.String(), q.PromoCodeStatus, q.Warnings})
}
