package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// clock is one that the program moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// demo is what a run without a key has in place of the world: a service, whose proxies
// work, and a page.
type demo struct {
	clock   *clock
	fake    *youproxytest.Server
	client  *youproxy.Client
	website *httptest.Server
	gate    *gate // behind which the page lets some requests wait
}

func newDemo() (_ *demo, err error) {
	d := &demo{clock: &clock{at: time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)}, gate: &gate{}}
	d.fake = youproxytest.NewServer(youproxytest.WithClock(d.clock.now), youproxytest.WithProxies())
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	pages.Handle("/wait", d.gate)
	d.website = httptest.NewServer(pages)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	today := d.clock.now()
	d.fake.AddOrder(youproxytest.Order{ // which ends on the fourth day
		ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2, RentPeriodDays: 30, CreatedAt: today.AddDate(0, 0, -27),
	})
	d.fake.AddOrder(youproxytest.Order{
		ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, RentPeriodDays: 30, Protocol: youproxy.ProtocolSOCKS, CreatedAt: today,
	})
	d.client, err = d.fake.Client(youproxy.WithReadRetries(0)) // so that one fault is a failure
	return d, err
}

func (d *demo) close() {
	d.fake.Close()
	d.website.Close()
}

// order orders two more proxies.
func (d *demo) order(ctx context.Context, k *keeper) error {
	order, err := d.client.CreateOrder(ctx, youproxy.ISPOrderRequest{
		Country: "FRA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	})
	if err != nil {
		return err
	}
	k.event("ordered two ISP proxies: %s", order.Number)
	return nil
}

// breakList makes the next list fail.
func (d *demo) breakList(context.Context, *keeper) error {
	d.fake.Inject("GET /ipAddress", youproxytest.ServiceFault)
	return nil
}

// perDay is how many requests go through each proxy on a day.
const perDay = 10

// show shows four days. On each, the last request through each proxy is answered
// only after the refresh of the next day.
func (d *demo) show(ctx context.Context, k *keeper, t *traffic) error {
	waiting := &wave{}
	defer func() {
		d.gate.open()
		_ = waiting.end() // what it gives has been looked at, unless there was an error before
	}()
	for day, morning := range []func(context.Context, *keeper) error{nil, d.order, d.breakList, nil} {
		if day > 0 {
			d.clock.move(24 * time.Hour)
		}
		if morning != nil {
			if err := morning(ctx, k); err != nil {
				return err
			}
		}
		if day == 0 {
			if err := k.refresh(ctx); err != nil {
				return err
			}
		} else {
			k.event("refreshing, while %d requests wait for their answers", waiting.size)
			k.refreshOrKeep(ctx)
		}
		d.gate.open()
		if err := cmp.Or(waiting.end(), ctx.Err()); err != nil {
			return err
		}
		n := len(k.urls)
		if err := send(ctx, t, d.website.URL, day, (perDay-1)*n).end(); err != nil {
			return err
		}
		d.gate.shut(n)
		waiting = send(ctx, t, d.website.URL+"/wait", day, n)
		if err := waiting.begun(ctx, d.gate); err != nil {
			return err
		}
	}
	d.gate.open()
	return cmp.Or(waiting.end(), ctx.Err())
}

// wave is requests that were sent at once.
type wave struct {
	size, left int
	results    chan error
}

func send(ctx context.Context, t *traffic, target string, period, size int) *wave {
	w := &wave{size: size, left: size, results: make(chan error, size)}
	for range size {
		go func() { w.results <- t.get(ctx, target, period) }()
	}
	return w
}

// begun returns when all of a wave are behind the gate.
func (w *wave) begun(ctx context.Context, g *gate) error {
	for range w.size {
		select {
		case <-g.arrived:
		case err := <-w.results:
			w.left--
			return cmp.Or(err, ctx.Err(), errors.New("a request was answered that should wait"))
		}
	}
	return nil
}

// end returns when all of a wave are answered.
func (w *wave) end() (err error) {
	for ; w.left > 0; w.left-- {
		err = cmp.Or(err, <-w.results)
	}
	return err
}

// gate is a page that answers only once it is open.
type gate struct {
	mu      sync.Mutex
	isShut  bool
	arrived chan struct{}
	opened  chan struct{}
}

// shut makes it ready for a number of requests to wait.
func (g *gate) shut(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut, g.arrived, g.opened = true, make(chan struct{}, size), make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		g.isShut = false
		close(g.opened)
	}
}

func (g *gate) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	arrived, opened := g.arrived, g.opened
	g.mu.Unlock()
	select {
	case arrived <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	select {
	case <-opened:
	case <-r.Context().Done():
		return
	}
}

// runDemo runs without a key.
func runDemo(ctx context.Context, o *options, out printer) error {
	d, err := newDemo()
	if err != nil {
		return err
	}
	defer d.close()
	k, err := newKeeper(o, d.client, d.clock.now, out)
	if err != nil {
		return err
	}
	defer k.pool.CloseIdleConnections()
	t := newTraffic(k.pool, tries*o.timeout)
	out.line("")
	if err := d.show(ctx, k, t); err != nil {
		return err
	}
	t.report(out, []string{"Day 1", "Day 2", "Day 3", "Day 4"})
	return nil
}
