// Metrics shows an account and its calls to Prometheus, and a purchase to OpenTelemetry. It
// runs against a fake Youproxy in its own process: no account is needed.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/metrics"
	"github.com/youproxy-go/youproxy/metrics/tracing"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	server := youproxytest.NewServer()
	defer server.Close()
	folder := must(os.MkdirTemp("", "metrics"))
	defer func() { _ = os.RemoveAll(folder) }()
	journal := must(filejournal.Open(filepath.Join(folder, "purchases.jsonl")))

	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{})).Tracer("shop") // or WithBatcher, with an exporter
	calls, traced := metrics.NewCalls(), tracing.Calls(tracer)
	// With an account it is youproxy.NewFromEnv, which reads YOUPROXY_API_KEY.
	client := must(server.Client(youproxy.WithJournal(journal), youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
		calls.Observe(ctx, e)
		traced(ctx, e)
	})))
	fmt.Println("Spans of a purchase, as they end:")
	request := youproxy.IPv4OrderRequest{Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin}
	must(tracing.Buy(context.Background(), tracer, client, request, youproxy.MustMoney("10 USD")))

	fmt.Println("\nSpans of reading the account's figures:")
	ctx, cancel := context.WithCancel(context.Background())
	account := metrics.NewAccount(client, journal)
	done := must(account.Follow(ctx, 5*time.Minute))
	defer func() { cancel(); <-done }()

	fmt.Println("\nA scrape, which calls nothing:")
	registry := prometheus.NewRegistry()
	registry.MustRegister(account, calls)
	page := httptest.NewRecorder() // a program serves this handler at /metrics
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if sameInEveryRun.MatchString(line) {
			fmt.Print("  ", line)
		}
	}
}

var sameInEveryRun = regexp.MustCompile(`^youproxy_(balance|proxies|journal|call_duration_seconds_count|refresh_failures)`)

// printer exports spans to the screen.
type printer struct{ sdktrace.SpanExporter }

func (printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	inside := spans[0].Parent().IsValid()
	fmt.Printf("  %s, inside of another: %t\n", spans[0].Name(), inside)
	return nil
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
