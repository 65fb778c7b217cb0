package main

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// service is where this program buys, as the environment says.
type service struct {
	key     string // empty: of a fake
	baseURL string // empty: of the real service or, without a key, of the built-in fake
}

func serviceFromEnv() service {
	return service{key: os.Getenv("YOUPROXY_API_KEY"), baseURL: os.Getenv("YOUPROXY_BASE_URL")}
}

// builtIn reports whether it is the fake in this process.
func (s service) builtIn() bool { return s.key == "" && s.baseURL == "" }

// local reports whether it is on this machine, and so surely not the real one.
func (s service) local() bool { return s.builtIn() || isLoopback(s.baseURL) }

// asks reports whether real money may be spent.
func (s service) asks() bool { return s.key != "" }

// name is what the journal calls it.
func (s service) name() string {
	if s.builtIn() {
		return "built-in fake"
	}
	return strings.TrimRight(cmp.Or(s.baseURL, youproxy.DefaultBaseURL), "/")
}

// String tells a person what it is, where there is no key.
func (s service) String() string {
	if s.builtIn() {
		return "a fake Youproxy inside this program"
	}
	return "the fake Youproxy at " + s.name()
}

// connect makes a client of the service, with what the flags say about it.
func (s service) connect(o *options) (client *youproxy.Client, closeClient func(), err error) {
	with := []youproxy.Option{youproxy.WithReconcilePatience(o.patience)}
	if o.fault == crashAfterSend {
		with = append(with, youproxy.WithMiddleware(crashing))
	}
	switch {
	case s.builtIn():
		fake := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("25 USD")))
		switch o.fault {
		case dropAfterCommit:
			fake.Inject("POST /order", youproxytest.DropAfterCommit)
		case dropBeforeCommit:
			fake.Inject("POST /order", youproxytest.DropBeforeCommit)
		}
		client, err = fake.Client(with...)
		return client, fake.Close, err
	case s.key == "" && s.local():
		client, err = youproxy.New(youproxytest.DefaultAPIKey, append(with, youproxy.WithBaseURL(s.baseURL))...)
	default:
		client, err = youproxy.NewFromEnv(with...)
	}
	return client, client.CloseIdleConnections, err
}

func isLoopback(baseURL string) bool {
	u, err := url.Parse(baseURL)
	if err != nil {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}

// exit ends the program; a test replaces it.
var exit = os.Exit

// crashing ends the program as soon as an order was answered.
func crashing(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		quote := strings.HasSuffix(r.URL.Path, "/calculate/order")
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/order") && !quote {
			exit(3)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
