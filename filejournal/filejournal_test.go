package filejournal

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/journaltest"
	"github.com/youproxy-go/youproxy/internal/long"
)

func TestContract(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(t *testing.T) func() youproxy.Journal {
		path := newPath(t)
		return func() youproxy.Journal { return open(t, path) }
	})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "journal.jsonl") }

// open opens a journal that does not wait for the disk: no test cuts the power.
func open(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	require.NoError(t, err)
	j.sync = func(*os.File) error { return nil }
	return j
}

// entry is an open one.
func entry(id string) youproxy.Entry {
	return youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{
		Version: 2, ID: id, At: time.Now().UTC(), Op: "POST /order", ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 30, Quantity: 1,
		Request: strings.Repeat("0f", 32), Account: "89abcdef", Country: "DE", Goal: "Research", SpendMillis: 120_000, PatienceMillis: 120_000,
		Price: youproxy.MustMoney("4.57 USD"), Limit: youproxy.MustMoney("5 USD"), Before: youproxy.Holdings{Balance: youproxy.MustMoney("10 USD")},
	}}
}

// settled is e, executed at a time.
func settled(e youproxy.Entry, at time.Time) youproxy.Entry {
	e.State, e.SettledAt, e.OrderNumber = youproxy.EntryExecuted, at, "NUMBER-112233"
	return e
}

// lines are entries as they are in a file.
func lines(t testing.TB, entries ...youproxy.Entry) string {
	t.Helper()
	var b strings.Builder
	for _, e := range entries {
		line, err := json.Marshal(e)
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func put(t testing.TB, j *Journal, entries ...youproxy.Entry) {
	t.Helper()
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	for _, e := range entries {
		require.NoError(t, j.Record(t.Context(), e))
	}
}

// all are the entries that are open, or were settled since 1970.
func all(t testing.TB, j *Journal) []youproxy.Entry {
	t.Helper()
	var entries []youproxy.Entry
	for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: time.Unix(0, 0)}) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	return entries
}

func ids(t testing.TB, j *Journal) string {
	t.Helper()
	var ids []string
	for _, e := range all(t, j) {
		ids = append(ids, e.Attempt.ID)
	}
	return strings.Join(ids, " ")
}

func write(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestFileIsPrivateAndReadable(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	e := entry("a")
	e.Note = "price < limit & all is well"
	put(t, open(t, path), e, entry("b"))
	got := content(t, path)
	assert.Equal(t, 2, strings.Count(got, "\n"))
	assert.True(t, strings.HasPrefix(got, `{"attempt":{"version":2,"id":"a",`), got)
	assert.Contains(t, got, `"note":"price < limit & all is well"`)
	if runtime.GOOS != "windows" {
		for _, name := range []string{path, path + ".lock"} {
			info, err := os.Stat(name)
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), name)
		}
	}
}

// A process can be killed at any byte of a write.
func TestTornLastLine(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	before := lines(t, entry("a"), entry("b"))
	last := lines(t, youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{Version: 2, ID: "c", Key: "\U0001F680"}})
	for cut := range len(last) {
		write(t, path, before+last[:cut])
		j := open(t, path)
		require.Equal(t, "a b", ids(t, j), "cut at %d", cut)
		put(t, j, entry("d"))
		want := "a b d"
		if cut == len(last)-1 {
			want = "a b c d" // only the end of the line is missing
		}
		require.Equal(t, want, ids(t, j), "cut at %d", cut)
		require.Equal(t, want, ids(t, open(t, path)), "cut at %d", cut)
		for line := range strings.Lines(content(t, path)) {
			require.True(t, json.Valid([]byte(line)) && strings.HasSuffix(line, "\n"), "cut at %d: %q", cut, line)
		}
	}
}

// An editor may leave out the last end of line: then the holder of the lock must
// see the entry before it records anything.
func TestLastLineWithoutEnd(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	write(t, path, strings.TrimSpace(lines(t, entry("a"))))
	j := open(t, path)
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	assert.Equal(t, "a", ids(t, j))
	assert.True(t, strings.HasSuffix(content(t, path), "}\n"))
}

// A power failure may leave zeros where a line was to be. A file that is no journal
// must stay as it is.
func TestTail(t *testing.T) {
	t.Parallel()
	good := lines(t, entry("a"))
	for tail, torn := range map[string]bool{
		"": true, "{": true, `{"attempt":{"version":2,"id":"b` + "\x00\x00": true, strings.Repeat("\x00", 5000): true, `{"attempt":{"` + strings.Repeat("x", 2<<20): true,
		"hunter2": false, "[{": false, `{"password":"hunter2"}`: false, `{"attempts":[]`: false, "\x00hunter2": false, strings.Repeat("hunter2", 1<<20): false,
	} {
		for _, before := range []string{"", good} {
			path := newPath(t)
			write(t, path, before+tail)
			j, err := Open(path)
			if !torn {
				require.ErrorContains(t, err, path+", line ")
				assert.NotContains(t, err.Error(), "hunter2")
				assert.Nil(t, j)
				assert.Equal(t, before+tail, content(t, path))
				continue
			}
			require.NoError(t, err)
			put(t, j, entry("c"))
			assert.Equal(t, before, strings.TrimSuffix(content(t, path), lines(t, all(t, j)[strings.Count(before, "\n")])))
		}
	}
}

func TestDamageIsAnError(t *testing.T) {
	t.Parallel()
	good := lines(t, entry("a"))
	with := func(change func(e *youproxy.Entry)) string {
		e := entry("b")
		change(&e)
		return lines(t, e)
	}
	for name, c := range map[string]struct{ line, says string }{
		"not JSON":         {"hunter2\n", "not an entry in JSON"},
		"torn":             {good[:40] + "\n", "not an entry in JSON"},
		"glued":            {good[:40] + good, "not an entry in JSON"},
		"two in a line":    {strings.TrimSpace(good) + good, "not an entry in JSON"},
		"a string":         {`"hunter2"` + "\n", "not an entry in JSON"},
		"an odd field":     {strings.Replace(good, `"POST /order"`, `{"hunter2":1}`, 1), "not an entry in JSON"},
		"odd money":        {strings.Replace(good, `"4.57 USD"`, `"hunter2"`, 1), "not an entry in JSON"},
		"a field twice":    {strings.Replace(good, `"state"`, `"state":"executed","state"`, 1), "not an entry in JSON"},
		"zeros":            {strings.Repeat("\x00", 100) + "\n", "not an entry in JSON"},
		"null":             {"null\n", "has no id"},
		"an empty object":  {"{}\n", "has no id"},
		"an empty line":    {"\n", "not an entry in JSON"},
		"no id":            {with(func(e *youproxy.Entry) { e.Attempt.ID = "" }), "has no id"},
		"no version":       {with(func(e *youproxy.Entry) { e.Attempt.Version = 0 }), "version 0"},
		"a newer version":  {with(func(e *youproxy.Entry) { e.Attempt.Version = 3 }), "version 3, and this program reads 1 and 2: update this program"},
		"no state":         {with(func(e *youproxy.Entry) { e.State = "" }), "state"},
		"an unknown state": {with(func(e *youproxy.Entry) { e.State = "hunter2" }), "state"},
		"a very long line": {`{"x":"` + strings.Repeat("y", maxLine) + `"}` + "\n", "it is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, after := range []string{"", lines(t, entry("c"))} {
				path := newPath(t)
				write(t, path, good)
				j := open(t, path)
				write(t, path, good+c.line+after)

				none, opening := Open(path)
				assert.Nil(t, none)
				_, locking := j.Lock(t.Context())
				var reading error
				for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
					assert.Zero(t, e)
					reading = err
				}
				for _, err := range []error{opening, locking, reading} {
					require.ErrorContains(t, err, c.says)
					assert.ErrorContains(t, err, path+", line 2: ")
					assert.NotContains(t, err.Error(), "hunter2")
				}

				write(t, path, good+after) // mended by hand
				put(t, j, entry("d"))
				assert.Equal(t, "a d", strings.ReplaceAll(ids(t, j), " c", ""))
			}
		})
	}
}

// A handle that may only read stands for a disk that fails.
func TestTornLastLineThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	whole := lines(t, entry("a"))
	write(t, path, whole+whole[:40])
	j := open(t, path)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	assert.ErrorContains(t, j.repair(f), "the incomplete last line of "+path+" cannot be removed: check the disk")
	assert.Equal(t, whole+whole[:40], content(t, path))
}

func TestDamageSaysWhere(t *testing.T) {
	t.Parallel()
	good := lines(t, entry("a"))
	for name, line := range map[string]string{
		"an odd field": strings.Replace(good, `"POST /order"`, `{"hunter2":1}`, 1),
		"not JSON":     strings.Replace(good, `"POST /order"`, `hunter2`, 1),
	} {
		_, err := decode([]byte(line))
		at := strings.Index(line, `"op":`) + len(`"op":`)
		assert.ErrorContains(t, err, fmt.Sprintf("from byte %d on", at), name)
	}
}

func TestOlderVersionAndUnknownFields(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	old := entry("old")
	old.Attempt.Version = 1
	write(t, path, strings.Replace(lines(t, old), `{"attempt":{`, `{"future":[1,{}],"attempt":{"future":null,`, 1))
	assert.Equal(t, "old", ids(t, open(t, path)))
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	readOnly := filepath.Join(folder, "read-only")
	require.NoError(t, os.WriteFile(readOnly, nil, 0o400))
	for _, c := range []struct{ path, says string }{
		{"", "filejournal: the path is empty: name a file"},
		{folder, "is a folder: name a file in it"},
		{filepath.Join(folder, "none", "journal"), "none: create it first"},
		{readOnly, "is read-only: make it writable"},
		{filepath.Join(readOnly, "journal"), "cannot be reached"},
	} {
		j, err := Open(c.path)
		assert.ErrorContains(t, err, c.says)
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
		assert.Nil(t, j, c.path)
	}
	_, err := Open(filepath.Join(folder, "none", "journal"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, left, 1, "Open left files behind")
}

func TestSymbolicLink(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	link := filepath.Join(t.TempDir(), "link")
	write(t, path, "")
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	direct, linked := open(t, path), open(t, link)
	unlock, err := direct.Lock(t.Context())
	require.NoError(t, err)
	assert.False(t, lockable(t, linked))
	unlock()
	put(t, linked, entry("a"))
	assert.Equal(t, "a", ids(t, direct))
}

func TestRecordRefusesWhatCannotBeReadAgain(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	j := open(t, path)
	put(t, j, entry("a"))
	before := content(t, path)
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	for name, change := range map[string]func(e *youproxy.Entry){
		"no id":       func(e *youproxy.Entry) { e.Attempt.ID = "" },
		"no version":  func(e *youproxy.Entry) { e.Attempt.Version = 0 },
		"no state":    func(e *youproxy.Entry) { e.State = "" },
		"odd money":   func(e *youproxy.Entry) { e.Charged = &youproxy.Money{Currency: " "} },
		"odd time":    func(e *youproxy.Entry) { e.SettledAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
		"odd key":     func(e *youproxy.Entry) { e.Attempt.Key = "\xff" },
		"odd id":      func(e *youproxy.Entry) { e.Attempt.ID = "\xff" },
		"above a MiB": func(e *youproxy.Entry) { e.Note = strings.Repeat("x", maxEntry) },
		"many old ones": func(e *youproxy.Entry) {
			e.Attempt.Before.Orders = slices.Repeat([]youproxy.OrderID{"123456"}, maxEntry/8)
		},
	} {
		e := entry("b")
		change(&e)
		assert.ErrorContains(t, j.Record(t.Context(), e), "filejournal: the entry ", name)
	}
	assert.Equal(t, before, content(t, path))
}

// Of a message that is not UTF-8 the rest is kept: it must not cost a verdict.
func TestOddNoteIsKept(t *testing.T) {
	t.Parallel()
	j := open(t, newPath(t))
	e := entry("a")
	e.Note = "odd \xff text"
	put(t, j, e)
	assert.Equal(t, "odd \ufffd text", all(t, j)[0].Note)
}

func TestDeletedFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a locked file cannot be deleted on Windows")
	}
	path := newPath(t)
	j := open(t, path)
	put(t, j, entry("a"))

	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.Remove(path+".lock"))
	assert.ErrorContains(t, j.Record(t.Context(), entry("b")), "the lock is lost")
	other := open(t, path)
	put(t, other, entry("c"))
	assert.ErrorContains(t, j.Record(t.Context(), entry("b")), "the lock is lost")
	unlock()
	put(t, j, entry("d"))
	assert.Equal(t, "a c d", ids(t, other))

	require.NoError(t, os.Remove(path))
	_, err = j.Lock(t.Context())
	assert.ErrorContains(t, err, "cannot be opened any more", "an empty journal in place of a lost one would let everything be bought again")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	write(t, path, lines(t, entry("a"))) // put back
	assert.Equal(t, "a", ids(t, j))
}

// What a handle has read may be gone when it reads again: a write that failed is
// taken back, and the file may be compacted or edited.
func TestChangedBehindItsBack(t *testing.T) {
	t.Parallel()
	a, b, c, d := lines(t, entry("a")), lines(t, entry("b")), lines(t, entry("c")), lines(t, entry("d"))
	for _, now := range []struct{ content, want string }{
		{a, "a"}, {a + c, "a c"}, {a + c + d, "a c d"}, {a + c + b, "a c b"}, {c + b + d, "c b d"}, {"", ""}, {a + b + c, "a b c"},
	} {
		for _, replace := range []bool{false, true} {
			path := newPath(t)
			write(t, path, a+b)
			j := open(t, path)
			require.Equal(t, "a b", ids(t, j))
			if replace {
				write(t, path+".other", now.content)
				require.NoError(t, os.Rename(path+".other", path))
			} else {
				write(t, path, now.content)
			}
			assert.Equal(t, now.want, ids(t, j), "replaced: %t", replace)
		}
	}
}

func TestReadersBesideAWriter(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	writer := open(t, path)
	const entries = 3
	rounds := 6
	if long.Run() {
		rounds = 50
	}
	put(t, writer, slices.Collect(func(yield func(youproxy.Entry) bool) {
		for i := range entries {
			yield(entry(fmt.Sprint(i)))
		}
	})...)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, j := range []*Journal{writer, open(t, path), open(t, path)} {
		readers.Go(func() {
			newest := make([]int, entries)
			for {
				n := 0
				for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
					if !assert.NoError(t, err) {
						return
					}
					assert.Equal(t, fmt.Sprint(n), e.Attempt.ID)
					assert.GreaterOrEqual(t, len(e.Note), newest[n], "an older line came back")
					newest[n] = len(e.Note)
					n++
				}
				assert.Equal(t, entries, n)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	largest := int64(0)
	compacted := false
	for round := range rounds {
		for i := range entries {
			e := entry(fmt.Sprint(i))
			e.Note = strings.Repeat("x", 20_000+round)
			put(t, writer, e)
		}
		info, err := os.Stat(path)
		require.NoError(t, err)
		compacted = compacted || info.Size() < largest
		largest = max(largest, info.Size())
	}
	close(done)
	readers.Wait()
	assert.True(t, compacted)
}

// lockable reports whether the lock can be had at once.
func lockable(t testing.TB, j *Journal) bool {
	t.Helper()
	ok, err := j.lock.TryLock()
	require.NoError(t, err)
	if ok {
		require.NoError(t, j.lock.Unlock())
	}
	return ok
}

// A line reads as it does with encoding/json.
func FuzzDecode(f *testing.F) {
	e := settled(keyed(entry("a")), time.Date(2026, 3, 1, 12, 0, 0, 1, time.FixedZone("", 3600)))
	charged := youproxy.MustMoney("4.5700 USD")
	e.OrderID, e.Charged, e.Note, e.Recovered, e.IPAddressIDs = "1", &charged, "\u2028<\U0001F680>", true, []youproxy.IPAddressID{"2"}
	e.Attempt.Before.Ends, e.Attempt.Before.Orders = map[youproxy.IPAddressID]time.Time{"1": e.SettledAt}, []youproxy.OrderID{"3"}
	for _, e := range []youproxy.Entry{e, entry("b")} {
		line := lines(f, e)
		for _, odd := range []string{line, strings.ToUpper(line), strings.Replace(line, `"orderId"`, `"order_id"`, 1), strings.Replace(line, `"4.57 USD"`, "null", 1), strings.Replace(line, `"id":"`, `"ID":"`, 1)} {
			f.Add([]byte(odd))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := decode(line)
		if err != nil {
			return
		}
		var want youproxy.Entry
		require.NoError(t, json.Unmarshal(line, &want))
		assert.Equal(t, lines(t, want), lines(t, got))
	})
}

// A handle that is used all the time leaves a moment to other processes.
func TestOthersGetTheirTurn(t *testing.T) {
	t.Parallel()
	j := open(t, newPath(t))
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	start := time.Now()
	unlock()
	put(t, j)
	assert.GreaterOrEqual(t, time.Since(start), courtesy)
}

// Only what was appended is read again.
func TestReadsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	e := entry("a")
	e.Note = strings.Repeat("x", 3000)
	var x index
	require.Greater(t, 19*len(e.Note), 3*tailSize)
	for round := range 20 {
		write(t, path, strings.Repeat(lines(t, e), round))
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		for again := range 2 {
			replaced, err := x.refresh(f)
			require.NoError(t, err)
			assert.Equal(t, round+again == 0, replaced, "round %d", round)
			assert.Equal(t, round, x.lines)
		}
	}
}
