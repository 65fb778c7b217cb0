package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/routetest"
)

// routeReply is a success to every call.
const routeReply = `{"success": true, "error": null, "balance": 25.03, "currency": "USD", "price": 1.31, "orderNumber": "NUMBER-112233",
 "proxyTypes": [], "countries": [], "mobileOperators": [], "rentPeriodDays": [], "promoCodes": []}`

// replyTo is a success to a request with this path and body.
func replyTo(path, body string) string {
	if strings.Contains(path, "/extend") && !strings.Contains(path, "/calculate") {
		return agreeing(body)
	}
	return routeReply
}

// withoutList holds that a list comes with no error, and never is nil.
func withoutList[T any](list []T, err error) error {
	if (list == nil) != (err != nil) {
		return fmt.Errorf("the list %v came with the error %w", list, err)
	}
	return err
}

// routeTo gives the first route to an endpoint.
func routeTo(t *testing.T, op string) routetest.Route {
	t.Helper()
	all := routetest.Routes()
	i := slices.IndexFunc(all, func(r routetest.Route) bool { return r.Op == op })
	require.GreaterOrEqual(t, i, 0, "no route to %s", op)
	return all[i]
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			sent := 0
			var label string
			c := clientFor(t, byStub(func(req *http.Request) (*http.Response, error) {
				sent++
				method, _, _ := strings.Cut(r.Op, " ")
				assert.Equal(t, method, req.Method)
				assert.Equal(t, "https://youproxy.io"+r.Path(clientKey), req.URL.String())
				assert.Equal(t, r.Query, req.URL.RawQuery)
				assert.Equal(t, []string{"application/json"}, req.Header["Accept"])
				assert.NotContains(t, req.Header, "Idempotency-Key")
				assert.NotContains(t, req.Header, "X-Idempotency-Key")
				assert.EqualValues(t, len(r.Body), req.ContentLength)
				if r.Body == "" {
					assert.Nil(t, req.Body)
					assert.NotContains(t, req.Header, "Content-Type")
					return stubReply(req, 200, routeReply), nil
				}
				assert.Equal(t, []string{"application/json"}, req.Header["Content-Type"])
				body, err := io.ReadAll(req.Body)
				assert.NoError(t, err)
				assert.Equal(t, r.Body, string(body))
				return stubReply(req, 200, replyTo(req.URL.Path, r.Body)), nil
			}), youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { label = e.Op }))
			require.NoError(t, r.Call(t.Context(), c))
			assert.Equal(t, 1, sent)
			want := r.Op
			if r.Method == "Call" {
				method, _, _ := strings.Cut(r.Op, " ")
				want = "Call " + method
			}
			assert.Equal(t, want, label)
		})
	}
}

// A method that is added to the client must be added to the routes, and so must
// an endpoint that is found.
func TestEveryCallHasARoute(t *testing.T) {
	t.Parallel()
	callsNothing := []string{
		"CloseIdleConnections", "Format", "LogValue", "String", "With",
		"Buy", "FollowProxies", "PlanRenewals", "Recover", "Reconcile", "Renew", "RenewAll", "WaitForProxies", // which are made of other calls
		"Dismiss", // which writes into the journal, and makes none
	}
	methods, ops := map[string]bool{}, map[string]bool{}
	for _, r := range routetest.Routes() {
		methods[r.Method] = true
		if r.Method != "Call" {
			ops[r.Op] = true
		}
	}
	client := reflect.TypeFor[*youproxy.Client]()
	for i := range client.NumMethod() {
		name := client.Method(i).Name
		assert.NotEqual(t, slices.Contains(callsNothing, name), methods[name], "%s has no route, or has one but calls nothing", name)
		delete(methods, name)
	}
	assert.Empty(t, methods, "the client has no such method")
	assert.ElementsMatch(t, []string{
		"GET /balance", "GET /country", "GET /ipAddress", "GET /mobileOperator", "GET /promoCode", "GET /proxyType", "GET /rentPeriod",
		"POST /calculate/extend", "POST /calculate/extend/order", "POST /calculate/order",
		"POST /extend", "POST /extend/auto", "POST /extend/order", "POST /extend/order/auto", "POST /order",
	}, slices.Collect(maps.Keys(ops)))
}

// bodyMembers is what the documentation lets a call send.
var bodyMembers = map[string]struct{ required, optional []string }{
	"POST /order": {
		[]string{"proxyType", "quantity", "rentPeriodDays", "country", "goal", "authType"}, []string{"authIp", "promoCode"},
	},
	"POST /calculate/order":        {[]string{"proxyType", "quantity", "rentPeriodDays", "country", "goal"}, []string{"promoCode"}},
	"POST /calculate/extend":       {[]string{"proxyType", "ipAddressIds", "rentPeriodDays"}, []string{"promoCode"}},
	"POST /calculate/extend/order": {[]string{"proxyType", "orderIds", "rentPeriodDays"}, []string{"promoCode"}},
	"POST /extend":                 {[]string{"proxyType", "ipAddressIds", "rentPeriodDays"}, []string{"promoCode"}},
	"POST /extend/order":           {[]string{"proxyType", "orderIds", "rentPeriodDays"}, []string{"promoCode"}},
	"POST /extend/auto":            {[]string{"proxyType", "ipAddressIds", "rentPeriodDays", "autoExtend"}, nil},
	"POST /extend/order/auto":      {[]string{"proxyType", "orderIds", "rentPeriodDays", "autoExtend"}, nil},
}

// bodyMembersOf is what it requires besides of one proxy type.
var bodyMembersOf = map[string][]string{
	"POST /order IPv6":             {"protocol"},
	"POST /order MOBILE":           {"rotationTime", "mobileOperator"},
	"POST /calculate/order MOBILE": {"rotationTime", "mobileOperator"},
}

// The fake of the service refuses a body with more members or with fewer, and so
// may the service.
func TestBodiesHoldWhatIsDocumented(t *testing.T) {
	t.Parallel()
	checked := map[string]bool{}
	for _, r := range routetest.Routes() {
		if r.Method == "Call" {
			continue
		}
		t.Run(r.Name(), func(t *testing.T) {
			c := clientFor(t, byStub(func(req *http.Request) (*http.Response, error) {
				documented, ok := bodyMembers[r.Op]
				assert.Equal(t, ok, req.Body != nil)
				if req.Body == nil {
					return stubReply(req, 200, routeReply), nil
				}
				checked[r.Op] = true
				var body map[string]any
				assert.NoError(t, json.NewDecoder(req.Body).Decode(&body))
				members := slices.Collect(maps.Keys(body))
				required := slices.Concat(documented.required, bodyMembersOf[r.Op+" "+fmt.Sprint(body["proxyType"])])
				assert.Subset(t, members, required, "what is missing")
				assert.Subset(t, slices.Concat(required, documented.optional), members, "what is too much")
				return stubReply(req, 200, replyTo(req.URL.Path, r.Body)), nil
			}))
			require.NoError(t, r.Call(t.Context(), c))
		})
	}
	assert.Len(t, checked, len(bodyMembers))
}

// The effect of a call shows in what follows a 503, and in its timeout.
func TestRouteEffects(t *testing.T) {
	t.Parallel()
	timeouts := youproxy.Timeouts{Read: 7 * time.Second, Spend: 70 * time.Second}
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := timeouts.Read
				if r.Effect == "spend" {
					want = timeouts.Spend
				}
				var bodies []string
				c := clientFor(t, youproxy.WithReadRetries(1), youproxy.WithTimeouts(timeouts), byStub(func(req *http.Request) (*http.Response, error) {
					if deadline, ok := req.Context().Deadline(); !r.Stream && assert.True(t, ok, "a deadline") {
						assert.Equal(t, want, time.Until(deadline))
					}
					var body []byte
					if req.Body != nil {
						body, _ = io.ReadAll(req.Body)
					}
					if bodies = append(bodies, string(body)); len(bodies) == 1 {
						return stubReply(req, 503, "<html>busy</html>"), nil
					}
					return stubReply(req, 200, replyTo(req.URL.Path, r.Body)), nil
				}))
				err := r.Call(t.Context(), c)
				if r.Effect == "spend" {
					require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
					assert.ErrorContains(t, err, "money may have been spent")
					assert.Equal(t, []string{r.Body}, bodies)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, []string{r.Body, r.Body}, bodies)
			})
		})
	}
}

// So it does in what is said of the money.
func TestRouteFailuresTellOfTheMoney(t *testing.T) {
	t.Parallel()
	says := map[string]string{
		"read":  "; the call spends nothing",
		"write": "; the change may or may not have been made: it is safe to repeat",
		"spend": "; money may have been spent: look at the account before repeating it",
	}
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			c := clientFor(t, youproxy.WithReadRetries(0), byStub(breaks(errors.New("connection reset"))))
			err := r.Call(t.Context(), c)
			assert.EqualError(t, err, "youproxy: "+r.Op+": connection reset"+says[r.Effect])
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
		})
	}
}

// A spend waits for an order, and for another of its kind; nothing else does.
func TestRouteLanes(t *testing.T) {
	t.Parallel()
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clientFor(t, byStub(func(req *http.Request) (*http.Response, error) {
					time.Sleep(time.Second)
					return stubReply(req, 200, replyTo(req.URL.Path, r.Body)), nil
				}))
				started := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := c.CreateOrder(t.Context(), anIPv4Order())
					assert.NoError(t, err)
				})
				for range 2 {
					wg.Go(func() { assert.NoError(t, r.Call(t.Context(), c)) })
				}
				wg.Wait()
				want := time.Second
				if r.Effect == "spend" {
					want = 3 * time.Second
				}
				assert.Equal(t, want, time.Since(started))
			})
		})
	}
}

func TestRoutesOfWhatIsEmpty(t *testing.T) {
	t.Parallel()
	var none context.Context
	sent := false
	c := clientFor(t, byStub(func(req *http.Request) (*http.Response, error) {
		sent = true
		return stubReply(req, 200, routeReply), nil
	}))
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			for _, err := range []error{r.Call(t.Context(), nil), r.Call(t.Context(), new(youproxy.Client)), r.Call(none, c)} {
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.ErrorContains(t, err, r.Op+": the c", "the client, or the context")
			}
			assert.False(t, sent)
		})
	}
}

// TestKeyNeverShowsOfAnyCall has the key echoed by every endpoint, in texts that
// each of them reads or passes over.
func TestKeyNeverShowsOfAnyCall(t *testing.T) {
	t.Parallel()
	const key = "MiXeD.cAsE\\kEy"
	replies := []struct {
		name   string
		status int
		body   string // KEY stands for the key in quotes, PAGE for a page with it
	}{
		{"message", 200, `{"success": false, "error": {"code": 24, "message": KEY}}`},
		{"ids and a message", 200, `{"success": false, "ipAddressIds": [KEY], "orderIds": [KEY], "proxyType": KEY, "balance": 1, "currency": KEY,
 "error": {"code": 29, "message": KEY}, "warnings": [{"code": 14, "message": KEY}]}`},
		{"message of a refusal that is not to be believed", 500, `{"success": false, "error": {"code": 24, "message": KEY}}`},
		{"success and a message", 200, `{"success": true, "error": {"code": 24, "message": KEY}}`},
		{"message without success", 200, `{"ipAddressIds": [KEY], "error": {"code": 24, "message": KEY}}`},
		{"a page of 404", 404, `PAGE`},
		{"a page of 502", 502, `PAGE`},
		{"a page of 200", 200, `PAGE`},
		{"a name", 200, `{"success": true, KEY: {KEY: [tru]}}`},
		{"names in lists", 200, `{"success": true, "proxyTypes": [{KEY: KEY}], "countries": [{KEY: KEY}], "mobileOperators": [{KEY: KEY}],
 "promoCodes": [KEY], "warnings": [KEY], "ipv4": [{"ip": KEY, KEY: KEY}], "ipAddressIds": [{KEY: KEY, KEY: }]}`},
		{"entries in an unknown form", 200, `{"success": true, "proxyTypes": [[KEY]], "countries": [[KEY]], "mobileOperators": [[KEY]],
 "promoCodes": [[KEY]], "warnings": [[KEY]], "ipv4": [{"ip": "192.0.2.1", KEY: KEY}]}`},
		{"a truncated reply", 200, `{"success": true, "orderIds": [KEY], KEY`},
	}
	cases := map[string]func(string) string{"as it is": strings.Clone, "in capitals": strings.ToUpper, "in small letters": strings.ToLower}
	for _, r := range routetest.Routes() {
		t.Run(r.Name(), func(t *testing.T) {
			t.Parallel()
			for _, answer := range replies {
				for name, spell := range cases {
					var shown seen
					var log bytes.Buffer
					body := strings.NewReplacer(
						"KEY", quoteJSON(spell(key)),
						"PAGE", "<html>no such page: "+spell(r.Path(key))+"</html>").Replace(answer.body)
					c, err := youproxy.New(key, youproxy.WithReadRetries(0), byStub(status(answer.status, body)),
						youproxy.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
						youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
							shown.addPrinted("observer", e)
							shown.addError("observer", e.Err)
						}))
					require.NoError(t, err)
					err = r.Call(t.Context(), c)
					if answer.status != 200 || strings.Contains(answer.body, `"error"`) || answer.body == "PAGE" {
						assert.Error(t, err, answer.name)
					}
					shown.addError(answer.name+" "+name, err)
					shown.addStrings(answer.name+" "+name+", deep", err)
					shown.add("log", log.String())
					assert.NotEmpty(t, log.String())
					shown.check(t, key)
				}
			}
		})
	}
}
