// Package youproxytest is a fake Youproxy service that runs in the process of a test
// or an example. It sells proxies, keeps the account, and fails on demand.
//
//	server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("25 USD")))
//	defer server.Close()
//	client, err := server.Client()
//	// ... the code under test spends with client ...
//	server.Orders() // what was bought
//
// It speaks the API over real HTTP, on loopback ([Server.URL]) or in memory
// ([Server.Transport], [Server.Client]), which also works inside a
// [testing/synctest] bubble.
//
// # The account
//
// The price of an order is taken off the balance. Its proxies appear in the list at
// once, or after a delay ([WithProvisioningDelay]), and stay there until their rent
// period ends. Extensions move that end. Where automatic extension is on, the server
// extends proxies by itself, as long as there is enough money. [Server.AddOrder] puts
// an order into the account without a request. Nothing runs in the background:
// whenever the account is read, everything that was due by then has happened.
// The same calls produce the same ids, addresses and passwords. [OpenServer] keeps the
// account in a file, from one run to the next.
//
// # Proxies
//
// The addresses in the list are not reachable. With [WithProxies] they are those of
// forward proxies on loopback, so that a test can send requests through what it bought:
// [Server.ProxyRequests] returns which proxies were used, and [Server.BreakProxy] makes
// one fail.
//
// # Time
//
// The server has a clock ([WithClock], [WithClockSkew]), [time.Now] by default, and
// every reply has its time in the Date header. The clock may differ from the client's, if
// both run at the same rate.
//
// # Looking inside
//
// [Server.Orders], [Server.Extensions], [Server.IPAddresses] and [Server.Balance]
// return what was executed, even if the client received another reply, or none.
// [Server.Requests] returns what was received.
//
// # Strictness
//
// A mistake in a request should show in a test. A field or a parameter that is
// unknown, missing, repeated or of the wrong type is answered with HTTP 400 and error
// code 1, whose message names the field. So is a body that is not JSON. The service
// does not document such an answer; the code is this package's own.
//
// # Failures
//
// [Server.Inject] makes single requests fail in one of the ways of [Faults], before or
// after they are executed. [Server.Refuse] makes the server refuse them with any error
// code. Both are used up request by request; a test can end with
//
//	require.Empty(t, server.Pending())
//
// to check that all of them were used up.
//
// # Other services
//
// Much of the service is not documented, and a client should work with whatever it
// turns out to be. [WithListShape] sets the form of the list of proxies and of its
// dates, down to a template of the whole reply. [WithRotateByLink] lets mobile proxies
// rotate by a link alone. [WithPricePerProxy] and [WithTotalBesidePrice] change what a
// price means, [Server.SetPrice] changes prices, and [WithNullBalances] leaves out
// balances. [WithExtensionEnd] and [WithRenewedIDs] change what an extension does.
// [WithCache] puts a cache between the client and the service, and [WithoutDate] leaves
// out the time of replies.
//
// # What is made up
//
// Replies are those of the documentation, down to the order of their members, where it
// shows them. The following is made up: countries, prices, rent periods and operators;
// the replies of GET /proxyType and /mobileOperator; the records of GET /ipAddress;
// which error code a request gets where several fit; and the messages of codes for
// which the documentation has none. A price is the price of 30 days in proportion to
// the days, rounded up to cents. An order may be for up to 1000 proxies. A goal is refused
// if it is blank or contains the word spam.
package youproxytest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
)

// DefaultAPIKey is the key that a [Server] accepts unless [WithAPIKey] sets another.
const DefaultAPIKey = "youproxytest-key"

// memoryURL is the base URL of clients over [Server.Transport], whose dialer
// does not look at the address.
const memoryURL = "http://127.0.0.1"

// Server is a Youproxy service with one account. It is safe for concurrent use. Make
// it with [NewServer] or [OpenServer], and call [Server.Close] when it is no longer needed.
type Server struct {
	apiKey      string
	keys        *regexp.Regexp   // finds the key in a string; nil for an empty key
	allowed     []netip.Prefix   // callers; nil for all
	clock       func() time.Time // see now
	skew        time.Duration
	noDate      bool
	commitDelay time.Duration
	http        http.Server

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
	mishaps   map[string][]mishap // by operation
	late      []lateCall
	cache     cache
	account   account // see look
	history   *history
}

// Option configures a [Server].
type Option func(*Server)

// NewServer returns a new server. It starts no goroutines, so it can be called inside a
// [testing/synctest] bubble. A server that is used in a bubble must be made there.
func NewServer(opts ...Option) *Server {
	s := &Server{
		apiKey:      DefaultAPIKey,
		clock:       time.Now,
		commitDelay: time.Minute,
		closed:      make(chan struct{}),
		mishaps:     make(map[string][]mishap),
		account:     newAccount(),
	}
	for _, opt := range opts {
		opt(s)
	}
	s.keys = keyPattern(s.apiKey)
	s.http.Handler = s
	s.http.ConnState = s.count
	s.http.ConnContext = withProxy
	return s
}

// WithAPIKey sets the only key that the server accepts.
func WithAPIKey(key string) Option {
	return func(s *Server) { s.apiKey = key }
}

// WithBalance sets the initial balance of the account, 100 USD by default. Prices are
// in the same currency.
func WithBalance(m youproxy.Money) Option {
	return func(s *Server) { s.account.balance = m }
}

// WithAllowedIPs refuses callers from all other addresses with error code 3. Requests
// over [Server.Transport] come from 127.0.0.1. Without a prefix, all callers are refused.
func WithAllowedIPs(prefixes ...netip.Prefix) Option {
	return func(s *Server) { s.allowed = append([]netip.Prefix{}, prefixes...) }
}

// APIKey returns the key that the server accepts.
func (s *Server) APIKey() string { return s.apiKey }

// URL returns the base URL of the server on loopback, such as
// "http://127.0.0.1:40001". The first call starts the listener. URL panics if that is
// not possible.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.url != "" {
		return s.url
	}
	if s.over {
		panic("youproxytest: the server is closed: call URL before Close")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("youproxytest: cannot listen on loopback: " + err.Error())
	}
	s.url = "http://" + l.Addr().String()
	s.serve(l)
	return s.url
}

// Transport returns a round tripper that reaches the server in memory, without a
// socket, whatever the address. It takes http URLs, not https. Every call returns the
// same round tripper.
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

// Client returns a new client of the server that uses [Server.Transport]. The options
// are applied after those that connect it.
func (s *Server) Client(opts ...youproxy.Option) (*youproxy.Client, error) {
	return youproxy.New(s.apiKey, append([]youproxy.Option{
		youproxy.WithBaseURL(memoryURL),
		youproxy.WithHTTPClient(&http.Client{Transport: s.Transport()}),
	}, opts...)...)
}

// Close stops the server. It drops all connections, releases the requests that a
// fault holds, and returns when no goroutine of the server is left. What the server
// has recorded can still be read. Close can be called more than once.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.mu.Lock()
		s.over = true
		transport := s.transport
		proxies, orders := s.account.proxies, s.account.orders
		s.mu.Unlock()

		if proxies != nil {
			proxies.close(orders)
		}
		close(s.closed)
		_ = s.http.Close()
		s.serving.Wait()
		_ = s.http.Close() // of a connection that was being accepted
		s.handlers.Wait()
		s.conns.Wait()
		s.mu.Lock()
		s.history.close()
		s.mu.Unlock()
		if transport != nil {
			transport.CloseIdleConnections()
		}
	})
}

// serve answers the requests that l accepts. The caller holds mu.
func (s *Server) serve(l net.Listener) {
	s.serving.Go(func() {
		err := s.http.Serve(l)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			panic("youproxytest: the server failed: " + err.Error())
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
