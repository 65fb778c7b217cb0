package proxypool_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/proxypool"
)

var allPositions = flag.Bool("badproxies.all", false, "whether the bad proxy stands at every place of the list in each test")

const warmUp = 5

// timeouts are those of a client and of its pool.
type timeouts struct {
	name            string
	client, connect time.Duration
}

func (o timeouts) shorter() time.Duration { return min(o.client, o.connect) }

var bothTimeouts = []timeouts{
	{"the client's is shorter", 2 * time.Second, 10 * time.Second},
	{"the client's is longer", 30 * time.Second, 2 * time.Second},
}

// cell is a bad proxy among two good ones, asked for one target.
type cell struct {
	row      badProxy
	protocol protocol
	timeouts
	position int
	chosen   bool // it stands for its row where not all cells run
	ban      bool
	requests int
	pace     time.Duration // a request begins that often; one after the other where it is zero
	waited   time.Duration // what takes longer has waited; a tenth of the shorter timeout where it is zero
}

// outcome is what came of the requests after the warm-up.
type outcome struct {
	mu           sync.Mutex
	fails, waits int
	answered     int // by the bad proxy, in the target's place
	errors       map[string]int
	rested       map[string]bool
	stats        []proxypool.ProxyStats
}

func (o *outcome) String() string {
	text := fmt.Sprintf("%d failed, %d waited, %d answered by the proxy", o.fails, o.waits, o.answered)
	for _, e := range slices.Sorted(maps.Keys(o.errors)) {
		text += fmt.Sprintf("\n\t%d times: %s", o.errors[e], e)
	}
	for _, s := range o.stats {
		text += fmt.Sprintf("\n\t%s: %d requests, %d failures, rested: %t, %s", s.Proxy, s.Requests, s.Failures, o.rested[s.Proxy], s.LastError)
	}
	return text
}

// start makes the proxies of the cell, and returns the URLs and the bad one.
func (c cell) start(n *network) ([]*url.URL, *server) {
	scheme := c.row.scheme
	if scheme == "" {
		scheme = "http"
	}
	bad := &server{network: n, scheme: scheme}
	var before func(context.Context) error
	if c.row.before != nil {
		before = c.row.before(c.connect)
	}
	n.serve("bad.example.com", before, func(conn net.Conn) { c.row.conduct(bad, conn) })
	urls := []*url.URL{n.goodProxy("http", "good1.example.com"), n.goodProxy("http", "good2.example.com")}
	return slices.Insert(urls, c.position, proxyURL(scheme, "bad.example.com")), bad
}

// banned reports what only the bad proxies of the table answer.
func banned(resp *http.Response) bool {
	if resp.StatusCode != http.StatusOK {
		return true
	}
	body, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains(string(body), "<html>")
}

// run asks through the pool of the cell.
func (c cell) run(n *network) *outcome {
	urls, _ := c.start(n)
	opts := []proxypool.Option{proxypool.WithConnectTimeout(c.connect)}
	if c.ban {
		opts = append(opts, proxypool.WithBan(banned))
	}
	pool := n.pool(urls, opts...)
	target := n.target("target.example.com", c.protocol, certificates().known, n.greet)
	want := greeting
	if c.row.broken {
		target, want = target+"long", long
	}
	client := &http.Client{
		Transport: pool, Timeout: c.client,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.waited == 0 {
		c.waited = c.shorter() / 10
	}
	o := &outcome{errors: make(map[string]int), rested: make(map[string]bool)}
	ask := func(counts bool) {
		began := time.Now()
		body, err := fetch(client, target)
		took := time.Since(began)
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, s := range pool.Stats() {
			o.rested[s.Proxy] = o.rested[s.Proxy] || !s.RestsUntil.IsZero()
		}
		switch {
		case !counts:
		case err != nil:
			o.fails++
			o.errors[err.Error()]++
		case body != want:
			o.answered++
		case took > c.waited:
			o.waits++
		}
	}
	for range warmUp {
		ask(false)
	}
	var all sync.WaitGroup
	for range c.requests {
		if n.loopback && o.fails+o.waits > 5 {
			break // it has been shown, and this is real time
		}
		if c.pace == 0 {
			ask(true)
			continue
		}
		all.Go(func() { ask(true) })
		time.Sleep(c.pace)
	}
	all.Wait()
	o.stats = pool.Stats()
	return o
}

// fetch returns the body.
func fetch(client *http.Client, target string) (string, error) {
	resp, err := client.Get(target)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// check holds the outcome against what the row promises.
func (c cell) check(t *testing.T, o *outcome) {
	t.Helper()
	var wrong []string
	holds := func(ok bool, what string) {
		if !ok && !slices.Contains(wrong, what) {
			wrong = append(wrong, what)
		}
	}
	allowed := (1 + c.row.spare) * c.requests / 100
	passed := c.protocol.name == "http" && c.row.plain != asBad
	switch {
	case passed && c.row.plain == asGood:
		holds(o.fails+o.waits+o.answered == 0, "it is not as good as the others")
	case passed && !c.ban:
		holds(o.fails+o.waits == 0, "what it answers is lost")
		holds(o.answered*3 >= c.requests-3 && o.answered*3 <= c.requests+3, "it does not keep its share")
	case c.row.broken:
		holds(o.fails*3 <= c.requests+3 && o.waits+o.answered == 0, "more than its share breaks")
	default:
		holds(o.fails+o.waits+o.answered <= allowed, "requests failed or waited")
	}
	for _, s := range o.stats {
		bad := strings.Contains(s.Proxy, "bad.example.com")
		switch {
		case !bad:
			holds(s.Failures == 0, "a good proxy has failures")
			holds(!o.rested[s.Proxy], "a good proxy rests")
		case passed && !c.ban:
			holds(s.Failures == 0 && !o.rested[s.Proxy], "it is held to be bad, which nobody can tell")
		case !passed && !c.row.usable && !c.row.broken:
			holds(s.Failures > 0, "the bad proxy has no failures")
			holds(o.rested[s.Proxy], "the bad proxy never rests")
		}
	}
	for e := range o.errors {
		holds(!strings.Contains(e, password), "an error tells the password")
	}
	assert.Empty(t, wrong, "position %d: %v", c.position, o)
}

// eachCell calls do for each row, protocol and timeout in the long runs, and else for
// one of so many: of six, that is once for each row.
func eachCell(t *testing.T, every int, do func(t *testing.T, c cell)) {
	certificates()
	for k, row := range badProxies() {
		for i, p := range protocols {
			for j, o := range bothTimeouts {
				turn := k + 5*(2*i+j) // the cells of a row have other rests modulo 6
				if !proxypool.Sampled(turn, every) {
					continue
				}
				c := cell{row: row, protocol: p, timeouts: o, position: (i + j) % 3, requests: 100, chosen: turn%6 == 0}
				t.Run(row.name+"/"+p.name+"/"+o.name, func(t *testing.T) {
					t.Parallel()
					do(t, c)
				})
			}
		}
	}
}

// inBubble runs the cell in virtual time.
func (c cell) inBubble(t *testing.T) {
	t.Helper()
	for position := range 3 {
		if position == c.position || *allPositions {
			c := c
			c.position = position
			inBubble(t, func(t *testing.T, n *network) { c.check(t, c.run(n)) })
		}
	}
}

// A list of two good proxies and a bad one: after five requests at most one of a
// hundred fails or waits for the bad one.
func TestBadProxies(t *testing.T) {
	t.Parallel()
	eachCell(t, 6, func(t *testing.T, c cell) { c.inBubble(t) })
}

// Over http the answer of a proxy counts as the target's, unless WithBan says otherwise.
func TestBadProxiesThatAreBanned(t *testing.T) {
	t.Parallel()
	certificates()
	for i, row := range badProxies() {
		if row.plain != answers {
			continue
		}
		for _, o := range bothTimeouts {
			c := cell{row: row, protocol: protocols[0], timeouts: o, position: i % 3, requests: 100, ban: true}
			t.Run(row.name+"/"+o.name, func(t *testing.T) { c.inBubble(t) })
		}
	}
}

// Twenty requests a second for a minute: trying the bad one again costs at most one
// of a hundred.
func TestBadProxiesForAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	eachCell(t, 72, func(t *testing.T, c cell) {
		if c.row.broken || !c.chosen && !*allPositions {
			t.Skip("without -badproxies.all")
		}
		c.requests, c.pace = 1200, 50*time.Millisecond
		c.inBubble(t)
	})
}

// What a bubble cannot show: real sockets, and real time.
func TestBadProxiesOnLoopback(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	certificates()
	some := 0
	for _, row := range badProxies() {
		if !row.socket {
			continue
		}
		some++
		p := protocols[some%len(protocols)]
		o := []timeouts{{"", time.Second, 2 * time.Second}, {"", 2 * time.Second, time.Second}}[some%2]
		waited := o.shorter() * 9 / 10
		if !strings.Contains(row.name, "silent") { // no timeout ends, and on a busy machine connecting takes long
			o.client, o.connect = 8*o.client, 8*o.connect
		} else if !proxypool.Sampled(some-1, 12) {
			continue // it takes twice a timeout
		}
		t.Run(row.name+"/"+p.name, func(t *testing.T) {
			n := newNetwork(t, true)
			c := cell{row: row, protocol: p, timeouts: o, position: some % 3, requests: 100, waited: waited}
			c.check(t, c.run(n))
		})
	}
}

// inBubble runs a test in virtual time, and leaves time for what gives up late.
func inBubble(t *testing.T, do func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, false)
		t.Cleanup(func() { time.Sleep(10 * time.Minute) })
		do(t, n)
	})
}

// A request with a body reaches one proxy or one target, whatever breaks.
func TestBadProxiesGetNoBodyTwice(t *testing.T) {
	t.Parallel()
	eachCell(t, 6, func(t *testing.T, c cell) {
		inBubble(t, func(t *testing.T, n *network) { c.post(t, n) })
	})
}

func (c cell) post(t *testing.T, n *network) {
	urls, bad := c.start(n)
	pool := n.pool(urls, proxypool.WithConnectTimeout(c.connect))
	var mu sync.Mutex
	arrived := make(map[string]int)
	target := n.target("target.example.com", c.protocol, certificates().known, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		arrived[string(body)]++
		mu.Unlock()
		_, _ = io.WriteString(w, greeting)
	})
	well := 0
	for i := range 30 {
		body := fmt.Sprintf("<body %d>", i)
		got, err := c.postOne(t, pool, target, body)
		times := func() int {
			mu.Lock()
			defer mu.Unlock()
			bad.mu.Lock()
			defer bad.mu.Unlock()
			return arrived[body] + strings.Count(bad.swallowed.String(), body)
		}()
		require.LessOrEqual(t, times, 1, "request %d: %v", i, err)
		if got == greeting {
			well++
			require.Equal(t, 1, arrived[body])
		}
		var failure *proxypool.Error
		if err != nil && assert.ErrorAs(t, err, &failure) && times > 0 {
			assert.True(t, failure.MayHaveArrived, "request %d: %v", i, err)
		}
	}
	assert.GreaterOrEqual(t, well, 15, "the good ones serve")
}

// postOne sends a body, and returns that of the response.
func (c cell) postOne(t *testing.T, pool *proxypool.Pool, target, body string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), c.client)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := pool.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	return string(got), nil
}
