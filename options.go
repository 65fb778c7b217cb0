package youproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// config is what the options set.
type config struct {
	base        *url.URL
	plainHTTP   bool
	httpClient  *http.Client
	middleware  []func(http.RoundTripper) http.RoundTripper
	userAgent   []string // the one value of the header
	timeouts    Timeouts
	readRetries int
	maxReply    int64 // 0: the default
	logger      *slog.Logger
	observer    func(context.Context, CallEvent)
	patience    time.Duration
	journal     Journal // nil: in memory
	budget      Money
	budgetPer   time.Duration // 0: no budget

	transportChanged bool
}

// Option sets one thing about a [Client].
type Option func(*config) error

// Timeouts bounds one attempt of a call, from the first byte out to the last
// byte in. Of [Client.Proxies] it bounds the wait for the reply to begin, and each
// pause in it.
type Timeouts struct {
	Read  time.Duration // calls that spend nothing; 30 s by default
	Spend time.Duration // calls that spend; 120 s by default, as giving up early only hides what happened
}

// CallEvent tells an observer of one attempt of a call. It never holds the API
// key.
type CallEvent struct {
	// Op is the call, such as "POST /order". It is one of few values, so that it can be
	// the label of a metric: of a [Client.Call] to a path that the package does not know it
	// is "Call GET", "Call POST", "Call PUT", "Call PATCH", "Call DELETE" or "Call". Err
	// tells the path.
	Op         string
	Attempt    int           // 1 for the first
	HTTPStatus int           // 0 where no reply came
	Duration   time.Duration // of Client.Proxies with the time that the loop over it took
	Outcome    Outcome
	Err        error // nil where the attempt succeeded, or the loop over a list was left
}

// checkBase tells what is wrong with the base URL without showing it, for it may
// hold what must not be shown.
func (cfg *config) checkBase(key string) error {
	u := cfg.base
	if u.Scheme == "http" && !cfg.plainHTTP && !isLoopback(u.Hostname()) {
		return errors.New("youproxy: the base URL is http, which would show the API key to everyone on the way: use https, or WithPlainHTTP if the way is safe")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if strings.EqualFold(segment, key) {
			return errors.New("youproxy: the base URL holds the API key: give only what stands before " + apiPath)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// WithBaseURL sets where the API is, such as "https://youproxy.io", which is
// also the default. A path is put before the API's own. It must be https; http
// is taken for a loopback address, or with [WithPlainHTTP].
func WithBaseURL(rawURL string) Option {
	return func(cfg *config) error {
		u, err := url.Parse(rawURL) // its error would show the URL
		switch {
		case err != nil:
			return errors.New("youproxy: the base URL cannot be read: write it such as " + DefaultBaseURL)
		case u.Scheme != "https" && u.Scheme != "http":
			return errors.New("youproxy: the base URL must begin with https://: write it such as " + DefaultBaseURL)
		case u.Hostname() == "":
			return errors.New("youproxy: the base URL names no host: write it such as " + DefaultBaseURL)
		case u.User != nil:
			return errors.New("youproxy: the base URL holds a login or a password, which the API has no use for: leave it out")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return errors.New("youproxy: the base URL has a query or a fragment: leave it out")
		case u.RawPath != "" || slices.Contains(strings.Split(u.Path, "/"), ".."):
			return errors.New("youproxy: the base URL's path holds .. or an escaped character: write it plainly")
		}
		if _, port, err := net.SplitHostPort(u.Host); err == nil && port == "" {
			return errors.New("youproxy: the base URL has a colon but no port: write it such as " + DefaultBaseURL)
		}
		cfg.base = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
		return nil
	}
}

// WithPlainHTTP allows a base URL that is http to a host other than this one.
// The API key and the proxies' passwords can then be read on the way.
func WithPlainHTTP() Option {
	return func(cfg *config) error {
		cfg.plainHTTP = true
		return nil
	}
}

// WithHTTPClient sends through hc's Transport, or [http.DefaultTransport] where
// that is nil. It is looked up at each call and never changed. hc's Timeout, Jar
// and CheckRedirect do not count: see [WithTimeouts], and redirects are never
// followed. The transport sees the API key in the path of each request, so
// logging and tracing belong in [WithMiddleware] instead.
//
// A transport that retries by itself cannot buy twice: its second attempt at a
// call that spends is stopped, if it keeps the request's context. What happens below
// a transport that is not an [*http.Transport] cannot be told: where it fails, the
// outcome of the call is unknown, also where it says that it had no connection. Put
// what wraps a transport into [WithMiddleware] instead. A TLSNextProto of the caller's
// own, and what is registered with RegisterProtocol, must call the hooks of
// [net/http/httptrace], as net/http does.
func WithHTTPClient(hc *http.Client) Option {
	return func(cfg *config) error {
		if hc == nil {
			return errors.New("youproxy: the HTTP client is nil: leave WithHTTPClient out to use the package's own")
		}
		cfg.httpClient, cfg.transportChanged = hc, true
		return nil
	}
}

// WithMiddleware puts round trippers around each attempt; the first is the
// outermost, and those of a later option or of [Client.With] come inside. A
// middleware sees a placeholder where the API key will be: in the request, in
// [http.Response.Request], in header fields such as Location and in errors.
// Bodies pass as they came.
//
// A middleware keeps the request's context, host and the beginning of its path,
// else the request is not sent. Its errors keep their text, without the key and what
// they quote, and match what they match with [errors.Is], though not with
// [errors.As]. It may repeat a call that spends nothing; of one
// that spends, a second attempt is refused once the first may have been sent.
func WithMiddleware(mw ...func(http.RoundTripper) http.RoundTripper) Option {
	return func(cfg *config) error {
		for _, m := range mw {
			if m == nil {
				return errors.New("youproxy: a middleware is nil: leave it out")
			}
		}
		cfg.middleware = append(cfg.middleware, mw...)
		cfg.transportChanged = cfg.transportChanged || len(mw) > 0
		return nil
	}
}

// WithUserAgent appends a product, such as "shop/2.1", to the User-Agent header,
// which begins with youproxy-go and its version.
func WithUserAgent(product string) Option {
	return func(cfg *config) error {
		if strings.TrimSpace(product) == "" {
			return errors.New("youproxy: the user agent is blank: write a product such as shop/2.1")
		}
		for _, r := range product {
			if r < ' ' || r > 0x7e {
				return errors.New("youproxy: the user agent has a character that a header cannot carry: use visible ASCII")
			}
		}
		cfg.userAgent = []string{"youproxy-go/" + version + " " + strings.TrimSpace(product)}
		return nil
	}
}

// WithTimeouts bounds each attempt. A field that is zero keeps its value. A transport
// or a middleware that does not end with the request's context is waited for all the
// same.
func WithTimeouts(t Timeouts) Option {
	return func(cfg *config) error {
		if t.Read < 0 || t.Spend < 0 {
			return errors.New("youproxy: a timeout is negative: give a positive one, or zero to keep the default")
		}
		if t.Read > 0 {
			cfg.timeouts.Read = t.Read
		}
		if t.Spend > 0 {
			cfg.timeouts.Spend = t.Spend
		}
		return nil
	}
}

// WithReadRetries sets how many attempts may follow the first of a call that
// spends nothing; 2 by default. Calls that spend are never repeated.
func WithReadRetries(n int) Option {
	return func(cfg *config) error {
		if n < 0 {
			return errors.New("youproxy: the number of retries is negative: give 0 for none")
		}
		cfg.readRetries = n
		return nil
	}
}

// WithMaxReplySize bounds what is read of a reply, in bytes. By default that is
// 16 MiB. The list of [Client.Proxies] may be of any size: each element of it, a record
// or an order with its records, is bounded instead. Replies with an HTTP status other than 2xx are read up to 1 MiB at the
// most. A longer reply is an error that matches [ErrReplyTooLarge].
func WithMaxReplySize(bytes int64) Option {
	return func(cfg *config) error {
		if bytes <= 0 {
			return errors.New("youproxy: the largest reply size is not positive: give a number of bytes")
		}
		cfg.maxReply = bytes
		return nil
	}
}

// WithLogger logs each attempt: at Debug where it succeeded, at Warn where it
// did not. What is logged is op, attempt, status, duration, outcome and code,
// and nothing else.
func WithLogger(l *slog.Logger) Option {
	return func(cfg *config) error {
		if l == nil {
			return errors.New("youproxy: the logger is nil: leave WithLogger out to log nothing")
		}
		cfg.logger = l
		return nil
	}
}

// WithObserver calls f after each attempt, before the call returns.
func WithObserver(f func(ctx context.Context, e CallEvent)) Option {
	return func(cfg *config) error {
		if f == nil {
			return errors.New("youproxy: the observer is nil: leave WithObserver out to observe nothing")
		}
		cfg.observer = f
		return nil
	}
}

// WithReconcilePatience sets how long the account is looked at before an attempt
// counts as not executed; 2 minutes by default, from when its sending ended. It must be
// longer than the service may take to execute a request after the client gave up.
func WithReconcilePatience(d time.Duration) Option {
	return func(cfg *config) error {
		if d < 0 {
			return errors.New("youproxy: the patience is negative: give 0 for a single look")
		}
		cfg.patience = d
		return nil
	}
}

// WithJournal sets where purchases are written down before they are sent: what is open in
// the journal stands in the way of the next purchase. Let all processes that spend from an
// account use one journal, such as that of package filejournal on one machine, or that of
// package sqljournal on many. By default it is in the client's memory, and shared with its
// variants: it ends with the process, and then nothing tells of a purchase whose reply was
// lost.
//
// Calls that spend take turns with the journal's lock. A function that is called meanwhile,
// such as that of [WithObserver], cannot spend by the same journal with the context that it
// was given.
func WithJournal(j Journal) Option {
	return func(cfg *config) error {
		switch v := reflect.ValueOf(j); {
		case j == nil || v.Kind() == reflect.Pointer && v.IsNil():
			return errors.New("youproxy: the journal is nil: leave WithJournal out to keep it in memory")
		case !v.Comparable():
			return fmt.Errorf("youproxy: the journal is a %T, which cannot be compared: give a pointer to it", j)
		}
		cfg.journal = j
		return nil
	}
}

// WithBudget bounds what [Client.Buy], [Client.Renew] and [Client.RenewAll] may spend in any
// time as long as per, in all processes that share the journal: a purchase that would exceed it is stopped
// with [ErrOverBudget]. An attempt counts with its price, or what was charged if that is
// more; one whose outcome is not known counts as well. The time is 400 days at most. Plain
// calls, such as [Client.CreateOrder], and the service's automatic extensions do not count;
// a client with a budget logs plain calls at Warn.
func WithBudget(limit Money, per time.Duration) Option {
	return func(cfg *config) error {
		switch {
		case !isCurrency(limit.Currency) || limit.Amount.IsNegative():
			return fmt.Errorf("youproxy: the budget is %s: give an amount and its currency, such as 100 USD", limit)
		case per <= 0 || per > longestBudget:
			return fmt.Errorf("youproxy: the time of the budget is %s: give more than 0 and at most 400 days", per)
		}
		cfg.budget, cfg.budgetPer = limit, per
		return nil
	}
}

const longestBudget = 400 * 24 * time.Hour
