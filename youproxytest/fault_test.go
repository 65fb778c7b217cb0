package youproxytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
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
	{youproxytest.CommitLate, "CommitLate", 0, youproxy.OutcomeUnknown, 0},
	{youproxytest.RejectAfterCommit, "RejectAfterCommit", 404, youproxy.OutcomeRejected, 1},
	{youproxytest.Forbidden, "Forbidden", 403, youproxy.OutcomeRejected, 0},
	{youproxytest.PartialExtensionDropped, "PartialExtensionDropped", 0, youproxy.OutcomeUnknown, 1},

	{youproxytest.BadGateway.AfterCommit(), "BadGatewayAfterCommit", 502, youproxy.OutcomeUnknown, 1},
	{youproxytest.ServiceUnavailable.AfterCommit(), "ServiceUnavailableAfterCommit", 503, youproxy.OutcomeUnknown, 1},
	{youproxytest.TooManyRequests.AfterCommit(), "TooManyRequestsAfterCommit", 429, youproxy.OutcomeRejected, 1},
	{youproxytest.InternalError.AfterCommit(), "InternalErrorAfterCommit", 500, youproxy.OutcomeUnknown, 1},
	{youproxytest.HTMLPage.AfterCommit(), "HTMLPageAfterCommit", 200, youproxy.OutcomeUnknown, 1},
	{youproxytest.Redirect.AfterCommit(), "RedirectAfterCommit", 307, youproxy.OutcomeUnknown, 1},
	{youproxytest.EchoKey.AfterCommit(), "EchoKeyAfterCommit", 404, youproxy.OutcomeRejected, 1},
	{youproxytest.Forbidden.AfterCommit(), "ForbiddenAfterCommit", 403, youproxy.OutcomeRejected, 1},
}

// The faults that answer with a whole document.
var documentFaults = []youproxytest.Fault{
	youproxytest.ServiceFault, youproxytest.ServiceFault.AfterCommit(), youproxytest.UnknownCodeAfterCommit,
	youproxytest.RefusedAfterCommit, youproxytest.PartialExtension,
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
				t.Parallel()
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
				assert.Equal(t, tc.status == 307, errors.Is(err, youproxy.ErrRedirect))
				assert.Equal(t, tc.status == 429, lost.RetryAfter == time.Second)
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

func TestRefusals(t *testing.T) {
	for op, body := range allBodies {
		s := newServer(t)
		addOrders(s)
		op, _, _ := strings.Cut(op, "?")
		s.Refuse(op, 25, 12)
		s.Inject(op, youproxytest.ServiceFault)
		s.Refuse(op, 35)
		full := op + strings.TrimPrefix(keyOf(op), op)
		for _, want := range []string{
			refused(full, true, 25, "Incorrect order number"), refused(full, true, 12, "Error 12"),
			refused(full, true, 35, "Unknown error"), refused(full, true, 35, "Unknown error"),
		} {
			status, _, reply := send(t, s, full, body)
			assert.Equal(t, http.StatusOK, status, op)
			assert.Equal(t, want, reply, op)
		}
		assert.Len(t, s.Orders(), 2, op)
		assert.Empty(t, s.Extensions(), op)
		assert.Equal(t, "100 USD", s.Balance().String(), op)
		for _, ip := range s.IPAddresses() {
			assert.False(t, ip.AutoExtend, op)
		}
		_, _, reply := send(t, s, full, body)
		assert.Contains(t, reply, `"success": true`, op)

		var met []youproxytest.Fault
		for _, r := range s.Requests() {
			met = append(met, r.Fault)
		}
		assert.Equal(t, []youproxytest.Fault{0, 0, youproxytest.ServiceFault, 0, 0}, met)
	}
}

// keyOf returns the operation with the query it needs.
func keyOf(op string) string {
	for known := range allBodies {
		if known == op || strings.HasPrefix(known, op+"?") {
			return known
		}
	}
	return ""
}

func TestRefusalsShowStrangersNothing(t *testing.T) {
	s := newServer(t)
	s.Refuse("GET /balance", 25)
	_, _, reply := sendTo(t, s, http.MethodGet, "/client/api/v1/other-key/balance", "", "")
	assert.Equal(t, refused("GET /balance", false, 25, "Incorrect order number"), reply)
}

// What the server does not have never comes about: a test that waits for it would
// test nothing.
func TestMishapsOfWhatIsNotInTheAPI(t *testing.T) {
	s := newServer(t)
	for _, op := range []string{"order", "GET /ipAddress/page", "GET /order", "POST /orders", "POST /Order"} {
		assert.PanicsWithValue(t, "youproxytest: "+strconv.Quote(op)+" is not an operation of the server, which has: GET /balance, GET /country, "+
			"GET /ipAddress, GET /mobileOperator, GET /promoCode, GET /proxyType, GET /rentPeriod, POST /calculate/extend, POST /calculate/extend/order, "+
			"POST /calculate/order, POST /extend, POST /extend/auto, POST /extend/order, POST /extend/order/auto, POST /order",
			func() { s.Refuse(op, 4) })
		assert.Panics(t, func() { s.Inject(op, youproxytest.Slow) }, op)
	}
	assert.Empty(t, s.Pending())
}

func TestPending(t *testing.T) {
	s := newServer(t)
	assert.Empty(t, s.Pending())
	s.Inject("POST /order", youproxytest.BadGateway, youproxytest.EchoKey)
	s.Refuse("POST /order", 14)
	s.Refuse("GET /balance", 99)
	assert.Equal(t, []string{"GET /balance: error 99", "POST /order: BadGateway", "POST /order: EchoKey", "POST /order: error 14"}, s.Pending())
	send(t, s, "POST /order", ipv4Body)
	send(t, s, "GET /balance", "")
	assert.Equal(t, []string{"POST /order: EchoKey", "POST /order: error 14"}, s.Pending())
}

// A service, or what stands in front of it, may reject what it has executed.
func TestRejectionsOfWhatWasExecuted(t *testing.T) {
	s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney("100 USD")))
	s.Inject("POST /order", youproxytest.RejectAfterCommit, youproxytest.UnknownCodeAfterCommit)
	c := newClient(t, s)
	_, err := c.CreateOrder(t.Context(), ipv4Order)
	var failed *youproxy.CallError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, 404, failed.HTTPStatus)
	assert.Len(t, s.Orders(), 1)

	_, err = c.CreateOrder(t.Context(), ipv4Order)
	var refused *youproxy.APIError
	require.ErrorAs(t, err, &refused)
	assert.False(t, refused.Code.Known())
	assert.Len(t, s.Orders(), 2)
	require.NotNil(t, refused.Balance)
	assert.True(t, s.Balance().Equal(*refused.Balance), "it is that after the order")

	s.Inject("POST /order", youproxytest.RefusedAfterCommit, youproxytest.ServiceFault.AfterCommit())
	for i, code := range []youproxy.ErrorCode{youproxy.ErrInsufficientFunds, youproxy.ErrServiceFault} {
		before := s.Balance()
		_, err = c.CreateOrder(t.Context(), ipv4Order)
		require.ErrorIs(t, err, code)
		require.ErrorAs(t, err, &refused)
		assert.Len(t, s.Orders(), 3+i)
		require.NotNil(t, refused.Balance)
		assert.True(t, refused.Balance.Amount.LessThan(before.Amount), "it shows what was charged")
	}
}

// lose makes a request that gets no reply.
func lose(t *testing.T, s *youproxytest.Server, op, body string) {
	t.Helper()
	method, path, _ := strings.Cut(op, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1/client/api/v1/"+s.APIKey()+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.Transport().RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
}

func TestCommitLate(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithProvisioningDelay(time.Minute))
	started := c.Now()
	s.Inject("POST /order", youproxytest.CommitLate)
	lose(t, s, "POST /order", ipv4Body)

	c.advance(time.Minute - 1)
	assert.Empty(t, s.Orders())
	assert.Equal(t, "100 USD", s.Balance().String())
	_, _, reply := send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"balance": 100`)

	c.advance(time.Hour)
	_, _, reply = send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"balance": 98.69`, "a request looks at the account")
	require.Len(t, s.Orders(), 1)
	assert.Equal(t, started.Add(time.Minute), s.Orders()[0].CreatedAt, "when it was executed, not when one looked")
	assert.Equal(t, started.Add(2*time.Minute), s.IPAddresses()[0].ReadyAt)
	assert.Len(t, s.Orders(), 1, "once")
}

func TestCommitLateIsSeenByWhoeverLooks(t *testing.T) {
	for name, look := range map[string]func(*testing.T, *youproxytest.Server) bool{
		"Balance": func(_ *testing.T, s *youproxytest.Server) bool { return s.Balance().String() == "98.69 USD" },
		"SetBalance": func(_ *testing.T, s *youproxytest.Server) bool {
			s.SetBalance(youproxy.Money{})
			return len(s.Orders()) == 1
		},
		"Orders":      func(_ *testing.T, s *youproxytest.Server) bool { return len(s.Orders()) == 1 },
		"IPAddresses": func(_ *testing.T, s *youproxytest.Server) bool { return len(s.IPAddresses()) == 1 },
		"AddOrder": func(_ *testing.T, s *youproxytest.Server) bool {
			return s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1}).Number == "NUMBER-112234"
		},
		"list": func(t *testing.T, s *youproxytest.Server) bool {
			_, _, reply := send(t, s, "GET /ipAddress", "")
			return strings.Contains(reply, ipv4ID)
		},
	} {
		c := newClock()
		s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithCommitDelay(10*time.Second))
		s.Inject("POST /order", youproxytest.CommitLate)
		lose(t, s, "POST /order", ipv4Body)
		c.advance(10 * time.Second)
		assert.True(t, look(t, s), name)
	}
}

func TestCommitLateKeepsTheOrder(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithBalance(youproxy.MustMoney("3 USD")))
	s.Inject("POST /order", youproxytest.CommitLate, youproxytest.CommitLate, youproxytest.CommitLate)
	lose(t, s, "POST /order", edit(ipv4Body, "USA", "DEU"))
	c.advance(time.Second)
	lose(t, s, "POST /order", edit(ipv4Body, "USA", "FRA"))
	lose(t, s, "POST /order", ipv4Body) // refused by then: two cost 2.62 USD
	c.advance(time.Hour)
	var countries []string
	for _, o := range s.Orders() {
		countries = append(countries, o.Country)
	}
	assert.Equal(t, []string{"DEU", "FRA"}, countries)
	assert.Equal(t, time.Second, s.Orders()[1].CreatedAt.Sub(s.Orders()[0].CreatedAt))
	assert.Equal(t, "0.38 USD", s.Balance().String())
}

func TestCommitLateIsRefusedByThen(t *testing.T) {
	for name, body := range map[string]string{"malformed": "{}", "refused": edit(ipv4Body, "USA", "XXX")} {
		c := newClock()
		s := newServer(t, youproxytest.WithClock(c.Now))
		s.Inject("POST /order", youproxytest.CommitLate)
		lose(t, s, "POST /order", body)
		c.advance(time.Hour)
		assert.Empty(t, s.Orders(), name)
	}
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now))
	addOrders(s)
	s.Inject("POST /extend", youproxytest.CommitLate, youproxytest.CommitLate)
	lose(t, s, "POST /extend", extendBody)
	c.advance(30*day - 30*time.Second)
	assert.Len(t, s.Extensions(), 1)
	lose(t, s, "POST /extend", edit(extendBody, ipv4ID, ipv4ID2)) // ends before
	c.advance(time.Hour)
	assert.Len(t, s.Extensions(), 1)
}

func TestCommitLateInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		s.Inject("POST /order", youproxytest.CommitLate)
		_, err := newClient(t, s).CreateOrder(t.Context(), ipv4Order)
		require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
		time.Sleep(59 * time.Second)
		assert.Empty(t, s.Orders())
		time.Sleep(time.Second)
		assert.Len(t, s.Orders(), 1)
	})
}

func TestFaultsOfEveryWrite(t *testing.T) {
	for _, tc := range faultCases {
		for _, op := range []string{"POST /order", "POST /extend", "POST /extend/order", "POST /extend/auto", "POST /extend/order/auto"} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				addOrders(s)
				before := s.Balance()
				s.Inject(op, tc.fault)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/client/api/v1/"+s.APIKey()+strings.TrimPrefix(op, "POST "), strings.NewReader(allBodies[op]))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				if resp, err := s.Transport().RoundTrip(req); err == nil {
					_ = resp.Body.Close()
				}
				executed := !before.Equal(s.Balance()) || s.IPAddresses()[0].AutoExtend
				assert.Equal(t, tc.orders == 1, executed, "%s %s", tc.name, op)
			})
		}
	}
}

func TestFaultsAreAllOfThem(t *testing.T) {
	var tested []youproxytest.Fault
	for _, tc := range faultCases {
		tested = append(tested, tc.fault)
	}
	assert.ElementsMatch(t, append(tested, documentFaults...), youproxytest.Faults())

	s := newServer(t)
	names := make(map[string]bool)
	for _, f := range youproxytest.Faults() {
		s.Inject("GET /balance", f)
		assert.NotContains(t, f.String(), "Fault(")
		assert.False(t, names[f.String()], f)
		names[f.String()] = true
		assert.Contains(t, youproxytest.Faults(), f.AfterCommit())
		assert.Equal(t, f.AfterCommit(), f.AfterCommit().AfterCommit())
	}
}

func TestFaultsWithASecondForm(t *testing.T) {
	for f, want := range map[youproxytest.Fault]youproxytest.Fault{
		youproxytest.DropBeforeCommit:   youproxytest.DropAfterCommit,
		youproxytest.DropAfterCommit:    youproxytest.DropAfterCommit,
		youproxytest.Slow:               youproxytest.Slow,
		youproxytest.CommitLate:         youproxytest.CommitLate,
		youproxytest.RefusedAfterCommit: youproxytest.RefusedAfterCommit,
		0:                               0,
		100:                             100,
	} {
		assert.Equal(t, want, f.AfterCommit())
	}
	assert.NotEqual(t, youproxytest.BadGateway, youproxytest.BadGateway.AfterCommit())
	for _, f := range []youproxytest.Fault{128 + youproxytest.DropBeforeCommit, 128 + youproxytest.Slow, 128, 255} {
		assert.Contains(t, f.String(), "Fault(")
		assert.Panics(t, func() { newServer(t).Inject("POST /order", f) })
	}
}

func TestPartialExtensions(t *testing.T) {
	for _, tc := range []struct {
		op, body string
		all, got int
	}{
		{"POST /extend", extension("IPv6", "ipAddressIds", 30, "", wholeIPv6(true)...), 3, 2},
		{"POST /extend/order", extension("IPv6", "orderIds", 30, "", ipv6Order), 3, 2},
		{"POST /extend/order", extendOrdersBody, 2, 1},
		{"POST /extend", extendBody, 1, 1},
	} {
		for _, fault := range []youproxytest.Fault{youproxytest.PartialExtension, youproxytest.PartialExtensionDropped} {
			s := newServer(t, youproxytest.WithClock(newClock().Now))
			addOrders(s)
			ends := s.IPAddresses()[0].End
			s.Inject(tc.op, fault)
			if fault == youproxytest.PartialExtensionDropped {
				lose(t, s, tc.op, tc.body)
			} else {
				_, _, reply := send(t, s, tc.op, tc.body)
				assert.Contains(t, reply, fmt.Sprintf(`"quantity": %d, `, tc.got))
				assert.Equal(t, tc.got, strings.Count(reply, `"11111111111111111`))
			}
			require.Len(t, s.Extensions(), 1)
			done := s.Extensions()[0]
			assert.Len(t, done.IPAddressIDs, tc.got)
			assert.Equal(t, decimal.NewFromInt(100).Sub(done.Price.Amount).String(), s.Balance().Amount.String())
			moved := 0
			for _, ip := range s.IPAddresses() {
				if ip.End.After(ends) {
					moved++
				}
			}
			assert.Equal(t, tc.got, moved)

			whole, _, _ := send(t, s, tc.op, tc.body)
			assert.Equal(t, http.StatusOK, whole)
			assert.Len(t, s.Extensions()[1].IPAddressIDs, tc.all, "a fault is of one request")
		}
	}
	s := newServer(t)
	s.Inject("POST /order", youproxytest.PartialExtension)
	_, err := newClient(t, s).CreateOrder(t.Context(), ipv4Order)
	require.NoError(t, err)
	assert.Len(t, s.IPAddresses(), 2, "of an order it is no fault")
	assert.Empty(t, s.Pending())
}
