// Package tracing reports purchases and calls of Youproxy to OpenTelemetry: a span for a
// purchase, and in it one for each attempt of a call. No span contains the API key, a
// password or a promo code.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/youproxy-go/youproxy"
)

// Buy calls [youproxy.Client.Buy] in a span of its own. The spans of the calls are in it, of
// [Calls] or of what [youproxy.WithMiddleware] adds.
func Buy(ctx context.Context, t trace.Tracer, c *youproxy.Client, req youproxy.OrderRequest, limit youproxy.Money, opts ...youproxy.SpendOption) (*youproxy.Purchase, error) {
	ctx, span := t.Start(ctx, "youproxy.Buy", trace.WithAttributes(attribute.String("youproxy.limit", limit.String())))
	defer span.End()
	p, err := c.Buy(ctx, req, limit, opts...)
	if err == nil {
		bought(span, p.Attempt, p.Recovered)
		span.SetAttributes(attribute.String("youproxy.order_number", string(p.OrderNumber)))
	}
	end(span, err)
	return p, err
}

// Renew calls [youproxy.Client.Renew] in a span of its own, as [Buy] does.
func Renew(ctx context.Context, t trace.Tracer, c *youproxy.Client, req youproxy.ExtendRequest, limit youproxy.Money, opts ...youproxy.SpendOption) (*youproxy.Renewal, error) {
	ctx, span := t.Start(ctx, "youproxy.Renew", trace.WithAttributes(attribute.String("youproxy.limit", limit.String())))
	defer span.End()
	r, err := c.Renew(ctx, req, limit, opts...)
	if err == nil {
		bought(span, r.Attempt, r.Recovered)
	}
	end(span, err)
	return r, err
}

func bought(span trace.Span, a youproxy.Attempt, recovered bool) {
	span.SetAttributes(
		attribute.String("youproxy.attempt", a.ID),
		attribute.String("youproxy.proxy_type", string(a.ProxyType)),
		attribute.Int("youproxy.quantity", a.Quantity),
		attribute.String("youproxy.price", a.Price.String()),
		attribute.Bool("youproxy.recovered", recovered),
	)
}

// end records the outcome in a span, and ends it.
func end(span trace.Span, err error) {
	span.SetAttributes(attribute.String("youproxy.outcome", youproxy.OutcomeOf(err).String()))
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// Calls returns an observer, for [youproxy.WithObserver], that makes a span of each attempt
// of a call. Its name is [youproxy.CallEvent.Op], which has few values.
func Calls(t trace.Tracer) func(context.Context, youproxy.CallEvent) {
	return func(ctx context.Context, e youproxy.CallEvent) {
		ended := time.Now()
		_, span := t.Start(ctx, e.Op, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(ended.Add(-e.Duration)),
			trace.WithAttributes(attribute.Int("youproxy.attempt_number", e.Attempt)))
		if e.HTTPStatus != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", e.HTTPStatus))
		}
		end(span, e.Err)
		span.End(trace.WithTimestamp(ended))
	}
}
