// List shows the proxies of an account.
//
//	go run ./examples/list
//
// shows those of a fake Youproxy in its own process: no account is needed. With an
// API key in YOUPROXY_API_KEY it asks the real service. It spends nothing.
//
// The list may be long, so it is shown while it arrives. -ending shows only what
// ends soon, or has ended; -json writes a JSON object a line, for other programs.
// Passwords are never shown, and control characters of the service are escaped:
//
//	go run ./examples/list -type ISP -ending 7
//	go run ./examples/list -json | jq -r .ipAddressIp
//
// It exits with 0 if the list is complete, 1 if it is not, and 2 if the flags are
// wrong.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/youproxy-go/youproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
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
	notes := printer{stdout}
	if o.json {
		notes = printer{stderr} // on stdout is JSON and nothing else
	}

	var client *youproxy.Client
	now := time.Now
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		client, err = youproxy.NewFromEnv()
	} else {
		notes.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program.")
		now = func() time.Time { return fakeToday }
		fake := newFake(now)
		defer fake.Close()
		if client, err = fake.Client(); err == nil {
			err = autoExtendISP(ctx, client)
		}
	}
	if err != nil {
		printer{stderr}.line("list: %v", err)
		return 1
	}
	defer client.CloseIdleConnections()

	t := tally{ending: o.ending}
	var rows writer = newTable(stdout, now())
	if o.json {
		rows = jsonLines{stdout}
	}
	err = o.list(ctx, client, now(), rows, &t)
	if flushErr := rows.flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		printer{stderr}.line("list: %v\nlist: the list is not complete: it ended after %d proxies", err, t.all)
		return 1
	}
	notes.line("%s", t)
	return 0
}

// list writes the proxies that were asked for, as they arrive.
func (o *options) list(ctx context.Context, client *youproxy.Client, now time.Time, rows writer, t *tally) error {
	for proxy, err := range client.Proxies(ctx, youproxy.ProxyQuery{ProxyType: o.proxyType}) {
		if err != nil {
			return err // what came before is not the whole list
		}
		t.all++
		if o.ending > 0 && proxy.End.IsZero() {
			t.endless++
			continue
		}
		if o.ending > 0 && proxy.End.After(now.AddDate(0, 0, o.ending)) {
			continue
		}
		t.shown++
		if err := rows.write(proxy); err != nil {
			return err
		}
	}
	return nil
}

// daysLeft gives the whole days until a proxy ends; less than 0 if it has ended.
func daysLeft(p youproxy.Proxy, now time.Time) int {
	left := p.End.Sub(now)
	if left <= 0 {
		return -1
	}
	return int(left / (24 * time.Hour))
}

// tally counts the proxies.
type tally struct {
	ending     int // days; 0 for all
	all, shown int
	endless    int // of which the service gave no end, where that is asked for
}

func (t tally) String() string {
	if t.ending == 0 {
		return fmt.Sprintf("Proxies: %d", t.all)
	}
	text := fmt.Sprintf("Proxies that end within %d days, or have ended: %d of %d", t.ending, t.shown, t.all)
	if t.endless > 0 {
		text += fmt.Sprintf("; the end of %d is not known", t.endless)
	}
	return text
}

// writer is a form of the list.
type writer interface {
	write(p youproxy.Proxy) error
	flush() error
}

// jsonLines writes a JSON object a line. A Proxy marshals without its secrets.
type jsonLines struct{ io.Writer }

func (j jsonLines) write(p youproxy.Proxy) error {
	line, err := json.Marshal(p)
	if err == nil {
		_, err = fmt.Fprintf(j, "%s\n", escaped(line))
	}
	return err
}

func (jsonLines) flush() error { return nil }

// table writes columns for a person.
type table struct {
	*tabwriter.Writer

	now  time.Time
	rows int
}

// flushEvery is after how many rows a table is written. Its columns can change
// their widths there.
const flushEvery = 200

func newTable(w io.Writer, now time.Time) *table {
	return &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), now, 0}
}

func (t *table) write(p youproxy.Proxy) error {
	if t.rows == 0 {
		printer{t}.line("\nID\tType\tHost\tHTTP\tSOCKS5\tCountry\tOrder\tEnds (UTC)\tDays left\tAuto-extend")
	}
	ends, left := "not known", "-"
	if !p.End.IsZero() {
		ends, left = p.End.UTC().Format("2006-01-02 15:04"), "ended"
		if days := daysLeft(p, t.now); days >= 0 {
			left = strconv.Itoa(days)
		}
	}
	order := cmp.Or(string(p.OrderNumber), string(p.OrderID))
	printer{t}.line("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", plain(p.ID), plain(p.ProxyType), plain(p.Host),
		port(p.HTTPPort), port(p.SOCKS5Port), plain(p.Country), plain(order), ends, left, autoExtend(p))
	if t.rows++; t.rows%flushEvery == 0 {
		return t.Flush()
	}
	return nil
}

func (t *table) flush() error {
	if t.rows > 0 {
		printer{t}.line("")
	}
	return t.Flush()
}

func port(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func autoExtend(p youproxy.Proxy) string {
	switch {
	case p.AutoExtendUnknown:
		return "not known"
	case !p.AutoExtend:
		return "no"
	case p.AutoExtendDays == 0:
		return "yes"
	default:
		return fmt.Sprintf("by %d days", p.AutoExtendDays)
	}
}

// options is what the flags say.
type options struct {
	proxyType youproxy.ProxyType // empty for all
	ending    int                // within how many days; 0 for all
	json      bool
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.Func("ending", "only what ends within this number of `days`, or has ended", o.setEnding)
	flags.BoolVar(&o.json, "json", false, "write a JSON object a line")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
		printer{stderr}.line("list: %v", err)
		return nil, err
	}
	return o, nil
}

func (o *options) setType(s string) error {
	for _, t := range []youproxy.ProxyType{
		youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
	} {
		if strings.EqualFold(s, string(t)) {
			o.proxyType = t
			return nil
		}
	}
	return errors.New("must be IPv4, IPv6, MOBILE or ISP")
}

func (o *options) setEnding(s string) (err error) {
	if o.ending, err = strconv.Atoi(s); err != nil || o.ending < 1 {
		return errors.New("must be a whole number of days, 1 or more")
	}
	return nil
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
