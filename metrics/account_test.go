package metrics_test

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/metrics"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// journal holds entries, or fails.
type journal struct {
	youproxy.Journal

	entries []youproxy.Entry
	err     error
}

func (j *journal) Entries(context.Context, youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		for _, e := range j.entries {
			if !yield(e, nil) {
				return
			}
		}
		if j.err != nil {
			yield(youproxy.Entry{}, j.err)
		}
	}
}

// start returns a server and a client that work inside of a synctest bubble.
func start(t *testing.T, opts ...youproxytest.Option) (*youproxytest.Server, *youproxy.Client) {
	t.Helper()
	server := youproxytest.NewServer(opts...)
	t.Cleanup(server.Close)
	client, err := youproxy.New(server.APIKey(), youproxy.WithBaseURL("http://localhost"), youproxy.WithReadRetries(0), youproxy.WithHTTPClient(&http.Client{Transport: server.Transport()}))
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return server, client
}

// shows compares what a scrape shows of some metrics.
func shows(t *testing.T, c prometheus.Collector, want string, names ...string) {
	t.Helper()
	var lines strings.Builder
	for line := range strings.Lines(strings.TrimSpace(want)) {
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	assert.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(lines.String()), names...))
}

var figures = []string{"youproxy_balance", "youproxy_proxies", "youproxy_next_end_seconds", "youproxy_journal_open_entries", "youproxy_refresh_failures_total"}

func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := start(t, youproxytest.WithBalance(youproxy.MustMoney("7.18 USD")))
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3, RentPeriodDays: 30})
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "DEU", Quantity: 1, RentPeriodDays: 10, CreatedAt: time.Now().AddDate(0, 0, -9)})
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 2, RentPeriodDays: 60})
		account := metrics.NewAccount(client, &journal{entries: []youproxy.Entry{
			{State: youproxy.EntryOpen}, {State: youproxy.EntryExecuted}, {State: youproxy.EntryOpen},
		}})
		require.NoError(t, account.Refresh(t.Context()))
		time.Sleep(time.Hour)
		before := len(server.Requests())
		shows(t, account, `
			# HELP youproxy_balance Balance of the account.
			# TYPE youproxy_balance gauge
			youproxy_balance{currency="USD"} 7.18
			# HELP youproxy_journal_open_entries Purchases in the journal whose outcome is not known.
			# TYPE youproxy_journal_open_entries gauge
			youproxy_journal_open_entries 2
			# HELP youproxy_next_end_seconds Seconds until the next proxy ends.
			# TYPE youproxy_next_end_seconds gauge
			youproxy_next_end_seconds{type="IPv4"} 82800
			youproxy_next_end_seconds{type="ISP"} 5.1804e+06
			# HELP youproxy_proxies Proxies of the account.
			# TYPE youproxy_proxies gauge
			youproxy_proxies{country="DEU",type="IPv4"} 1
			youproxy_proxies{country="FRA",type="ISP"} 2
			youproxy_proxies{country="USA",type="IPv4"} 3
			# HELP youproxy_refresh_failures_total How often a figure could not be read.
			# TYPE youproxy_refresh_failures_total counter
			youproxy_refresh_failures_total{figure="balance"} 0
			youproxy_refresh_failures_total{figure="journal"} 0
			youproxy_refresh_failures_total{figure="proxies"} 0
		`, figures...)
		assert.Len(t, server.Requests(), before, "a scrape calls nothing")
	})
}

func TestAccountBeforeTheFirstRefresh(t *testing.T) {
	server, client := start(t)
	shows(t, metrics.NewAccount(client, nil), `
		# HELP youproxy_refresh_failures_total How often a figure could not be read.
		# TYPE youproxy_refresh_failures_total counter
		youproxy_refresh_failures_total{figure="balance"} 0
		youproxy_refresh_failures_total{figure="proxies"} 0
	`, append(figures, "youproxy_refresh_timestamp_seconds")...)
	assert.Empty(t, server.Requests())
	assert.Panics(t, func() { metrics.NewAccount(nil, nil) })
}

// The labels are bounded, whatever the service says. What has ended is not the next to end.
func TestAccountWithOddLabels(t *testing.T) {
	client, err := youproxy.New("some-key-4711", youproxy.WithHTTPClient(&http.Client{Transport: answers{
		"/balance":   `{"success": true, "balance": 1, "currency": "some-key-4711"}`,
		"/ipAddress": `{"success": true, "ipv7": [{"id": "1", "ip": "192.0.2.1", "proxyType": "ipv7", "country": "nowhere\u0000"}, {"id": "2", "ip": "192.0.2.2", "proxyType": "ISP", "country": "usa"}, {"id": "3", "ip": "192.0.2.3", "proxyType": "ISP", "country": "GERMANY", "dateEnd": "2020-01-01T00:00:00Z"}]}`,
	}}))
	require.NoError(t, err)
	account := metrics.NewAccount(client, nil)
	require.NoError(t, account.Refresh(t.Context()))
	shows(t, account, `
		# HELP youproxy_balance Balance of the account.
		# TYPE youproxy_balance gauge
		youproxy_balance{currency="other"} 1
		# HELP youproxy_proxies Proxies of the account.
		# TYPE youproxy_proxies gauge
		youproxy_proxies{country="other",type="ISP"} 2
		youproxy_proxies{country="other",type="other"} 1
	`, "youproxy_balance", "youproxy_proxies", "youproxy_next_end_seconds")
}

// A figure that cannot be read stays as it was.
func TestAccountFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := start(t, youproxytest.WithBalance(youproxy.MustMoney("100 USD")))
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 1})
		broken := &journal{}
		account := metrics.NewAccount(client, broken)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done, err := account.Follow(ctx, time.Minute)
		require.NoError(t, err)

		server.Inject("GET /ipAddress", youproxytest.BadGateway)
		broken.err = assert.AnError
		server.SetBalance(youproxy.MustMoney("50 USD"))
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 1})
		began := time.Now()
		time.Sleep(90 * time.Second)
		synctest.Wait()
		want := `
			# HELP youproxy_balance Balance of the account.
			# TYPE youproxy_balance gauge
			youproxy_balance{currency="USD"} 50
			# HELP youproxy_journal_open_entries Purchases in the journal whose outcome is not known.
			# TYPE youproxy_journal_open_entries gauge
			youproxy_journal_open_entries 0
			# HELP youproxy_proxies Proxies of the account.
			# TYPE youproxy_proxies gauge
			youproxy_proxies{country="FRA",type="ISP"} PROXIES
			# HELP youproxy_refresh_failures_total How often a figure could not be read.
			# TYPE youproxy_refresh_failures_total counter
			youproxy_refresh_failures_total{figure="balance"} 0
			youproxy_refresh_failures_total{figure="journal"} FAILURES
			youproxy_refresh_failures_total{figure="proxies"} 1
		`
		names := []string{"youproxy_balance", "youproxy_journal_open_entries", "youproxy_proxies", "youproxy_refresh_failures_total"}
		shows(t, account, strings.NewReplacer("PROXIES", "1", "FAILURES", "1").Replace(want), names...)
		assert.InDelta(t, float64(began.Unix()), reading(t, account, "proxies"), 1)
		assert.InDelta(t, float64(began.Unix()+60), reading(t, account, "balance"), 1)

		time.Sleep(time.Minute)
		synctest.Wait()
		shows(t, account, strings.NewReplacer("PROXIES", "2", "FAILURES", "2").Replace(want), names...)

		cancel()
		<-done
		requests := len(server.Requests())
		time.Sleep(time.Hour)
		assert.Len(t, server.Requests(), requests)
	})
}

// reading returns when a figure was last read.
func reading(t *testing.T, c prometheus.Collector, figure string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "youproxy_refresh_timestamp_seconds" && m.GetLabel()[0].GetValue() == figure {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("%s was not read", figure)
	return 0
}

func TestFollowThatCannotBegin(t *testing.T) {
	server, client := start(t)
	account := metrics.NewAccount(client, nil)
	_, err := account.Follow(t.Context(), 0)
	assert.ErrorContains(t, err, "must be more than 0")
	assert.Empty(t, server.Requests())
	server.Inject("GET /balance", youproxytest.BadGateway)
	_, err = account.Follow(t.Context(), time.Minute)
	assert.ErrorContains(t, err, "502")
}
