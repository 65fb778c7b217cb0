package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// mostWait is how long buy waits for the proxies.
const mostWait = 30 * time.Minute

// buy buys proxies.
func (a *app) buy() *cobra.Command {
	var o orderFlags
	var f spendFlags
	var noWait bool
	cmd := &cobra.Command{
		Use:   "buy",
		Short: "Buy proxies, and print them",
		Long: `buy shows what an order costs, asks, places it once, and prints its proxies with their
passwords: one URL a line, or all details with --output json or csv.

It places no order whose quote is above --max-price. Without a terminal it needs --yes.

The purchase is recorded in the journal before it is sent. If no reply comes, buy looks at what
the account holds; that can take minutes. If it is interrupted, or cannot find out whether the
order was placed, it exits with 3 and prints the command to run next.

With the same --idempotency-key, buy looks for the earlier purchase first, prints its proxies,
and does not buy it again. So does the same command without a key after a run that did not exit
with 0; after one that did, it buys again.`,
		Example: `  youproxy buy --country USA --goal 'price monitoring' --max-price '10 USD'
  youproxy buy --type ISP --country GBR --quantity 5 --goal 'ad checks' --max-price '20 USD' --yes > proxies.txt
  youproxy buy --country USA --goal 'price monitoring' --max-price '10 USD' --yes --idempotency-key monday`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := o.request()
			if err != nil {
				return err
			}
			client, err := f.client(a, cmd)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			d := &deal{
				a: a, cmd: cmd, flags: &f, client: client, what: o.String(), quantity: o.quantity, promo: o.promo != "",
				quote:   func(ctx context.Context) (*youproxy.Quote, error) { return client.QuoteOrder(ctx, request) },
				ofOne:   o.ofOne(client),
				request: fingerprint(request), differs: o.differs, meets: o.meets,
			}
			if err := d.find(ctx); err != nil {
				return err
			}
			var purchase *youproxy.Purchase
			err = d.make(ctx, func(opts ...youproxy.SpendOption) (err error) {
				purchase, err = client.Buy(ctx, request, f.maxPrice.Money, opts...)
				return err
			})
			if err != nil {
				return err
			}
			return d.handOver(ctx, purchase, noWait)
		},
	}
	o.add(a, cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the proxies, and do not print them")
	return cmd
}

// ofOne returns a function that asks for the price of one proxy alone, or nil if the order is
// for one.
func (o *orderFlags) ofOne(client *youproxy.Client) func(context.Context) (*youproxy.Quote, error) {
	if o.quantity == 1 {
		return nil
	}
	return func(ctx context.Context) (*youproxy.Quote, error) {
		one := *o
		one.quantity = 1
		request, err := one.request()
		if err != nil {
			return nil, err
		}
		return client.QuoteOrder(ctx, request)
	}
}

// differs reports whether an attempt was for another order.
func (o *orderFlags) differs(a *youproxy.Attempt) bool {
	request, err := o.request()
	if err != nil {
		return true
	}
	seconds, _, _ := o.rotationTime()
	return a.Op != "POST /order" || a.ProxyType != request.ProxyType() || a.Quantity != o.quantity || a.RentPeriodDays != o.days ||
		a.Country != strings.ToUpper(o.country) || a.Goal != o.goal || a.PromoCode != o.promo || a.MobileOperator != o.operator || a.RotationTime != seconds
}

// meets reports whether an open attempt stops this one.
func (o *orderFlags) meets(a *youproxy.Attempt) bool {
	return a.Op == "POST /order" && strings.EqualFold(string(a.ProxyType), o.proxyType)
}

// handOver waits for the proxies of a purchase, and prints them.
func (d *deal) handOver(ctx context.Context, p *youproxy.Purchase, noWait bool) error {
	d.a.note("Bought %s.", d.describe(&p.Attempt, p.Charged, p.Recovered))
	if p.OrderNumber != "" {
		d.a.note("The order is %s.", plain(string(p.OrderNumber)))
	}
	if p.PromoCodeStatus == youproxy.PromoCodeNotValid {
		d.a.note("The service did not accept the promo code with the order, although it did with the quote.")
	}
	if noWait {
		var err error
		if d.a.output == "json" {
			err = d.a.show(nil, bought(p, nil))
		}
		return d.told(err, boughtUntold)
	}
	ctx, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	if d.a.live {
		d.a.note("Waiting for the proxies.")
	}
	proxies, err := d.client.WaitForProxies(ctx, p)
	if err == nil {
		err = d.a.writeBought(p, proxies)
	}
	return d.told(err, boughtUntold)
}

const boughtUntold = "it was bought, but its proxies were not all printed: "

// writeBought writes the proxies that were bought.
func (a *app) writeBought(p *youproxy.Purchase, proxies []youproxy.Proxy) error {
	skipped := youproxy.SkipUnusable(func(p youproxy.Proxy, err error) {
		a.note("Proxy %s is left out: %s", plain(string(p.ID)), inWords(err))
	})
	switch a.output {
	case "csv":
		return youproxy.WriteProxies(a.out, youproxy.LayoutCSV(), slices.Values(proxies), skipped)
	case "json":
		records := []json.RawMessage{}
		for _, proxy := range proxies {
			record, err := proxy.Format(youproxy.LayoutJSONLines())
			if err != nil {
				return err
			}
			records = append(records, json.RawMessage(record))
		}
		return a.show(nil, bought(p, records))
	}
	return youproxy.WriteProxies(a.out, youproxy.LayoutURL(youproxy.SchemeAny), slices.Values(proxies), skipped)
}

// purchase is a purchase in JSON.
type purchase struct {
	OrderNumber    youproxy.OrderNumber `json:"orderNumber,omitempty"`
	OrderID        youproxy.OrderID     `json:"orderId,omitempty"`
	ProxyType      youproxy.ProxyType   `json:"proxyType"`
	Quantity       int                  `json:"quantity"`
	RentPeriodDays int                  `json:"rentPeriodDays"`
	Price          youproxy.Money       `json:"price"`
	Charged        *youproxy.Money      `json:"charged,omitempty"`
	Recovered      bool                 `json:"recovered,omitempty"`
	IdempotencyKey string               `json:"idempotencyKey"`
	Proxies        []json.RawMessage    `json:"proxies,omitempty"`
}

func bought(p *youproxy.Purchase, proxies []json.RawMessage) purchase {
	a := &p.Attempt
	return purchase{
		OrderNumber: p.OrderNumber, OrderID: p.OrderID, ProxyType: a.ProxyType, Quantity: a.Quantity, RentPeriodDays: a.RentPeriodDays,
		Price: a.Price, Charged: p.Charged, Recovered: p.Recovered, IdempotencyKey: a.Key, Proxies: proxies,
	}
}
