package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/youproxy-go/youproxy"
)

// quote shows what the order would cost, and asks whether to place it. It gives
// the most that may be paid.
func (b *buyer) quote(ctx context.Context, ask bool, stdin io.Reader) (limit youproxy.Money, err error) {
	quote, err := b.client.QuoteOrder(ctx, b.request())
	if err != nil {
		return limit, err
	}
	b.out.line("Request     %s", b.options)
	b.out.line("Price       %s, of at most %s", quote.Price, b.maxPrice)
	if quote.PromoCodeStatus != "" {
		b.out.line("Promo code  %s, discount %s %%", quote.PromoCodeStatus, quote.Discount)
	}
	b.out.line("Balance     %s", quote.Balance)
	for _, w := range quote.Warnings {
		b.out.line("Warning     %q (code %d): the service would not execute the order", w.Message, int(w.Code))
	}
	if !ask {
		return b.maxPrice, nil
	}
	// Buy refuses these as well. Nobody is to be asked about them.
	above, err := quote.Price.Cmp(b.maxPrice)
	switch {
	case err != nil:
		return limit, err
	case above > 0:
		return limit, fmt.Errorf("the price of %s is above the limit of %s", quote.Price, b.maxPrice)
	case len(quote.Warnings) > 0:
		return limit, fmt.Errorf("the service would not execute the order: %q", quote.Warnings[0].Message)
	}
	_, _ = fmt.Fprintf(b.problems.w, "Buy %s for %s? [y/N] ", b.options, quote.Price)
	if err := confirmed(ctx, stdin); err != nil {
		return limit, err
	}
	return quote.Price, nil // a yes to this price is none to a higher one
}

// confirmed reads an answer, and gives an error unless it is yes.
func confirmed(ctx context.Context, stdin io.Reader) error {
	answers := make(chan string, 1)
	go func() { // which ends with the program, if there is no answer
		answer, _ := bufio.NewReader(stdin).ReadString('\n')
		answers <- answer
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return ctx.Err()
		}
		return errors.New("the answer was not yes")
	}
}

// purchase buys, once. ctx stops it until the order leaves, and not after that:
// that would only hide what became of it.
func (b *buyer) purchase(ctx context.Context, limit youproxy.Money) (*youproxy.Purchase, error) {
	spending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	letGo := context.AfterFunc(ctx, cancel)
	defer letGo()
	recorded := ""
	client, err := b.client.With(youproxy.WithAttemptRecorder(func(_ context.Context, a youproxy.Attempt) error {
		if err := b.journal.record(a); err != nil {
			return err
		}
		recorded = a.ID
		if !letGo() {
			return ctx.Err() // nothing was sent yet
		}
		return nil
	}))
	if err != nil {
		return nil, err
	}
	told := make(chan struct{})
	notTold := context.AfterFunc(ctx, func() {
		defer close(told)
		b.problems.line("buy: stopping; if the order has left, first finding out what became of it (Ctrl-C again: ends at once)")
	})
	purchase, err := client.Buy(spending, b.request(), limit)
	if !notTold() {
		<-told
	}
	switch {
	case recorded == "":
	case purchase != nil:
		b.noteBought(purchase)
	case errors.Is(err, youproxy.ErrNotExecuted):
		b.warn(b.journal.close(recorded, youproxy.VerdictNotExecuted))
	case b.journal.path != "":
		err = fmt.Errorf("%w; the next run with the same journal does that first", err)
	}
	return purchase, err
}

// noteBought tells the journal. Where that fails, the order stays open in it, and
// the next run finds it in the account.
func (b *buyer) noteBought(p *youproxy.Purchase) { b.warn(b.journal.bought(p)) }

// warn tells of what does not stop this run.
func (b *buyer) warn(err error) {
	if err != nil {
		b.problems.line("buy: %v", err)
	}
}

// deliver waits for what was bought, and prints it.
func (b *buyer) deliver(ctx context.Context, p *youproxy.Purchase) error {
	b.out.line("Bought      %s", described(p))
	waiting, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	proxies, err := b.client.WaitForProxies(waiting, p)
	if err != nil {
		err = fmt.Errorf("%w; the order was bought all the same", err)
		if b.journal.path != "" {
			err = fmt.Errorf("%w, and the next run with the same journal waits on", err)
		}
		return err
	}
	b.out.line("Proxies     %d, ready to use over %s:", len(proxies), protocolOf(&proxies[0]))
	for _, p := range proxies {
		line, err := p.Format(youproxy.LayoutURL(youproxy.SchemeAny))
		if err != nil {
			b.problems.line("buy: %v: %s", err, p)
			continue
		}
		b.out.line("%s", line)
	}
	b.warn(b.journal.close(p.Attempt.ID, youproxy.VerdictExecuted))
	return nil
}

// described tells what is known of a purchase.
func described(p *youproxy.Purchase) string {
	text := string(p.OrderID)
	if p.Order != nil {
		text = string(p.Order.Number)
	}
	if p.Charged != nil {
		text += " for " + p.Charged.String()
	}
	if p.Recovered {
		text += "; its answer was lost, and the account shows it"
	}
	return text
}

func protocolOf(p *youproxy.Proxy) string {
	if p.HTTPPort == 0 {
		return "SOCKS5"
	}
	return "HTTP"
}
