package youproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) func() string {
		return func() string { return time.Now().UTC().Add(d).Format(http.TimeFormat) }
	}
	says := func(value string) func() string { return func() string { return value } }
	for _, tc := range []struct {
		name   string
		header func() string
		asked  time.Duration // what the error tells
		again  bool
	}{
		{"seconds", says("7"), 7 * time.Second, true},
		{"seconds with spaces", says(" 7 "), 7 * time.Second, true},
		{"a date", in(9 * time.Second), 9 * time.Second, true},
		{"30 seconds", says("30"), 30 * time.Second, true},
		{"a date in 30 seconds", in(30 * time.Second), 30 * time.Second, true},
		{"31 seconds", says("31"), 31 * time.Second, false},
		{"a date in 31 seconds", in(31 * time.Second), 31 * time.Second, false},
		{"an hour", says("3600"), time.Hour, false},
		{"a date tomorrow", in(24 * time.Hour), 24 * time.Hour, false},
		{"a fraction, which is rounded up", says("1.5"), 2 * time.Second, true},
		{"a whole number with decimals", says("7.0"), 7 * time.Second, true},
		{"a fraction above 30 seconds", says("30.01"), 31 * time.Second, false},
		{"two minutes and a half second", says("120.5"), 121 * time.Second, false},
		{"2^63", says("9223372036854775808"), math.MaxInt64 / time.Second * time.Second, false},
		{"a hundred digits", says(strings.Repeat("9", 100)), math.MaxInt64 / time.Second * time.Second, false},
		{"as many, and a fraction", says("9223372036.5"), math.MaxInt64 / time.Second * time.Second, false},
		{"a date in 9999", says("Fri, 31 Dec 9999 23:59:59 GMT"), math.MaxInt64 / time.Second * time.Second, false},
		{"more seconds than a duration holds", says(strconv.FormatInt(math.MaxInt64, 10)), math.MaxInt64 / time.Second * time.Second, false},
	} {
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
	for _, tc := range []struct {
		name   string
		header func() string
	}{
		{"no time", says("0")},
		{"a negative time", says("-5")},
		{"a date in the past", in(-time.Hour)},
		{"words", says("soon")},
		{"a point", says(".")},
		{"two points", says("1.5.5")},
		{"an exponent", says("1e3")},
		{"hexadecimal", says("0x10")},
		{"infinity", says("Inf")},
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
	t.Run("of a spend it is only told", func(t *testing.T) {
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
	})
}

func TestPausesGrowWithJitter(t *testing.T) {
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

// wait is one of the waits of a call.
type wait struct {
	name    string
	answer  answer
	call    func(*youproxy.Client, context.Context) error
	taken   bool // another spend has the turn
	outcome youproxy.Outcome
}

func waits() []wait {
	balance := func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }
	order := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.CreateOrder(ctx, benchOrder)
		return err
	}
	post := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "POST", "/x", nil, nil, nil) }
	return []wait{
		{"a slow reply to a read", never, balance, false, youproxy.OutcomeUnknown},
		{"a slow reply to a spend", never, order, false, youproxy.OutcomeUnknown},
		{"a slow body of a read", neverEnds, balance, false, youproxy.OutcomeUnknown},
		{"a slow body of a spend", neverEnds, order, false, youproxy.OutcomeUnknown},
		{"a slow body of Call", neverEnds, post, false, youproxy.OutcomeUnknown},
		{"the pause before a retry", status(503, ""), balance, false, youproxy.OutcomeUnknown},
		{"the pause a service asks for", status(429, "", "Retry-After", "20"), balance, false, youproxy.OutcomeRejected},
		{"the turn of a spend", never, order, true, youproxy.OutcomeNotSent},
		{"the turn of Call", never, post, true, youproxy.OutcomeNotSent},
	}
}

// begin starts the call in a bubble and returns when it waits. A deadline may
// come after many pauses, so the retries do not run out.
func (w wait) begin(ctx context.Context, t *testing.T) (errs <-chan error) {
	t.Helper()
	s := &script{answers: []answer{w.answer}}
	c := clientFor(t, s.option(), youproxy.WithReadRetries(1000))
	if w.taken {
		holder, release := context.WithCancel(t.Context())
		held := make(chan struct{})
		go func() {
			defer close(held)
			_, _ = c.CreateOrder(holder, benchOrder)
		}()
		t.Cleanup(func() { release(); <-held })
		synctest.Wait()
	}
	ch := make(chan error, 1)
	go func() { ch <- w.call(c, ctx) }()
	synctest.Wait()
	select {
	case err := <-ch:
		t.Fatalf("the call did not wait: %v", err)
	default:
	}
	return ch
}

func TestCancellingEndsEachWaitAtOnce(t *testing.T) {
	errOwner := errors.New("the owner hung up")
	for _, w := range waits() {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				errs := w.begin(ctx, t)
				started := time.Now()
				cancel()
				synctest.Wait()
				select {
				case err := <-errs:
					require.ErrorIs(t, err, context.Canceled)
					assert.NotErrorIs(t, err, context.DeadlineExceeded)
					assert.Equal(t, w.outcome, youproxy.OutcomeOf(err))
					assert.Equal(t, w.outcome == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))
				default:
					t.Error("the call still waits")
				}
				assert.Zero(t, time.Since(started))
			})
		})
		t.Run(w.name+", with a cause", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				errs := w.begin(ctx, t)
				started := time.Now()
				cancel(errOwner)
				err := <-errs
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, errOwner)
				assert.Zero(t, time.Since(started))
			})
		})
	}
}

func TestDeadlineEndsEachWait(t *testing.T) {
	for _, w := range waits() {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err := <-w.begin(ctx, t)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.Equal(t, w.outcome, youproxy.OutcomeOf(err))
				assert.Equal(t, 5*time.Second, time.Since(started))
			})
		})
	}
}

func TestTimeoutsBoundEachAttempt(t *testing.T) {
	balance := func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }
	quote := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.QuoteOrder(ctx, benchOrder)
		return err
	}
	order := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.CreateOrder(ctx, benchOrder)
		return err
	}
	get := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "GET", "/x", nil, nil, nil) }
	post := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "POST", "/x", nil, nil, nil) }
	for _, tc := range []struct {
		name     string
		timeouts youproxy.Timeouts
		call     func(*youproxy.Client, context.Context) error
		want     time.Duration
	}{
		{"Balance by default", youproxy.Timeouts{}, balance, 30 * time.Second},
		{"QuoteOrder by default", youproxy.Timeouts{}, quote, 30 * time.Second},
		{"CreateOrder by default", youproxy.Timeouts{}, order, 120 * time.Second},
		{"Call GET by default", youproxy.Timeouts{}, get, 30 * time.Second},
		{"Call POST by default", youproxy.Timeouts{}, post, 120 * time.Second},
		{"Balance with its own", youproxy.Timeouts{Read: 7 * time.Second}, balance, 7 * time.Second},
		{"CreateOrder with its own", youproxy.Timeouts{Spend: 70 * time.Second}, order, 70 * time.Second},
		{"Balance, where only that of a spend is set", youproxy.Timeouts{Spend: time.Second}, balance, 30 * time.Second},
		{"CreateOrder, where only that of a read is set", youproxy.Timeouts{Read: time.Second}, order, 120 * time.Second},
	} {
		for _, slow := range []struct {
			name   string
			answer answer
		}{{"no header", never}, {"no end", neverEnds}} {
			t.Run(tc.name+": "+slow.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					started := time.Now()
					s := &script{answers: []answer{slow.answer}}
					c := clientFor(t, s.option(), youproxy.WithTimeouts(tc.timeouts), youproxy.WithReadRetries(0))
					err := tc.call(c, t.Context())
					require.ErrorIs(t, err, context.DeadlineExceeded)
					assert.NotErrorIs(t, err, context.Canceled)
					assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
					assert.Equal(t, tc.want, time.Since(started))
				})
			})
		}
	}
	t.Run("a read may take its timeout again at each attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []answer{never}}
			c := clientFor(t, s.option(), youproxy.WithTimeouts(youproxy.Timeouts{Read: 10 * time.Second}))
			_, err := c.Balance(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Len(t, s.times, 3)
			for _, pause := range s.pauses() {
				assert.Greater(t, pause, 10*time.Second)
				assert.Less(t, pause, 11*time.Second)
			}
		})
	})
}

func TestSpendsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, sent int
		var mu sync.Mutex
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return stubReply(r, 200, clientBalance), nil
			}
			mu.Lock()
			sent++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return stubReply(r, 200, orderedReply), nil
		}))
		variant, err := c.With(youproxy.WithUserAgent("variant"))
		require.NoError(t, err)
		another, err := variant.With(youproxy.WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt }))
		require.NoError(t, err)

		started := time.Now()
		var wg sync.WaitGroup
		for _, client := range []*youproxy.Client{c, variant, another} {
			wg.Go(func() {
				_, err := client.CreateOrder(t.Context(), benchOrder)
				assert.NoError(t, err)
			})
			wg.Go(func() {
				assert.NoError(t, client.Call(t.Context(), "DELETE", "/thing", nil, nil, nil))
			})
		}
		synctest.Wait()
		_, err = another.Balance(t.Context())
		require.NoError(t, err)
		assert.Zero(t, time.Since(started), "a read does not wait")
		wg.Wait()
		assert.Equal(t, 1, most)
		assert.Equal(t, 6, sent)
		assert.Equal(t, 6*time.Second, time.Since(started))
	})
	t.Run("two clients do not wait for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return stubReply(r, 200, orderedReply), nil
			}
			started := time.Now()
			var wg sync.WaitGroup
			for range 2 {
				c := clientFor(t, byStub(slow))
				wg.Go(func() {
					_, err := c.CreateOrder(t.Context(), benchOrder)
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			assert.Equal(t, time.Second, time.Since(started))
		})
	})
	t.Run("a turn is given on after a failure", func(t *testing.T) {
		s := &script{answers: []answer{breaks(errors.New("reset")), status(200, clientNoFunds), status(200, orderedReply)}}
		c := clientFor(t, s.option())
		for _, want := range []youproxy.Outcome{youproxy.OutcomeUnknown, youproxy.OutcomeRejected, youproxy.OutcomeDone} {
			_, err := c.CreateOrder(t.Context(), benchOrder)
			assert.Equal(t, want, youproxy.OutcomeOf(err))
		}
	})
}

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
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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

// hugeReply writes about 64 MiB from one buffer that was made before.
type hugeReply struct {
	before, after string
	filler        []byte
	status        int
	length        bool // with a Content-Length
}

const (
	hugeSize   = 64 << 20
	hugeCost   = 4 << 20      // the most a call may allocate to find a reply too large that says how long it is, or is an error page
	readCost   = 4 * 16 << 20 // and one that must be read up to the bound first
	fillerSize = 32 << 10
)

func filler(unit string) []byte { return bytes.Repeat([]byte(unit), fillerSize/len(unit)) }

func (h hugeReply) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	blocks := hugeSize / len(h.filler)
	if h.length {
		w.Header().Set("Content-Length", strconv.Itoa(len(h.before)+blocks*len(h.filler)+len(h.after)))
	}
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, h.before)
	for range blocks {
		if _, err := w.Write(h.filler); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, h.after)
}

func TestHugeReplyIsNotHeld(t *testing.T) {
	const begin = `{"success": true, "balance": 25.03, "currency": "USD", "orderNumber": "N-1", `
	for _, tc := range []struct {
		name          string
		before, after string
		unit          string
	}{
		{"one string", begin + `"x": "`, `"}`, "a"},
		{"one string of escapes", begin + `"x": "`, `"}`, `\u0041`},
		{"one string that is needed", `{"success": true, "balance": 25.03, "orderNumber": "`, `"}`, "1"},
		{"an error's message", `{"success": false, "error": {"code": 16, "message": "`, `"}}`, "a"},
		{"one name", begin + `"`, `": 1}`, "a"},
		{"one number", begin + `"x": 1`, `}`, "1"},
		{"many small members", begin, `"z": 1}`, `"a":1,`},
		{"many small members with longer names", begin, `"z": 1}`, `"member":1,`},
		{"one list of numbers", begin + `"x": [`, `1]}`, "1,"},
		{"one list of objects", begin + `"x": [`, `{}]}`, `{"id":"1","ip":"192.0.2.1"},`},
		{"white space before", "", begin + `"x": 1}`, " "},
		{"white space within", begin, `"x": 1}`, "\n"},
		{"white space after", begin + `"x": 1}`, "", " "},
		{"JSON after JSON", begin + `"x": 1}`, "", "{}"},
		{"a page", "<html>", "</html>", "<p>text</p>"},
		{"NUL bytes", "", "", "\x00"},
	} {
		for _, code := range []int{200, 500} {
			for _, length := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d, Content-Length %t", tc.name, code, length), func(t *testing.T) {
					h := hugeReply{before: tc.before, after: tc.after, filler: filler(tc.unit), status: code, length: length}
					var warm bool
					s := listen(t, func(w http.ResponseWriter, r *http.Request) {
						if !warm {
							reply(w, r, 200, clientBalance)
							return
						}
						h.serve(w, r)
					})
					c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0))
					_, err := c.Balance(t.Context())
					require.NoError(t, err)
					warm = true
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					_, err = c.CreateOrder(t.Context(), benchOrder)
					runtime.ReadMemStats(&after)
					most := uint64(hugeCost)
					if code == 200 && !length {
						most = readCost
					}
					assert.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, most, "bytes allocated in all")
					var call *youproxy.CallError
					require.ErrorAs(t, err, &call)
					assert.Equal(t, code, call.HTTPStatus)
					assert.Equal(t, youproxy.OutcomeUnknown, call.Outcome)
					assert.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
					assert.Less(t, len(err.Error()), 1000)
				})
			}
		}
	}
}

func TestMaxReplySizeIsExact(t *testing.T) {
	// padded is a reply of n bytes, none of whose values is long.
	padded := func(n int) string {
		body := `{"success": true, "balance": 25.03, "currencyCode": "USD", `
		end := `"z": "`
		const member = `"a": "0123456789012345678901234567890123456789", `
		for len(body)+len(member)+len(end)+2 <= n {
			body += strings.Repeat(member, max(1, (n-len(body)-len(end)-2)/len(member)))
		}
		return body + end + strings.Repeat("z", n-len(body)-len(end)-2) + `"}`
	}
	const size = 2000
	long := `{"success": true, "balance": 25.03, "currencyCode": "USD", "x": "` + strings.Repeat("x", 2<<20) + `"}`
	for _, tc := range []struct {
		name string
		body string
		max  int64 // 0: the default
		fits bool
	}{
		{"exactly as large as allowed", padded(size), size, true},
		{"a byte more", padded(size + 1), size, false},
		{"a byte less", padded(size - 1), size, true},
		{"a byte of white space more", padded(size) + "\n", size, false},
		{"exactly the default", padded(16 << 20), 0, true},
		{"a byte more than the default", padded(16<<20 + 1), 0, false},
		{"more than the default, where that is allowed", padded(17 << 20), 17 << 20, true},
		{"a long value", long, 0, true},
		{"a long value, where a bound is set", long, 3 << 20, true},
		{"without a bound to speak of", padded(size), math.MaxInt64, true},
	} {
		for _, length := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, Content-Length %t", tc.name, length), func(t *testing.T) {
				s := listen(t, func(w http.ResponseWriter, r *http.Request) {
					if length {
						w.Header().Set("Content-Length", strconv.Itoa(len(tc.body)))
					} else {
						_ = http.NewResponseController(w).Flush()
					}
					_, _ = io.WriteString(w, tc.body)
				})
				opts := []youproxy.Option{youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0)}
				if tc.max != 0 {
					opts = append(opts, youproxy.WithMaxReplySize(tc.max))
				}
				c := clientFor(t, opts...)
				var err error
				if !assert.NotPanics(t, func() { _, err = c.Balance(t.Context()) }) {
					return
				}
				if tc.fits {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
			})
		}
	}
	for _, n := range []int{size, size + 1} {
		t.Run(fmt.Sprintf("Call, %d of %d", n, size), func(t *testing.T) {
			s := listen(t, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, padded(n)) })
			err := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithMaxReplySize(size)).
				Call(t.Context(), "GET", "/thing", nil, nil, new(any))
			if n <= size {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
		})
	}
}

func TestDependenciesAreFew(t *testing.T) {
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
