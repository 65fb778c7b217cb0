package metrics

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/youproxy-go/youproxy"
)

// Calls is a [prometheus.Collector] of the calls of a client. It is made by [NewCalls], and
// counts once its method Observe is passed to [youproxy.WithObserver].
//
//	youproxy_call_duration_seconds{op,outcome,status}   a histogram of attempts; status is the class of the HTTP status, such as "2xx", or "none"
//	youproxy_call_retries_total{op}                     attempts after the first
//	youproxy_call_refusals_total{op,code}               attempts that the service refused; code is a documented one, or "other"
type Calls struct {
	duration          *prometheus.HistogramVec
	retries, refusals *prometheus.CounterVec
}

// NewCalls returns a collector of calls.
func NewCalls() *Calls {
	return &Calls{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "youproxy_call_duration_seconds", Help: "Time that attempts of calls took.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"op", "outcome", "status"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "youproxy_call_retries_total", Help: "Attempts of calls after the first.",
		}, []string{"op"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "youproxy_call_refusals_total", Help: "Attempts of calls that the service refused.",
		}, []string{"op", "code"}),
	}
}

// Observe counts an attempt of a call.
func (c *Calls) Observe(_ context.Context, e youproxy.CallEvent) {
	status := "none"
	if class := e.HTTPStatus / 100; class >= 1 && class <= 5 {
		status = strconv.Itoa(class) + "xx"
	}
	c.duration.WithLabelValues(e.Op, e.Outcome.String(), status).Observe(e.Duration.Seconds())
	if e.Attempt > 1 {
		c.retries.WithLabelValues(e.Op).Inc()
	}
	var refused *youproxy.APIError
	if !errors.As(e.Err, &refused) {
		return
	}
	code := other
	if refused.Code.Known() {
		code = strconv.Itoa(int(refused.Code))
	}
	c.refusals.WithLabelValues(e.Op, code).Inc()
}

// Describe implements [prometheus.Collector].
func (c *Calls) Describe(to chan<- *prometheus.Desc) {
	c.duration.Describe(to)
	c.retries.Describe(to)
	c.refusals.Describe(to)
}

// Collect implements [prometheus.Collector].
func (c *Calls) Collect(to chan<- prometheus.Metric) {
	c.duration.Collect(to)
	c.retries.Collect(to)
	c.refusals.Collect(to)
}
