package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
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

// answer is what a stub does with one request.
type answer func(*http.Request) (*http.Response, error)

func status(code int, body string, header ...string) answer {
	return func(r *http.Request) (*http.Response, error) { return stubReply(r, code, body, header...), nil }
}

func breaks(err error) answer {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// truncated begins a reply and breaks off.
func truncated(code int) answer {
	return func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, code, "")
		resp.ContentLength = 100
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"success": tr`), iotest.ErrReader(io.ErrUnexpectedEOF)))
		return resp, nil
	}
}

// never answers nothing until the context is over.
func never(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// neverEnds begins a reply that does not end until the context is over.
func neverEnds(r *http.Request) (*http.Response, error) {
	resp := stubReply(r, 200, "")
	resp.ContentLength = -1
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"success": true, `), waitingReader{r.Context()}))
	return resp, nil
}

type waitingReader struct{ ctx context.Context }

func (w waitingReader) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

// script is a stub that gives its answers in turn, the last one again and again,
// and notes when each request came.
type script struct {
	answers []answer
	times   []time.Time
}

func (s *script) option() youproxy.Option {
	return byStub(func(r *http.Request) (*http.Response, error) {
		s.times = append(s.times, time.Now())
		return s.answers[min(len(s.times), len(s.answers))-1](r)
	})
}

// pauses gives the time between the requests, where answers take none.
func (s *script) pauses() []time.Duration {
	var pauses []time.Duration
	for i := 1; i < len(s.times); i++ {
		pauses = append(pauses, s.times[i].Sub(s.times[i-1]))
	}
	return pauses
}

func TestWhichAnswersARead(t *testing.T) {
	t.Parallel()
	const page = "<html><title>Bad Gateway</title></html>"
	for _, tc := range []struct {
		name   string
		answer answer
		reads  int
	}{
		{"429", status(429, page), 3},
		{"429 with a refusal", status(429, clientNoFunds), 3},
		{"502", status(502, page), 3},
		{"503", status(503, page), 3},
		{"503 with a refusal", status(503, clientNoFunds), 3},
		{"504", status(504, page), 3},
		{"a connection that breaks", breaks(errors.New("connection reset by peer")), 3},
		{"a truncated body", truncated(200), 3},
		{"a truncated error page", truncated(404), 3},
		{"500", status(500, page), 1},
		{"501", status(501, page), 1},
		{"404", status(404, page), 1},
		{"400", status(400, page), 1},
		{"401", status(401, page), 1},
		{"408", status(408, page), 1},
		{"302", status(302, page, "Location", "/elsewhere"), 1},
		{"a page with 200", status(200, page), 1},
		{"an empty reply with 200", status(200, ""), 1},
		{"an envelope without success", status(200, "{}"), 1},
		{"a refusal", status(200, clientNoFunds), 1},
		{"a reply that lacks what it must carry", status(200, `{"success": true}`), 1},
		{"success", status(200, clientBalance), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, repeated := range []struct {
				name string
				opts []youproxy.Option
				call func(*youproxy.Client, context.Context) error
				want int
			}{
				{"a read", nil, func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }, tc.reads},
				{"a read that is a POST", nil, func(c *youproxy.Client, ctx context.Context) error {
					_, err := c.QuoteOrder(ctx, benchOrder)
					return err
				}, tc.reads},
				{"a read by Call", nil, func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "GET", "/x", nil, nil, nil) }, tc.reads},
				{"a read without retries", []youproxy.Option{youproxy.WithReadRetries(0)}, func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }, 1},
				{"a spend", []youproxy.Option{youproxy.WithReadRetries(9)}, func(c *youproxy.Client, ctx context.Context) error {
					_, err := c.CreateOrder(ctx, benchOrder)
					return err
				}, 1},
				{"a spend by Call", []youproxy.Option{youproxy.WithReadRetries(9)}, func(c *youproxy.Client, ctx context.Context) error {
					return c.Call(ctx, "POST", "/x", nil, struct{}{}, nil)
				}, 1},
			} {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answers: []answer{tc.answer}}
					_ = repeated.call(clientFor(t, append(repeated.opts, s.option())...), t.Context())
					assert.Len(t, s.times, repeated.want, repeated.name)
				})
			}
		})
	}
}

func TestReadRecovers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		answers []answer
	}{
		{"after 503", []answer{status(503, ""), status(200, clientBalance)}},
		{"after two failures of different kinds", []answer{truncated(200), breaks(io.ErrUnexpectedEOF), status(200, clientBalance)}},
		{"after its timeout", []answer{never, status(200, clientBalance)}},
		{"after a reply that does not end", []answer{neverEnds, status(200, clientBalance)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.answers}
				balance, err := clientFor(t, s.option()).Balance(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "25.03 USD", balance.String())
				assert.Len(t, s.times, len(tc.answers))
			})
		})
	}
}

// TestReadRecoversOverARealConnection waits for real pauses, about a second.
func TestReadRecoversOverARealConnection(t *testing.T) {
	t.Parallel()
	hangUp := func(t *testing.T, w http.ResponseWriter, before string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, before)
		_ = conn.Close()
	}
	for _, tc := range []struct {
		name string
		fail func(t *testing.T, w http.ResponseWriter)
	}{
		{"a dropped connection", func(t *testing.T, w http.ResponseWriter) { hangUp(t, w, "") }},
		{"half a header", func(t *testing.T, w http.ResponseWriter) { hangUp(t, w, "HTTP/1.1 200 OK\r\nContent-Le") }},
		{"a truncated body", func(t *testing.T, w http.ResponseWriter) {
			hangUp(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"success\": tr")
		}},
		{"a truncated chunk", func(t *testing.T, w http.ResponseWriter) {
			hangUp(t, w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"success\": tr")
		}},
		{"503", func(_ *testing.T, w http.ResponseWriter) { w.WriteHeader(503) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			s := listen(t, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == 1 {
					tc.fail(t, w)
					return
				}
				reply(w, r, 200, clientBalance)
			})
			_, err := clientFor(t, youproxy.WithBaseURL(s.URL)).Balance(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 2, requests.Load())
		})
	}
	t.Run("a certificate that is not trusted ends it at once", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		attempts := 0
		c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithObserver(func(context.Context, youproxy.CallEvent) { attempts++ }))
		_, err := c.Balance(t.Context())
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Equal(t, 1, attempts)
	})
	t.Run("a refused connection is tried again", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		attempts := 0
		c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(1),
			youproxy.WithObserver(func(context.Context, youproxy.CallEvent) { attempts++ }))
		_, err := c.Balance(t.Context())
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Equal(t, 2, attempts)
	})
}

// later returns a Retry-After of value, and laterBy one of the date in d.
func later(value string) func() string { return func() string { return value } }

func laterBy(d time.Duration) func() string {
	return func() string { return time.Now().UTC().Add(d).Format(http.TimeFormat) }
}

var retryAfters = []struct {
	name   string
	header func() string
	asked  time.Duration // what the error tells
	again  bool
}{
	{"seconds", later("7"), 7 * time.Second, true},
	{"seconds with spaces", later(" 7 "), 7 * time.Second, true},
	{"a date", laterBy(9 * time.Second), 9 * time.Second, true},
	{"30 seconds", later("30"), 30 * time.Second, true},
	{"a date in 30 seconds", laterBy(30 * time.Second), 30 * time.Second, true},
	{"31 seconds", later("31"), 31 * time.Second, false},
	{"a date in 31 seconds", laterBy(31 * time.Second), 31 * time.Second, false},
	{"an hour", later("3600"), time.Hour, false},
	{"a date tomorrow", laterBy(24 * time.Hour), 24 * time.Hour, false},
	{"a fraction, which is rounded up", later("1.5"), 2 * time.Second, true},
	{"a whole number with decimals", later("7.0"), 7 * time.Second, true},
	{"a fraction above 30 seconds", later("30.01"), 31 * time.Second, false},
	{"two minutes and a half second", later("120.5"), 121 * time.Second, false},
	{"2^63", later("9223372036854775808"), math.MaxInt64 / time.Second * time.Second, false},
	{"a hundred digits", later(strings.Repeat("9", 100)), math.MaxInt64 / time.Second * time.Second, false},
	{"as many, and a fraction", later("9223372036.5"), math.MaxInt64 / time.Second * time.Second, false},
	{"a date in 9999", later("Fri, 31 Dec 9999 23:59:59 GMT"), math.MaxInt64 / time.Second * time.Second, false},
	{"more seconds than a duration holds", later(strconv.FormatInt(math.MaxInt64, 10)), math.MaxInt64 / time.Second * time.Second, false},
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tc := range retryAfters {
		for _, code := range []int{429, 502, 503, 504} {
			t.Run(fmt.Sprintf("%s with %d", tc.name, code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					started := time.Now()
					s := &script{}
					s.answers = []answer{func(r *http.Request) (*http.Response, error) {
						return stubReply(r, code, "busy", "Retry-After", tc.header()), nil
					}}
					_, err := clientFor(t, s.option()).Balance(t.Context())
					var call *youproxy.CallError
					require.ErrorAs(t, err, &call)
					assert.Equal(t, tc.asked, call.RetryAfter)
					assert.Equal(t, code, call.HTTPStatus)
					if tc.again {
						assert.Equal(t, []time.Duration{tc.asked, tc.asked}, s.pauses())
						assert.Equal(t, 2*tc.asked, time.Since(started))
						return
					}
					assert.Len(t, s.times, 1, "it is given up")
					assert.Zero(t, time.Since(started), "and at once")
				})
			})
		}
	}
}

func TestRetryAfterThatSaysNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		header func() string
	}{
		{"no time", later("0")},
		{"a negative time", later("-5")},
		{"a date in the past", laterBy(-time.Hour)},
		{"words", later("soon")},
		{"a point", later(".")},
		{"two points", later("1.5.5")},
		{"an exponent", later("1e3")},
		{"hexadecimal", later("0x10")},
		{"infinity", later("Inf")},
	} {
		t.Run(tc.name+" is as good as none", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: []answer{func(r *http.Request) (*http.Response, error) {
					return stubReply(r, 503, "busy", "Retry-After", tc.header()), nil
				}}}
				_, err := clientFor(t, s.option()).Balance(t.Context())
				var call *youproxy.CallError
				require.ErrorAs(t, err, &call)
				assert.Zero(t, call.RetryAfter)
				require.Len(t, s.times, 3)
				assert.Positive(t, s.pauses()[0])
				assert.Less(t, s.pauses()[0], time.Second)
			})
		})
	}
}

func TestRetryAfterOfASpendIsOnlyTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		s := &script{answers: []answer{status(429, "busy", "Retry-After", "5")}}
		_, err := clientFor(t, s.option()).CreateOrder(t.Context(), benchOrder)
		var call *youproxy.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, 5*time.Second, call.RetryAfter)
		assert.ErrorContains(t, err, "wait 5s")
		assert.Len(t, s.times, 1)
		assert.Zero(t, time.Since(started))
	})
}

func TestPausesGrowWithJitter(t *testing.T) {
	t.Parallel()
	firsts := map[time.Duration]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []answer{status(503, "")}}
			_, err := clientFor(t, s.option(), youproxy.WithReadRetries(6)).Balance(t.Context())
			require.Error(t, err)
			pauses := s.pauses()
			require.Len(t, pauses, 6)
			firsts[pauses[0]] = true
			middle := 300 * time.Millisecond
			for i, pause := range pauses {
				assert.InDelta(t, middle.Seconds(), pause.Seconds(), middle.Seconds()/2+1e-6, "pause %d", i+1)
				middle = min(2*middle, 5*time.Second)
			}
		})
	}
	assert.Greater(t, len(firsts), 1, "not all clients come back at the same moment")
}
