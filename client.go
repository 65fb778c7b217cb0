package youproxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// version is the version of this package in the User-Agent header.
const version = "0.1.0"

// The environment variables [NewFromEnv] reads.
const (
	envAPIKey  = "YOUPROXY_API_KEY"
	envBaseURL = "YOUPROXY_BASE_URL"
)

// DefaultBaseURL is the base URL of the service's API.
const DefaultBaseURL = "https://youproxy.io"

// Client calls the API with one key. It is safe for concurrent use and immutable:
// [Client.With] returns a variant. Printing it does not show its key. Create one with
// [New] or [NewFromEnv]; the calls of a zero Client return an error.
type Client struct {
	// core is a function, so that nothing that walks through fields, such as the dump of
	// a failed assertion, finds the key or the buffers of the transport.
	core func() *core
}

// core is what a client and its copies share.
type core struct {
	config config
	key    func() string
	redact func(string) string
	own    *http.Transport // the package's own, if it has one
	inner  *keyTransport
	chain  http.RoundTripper // inner, within the middleware
	blank  *http.Request     // the request that others are copied from
	ledger *ledger
}

// New returns a client for an API key, which is shown on the service's account page. It
// sends nothing: its errors match [ErrNotSent], as do those of [NewFromEnv] and
// [Client.With]. The service does not document the form of a key, so any visible ASCII
// characters but / ? # are accepted.
func New(apiKey string, opts ...Option) (*Client, error) {
	if err := checkKey(apiKey); err != nil {
		return nil, setupError{err}
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
		blank:  new(http.Request),
	}
	if err := c.configure(cfg, opts); err != nil {
		return nil, setupError{err}
	}
	return c.client(), nil
}

func (c *core) client() *Client { return &Client{core: func() *core { return c }} }

// setupError is the error of a client that could not be made, which sent nothing.
type setupError struct{ error }

func (e setupError) Unwrap() []error { return []error{e.error, ErrNotSent} }

// NewFromEnv returns a client for the API key in the environment variable
// YOUPROXY_API_KEY. If YOUPROXY_BASE_URL is set, it is used as with [WithBaseURL]; opts
// are applied after it.
func NewFromEnv(opts ...Option) (*Client, error) {
	key := os.Getenv(envAPIKey)
	if key == "" {
		return nil, setupError{errors.New("youproxy: the environment variable " + envAPIKey + " is not set: set it to your API key")}
	}
	if base := os.Getenv(envBaseURL); base != "" {
		opts = append([]Option{WithBaseURL(base)}, opts...)
	}
	return New(key, opts...)
}

// With returns a variant of the client with more options. Both share connections and,
// unless [WithJournal] sets another, the journal.
func (c *Client) With(opts ...Option) (*Client, error) {
	if c == nil || c.core == nil {
		return nil, setupError{fmt.Errorf("youproxy: %w", errEmptyClient)}
	}
	variant := *c.core()
	if err := variant.configure(variant.config, opts); err != nil {
		return nil, setupError{err}
	}
	return variant.client(), nil
}

// configure applies opts to cfg and prepares c for them.
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
	same := c.chain != nil && !cfg.transportChanged && *c.config.base == *cfg.base
	c.config = cfg
	c.openJournal()
	if same {
		return nil
	}
	return c.connect()
}

// openJournal creates the client's side of its journal, unless it exists.
func (c *core) openJournal() {
	cfg := &c.config
	switch {
	case c.ledger == nil && cfg.journal == nil:
		c.ledger = newLedger(newMemoryJournal())
	case cfg.journal != nil && (c.ledger == nil || c.ledger.journal != cfg.journal):
		c.ledger = newLedger(cfg.journal)
	}
	if m, ok := c.ledger.journal.(*memoryJournal); ok {
		m.keep(cfg.budgetPer)
	}
}

// connect builds the chain of round trippers: middleware, key, transport.
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
	default:
		if c.own == nil {
			c.own = newTransport()
		}
		own := c.own
		base = func() http.RoundTripper {
			if _, ok := http.DefaultTransport.(*http.Transport); !ok { // stubbed or instrumented
				return http.DefaultTransport
			}
			return own
		}
	}
	api := c.config.base
	c.inner = &keyTransport{base: base, api: api, key: c.key, redact: c.redact, referer: []string{api.Scheme + "://" + api.Host + "/"}, addr: addressOf(api)}
	c.chain = c.inner
	for _, mw := range slices.Backward(c.config.middleware) {
		if c.chain = mw(c.chain); c.chain == nil {
			return errors.New("youproxy: a middleware returned a nil round tripper: return the one passed to it, or one around it")
		}
	}
	return nil
}

// addressOf returns the host and port of a URL.
func addressOf(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
}

// checkKey returns an error if the key is not valid. The error shows nothing of the key.
func checkKey(key string) error {
	if key == "" {
		return errors.New("youproxy: the API key is empty: take it from your account page")
	}
	if key == "." || key == ".." {
		return errors.New("youproxy: the API key is only dots, which have a special meaning in a path: take the key from your account page")
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

// CloseIdleConnections closes the connections of the package's own transport that are not
// in use. It does not close those of a client set with [WithHTTPClient].
func (c *Client) CloseIdleConnections() {
	if c != nil && c.core != nil && c.core().own != nil {
		c.core().own.CloseIdleConnections()
	}
}

// String returns the base URL of the client, without its key.
func (c Client) String() string {
	if c.core == nil {
		return "youproxy.Client(empty)"
	}
	return "youproxy.Client(" + c.core().config.base.String() + ")"
}

// Format writes the same as String for every verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns the same as String, for slog.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Balance returns the balance of the account.
func (c *Client) Balance(ctx context.Context) (Money, error) {
	balance, _, err := c.balance(ctx)
	return balance, err
}

// freshBalance returns the balance, or errAged if the reply came from a cache.
func (c *Client) freshBalance(ctx context.Context) (Money, error) {
	balance, aged, err := c.balance(ctx)
	if aged {
		err = errAged
	}
	return balance, err
}

// balance also reports whether the reply came from a cache.
func (c *Client) balance(ctx context.Context) (m Money, aged bool, err error) {
	e, err := c.get(ctx, "GET /balance", nil, &balanceReply{})
	if err != nil {
		return Money{}, false, err
	}
	return e.money(e.balance), e.aged, nil
}

type balanceReply struct{}

func (*balanceReply) problem(e *envelope) string {
	if !e.balance.given {
		return `"balance"` + isMissing
	}
	return ""
}

// Call makes a call for which this package has no method. path is the path below the API
// key, such as "/balance"; it begins with a slash, contains no "..", "?" or "#", and is
// escaped when it is sent. body is sent as JSON unless it is nil. The whole reply is
// decoded into reply, a pointer, unless that is nil. Both are encoded with encoding/json.
//
// The call is sent like the package's own: the reply must report success, and a refusal
// is an [*APIError]. Any method but GET counts as spending money, so that the call takes
// its turn and is sent once.
//
// If the service reports success but its reply cannot be decoded into reply, the outcome
// of the error is [OutcomeDone].
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body, reply any) error {
	op := method + " " + path
	if c != nil && c.core != nil {
		op = c.core().redact(op)
	}
	if strings.Trim(method, capitals) != "" || method == "" {
		return notSent(op, errors.New("the method must be in capital letters, such as GET"))
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "..") || strings.ContainsAny(path, "?#") {
		return notSent(op, errors.New(`the path must begin with a slash and hold no "..", "?" or "#"`))
	}
	call := &apiCall{op: op, effect: spend, method: method, path: path, query: query.Encode(), entry: &Entry{Attempt: Attempt{Op: op}}}
	if method == http.MethodGet {
		call.effect = read
	}
	if body != nil {
		payload, err := json.Marshal(body)
		if err != nil {
			if c != nil && c.core != nil {
				err = outside(c.core().redact, err)
			}
			return notSent(op, fmt.Errorf("the body cannot be written as JSON: %w", err))
		}
		call.body = payload
	}
	if v := reflect.ValueOf(reply); reply != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return notSent(op, fmt.Errorf("the reply cannot be decoded into %T: give a pointer, or nil", reply))
	}
	var raw rawReply
	call.reply = &raw
	if _, err := c.do(ctx, call); err != nil || reply == nil {
		return err
	}
	if err := json.Unmarshal(raw.data, reply); err != nil {
		// Its text may hold what the reply does.
		text := fmt.Sprintf("the reply does not fit into %T", reply)
		var odd *json.UnmarshalTypeError
		if errors.As(err, &odd) {
			text += fmt.Sprintf(", nor what is at byte %d into %s", odd.Offset, odd.Type)
		}
		return &CallError{Op: op, HTTPStatus: raw.status, Outcome: OutcomeDone, Err: errors.New(text)}
	}
	return nil
}

var jsonMediaType = []string{"application/json"}
