package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/youproxy-go/youproxy"
)

// quote asks what each batch costs, shows it, and gives the sum. It spends
// nothing.
func quote(ctx context.Context, client *youproxy.Client, batches []*batch, o *options, out printer) (youproxy.Money, error) {
	table := tabwriter.NewWriter(out.w, 0, 0, 2, ' ', 0)
	rows := printer{table}
	rows.line("Type\tProxies\tOrders\tFirst end (UTC)\tPrice for %d days", o.days)
	var refused []error
	for _, b := range batches {
		var err error
		price := "none, see below"
		if b.quote, err = client.QuoteExtension(ctx, b.request(o)); err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", b.proxyType, err))
		} else {
			price = b.quote.Price.String()
			if b.quote.PromoCodeStatus != "" {
				price += fmt.Sprintf(", promo code %s, discount %s %%", b.quote.PromoCodeStatus, b.quote.Discount)
			}
		}
		rows.line("%s\t%d\t%d\t%s\t%s", b.proxyType, len(b.proxies), len(b.orders),
			b.firstEnd().UTC().Format("2006-01-02 15:04"), price)
	}
	var sum youproxy.Money
	err := errors.Join(refused...)
	if err == nil {
		sum, err = total(batches)
	}
	if err != nil {
		_ = table.Flush()
		return youproxy.Money{}, err
	}
	rows.line("Total\t%d\t\t\t%s", countOf(batches), sum)
	_ = table.Flush()
	out.line("")
	out.line("Balance  %s", batches[0].quote.Balance)
	for _, b := range batches {
		for _, w := range b.quote.Warnings {
			out.line("Warning  %s: %q (code %d): the service would not extend it", b.proxyType, w.Message, int(w.Code))
		}
	}
	return sum, nil
}

func countOf(batches []*batch) (n int) {
	for _, b := range batches {
		n += len(b.proxies)
	}
	return n
}

// total adds the prices up.
func total(batches []*batch) (youproxy.Money, error) {
	sum := batches[0].quote.Price
	for _, b := range batches[1:] {
		if _, err := sum.Cmp(b.quote.Price); err != nil {
			return youproxy.Money{}, err // the currencies differ
		}
		sum.Amount = sum.Amount.Add(b.quote.Price.Amount)
	}
	return sum, nil
}

// check tells why the extensions must not be bought: the service would not execute
// one, or the price is not what the caller meant to pay.
func (o *options) check(batches []*batch, sum youproxy.Money) error {
	for _, b := range batches {
		if len(b.quote.Warnings) > 0 {
			return fmt.Errorf("the service would not extend %s: %q", b.proxyType, b.quote.Warnings[0].Message)
		}
		if o.promo != "" && b.quote.PromoCodeStatus != youproxy.PromoCodeValid {
			return fmt.Errorf("the promo code is not valid for %s, so the full price would be charged", b.proxyType)
		}
	}
	if o.buy {
		if err := atMost(sum, o.maxPrice, "limit"); err != nil {
			return err
		}
	}
	return atMost(sum, batches[0].quote.Balance, "balance")
}

func atMost(price, most youproxy.Money, name string) error {
	compared, err := price.Cmp(most)
	if err != nil {
		return err // the currencies differ
	}
	if compared > 0 {
		return fmt.Errorf("the price of %s is above the %s of %s", price, name, most)
	}
	return nil
}

// extend extends one batch after the other, and tells what became of each. A
// refusal spends nothing, so the next one follows. After anything else that is not
// as it should be none does.
func extend(ctx context.Context, client *youproxy.Client, batches []*batch, o *options, out, problems printer) int {
	code := 0
	for i, b := range batches {
		done, err := client.Extend(ctx, b.request(o)) // sends nothing if Ctrl-C came before
		if err == nil {
			out.line("%-8s%d of %d extended by %d days, which leaves %s", b.proxyType, done.Quantity, len(b.proxies), o.days, done.Balance)
			err = b.compare(done, o)
		} else {
			out.line("%-8s%s", b.proxyType, afterExtension(err))
		}
		if err == nil {
			continue
		}
		code = 1
		problems.line("extend: %s: %v", b.proxyType, err)
		if youproxy.OutcomeOf(err) == youproxy.OutcomeRejected {
			continue
		}
		for _, rest := range batches[i+1:] {
			out.line("%-8snot tried, after the error before", rest.proxyType)
		}
		break
	}
	return code
}

// compare tells where an extension is not what was quoted.
func (b *batch) compare(done *youproxy.Extension, o *options) error {
	if done.Quantity != len(b.proxies) {
		return fmt.Errorf("extended were %d proxies in place of %d: look at the account", done.Quantity, len(b.proxies))
	}
	if o.promo != "" && done.PromoCodeStatus != youproxy.PromoCodeValid {
		return errors.New("it was extended, but the promo code was not taken this time: the full price was charged")
	}
	return nil
}

// afterExtension says what became of the money of an extension that failed.
func afterExtension(err error) string {
	switch youproxy.OutcomeOf(err) {
	case youproxy.OutcomeNotSent:
		return "not extended; it is safe to try again"
	case youproxy.OutcomeRejected:
		return "not extended: the service refused"
	default:
		return "may have been extended: look at when it ends before you try again"
	}
}
