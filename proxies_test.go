package youproxy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	jsonexp "github.com/go-json-experiment/json"
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

// endlessList writes records until the other side has had enough.
func endlessList(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"success": true, "ipv4": [`)
	for i := 1; r.Context().Err() == nil; i++ {
		if _, err := fmt.Fprintf(w, `{"ipAddressId": "%d", "note": "%s"}, `, i, strings.Repeat("x", 500)); err != nil {
			return
		}
	}
}

// How a loop over proxies can end early.
var earlyEnds = []struct {
	name string
	loop func(t *testing.T, c *youproxy.Client)
}{
	{"break at the first", func(t *testing.T, c *youproxy.Client) {
		for _, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
			require.NoError(t, err)
			break
		}
	}},
	{"break in the middle", func(t *testing.T, c *youproxy.Client) {
		n := 0
		for _, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
			require.NoError(t, err)
			if n++; n == 1000 {
				break
			}
		}
		assert.Equal(t, 1000, n)
	}},
	{"return", func(t *testing.T, c *youproxy.Client) {
		func() {
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				return
			}
		}()
	}},
	{"panic", func(t *testing.T, c *youproxy.Client) {
		assert.PanicsWithValue(t, "enough", func() {
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				panic("enough")
			}
		})
	}},
	{"cancel inside the loop", func(t *testing.T, c *youproxy.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for _, err := range c.Proxies(ctx, youproxy.ProxyQuery{}) {
			require.NoError(t, last, "nothing comes after an error")
			last = err
			cancel()
		}
		assert.ErrorIs(t, last, context.Canceled)
	}},
}

func TestLoopsThatEndEarly(t *testing.T) {
	for _, w := range wires {
		for _, end := range earlyEnds {
			t.Run(w.name+", "+end.name, func(t *testing.T) {
				left := make(chan struct{}, 1)
				g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/balance") {
						_, _ = io.WriteString(rw, clientBalance)
						return
					}
					endlessList(rw, r)
					left <- struct{}{}
				})
				c := g.client(t, g.transport)
				end.loop(t, c)
				select {
				case <-left:
				case <-time.After(5 * time.Second):
					t.Fatal("the service is still writing: the reply was not closed")
				}
				_, err := c.Balance(t.Context())
				assert.NoError(t, err, "the client can be used")
			})
		}
	}
}

// However a loop ends, the body is closed: a stub's transport may not see the end
// of the context.
func TestTheBodyOfAListIsClosed(t *testing.T) {
	for _, body := range []string{threeProxies, threeProxies[:60], `{"success": false}`, `<html>`, ``} {
		for stopAt := range 4 {
			closed := 0
			c := clientFor(t, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
				resp := stubReply(r, 200, body)
				resp.Body = noteClose{resp.Body, &closed}
				return resp, nil
			}))
			n := 0
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				if n == stopAt {
					break
				}
				n++
			}
			assert.Positive(t, closed)
		}
	}
}

type noteClose struct {
	io.ReadCloser
	times *int
}

func (b noteClose) Close() error {
	*b.times++
	return b.ReadCloser.Close()
}

func TestCompleteListsUseOneConnection(t *testing.T) {
	long := inEnvelope(`"ipv4": [` + strings.Repeat(bareRecord+`, `, 1000) + `null]`)
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(g *guarded, rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, long) })
			c := g.client(t, g.transport)
			for range 20 {
				list, err := c.ListProxies(t.Context(), youproxy.ProxyQuery{})
				require.NoError(t, err)
				require.Len(t, list, 1000)
			}
			assert.EqualValues(t, 1, g.conns.Load())
		})
	}
}

func TestCancelWhileWaitingForMore(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(rw, `{"success": true, "ipv4": [`+bareRecord+`, {"ipAddr`)
				_ = http.NewResponseController(rw).Flush()
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			var last error
			for _, err := range g.client(t, g.transport).Proxies(ctx, youproxy.ProxyQuery{}) {
				if last = err; err == nil {
					n++
					time.AfterFunc(10*time.Millisecond, cancel)
				}
			}
			assert.Equal(t, 1, n)
			assert.ErrorIs(t, last, context.Canceled)
		})
	}
}

// Also where all of the reply is there already.
func TestTheContextEndsTheLoop(t *testing.T) {
	why := errors.New("the shop closes")
	client, _ := answering(t, 200, threeProxies)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var got []string
	var last error
	for p, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
		require.NoError(t, last, "nothing comes after an error")
		if last = err; err != nil {
			continue
		}
		got = append(got, string(p.ID))
		cancel(why)
	}
	assert.Equal(t, []string{"1"}, got)
	assert.ErrorIs(t, last, context.Canceled)
	assert.ErrorIs(t, last, why)
}

func TestAContextThatIsOverAlready(t *testing.T) {
	client, transport := answering(t, 200, threeProxies)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := drainList(t, client.Proxies(ctx, youproxy.ProxyQuery{}))
	assert.Empty(t, got)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.Empty(t, transport.requests)
}

const listTimeout = 10 * time.Second

// pausing gives a reply in pieces, each after its pause.
type pausing struct {
	ctx    context.Context
	pieces []piece
}

type piece struct {
	after time.Duration
	text  string
}

func (p *pausing) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	next := &p.pieces[0]
	select {
	case <-time.After(next.after):
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
	n := copy(b, next.text)
	if next.text, next.after = next.text[n:], 0; next.text == "" {
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

func inPieces(pieces ...piece) answer {
	return streaming(200, func(r *http.Request) io.Reader { return &pausing{r.Context(), append([]piece{}, pieces...)} })
}

// listed is what a list gave, and how long that took.
type listed struct {
	ids  []string
	err  error
	took time.Duration
	made int // requests
}

func listOf(t *testing.T, inLoop time.Duration, retries int, answers ...answer) (l listed) {
	s := &script{answers: answers}
	c := clientFor(t, s.option(), youproxy.WithReadRetries(retries), youproxy.WithTimeouts(youproxy.Timeouts{Read: listTimeout, Spend: time.Hour}))
	started := time.Now()
	l.ids = []string{}
	for p, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
		require.NoError(t, l.err, "nothing comes after an error")
		if err != nil {
			l.err = err
			continue
		}
		l.ids = append(l.ids, string(p.ID))
		time.Sleep(inLoop)
	}
	l.took, l.made = time.Since(started), len(s.times)
	return l
}

func TestTimeoutsOfAList(t *testing.T) {
	const just = listTimeout - time.Millisecond
	var slow []piece
	for i := range len(threeProxies) {
		slow = append(slow, piece{just, threeProxies[i : i+1]})
	}
	late := func(d time.Duration) answer {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(d):
				return stubReply(r, 200, threeProxies), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	begin := piece{0, `{"success": true, "ipv4": [{"ipAddressId": "1"}, `}
	for _, tc := range []struct {
		name   string
		answer answer
		inLoop time.Duration
		ids    []string
		took   time.Duration
		fails  bool
	}{
		{"a header that does not come", never, 0, []string{}, listTimeout, true},
		{"a header that comes too late", late(listTimeout + time.Millisecond), 0, []string{}, listTimeout, true},
		{"a header that comes just in time", late(just), 0, []string{"1", "2", "3"}, just, false},
		{"a body that does not begin", inPieces(piece{time.Hour, threeProxies}), 0, []string{}, listTimeout, true},
		{"a body that stalls", inPieces(begin, piece{time.Hour, "x"}), 0, []string{"1"}, listTimeout, true},
		{"a body that stalls after an hour", inPieces(begin, piece{just, " "}, piece{just, " "}, piece{time.Hour, "x"}), 0, []string{"1"}, 2*just + listTimeout, true},
		{"a body that stalls at its very end", inPieces(piece{0, threeProxies}, piece{time.Hour, "x"}), 0, []string{"1", "2", "3"}, listTimeout, true},
		{"a body that takes almost a timeout for each byte", inPieces(slow...), 0, []string{"1", "2", "3"}, time.Duration(len(threeProxies)) * just, false},
		{"a loop that takes an hour for each proxy", status(200, threeProxies), time.Hour, []string{"1", "2", "3"}, 3 * time.Hour, false},
		{"a loop that takes an hour, and a body in pieces", inPieces(begin, piece{just, `{"ipAddressId": "2"}`}, piece{just, `]}`}), time.Hour, []string{"1", "2"}, 2*time.Hour + 2*just, false},
		{"a loop that takes an hour, and a body that stalls then", inPieces(begin, piece{time.Hour, "x"}), time.Hour, []string{"1"}, time.Hour + listTimeout, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listOf(t, tc.inLoop, 0, tc.answer)
				assert.Equal(t, tc.ids, l.ids)
				assert.Equal(t, tc.took, l.took)
				if !tc.fails {
					assert.NoError(t, l.err)
					return
				}
				assert.ErrorIs(t, l.err, context.DeadlineExceeded)
				assert.NotErrorIs(t, l.err, context.Canceled)
			})
		})
	}
}

func TestTheCallersDeadlineEndsAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{inPieces(piece{0, `{"success": true, "ipv4": [{"ipAddressId": "1"}, `}, piece{time.Hour, "x"})}}
		c := clientFor(t, s.option())
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		started := time.Now()
		got, err := drainList(t, c.Proxies(ctx, youproxy.ProxyQuery{}))
		assert.Len(t, got, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 7*time.Second, time.Since(started))
		assert.Len(t, s.times, 1)
	})
}

func TestRetriesOfAList(t *testing.T) {
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

// secretive is a proxy all of whose secrets are hushed.
func secretive(t *testing.T) youproxy.Proxy {
	t.Helper()
	quoted, err := json.Marshal(hushed)
	require.NoError(t, err)
	list, err := readText(t, inEnvelope(fmt.Sprintf(`"ipv4": [{"ipAddressId": "1", "ip": "192.0.2.1", "orderId": "o", "orderNumber": "N-1", "country": "USA", "dateStart": "2026-10-01T08:30:00Z",
		"dateEnd": "2026-10-31T08:30:00Z", "httpsPort": 8080, "socks5Port": 9090, "authInfo": {"login": "user", "password": %s}, "rebootLink": %[1]s,
		"token": %[1]s, "list": [%[1]s], "protocol": {"x": %[1]s}}]`, quoted)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	p := list[0]
	require.Equal(t, hushed, p.Credentials.Password.Reveal())
	require.Equal(t, hushed, p.RebootURL.Reveal())
	require.Len(t, p.Extra, 3)
	return p
}

// asString tells what a verb makes of a value that has a String and a GoString,
// and whether it asks for one.
func asString(verb, text string) (string, bool) {
	switch verb {
	case "%v", "%+v", "%#v":
		return text, true
	}
	return fmt.Sprintf(verb, text), strings.ContainsAny(verb[len(verb)-1:], "sqxX")
}

// showsHushed reports whether text holds the beginning of the secret in some
// encoding, such as the list of bytes that package fmt makes of JSON.
func showsHushed(text string) bool {
	text = strings.ToLower(text)
	for _, form := range []string{hushed[:4], base64.StdEncoding.EncodeToString([]byte(hushed[:3])), base64.StdEncoding.EncodeToString([]byte(`"` + hushed[:5]))} {
		if strings.Contains(text, strings.ToLower(form)) {
			return true
		}
	}
	for _, verb := range []string{"%d", "%o", "%b", "%c", "%U", "%q", "%x", "%#x"} {
		var forms []string
		for _, b := range []byte(hushed[:4]) {
			forms = append(forms, strings.ToLower(fmt.Sprintf(verb, b)))
		}
		for _, separator := range []string{" ", ", ", ","} {
			if strings.Contains(text, strings.Join(forms, separator)) {
				return true
			}
		}
	}
	return strings.Contains(text, hex.EncodeToString([]byte(hushed[:4])))
}

func TestShowsHushed(t *testing.T) {
	for _, verb := range []string{"%s", "%d", "%o", "%b", "%c", "%U", "%q", "%x", "%X", "% x", "%#x", "%v", "%#v"} {
		assert.True(t, showsHushed(fmt.Sprintf("a "+verb+" b", []byte(hushed))), verb)
		assert.True(t, showsHushed(fmt.Sprintf(verb, raw("a", strconv.Quote(hushed)))), verb)
	}
	assert.True(t, showsHushed(base64.StdEncoding.EncodeToString([]byte(hushed))))
	assert.True(t, showsHushed(url.QueryEscape(hushed)))
	assert.False(t, showsHushed("proxy 1 at 192.0.2.1, *** [112 97]"))
}

func TestProxyUnderEveryVerb(t *testing.T) {
	p := secretive(t)
	const text = "IPv4 proxy 1 at 192.0.2.1, HTTP port 8080, SOCKS5 port 9090, USA, ends 2026-10-31T08:30:00Z"
	assert.Equal(t, text, p.String())
	assert.Equal(t, text, p.GoString())
	assert.Equal(t, text, fmt.Sprint(p))
	type holder struct {
		Proxy   youproxy.Proxy
		Pointer *youproxy.Proxy
		List    []youproxy.Proxy
	}
	for _, verb := range verbs {
		want, asked := asString(verb, text)
		if asked {
			assert.Equal(t, want, fmt.Sprintf(verb, p), verb)
			assert.Equal(t, want, fmt.Sprintf(verb, &p), verb)
		}
		shapes := []any{
			p, &p, []youproxy.Proxy{p}, map[string]youproxy.Proxy{"a": p}, holder{Proxy: p, List: []youproxy.Proxy{p}}, &holder{Proxy: p}, []any{p},
			struct{ youproxy.Proxy }{p}, p.Credentials, *p.Credentials, p.RebootURL, struct{ *youproxy.Credentials }{p.Credentials},
		}
		if !strings.ContainsAny(verb[len(verb)-1:], "tcUez") { // no verbs for a pointer: package fmt asks nothing behind one then
			shapes = append(shapes, []*youproxy.Proxy{&p}, holder{p, &p, nil})
		}
		for _, v := range shapes {
			text := fmt.Sprintf(verb, v)
			assert.False(t, showsHushed(text), "%s of a %T: %.200s", verb, v, text)
		}
	}
	assert.Equal(t, `"`+text+`"`, fmt.Sprintf("%q", p))
	assert.Equal(t, hex.EncodeToString([]byte(text)), fmt.Sprintf("%x", p))
	assert.Equal(t, strings.ToUpper(hex.EncodeToString([]byte(text))), fmt.Sprintf("%X", p))
	assert.Equal(t, "proxy", fmt.Sprint(youproxy.Proxy{}))
	assert.NotPanics(t, func() { _ = fmt.Sprint((*youproxy.Proxy)(nil)) })
}

func TestExtraUnderEveryVerb(t *testing.T) {
	e := secretive(t).Extra
	const names = `["list" "protocol" "token"]`
	type holder struct{ Extra youproxy.Extra }
	for _, verb := range verbs {
		assert.Equal(t, names, fmt.Sprintf(verb, e), verb)
		assert.Equal(t, names, fmt.Sprintf(verb, &e), verb)
		for _, v := range []any{holder{e}, &holder{e}, []youproxy.Extra{e}, map[string]youproxy.Extra{"a": e}, []any{e, &e}, struct{ youproxy.Extra }{e}} {
			text := fmt.Sprintf(verb, v)
			assert.False(t, showsHushed(text), "%s of a %T: %.200s", verb, v, text)
			assert.Contains(t, text, names, "%s of a %T", verb, v)
		}
		assert.Equal(t, "[]", fmt.Sprintf(verb, youproxy.Extra(nil)), verb)
		evil := fmt.Sprintf(verb, youproxy.Extra(raw("a\r\nlevel=INFO\x1b[31m\u202e", "1")))
		assert.False(t, strings.ContainsAny(evil, "\r\n\x1b\u202e"), "%q", evil)
	}
}

func TestExtraInLogs(t *testing.T) {
	e := secretive(t).Extra
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, v := range map[string]any{"itself": e, "a pointer": &e, "a group": slog.GroupValue(slog.Any("inside", e))} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.Info("found", "extra", v)
				log.With("extra", v).WithGroup("g").Info("found")
				assert.False(t, showsHushed(b.String()), what)
				assert.Equal(t, 2, strings.Count(b.String(), "\n"), what)
				assert.Equal(t, 2, strings.Count(b.String(), "token"), what)
				assert.Equal(t, 2, strings.Count(b.String(), "protocol"), what)
			}
			var b bytes.Buffer
			slog.New(handler(&b)).Info("found", "extra", youproxy.Extra(raw("a\nlevel=INFO msg=forged", "1")))
			assert.Equal(t, 1, strings.Count(b.String(), "\n"))
		})
	}
}

func TestProxyInLogs(t *testing.T) {
	p := secretive(t)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, v := range map[string]any{
				"a proxy": p, "a pointer": &p, "a list": []youproxy.Proxy{p}, "a list of pointers": []*youproxy.Proxy{&p}, "a map": map[string]youproxy.Proxy{"a": p},
				"credentials": p.Credentials, "a struct": struct{ P youproxy.Proxy }{p},
			} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.Info("found", "proxy", v)
				log.With("proxy", v).WithGroup("g").Info("found")
				assertHushed(t, b.String())
				assert.Equal(t, 2, strings.Count(b.String(), "\n"), what)
			}
			var b bytes.Buffer
			slog.New(handler(&b)).Info("found", "proxy", p)
			for _, want := range []string{"192.0.2.1", "8080", "9090", "USA", "N-1", "2026-10-31T08:30:00", "order_id"} {
				assert.Contains(t, b.String(), want)
			}
		})
	}
}

// What the service writes cannot begin a line of a log.
func TestProxyTextsCannotBreakALine(t *testing.T) {
	const evil = "USA\r\nlevel=INFO msg=forged\x1b[31m\u2028\u202e\x00"
	quoted, err := json.Marshal(evil)
	require.NoError(t, err)
	list, err := readText(t, inEnvelope(fmt.Sprintf(`"ipv4": [{"ipAddressId": %s, "ip": %[1]s, "orderId": %[1]s, "orderNumber": %[1]s, "country": %[1]s, "proxyType": %[1]s,
		"protocol": %[1]s, "mobileOperator": %[1]s, "dateEnd": %[1]s, "authInfo": {"login": %[1]s}, %[1]s: %[1]s}]`, quoted)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	p := list[0]
	assert.Equal(t, evil, p.Country, "it is kept as it came")
	assert.Empty(t, p.Host)
	for _, verb := range verbs {
		if _, asked := asString(verb, ""); !asked {
			continue
		}
		text := fmt.Sprintf(verb, p)
		assert.False(t, strings.ContainsAny(text, "\r\n\x1b\x00\u2028\u202e"), "%q", text)
	}
	for _, v := range []any{p, &p, list} {
		var text, js bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("found", "proxy", v)
		slog.New(slog.NewJSONHandler(&js, nil)).Info("found", "proxy", v)
		assert.Equal(t, 1, strings.Count(text.String(), "\n"))
		assert.Equal(t, 1, strings.Count(js.String(), "\n"))
	}
	long := youproxy.Proxy{ID: "1", Country: strings.Repeat("x", 1<<20)}
	assert.Less(t, len(long.String()), 1000)
}

func TestProxyAsJSON(t *testing.T) {
	p := secretive(t)
	const want = `{"ipAddressId": "1", "ipAddressIp": "192.0.2.1", "proxyType": "IPv4", "orderId": "o", "orderNumber": "N-1", "country": "USA",
		"dateStart": "2026-10-01T08:30:00Z", "dateEnd": "2026-10-31T08:30:00Z", "httpsPort": 8080, "socks5Port": 9090,
		"authInfo": {"login": "user", "password": "***"}, "extendInfo": {"autoExtend": false}, "rebootLink": "***"}`
	for name, marshal := range map[string]func(any) ([]byte, error){
		"encoding/json":       json.Marshal,
		"encoding/json/v2":    func(v any) ([]byte, error) { return jsonexp.Marshal(v) },
		"a custom marshaller": func(v any) ([]byte, error) { return jsonexp.Marshal(v, jsonexp.Deterministic(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := marshal(p)
			require.NoError(t, err)
			assert.JSONEq(t, want, string(b))
			for _, v := range []any{p, &p, []youproxy.Proxy{p}, map[string]*youproxy.Proxy{"a": &p}, struct{ P youproxy.Proxy }{p}} {
				b, err := marshal(v)
				require.NoError(t, err)
				assertHushed(t, string(b))
			}
		})
	}
}

func TestProxyFromItsJSON(t *testing.T) {
	for _, shape := range listShapes {
		for _, p := range shape.want {
			p.Extra, p.RebootURL, p.AutoExtendUnknown = nil, youproxy.Secret{}, false
			if p.Credentials != nil {
				p.Credentials = credentials(p.Credentials.Login, "")
				if p.Credentials.Login == "" {
					p.Credentials = nil
				}
			}
			t.Run(shape.name, func(t *testing.T) {
				b, err := json.Marshal(p)
				require.NoError(t, err)
				var got youproxy.Proxy
				require.NoError(t, json.Unmarshal(b, &got), "%s", b)
				assert.Equal(t, p, got, "%s", b)
				got = youproxy.Proxy{ID: "old", Country: "old", Extra: raw("old", "1")}
				require.NoError(t, jsonexp.Unmarshal(b, &got), "%s", b)
				assert.Equal(t, p, got, "nothing stays of what was there")

				b, err = json.Marshal([]youproxy.Proxy{p, p})
				require.NoError(t, err)
				var list []youproxy.Proxy
				require.NoError(t, json.Unmarshal(b, &list))
				assert.Equal(t, []youproxy.Proxy{p, p}, list)
			})
		}
	}
}

// What may extend itself is not read again as what does not.
func TestAnUnknownExtensionAsJSON(t *testing.T) {
	b, err := json.Marshal(youproxy.Proxy{ID: "1", AutoExtendUnknown: true})
	require.NoError(t, err)
	var got youproxy.Proxy
	require.NoError(t, json.Unmarshal(b, &got), "%s", b)
	assert.True(t, got.AutoExtendUnknown, "%s", b)
	assert.False(t, got.AutoExtend)
}

func TestProxyFromJSONWithoutItsSecrets(t *testing.T) {
	for name, p := range map[string]youproxy.Proxy{
		"a password":    {ID: "1", Credentials: credentials("l", "p")},
		"a reboot link": {ID: "1", RebootURL: youproxy.NewSecret("https://example.com")},
		"both":          secretive(t),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(p)
			require.NoError(t, err)
			got := only("kept")
			err = json.Unmarshal(b, &got)
			assert.ErrorContains(t, err, `"***"`)
			assert.Equal(t, only("kept"), got)
			var list []youproxy.Proxy
			assert.Error(t, json.Unmarshal([]byte("["+string(b)+"]"), &list))
		})
	}
}

func TestProxyFromOtherJSON(t *testing.T) {
	var p youproxy.Proxy
	require.NoError(t, json.Unmarshal([]byte(`{"id": 1111111111111111111, "ip": "192.0.2.1", "authInfo": {"login": "l", "password": "p"}, "x": [1]}`), &p))
	assert.Equal(t, youproxy.Proxy{ID: "1111111111111111111", Host: "192.0.2.1", IP: firstIP, Credentials: credentials("l", "p"), Extra: raw("x", "[1]")}, p)

	require.NoError(t, json.Unmarshal([]byte(`null`), &p))
	assert.NotEmpty(t, p.ID, "null changes nothing, as it does everywhere")

	for _, text := range []string{
		`{}`, `[]`, `1`, `"x"`, `true`, `{"ipAddressId": ""}`, `{"ipAddressId": null}`, `{"id": "1"}`, `{"country": "USA"}`,
		`{"ipAddressId": "1", "ipAddressId": "2"}`, `{"list": [` + bareRecord + `, ` + otherRecord + `]}`,
	} {
		got := only("kept")
		assert.Error(t, got.UnmarshalJSON([]byte(text)), text)
		assert.Equal(t, only("kept"), got)
	}
	for _, text := range []string{"", " ", "{", "}", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `[`, `{"ipAddressId":"1"}}`, `{"ipAddressId":"1"} {`, "\x00", "nul", `{"ipAddressId": tru}`, `{"ipAddressId":"\u12"}`, strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000)} {
		var got youproxy.Proxy
		assert.NotPanics(t, func() { assert.Error(t, got.UnmarshalJSON([]byte(text)), text) }, text)
	}
	assert.NotPanics(t, func() { assert.Error(t, new(youproxy.Proxy).UnmarshalJSON(nil)) })
}

// A proxy must not change with the bytes it was read from, which belong to the
// decoder.
func TestProxyKeepsNothingOfItsJSON(t *testing.T) {
	b := []byte(`{"ipAddressId": "1", "country": {"a": 1}, "x": [1, 2, 3], "authInfo": {"login": "l", "z": 1}}`)
	var p youproxy.Proxy
	require.NoError(t, p.UnmarshalJSON(b))
	want := youproxy.Proxy{ID: "1", Credentials: credentials("l", ""), Extra: raw("country", `{"a": 1}`, "x", "[1, 2, 3]", "authInfo", `{"z":1}`)}
	require.Equal(t, want, p)
	for i := range b {
		b[i] = '#'
	}
	assert.Equal(t, want, p)
}

func FuzzProxyJSON(f *testing.F) {
	f.Add([]byte(bareRecord))
	for _, text := range []string{``, `null`, `{}`, `[`, `{"id": 1, "ip": "192.0.2.1:80"}`, `{"a": {"ipAddressId": 1}}`, `{"ipAddressId": "1", "authInfo": {"password": "***"}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := only("kept")
		p := kept
		if err := p.UnmarshalJSON(data); err != nil {
			require.Equal(t, kept, p, "an error changes nothing")
			return
		}
		require.NotEmpty(t, p.ID)
		p.Extra, p.RebootURL = nil, youproxy.Secret{}
		if p.Credentials != nil {
			p.Credentials.Password = youproxy.Secret{}
			if p.Credentials.Login == "" {
				p.Credentials = nil
			}
		}
		b, err := json.Marshal(p)
		require.NoError(t, err)
		var again youproxy.Proxy
		require.NoError(t, json.Unmarshal(b, &again), "%s", b)
		again.Extra = nil
		require.Equal(t, p, again, "%s", b)
	})
}

// The service can send the key back wherever it likes.
func TestTheKeyInAList(t *testing.T) {
	t.Parallel()
	for _, key := range secretKeys {
		for _, echo := range echoes {
			if echo.name == "every byte as in JSON" {
				continue // a text in JSON is escaped once more below
			}
			quoted := quoteJSON(echo.echo(key))
			for _, reply := range []string{
				`{"success": true, "ipv4": [{"ipAddressId": true, "country": ` + quoted + `}]}`,
				`{"success": true, ` + quoted + `: [{"ip": "192.0.2.1", ` + quoted + `: ` + quoted + `}]}`,
				`{"success": true, ` + quoted + `: {` + quoted + `: [{"ipAddressId": ` + quoted + `}, {"ip": "192.0.2.1"}]}}`,
				`{"success": true, ` + quoted + `: [{"ipAddressId": ` + quoted + `, ` + quoted + `: [}]}`,
				`{"success": true, "` + strings.Repeat("x", 199-len(key)) + quoted[1:] + `: [{"ip": "192.0.2.1"}]}`,
				`{"success": false, ` + quoted + `: [{"ipAddressId": ` + quoted + `}], "error": {"code": 2, "message": ` + quoted + `}}`,
				`{"success": true, "ipv4": [], "error": {"code": 2, "message": ` + quoted + `}}`,
				`{"success": true, "ipv4": [{"ipAddressId": "1"}], ` + quoted,
				quoted, echo.echo(key),
			} {
				var events []youproxy.CallEvent
				c, err := youproxy.New(key, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, reply), nil }),
					youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { events = append(events, e) }))
				require.NoError(t, err)
				_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
				require.Error(t, err, reply)
				var s seen
				s.addError("list", err)
				for _, e := range events {
					s.addPrinted("event", e)
					s.addError("event", e.Err)
				}
				s.check(t, key)
			}
		}
	}
}

// A name that is cut where it is shown must not show most of the key.
func TestTheKeyInANameThatIsCut(t *testing.T) {
	const key = "Secret-Key_0123456789"
	for shown := range len(key) {
		name := strings.Repeat("x", 200-shown-1) + key // a slash comes first
		c, err := youproxy.New(key, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
			return stubReply(r, 200, `{"success": true, "`+name+`": [{"ip": "192.0.2.1"}]}`), nil
		}))
		require.NoError(t, err)
		_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "Secret-")
	}
}

// A list over a real connection that breaks off ends with an error, and leaves
// nothing behind.
func TestListOverAConnectionThatBreaks(t *testing.T) {
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
