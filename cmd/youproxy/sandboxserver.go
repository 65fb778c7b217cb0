package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// serving are the flags of sandbox.
type serving struct {
	addr       string
	duration   time.Duration // 0: until the run is interrupted
	faults     []fault
	powerShell bool
}

// serveSandbox serves the account of --sandbox over HTTP.
func (a *app) serveSandbox() *cobra.Command {
	var o serving
	var faults []string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a fake Youproxy on this machine, with proxies that work",
		Long: `sandbox serves the account of --sandbox over HTTP, so that this program in another shell,
curl, or a program of yours can use it. No key is needed and no money is spent. The proxies
of the account work, and forward from this machine. It prints the variables to set, and logs
the requests on stderr, until Ctrl-C.

The account and its journal are kept in the state folder. It begins with 100 USD and a few
proxies; the promo code TENTH takes 10 percent off. "youproxy sandbox reset" creates a new one.

--fault makes the next request of an operation fail. It can be repeated, each time for one
request: with "POST /order=DropAfterCommit" an order is executed, and its reply is lost. With
--sandbox the variable YOUPROXY_SANDBOX_FAULTS does the same, with commas between the faults.`,
		Example: `  youproxy sandbox
  youproxy sandbox --addr 127.0.0.1:0 --for 10m --fault 'POST /order=DropAfterCommit'
  curl "$YOUPROXY_BASE_URL/client/api/v1/$YOUPROXY_API_KEY/balance"
  YOUPROXY_SANDBOX_FAULTS='POST /order=CommitLate' youproxy --sandbox buy --country USA --goal tests --max-price '5 USD'`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.duration < 0 {
				return usageError{errors.New("--for must not be negative")}
			}
			if o.faults, err = readFaults(faults); err != nil {
				return usageError{fmt.Errorf("--fault %w", err)}
			}
			return a.serve(cmd.Context(), &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8081", "`address` to listen on; port 0 takes a free one")
	flags.DurationVar(&o.duration, "for", 0, "how long to serve, such as 10m (default until Ctrl-C)")
	flags.StringArrayVar(&faults, "fault", nil, "`operation=fault` of a request to come; repeatable")
	flags.BoolVar(&o.powerShell, "powershell", false, "print the variables for PowerShell")
	cmd.AddCommand(a.resetSandbox())
	return cmd
}

// resetSandbox creates a new account.
func (a *app) resetSandbox() *cobra.Command {
	var balance string
	var empty bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Create a new account for --sandbox",
		Long: `reset creates a new account for --sandbox and "youproxy sandbox", with a new journal. What was
bought there is gone. The old journal stays beside the new one, with the time in its name. A
journal that --journal names is not changed.`,
		Example: "  youproxy sandbox reset\n  youproxy sandbox reset --balance '5 USD' --empty",
		Args:    usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			money, err := youproxy.ParseMoney(balance)
			if err != nil {
				return usageError{fmt.Errorf("--balance: %w", err)}
			}
			folder, err := a.lockSandbox()
			if err != nil {
				return err
			}
			journal := filepath.Join(folder, "journal.jsonl")
			aside := filepath.Join(folder, time.Now().Format("journal-20060102T150405.000.jsonl"))
			if err := os.Rename(journal, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the journal of the sandbox cannot be set aside: %w", err)
			}
			return makeAccount(accountIn(folder), money, empty)
		},
	}
	cmd.Flags().StringVar(&balance, "balance", "100 USD", "`money` that the account holds")
	cmd.Flags().BoolVar(&empty, "empty", false, "begin without proxies")
	return cmd
}

// serve serves the account until the context or its time is over.
func (a *app) serve(ctx context.Context, o *serving) error {
	a.proxiesWork = true
	if err := a.openSandbox(o.faults); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("the sandbox cannot be served: %w: use another --addr, such as 127.0.0.1:0", err)
	}
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = listener.Close()
		return usageError{errors.New("--addr must be an address of this machine alone, such as 127.0.0.1:8081")}
	}
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	requests := log.New(a.err, "", 0)
	server := &http.Server{
		Handler:           &logged{a.fake, a.fake.APIKey(), requests},
		ErrorLog:          log.New(io.Discard, "", 0), // of connections that end early, as the faults have it
		ReadHeaderTimeout: 10 * time.Second,
	}
	broken := make(chan error, 1)
	go func() { broken <- server.Serve(listener) }()

	requests.Printf("a fake Youproxy with %d proxies is serving; no money is spent; Ctrl-C stops it", len(a.fake.IPAddresses()))
	err = a.showVariables(o, "http://"+listener.Addr().String())
	if err == nil {
		select {
		case err = <-broken:
		case <-ctx.Done():
		}
	}
	_ = server.Close() // also of connections that a fault holds
	a.fake.Close()     // which waits for the end of their requests
	requests.Printf("stopped after %d requests; orders: %d, balance: %s", len(a.fake.Requests()), len(a.fake.Orders()), a.fake.Balance())
	return err
}

// showVariables prints the variables with which a program finds the sandbox.
func (a *app) showVariables(o *serving, baseURL string) error {
	folder, err := a.stateFolder()
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", "VALUE"}}
	t.add("YOUPROXY_BASE_URL", baseURL)
	t.add("YOUPROXY_API_KEY", a.fake.APIKey())
	t.add("YOUPROXY_JOURNAL", filepath.Join(folder, "sandbox", "journal.jsonl"))
	if a.output != "" {
		values := make(map[string]string)
		for _, row := range t.rows {
			values[row[0]] = row[1]
		}
		return a.show(t, values)
	}
	for _, row := range t.rows {
		line := "export " + row[0] + "='" + strings.ReplaceAll(row[1], "'", `'\''`) + "'"
		if o.powerShell {
			line = "$env:" + row[0] + " = '" + strings.ReplaceAll(row[1], "'", "''") + "'"
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}

// logged logs each request, without the key.
type logged struct {
	http.Handler

	key string
	out *log.Logger
}

func (l *logged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	noted := &notedStatus{ResponseWriter: w}
	defer func() { // also where a fault drops the connection, which is a panic
		l.out.Printf("%-4s %s  %s", r.Method, l.path(r.URL), noted)
	}()
	l.Handler.ServeHTTP(noted, r)
}

// path returns the path of a request below the key. Without the right key nothing of it is
// shown, because a key can be anywhere in it.
func (l *logged) path(u *url.URL) string {
	const api = "/client/api/v1/"
	below, inside := strings.CutPrefix(u.Path, api)
	key, path, _ := strings.Cut(below, "/")
	switch {
	case !inside:
		return "(not below " + api + ")"
	case key != l.key:
		return "(wrong key)"
	}
	return (&url.URL{Path: "/" + path}).EscapedPath()
}

// notedStatus remembers the status of a reply.
type notedStatus struct {
	http.ResponseWriter

	status int
}

func (n *notedStatus) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

func (n *notedStatus) String() string {
	if n.status == 0 {
		return "connection dropped"
	}
	return fmt.Sprint(n.status)
}
