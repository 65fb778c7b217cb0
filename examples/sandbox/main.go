// Sandbox serves a fake Youproxy, for people who work in other languages or with
// curl.
//
//	go run ./examples/sandbox
//
// prints the base URL, the API key and requests to try, then a line for each
// request, until Ctrl-C. No account is needed and no money is spent. A delay and
// faults show how a program takes what the real service may do to it:
//
//	go run ./examples/sandbox -balance "5 USD" -delay 30s
//	go run ./examples/sandbox -fault "POST /order=DropAfterCommit" -fault "GET /ipAddress=BadGateway"
//
// It exits with 0 when it was stopped or the time of -for is over, 1 after an
// error, and 2 if the flags are wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
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
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	if err := serve(ctx, o, log.New(stdout, "", 0), log.New(stderr, "sandbox: ", 0)); err != nil {
		printer{stderr}.line("sandbox: %v", err)
		return 1
	}
	return 0
}

// serve serves until ctx is over. Requests are logged from many goroutines, which
// is what a log.Logger is for.
func serve(ctx context.Context, o *options, out, problems *log.Logger) error {
	fake := o.newFake()
	defer fake.Close()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: &logged{fake, o.key, out}, ErrorLog: problems, ReadHeaderTimeout: 10 * time.Second}
	broken := make(chan error, 1)
	go func() { broken <- server.Serve(listener) }()

	out.Print(o.welcome(baseURL(listener.Addr()), fake.IPAddresses()))
	select {
	case err = <-broken:
	case <-ctx.Done():
	}
	_ = server.Close() // also of connections that a fault holds
	fake.Close()       // which waits for the end of their requests
	out.Printf("Stopped after %d requests; orders: %d, balance: %s", len(fake.Requests()), len(fake.Orders()), fake.Balance())
	return err
}

// baseURL is where the listener is reached from this machine.
func baseURL(addr net.Addr) string {
	at := addr.String()
	if parsed, err := netip.ParseAddrPort(at); err == nil && parsed.Addr().IsUnspecified() {
		at = fmt.Sprintf("127.0.0.1:%d", parsed.Port())
	}
	return "http://" + at
}

// logged logs each request, without the API key.
type logged struct {
	http.Handler

	key string
	out *log.Logger
}

func (l *logged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	noted := &notedStatus{ResponseWriter: w}
	defer func() { // also where a fault drops the connection, which is a panic
		l.out.Printf("%-4s  %s  %s", r.Method, l.path(r.URL), noted)
	}()
	l.Handler.ServeHTTP(noted, r)
}

// apiPath stands before the API key.
const apiPath = "/client/api/v1/"

// path gives what a request asks for. Where it is not behind the right key, a key
// can be anywhere in it, so none of it is shown.
func (l *logged) path(u *url.URL) string {
	below, inside := strings.CutPrefix(u.Path, apiPath)
	key, path, _ := strings.Cut(below, "/")
	switch {
	case !inside:
		return "(not below " + apiPath + ")"
	case key != l.key:
		return "(wrong key)"
	default:
		return (&url.URL{Path: "/" + path}).EscapedPath()
	}
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

// options is what the flags say.
type options struct {
	addr     string
	key      string
	balance  youproxy.Money
	delay    time.Duration
	faults   []injection
	empty    bool
	duration time.Duration
}

// injection is a fault that a request will meet.
type injection struct {
	op    string
	fault youproxytest.Fault
}

// newFake gives a service as the flags describe it, with a few orders.
func (o *options) newFake() *youproxytest.Server {
	fake := youproxytest.NewServer(
		youproxytest.WithAPIKey(o.key),
		youproxytest.WithBalance(o.balance),
		youproxytest.WithProvisioningDelay(o.delay),
		youproxytest.WithPromoCode("TENTH", 10),
	)
	if !o.empty {
		lastWeek := time.Now().AddDate(0, 0, -7)
		for _, order := range []youproxytest.Order{
			{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2},
			{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 3, Protocol: youproxy.ProtocolSOCKS},
			{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1},
			{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 1, AuthIP: netip.MustParseAddr("192.0.2.7")},
		} {
			order.CreatedAt = lastWeek.Add(-o.delay)
			fake.AddOrder(order)
		}
	}
	for _, f := range o.faults {
		fake.Inject(f.op, f.fault)
	}
	return fake
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{balance: youproxy.MustMoney("100 USD")}
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8081", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&o.key, "key", youproxytest.DefaultAPIKey, "the API `key` to take")
	flags.Func("balance", "what the account holds, such as \"5 USD\" (default 100 USD)", o.setBalance)
	flags.DurationVar(&o.delay, "delay", 0, "how long after an order its proxies are in the list, such as 30s")
	flags.Func("fault", "the next request of this kind meets a fault, such as \"POST /order=DropAfterCommit\"; repeatable;\nfaults: "+
		strings.Join(faultNames(), ", "), o.addFault)
	flags.BoolVar(&o.empty, "empty", false, "begin without orders")
	flags.DurationVar(&o.duration, "for", 0, "how long to serve, such as 2s; 0 is until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	switch _, badKey := youproxy.New(o.key); {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	case badKey != nil:
		err = fmt.Errorf("-key: %w", badKey)
	case o.delay < 0 || o.duration < 0:
		err = errors.New("-delay and -for must not be negative")
	}
	if err != nil {
		printer{stderr}.line("sandbox: %v", err)
		return nil, err
	}
	return o, nil
}

func (o *options) setBalance(s string) (err error) {
	o.balance, err = youproxy.ParseMoney(s)
	return err
}

func (o *options) addFault(s string) error {
	op, name, _ := strings.Cut(s, "=")
	method, path, _ := strings.Cut(op, " ")
	if (method != http.MethodGet && method != http.MethodPost) || !strings.HasPrefix(path, "/") {
		return errors.New("must begin with GET or POST and a path, such as POST /order=DropAfterCommit")
	}
	for _, fault := range youproxytest.Faults() {
		if name == fault.String() {
			o.faults = append(o.faults, injection{op, fault})
			return nil
		}
	}
	return fmt.Errorf("must name one of the faults %s", strings.Join(faultNames(), ", "))
}

func faultNames() (names []string) {
	for _, fault := range youproxytest.Faults() {
		names = append(names, fault.String())
	}
	return names
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
