// Package youproxytest is a Youproxy in the process of a test or an example: it
// sells proxies, keeps an account with a ledger, and fails on demand.
//
//	server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("25 USD")))
//	defer server.Close()
//	client, err := server.Client()
//	// ... what is to be tested spends with client ...
//	server.Orders() // what was bought
//
// It speaks the API over real HTTP, on loopback ([Server.URL]) or in memory
// ([Server.Transport], [Server.Client]), which also works inside a
// [testing/synctest] bubble.
//
// # The account
//
// An order takes its price off the balance and becomes proxies, which the list
// shows at once, or some time later ([WithProvisioningDelay]), until their period
// ends. Extensions move that end, and where automatic extension is on it moves by
// itself, as long as the money suffices. [Server.AddOrder] puts an order into the
// account that nobody asked for over the API. All of it goes by the clock of the
// server ([WithClock]), and whatever is due by then has happened whenever one
// looks: nothing runs in the background. The same calls give the same ids,
// addresses and passwords.
//
// # Looking inside
//
// [Server.Orders], [Server.Extensions], [Server.IPAddresses] and [Server.Balance]
// tell what was executed, whatever the client was told; [Server.Requests] tells
// what was asked for.
//
// # Strictness
//
// A mistake in a request is to show in a test. A field or a parameter too many, too
// few or given twice, a value of another type, or anything but JSON is answered
// with HTTP 400 and error code 1, whose message names the field. That code is this
// package's own: the service has no such documented answer.
//
// # Failing
//
// [Server.Inject] makes single calls fail: it drops, delays or garbles them, before
// or after they were executed. [Server.Refuse] makes the service say no, with any
// error code. The service documents the list of proxies badly: [WithListShape] and
// [Server.SetListShape] give it in all the shapes that may be met.
//
// # What is made up
//
// Replies are those of the documentation, to the order of their members, where it
// shows them. Made up are countries, prices, rent periods and operators, the
// replies of GET /proxyType and /mobileOperator, the records of GET /ipAddress,
// what is refused with which code where several fit, and the messages of the codes
// for which none is printed. A price is that of 30 days times the days, rounded up
// to cents. An order takes up to 1000 proxies. A goal is refused where it is blank
// or holds the word spam.
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

// DefaultAPIKey is the key a [Server] takes unless [WithAPIKey] sets another.
const DefaultAPIKey = "youproxytest-key"

// memoryURL is the base URL of clients over [Server.Transport], whose dialer
// does not look at the address.
const memoryURL = "http://127.0.0.1"

// Server is a Youproxy with one account. It is safe for concurrent use. Make it
// with [NewServer], and [Server.Close] it in the end.
type Server struct {
	apiKey      string
	keys        *regexp.Regexp // the key as it may stand in a text; nil for an empty key
	allowed     []netip.Prefix // callers; nil for all
	now         func() time.Time
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
	account   account // see look
}

// Option sets one thing about a [Server].
type Option func(*Server)

// NewServer makes a server. It starts nothing by itself, so it can be made inside
// a [testing/synctest] bubble; one that is used there must be made there.
func NewServer(opts ...Option) *Server {
	s := &Server{
		apiKey:      DefaultAPIKey,
		now:         time.Now,
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

// WithAllowedIPs refuses callers from other addresses with error code 3. What
// comes over [Server.Transport] comes from 127.0.0.1. Without any prefix nobody is
// allowed.
func WithAllowedIPs(prefixes ...netip.Prefix) Option {
	return func(s *Server) { s.allowed = append([]netip.Prefix{}, prefixes...) }
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
