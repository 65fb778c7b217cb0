package youproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// ipList gives the reply of an account with n proxies in orders of ten, piece by
// piece. A record has no other members than those that are known.
type ipList struct {
	n, next int
	rest    []byte
}

func (l *ipList) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		l.rest = l.rest[:0]
		switch {
		case l.next == 0:
			l.rest = append(l.rest, `{"success": true, "IPv4": [`...)
			fallthrough
		case l.next < l.n:
			l.rest = appendRecord(l.rest, l.next)
			if l.next++; l.next < l.n {
				l.rest = append(l.rest, ", "...)
			}
		case l.next == l.n:
			l.rest = append(l.rest, `], "error": null}`...)
			l.next++
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func appendRecord(b []byte, i int) []byte {
	order := i / 10
	start := time.Date(2026, 10, 1, 0, 0, order, 220e6, time.UTC)
	return fmt.Appendf(b, `{"ipAddressId": "%d", "ipAddressIp": "10.%d.%d.%d", "orderId": "11122233%09x", "orderNumber": "NUMBER-%d", `+
		`"country": "%s", "dateStart": "%s", "dateEnd": "%s", "httpsPort": "%d", "socks5Port": "%d", `+
		`"authInfo": {"login": "user%d", "password": "pw-%x"}, "extendInfo": {"autoExtend": %t, "extendDays": 30}}`,
		1111111111111111111+i, i>>16&255, i>>8&255, i&255, order*7919, 112233+order,
		[]string{"USA", "DEU", "GBR"}[order%3], start.Format("2006-01-02T15:04:05.000-07:00"), start.AddDate(0, 1, 0).Format("2006-01-02T15:04:05.000-07:00"),
		8000+i%1000, 9000+i%1000, i, i*2654435761, order%2 == 0)
}

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

// listWay is a way to read a list. It gives how many proxies there are.
type listWay struct {
	name string
	read func() (int, error)
}

// listWays are those to read one of n proxies, which is of some bytes.
func listWays(tb testing.TB, n int) (ways []listWay, size int) {
	data, err := io.ReadAll(&ipList{n: n})
	require.NoError(tb, err)
	c, err := youproxy.New("a-key-for-tests", youproxy.WithHTTPClient(&http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Request: r, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(data))}, nil
	})}))
	require.NoError(tb, err)
	return []listWay{
		{"encoding-json", func() (int, error) {
			var list exactList
			err := json.Unmarshal(data, &list)
			return len(list.IPv4), err
		}},
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
	}, len(data)
}

// BenchmarkList reads the same 20,000 proxies in each of its ways.
func BenchmarkList(b *testing.B) {
	const n = 20_000
	ways, size := listWays(b, n)
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if count, err := way.read(); err != nil || count != n {
					b.Fatal(count, err)
				}
			}
		})
	}
}

// TestListAllocations holds what is allocated for each proxy of a list against
// what encoding/json allocates.
func TestListAllocations(t *testing.T) {
	const n = 5000
	allocated := make(map[string]uint64)
	ways, _ := listWays(t, n)
	for _, way := range ways {
		var before, after runtime.MemStats
		for range 2 { // the first one makes what is used again
			runtime.ReadMemStats(&before)
			count, err := way.read()
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.Equal(t, n, count)
		}
		allocated[way.name] = after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes a proxy", way.name, allocated[way.name]/n)
	}
	assert.LessOrEqual(t, 3*allocated["Proxies"], allocated["encoding-json"])
}

// TestListMemory iterates a list of a million proxies.
func TestListMemory(t *testing.T) {
	const n, most = 1_000_000, 16 << 20
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	count, bytesRead := 0, new(countingReader)
	bytesRead.r = &ipList{n: n}
	for p, err := range youproxy.ReadProxies(bytesRead) {
		require.NoError(t, err)
		if count%10_000 == 0 {
			assert.Equal(t, youproxy.IPAddressID(strconv.Itoa(1111111111111111111+count)), p.ID)
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
		count++
	}
	assert.Equal(t, n, count)
	above := int64(peak) - int64(before.HeapAlloc)
	t.Logf("%d proxies, %d MB, at most %.1f MiB of heap above the start", n, bytesRead.n/1e6, float64(above)/(1<<20))
	assert.Less(t, above, int64(most))
}

// TestListMemoryOfDistinctTexts iterates a list in which no text is there twice.
func TestListMemoryOfDistinctTexts(t *testing.T) {
	const n, most = 100_000, 4 << 20
	list, pipe := io.Pipe()
	go func() {
		_, _ = io.WriteString(pipe, `{"success": true, "list": [`)
		for i := range n {
			_, _ = fmt.Fprintf(pipe, `{"ipAddressId": "%d", "country": "C%[1]d", "mobileOperator": "O%[1]d", "x%[1]d": 1}, `, i)
		}
		_, _ = io.WriteString(pipe, `null]}`)
		_ = pipe.Close()
	}()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for _, err := range youproxy.ReadProxies(list) {
		require.NoError(t, err)
		if count++; count == n {
			runtime.GC()
			runtime.ReadMemStats(&now)
		}
	}
	assert.Equal(t, n, count)
	assert.Less(t, int64(now.HeapAlloc)-int64(before.HeapAlloc), int64(most), "what is held when the last is handed out")
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
