package filejournal

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const few, many = 3_000, 100_000

// large writes a file of settled entries, an hour apart, and ten open ones. Each was
// recorded a number of times.
func large(t testing.TB, entries, recorded int) (path string, newest time.Time) {
	t.Helper()
	path = newPath(t)
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	newest = time.Now().UTC()
	for i := range entries {
		e := settled(keyed(entry(fmt.Sprintf("%032x", i))), newest.Add(time.Duration(i-entries+1)*time.Hour))
		e.OrderID, e.Attempt.Before.Orders = "1234", []youproxy.OrderID{"1", "2", "3"}
		if i%(entries/10) == 0 {
			e = entry(e.Attempt.ID)
		}
		line := lines(t, e)
		for range recorded {
			_, err := f.WriteString(line)
			require.NoError(t, err)
		}
	}
	return path, newest
}

func TestManyEntries(t *testing.T) {
	path, newest := large(t, few, 3)
	j := open(t, path)
	put(t, j, entry("new"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(few*1000), "not compacted")
	n := 0
	for _, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: newest.Add(-10 * time.Hour), Key: fmt.Sprintf("key of %032x", 7)}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 10+11+1+1, n)
}

func BenchmarkOpen(b *testing.B) {
	for _, recorded := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d entries, each recorded %d times", many, recorded), func(b *testing.B) {
			path, _ := large(b, many, recorded)
			info, err := os.Stat(path)
			require.NoError(b, err)
			b.SetBytes(info.Size())
			b.ReportAllocs()
			for b.Loop() {
				open(b, path)
			}
		})
	}
}

func BenchmarkCompact(b *testing.B) {
	path, _ := large(b, many, 3)
	j := open(b, path)
	for b.Loop() {
		require.NoError(b, j.compact(time.Now()))
	}
}

func BenchmarkEntries(b *testing.B) {
	path, newest := large(b, many, 1)
	j := open(b, path)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range j.Entries(b.Context(), youproxy.EntryQuery{Since: newest.Add(-10 * time.Hour)}) {
			require.NoError(b, err)
		}
	}
}

// BenchmarkPurchase does what a purchase asks of a journal.
func BenchmarkPurchase(b *testing.B) {
	path, _ := large(b, many, 1)
	j := open(b, path)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		unlock, err := j.Lock(b.Context())
		require.NoError(b, err)
		for _, err := range j.Entries(b.Context(), youproxy.EntryQuery{}) {
			require.NoError(b, err)
		}
		e := entry(fmt.Sprint(n))
		require.NoError(b, j.Record(b.Context(), e))
		require.NoError(b, j.Record(b.Context(), settled(e, time.Now())))
		unlock()
		n++
	}
}
