// Mocking shows how to test a program that buys: restock_test.go tests its Restocker in
// three ways. Run against the fake service, the Restocker loses the reply to an
// order, and buys once.
//
//	go run ./examples/mocking
//	go test ./examples/mocking
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// Buyer is all that a Restocker needs of a *youproxy.Client. A small interface like
// this is easy to stub.
type Buyer interface {
	Buy(ctx context.Context, req youproxy.OrderRequest, limit youproxy.Money, opts ...youproxy.SpendOption) (*youproxy.Purchase, error)
}

// Restocker keeps IPv4 proxies in stock.
type Restocker struct {
	Buyer  Buyer
	Target int            // proxies to keep
	Limit  youproxy.Money // for one order
}

// Restock buys what is missing if there are only stock proxies, and returns what to do
// next.
func (r *Restocker) Restock(ctx context.Context, stock int) (next string, err error) {
	if stock >= r.Target {
		return "nothing", nil
	}
	_, err = r.Buyer.Buy(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: r.Target - stock, RentPeriodDays: 30,
		Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}, r.Limit)
	switch {
	case err == nil:
		return "use them", nil
	case errors.Is(err, youproxy.ErrUndetermined), errors.Is(err, youproxy.ErrInsufficientFunds):
		return "ask a human", err
	}
	return "try later", err // nothing was spent
}

func main() {
	server := youproxytest.NewServer()
	defer server.Close()
	client := must(server.Client()) // with an account: youproxy.NewFromEnv()
	restocker := &Restocker{Buyer: client, Target: 5, Limit: youproxy.MustMoney("10 USD")}
	server.Inject("POST /order", youproxytest.DropAfterCommit) // the order is placed, and the reply lost
	fmt.Println("3 of 5 in stock:", must(restocker.Restock(context.Background(), 3)))
	fmt.Println("5 of 5 in stock:", must(restocker.Restock(context.Background(), 5)))
	fmt.Printf("Orders: %d, balance: %s\n", len(server.Orders()), server.Balance())
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
