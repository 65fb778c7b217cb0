package youproxytest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var faultCases = []struct {
	fault   youproxytest.Fault
	name    string
	status  int // of the error
	outcome youproxy.Outcome
	orders  int
}{
	{youproxytest.DropBeforeCommit, "DropBeforeCommit", 0, youproxy.OutcomeUnknown, 0},
	{youproxytest.DropAfterCommit, "DropAfterCommit", 0, youproxy.OutcomeUnknown, 1},
	{youproxytest.BadGateway, "BadGateway", 502, youproxy.OutcomeUnknown, 0},
	{youproxytest.ServiceUnavailable, "ServiceUnavailable", 503, youproxy.OutcomeUnknown, 0},
	{youproxytest.TooManyRequests, "TooManyRequests", 429, youproxy.OutcomeRejected, 0},
	{youproxytest.InternalError, "InternalError", 500, youproxy.OutcomeUnknown, 0},
	{youproxytest.HTMLPage, "HTMLPage", 200, youproxy.OutcomeUnknown, 0},
	{youproxytest.Truncated, "Truncated", 200, youproxy.OutcomeUnknown, 1},
	{youproxytest.EmptyReply, "EmptyReply", 200, youproxy.OutcomeUnknown, 1},
	{youproxytest.Slow, "Slow", 0, youproxy.OutcomeUnknown, 1},
	{youproxytest.Redirect, "Redirect", 307, youproxy.OutcomeUnknown, 0},
	{youproxytest.EchoKey, "EchoKey", 404, youproxy.OutcomeRejected, 0},
}

func TestFaults(t *testing.T) {
	clients := map[string]func(*testing.T, *youproxytest.Server) *youproxy.Client{
		"in memory": func(t *testing.T, s *youproxytest.Server) *youproxy.Client { return newClient(t, s) },
		"loopback": func(t *testing.T, s *youproxytest.Server) *youproxy.Client {
			c, err := youproxy.New(s.APIKey(), youproxy.WithBaseURL(s.URL()))
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)
			return c
		},
	}
	for _, tc := range faultCases {
		for where, client := range clients {
			t.Run(tc.name+" "+where, func(t *testing.T) {
				assert.Equal(t, tc.name, tc.fault.String())
				s := newServer(t)
				c, err := client(t, s).With(youproxy.WithTimeouts(youproxy.Timeouts{Spend: 200 * time.Millisecond}))
				require.NoError(t, err)
				s.Inject("POST /order", tc.fault)

				_, err = c.CreateOrder(t.Context(), ipv4Order)
				require.Error(t, err)
				assert.Equal(t, tc.outcome, youproxy.OutcomeOf(err), err)
				assert.NotContains(t, err.Error(), s.APIKey())
				var lost *youproxy.CallError
				require.ErrorAs(t, err, &lost)
				assert.Equal(t, tc.status, lost.HTTPStatus)
				assert.Equal(t, tc.fault == youproxytest.Redirect, errors.Is(err, youproxy.ErrRedirect))
				assert.Equal(t, tc.fault == youproxytest.TooManyRequests, lost.RetryAfter == time.Second)
				assert.Len(t, s.Orders(), tc.orders)
				received := s.Requests()
				require.Len(t, received, 1)
				assert.Equal(t, tc.fault, received[0].Fault)

				_, err = c.CreateOrder(t.Context(), ipv4Order)
				require.NoError(t, err, "a fault is used up by one request")
				assert.Len(t, s.Orders(), tc.orders+1)
			})
		}
	}
}

func TestFaultsAreUsedUpInOrder(t *testing.T) {
	s := newServer(t)
	s.Inject("POST /order", youproxytest.EchoKey)
	s.Inject("POST /order", youproxytest.BadGateway, youproxytest.TooManyRequests)
	var got []int
	for range 4 {
		status, _, _ := send(t, s, "POST /order", ipv4Body)
		got = append(got, status)
	}
	assert.Equal(t, []int{404, 502, 429, 200}, got)
	status, _, _ := send(t, s, "GET /balance", "")
	assert.Equal(t, 200, status, "a fault is of one operation")
}

func TestFaultsThatShowTheKey(t *testing.T) {
	s := newServer(t)
	s.Inject("POST /order", youproxytest.EchoKey, youproxytest.Redirect)
	status, _, page := send(t, s, "POST /order", ipv4Body)
	assert.Equal(t, http.StatusNotFound, status)
	assert.Contains(t, page, "/client/api/v1/"+s.APIKey()+"/order")
	status, header, _ := send(t, s, "POST /order", ipv4Body)
	assert.Equal(t, http.StatusTemporaryRedirect, status)
	assert.Equal(t, "http://elsewhere.invalid/client/api/v1/"+s.APIKey()+"/order", header.Get("Location"))
}

func TestFollowedRedirectShows(t *testing.T) {
	s := newServer(t)
	s.Inject("GET /balance", youproxytest.Redirect)
	hc := &http.Client{Transport: s.Transport()}
	resp, err := hc.Get("http://127.0.0.1/client/api/v1/" + s.APIKey() + "/balance")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Len(t, s.Requests(), 2)
}

func TestInjectMistakes(t *testing.T) {
	s := newServer(t)
	for _, op := range []string{"", "/order", "POST", "POST order", "post /order"} {
		assert.Panics(t, func() { s.Inject(op, youproxytest.Slow) }, op)
	}
	assert.Panics(t, func() { s.Inject("POST /order", youproxytest.Fault(0)) })
	assert.Panics(t, func() { s.Inject("POST /order", youproxytest.Fault(200)) })
	assert.Equal(t, "none", youproxytest.Fault(0).String())
	assert.Equal(t, "Fault(200)", youproxytest.Fault(200).String())
}

func TestSlowEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		c := newClient(t, s)
		s.Inject("POST /order", youproxytest.Slow)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		started := time.Now()

		_, err := c.CreateOrder(ctx, ipv4Order)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
		assert.Equal(t, time.Minute, time.Since(started))
		assert.Len(t, s.Orders(), 1, "it was executed all the same")
		assert.Equal(t, started, s.Orders()[0].CreatedAt)
	})
}

func TestSlowEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		c := newClient(t, s)
		s.Inject("GET /balance", youproxytest.Slow, youproxytest.ServiceUnavailable, youproxytest.BadGateway)
		started := time.Now()
		_, err := c.Balance(t.Context())
		require.Error(t, err, "three attempts fail")
		assert.GreaterOrEqual(t, time.Since(started), 30*time.Second)
		left, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "100 USD", left.String())
	})
}

func TestReadsAreRepeatedPastAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		c := newClient(t, s)
		s.Inject("GET /balance", youproxytest.TooManyRequests, youproxytest.BadGateway)
		started := time.Now()
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(started), time.Second)
		assert.Len(t, s.Requests(), 3)
	})
}
