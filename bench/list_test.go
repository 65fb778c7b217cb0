package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/longlist"
)

// exactRecord is what a program that knew the form of the list would decode into.
type exactRecord struct {
	ID          string    `json:"ipAddressId"`
	IP          string    `json:"ipAddressIp"`
	OrderID     string    `json:"orderId"`
	OrderNumber string    `json:"orderNumber"`
	Country     string    `json:"country"`
	Start       time.Time `json:"dateStart"`
	End         time.Time `json:"dateEnd"`
	HTTPSPort   string    `json:"httpsPort"`
	SOCKS5Port  string    `json:"socks5Port"`
	AuthInfo    struct {
		Login    string `json:"login"`
		Password string `json:"password"`
	} `json:"authInfo"`
	ExtendInfo struct {
		AutoExtend bool `json:"autoExtend"`
		ExtendDays int  `json:"extendDays"`
	} `json:"extendInfo"`
}

type exactList struct {
	Success bool          `json:"success"`
	IPv4    []exactRecord `json:"IPv4"`
}

// listWay is a way to read a list. It returns the number of proxies.
type listWay struct {
	name string
	read func() (int, error)
}

// listWays returns the ways to read a list of n proxies, and its size in bytes.
func listWays(tb testing.TB, n int) (ways []listWay, size int) {
	tb.Helper()
	data, err := io.ReadAll(longlist.New(n))
	require.NoError(tb, err)
	c, err := youproxy.New(key, youproxy.WithHTTPClient(&http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Request: r, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(data))}, nil
	})}))
	require.NoError(tb, err)
	return []listWay{
		{"Proxies", func() (count int, err error) {
			for _, err := range c.Proxies(tb.Context(), youproxy.ProxyQuery{}) {
				if err != nil {
					return count, err
				}
				count++
			}
			return count, nil
		}},
		{"ListProxies", func() (int, error) {
			list, err := c.ListProxies(tb.Context(), youproxy.ProxyQuery{})
			return len(list), err
		}},
		{"encoding-json", func() (int, error) {
			var list exactList
			err := json.Unmarshal(data, &list)
			return len(list.IPv4), err
		}},
	}, len(data)
}

// BenchmarkList reads the same 20,000 proxies in each way. The time that it reports for a
// proxy is the median of all passes.
func BenchmarkList(b *testing.B) {
	const n = 20_000
	ways, size := listWays(b, n)
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			var before, after runtime.MemStats
			var took []float64
			b.SetBytes(int64(size))
			runtime.ReadMemStats(&before)
			for b.Loop() {
				started := time.Now()
				if count, err := way.read(); err != nil || count != n {
					b.Fatal(count, err)
				}
				took = append(took, float64(time.Since(started)))
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(median(took)/n, "ns/proxy")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/n, "B/proxy")
		})
	}
}

// TestListAllocations compares what Proxies allocates with what encoding/json does.
func TestListAllocations(t *testing.T) {
	const n = 5000
	allocated := make(map[string]uint64)
	ways, _ := listWays(t, n)
	for _, way := range ways {
		var before, after runtime.MemStats
		for range 2 { // the first run allocates what later ones use again
			runtime.ReadMemStats(&before)
			count, err := way.read()
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.Equal(t, n, count)
		}
		allocated[way.name] = (after.TotalAlloc - before.TotalAlloc) / n
	}
	t.Log(allocated, "bytes a proxy")
	assert.LessOrEqual(t, 3*allocated["Proxies"], allocated["encoding-json"])
}
