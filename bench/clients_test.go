package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/bench/clients/byhand"
	"github.com/youproxy-go/youproxy/bench/clients/oapi"
	"github.com/youproxy-go/youproxy/bench/clients/resty"
	"github.com/youproxy-go/youproxy/bench/clients/sdk"
)

const (
	key          = "a-key-for-benchmarks"
	number       = "NUMBER-112233"
	orderReply   = `{"success": true, "proxyType": "IPv4", "orderNumber": "` + number + `", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`
	balanceReply = `{"success": true, "balance": 4.57, "currencyCode": "USD", "error": null}`
)

type client interface {
	Order(context.Context) (string, error)
	Balance(context.Context) error
}

type namedClient struct {
	name string
	client
}

// clientsOf returns the clients that are compared, on one HTTP client.
func clientsOf(tb testing.TB, base string, hc *http.Client) []namedClient {
	tb.Helper()
	bySDK, err := sdk.New(base, key, hc)
	require.NoError(tb, err)
	generated, err := oapi.New(base, key, hc)
	require.NoError(tb, err)
	return []namedClient{
		{"SDK", bySDK},
		{"by-hand", byhand.New(base, key, hc)},
		{"oapi-codegen", generated},
		{"resty", resty.New(base, key, hc)},
	}
}

type stubTransport func(*http.Request) (*http.Response, error)

func (f stubTransport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// stubbed returns an HTTP client that answers every order without a network, having
// read it.
func stubbed() *http.Client {
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
			ContentLength: int64(len(orderReply)), Body: io.NopCloser(strings.NewReader(orderReply)),
		}, nil
	})}
}

// serve answers every call.
func serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/order") {
		_, _ = io.WriteString(w, orderReply)
		return
	}
	_, _ = io.WriteString(w, balanceReply)
}

// TestClients sees to it that what is compared works.
func TestClients(t *testing.T) {
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.Path)
		serve(w, r)
	}))
	defer s.Close()
	for _, c := range clientsOf(t, s.URL, s.Client()) {
		got, err := c.Order(t.Context())
		require.NoError(t, err, c.name)
		assert.Equal(t, number, got, c.name)
		require.NoError(t, c.Balance(t.Context()), c.name)
		assert.Equal(t, []string{"POST /client/api/v1/" + key + "/order", "GET /client/api/v1/" + key + "/balance"}, paths, c.name)
		paths = nil
	}
}
