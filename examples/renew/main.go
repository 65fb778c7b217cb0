// Renew is a nightly job: it renews for 30 days what ends within three days, and pays for
// nothing twice, whatever fails.
//
//	go run ./examples/renew
//
// It runs against a fake Youproxy in its own process, which loses the reply to an extension.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// renew renews for no more than a limit.
func renew(ctx context.Context, client *youproxy.Client, limit youproxy.Money) error {
	found, failed := client.Recover(ctx) // what the last night left open would stand in the way
	for _, r := range found {
		if r.Verdict == youproxy.VerdictUndetermined { // a later run or a person has to settle it
			failed = errors.Join(failed, fmt.Errorf("not settled: %s; %s", r.Attempt, &r.Evidence))
		}
	}
	plan, err := client.PlanRenewals(ctx, youproxy.RenewalPolicy{EndsWithin: 3 * 24 * time.Hour, RentPeriodDays: 30, Limit: limit})
	if err != nil {
		return errors.Join(failed, err)
	}
	fmt.Printf("%s\n", plan)
	for renewal, err := range client.RenewAll(ctx, plan) {
		switch {
		case err == nil:
			fmt.Printf("renewed %d x %s for %s\n", renewal.Attempt.Quantity, renewal.Attempt.ProxyType, renewal.Attempt.Price)
		case errors.Is(err, youproxy.ErrNothingToRenew): // mostly, another process renewed it since the plan
			fmt.Println(err)
		default:
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	fmt.Print("This is a fake Youproxy inside this program, and no money is spent.\n\n")
	today := time.Date(2026, time.March, 1, 2, 0, 0, 0, time.UTC)
	server := youproxytest.NewServer(youproxytest.WithClockSkew(time.Until(today)))
	defer server.Close()
	for days, proxyType := range []youproxy.ProxyType{"MOBILE", "IPv4", "IPv6", "ISP", "IPv4"} {
		server.AddOrder(youproxytest.Order{ProxyType: proxyType, Country: "USA", Quantity: 1 + days, CreatedAt: today.AddDate(0, 0, days-29)})
	}
	server.Inject("POST /extend/order", youproxytest.DropAfterCommit)

	// With an account it is youproxy.NewFromEnv, which reads YOUPROXY_API_KEY, with a journal
	// of package filejournal, so that the next night knows of this one.
	client, err := server.Client(youproxy.WithBudget(youproxy.MustMoney("30 USD"), 24*time.Hour))
	if err != nil {
		return err
	}
	return renew(context.Background(), client, youproxy.MustMoney("20.7 USD"))
}
