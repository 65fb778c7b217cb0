// Buy makes one purchase, once: if it is run again with the same job after a crash or an
// error, it does not buy twice.
//
//	go run ./examples/buy
//
// It buys from a fake Youproxy in its own process, which loses the reply to the order.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// buyProxies buys proxies for a job, and waits for them. With an account, the client is
// that of youproxy.NewFromEnv, which reads YOUPROXY_API_KEY.
func buyProxies(ctx context.Context, server *youproxytest.Server, journalFile, job string) ([]youproxy.Proxy, error) {
	journal, err := filejournal.Open(journalFile)
	if err != nil {
		return nil, err
	}
	client, err := server.Client(youproxy.WithJournal(journal))
	if err != nil {
		return nil, err
	}
	request := youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30,
		Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}
	purchase, err := client.Buy(ctx, request, youproxy.MustMoney("10 USD"), youproxy.IdempotencyKey(job))
	if err != nil {
		return nil, err // calling it again with the same job does not buy twice
	}
	return client.WaitForProxies(ctx, purchase)
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	server := youproxytest.NewServer()
	defer server.Close()
	folder, err := os.MkdirTemp("", "buy")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()

	fmt.Println("This is a fake Youproxy inside this program, and no money is spent.")
	server.Inject("POST /order", youproxytest.DropAfterCommit)
	for _, when := range []string{"The job runs, and the reply to the order is lost:", "The job runs again:"} {
		proxies, err := buyProxies(context.Background(), server, filepath.Join(folder, "purchases.jsonl"), "monday")
		if err != nil {
			return err
		}
		fmt.Println("\n" + when)
		if err := youproxy.WriteProxies(os.Stdout, youproxy.LayoutHostPort(youproxy.SchemeHTTP), slices.Values(proxies)); err != nil {
			return err
		}
		fmt.Printf("%d order was placed, the balance is %s\n", len(server.Orders()), server.Balance())
	}
	return nil
}
