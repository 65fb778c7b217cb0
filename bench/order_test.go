package bench

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestOrderAllocations compares CreateOrder with the call made by hand: what the SDK
// adds costs at most 12 allocations.
func TestOrderAllocations(t *testing.T) {
	allocated := make(map[string]float64)
	for _, c := range clientsOf(t, "https://youproxy.io", stubbed()) {
		allocated[c.name] = testing.AllocsPerRun(200, func() { _, _ = c.Order(t.Context()) })
	}
	t.Log(allocated)
	assert.LessOrEqual(t, allocated["SDK"], allocated["by-hand"]+12)
}

// BenchmarkOrder places an order with each client.
func BenchmarkOrder(b *testing.B) {
	loopback := httptest.NewServer(http.HandlerFunc(serve))
	defer loopback.Close()
	for _, where := range []struct {
		name, url string
		hc        *http.Client
	}{
		{"stub", "https://youproxy.io", stubbed()},
		{"loopback", loopback.URL, loopback.Client()},
	} {
		for _, c := range clientsOf(b, where.url, where.hc) {
			b.Run(where.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Order(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOrderRatio compares the clients over loopback in b.N runs, in which they take
// turns every few calls. In each run, a client's time is the median of its calls. It
// reports the median over the runs of that time, and of its ratio to the call by hand.
func BenchmarkOrderRatio(b *testing.B) {
	const turns, calls = 100, 20
	s := httptest.NewServer(http.HandlerFunc(serve))
	defer s.Close()
	clients := clientsOf(b, s.URL, s.Client())
	times, ratios := make(map[string][]float64), make(map[string][]float64)
	for range b.N {
		took := make(map[string][]float64)
		for range turns {
			for _, c := range clients {
				for range calls {
					started := time.Now()
					if _, err := c.Order(b.Context()); err != nil {
						b.Fatal(err)
					}
					took[c.name] = append(took[c.name], float64(time.Since(started))/float64(time.Microsecond))
				}
			}
		}
		byHand := median(took["by-hand"])
		for name := range took {
			times[name] = append(times[name], median(took[name]))
			ratios[name] = append(ratios[name], median(took[name])/byHand)
		}
	}
	for name := range times {
		b.ReportMetric(median(times[name]), name+"-us")
		b.ReportMetric(median(ratios[name]), name+"/by-hand")
	}
	b.ReportMetric(0, "ns/op")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}
