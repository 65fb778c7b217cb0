// Command youproxy buys, renews, lists and uses the proxies of a Youproxy account from a
// shell:
//
//	youproxy --sandbox list
//
// It is unofficial. Run "youproxy help" for its commands. With --sandbox no key is needed
// and no money is spent: a fake Youproxy inside the program keeps an account in a file.
//
// # Exit codes
//
//	0  done
//	1  failed, and nothing was spent
//	2  wrong usage; nothing was sent
//	3  money may have been spent: the message says what to run next
//
// If a signal kills the program, money may have been spent as well: run the same command
// again; it buys nothing twice.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ignoreClosedPipe()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		asks: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		tty:  term.IsTerminal(int(os.Stdout.Fd())),
		live: term.IsTerminal(int(os.Stderr.Fd())),
	}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
