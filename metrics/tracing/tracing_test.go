package tracing_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/metrics/tracing"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const promo = "PROMO-31337"

var request = youproxy.ISPOrderRequest{
	Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin, PromoCode: promo,
}

// record runs f with a client whose calls are traced, and returns the spans as they ended.
func record(t *testing.T, server *youproxytest.Server, f func(*youproxy.Client, *sdktrace.TracerProvider)) []sdktrace.ReadOnlySpan {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	client, err := server.Client(youproxy.WithReadRetries(0), youproxy.WithObserver(tracing.Calls(provider.Tracer("calls"))))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	f(client, provider)
	spans := recorder.Ended()
	require.Len(t, recorder.Started(), len(spans), "all spans end")
	for _, s := range spans {
		text := fmt.Sprintf("%+v", tracetest.SpanStubFromReadOnlySpan(s))
		assert.NotContains(t, text, server.APIKey())
		assert.NotContains(t, text, promo)
	}
	return spans
}

func start(t *testing.T) *youproxytest.Server {
	t.Helper()
	server := youproxytest.NewServer(youproxytest.WithAPIKey("Trace-Me-Not-0123456789"), youproxytest.WithPromoCode(promo, 10))
	t.Cleanup(server.Close)
	return server
}

func attributes(s sdktrace.ReadOnlySpan) map[attribute.Key]any {
	all := map[attribute.Key]any{}
	for _, a := range s.Attributes() {
		all[a.Key] = a.Value.AsInterface()
	}
	return all
}

func TestBuy(t *testing.T) {
	server := start(t)
	var purchase *youproxy.Purchase
	spans := record(t, server, func(c *youproxy.Client, p *sdktrace.TracerProvider) {
		var err error
		purchase, err = tracing.Buy(t.Context(), p.Tracer("shop"), c, request, youproxy.MustMoney("10 USD"))
		require.NoError(t, err)
	})
	parent := spans[len(spans)-1]
	assert.Equal(t, "youproxy.Buy", parent.Name())
	assert.Equal(t, codes.Unset, parent.Status().Code)
	assert.Equal(t, map[attribute.Key]any{
		"youproxy.limit": "10 USD", "youproxy.price": "4.32 USD", "youproxy.proxy_type": "ISP", "youproxy.quantity": int64(2),
		"youproxy.recovered": false, "youproxy.outcome": "done", "youproxy.attempt": purchase.Attempt.ID, "youproxy.order_number": string(purchase.OrderNumber),
	}, attributes(parent))
	var names []string
	for _, s := range spans[:len(spans)-1] {
		names = append(names, s.Name())
		assert.Equal(t, parent.SpanContext().SpanID(), s.Parent().SpanID(), s.Name())
		assert.False(t, s.StartTime().After(s.EndTime()))
		assert.Equal(t, map[attribute.Key]any{
			"youproxy.attempt_number": int64(1), "http.response.status_code": int64(200), "youproxy.outcome": "done",
		}, attributes(s))
	}
	assert.Contains(t, names, "POST /order")
}

func TestErrorsAreRecorded(t *testing.T) {
	server := start(t)
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 1})
	extension := youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: []youproxy.IPAddressID{server.IPAddresses()[0].ID}, RentPeriodDays: 30}
	spans := record(t, server, func(c *youproxy.Client, p *sdktrace.TracerProvider) {
		_, err := tracing.Renew(t.Context(), p.Tracer("shop"), c, extension, youproxy.MustMoney("0.01 USD"))
		require.ErrorIs(t, err, youproxy.ErrPriceAboveLimit)
		_, err = tracing.Renew(t.Context(), p.Tracer("shop"), c, extension, youproxy.MustMoney("10 USD"))
		require.NoError(t, err)
		server.Inject("GET /balance", youproxytest.BadGateway)
		_, err = c.Balance(t.Context())
		require.Error(t, err)
	})
	var outcomes []string
	for _, s := range spans {
		if s.Name() == "youproxy.Renew" || s.Name() == "GET /balance" {
			outcomes = append(outcomes, fmt.Sprint(s.Name(), ": ", attributes(s)["youproxy.outcome"], ", ", s.Status().Code, ", errors: ", len(s.Events())))
		}
	}
	assert.Equal(t, "youproxy.Renew: not sent, Error, errors: 1", outcomes[0])
	assert.Contains(t, outcomes, "youproxy.Renew: done, Unset, errors: 0")
	assert.Equal(t, "GET /balance: unknown, Error, errors: 1", outcomes[len(outcomes)-1])
}
