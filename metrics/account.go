package metrics

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/youproxy-go/youproxy"
)

// other is the label of a value that the package does not know.
const other = "other"

// refreshBound is how long one refresh may take.
const refreshBound = time.Minute

// Account is a [prometheus.Collector] of the figures of an account. A scrape shows what the
// last [Account.Refresh] read, and never calls the API. It is made by [NewAccount], and its
// methods may be called from many goroutines.
//
//	youproxy_balance{currency}                   the balance; absent if the service did not report one
//	youproxy_proxies{type,country}               proxies in the list
//	youproxy_next_end_seconds{type}              until the first of these ends; negative if one has ended since the refresh
//	youproxy_journal_open_entries                purchases whose outcome is not known; absent without a journal
//	youproxy_refresh_timestamp_seconds{figure}   when the balance, the proxies or the journal were last read
//	youproxy_refresh_failures_total{figure}      how often that failed
//
// A type that the SDK does not know, a currency that is not three capital letters, and a
// country that is not an ISO 3166-1 alpha-3 code in form, are labelled "other".
type Account struct {
	client  *youproxy.Client
	journal youproxy.Journal

	refreshing sync.Mutex // held while the account is read

	mu       sync.Mutex // of what follows
	balance  youproxy.Money
	proxies  map[place]int
	nextEnd  map[string]time.Time // by proxy type
	open     int
	read     map[string]time.Time // by figure
	failures map[string]int       // by figure
}

// place is the labels of a number of proxies.
type place struct{ proxyType, country string }

// NewAccount returns a collector of the account of a client. The journal is the one of
// [youproxy.WithJournal]; with nil, open entries are not counted. It panics if the
// client is nil.
func NewAccount(client *youproxy.Client, journal youproxy.Journal) *Account {
	if client == nil {
		panic("metrics: the client is nil")
	}
	a := &Account{client: client, journal: journal, read: map[string]time.Time{}, failures: map[string]int{"balance": 0, "proxies": 0}}
	if journal != nil {
		a.failures["journal"] = 0
	}
	return a
}

// Follow reads the account now, and then every interval until ctx is done; done is closed
// when that has ended. It returns an error, and follows nothing, if the first reading fails
// or the interval is not more than 0. Later failures are counted and logged with
// [slog.Default], and the previous figures stay.
func (a *Account) Follow(ctx context.Context, every time.Duration) (done <-chan struct{}, err error) {
	if every <= 0 {
		return nil, errors.New("metrics: the interval must be more than 0, such as 5 minutes")
	}
	if err := a.Refresh(ctx); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := a.Refresh(ctx); err != nil && ctx.Err() == nil {
					slog.WarnContext(ctx, "metrics: the account was not read", slog.Any("error", err))
				}
			}
		}
	}()
	return ended, nil
}

// Refresh reads the balance, the list and the journal, within a minute. What could be read
// is exported from then on. For the rest the previous figures stay, and the error says why.
func (a *Account) Refresh(ctx context.Context) error {
	a.refreshing.Lock()
	defer a.refreshing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, refreshBound)
	defer cancel()
	failed := errors.Join(a.figure(ctx, "balance", a.readBalance), a.figure(ctx, "proxies", a.readProxies))
	if a.journal != nil {
		failed = errors.Join(failed, a.figure(ctx, "journal", a.readJournal))
	}
	return failed
}

// figure reads a figure. The function read returns how to keep what it read.
func (a *Account) figure(ctx context.Context, name string, read func(context.Context) (keep func(), err error)) error {
	keep, err := read(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failures[name]++
		return err
	}
	keep()
	a.read[name] = time.Now()
	return nil
}

func (a *Account) readBalance(ctx context.Context) (keep func(), err error) {
	balance, err := a.client.Balance(ctx)
	return func() { a.balance = balance }, err
}

func (a *Account) readProxies(ctx context.Context) (keep func(), err error) {
	now, proxies, nextEnd := time.Now(), map[place]int{}, map[string]time.Time{}
	for p, err := range a.client.Proxies(ctx, youproxy.ProxyQuery{}) {
		if err != nil {
			return nil, err
		}
		at := place{typeLabel(p.ProxyType), codeLabel(p.Country)}
		proxies[at]++
		if next, ok := nextEnd[at.proxyType]; p.End.After(now) && (!ok || p.End.Before(next)) {
			nextEnd[at.proxyType] = p.End
		}
	}
	return func() { a.proxies, a.nextEnd = proxies, nextEnd }, nil
}

func (a *Account) readJournal(ctx context.Context) (keep func(), err error) {
	open := 0
	for e, err := range a.journal.Entries(ctx, youproxy.EntryQuery{}) {
		if err != nil {
			return nil, err
		}
		if e.State == youproxy.EntryOpen {
			open++
		}
	}
	return func() { a.open = open }, nil
}

var (
	balanceDesc  = desc("balance", "Balance of the account.", "currency")
	proxiesDesc  = desc("proxies", "Proxies of the account.", "type", "country")
	nextEndDesc  = desc("next_end_seconds", "Seconds until the next proxy ends.", "type")
	openDesc     = desc("journal_open_entries", "Purchases in the journal whose outcome is not known.")
	readDesc     = desc("refresh_timestamp_seconds", "When a figure was last read.", "figure")
	failuresDesc = desc("refresh_failures_total", "How often a figure could not be read.", "figure")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("youproxy_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (a *Account) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{balanceDesc, proxiesDesc, nextEndDesc, openDesc, readDesc, failuresDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (a *Account) Collect(to chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if !a.balance.IsZero() {
		gauge(balanceDesc, a.balance.Amount.InexactFloat64(), codeLabel(a.balance.Currency))
	}
	for at, n := range a.proxies {
		gauge(proxiesDesc, float64(n), at.proxyType, at.country)
	}
	for proxyType, end := range a.nextEnd {
		gauge(nextEndDesc, time.Until(end).Seconds(), proxyType)
	}
	if _, ok := a.read["journal"]; ok {
		gauge(openDesc, float64(a.open))
	}
	for figure, at := range a.read {
		gauge(readDesc, float64(at.UnixMilli())/1000, figure)
	}
	for figure, n := range a.failures {
		to <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, float64(n), figure)
	}
}

func typeLabel(t youproxy.ProxyType) string {
	if !t.Valid() {
		return other
	}
	return string(t)
}

// codeLabel returns the code of a country or a currency: three capital letters.
func codeLabel(code string) string {
	if len(code) != 3 {
		return other
	}
	for _, c := range code {
		if c < 'A' || c > 'Z' {
			return other
		}
	}
	return code
}
