package youproxy_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/longlist"
)

// TestListAllocations bounds what is allocated for each proxy of a list. Module bench
// compares it with encoding/json.
func TestListAllocations(t *testing.T) {
	const n = 5000
	data, err := io.ReadAll(longlist.New(n))
	require.NoError(t, err)
	var before, after runtime.MemStats
	for range 2 { // the first run allocates what later ones use again
		count := 0
		runtime.ReadMemStats(&before)
		for _, err := range youproxy.ReadProxies(bytes.NewReader(data)) {
			require.NoError(t, err)
			count++
		}
		runtime.ReadMemStats(&after)
		require.Equal(t, n, count)
	}
	each := (after.TotalAlloc - before.TotalAlloc) / n
	t.Logf("%d bytes a proxy", each)
	assert.LessOrEqual(t, each, uint64(200))
}

// TestListMemory iterates a list of a million proxies, or of a hundred thousand: the
// bound is the same.
func TestListMemory(t *testing.T) {
	large(t)
	const most = 16 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	n := size(1_000_000, 100_000, 100_000)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	count, bytesRead := 0, new(countingReader)
	bytesRead.r = longlist.New(n)
	for p, err := range youproxy.ReadProxies(bytesRead) {
		require.NoError(t, err)
		if count%10_000 == 0 {
			assert.Equal(t, longlist.ID(count), p.ID)
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
	large(t)
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
