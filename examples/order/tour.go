package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/youproxy-go/youproxy"
)

// tour shows what ordering looks like, and what it looks like when it goes
// wrong. It gives an error only where something went wrong that was not meant to.
func tour(ctx context.Context, client *youproxy.Client, out printer) error {
	for _, stop := range []func(context.Context, *youproxy.Client, printer) error{
		fourTypes, refusedOrder, wrongPromoCode, brokenRules,
	} {
		out.line("")
		if err := stop(ctx, client, out); err != nil {
			return err
		}
	}
	return nil
}

func fourTypes(ctx context.Context, client *youproxy.Client, out printer) error {
	out.line("One proxy of each type, quoted and then ordered:")
	out.line("")
	out.line("  %-8s%-12s%-18s%s", "Type", "Price", "Order", "Balance after")
	for _, request := range []youproxy.OrderRequest{
		youproxy.IPv4OrderRequest{
			Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring",
			AuthType: youproxy.AuthTypeLogin,
		},
		youproxy.IPv6OrderRequest{
			Country: "DEU", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring",
			AuthType: youproxy.AuthTypeLogin, Protocol: youproxy.ProtocolSOCKS,
		},
		youproxy.MobileOrderRequest{
			Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "app testing",
			AuthType: youproxy.AuthTypeLogin, MobileOperator: "verizon", RotationTime: 300,
		},
		youproxy.ISPOrderRequest{
			Country: "GBR", Quantity: 1, RentPeriodDays: 30, Goal: "ad verification",
			AuthType: youproxy.AuthTypeLogin,
		},
	} {
		quote, err := client.QuoteOrder(ctx, request)
		if err != nil {
			return err
		}
		order, err := client.CreateOrder(ctx, request)
		if err != nil {
			return err
		}
		out.line("  %-8s%-12s%-18s%s", order.ProxyType, quote.Price, order.Number, order.Balance)
	}
	return nil
}

func refusedOrder(ctx context.Context, client *youproxy.Client, out printer) error {
	request := youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "sending spam",
		AuthType: youproxy.AuthTypeLogin,
	}
	out.line("A goal the service does not accept: the quote warns, the order is refused.")
	out.line("")
	quote, err := client.QuoteOrder(ctx, request)
	if err != nil {
		return err
	}
	for _, w := range quote.Warnings {
		out.line("  Warning   %s (code %d)", w.Message, int(w.Code))
	}
	_, err = client.CreateOrder(ctx, request)
	if !errors.Is(err, youproxy.ErrIncorrectGoal) {
		return unexpected("a refusal of the goal", err)
	}
	out.line("  Error     %v", err)
	out.line("  Outcome   %v", youproxy.OutcomeOf(err))
	return nil
}

func wrongPromoCode(ctx context.Context, client *youproxy.Client, out printer) error {
	request := youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeLogin, PromoCode: "NO-SUCH-CODE",
	}
	out.line("A promo code that is not valid is no error: the order goes through at the full price.")
	out.line("Look at the quote's PromoCodeStatus before you order.")
	out.line("")
	quote, err := client.QuoteOrder(ctx, request)
	if err != nil {
		return err
	}
	order, err := client.CreateOrder(ctx, request)
	if err != nil {
		return err
	}
	out.line("  Quote     %s, PromoCodeStatus %s", quote.Price, quote.PromoCodeStatus)
	out.line("  Order     %s, which leaves %s", order.Number, order.Balance)
	return nil
}

func brokenRules(ctx context.Context, client *youproxy.Client, out printer) error {
	request := youproxy.MobileOrderRequest{Country: "usa", AuthType: youproxy.AuthTypeIP}
	out.line("A request that cannot be right is never sent, and every broken rule is named:")
	out.line("")
	_, err := client.CreateOrder(ctx, request)
	var invalid *youproxy.ValidationError
	if !errors.As(err, &invalid) {
		return unexpected("a validation error", err)
	}
	for _, f := range invalid.Fields {
		out.line("  %-16s%s", f.Field, f.Message)
	}
	return nil
}

// unexpected reports a demonstration that went otherwise than it should.
func unexpected(wanted string, got error) error {
	if got == nil {
		return fmt.Errorf("there was no error where %s was expected", wanted)
	}
	return got
}
