package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const orderedReply = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`

var benchOrder = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

// handWritten places the same order as a careful program would without the SDK.
func handWritten(ctx context.Context, hc *http.Client, base, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	body, err := json.Marshal(struct {
		ProxyType      string `json:"proxyType"`
		Quantity       int    `json:"quantity"`
		RentPeriodDays int    `json:"rentPeriodDays"`
		Country        string `json:"country"`
		Goal           string `json:"goal"`
		AuthType       string `json:"authType"`
	}{"IPv4", 1, 30, "USA", "price monitoring", "LOGIN"})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/client/api/v1/"+key+"/order", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var reply struct {
		Success         bool    `json:"success"`
		ProxyType       string  `json:"proxyType"`
		OrderNumber     string  `json:"orderNumber"`
		Balance         float64 `json:"balance"`
		Currency        string  `json:"currency"`
		PromoCodeStatus string  `json:"promoCodeStatus"`
		Error           *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return "", err
	}
	if !reply.Success {
		return "", fmt.Errorf("error %d: %s", reply.Error.Code, reply.Error.Message)
	}
	return reply.OrderNumber, nil
}

type stubTransport func(*http.Request) (*http.Response, error)

func (f stubTransport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// stubbed answers every order without a network, having read it.
func stubbed() *http.Client {
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
			ContentLength: int64(len(orderedReply)), Body: io.NopCloser(strings.NewReader(orderedReply)),
		}, nil
	})}
}

func orderServer(tb testing.TB) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, orderedReply)
	}))
	tb.Cleanup(s.Close)
	return s
}

// TestOrderAllocations holds CreateOrder against the hand-written call: what the
// SDK adds costs at most 12 allocations.
func TestOrderAllocations(t *testing.T) {
	hc := stubbed()
	c, err := youproxy.New("a-key-for-tests", youproxy.WithHTTPClient(hc))
	require.NoError(t, err)
	ctx := t.Context()
	byHand := testing.AllocsPerRun(200, func() { _, _ = handWritten(ctx, hc, "https://youproxy.io", "a-key-for-tests") })
	bySDK := testing.AllocsPerRun(200, func() { _, _ = c.CreateOrder(ctx, benchOrder) })
	t.Logf("CreateOrder: %.0f allocations; by hand: %.0f", bySDK, byHand)
	most := byHand + 12
	if isRaceDetected() {
		most += 2 // of its own
	}
	assert.LessOrEqual(t, bySDK, most)
}

func BenchmarkOrder(b *testing.B) {
	loopback := orderServer(b)
	for _, where := range []struct {
		name, url string
		hc        *http.Client
	}{
		{"stub", "https://youproxy.io", stubbed()},
		{"loopback", loopback.URL, loopback.Client()},
	} {
		c, err := youproxy.New("a-key-for-tests", youproxy.WithBaseURL(where.url), youproxy.WithHTTPClient(where.hc))
		require.NoError(b, err)
		b.Run(where.name+"/CreateOrder", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.CreateOrder(b.Context(), benchOrder); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(where.name+"/by-hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := handWritten(b.Context(), where.hc, where.url, "a-key-for-tests"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOrderRatio times both over loopback, in eight runs in which they take
// turns every few calls, and reports the median of the eight ratios.
func BenchmarkOrderRatio(b *testing.B) {
	const runs, turns, calls = 8, 100, 20
	s := orderServer(b)
	hc := s.Client()
	c, err := youproxy.New("a-key-for-tests", youproxy.WithBaseURL(s.URL), youproxy.WithHTTPClient(hc))
	require.NoError(b, err)
	bySDK := func() error { _, err := c.CreateOrder(b.Context(), benchOrder); return err }
	byHand := func() error {
		_, err := handWritten(b.Context(), hc, s.URL, "a-key-for-tests")
		return err
	}
	timed := func(call func() error) time.Duration {
		started := time.Now()
		for range calls {
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(started)
	}
	timed(bySDK)
	timed(byHand)
	var ratios []float64
	for range runs {
		var sdk, hand time.Duration
		for range turns {
			sdk += timed(bySDK)
			hand += timed(byHand)
		}
		ratios = append(ratios, float64(sdk)/float64(hand))
	}
	slices.Sort(ratios)
	b.ReportMetric((ratios[runs/2-1]+ratios[runs/2])/2, "x-by-hand")
	b.ReportMetric(0, "ns/op") // one pass whatever b.N is
}
