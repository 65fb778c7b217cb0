// Command buy makes one purchase, once: run again after any crash and any error, with the
// same job, it does not buy twice, and prints the proxies that were bought.
//
//	go run ./examples/buy -job monday -max-price "10 USD"
//
// Without YOUPROXY_API_KEY it buys from a fake Youproxy inside this program, in whose way a
// reply gets lost, and runs the same job twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// buyProxies buys proxies for a job, and waits for them.
func buyProxies(ctx context.Context, job, path string, request youproxy.OrderRequest, limit youproxy.Money) ([]youproxy.Proxy, error) {
	journal, err := filejournal.Open(path)
	if err != nil {
		return nil, err
	}
	client, err := youproxy.NewFromEnv(youproxy.WithJournal(journal)) // YOUPROXY_API_KEY
	if err != nil {
		return nil, err
	}
	purchase, err := client.Buy(ctx, request, limit, youproxy.IdempotencyKey(job))
	if err != nil {
		return nil, err // to call it again with the same job does not buy twice
	}
	return client.WaitForProxies(ctx, purchase)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("buy", flag.ContinueOnError)
	job := flags.String("job", "", "the `name` of the purchase: with one name it is made once")
	maxPrice := flags.String("max-price", "", "the `price` it may have at most, such as \"10 USD\"")
	path := flags.String("journal", "purchases.jsonl", "the `file` that purchases are written down in")
	country := flags.String("country", "USA", "the country, an ISO 3166-1 alpha-3 `code`")
	quantity := flags.Int("quantity", 1, "how many proxies")
	days := flags.Int("days", 30, "the rent period in days")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Getenv("YOUPROXY_API_KEY") == "" {
		return tryOut(ctx, out)
	}
	if *job == "" || *maxPrice == "" {
		return errors.New("give -job and -max-price: real money is spent")
	}
	limit, err := youproxy.ParseMoney(*maxPrice)
	if err != nil {
		return err
	}
	request := youproxy.IPv4OrderRequest{
		Country: *country, Quantity: *quantity, RentPeriodDays: *days,
		Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}
	proxies, err := buyProxies(ctx, *job, *path, request, limit)
	if err != nil {
		return err
	}
	return youproxy.WriteProxies(out, youproxy.LayoutURL(youproxy.SchemeHTTP), slices.Values(proxies))
}

// tryOut runs one job twice against a fake service that loses the reply to the order.
func tryOut(ctx context.Context, out io.Writer) error {
	server := youproxytest.NewServer()
	defer server.Close()
	folder, err := os.MkdirTemp("", "buy")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	for name, value := range map[string]string{"YOUPROXY_API_KEY": server.APIKey(), "YOUPROXY_BASE_URL": server.URL()} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
		defer func() { _ = os.Unsetenv(name) }()
	}
	var text strings.Builder
	text.WriteString("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, and no money is spent.\n")
	server.Inject("POST /order", youproxytest.DropAfterCommit)
	request := youproxy.IPv4OrderRequest{Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin}
	for _, when := range []string{"The job runs, and the reply to the order is lost:", "The job runs again:"} {
		proxies, err := buyProxies(ctx, "monday", filepath.Join(folder, "purchases.jsonl"), request, youproxy.MustMoney("10 USD"))
		if err != nil {
			return err
		}
		text.WriteString("\n" + when + "\n")
		if err := youproxy.WriteProxies(&text, youproxy.LayoutURL(youproxy.SchemeHTTP), slices.Values(proxies)); err != nil {
			return err
		}
		fmt.Fprintf(&text, "%d order was placed, the balance is %s\n", len(server.Orders()), server.Balance())
	}
	_, err = io.WriteString(out, text.String())
	return err
}
