package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// agree shows the price, and asks for a yes if that can be the answer. It returns an error
// if it cannot be, or is not.
func (d *deal) agree(ctx context.Context) error {
	quote, err := d.quote(ctx)
	if err != nil {
		return err
	}
	if quote.Balance.IsZero() {
		if quote.Balance, err = d.client.Balance(ctx); err != nil {
			return err
		}
	}
	d.show(quote)
	largest, err := d.largest(ctx, quote)
	if err != nil {
		return err
	}
	if err := d.check(quote, largest); err != nil {
		return err
	}
	if d.flags.yes {
		return nil
	}
	if !d.a.confirm(ctx, fmt.Sprintf("Spend up to %s?", d.flags.maxPrice.Money)) {
		if ctx.Err() != nil {
			return errors.New("interrupted: nothing was spent")
		}
		return errors.New("the answer was not yes: nothing was spent")
	}
	return nil
}

// show shows a quote to the person who is asked.
func (d *deal) show(q *youproxy.Quote) {
	rows := [][]string{{"", plain(d.what)}, {"Price", q.Price.String()}}
	if q.PromoCodeStatus != "" {
		rows = append(rows, []string{"Promo code", fmt.Sprintf("%s, discount %s %%", plain(string(q.PromoCodeStatus)), q.Discount)})
	}
	rows = append(rows, []string{"Balance", q.Balance.String()}, []string{"Limit", d.flags.maxPrice.Money.String()})
	for _, row := range rows {
		d.a.note("%-12s%s", row[0], row[1])
	}
}

// largest returns the larger interpretation of the price: if one proxy alone costs as much
// as all, it may be the price of each.
func (d *deal) largest(ctx context.Context, q *youproxy.Quote) (youproxy.Money, error) {
	if d.ofOne == nil || q.Price.Amount.IsZero() {
		return q.Price, nil
	}
	one, err := d.ofOne(ctx)
	var refused *youproxy.APIError
	switch {
	case errors.As(err, &refused) && refused.Code.Known() && refused.Code != youproxy.ErrServiceFault:
		return q.Price, nil // one alone is not sold
	case err != nil:
		return q.Price, err
	}
	if order, err := q.Price.Cmp(one.Price); err != nil || order > 0 || len(one.Warnings) > 0 {
		return q.Price, nil
	}
	each := q.Price
	each.Amount = each.Amount.Mul(decimal.NewFromInt(int64(d.quantity)))
	d.a.note("One alone costs as much, so this may be the price of each: %s for all.", each)
	return each, nil
}

// check returns why the answer cannot be yes, or nil.
func (d *deal) check(q *youproxy.Quote, largest youproxy.Money) error {
	limit := d.flags.maxPrice.Money
	if err := checkTerms(q, d.promo); err != nil {
		return err
	}
	above, err := largest.Cmp(limit)
	switch {
	case err != nil:
		return fmt.Errorf("the price is %s, and --max-price %s: nothing was spent: %w", largest, limit, err)
	case above > 0:
		return fmt.Errorf("%w: %s is more than --max-price %s; nothing was spent", youproxy.ErrPriceAboveLimit, largest, limit)
	}
	if below, err := q.Balance.Cmp(largest); err != nil || below < 0 {
		return fmt.Errorf("%w: the balance is %s, and the price %s; nothing was spent", youproxy.ErrInsufficientFunds, q.Balance, largest)
	}
	return nil
}

// checkTerms returns why the service would not execute what it quoted, or not with the
// promo code.
func checkTerms(q *youproxy.Quote, promo bool) error {
	if len(q.Warnings) > 0 {
		causes := []error{youproxy.ErrQuoteWarning}
		var warnings []string
		for _, w := range q.Warnings {
			causes = append(causes, w.Code)
			warnings = append(warnings, fmt.Sprintf("%s (code %d)", plain(w.Message), int(w.Code)))
		}
		return &refusal{"the service would not execute it: " + strings.Join(warnings, ", ") + "; nothing was spent", causes}
	}
	if promo && q.PromoCodeStatus != youproxy.PromoCodeValid {
		return fmt.Errorf("%w: the full price of %s would be charged; nothing was spent", youproxy.ErrPromoCodeNotValid, q.Price)
	}
	return nil
}

// refusal is an error with a message of its own.
type refusal struct {
	text   string
	causes []error
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Unwrap() []error { return r.causes }
