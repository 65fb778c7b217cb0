package youproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// version is the version of this package, as the User-Agent header tells it.
const version = "0.1.0"

// The environment variables [NewFromEnv] reads.
const (
	envAPIKey  = "YOUPROXY_API_KEY"
	envBaseURL = "YOUPROXY_BASE_URL"
)

// DefaultBaseURL is where the service's API is.
const DefaultBaseURL = "https://youproxy.io"

// Client calls the API with one key. It is safe for concurrent use, and cannot
// be changed: [Client.With] makes a variant. It prints without its key. Make one
// with [New] or [NewFromEnv]; the calls of an empty Client give an error.
type Client struct {
	core *core
}

// core is what a client and its copies share. It keeps the key only in closures,
// where printing a struct, however deep, does not find it.
type core struct {
	config    config
	key       func() string
	redact    func(string) string
	own       *http.Transport // the SDK's own, if it has one
	chain     http.RoundTripper
	lane      lane
	spends    *ownSpends
	leaveLane func() // made once
}

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
	recorder    func(context.Context, Attempt) error
	patience    time.Duration
	spendLock   func(context.Context) (unlock func(), err error)

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
	Op         string        // the call, such as "POST /order"
	Attempt    int           // 1 for the first
	HTTPStatus int           // 0 where no reply came
	Duration   time.Duration // of Client.Proxies with the time that the loop over it took
	Outcome    Outcome
	Err        error // nil where the attempt succeeded, or the loop over a list was left
}

// New makes a client for an API key, which stands in the service's account page.
// It sends nothing. Any visible ASCII but / ? # is taken for a key, as the
// service does not document its form.
func New(apiKey string, opts ...Option) (*Client, error) {
	if err := checkKey(apiKey); err != nil {
		return nil, err
	}
	cfg := config{
		base:        &url.URL{Scheme: "https", Host: strings.TrimPrefix(DefaultBaseURL, "https://")},
		userAgent:   []string{"youproxy-go/" + version},
		timeouts:    Timeouts{Read: 30 * time.Second, Spend: 120 * time.Second},
		readRetries: 2,
		patience:    2 * time.Minute,
	}
	c := &core{
		key:    func() string { return apiKey },
		redact: newRedactor(apiKey),
		lane:   newLane(),
		spends: new(ownSpends),
	}
	c.leaveLane = c.lane.leave
	if err := c.configure(cfg, opts); err != nil {
		return nil, err
	}
	return &Client{core: c}, nil
}

// NewFromEnv makes a client for the key in the environment variable
// YOUPROXY_API_KEY, and for the base URL in YOUPROXY_BASE_URL if that is set.
// The options come after.
func NewFromEnv(opts ...Option) (*Client, error) {
	key := os.Getenv(envAPIKey)
	if key == "" {
		return nil, errors.New("youproxy: the environment variable " + envAPIKey + " is not set: set it to your API key")
	}
	if base := os.Getenv(envBaseURL); base != "" {
		opts = append([]Option{WithBaseURL(base)}, opts...)
	}
	return New(key, opts...)
}

// With makes a variant of the client. Both share connections, and the turns that
// calls which spend take.
func (c *Client) With(opts ...Option) (*Client, error) {
	if c == nil || c.core == nil {
		return nil, errors.New("youproxy: the client is empty: make one with New")
	}
	variant := *c.core
	if err := variant.configure(c.core.config, opts); err != nil {
		return nil, err
	}
	return &Client{core: &variant}, nil
}

// configure applies opts to cfg and makes c ready for what they ask.
func (c *core) configure(cfg config, opts []Option) error {
	cfg.middleware = slices.Clone(cfg.middleware)
	cfg.transportChanged = false
	for i, opt := range opts {
		if opt == nil {
			return fmt.Errorf("youproxy: option %d is nil: leave it out", i+1)
		}
		if err := opt(&cfg); err != nil {
			return err
		}
	}
	if err := cfg.checkBase(c.key()); err != nil {
		return err
	}
	if c.chain != nil && !cfg.transportChanged && *c.config.base == *cfg.base {
		c.config = cfg
		return nil
	}
	c.config = cfg
	return c.connect()
}

// connect builds the chain of round tripper: middleware, key, transport.
func (c *core) connect() error {
	var base func() http.RoundTripper
	switch hc := c.config.httpClient; {
	case hc != nil:
		base = func() http.RoundTripper {
			if hc.Transport != nil {
				return hc.Transport
			}
			return http.DefaultTransport
		}
	case c.own == nil:
		c.own = newTransport()
		fallthrough
	default:
		own := c.own
		base = func() http.RoundTripper {
			if own != nil {
				return own
			}
			return http.DefaultTransport
		}
	}
	c.chain = &keyTransport{base: base, api: c.config.base, key: c.key, redact: c.redact}
	for _, mw := range slices.Backward(c.config.middleware) {
		if c.chain = mw(c.chain); c.chain == nil {
			return errors.New("youproxy: a middleware returned a nil round tripper: return the one it was given, or one around it")
		}
	}
	return nil
}

// checkKey tells what is wrong with a key without showing any of it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("youproxy: the API key is empty: take it from your account page")
	}
	if key == "." || key == ".." {
		return errors.New("youproxy: the API key is only dots, which have a meaning of their own in a path: take the key from your account page")
	}
	for i, r := range key {
		switch {
		case r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0:
			return fmt.Errorf("youproxy: the API key has white space or a control character at byte %d of %d: trim it", i+1, len(key))
		case r > 0x7e:
			return fmt.Errorf("youproxy: the API key has a character outside ASCII at byte %d of %d: copy the key again", i+1, len(key))
		case strings.ContainsRune("/?#", r):
			return fmt.Errorf("youproxy: the API key has a / ? or # at byte %d of %d: give the key alone, not a URL", i+1, len(key))
		}
	}
	return nil
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
// call that spends is stopped, if it keeps the request's context.
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
// else the request is not sent. It may repeat a call that spends nothing; of one
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

// WithTimeouts bounds each attempt. A field that is zero keeps its value.
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
// 16 MiB, of which no single value may be longer than 512 KiB; the list of
// [Client.Proxies] may be of any size, with no record longer than 1 MiB. Replies with an
// HTTP status other than 2xx are read up to 1 MiB at the most. A longer reply
// gives [ErrReplyTooLarge].
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

// WithAttemptRecorder calls f in [Client.Buy] and [Client.Renew] just before
// money is sent, with all that [Client.Reconcile] needs to find out what became
// of it, be it in another process. An error stops the purchase; nothing is sent.
func WithAttemptRecorder(f func(ctx context.Context, a Attempt) error) Option {
	return func(cfg *config) error {
		if f == nil {
			return errors.New("youproxy: the attempt recorder is nil: leave WithAttemptRecorder out to record nothing")
		}
		cfg.recorder = f
		return nil
	}
}

// WithReconcilePatience sets how long the account is looked at before an attempt
// counts as not executed; 2 minutes by default, from when no reply can come any
// more. It must be longer than the service may take to execute a request after
// the client gave up.
func WithReconcilePatience(d time.Duration) Option {
	return func(cfg *config) error {
		if d < 0 {
			return errors.New("youproxy: the patience is negative: give 0 for a single look")
		}
		cfg.patience = d
		return nil
	}
}

// WithSpendLock takes a lock around everything that may spend, reconciling
// included. The calls of one client take turns without it; it is for several
// processes with one account, as a distributed lock that all of them take. What
// one of them ordered, and is not in the list yet when the lock is given back, the
// next one still sees appear.
//
// The functions of [WithAttemptRecorder] and [WithObserver], and f, are called
// within such a turn: with the context that they get, nothing of this client can
// spend. One that takes longer to record than [Timeouts.Spend] stops the purchase.
func WithSpendLock(f func(ctx context.Context) (unlock func(), err error)) Option {
	return func(cfg *config) error {
		if f == nil {
			return errors.New("youproxy: the spend lock is nil: leave WithSpendLock out to take none")
		}
		cfg.spendLock = f
		return nil
	}
}

// CloseIdleConnections closes the connections of the package's own transport
// that are not in use. Those of a caller's client are the caller's.
func (c *Client) CloseIdleConnections() {
	if c != nil && c.core != nil && c.core.own != nil {
		c.core.own.CloseIdleConnections()
	}
}

// String tells where the client sends to.
func (c Client) String() string {
	if c.core == nil {
		return "youproxy.Client(empty)"
	}
	return "youproxy.Client(" + c.core.config.base.String() + ")"
}

// Format writes what String gives, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue gives slog what String gives.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Balance gives what the account holds.
func (c *Client) Balance(ctx context.Context) (Money, error) {
	e, err := c.get(ctx, "GET /balance", nil, &balanceReply{})
	if err != nil {
		return Money{}, err
	}
	return e.money(e.balance), nil
}

type balanceReply struct{}

func (*balanceReply) missing(e *envelope) string {
	if !e.balance.given {
		return "balance"
	}
	return ""
}

// Call makes a call that this package has no method for: to path below the API
// key, such as "/balance", with query and, unless it is nil, body as JSON. reply
// is what the whole reply is decoded into, or nil. Both pass through
// encoding/json.
//
// It is sent as the package's own calls are: the reply must say success, a
// refusal is an [APIError], and any method but GET counts as a call that spends:
// it takes its turn, and is sent once. path begins with a slash and holds no
// "..", "?" or "#"; it is escaped as it is sent.
//
// Where the service said success, but its reply does not fit into reply, the
// error's outcome is [OutcomeDone].
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body, reply any) error {
	op := method + " " + path
	if c != nil && c.core != nil {
		op = c.core.redact(op)
	}
	if strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || method == "" {
		return notSent(op, errors.New("the method is not one: write it in capital letters, such as GET"))
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "..") || strings.ContainsAny(path, "?#") {
		return notSent(op, errors.New(`the path must begin with a slash and hold no "..", "?" or "#"`))
	}
	call := &apiCall{op: op, effect: spend, method: method, path: path, query: query.Encode(), own: anySpend}
	if method == http.MethodGet {
		call.effect = read
	}
	if body != nil {
		payload, err := json.Marshal(body)
		if err != nil {
			if c != nil && c.core != nil {
				err = redactError(c.core.redact, err)
			}
			return notSent(op, fmt.Errorf("the body cannot be written as JSON: %w", err))
		}
		call.body = payload
	}
	var raw rawReply
	call.reply = &raw
	if _, err := c.do(ctx, call); err != nil || reply == nil {
		return err
	}
	if err := json.Unmarshal(raw.data, reply); err != nil {
		return &CallError{
			Op: op, HTTPStatus: raw.status, Outcome: OutcomeDone,
			Err: fmt.Errorf("the reply does not fit into %T: %w", reply, redactError(c.core.redact, err)),
		}
	}
	return nil
}

var jsonMediaType = []string{"application/json"}
