package youproxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// tailSignal tells when n bytes of a body were read.
type tailSignal struct {
	io.ReadCloser
	left int
	read chan<- struct{}
}

func (b *tailSignal) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 && b.left <= n {
		close(b.read)
	}
	b.left -= n
	return n, err
}

func TestFiftyCallsUseOneConnection(t *testing.T) {
	t.Parallel()
	page := "<html>" + strings.Repeat("no such page ", 1000) + "</html>"
	var tail chan struct{} // closed when the client has read the JSON
	answers := []struct {
		outcome youproxy.Outcome
		serve   http.HandlerFunc
	}{
		{youproxy.OutcomeDone, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, orderedReply) }},
		{youproxy.OutcomeRejected, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, clientNoFunds) }},
		{youproxy.OutcomeRejected, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 404, page) }},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 500, page) }},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 503, clientNoFunds) }},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			reply(w, r, 302, page)
		}},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, page) }},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, orderedReply+" trailing "+page) }},
		{youproxy.OutcomeUnknown, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, "") }},
		{youproxy.OutcomeDone, func(w http.ResponseWriter, r *http.Request) {
			reply(w, r, 200, orderedReply)
			_ = http.NewResponseController(w).Flush()
			<-tail
		}},
	}
	var number int
	s, opened := countConnections(t, func(w http.ResponseWriter, r *http.Request) { answers[number%len(answers)].serve(w, r) })
	c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0), youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				resp.Body = &tailSignal{ReadCloser: resp.Body, left: len(orderedReply), read: tail}
			}
			return resp, err
		})
	}))
	calls := []func() error{
		func() error { _, err := c.CreateOrder(t.Context(), benchOrder); return err },
		func() error { return c.Call(t.Context(), "GET", "/thing", nil, nil, nil) },
		func() error { return c.Call(t.Context(), "POST", "/thing", nil, struct{}{}, new(any)) },
		func() error { _, err := c.CreateOrder(t.Context(), benchOrder); return err },
		func() error { return c.Call(t.Context(), "GET", "/thing", nil, nil, new(any)) },
	}
	for number = range 50 {
		tail = make(chan struct{})
		err := calls[number/len(answers)]()
		assert.Equal(t, answers[number%len(answers)].outcome, youproxy.OutcomeOf(err), "call %d: %v", number, err)
	}
	assert.EqualValues(t, 1, opened.Load())
}

func TestDependenciesAreFew(t *testing.T) {
	t.Parallel()
	const module = "github.com/youproxy-go/youproxy"
	allowed := []string{
		module,
		"github.com/shopspring/decimal",
		"github.com/go-json-experiment/json",
		"github.com/google/go-querystring",
		"github.com/cenkalti/backoff/v5",
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	require.NoError(t, err)
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	modules = slices.Compact(modules)
	assert.Contains(t, modules, module)
	assert.Subset(t, allowed, modules)
}

// TestCallHasFewLabels makes sure that what an observer is told of a call can be the label
// of a metric, and that errors still tell the path.
func TestCallHasFewLabels(t *testing.T) {
	t.Parallel()
	var labels []string
	c := clientFor(t, byStub(status(404, "")), youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
		labels = append(labels, e.Op)
	}))
	for _, call := range []struct{ method, path, want string }{
		{"GET", "/page/1", "Call GET"},
		{"GET", "/page/2", "Call GET"},
		{"POST", "/order/31337/note", "Call POST"},
		{"PUT", "/x", "Call PUT"},
		{"PATCH", "/x", "Call PATCH"},
		{"DELETE", "/x/31337", "Call DELETE"},
		{"PURGE", "/x", "Call"},
		{"GET", "/balance", "GET /balance"},
		{"GET", "/order", "Call GET"},
	} {
		labels = nil
		err := c.Call(t.Context(), call.method, call.path, nil, nil, nil)
		assert.ErrorContains(t, err, call.method+" "+call.path)
		assert.Equal(t, []string{call.want}, labels)
	}
}

// shout writes and reads itself in its own way, as callers' types do.
type shout string

func (s shout) MarshalJSON() ([]byte, error) { return json.Marshal(strings.ToUpper(string(s))) }

func (s *shout) UnmarshalJSON(data []byte) error {
	var text string
	err := json.Unmarshal(data, &text)
	*s = shout(strings.ToLower(text))
	return err
}

func TestCallSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	var method, path, query, body, contentType string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		method, path, query, body, contentType = r.Method, r.URL.Path, r.URL.RawQuery, string(sent), r.Header.Get("Content-Type")
		reply(w, r, 200, `{"success": true, "Name": "LOUD", "count": "7", "ORDERNUMBER": "N-1", "error": null}`)
	})
	c := clientFor(t, youproxy.WithBaseURL(s.URL))

	t.Run("body and reply pass through encoding/json", func(t *testing.T) {
		var got struct {
			Name        shout `json:"name"`
			Count       int   `json:"count,string"`
			OrderNumber string
		}
		err := c.Call(t.Context(), http.MethodPost, "/some/thing", url.Values{"proxyType": {"IPv4"}, "a": {"1 2", "&"}}, struct {
			Name shout  `json:"name"`
			Tag  string `json:"tag,omitempty"`
			Size int    `json:"size,string"`
			HTML string
		}{"quiet", "", 3, "<a&b>"}, &got)
		require.NoError(t, err)
		assert.Equal(t, "POST", method)
		assert.Equal(t, clientPathOfKey+"/some/thing", path)
		assert.Equal(t, "a=1+2&a=%26&proxyType=IPv4", query)
		assert.Equal(t, `{"name":"QUIET","size":"3","HTML":"\u003ca\u0026b\u003e"}`, body)
		assert.Equal(t, "application/json", contentType)
		assert.Equal(t, shout("loud"), got.Name)
		assert.Equal(t, 7, got.Count)
		assert.Equal(t, "N-1", got.OrderNumber, "letter case does not matter to encoding/json")
	})
	t.Run("no body, no query, no reply", func(t *testing.T) {
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, nil))
		assert.Equal(t, "GET", method)
		assert.Equal(t, clientPathOfKey+"/balance", path)
		assert.Empty(t, query)
		assert.Empty(t, body)
		assert.Empty(t, contentType)
	})
	t.Run("the whole reply as it came", func(t *testing.T) {
		var raw json.RawMessage
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, &raw))
		assert.Equal(t, `{"success": true, "Name": "LOUD", "count": "7", "ORDERNUMBER": "N-1", "error": null}`, string(raw))
	})
	t.Run("a path with characters that need escaping", func(t *testing.T) {
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/a b/ü/%2F/100%", nil, nil, nil))
		assert.Equal(t, clientPathOfKey+"/a b/ü/%2F/100%", path)
	})
}

func TestCallAnswers(t *testing.T) {
	t.Parallel()
	type fits struct {
		Balance float64
	}
	for _, tc := range []struct {
		name    string
		status  int
		body    string
		into    any
		outcome youproxy.Outcome
		is      error
	}{
		{"success", 200, clientBalance, new(fits), youproxy.OutcomeDone, nil},
		{"success, the reply not wanted", 200, clientBalance, nil, youproxy.OutcomeDone, nil},
		{"a refusal", 200, clientNoFunds, new(fits), youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal, the reply not wanted", 200, clientNoFunds, nil, youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal with 400", 400, clientNoFunds, nil, youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal with a code nobody knows", 200, `{"success": false, "error": {"code": 77, "message": "No"}}`, nil, youproxy.OutcomeRejected, youproxy.ErrorCode(77)},
		{"a page", 200, "<html></html>", nil, youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
		{"no success", 200, `{"balance": 1}`, new(fits), youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
		{"trailing bytes", 200, clientBalance + "x", new(fits), youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(tc.name+" to "+method, func(t *testing.T) {
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, tc.status, tc.body), nil }))
				err := c.Call(t.Context(), method, "/thing", nil, nil, tc.into)
				assert.Equal(t, tc.outcome, youproxy.OutcomeOf(err))
				if tc.is == nil {
					require.NoError(t, err)
					if got, ok := tc.into.(*fits); ok {
						assert.InDelta(t, 25.03, got.Balance, 0)
					}
					return
				}
				require.ErrorIs(t, err, tc.is)
				assert.Contains(t, err.Error(), method+" /thing")
			})
		}
	}
}

func TestCallReplyThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		into   any
	}{
		{"a number where text is wanted", 200, new(struct{ Balance string })},
		{"an object where a list is wanted", 200, new([]string)},
		{"another status of success", 201, new(struct{ Balance string })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, tc.status, clientBalance), nil }))
			err := c.Call(t.Context(), http.MethodPost, "/thing", nil, nil, tc.into)
			var call *youproxy.CallError
			require.ErrorAs(t, err, &call)
			assert.Equal(t, youproxy.OutcomeDone, call.Outcome)
			assert.Equal(t, youproxy.OutcomeDone, youproxy.OutcomeOf(err))
			assert.Equal(t, tc.status, call.HTTPStatus)
			assert.Equal(t, "POST /thing", call.Op)
			assert.ErrorContains(t, err, "does not fit")
			assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
			assert.NotErrorIs(t, err, youproxy.ErrNotSent)
		})
	}
}

// The errors of a caller's types may repeat what they were given.
func TestCallReplyIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, into := range []any{
		new(struct{ Password decimal.Decimal }), new(map[string]map[int]int), new(struct{ Password int8 }), new(struct{ Password picky }),
	} {
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			return stubReply(r, 200, `{"success": true, "password": "hunter2", "odd": {"hunter2": 1}}`), nil
		}))
		err := c.Call(t.Context(), http.MethodGet, "/thing", nil, nil, into)
		assert.ErrorContains(t, err, fmt.Sprintf("the reply does not fit into %T", into))
		assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), "hunter2")
		assert.Equal(t, youproxy.OutcomeDone, youproxy.OutcomeOf(err))
	}
}

type picky struct{}

func (*picky) UnmarshalJSON(b []byte) error { return fmt.Errorf("not %s", b) }

func TestCallRefusesToSend(t *testing.T) {
	t.Parallel()
	var none context.Context
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	for _, tc := range []struct {
		name         string
		ctx          context.Context
		method, path string
		body         any
	}{
		{"an empty path", ctx, "GET", "", nil},
		{"a path without a slash", ctx, "GET", "balance", nil},
		{"a URL", ctx, "GET", "https://elsewhere.example.com/balance", nil},
		{"a path with dots", ctx, "GET", "/a/../../b", nil},
		{"a path of dots", ctx, "POST", "/..", nil},
		{"a path with a query", ctx, "GET", "/a?b=c", nil},
		{"a path with a fragment", ctx, "GET", "/a#b", nil},
		{"no method", ctx, "", "/a", nil},
		{"a method in small letters", ctx, "get", "/a", nil},
		{"a method in mixed letters", ctx, "Get", "/a", nil},
		{"a method with a space", ctx, "GET ", "/a", nil},
		{"a method with a line break", ctx, "GET\r\n", "/a", nil},
		{"a method outside ASCII", ctx, "ПОСТ", "/a", nil},
		{"a body that is no JSON", ctx, "POST", "/a", make(chan int)},
		{"a nil context", none, "GET", "/a", nil},
		{"a nil context of a call that spends", none, "POST", "/a", nil},
		{"a context that is over", over, "GET", "/a", nil},
		{"a context that is over, of a call that spends", over, "POST", "/a", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sent := false
			c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
				sent = true
				return stubReply(r, 200, clientBalance), nil
			}))
			err := c.Call(tc.ctx, tc.method, tc.path, nil, tc.body, nil)
			require.ErrorIs(t, err, youproxy.ErrNotSent)
			assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
			assert.False(t, sent)
			if tc.ctx == over {
				assert.ErrorIs(t, err, context.Canceled)
			}
		})
	}
}

func TestCallEffects(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		method string
		sent   int
	}{
		{"GET", 3},
		{"POST", 1},
		{"PUT", 1},
		{"PATCH", 1},
		{"DELETE", 1},
		{"HEAD", 1},
		{"OPTIONS", 1},
		{"QUERY", 1},
	} {
		t.Run(tc.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
					sent++
					return stubReply(r, 503, ""), nil
				}))
				err := c.Call(t.Context(), tc.method, "/thing", nil, nil, nil)
				require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
				assert.Equal(t, tc.sent, sent)
			})
		})
	}
}
