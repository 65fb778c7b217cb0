package filejournal

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// orders are enough to make what the account held before an attempt long.
func orders() []youproxy.OrderID {
	all := make([]youproxy.OrderID, 20_000)
	for i := range all {
		all[i] = youproxy.OrderID(fmt.Sprint(1000 + i))
	}
	return all
}

// keyed is e with a key.
func keyed(e youproxy.Entry) youproxy.Entry {
	e.Attempt.Key = "key of " + e.Attempt.ID
	return e
}

func TestCompaction(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	old := now.Add(-keepFor - time.Hour)
	recent := now.Add(-keepFor + time.Hour)
	full := func(e youproxy.Entry, orderID youproxy.OrderID) youproxy.Entry {
		e.Attempt.Before.Orders, e.Attempt.Before.Ends, e.OrderID = orders(), map[youproxy.IPAddressID]time.Time{"1": now}, orderID
		return e
	}
	untimed := settled(entry("no time"), time.Time{})
	entries := []youproxy.Entry{
		settled(entry("old"), old), settled(keyed(entry("old, with a key")), old), entry("open"), settled(entry("recent"), recent), untimed,
		full(settled(entry("ordered"), now), "1"), full(settled(entry("hours ago"), now.Add(-keepBefore+time.Hour)), ""),
		full(settled(entry("a day ago"), now.Add(-keepBefore-time.Hour)), ""), full(entry("open, full"), ""), full(entry("open, with an order"), "1"),
	}
	entries[2].Attempt.At, entries[2].SettledAt = old, old
	path := newPath(t)
	j, other := open(t, path), open(t, path)
	put(t, j, entries...)
	for range 3 { // waste
		put(t, j, entries...)
	}
	// A newer program may have written what this one does not know.
	unknown := strings.Replace(strings.Replace(lines(t, entries[5]), `{"attempt":{`, `{"future":1e2,"attempt":{"future":"<é>",`, 1), `"before":{`, `"before":{"future":[null],`, 1)
	write(t, path, content(t, path)+unknown)

	before, err := os.Stat(path)
	require.NoError(t, err)
	put(t, j)
	after, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, after.Size(), before.Size()/2)

	text := content(t, path)
	assert.Equal(t, len(entries)-1, strings.Count(text, "\n"))
	assert.Contains(t, text, `{"future":1e2,"attempt":{"future":"<é>",`)
	assert.Contains(t, text, `"before":{"future":[null],"balance":"10 USD"}`)
	for _, j := range []*Journal{j, other, open(t, path)} {
		want := append([]youproxy.Entry(nil), entries[1:]...)
		for i, e := range want {
			if id := e.Attempt.ID; id == "ordered" || id == "a day ago" {
				want[i].Attempt.Before.Orders, want[i].Attempt.Before.Ends = nil, nil
			}
		}
		var got []youproxy.Entry
		for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: time.Time{}.Add(1), Key: "key of old, with a key"}) {
			require.NoError(t, err)
			got = append(got, e)
		}
		want = append(want[:3:3], want[4:]...) // settled at no time: no query by time selects it
		assert.Equal(t, lines(t, want...), lines(t, got...))
	}
	assert.Contains(t, text, `"id":"no time"`)

	put(t, j)
	unchanged, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(after, unchanged), "a file without waste was compacted")
}

func TestLittleWasteStays(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	j := open(t, path)
	for range 20 {
		put(t, j, entry("a"))
	}
	assert.Equal(t, 20, strings.Count(content(t, path), "\n"))
}

// wasteful is a file that is to be compacted.
func wasteful(t *testing.T) (path string, entries []youproxy.Entry) {
	e := entry("a")
	e.Note = strings.Repeat("x", 20_000)
	entries = []youproxy.Entry{e, entry("b")}
	path = newPath(t)
	write(t, path, strings.Repeat(lines(t, entries...), 20))
	return path, entries
}

// A crash during compaction leaves a part of the new file, or all of it.
func TestInterruptedCompaction(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "{", "rubbish\n", strings.Repeat("z", 1<<20), lines(t, entry("c"))} {
		path, entries := wasteful(t)
		write(t, path+".new", left)
		j := open(t, path)
		assert.Equal(t, lines(t, entries...), lines(t, all(t, j)...))
		put(t, j)
		assert.Equal(t, lines(t, entries...), lines(t, all(t, j)...))
		assert.Equal(t, lines(t, entries...), content(t, path))
		assert.NoFileExists(t, path+".new")
	}
}

func TestCompactionThatFails(t *testing.T) {
	t.Parallel()
	path, entries := wasteful(t)
	before := content(t, path)
	require.NoError(t, os.MkdirAll(path+".new/full", 0o700))
	j := open(t, path)
	require.Error(t, j.compact(time.Now()))
	put(t, j, entry("c"))
	assert.Equal(t, before+lines(t, all(t, j)[2]), content(t, path))
	assert.Equal(t, lines(t, entries...), lines(t, all(t, j)[:2]...))

	require.NoError(t, os.RemoveAll(path+".new"))
	put(t, j)
	assert.Equal(t, 3, strings.Count(content(t, path), "\n"))
	assert.Equal(t, "a b c", ids(t, j))
}

func TestSlimKeepsTheRest(t *testing.T) {
	t.Parallel()
	e := settled(entry("a"), time.Now().UTC())
	e.Attempt.Before.Unseen, e.Attempt.Before.Disturbed = []youproxy.OrderNumber{"NUMBER-1"}, true
	e.Note, e.OrderIDs = "\u2028 <&> \"\\ \U0001F680", []youproxy.OrderID{"orders", "ends"}
	want := lines(t, e)
	e.Attempt.Before.Orders, e.Attempt.Before.Ends = orders(), map[youproxy.IPAddressID]time.Time{"orders": time.Now(), "ends": time.Now()}
	slimmed, err := slim([]byte(strings.TrimSpace(lines(t, e))))
	require.NoError(t, err)
	assert.NotContains(t, string(slimmed), "\n")
	var got youproxy.Entry
	require.NoError(t, json.Unmarshal(slimmed, &got))
	assert.Equal(t, want, lines(t, got))
}
