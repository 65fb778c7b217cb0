package proxypool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// CheckResult is the result of the check of a proxy. It contains no password.
type CheckResult struct {
	Index int    `json:"index"` // the index of the proxy in the list
	Proxy string `json:"proxy"` // the name of the proxy, as [Name] returns it

	Reachable     bool          `json:"reachable"`     // whether a connection to the proxy was made
	Authenticated bool          `json:"authenticated"` // whether the proxy accepts its login
	Status        int           `json:"status"`        // the HTTP status of the target; 0 without a response
	Latency       time.Duration `json:"latency"`       // the time until the response began, including all handshakes; in JSON in nanoseconds
	ExitIP        netip.Addr    `json:"exitIP"`        // the address from which the request reached the target; zero if its response does not contain it

	// Err is why there is no response. It is nil if there is one, with any status.
	Err error `json:"-"`

	// Done is how many proxies of the list are checked so far, and Total how many
	// there are.
	Done  int `json:"done"`
	Total int `json:"total"`
}

// OK reports whether the target answered through the proxy, with any status.
func (r CheckResult) OK() bool { return r.Err == nil && r.Status != 0 }

// String returns the result in one line.
func (r CheckResult) String() string {
	switch {
	case r.Err != nil:
		err := r.Err
		if full := (*Error)(nil); errors.As(err, &full) {
			err = full.Err // which does not name the proxy
		}
		return r.Proxy + ": " + err.Error()
	case r.ExitIP.IsValid():
		return fmt.Sprintf("%s: status %d in %s, from %s", r.Proxy, r.Status, r.Latency.Round(time.Millisecond), r.ExitIP)
	}
	return fmt.Sprintf("%s: status %d in %s", r.Proxy, r.Status, r.Latency.Round(time.Millisecond))
}

// MarshalJSON returns the fields as a JSON object, with the text of Err as error.
func (r CheckResult) MarshalJSON() ([]byte, error) {
	type fields CheckResult
	full := struct {
		fields

		ExitIP string `json:"exitIP,omitempty"`
		Error  string `json:"error,omitempty"`
	}{fields: fields(r)}
	if r.ExitIP.IsValid() {
		full.ExitIP = r.ExitIP.String()
	}
	if r.Err != nil {
		full.Error = r.Err.Error()
	}
	return json.Marshal(full)
}

// LogValue returns the result as a group.
func (r CheckResult) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("proxy", r.Proxy), slog.Bool("reachable", r.Reachable), slog.Bool("authenticated", r.Authenticated),
		slog.Int("status", r.Status), slog.Duration("latency", r.Latency),
	}
	if r.ExitIP.IsValid() {
		attrs = append(attrs, slog.String("exit_ip", r.ExitIP.String()))
	}
	if r.Err != nil {
		attrs = append(attrs, slog.String("error", r.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// CheckOption changes how [Check] works.
type CheckOption func(*checkSettings) error

type checkSettings struct {
	*settings

	concurrency int
	timeout     time.Duration
	tries       int
	exitIP      func(*http.Response, []byte) netip.Addr
}

// CheckConcurrency sets how many proxies are checked at once. The default is 16.
func CheckConcurrency(n int) CheckOption {
	return func(s *checkSettings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: CheckConcurrency needs a number above 0, not %d", n)
		}
		s.concurrency = n
		return nil
	}
}

// CheckTimeout sets how long the check of one proxy may take, with all its tries. The
// default is 15 seconds.
func CheckTimeout(d time.Duration) CheckOption {
	return func(s *checkSettings) error {
		if d <= 0 {
			return fmt.Errorf("proxypool: CheckTimeout needs a duration above 0, not %s", d)
		}
		s.timeout = d
		return nil
	}
}

// CheckTries sets how often a proxy is tried before it counts as failed. The default is
// 2. The tries follow each other without a pause, within the time of [CheckTimeout], and
// each makes a new connection. Any response of the target ends the check, and so does a
// proxy that does not accept its login.
func CheckTries(n int) CheckOption {
	return func(s *checkSettings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: CheckTries needs a number above 0, not %d", n)
		}
		s.tries = n
		return nil
	}
}

// CheckTransport sets the transport that those of the proxies are copies of, as
// [WithTransport] does.
func CheckTransport(base *http.Transport) CheckOption {
	return func(s *checkSettings) error { return WithTransport(base)(s.settings) }
}

// CheckExitIP sets the function that reads [CheckResult.ExitIP] from the response of the
// target. Its body is cut off after 64 KiB. By default the body may be an address,
// contain a line ip=address, or be a JSON object with the address as ip, origin, query,
// address, ip_addr or ipAddress.
func CheckExitIP(f func(resp *http.Response, body []byte) netip.Addr) CheckOption {
	return func(s *checkSettings) error {
		if f == nil {
			return errors.New("proxypool: CheckExitIP needs a function, not nil")
		}
		s.exitIP = f
		return nil
	}
}

// Check sends a GET request for the target, which is a URL, through each proxy. It yields
// one result per proxy as soon as there is one, in no particular order. A proxy that
// fails is a result with an Err. The error that is yielded beside the result is another
// one: it is that of the context, or of an option or a target that makes checking
// impossible, and nothing follows it. Redirects are not followed.
//
// Each check makes its own connections, and closes them afterwards. If the caller leaves
// the loop, the running checks are stopped before the loop ends.
func Check(ctx context.Context, urls []*url.URL, target string, opts ...CheckOption) iter.Seq2[CheckResult, error] {
	return func(yield func(CheckResult, error) bool) {
		s := &checkSettings{settings: newSettings(), concurrency: 16, timeout: 15 * time.Second, tries: 2, exitIP: exitIPOf}
		if err := s.apply(opts); err != nil {
			yield(CheckResult{}, err)
			return
		}
		if _, err := newCheck(ctx, target); err != nil {
			yield(CheckResult{}, err)
			return
		}
		s.connectTimeout = s.timeout
		s.complete()

		ctx, cancel := context.WithCancel(ctx)
		var workers sync.WaitGroup
		defer workers.Wait()
		defer cancel()
		results := s.start(ctx, &workers, urls, target)
		for done := 1; done <= len(urls); done++ {
			select {
			case r := <-results:
				r.Done, r.Total = done, len(urls)
				if !yield(r, nil) {
					return
				}
			case <-ctx.Done():
				yield(CheckResult{}, fmt.Errorf("proxypool: %d of %d proxies are not checked: %w", len(urls)-done+1, len(urls), context.Cause(ctx)))
				return
			}
		}
	}
}

// start has workers check each proxy, until ctx ends.
func (s *checkSettings) start(ctx context.Context, workers *sync.WaitGroup, urls []*url.URL, target string) <-chan CheckResult {
	indices, results := make(chan int), make(chan CheckResult)
	for range min(s.concurrency, len(urls)) {
		workers.Go(func() {
			for i := range indices {
				select {
				case results <- s.check(ctx, i, urls[i], target):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	workers.Go(func() {
		defer close(indices)
		for i := range urls {
			select {
			case indices <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	return results
}

func (s *checkSettings) apply(opts []CheckOption) error {
	for _, opt := range opts {
		if opt == nil {
			return errors.New("proxypool: an option is nil")
		}
		if err := opt(s); err != nil {
			return err
		}
	}
	return nil
}

// newCheck returns the request of a check. Its errors do not repeat the target, which may
// contain a secret.
func newCheck(ctx context.Context, target string) (*http.Request, error) {
	if ctx == nil {
		return nil, errors.New("proxypool: the context is nil")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return nil, errors.New("proxypool: the target must be a URL of http or https with a host")
	}
	return req, nil
}

// check tries one proxy until there is a response, or no try is left.
func (s *checkSettings) check(ctx context.Context, i int, u *url.URL, target string) CheckResult {
	r := CheckResult{Index: i, Proxy: Name(u)}
	address, err := parseAddress(u)
	if err != nil {
		r.Err = fmt.Errorf("proxypool: the proxy cannot be used: %w", err)
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := newCheck(ctx, target)
	if err != nil {
		r.Err = err
		return r
	}
	for range s.tries {
		r = s.checkOnce(req, address, r)
		if r.Err == nil || errors.Is(r.Err, ErrAuthentication) || ctx.Err() != nil {
			break
		}
	}
	return r
}

// checkOnce returns r with what one try shows.
func (s *checkSettings) checkOnce(req *http.Request, address *address, r CheckResult) CheckResult {
	p := newProxy(address, s.settings)
	defer p.close()
	a := newAttempt(req, nil, choice{proxy: p})
	defer a.end()
	r.Err = nil
	began := time.Now()
	resp, v, err := a.try(req, nil)
	r.Latency = time.Since(began)
	// A silent proxy took the connection, and did nothing more.
	silent := !a.took(got|tunnelled) && (v == over || v == late || v == faulty && errors.Is(err, ErrUnreachable))
	r.Reachable = a.took(reached) && !silent
	r.Authenticated = v == served || v == refused || v != faulty && (a.took(tunnelled) || a.took(got) && !a.plain)
	if v != served {
		r.Err = &Error{Proxy: r.Proxy, Tries: 1, MayHaveArrived: a.mayHaveArrived(), Err: err}
		return r
	}
	defer func() { _ = resp.Body.Close() }()
	r.Status = resp.StatusCode
	const most = 64 << 10
	if body, err := io.ReadAll(io.LimitReader(resp.Body, most)); err == nil {
		r.ExitIP = s.exitIP(resp, body)
	}
	return r
}

// exitIPOf reads the responses of the common services that return the caller's address.
func exitIPOf(_ *http.Response, body []byte) netip.Addr {
	text := strings.TrimSpace(string(body))
	if ip, err := netip.ParseAddr(text); err == nil {
		return plainIP(ip)
	}
	var object map[string]any
	if json.Unmarshal(bytes.TrimSpace(body), &object) == nil {
		for _, name := range []string{"ip", "origin", "query", "address", "ip_addr", "ipAddress"} {
			value, _ := object[name].(string)
			first, _, _ := strings.Cut(value, ",")
			if ip, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
				return plainIP(ip)
			}
		}
		return netip.Addr{}
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ip="); ok {
			if ip, err := netip.ParseAddr(value); err == nil {
				return plainIP(ip)
			}
		}
	}
	return netip.Addr{}
}

// plainIP returns ip without a zone, and as IPv4 if it is mapped into IPv6.
func plainIP(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
