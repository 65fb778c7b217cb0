// Package youproxytest is a Youproxy in the process of a test or an example: it
// sells proxies, keeps a balance and a ledger, and fails on demand.
//
// It speaks the documented API over real HTTP, on loopback ([Server.URL]) or in
// memory ([Server.Transport]), which also works inside a [testing/synctest]
// bubble. [Server.Inject] makes it drop, delay or garble single calls, and
// [Server.Orders] tells what was executed all the same.
//
// It is strict, so that a mistake in a request shows in a test. A request with a
// field too many, a field too few, a value of another type, a field given twice,
// or anything but JSON is answered with HTTP 400 and error code 1, whose message
// names the field. That code is this package's own: the service has no such
// documented answer. Countries, periods, prices and operators are made up, too.
package youproxytest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"regexp"
	"sync"

	"github.com/youproxy-go/youproxy"
)

// DefaultAPIKey is the key a [Server] takes unless [WithAPIKey] sets another.
const DefaultAPIKey = "youproxytest-key"

// memoryURL is the base URL of clients over [Server.Transport], whose dialer
// does not look at the address.
const memoryURL = "http://127.0.0.1"

// Server is a Youproxy with one account. It is safe for concurrent use. Make it
// with [NewServer], and [Server.Close] it in the end.
type Server struct {
	apiKey string
	keys   *regexp.Regexp // the key as it may stand in a text; nil for an empty key
	http   http.Server

	closing  sync.Once
	closed   chan struct{}
	serving  sync.WaitGroup // listeners
	handlers sync.WaitGroup
	conns    sync.WaitGroup

	mu        sync.Mutex
	over      bool
	url       string
	transport *http.Transport
	requests  []Request
	faults    map[string][]Fault
	account   account
}

// Option sets one thing about a [Server].
type Option func(*Server)

// NewServer makes a server. It starts nothing by itself, so it can be made inside
// a [testing/synctest] bubble; one that is used there must be made there.
func NewServer(opts ...Option) *Server {
	s := &Server{
		apiKey:  DefaultAPIKey,
		closed:  make(chan struct{}),
		faults:  make(map[string][]Fault),
		account: newAccount(),
	}
	for _, opt := range opts {
		opt(s)
	}
	s.keys = keyPattern(s.apiKey)
	s.http.Handler = s
	s.http.ConnState = s.count
	return s
}

// WithAPIKey sets the one key the server takes.
func WithAPIKey(key string) Option {
	return func(s *Server) { s.apiKey = key }
}

// WithBalance sets what the account holds, 100 USD by default. Prices are in the
// same currency.
func WithBalance(m youproxy.Money) Option {
	return func(s *Server) { s.account.balance = m }
}

// APIKey gives the key the server takes.
func (s *Server) APIKey() string { return s.apiKey }

// URL gives the base URL of the server on loopback, such as
// "http://127.0.0.1:40001". The first call starts to listen. It panics where
// that is not possible.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.url != "" {
		return s.url
	}
	if s.over {
		panic("youproxytest: the server is closed: ask for its URL before")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("youproxytest: cannot listen on loopback: " + err.Error())
	}
	s.url = "http://" + l.Addr().String()
	s.serve(l)
	return s.url
}

// Transport gives a round tripper that reaches the server in memory, whatever
// the address, without a socket. Its requests are of http, not https. Every call
// gives the same one.
func (s *Server) Transport() http.RoundTripper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport == nil {
		l := newMemoryListener()
		s.transport = &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return l.dial(ctx)
			},
			MaxIdleConnsPerHost: 16,
			DisableCompression:  true,
		}
		s.serve(l)
	}
	return s.transport
}

// Client makes a client of the server, over [Server.Transport]. The options come
// after those that connect it.
func (s *Server) Client(opts ...youproxy.Option) (*youproxy.Client, error) {
	return youproxy.New(s.apiKey, append([]youproxy.Option{
		youproxy.WithBaseURL(memoryURL),
		youproxy.WithHTTPClient(&http.Client{Transport: s.Transport()}),
	}, opts...)...)
}

// Close stops the server: it drops all connections, releases the requests a
// fault holds, and returns when nothing of it runs any more. What the server has
// recorded can still be read. Closing it twice is no mistake.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.mu.Lock()
		s.over = true
		transport := s.transport
		s.mu.Unlock()

		close(s.closed)
		_ = s.http.Close()
		s.serving.Wait()
		_ = s.http.Close() // of a connection that was being accepted
		s.handlers.Wait()
		s.conns.Wait()
		if transport != nil {
			transport.CloseIdleConnections()
		}
	})
}

// serve answers what comes in through l. The caller holds mu.
func (s *Server) serve(l net.Listener) {
	s.serving.Go(func() {
		err := s.http.Serve(l)
		if !errors.Is(err, http.ErrServerClosed) {
			panic("youproxytest: the server broke down: " + err.Error())
		}
	})
}

// count follows the connections, so that Close can wait for their end.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}
