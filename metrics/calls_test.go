package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/metrics"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// answers is a service with a reply for the end of each path.
type answers map[string]string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	for end, reply := range a {
		if strings.HasSuffix(r.URL.Path, end) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(reply)), Request: r}, nil
		}
	}
	return nil, fmt.Errorf("no reply for %s", r.URL.Path)
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := start(t)
		calls := metrics.NewCalls()
		client, err := client.With(youproxy.WithObserver(calls.Observe), youproxy.WithReadRetries(1))
		require.NoError(t, err)
		server.Inject("GET /balance", youproxytest.BadGateway)
		_, err = client.Balance(t.Context())
		require.NoError(t, err)
		server.Refuse("GET /country", 14, 999)
		for range 2 {
			_, err = client.Countries(t.Context(), youproxy.ProxyTypeIPv4)
			require.Error(t, err)
		}
		for id := range 50 {
			require.Error(t, client.Call(t.Context(), "GET", fmt.Sprintf("/order/%d", id), nil, nil, nil))
		}
		shows(t, calls, `
			# HELP youproxy_call_refusals_total Attempts of calls that the service refused.
			# TYPE youproxy_call_refusals_total counter
			youproxy_call_refusals_total{code="14",op="GET /country"} 1
			youproxy_call_refusals_total{code="other",op="GET /country"} 1
			# HELP youproxy_call_retries_total Attempts of calls after the first.
			# TYPE youproxy_call_retries_total counter
			youproxy_call_retries_total{op="GET /balance"} 1
		`, "youproxy_call_refusals_total", "youproxy_call_retries_total")
		assert.Equal(t, 4, testutil.CollectAndCount(calls, "youproxy_call_duration_seconds"),
			"done and unknown of /balance, rejected of /country, and one of all others")
		problems, err := testutil.CollectAndLint(calls)
		assert.NoError(t, err)
		assert.Empty(t, problems)
	})
}

func TestStatusClass(t *testing.T) {
	calls := metrics.NewCalls()
	for _, status := range []int{0, 200, 201, 404, 999} {
		calls.Observe(t.Context(), youproxy.CallEvent{Op: "GET /balance", Attempt: 1, HTTPStatus: status, Duration: time.Second})
	}
	assert.Equal(t, 3, testutil.CollectAndCount(calls, "youproxy_call_duration_seconds"), "none, 2xx and 4xx")
}
