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

// Option configures a [Client].
type Option func(*config) error

// Timeouts bounds one attempt of a call, from the first byte sent to the last byte
// received. For [Client.Proxies] it bounds the wait for the beginning of the reply and
// each pause in it.
type Timeouts struct {
	Read  time.Duration // calls that spend nothing; 30 s by default
	Spend time.Duration // calls that spend; 120 s by default, as giving up early only hides the outcome
}

// CallEvent describes one attempt of a call to an observer. It never contains the API
// key.
type CallEvent struct {
	// Op is the call, such as "POST /order". It is one of a few values, so that it can be
	// the label of a metric: for a [Client.Call] to a path that the package does not know
	// it is "Call GET", "Call POST", "Call PUT", "Call PATCH", "Call DELETE" or "Call".
	// The text of Err contains the path.
	Op         string
	Attempt    int           // 1 for the first
	HTTPStatus int           // 0 if no reply came
	Duration   time.Duration // for Client.Proxies including the time of the loop
	Outcome    Outcome
	Err        error // nil if the attempt succeeded, or the loop over a list was left
}

// checkBase returns an error if the base URL must not be used. The error does not show
// the URL, which may contain secrets.
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

// WithBaseURL sets the base URL of the API; [DefaultBaseURL] by default. A path in it
// comes before the path of the API. The URL must be https. http is allowed only to a
// loopback address, or with [WithPlainHTTP].
func WithBaseURL(rawURL string) Option {
	return func(cfg *config) error {
		u, err := url.Parse(rawURL) // its error would show the URL
		switch {
		case err != nil:
			return errors.New("youproxy: the base URL cannot be read: write it like " + DefaultBaseURL)
		case u.Scheme != "https" && u.Scheme != "http":
			return errors.New("youproxy: the base URL must begin with https://: write it like " + DefaultBaseURL)
		case u.Hostname() == "":
			return errors.New("youproxy: the base URL names no host: write it like " + DefaultBaseURL)
		case u.User != nil:
			return errors.New("youproxy: the base URL holds a login or a password, which the API has no use for: leave it out")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return errors.New("youproxy: the base URL has a query or a fragment: leave it out")
		case u.RawPath != "" || slices.Contains(strings.Split(u.Path, "/"), ".."):
			return errors.New("youproxy: the base URL's path holds .. or an escaped character: write it plainly")
		}
		if _, port, err := net.SplitHostPort(u.Host); err == nil && port == "" {
			return errors.New("youproxy: the base URL has a colon but no port: write it like " + DefaultBaseURL)
		}
		cfg.base = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
		return nil
	}
}

// WithPlainHTTP allows a base URL with http to another host. The API key and the
// passwords of proxies can then be read on the way.
func WithPlainHTTP() Option {
	return func(cfg *config) error {
		cfg.plainHTTP = true
		return nil
	}
}

// WithHTTPClient sets the client whose Transport sends the requests;
// [http.DefaultTransport] if that is nil. It is looked up at each call and never changed.
// Timeout, Jar and CheckRedirect are ignored: see [WithTimeouts]; redirects are never
// followed. The transport sees the API key in the path of each request, so use
// [WithMiddleware] for logging and tracing.
//
// A transport that retries by itself cannot buy twice: its second attempt of a call that
// spends is stopped, provided that it keeps the context of the request. If a transport
// that is not an [*http.Transport] fails, the outcome of the call is unknown, even if its
// error says that there was no connection: so wrap a transport with [WithMiddleware]
// instead. A custom TLSNextProto, and a protocol registered with RegisterProtocol, must
// call the hooks of [net/http/httptrace], as net/http does.
func WithHTTPClient(hc *http.Client) Option {
	return func(cfg *config) error {
		if hc == nil {
			return errors.New("youproxy: the HTTP client is nil: leave WithHTTPClient out to use the package's own")
		}
		cfg.httpClient, cfg.transportChanged = hc, true
		return nil
	}
}

// WithMiddleware adds round trippers around each attempt. The first is the outermost;
// those of a later option or of [Client.With] are inside the earlier ones. A middleware
// sees a placeholder instead of the API key: in the request, in [http.Response.Request],
// in header fields such as Location, and in errors. Bodies are not changed.
//
// A middleware must keep the context of the request, its host and the beginning of its
// path, otherwise the request is not sent. Its errors keep their text, without the key
// and without quoted parts, and match what they match with [errors.Is], but not with
// [errors.As]. A middleware may repeat a call that spends nothing. A second attempt of a
// call that spends is refused if the first may have been sent.
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

// WithUserAgent appends a product, such as "shop/2.1", to the User-Agent header, which
// begins with youproxy-go and its version.
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

// WithTimeouts bounds each attempt. A zero field keeps its value. If a transport or a
// middleware does not return when the context of the request ends, the call waits for it
// nevertheless.
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

// WithReadRetries sets how often a call that spends nothing may be repeated after its
// first attempt; 2 by default. Calls that spend are never repeated.
func WithReadRetries(n int) Option {
	return func(cfg *config) error {
		if n < 0 {
			return errors.New("youproxy: the number of retries is negative: give 0 for none")
		}
		cfg.readRetries = n
		return nil
	}
}

// WithMaxReplySize sets the largest reply that is read, in bytes; 16 MiB by default. A
// longer one is an error that matches [ErrReplyTooLarge]. The list of [Client.Proxies]
// may have any size: the limit applies to each of its elements, a record or an order with
// its records. Replies with an HTTP status other than 2xx are limited to 1 MiB as well.
func WithMaxReplySize(bytes int64) Option {
	return func(cfg *config) error {
		if bytes <= 0 {
			return errors.New("youproxy: the largest reply size is not positive: give a number of bytes")
		}
		cfg.maxReply = bytes
		return nil
	}
}

// WithLogger logs each attempt, at Debug if it succeeded and at Warn otherwise, with the
// fields op, attempt, status, duration, outcome and code only. What needs attention, such
// as a purchase above its limit, is logged as well, without secrets.
func WithLogger(l *slog.Logger) Option {
	return func(cfg *config) error {
		if l == nil {
			return errors.New("youproxy: the logger is nil: leave WithLogger out to log nothing")
		}
		cfg.logger = l
		return nil
	}
}

// WithObserver sets a function that is called after each attempt, before the call
// returns. It must be safe for concurrent use.
func WithObserver(f func(ctx context.Context, e CallEvent)) Option {
	return func(cfg *config) error {
		if f == nil {
			return errors.New("youproxy: the observer is nil: leave WithObserver out to observe nothing")
		}
		cfg.observer = f
		return nil
	}
}

// WithReconcilePatience sets how long the account is looked at, from the end of the
// sending, before an attempt counts as not executed; 2 minutes by default. It must be
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

// WithJournal sets the journal in which purchases are recorded before they are sent. An
// entry that is open stops the next purchase. All processes that spend from an account
// should use the same journal, such as that of package filejournal on one machine, or
// that of package sqljournal on many. By default the journal is in memory and shared with
// the variants of the client. It ends with the process, and a purchase whose reply was
// lost is forgotten then.
//
// Calls that spend take turns by locking the journal. A function that is called
// meanwhile, such as that of [WithObserver], must not spend with the same journal and the
// context passed to it: that is an error.
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

// WithBudget limits what [Client.Buy], [Client.Renew] and [Client.RenewAll] may spend
// within any period of length per, at most 400 days, in all processes that share the
// journal. A purchase that would exceed it is [ErrOverBudget]. An attempt counts with its
// price, or with what was charged if that is more; so does one whose outcome is not
// known. Plain calls, such as [Client.CreateOrder], and the service's automatic
// extensions do not count. A client with a budget logs plain calls at Warn.
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
