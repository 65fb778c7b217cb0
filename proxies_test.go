package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// threeProxies is a short list.
var threeProxies = inEnvelope(`"ipv4": [{"ipAddressId": "1"}, {"ipAddressId": "2"}, {"ipAddressId": "3"}]`)

func idsOf(list []youproxy.Proxy) []string {
	ids := []string{}
	for _, p := range list {
		ids = append(ids, string(p.ID))
	}
	return ids
}

// streaming answers with what a reader gives, of which no length is told.
func streaming(code int, body func(r *http.Request) io.Reader) answer {
	return func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, code, "")
		resp.ContentLength, resp.Body = -1, io.NopCloser(body(r))
		return resp, nil
	}
}

func TestListThatIsNoSuccess(t *testing.T) {
	t.Parallel()
	const records = `"ipv4": [` + bareRecord + `, ` + otherRecord + `]`
	for _, tc := range []struct {
		name   string
		reply  string
		before int // proxies that come before the error
		code   youproxy.ErrorCode
	}{
		{"refused after its records", `{` + records + `, "success": false, "error": {"code": 2, "message": "Error api key"}}`, 2, youproxy.ErrInvalidAPIKey},
		{"refused before its records", `{"success": false, ` + records + `, "error": {"code": 2}}`, 0, youproxy.ErrInvalidAPIKey},
		{"refused between its records", `{` + records + `, "success": false, "isp": [{"ipAddressId": "3"}], "error": {"code": 2}}`, 2, youproxy.ErrInvalidAPIKey},
		{"refused without a list", `{"success": false, "ipv4": null, "error": {"code": 2}}`, 0, youproxy.ErrInvalidAPIKey},
		{"an error before its records", `{"error": {"code": 2}, ` + records + `, "success": true}`, 0, 0},
		{"an error after its records", `{"success": true, ` + records + `, "error": {"code": 2}}`, 2, 0},
		{"success missing", `{` + records + `}`, 2, 0},
		{"success null", `{` + records + `, "success": null}`, 2, 0},
		{"success in quotes", `{` + records + `, "success": "true"}`, 2, 0},
		{"success 1 before its records", `{"success": 1, ` + records + `}`, 0, 0},
		{"success twice", `{"success": true, ` + records + `, "success": true}`, 2, 0},
		{"success, and then not", `{"success": true, ` + records + `, "success": false}`, 2, 0},
		{"success in capitals", `{` + records + `, "SUCCESS": true}`, 2, 0},
		{"success in both letter cases", `{"success": true, "Success": true, ` + records + `}`, 0, 0},
		{"error in capitals", `{"success": true, ` + records + `, "Error": null}`, 2, 0},
		{"error twice", `{"success": true, ` + records + `, "error": null, "error": null}`, 2, 0},
		{"success deeper down", `{"data": {"success": true, ` + records + `}}`, 2, 0},
		{"success in a record", `{"ipv4": [{"ipAddressId": "1", "success": true}]}`, 1, 0},
		{"trailing bytes", `{"success": true, ` + records + `} x`, 2, 0},
		{"a trailing bracket", `{"success": true, ` + records + `}}`, 2, 0},
		{"a second reply", `{"success": true, ` + records + `}{"success": true}`, 2, 0},
		{"a bare list", `[` + bareRecord + `]`, 0, 0},
		{"a bare record", bareRecord, 0, 0},
		{"a page", `<html>` + bareRecord, 0, 0},
		{"nothing", ``, 0, 0},
		{"null", `null`, 0, 0},
		{"an empty object", `{}`, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, transport := answering(t, 200, tc.reply)
			got, err := drainList(t, client.Proxies(t.Context(), youproxy.ProxyQuery{}))
			assert.Len(t, got, tc.before)
			require.Error(t, err)
			read, readErr := readText(t, tc.reply)
			assert.Equal(t, got, read, "ReadProxies")
			require.Error(t, readErr)
			list, listErr := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
			assert.Nil(t, list)
			assert.Equal(t, err.Error(), listErr.Error())
			assert.Len(t, transport.requests, 2)
			for _, err := range []error{err, readErr, listErr} {
				var refused *youproxy.APIError
				var call *youproxy.CallError
				if tc.code != 0 {
					require.ErrorAs(t, err, &refused)
					assert.ErrorIs(t, err, tc.code)
					continue
				}
				require.ErrorAs(t, err, &call)
				assert.Equal(t, youproxy.OutcomeUnknown, call.Outcome)
			}
		})
	}
}

func TestListWithAnotherStatus(t *testing.T) {
	t.Parallel()
	for _, code := range []int{100, 199, 301, 302, 304, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 599} {
		client, _ := answering(t, code, threeProxies)
		got, err := drainList(t, client.Proxies(t.Context(), youproxy.ProxyQuery{}))
		assert.Empty(t, got, code)
		var call *youproxy.CallError
		require.ErrorAs(t, err, &call, code)
		assert.Equal(t, code, call.HTTPStatus)
	}
	for _, code := range []int{200, 201, 206, 299} {
		client, _ := answering(t, code, threeProxies)
		got, err := drainList(t, client.Proxies(t.Context(), youproxy.ProxyQuery{}))
		assert.NoError(t, err, code)
		assert.Len(t, got, 3, code)
	}
}

func TestRetriesOfAList(t *testing.T) {
	t.Parallel()
	breaksAfter := func(text string) answer {
		return streaming(200, func(*http.Request) io.Reader {
			return io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF))
		})
	}
	const begin, first = `{"success": true, "ipv4": [`, `{"ipAddressId": "1"}`
	all := []string{"1", "2", "3"}
	ok := status(200, threeProxies)
	for _, tc := range []struct {
		name    string
		answers []answer
		ids     []string
		made    int
		fails   bool
	}{
		{"success at once", []answer{ok}, all, 1, false},
		{"a connection that is refused", []answer{breaks(&net.OpError{Op: "dial", Err: errors.New("refused")}), ok}, all, 2, false},
		{"a connection that breaks", []answer{breaks(io.ErrUnexpectedEOF), ok}, all, 2, false},
		{"503", []answer{status(503, "busy"), ok}, all, 2, false},
		{"503 with a list", []answer{status(503, threeProxies), ok}, all, 2, false},
		{"429 and 502", []answer{status(429, ""), status(502, ""), ok}, all, 3, false},
		{"a body that breaks off at once", []answer{breaksAfter(""), ok}, all, 2, false},
		{"a body that breaks off before a record", []answer{breaksAfter(begin), ok}, all, 2, false},
		{"a body that breaks off in the first record", []answer{breaksAfter(begin + first[:len(first)-1]), ok}, all, 2, false},
		{"a body that breaks off in an order, of which nothing was handed out", []answer{breaksAfter(begin + `{"ips": [` + first), ok}, all, 2, false},
		{"a body that stalls before a record", []answer{inPieces(piece{0, begin}, piece{time.Hour, "x"}), ok}, all, 2, false},
		{"a body that breaks off after a record", []answer{breaksAfter(begin + first + ","), ok}, []string{"1"}, 1, true},
		{"a body that breaks off after the last record", []answer{breaksAfter(threeProxies[:len(threeProxies)-1]), ok}, all, 1, true},
		{"a body that stalls after a record", []answer{inPieces(piece{0, begin + first + ","}, piece{time.Hour, "x"}), ok}, []string{"1"}, 1, true},
		{"a second attempt that breaks off after a record", []answer{status(503, ""), breaksAfter(begin + first + ","), ok}, []string{"1"}, 2, true},
		{"a refusal", []answer{status(200, clientNoFunds), ok}, []string{}, 1, true},
		{"a reply that is malformed before a record", []answer{status(200, `{"success": true, "ipv4": [}`), ok}, []string{}, 1, true},
		{"nothing but 503", []answer{status(503, "")}, []string{}, 3, true},
		{"what an attempt before read", []answer{breaksAfter(`{"success": false, "error": {"code": 2}, `), ok}, all, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listOf(t, 0, 2, tc.answers...)
				assert.Equal(t, tc.ids, l.ids)
				assert.Equal(t, tc.made, l.made)
				assert.Equal(t, tc.fails, l.err != nil, "%v", l.err)
			})
		})
	}
}

func TestMaxReplySizeOfAList(t *testing.T) {
	large(t)
	t.Parallel()
	for _, tc := range []struct {
		name  string
		body  string
		max   int64 // 0: the default
		fails bool
	}{
		{"more than the default of other replies", inEnvelope(`"ipv4": [` + strings.Repeat(`"`+strings.Repeat("x", 1000)+`", `, 17<<10) + bareRecord + `]`), 0, false},
		{"a long record, where that is allowed", padded(3 << 20), 4 << 20, false},
		{"a long record, where less is allowed", padded(3<<20 + 64), 3 << 20, true},
		{"a list longer than its records may be", inEnvelope(`"ipv4": [` + strings.Repeat(bareRecord+`, `, 10_000) + `null]`), 100_000, false},
	} {
		for _, length := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, Content-Length %t", tc.name, length), func(t *testing.T) {
				opts := []youproxy.Option{byStub(func(r *http.Request) (*http.Response, error) {
					resp := stubReply(r, 200, tc.body)
					if !length {
						resp.ContentLength = -1
					}
					return resp, nil
				}), youproxy.WithReadRetries(0)}
				if tc.max != 0 {
					opts = append(opts, youproxy.WithMaxReplySize(tc.max))
				}
				list, err := clientFor(t, opts...).ListProxies(t.Context(), youproxy.ProxyQuery{})
				if tc.fails {
					assert.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
					assert.Nil(t, list)
					return
				}
				assert.NoError(t, err)
				assert.NotEmpty(t, list)
			})
		}
	}
}

func TestProxyQuery(t *testing.T) {
	t.Parallel()
	const reply = `{"success": true, "ipv4": [{"ipAddressId": "1"}], "list": [{"ipAddressId": "2"}, {"ipAddressId": "3", "proxyType": "ISP"}, {"ipAddressId": "4", "proxyType": "New"}], "isp": [{"ipAddressId": "5"}]}`
	for _, tc := range []struct {
		name  string
		asked youproxy.ProxyType
		url   string
		ids   []string
		types []youproxy.ProxyType
	}{
		{"all", "", "/ipAddress", []string{"1", "2", "3", "4", "5"}, []youproxy.ProxyType{"IPv4", "", "ISP", "New", "ISP"}},
		{"one type", youproxy.ProxyTypeIPv4, "/ipAddress?proxyType=IPv4", []string{"1", "2"}, []youproxy.ProxyType{"IPv4", "IPv4"}},
		{"another type", youproxy.ProxyTypeISP, "/ipAddress?proxyType=ISP", []string{"2", "3", "5"}, []youproxy.ProxyType{"ISP", "ISP", "ISP"}},
		{"a type the package does not know", "New", "/ipAddress?proxyType=New", []string{"2", "4"}, []youproxy.ProxyType{"New", "New"}},
		{"a type that must be escaped", "a&b=c", "/ipAddress?proxyType=a%26b%3Dc", []string{"2"}, []youproxy.ProxyType{"a&b=c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, transport := answering(t, 200, reply)
			list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{ProxyType: tc.asked})
			require.NoError(t, err)
			assert.Equal(t, tc.ids, idsOf(list))
			var types []youproxy.ProxyType
			for _, p := range list {
				types = append(types, p.ProxyType)
			}
			assert.Equal(t, tc.types, types)
			require.Len(t, transport.requests, 1)
			assert.Equal(t, http.MethodGet, transport.requests[0].method)
			assert.True(t, strings.HasSuffix(transport.requests[0].url, "/"+cannedKey+tc.url), transport.requests[0].url)
			assert.Empty(t, transport.requests[0].body)
		})
	}
}

func TestProxyQueryThatIsInvalid(t *testing.T) {
	t.Parallel()
	for _, asked := range []youproxy.ProxyType{" ", "\t\n", "\u00a0"} {
		client, transport := answering(t, 200, threeProxies)
		got, err := drainList(t, client.Proxies(t.Context(), youproxy.ProxyQuery{ProxyType: asked}))
		assert.Empty(t, got)
		var invalid *youproxy.ValidationError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, "ProxyQuery", invalid.Request)
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Empty(t, transport.requests)
	}
}

func TestProxiesOfNoClient(t *testing.T) {
	t.Parallel()
	client, transport := answering(t, 200, threeProxies)
	for _, tc := range []struct {
		name   string
		client *youproxy.Client
		ctx    context.Context
	}{
		{"a nil client", nil, t.Context()},
		{"an empty client", new(youproxy.Client), t.Context()},
		{"a nil context", client, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, query := range []youproxy.ProxyQuery{{}, {ProxyType: youproxy.ProxyTypeIPv4}} {
				got, err := drainList(t, tc.client.Proxies(tc.ctx, query))
				assert.Empty(t, got)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				list, err := tc.client.ListProxies(tc.ctx, query)
				assert.Nil(t, list)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
			}
		})
	}
	assert.Empty(t, transport.requests)
}

func TestIteratingTwiceCallsTwice(t *testing.T) {
	t.Parallel()
	client, transport := answering(t, 200, threeProxies)
	all := client.Proxies(t.Context(), youproxy.ProxyQuery{})
	assert.Empty(t, transport.requests, "nothing is sent before the iteration")
	for n := range 2 {
		got, err := drainList(t, all)
		require.NoError(t, err)
		assert.Equal(t, []string{"1", "2", "3"}, idsOf(got))
		assert.Len(t, transport.requests, n+1)
	}
}

func TestListsAtTheSameTime(t *testing.T) {
	t.Parallel()
	client, _ := answering(t, 200, threeProxies)
	all := client.Proxies(t.Context(), youproxy.ProxyQuery{})
	for range all {
		for p, err := range all { // within the loop over the same
			require.NoError(t, err)
			require.NotEmpty(t, p.ID)
		}
	}
	var failed atomic.Int32
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 20 {
				list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
				if err != nil || len(list) != 3 {
					failed.Add(1)
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	assert.Zero(t, failed.Load())
}

// The observer is told of each attempt, whatever became of the loop.
func TestAListIsObserved(t *testing.T) {
	t.Parallel()
	var events []youproxy.CallEvent
	s := &script{answers: []answer{status(200, threeProxies)}}
	c := clientFor(t, s.option(), youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { events = append(events, e) }))
	_, err := c.ListProxies(t.Context(), youproxy.ProxyQuery{})
	require.NoError(t, err)
	for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
		break
	}
	require.Len(t, events, 2)
	for _, e := range events {
		assert.Equal(t, "GET /ipAddress", e.Op)
		assert.Equal(t, 200, e.HTTPStatus)
		assert.NoError(t, e.Err)
		assert.Equal(t, youproxy.OutcomeDone, e.Outcome)
	}
}

// A list over a real connection that breaks off ends with an error, and leaves
// nothing behind.
func TestListOverAConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + `{"success": true, "ipv4": [` + bareRecord + `, {"ip`)
		_ = buf.Flush()
		_ = conn.Close()
	}))
	defer s.Close()
	got, err := drainList(t, clientFor(t, youproxy.WithBaseURL(s.URL)).Proxies(t.Context(), youproxy.ProxyQuery{}))
	assert.Len(t, got, 1)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.ErrorContains(t, err, "broke off")
	assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
}
