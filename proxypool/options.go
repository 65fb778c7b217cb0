package proxypool

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Option changes how a [Pool] works.
type Option func(*settings) error

// settings is what the options set.
type settings struct {
	strategy       strategy
	tries          int
	connectTimeout time.Duration
	firstRest      time.Duration
	longestRest    time.Duration
	base           *http.Transport
	logger         *slog.Logger
	banned         func(*http.Response) bool
	rotateRequests int
	rotateAge      time.Duration
	idle           *idleConns
	dialer         *dialer // of base, or of what stands for it; set by complete
}

func newSettings() *settings {
	return &settings{
		strategy:       &roundRobin{},
		tries:          10,
		connectTimeout: 10 * time.Second,
		firstRest:      time.Second,
		longestRest:    time.Minute,
		idle:           newIdleConns(),
	}
}

// complete is called after the options.
func (s *settings) complete() { s.dialer = newDialer(s.newTransport()) }

// WithTries sets through how many proxies a request is tried at most. The default is 10.
// No proxy is tried twice for a request.
func WithTries(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: WithTries needs a number above 0, not %d", n)
		}
		s.tries = n
		return nil
	}
}

// WithConnectTimeout sets how long making a connection may take, including the
// handshakes with the proxy and with the target. The default is 10 seconds. A proxy that
// takes longer rests.
func WithConnectTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("proxypool: WithConnectTimeout needs a duration above 0, not %s", d)
		}
		s.connectTimeout = d
		return nil
	}
}

// WithRest sets how long a proxy rests at first, and at most. Each rest in a row is twice
// as long as the one before, plus or minus a tenth. The defaults are a second and a
// minute.
func WithRest(first, longest time.Duration) Option {
	return func(s *settings) error {
		if first <= 0 || longest < first {
			return fmt.Errorf("proxypool: WithRest needs a first rest above 0 and a longest that is not shorter, not %s and %s", first, longest)
		}
		s.firstRest, s.longestRest = first, longest
		return nil
	}
}

// WithTransport sets the transport that those of the proxies are copies of, without its
// Proxy. Each copy is made when its proxy is first used, so base must not be changed. If
// golang.org/x/net/http2 has configured base, the copies use the HTTP/2 of net/http
// instead, since they would share connections otherwise. The default is a copy of
// [http.DefaultTransport] with 16 idle connections per host.
func WithTransport(base *http.Transport) Option {
	return func(s *settings) error {
		if base == nil {
			return errors.New("proxypool: WithTransport needs a transport, not nil")
		}
		s.base = base
		return nil
	}
}

// WithLogger sets the logger for three events: a proxy begins to rest, or to rest for a
// host that bans it (level Warn), and a rest that is not for a single host has ended (level
// Info). By default nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error {
		if l == nil {
			return errors.New("proxypool: WithLogger needs a logger, not nil")
		}
		s.logger = l
		return nil
	}
}

// WithRotation makes each proxy use new connections after a number of requests, or after
// its connections have been used for a time, whichever comes first. Zero means no bound,
// which is the default for both. Behind a gateway that uses another exit for each
// connection, that changes the exit: WithRotation(1, 0) does so for each request.
// Running requests are not interrupted.
func WithRotation(requests int, age time.Duration) Option {
	return func(s *settings) error {
		if requests < 0 || age < 0 {
			return fmt.Errorf("proxypool: WithRotation needs a number and a duration that are not negative, not %d and %s", requests, age)
		}
		s.rotateRequests, s.rotateAge = requests, age
		return nil
	}
}

// newTransport returns the transport that those of the proxies are copies of.
func (s *settings) newTransport() *http.Transport {
	if s.base != nil {
		t := s.base.Clone()
		separate(t)
		if b := s.base; b.TLSClientConfig == nil && b.DialContext == nil && b.DialTLSContext == nil && !hasOldDialer(b) {
			t.ForceAttemptHTTP2 = true // net/http does so, unless there is a dialer, which a pool sets
		}
		return t
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 16
		separate(t)
		return t
	}
	return &http.Transport{ // the program has replaced http.DefaultTransport
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// separate keeps a copy from sharing the HTTP/2 connections of its original, which
// x/net/http2 causes.
func separate(t *http.Transport) {
	if t.TLSNextProto["h2"] != nil {
		t.TLSNextProto, t.ForceAttemptHTTP2 = nil, true
	}
}

func hasOldDialer(t *http.Transport) bool {
	return t.Dial != nil || t.DialTLS != nil //nolint:staticcheck // callers may still use them
}
