package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// journalFile gives where a journal can be.
func journalFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "buy.jsonl")
}

// lines gives the lines of a journal, and makes sure that there is no secret in
// it and no half line.
func lines(t *testing.T, path string) (entries []entry) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotRegexp(t, password, string(content))
	assert.NotContains(t, string(content), testKey)
	assert.NotContains(t, string(content), youproxytest.DefaultAPIKey)
	assert.True(t, strings.HasSuffix(string(content), "\n"), "%q", content)
	for line := range strings.Lines(string(content)) {
		var e entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		entries = append(entries, e)
	}
	return entries
}

// crash leaves an order open in a journal: executed if it reached the fake.
func crash(t *testing.T, journal string, args ...string) {
	t.Helper()
	r := start(t, append([]string{"-journal", journal, "-fault", "crash-after-send"}, args...)...)
	require.Equal(t, 3, r.code, r.stderr)
	require.NotContains(t, r.stdout, "Bought")
}

// anHourLater makes the one order in a journal older than any patience.
func anHourLater(t *testing.T, journal string) {
	t.Helper()
	e := lines(t, journal)[0]
	e.Attempt.At = e.Attempt.At.Add(-time.Hour)
	line, err := json.Marshal(e)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(journal, append(line, '\n'), 0o600))
}

func TestTheJournalOfAPurchase(t *testing.T) {
	for name, fault := range map[string]youproxytest.Fault{"answered": 0, "recovered": youproxytest.DropAfterCommit} {
		t.Run(name, func(t *testing.T) {
			fake, journal := withKey(t), journalFile(t)
			if fault != 0 {
				fake.Inject("POST /order", fault)
			}
			var atSend []entry
			behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
				if isOrder(r) {
					atSend = lines(t, journal)
				}
				return false
			})

			r := start(t, "-yes", "-max-price", "10 USD", "-journal", journal)

			require.Equal(t, 0, r.code, r.stderr)
			assert.Empty(t, r.stderr)
			require.Len(t, atSend, 1, "it is written before the order is sent")
			all := lines(t, journal)
			require.Len(t, all, 3)
			a := all[0].Attempt
			require.NotNil(t, a)
			assert.Equal(t, os.Getenv("YOUPROXY_BASE_URL"), all[0].Service)
			assert.Equal(t, "1.31 USD", a.Price.String())
			want := entry{Bought: a.ID, OrderNumber: fake.Orders()[0].Number}
			if fault != 0 {
				want = entry{Bought: a.ID, OrderID: fake.Orders()[0].ID}
			}
			assert.Equal(t, want, all[1])
			assert.Equal(t, entry{Closed: a.ID, Verdict: "executed"}, all[2])

			info, err := os.Stat(journal)
			require.NoError(t, err)
			if runtime.GOOS != "windows" {
				assert.Equal(t, os.FileMode(0o600), info.Mode())
			}
		})
	}
}

func TestAClosedOrderIsNoObstacle(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	for range 2 {
		r := start(t, "-journal", journal)
		require.Equal(t, 0, r.code, r.stderr)
		assert.NotContains(t, r.stdout, "Earlier")
	}
	assert.Len(t, fake.Orders(), 2)
	assert.Len(t, lines(t, journal), 6)
}

func TestWhatWasNotBoughtIsClosed(t *testing.T) {
	for name, fail := range map[string]func(*youproxytest.Server){
		"refused":      func(fake *youproxytest.Server) { fake.Refuse("POST /order", 7) },
		"not executed": func(fake *youproxytest.Server) { fake.Inject("POST /order", youproxytest.DropBeforeCommit) },
	} {
		t.Run(name, func(t *testing.T) {
			fake, journal := sandboxed(t), journalFile(t)
			fail(fake)
			r := start(t, "-journal", journal, "-patience", "10ms")
			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, "nothing was spent")
			all := lines(t, journal)
			require.Len(t, all, 2)
			assert.Equal(t, entry{Closed: all[0].Attempt.ID, Verdict: "not executed"}, all[1])
			assert.Empty(t, fake.Orders())
		})
	}
}

func TestAGuardLeavesNoJournal(t *testing.T) {
	sandboxed(t)
	journal := journalFile(t)
	r := start(t, "-journal", journal, "-max-price", "1 USD")
	assert.Equal(t, 1, r.code)
	assert.NoFileExists(t, journal)
}

func TestAfterACrashAnExecutedOrderIsNotBoughtAgain(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	crash(t, journal, "-quantity", "2")
	require.Len(t, fake.Orders(), 1)

	r := start(t, "-journal", journal, "-quantity", "5")

	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "Earlier     order of 2 x IPv4")
	assert.Contains(t, r.stdout, "was executed, so nothing is bought now")
	assert.Contains(t, r.stdout, string(fake.Orders()[0].ID))
	assert.Len(t, r.ready(), 2)
	assert.Len(t, fake.Orders(), 1)
	assert.Equal(t, "executed", lines(t, journal)[2].Verdict)
}

func TestAfterACrashAnOrderThatWasLostIsBoughtAnew(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	fake.Inject("POST /order", youproxytest.DropBeforeCommit)
	crash(t, journal)
	require.Empty(t, fake.Orders())
	anHourLater(t, journal)

	r := start(t, "-journal", journal)

	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "was not executed, nothing was spent\nRequest ")
	assert.Len(t, fake.Orders(), 1)
	all := lines(t, journal)
	require.Len(t, all, 5)
	assert.Equal(t, entry{Closed: all[0].Attempt.ID, Verdict: "not executed"}, all[1])
	assert.NotEqual(t, all[0].Attempt.ID, all[2].Attempt.ID)
}

func TestAnUndeterminedOrderStaysOpen(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	fake.Inject("POST /order", youproxytest.DropBeforeCommit)
	crash(t, journal)
	anHourLater(t, journal)
	fake.SetBalance(youproxy.MustMoney("99 USD")) // somebody else spends

	for range 2 {
		r := start(t, "-journal", journal)
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.stderr, "the balance fell by 1 USD; money may have been spent: look at the account")
		assert.Contains(t, r.stderr, "nothing was bought now")
		assert.NotContains(t, r.stdout, "Request")
		assert.Empty(t, fake.Orders())
		assert.Len(t, lines(t, journal), 1)
	}

	// The line that it asks for is one that it takes.
	r := start(t, "-journal", journal)
	told := strings.Split(strings.TrimSpace(r.stderr), "\n")
	appendTo(t, journal, told[len(told)-1]) // as an editor that adds no newline
	r = start(t, "-journal", journal)
	require.Equal(t, 0, r.code, r.stderr)
	assert.Empty(t, r.stderr)
	assert.Len(t, fake.Orders(), 1)
	assert.Len(t, lines(t, journal), 5)
}

func TestAPurchaseThatIsUndeterminedStaysOpen(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	fake.Inject("POST /order", youproxytest.DropAfterCommit)
	behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
		if isOrder(r) {
			fake.SetBalance(youproxy.MustMoney("50 USD"))
		}
		return false
	})
	r := start(t, "-journal", journal, "-patience", "10ms")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "before buying again; the next run with the same journal does that first\n")
	assert.Len(t, lines(t, journal), 1)
}

func TestAReconciliationThatIsStopped(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	crash(t, journal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := startWith(ctx, t, strings.NewReader(""), "-journal", journal)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "what became of that order is still not known, and nothing was bought now")
	assert.Len(t, lines(t, journal), 1)
	assert.Len(t, fake.Orders(), 1)
}

func TestWhatWasBoughtIsWaitedForAgain(t *testing.T) {
	var later atomic.Int64
	fake := sandboxed(t, youproxytest.WithProvisioningDelay(time.Hour),
		youproxytest.WithClock(func() time.Time { return time.Now().Add(time.Duration(later.Load())) }))
	journal := journalFile(t)
	for range 2 {
		r := start(t, "-journal", journal, "-wait", "10ms")
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.stderr, "bought all the same, and the next run with the same journal waits on\n")
		assert.Len(t, lines(t, journal), 2)
	}
	fake.SetBalance(youproxy.MustMoney("1 USD")) // it needs not be found out again
	later.Store(int64(2 * time.Hour))

	r := start(t, "-journal", journal)

	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "Bought      "+string(fake.Orders()[0].Number)+"\n")
	assert.Len(t, r.ready(), 1)
	assert.Len(t, fake.Orders(), 1)
	assert.Len(t, lines(t, journal), 3)
}

func TestCancelledAfterTheOrderLeft(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	fake.Inject("POST /order", youproxytest.DropAfterCommit)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
		if isOrder(r) {
			cancel()
		}
		return false
	})

	r := startWith(ctx, t, strings.NewReader(""), "-journal", journal)

	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "first finding out what became of it")
	assert.Contains(t, r.stdout, "Bought      "+string(fake.Orders()[0].ID), "it is known all the same")
	assert.Contains(t, r.stderr, "the next run with the same journal waits on")
	assert.Len(t, lines(t, journal), 2)

	r = start(t, "-journal", journal)
	assert.Equal(t, 0, r.code, r.stderr)
	assert.Len(t, r.ready(), 1)
	assert.Len(t, fake.Orders(), 1)
}

func TestATornLine(t *testing.T) {
	for name, torn := range map[string]string{
		"the beginning of an order": `{"service":"built-in fake","attempt":{"version":1,"id":"ABC`,
		"one byte":                  `{`,
		"nothing that was written":  "\x00\x00\x00\x00",
		"the end is missing only":   ``,
	} {
		for _, before := range []string{"", "an order"} {
			t.Run(name+" after "+before, func(t *testing.T) {
				fake, journal := sandboxed(t), journalFile(t)
				if before != "" {
					require.Equal(t, 0, start(t, "-journal", journal).code)
				}
				was := len(fake.Orders())
				appendTo(t, journal, torn)

				r := start(t, "-journal", journal)

				assert.Equal(t, 0, r.code, r.stderr)
				assert.Equal(t, torn != "", strings.Contains(r.stderr, "was not written to its end: it is left out"))
				assert.Len(t, fake.Orders(), was+1)
				assert.Len(t, lines(t, journal), 3*(was+1))
			})
		}
	}
}

func TestAnOrderWhoseNewlineIsLostIsNotTornAway(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	crash(t, journal)
	content, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(journal, content[:len(content)-1], 0o600))

	r := start(t, "-journal", journal)

	assert.Equal(t, 0, r.code, r.stderr)
	assert.Len(t, fake.Orders(), 1)
	assert.Len(t, lines(t, journal), 3)
}

func TestAJournalThatCannotBeTaken(t *testing.T) {
	const order = `{"service":"S","attempt":{"version":1,"id":"A","at":"2026-03-01T12:00:00Z","op":"POST /order","proxyType":"IPv4","rentPeriodDays":30,"price":"1 USD","limit":"1 USD","quantity":1,"before":{"balance":"9 USD"}}}` + "\n"
	for name, test := range map[string]struct{ content, want string }{
		"garbage":                  {"garbage\n", "line 1 of the journal"},
		"garbage in the middle":    {order + "{\n" + `{"closed":"A"}` + "\n", "line 2 of the journal"},
		"an empty line":            {order + "\n", "line 2 of the journal"},
		"null":                     {"null\n", "not of this program"},
		"something else":           {`{"id":"A"}` + "\n", "not of this program"},
		"something else, unended":  {`{"id":"A"}`, "not of this program"},
		"twice the same":           {order + order, "line 2 of the journal"},
		"an extension":             {strings.Replace(order, "POST /order", "POST /extend", 1), "not an order"},
		"an order without id":      {strings.Replace(order, `"A"`, `""`, 1), "not an order"},
		"bought what is not there": {`{"bought":"A","orderNumber":"N"}` + "\n", "not about an open order"},
		"bought without a name":    {order + `{"bought":"A"}` + "\n", "line 2 of the journal"},
		"closed what is not there": {`{"closed":"A"}` + "\n", "not about an open order"},
		"of another service":       {order, `holds an open order to "S", and this is "http://127.0.0.1:`},
		"of another version":       {strings.Replace(order, `"version":1`, `"version":99`, 1), "version 99"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, journal := sandboxed(t), journalFile(t)
			content := test.content
			if strings.Contains(content, "99,") {
				content = strings.Replace(content, `"S"`, `"`+fake.URL()+`"`, 1)
			}
			appendTo(t, journal, content)

			r := start(t, "-journal", journal)

			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, test.want)
			assert.Contains(t, r.stderr, "nothing was bought")
			assert.Empty(t, fake.Requests())
			now, err := os.ReadFile(journal)
			require.NoError(t, err)
			assert.Equal(t, content, string(now), "it is left as it was")
		})
	}
}

func TestAJournalThatCannotBeReadOrWritten(t *testing.T) {
	for name, test := range map[string]struct{ path, want string }{
		"a folder":            {"", "the journal cannot be read"},
		"in no folder at all": {"none/buy.jsonl", "the journal was not written"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := sandboxed(t)
			r := start(t, "-journal", filepath.Join(t.TempDir(), test.path))
			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, test.want)
			assert.Regexp(t, "nothing was (bought|spent)", r.stderr)
			assert.Empty(t, fake.Orders())
		})
	}
}

func TestAJournalThatAnotherProcessWroteInto(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
		if isQuote(r) {
			appendTo(t, journal, "{}\n")
		}
		return false
	})
	r := start(t, "-journal", journal)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "was changed meanwhile: it is for one process at a time")
	assert.Contains(t, r.stderr, "nothing was spent")
	assert.NotContains(t, sent(fake), "POST /order")
}

func TestAPurchaseThatCannotBeNotedIsDeliveredAllTheSame(t *testing.T) {
	fake, journal := sandboxed(t), journalFile(t)
	behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
		if isOrder(r) {
			appendTo(t, journal, "\n")
		}
		return false
	})
	r := start(t, "-journal", journal)
	assert.Equal(t, 0, r.code)
	assert.Equal(t, 2, strings.Count(r.stderr, "the journal was not written: "))
	assert.Len(t, r.ready(), 1)
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}
