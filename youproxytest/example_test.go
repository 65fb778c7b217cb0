package youproxytest_test

import (
	"context"
	"fmt"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func Example() {
	server := youproxytest.NewServer(
		youproxytest.WithBalance(youproxy.MustMoney("25 USD")),
		youproxytest.WithPromoCode("WELCOME", 10),
	)
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	order, err := client.CreateOrder(context.Background(), youproxy.IPv4OrderRequest{
		Country: "DEU", Quantity: 5, RentPeriodDays: 30, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeLogin, PromoCode: "WELCOME",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(order.Number, "leaves", order.Balance)
	fmt.Println("it cost", server.Orders()[0].Price)
	// Output:
	// NUMBER-112233 leaves 19.1 USD
	// it cost 5.9 USD
}

func ExampleServer_Inject() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	server.Inject("POST /order", youproxytest.DropAfterCommit)
	_, err = client.CreateOrder(context.Background(), youproxy.ISPOrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	})
	fmt.Println("outcome:", youproxy.OutcomeOf(err))
	fmt.Println("orders executed:", len(server.Orders()))
	// Output:
	// outcome: unknown
	// orders executed: 1
}
