// Package journaltest tests an implementation of youproxy.Journal against what the
// interface promises.
package journaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// Run runs the contract as subtests. Each of them calls fresh once: it prepares an
// empty journal, and returns a function that opens another handle on it. Where all
// handles are the same value, what only separate handles can show is left out.
func Run(t *testing.T, fresh func(t *testing.T) (open func() youproxy.Journal)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open func() youproxy.Journal)
	}{
		{"a new journal has no entries", empty},
		{"an entry replaces the one with its id and keeps its place", replaces},
		{"a query selects by state, time and key", selects},
		{"a query compares times to the nanosecond", nanoseconds},
		{"each entry is yielded once", once},
		{"a loop may end early", endsEarly},
		{"keys and ids that look alike are different", lookAlike},
		{"every field comes back", everyField},
		{"unusual text comes back", unusualText},
		{"what is recorded and yielded is a copy", copies},
		{"a large entry is kept or refused, never broken", large},
		{"a holder sees what others recorded", seesOthers},
		{"entries can be read while another holds the lock", readsWithoutLock},
		{"a context that is over hides no entry", contextOverReading},
		{"recording needs the lock", recordNeedsLock},
		{"the lock does not end with the context it was taken with", lockOutlivesContext},
		{"one holder at a time", excludes},
		{"waiting for the lock ends with the context", waitingEnds},
		{"unlocking twice is harmless", unlockTwice},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

// soon is how long a test waits for a lock that it must not get.
const soon = 30 * time.Millisecond

// noon is a moment of which a journal still keeps everything.
var noon = time.Now().UTC().Truncate(time.Hour)

// entry is an open one with the least that a purchase tells.
func entry(id string) youproxy.Entry {
	return youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{
		Version: 2, ID: id, At: noon, Op: "POST /order", ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 30, Quantity: 1,
		Price: youproxy.MustMoney("4.57 USD"), Limit: youproxy.MustMoney("5 USD"), Before: youproxy.Holdings{Balance: youproxy.MustMoney("10 USD")},
	}}
}

// keyed is an open entry with a key.
func keyed(id, key string) youproxy.Entry {
	e := entry(id)
	e.Attempt.Key = key
	return e
}

// settled is e with what became of it.
func settled(e youproxy.Entry, state youproxy.EntryState, at time.Time) youproxy.Entry {
	e.State, e.SettledAt = state, at
	return e
}

// record records under the lock.
func record(t *testing.T, j youproxy.Journal, entries ...youproxy.Entry) {
	t.Helper()
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	for _, e := range entries {
		require.NoError(t, j.Record(t.Context(), e))
	}
}

// read returns what a query yields.
func read(t *testing.T, j youproxy.Journal, q youproxy.EntryQuery) []youproxy.Entry {
	t.Helper()
	var all []youproxy.Entry
	for e, err := range j.Entries(t.Context(), q) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// ids returns the ids of what a query yields.
func ids(t *testing.T, j youproxy.Journal, q youproxy.EntryQuery) []string {
	t.Helper()
	all := []string{}
	for _, e := range read(t, j, q) {
		all = append(all, e.Attempt.ID)
	}
	return all
}

// same compares two entries by all that is written of them.
func same(t *testing.T, want, got youproxy.Entry) {
	t.Helper()
	w, err := json.Marshal(want)
	require.NoError(t, err)
	g, err := json.Marshal(got)
	require.NoError(t, err)
	assert.Equal(t, string(w), string(g))
}

// locked fails the test where the lock can be had.
func locked(t *testing.T, j youproxy.Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	unlock, err := j.Lock(ctx)
	if err == nil {
		unlock()
	}
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

// free takes the lock and gives it back.
func free(t *testing.T, j youproxy.Journal) {
	t.Helper()
	record(t, j)
}

func empty(t *testing.T, open func() youproxy.Journal) {
	assert.Empty(t, ids(t, open(), youproxy.EntryQuery{Since: time.Unix(1, 0), Key: "k"}))
}

func replaces(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j, entry("a"), entry("b"), entry("c"))
	record(t, j, settled(entry("b"), youproxy.EntryExecuted, noon), settled(entry("a"), youproxy.EntryNotExecuted, noon.Add(time.Hour)))
	assert.Equal(t, []string{"c"}, ids(t, j, youproxy.EntryQuery{}))
	assert.Equal(t, []string{"a", "b", "c"}, ids(t, j, youproxy.EntryQuery{Since: noon}))

	later := settled(entry("b"), youproxy.EntryExecuted, noon)
	later.OrderID = "12"
	record(t, j, later)
	all := read(t, open(), youproxy.EntryQuery{Since: noon})
	require.Len(t, all, 3)
	same(t, later, all[1])
}

func selects(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j,
		settled(keyed("a", "one"), youproxy.EntryNotExecuted, noon),
		settled(entry("b"), youproxy.EntryExecuted, noon.Add(2*time.Hour)),
		keyed("c", "two"),
		settled(keyed("d", "one"), youproxy.EntryExecuted, noon.Add(time.Hour)),
		settled(entry("e"), youproxy.EntryDismissed, noon),
		entry("f"),
	)
	for _, c := range []struct {
		q    youproxy.EntryQuery
		want string
	}{
		{youproxy.EntryQuery{}, "c f"},
		{youproxy.EntryQuery{Key: "one"}, "a c d f"},
		{youproxy.EntryQuery{Key: "two"}, "c f"},
		{youproxy.EntryQuery{Key: "three"}, "c f"},
		{youproxy.EntryQuery{Since: noon}, "a b c d e f"},
		{youproxy.EntryQuery{Since: noon.Add(time.Hour)}, "b c d f"},
		{youproxy.EntryQuery{Since: noon.Add(time.Hour).In(time.FixedZone("", -5*3600))}, "b c d f"},
		{youproxy.EntryQuery{Since: noon.Add(2 * time.Hour), Key: "one"}, "a b c d f"},
		{youproxy.EntryQuery{Since: noon.Add(3 * time.Hour)}, "c f"},
	} {
		assert.Equal(t, c.want, strings.Join(ids(t, j, c.q), " "), "%+v", c.q)
	}
}

func nanoseconds(t *testing.T, open func() youproxy.Journal) {
	j := open()
	at := noon.Add(123456789)
	record(t, j, settled(entry("a"), youproxy.EntryExecuted, at))
	assert.Len(t, ids(t, j, youproxy.EntryQuery{Since: at}), 1)
	assert.Empty(t, ids(t, j, youproxy.EntryQuery{Since: at.Add(1)}))
}

func once(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j, keyed("a", "k"), settled(keyed("b", "k"), youproxy.EntryExecuted, noon))
	record(t, j, keyed("a", "k"), settled(keyed("b", "k"), youproxy.EntryExecuted, noon))
	assert.Equal(t, []string{"a", "b"}, ids(t, j, youproxy.EntryQuery{Since: noon, Key: "k"}))
}

func endsEarly(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j, entry("a"), entry("b"))
	for range 3 {
		for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
			require.NoError(t, err)
			assert.Equal(t, "a", e.Attempt.ID)
			break
		}
	}
	record(t, j, entry("c"))
	assert.Equal(t, []string{"a", "b", "c"}, ids(t, j, youproxy.EntryQuery{}))
}

func lookAlike(t *testing.T, open func() youproxy.Journal) {
	j := open()
	alike := []string{"key", "KEY", "key ", " key", "kéy", "ke\u0301y", "\uff4bey", strings.Repeat("k", 255), strings.Repeat("k", 254)}
	for i, key := range alike {
		record(t, j, settled(keyed(fmt.Sprint(i), key), youproxy.EntryExecuted, noon))
	}
	for i, key := range alike {
		assert.Equal(t, []string{fmt.Sprint(i)}, ids(t, j, youproxy.EntryQuery{Key: key}), "%q", key)
	}
	record(t, j, entry("a"), entry("A"), entry("a "))
	assert.Equal(t, []string{"a", "A", "a "}, ids(t, j, youproxy.EntryQuery{}))
}

// filled returns an open and a settled entry that have all fields between them.
func filled() (open, done youproxy.Entry) {
	at := noon.Add(123456789)
	open = entry("0190e1b2-open")
	a := &open.Attempt
	a.Key, a.Request, a.Account, a.At = "invoice 17", strings.Repeat("0f", 32), "89abcdef", at
	a.Price, a.PriceIfEach = youproxy.MustMoney("123456789012345678.000000001 USD"), youproxy.MustMoney("0.10 USD")
	a.Discount, a.PromoCode = decimal.RequireFromString("12.5"), "SPRING"
	a.Country, a.Goal, a.MobileOperator, a.RotationTime = "DE", "Research", "de_o2", 300
	a.IPAddressIDs, a.OrderIDs = []youproxy.IPAddressID{"1", "2"}, []youproxy.OrderID{"3"}
	a.SpendMillis, a.PatienceMillis = 120_000, 120_001
	a.Before = youproxy.Holdings{
		Balance: youproxy.Money{Amount: decimal.RequireFromString("-0.01"), Currency: "US dollar"}, Orders: []youproxy.OrderID{"4", "5"},
		Unseen: []youproxy.OrderNumber{"NUMBER-1"}, Ends: map[youproxy.IPAddressID]time.Time{"1": at, "2": at.Add(1).In(time.FixedZone("", 2*3600))},
		Renewing: []youproxy.IPAddressID{"2"}, Disturbed: true, Date: at.Truncate(time.Second), Beside: []youproxy.IPAddressID{"3"},
	}
	charged := youproxy.Money{Amount: decimal.RequireFromString("4.570"), Currency: ""}
	done = entry("0190e1b2-done")
	done.Attempt.Price = youproxy.Money{} // not known
	done.State, done.SettledAt = youproxy.EntryExecuted, at.Add(999)
	done.OrderNumber, done.OrderID, done.PromoCodeStatus = "NUMBER-2", "6", youproxy.PromoCodeValid
	done.IPAddressIDs, done.OrderIDs = []youproxy.IPAddressID{"7", "8"}, []youproxy.OrderID{"9"}
	done.Recovered, done.Charged, done.Note = true, &charged, "seen in the list"
	return open, done
}

func everyField(t *testing.T, open func() youproxy.Journal) {
	first, second := filled()
	a, b := reflect.ValueOf(first), reflect.ValueOf(second)
	for i := range a.NumField() {
		require.False(t, a.Field(i).IsZero() && b.Field(i).IsZero(), "the test fills no %s", a.Type().Field(i).Name)
	}
	for _, v := range []reflect.Value{reflect.ValueOf(first.Attempt), reflect.ValueOf(first.Attempt.Before)} {
		for i := range v.NumField() {
			require.False(t, v.Field(i).IsZero(), "the test fills no %s", v.Type().Field(i).Name)
		}
	}
	j := open()
	record(t, j, first, second)
	for _, j := range []youproxy.Journal{j, open()} {
		all := read(t, j, youproxy.EntryQuery{Since: noon})
		require.Len(t, all, 2)
		same(t, first, all[0])
		same(t, second, all[1])
		assert.True(t, all[0].Attempt.At.Equal(first.Attempt.At))
		assert.True(t, all[1].SettledAt.Equal(second.SettledAt))
		assert.True(t, all[1].Charged.Equal(*second.Charged))
		assert.True(t, all[1].Attempt.Price.IsZero())
		assert.True(t, all[0].Attempt.Price.Equal(first.Attempt.Price))
	}
}

func unusualText(t *testing.T, open func() youproxy.Journal) {
	j := open()
	var want []youproxy.Entry
	for i, text := range []string{
		"a\nb\r\n\tc", `"quoted" \back\slash`, "<b>&amp;</b>", "\u2028\u2029\ufeff", "\x00\x01\x1f\x7f", "\U0001F680 \U0010FFFF", "\u202eright to left", "e\u0301", "\ufffd", "null", "{}", "%s ? $1 ;--'",
	} {
		e := keyed(fmt.Sprint(i), strings.ReplaceAll(text, "\x00", ""))
		e.Attempt.PromoCode, e.Note = text, text
		want = append(want, e)
	}
	record(t, j, want...)
	got := read(t, open(), youproxy.EntryQuery{})
	require.Len(t, got, len(want))
	for i := range want {
		same(t, want[i], got[i])
	}
}

func copies(t *testing.T, open func() youproxy.Journal) {
	j := open()
	first, second := filled()
	record(t, j, first, second)
	wantFirst, wantSecond := filled()
	for range 2 {
		spoil(&first)
		spoil(&second)
		all := read(t, j, youproxy.EntryQuery{Since: noon})
		require.Len(t, all, 2)
		same(t, wantFirst, all[0])
		same(t, wantSecond, all[1])
		first, second = all[0], all[1]
	}
}

// spoil changes all that an entry refers to.
func spoil(e *youproxy.Entry) {
	for _, list := range [][]youproxy.IPAddressID{e.IPAddressIDs, e.Attempt.IPAddressIDs, e.Attempt.Before.Renewing} {
		for i := range list {
			list[i] = "spoilt"
		}
	}
	for _, list := range [][]youproxy.OrderID{e.OrderIDs, e.Attempt.OrderIDs, e.Attempt.Before.Orders} {
		for i := range list {
			list[i] = "spoilt"
		}
	}
	for i := range e.Attempt.Before.Unseen {
		e.Attempt.Before.Unseen[i] = "spoilt"
	}
	clear(e.Attempt.Before.Ends)
	if e.Charged != nil {
		*e.Charged = youproxy.MustMoney("99 EUR")
	}
}

func large(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j, entry("half"), entry("double"))

	half := entry("half")
	half.Note = strings.Repeat("x", 500<<10)
	record(t, j, half)

	double := entry("double")
	double.Note = strings.Repeat("x", 2<<20)
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	refused := j.Record(t.Context(), double) != nil
	unlock()

	record(t, j, entry("after"))
	all := read(t, open(), youproxy.EntryQuery{})
	require.Len(t, all, 3)
	same(t, half, all[0])
	if refused {
		double = entry("double")
	}
	same(t, double, all[1])
	same(t, entry("after"), all[2])
}

func seesOthers(t *testing.T, open func() youproxy.Journal) {
	a, b := open(), open()
	for i := range 5 {
		record(t, []youproxy.Journal{a, b}[i%2], entry(fmt.Sprint(i)))
		for _, j := range []youproxy.Journal{a, b} {
			unlock, err := j.Lock(t.Context())
			require.NoError(t, err)
			assert.Len(t, ids(t, j, youproxy.EntryQuery{}), i+1)
			unlock()
		}
	}
	assert.Equal(t, []string{"0", "1", "2", "3", "4"}, ids(t, open(), youproxy.EntryQuery{}))
}

func readsWithoutLock(t *testing.T, open func() youproxy.Journal) {
	a, b := open(), open()
	unlock, err := a.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	require.NoError(t, a.Record(t.Context(), entry("a")))
	assert.Equal(t, []string{"a"}, ids(t, b, youproxy.EntryQuery{}))
	assert.Equal(t, []string{"a"}, ids(t, a, youproxy.EntryQuery{}))
}

func contextOverReading(t *testing.T, open func() youproxy.Journal) {
	j := open()
	record(t, j, entry("a"), entry("b"))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	n, failed := 0, false
	for _, err := range j.Entries(over, youproxy.EntryQuery{}) {
		if err != nil {
			failed = true
			continue
		}
		n++
	}
	assert.True(t, failed || n == 2, "%d of 2 entries without an error", n)
}

func recordNeedsLock(t *testing.T, open func() youproxy.Journal) {
	a, b := open(), open()
	assert.Error(t, a.Record(t.Context(), entry("before")))
	unlock, err := a.Lock(t.Context())
	require.NoError(t, err)
	if a != b {
		assert.Error(t, b.Record(t.Context(), entry("other handle")))
	}
	unlock()
	assert.Error(t, a.Record(t.Context(), entry("after")))
	assert.Empty(t, ids(t, a, youproxy.EntryQuery{}))
	record(t, a, entry("under the lock"))
	assert.Equal(t, []string{"under the lock"}, ids(t, b, youproxy.EntryQuery{}))
}

func lockOutlivesContext(t *testing.T, open func() youproxy.Journal) {
	a, b := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	unlock, err := a.Lock(ctx)
	require.NoError(t, err)
	cancel()
	locked(t, b)
	require.NoError(t, a.Record(t.Context(), entry("a")))
	unlock()
	assert.Equal(t, []string{"a"}, ids(t, b, youproxy.EntryQuery{}))
}

func excludes(t *testing.T, open func() youproxy.Journal) {
	const workers, rounds = 6, 5
	handles := []youproxy.Journal{open(), open()}
	var inside atomic.Int32
	count := 0 // the race detector sees where the lock does not guard it
	var workersDone sync.WaitGroup
	for w := range workers {
		workersDone.Go(func() {
			j := handles[w%len(handles)]
			for r := range rounds {
				unlock, err := j.Lock(t.Context())
				if !assert.NoError(t, err) {
					return
				}
				assert.EqualValues(t, 1, inside.Add(1))
				count++
				assert.NoError(t, j.Record(t.Context(), entry(fmt.Sprintf("%d-%d", w, r))))
				inside.Add(-1)
				unlock()
			}
		})
	}
	workersDone.Wait()
	assert.Equal(t, workers*rounds, count)
	assert.Len(t, ids(t, open(), youproxy.EntryQuery{}), workers*rounds)
}

func waitingEnds(t *testing.T, open func() youproxy.Journal) {
	holder := open()
	unlock, err := holder.Lock(t.Context())
	require.NoError(t, err)
	for _, j := range []youproxy.Journal{holder, open()} {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		none, err := j.Lock(ctx)
		cancel()
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Nil(t, none)

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		_, err = j.Lock(ctx)
		assert.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, holder.Record(t.Context(), entry("a")), "those who gave up took the lock along")
	unlock()

	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = holder.Lock(over)
	assert.ErrorIs(t, err, context.Canceled, "a free lock, and a context that is over")
	free(t, open())
}

func unlockTwice(t *testing.T, open func() youproxy.Journal) {
	a, b := open(), open()
	first, err := a.Lock(t.Context())
	require.NoError(t, err)
	first()
	first()
	for _, j := range []youproxy.Journal{a, b} {
		unlock, err := j.Lock(t.Context())
		require.NoError(t, err)
		first()
		locked(t, a)
		locked(t, b)
		require.NoError(t, j.Record(t.Context(), entry("a")))
		unlock()
	}
	free(t, a)
}
