// Mocking shows how to test a program that uses the package. Its Restocker is
// tested in the three ways there are; take the one that fits:
//
//   - stub_test.go stubs an interface of the program's own: quickest to write,
//     for the program's decisions;
//   - httpmock_test.go stubs HTTP, as programs that use httpmock do already: for
//     exact replies;
//   - youproxytest_test.go runs against the fake service: for what depends on
//     the account's state, and on connections that break.
//
// This program runs the Restocker against the fake.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mocking:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	fake := youproxytest.NewServer()
	defer fake.Close()
	client, err := fake.Client()
	if err != nil {
		return err
	}

	restocker := &Restocker{Ordering: client, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("10 USD")}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	restock := func(stock int) {
		decision, order, err := restocker.Restock(ctx, stock)
		say("%d of %d in stock: %s\n", stock, restocker.Target, decision)
		if order != nil {
			say("  ordered as %s\n", order.Number)
		}
		if err != nil {
			say("  %v\n", err)
		}
	}

	restock(5)
	restock(3)

	fake.Inject("POST /order", youproxytest.DropAfterCommit) // it is ordered, but nobody hears of it
	restock(4)

	restocker.MaxPrice = youproxy.MustMoney("0.01 USD")
	restock(4)

	restocker.Country = "usa"
	restock(4)
	return nil
}
