// Buy buys proxies for no more than a limit, once, and prints them ready to use.
//
//	go run ./examples/buy
//
// does it with a fake Youproxy in its own process: no account is needed and no
// money is spent. With an API key in YOUPROXY_API_KEY it buys of the real service,
// for no more than -max-price, once it was told yes:
//
//	go run ./examples/buy -type ISP -country DEU -max-price "3.50 USD" -journal buy.jsonl
//
// Without a key, YOUPROXY_BASE_URL may name an examples/sandbox on this machine.
//
// The last lines on stdout are the proxies, as login:password@host:port, escaped
// as in a URL, or host:port where they are authorised by IP. To print the
// passwords is what this program is for; it shows them nowhere else.
//
// # The journal
//
// With -journal each order is written down before it is sent, and what became of
// it as soon as that is known. The program may end at any moment: when it is run
// again with the same journal, it first finds out what became of an order that
// was left open. If it was executed, its proxies are printed and nothing is bought.
// If it was not, the program goes on to buy. If the account does not show it, the
// program stops. So one may run it again until it succeeds, and buys once.
//
// A journal is for one account, and for one process at a time. There is no lock,
// as a crash would leave it behind; a journal that another process has written
// into meanwhile stops the purchase, but two that write at the very same moment
// are not noticed.
//
// Ctrl-C stops a purchase until the order leaves. After that it only would hide
// what became of it, so the program finds that out first; a second Ctrl-C ends it
// at once, and the journal has the order.
//
// # Faults
//
// With -fault it shows what goes wrong at times:
//
//	drop-after-commit   the order is executed and its reply lost (built-in fake only)
//	drop-before-commit  the order is lost (built-in fake only)
//	crash-after-send    this program ends as soon as the order was answered
//	                    (built-in fake, or anything on this machine)
//
// It exits with 0 if proxies were bought, now or by an earlier run, and printed;
// 1 after an error, or if the answer was no; 2 if the flags are wrong; and 3 for
// crash-after-send.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/youproxy-go/youproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C is not held back
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	from := serviceFromEnv()
	o, err := parse(args, from, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse said why
	}
	b := &buyer{options: o, out: printer{stdout}, problems: printer{stderr}}
	client, closeClient, err := from.connect(o)
	if err != nil {
		return b.fail(err)
	}
	defer closeClient()
	b.client = client
	if from.key == "" {
		b.out.line("YOUPROXY_API_KEY is not set: this is %s, and no money is spent.", from)
		b.out.line("")
	}
	if b.journal, err = openJournal(o.journal, from.name()); err != nil {
		return b.fail(err)
	}
	if b.journal.torn > 0 {
		b.problems.line("buy: the last line of %s was not written to its end: it is left out, as its order was never sent", o.journal)
	}

	made, err := b.settleEarlier(ctx)
	switch {
	case err != nil:
		return b.fail(err)
	case made:
		return 0
	}
	limit, err := b.quote(ctx, from.asks() && !o.yes, stdin)
	if err != nil {
		return b.fail(fmt.Errorf("%w; nothing was bought", err))
	}
	purchase, err := b.purchase(ctx, limit)
	if purchase == nil {
		return b.fail(err)
	}
	b.warn(err) // it has cost more than the limit
	if err := b.deliver(ctx, purchase); err != nil {
		return b.fail(err)
	}
	return 0
}

// buyer is a run of this program.
type buyer struct {
	*options

	client        *youproxy.Client
	journal       *journal
	out, problems printer
}

// fail tells of an error. Those of the SDK say what became of the money.
func (b *buyer) fail(err error) int {
	b.problems.line("buy: %v", err)
	return 1
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
