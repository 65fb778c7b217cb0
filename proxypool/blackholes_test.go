package proxypool_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy/proxypool"
)

// A hundred proxies, half of which never answer a connection, and twenty requests a
// second for a minute: at most one of a hundred waits longer than a tenth of the
// connect timeout.
func TestBlackHoles(t *testing.T) {
	t.Parallel()
	certificates()
	const connect = 10 * time.Second
	for i, p := range protocols {
		for j, client := range []time.Duration{connect / 2, 6 * connect} {
			for k, known := range []bool{false, true} {
				if !proxypool.Sampled(i+2*j+k, 5) {
					continue
				}
				name := fmt.Sprintf("%s/the client waits %s/from the start", p.name, client)
				if known {
					name = fmt.Sprintf("%s/the client waits %s/when each has been tried", p.name, client)
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, n *network) { blackHoles(t, n, p, client, connect, known) })
				})
			}
		}
	}
}

func blackHoles(t *testing.T, n *network, p protocol, timeout, connect time.Duration, known bool) {
	var urls []*url.URL
	var tries, most atomic.Int64 // connections that are being made with black holes
	hole := func(ctx context.Context) error {
		most.Store(max(most.Load(), tries.Add(1)))
		defer tries.Add(-1)
		<-ctx.Done()
		return ctx.Err()
	}
	for i := range 100 {
		name := fmt.Sprintf("p%d.example.com", i)
		urls = append(urls, proxyURL("http", name))
		if i%2 == 0 {
			n.serve(name, hole, nil)
			continue
		}
		n.serve(name, nil, (&server{network: n, scheme: "http"}).forward)
	}
	target := n.target("target.example.com", p, certificates().known, n.greet)
	pool := n.pool(urls, proxypool.WithConnectTimeout(connect))
	client := &http.Client{Transport: pool, Timeout: timeout}
	var waited, failed atomic.Int64
	send := func(requests int) {
		var all sync.WaitGroup
		for range requests {
			all.Go(func() {
				began := time.Now()
				if _, err := fetch(client, target); err != nil {
					failed.Add(1)
				}
				if time.Since(began) > connect/10 {
					waited.Add(1)
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		all.Wait()
	}
	if known {
		send(200)
		waited.Store(0)
		failed.Store(0)
		most.Store(0)
	}
	const requests = 20 * 60
	send(requests)
	t.Logf("of %d requests %d waited and %d failed; at most %d connections with black holes were tried at once",
		requests, waited.Load(), failed.Load(), most.Load())
	assert.LessOrEqual(t, waited.Load(), int64(requests/100), "waited")
	assert.LessOrEqual(t, failed.Load(), int64(requests/100), "failed")
	for i, s := range pool.Stats() {
		if i%2 == 1 {
			assert.Zero(t, s.Failures, s.Proxy)
			continue
		}
		assert.Positive(t, s.Failures, s.Proxy)
	}
}
