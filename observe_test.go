package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestLoggerWritesAnAllowList(t *testing.T) {
	t.Parallel()
	always := []string{"time", "level", "msg", "op", "attempt", "status", "duration", "outcome"}
	for _, tc := range []struct {
		name   string
		status int
		body   string
		fields []string
		want   map[string]any
	}{
		{"success", 200, clientBalance, always, map[string]any{"level": "DEBUG", "op": "GET /balance", "attempt": 1.0, "status": 200.0, "outcome": "done"}},
		{"a refusal", 200, clientNoFunds, append(slices.Clone(always), "code"), map[string]any{"level": "WARN", "op": "GET /balance", "attempt": 1.0, "status": 200.0, "outcome": "rejected", "code": 16.0}},
		{"an error page", 500, "<html>" + clientKey + " secret</html>", always, map[string]any{"level": "WARN", "op": "GET /balance", "attempt": 1.0, "status": 500.0, "outcome": "unknown"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log bytes.Buffer
			c := clientFor(t,
				byStub(func(r *http.Request) (*http.Response, error) {
					return stubReply(r, tc.status, tc.body, "X-Secret", "secret"), nil
				}),
				youproxy.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			_, _ = c.Balance(t.Context())

			var line map[string]any
			require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one line: %s", log.String())
			assert.ElementsMatch(t, tc.fields, slices.Collect(maps.Keys(line)))
			for field, value := range tc.want {
				assert.Equal(t, value, line[field], field)
			}
			assert.NotContains(t, log.String(), clientKey)
			assert.NotContains(t, log.String(), "secret")
		})
	}
	t.Run("a level that is off", func(t *testing.T) {
		var log bytes.Buffer
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, clientBalance), nil }),
			youproxy.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Empty(t, log.String())
	})
}

func TestObserverSeesEachAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type contextKey struct{}
		var events []youproxy.CallEvent
		attempts := 0
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) {
				attempts++
				time.Sleep(time.Duration(attempts) * time.Second)
				if attempts == 1 {
					return stubReply(r, 503, "busy", "Retry-After", "1"), nil
				}
				if attempts == 2 {
					return nil, errors.New("the line is dead")
				}
				return stubReply(r, 200, clientNoFunds), nil
			}),
			youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
				assert.Equal(t, "the caller's", ctx.Value(contextKey{}))
				events = append(events, e)
			}))
		_, err := c.QuoteOrder(context.WithValue(t.Context(), contextKey{}, "the caller's"), benchOrder)
		require.ErrorIs(t, err, youproxy.ErrInsufficientFunds)

		require.Len(t, events, 3)
		for i, e := range events {
			assert.Equal(t, "POST /calculate/order", e.Op)
			assert.Equal(t, i+1, e.Attempt)
			assert.Equal(t, time.Duration(i+1)*time.Second, e.Duration)
			assert.Error(t, e.Err)
		}
		assert.Equal(t, []int{503, 0, 200}, []int{events[0].HTTPStatus, events[1].HTTPStatus, events[2].HTTPStatus})
		assert.Equal(t, []youproxy.Outcome{youproxy.OutcomeUnknown, youproxy.OutcomeUnknown, youproxy.OutcomeRejected},
			[]youproxy.Outcome{events[0].Outcome, events[1].Outcome, events[2].Outcome})
		assert.Equal(t, err, events[2].Err)
	})
	t.Run("success", func(t *testing.T) {
		var events []youproxy.CallEvent
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, orderedReply), nil }),
			youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { events = append(events, e) }))
		_, err := c.CreateOrder(t.Context(), benchOrder)
		require.NoError(t, err)
		require.Len(t, events, 1)
		events[0].Duration = 0
		assert.Equal(t, youproxy.CallEvent{Op: "POST /order", Attempt: 1, HTTPStatus: 200, Outcome: youproxy.OutcomeDone}, events[0])
	})
}
