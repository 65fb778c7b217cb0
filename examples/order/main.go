// Order quotes and orders proxies, and shows what can go wrong:
//
//	go run ./examples/order
//
// It orders from a fake Youproxy in its own process. With an API key in YOUPROXY_API_KEY it
// asks the real service what an order would cost, and spends nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var ipv4 = youproxy.IPv4OrderRequest{Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin}

func main() {
	ctx := context.Background()
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		quote := must(must(youproxy.NewFromEnv()).QuoteOrder(ctx, ipv4))
		fmt.Printf("An IPv4 proxy of the USA costs %s for 30 days; the balance is %s\n", quote.Price, quote.Balance)
		return
	}
	fmt.Println("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, and no money is spent.")
	server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("25 USD")))
	defer server.Close()
	client := must(server.Client())

	fmt.Print("\nOne proxy of each type, quoted and then ordered:\n\n")
	fmt.Printf("  %-8s%-12s%-18s%s\n", "Type", "Price", "Order", "Balance after")
	for _, request := range []youproxy.OrderRequest{
		ipv4,
		youproxy.IPv6OrderRequest{Country: "DEU", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin, Protocol: youproxy.ProtocolSOCKS},
		youproxy.MobileOrderRequest{Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "app testing", AuthType: youproxy.AuthTypeLogin, MobileOperator: "verizon", RotationTime: 300},
		youproxy.ISPOrderRequest{Country: "GBR", Quantity: 1, RentPeriodDays: 30, Goal: "ad verification", AuthType: youproxy.AuthTypeLogin},
	} {
		quote, order := must(client.QuoteOrder(ctx, request)), must(client.CreateOrder(ctx, request))
		fmt.Printf("  %-8s%-12s%-18s%s\n", order.ProxyType, quote.Price, order.Number, order.Balance)
	}

	fmt.Print("\nA goal the service does not accept: the quote warns, the order is refused.\n\n")
	refused := ipv4
	refused.Goal = "sending spam"
	for _, w := range must(client.QuoteOrder(ctx, refused)).Warnings {
		fmt.Printf("  Warning   %s (code %d)\n", w.Message, int(w.Code))
	}
	_, err := client.CreateOrder(ctx, refused) // errors.Is(err, youproxy.ErrIncorrectGoal)
	fmt.Printf("  Error     %v\n  Outcome   %v\n", err, youproxy.OutcomeOf(err))

	fmt.Print("\nA promo code that is not valid is no error: the order goes through at the full price.\n")
	fmt.Print("Look at the quote's PromoCodeStatus before you order.\n\n")
	promo := ipv4
	promo.PromoCode = "NO-SUCH-CODE"
	quote, order := must(client.QuoteOrder(ctx, promo)), must(client.CreateOrder(ctx, promo))
	fmt.Printf("  Quote     %s, PromoCodeStatus %s\n", quote.Price, quote.PromoCodeStatus)
	fmt.Printf("  Order     %s, which leaves %s\n", order.Number, order.Balance)

	fmt.Print("\nA request that cannot be right is never sent, and every broken rule is named:\n\n")
	_, err = client.CreateOrder(ctx, youproxy.MobileOrderRequest{Country: "usa", AuthType: youproxy.AuthTypeIP})
	if invalid, ok := errors.AsType[*youproxy.ValidationError](err); ok {
		for _, f := range invalid.Fields {
			fmt.Printf("  %-16s%s\n", f.Field, f.Message)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
