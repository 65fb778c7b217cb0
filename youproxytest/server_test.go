package youproxytest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestServerStartsNothingByItself(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		s := youproxytest.NewServer()
		s.Close()
		s.Close()
	})
	goleak.VerifyNone(t)
}

func TestURLAndTransportStayTheSame(t *testing.T) {
	s := newServer(t)
	url, transport := s.URL(), s.Transport()
	assert.Equal(t, url, s.URL())
	assert.Regexp(t, `^http://127\.0\.0\.1:\d+$`, s.URL())
	assert.Same(t, transport, s.Transport())
}

func TestOneAccountOverBothWays(t *testing.T) {
	s := newServer(t, youproxytest.WithAPIKey("another-key"))
	assert.Equal(t, "another-key", s.APIKey())
	loopback, err := youproxy.New("another-key", youproxy.WithBaseURL(s.URL()))
	require.NoError(t, err)
	defer loopback.CloseIdleConnections()
	_, err = loopback.CreateOrder(t.Context(), ipv4Order)
	require.NoError(t, err)
	order, err := newClient(t, s).CreateOrder(t.Context(), ipv4Order)
	require.NoError(t, err)
	assert.Equal(t, "94.76 USD", order.Balance.String())
	assert.Len(t, s.Orders(), 2)

	stranger, err := youproxy.New("wrong-key", youproxy.WithBaseURL(s.URL()))
	require.NoError(t, err)
	defer stranger.CloseIdleConnections()
	_, err = stranger.CreateOrder(t.Context(), ipv4Order)
	require.ErrorIs(t, err, youproxy.ErrInvalidAPIKey)
	assert.Len(t, s.Orders(), 2)
}

func TestServerIsAHandler(t *testing.T) {
	s := newServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.StripPrefix("/fake", s), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	defer serving.Wait()
	defer func() { _ = server.Close() }()
	c, err := youproxy.New(s.APIKey(), youproxy.WithBaseURL("http://"+l.Addr().String()+"/fake"))
	require.NoError(t, err)
	defer c.CloseIdleConnections()
	_, err = c.Balance(t.Context())
	require.NoError(t, err)
}

func TestRequestsHoldNoKey(t *testing.T) {
	s := newServer(t, youproxytest.WithAPIKey("Secret%Key+1"))
	c := newClient(t, s)
	r := ipv4Order
	r.Goal = "the key is SECRET%kEY+1"
	_, err := c.CreateOrder(t.Context(), r)
	require.NoError(t, err)
	for _, path := range []string{"/Secret%25Key+1", "/client/api/v1/Secret%25Key+1/Secret%25Key+1", "/client/api/v1/Secret%25Key+1/balance?Secret%25Key%2B1=Secret%25Key%2B1"} {
		sendTo(t, s, http.MethodGet, path, "", "")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/client/api/v1/Secret%25Key+1/balance", nil)
	require.NoError(t, err)
	req.Header.Set("Referer", "http://127.0.0.1/client/api/v1/Secret%25Key+1/balance")
	resp, err := s.Transport().RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	received := s.Requests()
	require.Len(t, received, 5)
	assert.Equal(t, "POST /order", received[0].Op)
	assert.Contains(t, string(received[0].Body), `"goal":"the key is ***"`)
	assert.Equal(t, "application/json", received[0].Header.Get("Content-Type"))
	assert.Equal(t, "GET /***", received[1].Op)
	assert.Equal(t, "http://127.0.0.1/client/api/v1/***/balance", received[4].Header.Get("Referer"))
	for _, r := range received {
		shown := strings.ToLower(fmt.Sprintf("%v %s %v %v", r.Op, r.Body, r.Header, r.Query))
		assert.NotContains(t, shown, "secret%")
	}
}

func TestKeyThatIsPartOfAPath(t *testing.T) {
	s := newServer(t, youproxytest.WithAPIKey("order"))
	_, err := newClient(t, s).CreateOrder(t.Context(), ipv4Order)
	require.NoError(t, err)
	assert.Equal(t, "POST /order", s.Requests()[0].Op)
}

func TestWhatIsGivenOutIsACopy(t *testing.T) {
	s := newServer(t)
	send(t, s, "POST /order", ipv4Body)
	send(t, s, "GET /balance?a=b", "")
	orders, requests := s.Orders(), s.Requests()
	orders[0].Country = "X"
	requests[0].Body[0] = 'X'
	requests[0].Header.Set("Content-Type", "X")
	requests[1].Query.Set("a", "X")
	assert.Equal(t, "USA", s.Orders()[0].Country)
	assert.Equal(t, ipv4Body, string(s.Requests()[0].Body))
	assert.Equal(t, "application/json", s.Requests()[0].Header.Get("Content-Type"))
	assert.Equal(t, "b", s.Requests()[1].Query.Get("a"))
}

func TestCloseReleasesWhatIsHeld(t *testing.T) {
	s := youproxytest.NewServer()
	memory := newClient(t, s)
	loopback, err := youproxy.New(s.APIKey(), youproxy.WithBaseURL(s.URL()))
	require.NoError(t, err)
	s.Inject("POST /order", youproxytest.Slow, youproxytest.Slow, youproxytest.Slow, youproxytest.Slow)
	var calls sync.WaitGroup
	for _, c := range []*youproxy.Client{memory, loopback} {
		calls.Go(func() {
			_, err := c.CreateOrder(context.Background(), ipv4Order)
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
			assert.Error(t, err)
		})
	}
	require.Eventually(t, func() bool { return len(s.Orders()) == 2 }, time.Minute, time.Millisecond)
	var closing sync.WaitGroup
	closing.Go(s.Close)
	closing.Go(s.Close)
	closing.Wait()
	calls.Wait()
	goleak.VerifyNone(t)

	assert.Len(t, s.Orders(), 2, "the ledger can be read afterwards")
	_, err = memory.CreateOrder(context.Background(), ipv4Order)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), err)
	_, err = loopback.CreateOrder(context.Background(), ipv4Order)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), err)
	assert.Len(t, s.Requests(), 2)
	s.Close()
}

func TestUseAfterClose(t *testing.T) {
	s := youproxytest.NewServer()
	s.Close()
	assert.Panics(t, func() { s.URL() })
	_, err := newClient(t, s).CreateOrder(t.Context(), ipv4Order)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), err)
	assert.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { s.ServeHTTP(nil, nil) })
	goleak.VerifyNone(t)
}

func TestCloseWhileDialing(t *testing.T) {
	for range 50 {
		s := youproxytest.NewServer()
		c := newClient(t, s, youproxy.WithReadRetries(0))
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() { _, _ = c.Balance(context.Background()) })
		}
		s.Close()
		calls.Wait()
	}
	goleak.VerifyNone(t)
}

func TestTooLargeABodyIsNotRead(t *testing.T) {
	s := newServer(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/client/api/v1/"+s.APIKey()+"/order", strings.NewReader(strings.Repeat(" ", 2<<20)))
	require.NoError(t, err)
	resp, err := s.Transport().RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
	assert.Empty(t, s.Requests())
}
