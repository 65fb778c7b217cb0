// Command renew is a nightly job: it renews for 30 days what ends within three days, and pays
// nothing twice, whatever fails. Without YOUPROXY_API_KEY it runs against a fake Youproxy.
//
//	go run ./examples/renew -max-price "20 USD" -max-day "30 USD"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("renew", flag.ContinueOnError)
	var perRun, perDay youproxy.Money
	flags.TextVar(&perRun, "max-price", youproxy.Money{}, "the `price` of all that one run renews, at most")
	flags.TextVar(&perDay, "max-day", youproxy.Money{}, "the `price` of all that is spent in 24 hours, at most")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Getenv("YOUPROXY_API_KEY") == "" {
		return tryOut(ctx, log.New(out, "", 0))
	}
	journal, err := filejournal.Open("purchases.jsonl")
	if err != nil {
		return err
	}
	client, err := youproxy.NewFromEnv(youproxy.WithJournal(journal), youproxy.WithBudget(perDay, 24*time.Hour))
	if err != nil {
		return err
	}
	return renew(ctx, client, perRun, log.New(out, "", 0))
}

func renew(ctx context.Context, client *youproxy.Client, limit youproxy.Money, out *log.Logger) error {
	_, failed := client.Recover(ctx) // what the last night left open would stand in the way
	plan, err := client.PlanRenewals(ctx, youproxy.RenewalPolicy{EndsWithin: 3 * 24 * time.Hour, RentPeriodDays: 30, Limit: limit})
	if err != nil {
		return errors.Join(failed, err)
	}
	out.Printf("\n%s\n", plan)
	for renewal, err := range client.RenewAll(ctx, plan) {
		if failed = errors.Join(failed, err); err == nil {
			out.Printf("renewed %d x %s for %s", renewal.Attempt.Quantity, renewal.Attempt.ProxyType, renewal.Attempt.Price)
		}
	}
	return failed
}

func tryOut(ctx context.Context, out *log.Logger) error {
	out.Print("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, and no money is spent.")
	today := time.Date(2026, time.March, 1, 2, 0, 0, 0, time.UTC)
	server := youproxytest.NewServer(youproxytest.WithClockSkew(time.Until(today)))
	defer server.Close()
	for days, proxyType := range []youproxy.ProxyType{"MOBILE", "IPv4", "IPv6", "ISP", "IPv4"} {
		server.AddOrder(youproxytest.Order{ProxyType: proxyType, Country: "USA", Quantity: 1 + days, CreatedAt: today.AddDate(0, 0, days-29)})
	}
	server.Inject("POST /extend/order", youproxytest.DropAfterCommit) // the reply is lost
	client, err := server.Client(youproxy.WithBudget(youproxy.MustMoney("30 USD"), 24*time.Hour))
	if err != nil {
		return err
	}
	return renew(ctx, client, youproxy.MustMoney("20.7 USD"), out)
}
