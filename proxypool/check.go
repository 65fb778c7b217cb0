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

// CheckResult is what a check shows of a proxy. No password is in it.
type CheckResult struct {
	Index int    `json:"index"` // of the proxy in the list
	Proxy string `json:"proxy"` // as of [Name]

	Reachable     bool          `json:"reachable"`     // a connection with the proxy came about
	Authenticated bool          `json:"authenticated"` // and it accepts its login
	Status        int           `json:"status"`        // HTTP status of the target; 0 without a response
	Latency       time.Duration `json:"latency"`       // until the header of the response, with all handshakes; in JSON in nanoseconds
	ExitIP        netip.Addr    `json:"exitIP"`        // from where the target saw the request come; zero if it does not tell

	// Err is why there is no response; nil if there is one, of whatever status.
	Err error `json:"-"`

	// Done and Total tell how many of the list are checked.
	Done  int `json:"done"`
	Total int `json:"total"`
}

// OK reports whether the target has answered through the proxy.
func (r CheckResult) OK() bool { return r.Err == nil && r.Status != 0 }

// String tells it in a line.
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

// MarshalJSON writes the fields, and Err as the text error.
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

// LogValue returns the fields.
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

// CheckConcurrency bounds how many proxies are checked at once: 16 unless it is
// set.
func CheckConcurrency(n int) CheckOption {
	return func(s *checkSettings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: CheckConcurrency takes 1 or more, not %d", n)
		}
		s.concurrency = n
		return nil
	}
}

// CheckTimeout bounds how long the check of one proxy may take, with all its tries:
// 15 seconds unless it is set.
func CheckTimeout(d time.Duration) CheckOption {
	return func(s *checkSettings) error {
		if d <= 0 {
			return fmt.Errorf("proxypool: CheckTimeout takes more than 0, not %s", d)
		}
		s.timeout = d
		return nil
	}
}

// CheckTries sets how often a proxy is tried before it counts as failed: 2 times
// unless it is set. Each try makes a new connection, at once, as long as the time of
// [CheckTimeout] is not over. Any answer of the target ends the check, whatever its
// status, and so does a proxy that does not accept its login.
func CheckTries(n int) CheckOption {
	return func(s *checkSettings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: CheckTries takes 1 or more, not %d", n)
		}
		s.tries = n
		return nil
	}
}

// CheckTransport sets what the transports are made like, as [WithTransport] does.
func CheckTransport(base *http.Transport) CheckOption {
	return func(s *checkSettings) error { return WithTransport(base)(s.settings) }
}

// CheckExitIP sets how the target tells from where it saw the request come. Up to
// 64 KiB of its answer are read. Without it that is an answer which is an
// address, a line ip=address, or a JSON object with the address as ip, origin,
// query, address, ip_addr or ipAddress.
func CheckExitIP(f func(resp *http.Response, body []byte) netip.Addr) CheckOption {
	return func(s *checkSettings) error {
		if f == nil {
			return errors.New("proxypool: CheckExitIP takes a function, not nil")
		}
		s.exitIP = f
		return nil
	}
}

// Check asks the target, with GET, through every proxy, and yields the results as
// they come: one a proxy, in no order. A proxy that fails is a result; the error
// is of what makes checking impossible, such as an option or the target, or of the
// context, and ends it. Redirects are not followed.
//
// Each proxy gets a connection of its own, which is closed afterwards. When the
// loop ends, so do the checks under way, before it goes on.
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

// newCheck makes the request. Its errors do not repeat the target, which may hold
// a secret.
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

// check tries one proxy, until it has an answer or is given up.
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
	// Or it took the connection, and did nothing more.
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

// exitIPOf reads the answers of the common services that tell an address.
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

// plainIP is ip without a zone, and as IPv4 where it is that.
func plainIP(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
