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

// settings is what options say.
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

// complete is called when the options are set.
func (s *settings) complete() { s.dialer = newDialer(s.newTransport()) }

// WithTries bounds through how many proxies one request is tried: 10 unless it
// is set. No proxy is tried twice for a request.
func WithTries(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return fmt.Errorf("proxypool: WithTries takes 1 or more, not %d", n)
		}
		s.tries = n
		return nil
	}
}

// WithConnectTimeout bounds how long making a connection may take, with the
// proxy's and the target's handshakes: 10 seconds unless it is set. A proxy that
// takes longer to let a request through rests.
func WithConnectTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("proxypool: WithConnectTimeout takes more than 0, not %s", d)
		}
		s.connectTimeout = d
		return nil
	}
}

// WithRest sets how long a proxy rests that failed, and up to how long when it
// fails again and again: each pause is twice as long as the one before, give or
// take a tenth. It is a second, up to a minute, unless it is set.
func WithRest(first, longest time.Duration) Option {
	return func(s *settings) error {
		if first <= 0 || longest < first {
			return fmt.Errorf("proxypool: WithRest takes two times above 0 in order, not %s and %s", first, longest)
		}
		s.firstRest, s.longestRest = first, longest
		return nil
	}
}

// WithTransport sets what the transports are made like: each is a copy of base
// with a proxy of its own, made when the proxy is first needed: base must not be
// changed. Where x/net/http2 has configured base, the copies take the HTTP/2 of
// net/http, as they would share connections otherwise. Without it that is a copy of [http.DefaultTransport]
// with 16 idle connections a host.
func WithTransport(base *http.Transport) Option {
	return func(s *settings) error {
		if base == nil {
			return errors.New("proxypool: WithTransport takes a transport, not nil")
		}
		s.base = base
		return nil
	}
}

// WithLogger sets what is told when a proxy begins to rest, and when it is back.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error {
		if l == nil {
			return errors.New("proxypool: WithLogger takes a logger, not nil")
		}
		s.logger = l
		return nil
	}
}

// WithRotation has a proxy get new connections after a number of requests, or when
// its connections have been in use for a time, whichever is first; 0 stands for no
// bound. Behind a gateway that takes another exit for each connection, that changes
// the exit: WithRotation(1, 0) for each request. What is under way is not cut.
func WithRotation(requests int, age time.Duration) Option {
	return func(s *settings) error {
		if requests < 0 || age < 0 {
			return fmt.Errorf("proxypool: WithRotation takes a number and a time from 0 on, not %d and %s", requests, age)
		}
		s.rotateRequests, s.rotateAge = requests, age
		return nil
	}
}

// newTransport makes the transport that those of the proxies are copies of.
func (s *settings) newTransport() *http.Transport {
	if s.base != nil {
		t := s.base.Clone()
		separate(t)
		if b := s.base; b.TLSClientConfig == nil && b.DialContext == nil && b.DialTLSContext == nil && !hasOldDialer(b) {
			t.ForceAttemptHTTP2 = true // as net/http has it, without the dialer that a pool puts in
		}
		return t
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 16
		separate(t)
		return t
	}
	return &http.Transport{ // a program has put another one there
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// separate keeps a copy from sharing the HTTP/2 connections of what it is a copy
// of, which x/net/http2 would have it do.
func separate(t *http.Transport) {
	if t.TLSNextProto["h2"] != nil {
		t.TLSNextProto, t.ForceAttemptHTTP2 = nil, true
	}
}

func hasOldDialer(t *http.Transport) bool {
	return t.Dial != nil || t.DialTLS != nil //nolint:staticcheck // callers may still use them
}
