// Export writes down the proxies of an account, in the form that another program
// takes.
//
//	go run ./examples/export
//
// writes those of a fake Youproxy in its own process, as URLs: no account is
// needed. With an API key in YOUPROXY_API_KEY it asks the real service. It spends
// nothing. On stdout is the list, with its passwords, and nothing else:
//
//	go run ./examples/export -layout csv -o proxies.csv
//	go run ./examples/export -type ISP -scheme socks5 -layout host:port:login:password | shuf
//	go run ./examples/export -template '{{.Host}} {{with .Credentials}}{{.Login}} {{.Password.Reveal}}{{end}}'
//
// For curl and for programs in Python, give -scheme socks5h in place of socks5, so that the
// proxy looks host names up, and not this machine.
//
// host:port and what is built on it do not tell the scheme: give one with -scheme
// where the account has proxies that speak only SOCKS5.
//
// -o writes to a file that only its owner may read. What stood there before is
// replaced once the whole list is on the disk, and stays if anything goes wrong. A
// link is followed. Without a key no file is replaced.
//
// A proxy that the layout or the scheme cannot carry is an error; -skip leaves it
// out. An account without proxies gives an empty list.
//
// It exits with 0 if all was written but for what -skip left out, 1 if not, or if
// -skip left nothing to write, and 2 if the flags are wrong. After a 1, what is on
// stdout is not the list.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"syscall"

	"github.com/youproxy-go/youproxy"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error like any other, with a file to remove
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse said why
	}
	e := &exporter{options: o, notes: printer{stderr}}
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		e.client, err = youproxy.NewFromEnv()
	} else {
		e.notes.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program.")
		e.madeUp = true
		fake := newFake()
		defer fake.Close()
		e.client, err = fake.Client()
	}
	if err == nil {
		defer e.client.CloseIdleConnections()
		err = e.export(ctx, stdout)
	}
	if err != nil {
		e.notes.line("export: %v", err)
		return 1
	}
	e.notes.line("%s", e)
	return 0
}

// exporter is a run of this program.
type exporter struct {
	*options

	client *youproxy.Client
	madeUp bool // the proxies are those of the fake
	notes  printer

	listed, leftOut int // proxies
}

// export writes the list to where the flags say.
func (e *exporter) export(ctx context.Context, stdout io.Writer) error {
	if e.file == "" {
		if err := e.write(ctx, stdout); err != nil {
			return fmt.Errorf("%w\nexport: the list is not complete", err)
		}
		return nil
	}
	out, err := openOutput(e.file, e.madeUp)
	if err == nil {
		err = out.finish(ctx, e.write(ctx, out))
	}
	if err != nil {
		return fmt.Errorf("%w\nexport: nothing was written to %s", err, e.file)
	}
	return nil
}

// write writes the list while it arrives.
func (e *exporter) write(ctx context.Context, w io.Writer) error {
	var opts []youproxy.WriteOption
	if e.skip {
		opts = append(opts, youproxy.SkipUnusable(func(_ youproxy.Proxy, err error) {
			e.leftOut++
			e.notes.line("export: left out: %v", err)
		}))
	}
	err := youproxy.WriteProxies(w, e.layout, e.proxies(ctx), opts...)
	if errors.Is(err, youproxy.ErrNotUsable) && !e.skip {
		err = fmt.Errorf("%w\nexport: -skip leaves out what cannot be written", err)
	}
	return err
}

// proxies yields the proxies to write, and counts them.
func (e *exporter) proxies(ctx context.Context) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for p, err := range e.client.Proxies(ctx, youproxy.ProxyQuery{ProxyType: e.proxyType}) {
			if !yield(p, err) || err != nil {
				return
			}
			e.listed++
		}
	}
}

// String sums up what was written.
func (e *exporter) String() string {
	text := fmt.Sprintf("Proxies: %d", e.listed-e.leftOut)
	if e.file != "" {
		text += ", in " + e.file
	}
	if e.skip {
		text += fmt.Sprintf("; left out: %d", e.leftOut)
	}
	return text
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
