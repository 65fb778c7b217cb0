package integration

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/journaltest"
	"github.com/youproxy-go/youproxy/sqljournal"
)

func TestSQLJournal(t *testing.T) {
	for kind, start := range databaseServers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for name, test := range map[string]func(*testing.T, *databaseServer){
				"contract":                          sqlContract,
				"a killed holder":                   sqlKilledHolder,
				"a killed waiter":                   sqlKilledWaiter,
				"a frozen holder":                   sqlFrozenHolder,
				"sessions ended by the server":      sqlEndedSessions,
				"a silent network":                  sqlSilentNetwork,
				"a silent network, then unlock":     sqlSilentUnlock,
				"another generation":                sqlFenced,
				"a pool of one connection":          sqlOneConnection,
				"one holder of eight processes":     sqlExclusion,
				"tables made by many at once":       sqlCreateTable,
				"no tables":                         sqlNoTables,
				"a database that cannot be written": sqlReadOnly,
				"large entries":                     sqlLarge,
				"contexts that are over":            sqlContexts,
				"what people see in the tables":     sqlColumns,
				"an entry that cannot be read":      sqlUnreadable,
				"reading while others lock":         sqlObserver,
				"documented queries":                sqlDocumentedQueries,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, s)
				})
			}
		})
	}
}

// journal opens a journal with a new connection pool.
func (s *databaseServer) journal(t *testing.T, database string) *sqljournal.Journal {
	t.Helper()
	j, err := sqljournal.New(s.open(t, database), s.dialect, "main")
	require.NoError(t, err)
	return j
}

func (s *databaseServer) settings(database string) settings {
	return settings{Dialect: s.dialect, DSN: s.dsn(s.port, database, ""), Account: "main"}
}

// lock takes the lock within a time that is too short if anybody else has it.
func lock(t *testing.T, j youproxy.Journal) (unlock func()) {
	t.Helper()
	return lockWithin(t, j, 5*time.Second)
}

func lockWithin(t *testing.T, j youproxy.Journal, limit time.Duration) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	unlock, err := j.Lock(ctx)
	require.NoError(t, err)
	return unlock
}

func assertEntries(t *testing.T, j youproxy.Journal, ids ...string) {
	t.Helper()
	got := []string{}
	for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: time.Unix(1, 0)}) {
		require.NoError(t, err)
		got = append(got, e.Attempt.ID)
	}
	assert.Equal(t, append([]string{}, ids...), got)
}

func sqlContract(t *testing.T, s *databaseServer) {
	database := s.database(t)
	journaltest.Run(t, func(t *testing.T) func() youproxy.Journal {
		return func() youproxy.Journal {
			j, err := sqljournal.New(s.open(t, database), s.dialect, t.Name())
			require.NoError(t, err)
			return j
		}
	})
}

func sqlKilledHolder(t *testing.T, s *databaseServer) {
	database := s.database(t)
	holder, waiter := startChild(t, "journal", s.settings(database)), startChild(t, "journal", s.settings(database))
	holder.must(t, "lock")
	holder.must(t, "record a")
	waiter.tell(t, "lock")
	require.Eventually(t, func() bool { return s.waiting(t, database) == 1 }, 20*time.Second, 10*time.Millisecond)
	killed := time.Now()
	holder.kill()
	require.Equal(t, "ok", waiter.answer(t, 20*time.Second))
	t.Logf("taken over after %v", time.Since(killed))
	waiter.must(t, "record b")
	assertEntries(t, s.journal(t, database), "a", "b")
	assert.Equal(t, []int64{2}, column[int64](t, s.open(t, database), "SELECT gen FROM youproxy_journal_head"))
}

func sqlKilledWaiter(t *testing.T, s *databaseServer) {
	database := s.database(t)
	holder := s.journal(t, database)
	unlock := lock(t, holder)
	for range 3 {
		waiter := startChild(t, "journal", s.settings(database))
		waiter.tell(t, "lock")
		require.Eventually(t, func() bool { return s.waiting(t, database) > 0 }, 20*time.Second, 10*time.Millisecond)
		waiter.kill()
	}
	// To the server, a waiter whose context ends looks like a killed one.
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, err := s.journal(t, database).Lock(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, holder.Record(t.Context(), openEntry("a")))
	unlock()
	lock(t, s.journal(t, database))()
}

// sqlFrozenHolder stops a process for longer than the lease of its lock.
func sqlFrozenHolder(t *testing.T, s *databaseServer) {
	database := s.database(t)
	set := s.settings(database)
	set.Lease = 2 * time.Second
	frozen := startChild(t, "journal", set)
	frozen.must(t, "lock")
	frozen.must(t, "record a")
	frozen.signal(t, syscall.SIGSTOP)
	began := time.Now()
	j := s.journal(t, database)
	unlock := lockWithin(t, j, 15*time.Second)
	t.Logf("taken over after %v", time.Since(began))
	require.NoError(t, j.Record(t.Context(), openEntry("b")))
	frozen.signal(t, syscall.SIGCONT)
	frozen.tell(t, "record c")
	assert.Contains(t, frozen.answer(t, 20*time.Second), "error sqljournal: ")
	frozen.tell(t, "record d")
	assert.Contains(t, frozen.answer(t, 20*time.Second), "lock was lost")
	unlock()
	assertEntries(t, j, "a", "b")
	frozen.must(t, "unlock")
	frozen.must(t, "lock")
	frozen.must(t, "record e")
	assertEntries(t, j, "a", "b", "e")
}

func sqlEndedSessions(t *testing.T, s *databaseServer) {
	database := s.database(t)
	old, other := s.journal(t, database), s.journal(t, database)
	unlock := lock(t, old)
	require.NoError(t, old.Record(t.Context(), openEntry("a")))
	require.Positive(t, s.endSessions(t, database))
	unlockOther := lock(t, other)
	require.NoError(t, other.Record(t.Context(), openEntry("b")))
	for range 2 {
		err := old.Record(t.Context(), openEntry("c"))
		require.ErrorContains(t, err, "sqljournal: ")
		t.Log(err)
	}
	unlock()
	unlockOther()
	assertEntries(t, other, "a", "b")
	unlock = lock(t, old)
	require.NoError(t, old.Record(t.Context(), openEntry("c")))
	unlock()
	assertEntries(t, other, "a", "b", "c")
}

func TestSQLJournalOverARestart(t *testing.T) {
	for kind, start := range databaseServers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			database := s.database(t)
			j := s.journal(t, database)
			unlock := lock(t, j)
			require.NoError(t, j.Record(t.Context(), openEntry("a")))
			pool := s.open(t, database)
			other, err := sqljournal.New(pool, s.dialect, "main")
			require.NoError(t, err)
			fillPool(t, pool)

			s.stop(t)
			require.Error(t, j.Record(t.Context(), openEntry("b")))
			_, err = other.Lock(t.Context())
			require.ErrorContains(t, err, "sqljournal: ")
			s.start(t)

			require.Error(t, j.Record(t.Context(), openEntry("b")))
			unlockOther := lock(t, other) // though its pool had connections from before
			assertEntries(t, other, "a")
			unlockOther()
			unlock()
			unlock = lock(t, j)
			require.NoError(t, j.Record(t.Context(), openEntry("b")))
			unlock()
			assertEntries(t, other, "a", "b")
		})
	}
}

// fillPool leaves several idle connections in a pool.
func fillPool(t *testing.T, pool *sql.DB) {
	t.Helper()
	pool.SetMaxIdleConns(3)
	var conns []*sql.Conn
	for range 3 {
		c, err := pool.Conn(t.Context())
		require.NoError(t, err)
		conns = append(conns, c)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
}

// overProxy opens a journal whose network can go silent.
func (s *databaseServer) overProxy(t *testing.T, database string) (*sqljournal.Journal, *silentProxy) {
	t.Helper()
	p := startSilentProxy(t, s.port)
	j, err := sqljournal.New(openDSN(t, s.dialect, s.dsn(p.port(), database, "")), s.dialect, "main")
	require.NoError(t, err)
	t.Cleanup(p.close) // before the pool, whose driver waits for the server to hang up
	j.Lease = 3 * time.Second
	return j, p
}

func sqlSilentNetwork(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j, p := s.overProxy(t, database)
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), openEntry("a")))
	close(p.silent)
	began := time.Now()
	recorded := make(chan error, 1)
	go func() { recorded <- j.Record(context.Background(), openEntry("b")) }()

	other := startChild(t, "journal", s.settings(database))
	other.tell(t, "lock")
	require.Equal(t, "ok", other.answer(t, 20*time.Second))
	t.Logf("taken over after %v, with a lease of %v", time.Since(began), j.Lease)
	other.must(t, "record c")

	require.ErrorContains(t, <-recorded, "did not answer within 10s")
	began = time.Now()
	require.Error(t, j.Record(t.Context(), openEntry("d")))
	unlock()
	assert.Less(t, time.Since(began), 9*time.Second, "it does not wait again")
	assertEntries(t, s.journal(t, database), "a", "c")
}

func sqlSilentUnlock(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j, p := s.overProxy(t, database)
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), openEntry("a")))
	close(p.silent)
	began := time.Now()
	unlock()
	assert.Less(t, time.Since(began), 30*time.Second)
	lockWithin(t, s.journal(t, database), 20*time.Second)()
}

// sqlFenced has another holder take over while the session of the first still holds
// the lock, which happens if a lock is granted twice.
func sqlFenced(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), openEntry("a")))
	_, err := s.open(t, database).ExecContext(t.Context(), "UPDATE youproxy_journal_head SET gen = gen + 1")
	require.NoError(t, err)
	settled := openEntry("a")
	settled.State = youproxy.EntryExecuted
	assert.ErrorContains(t, j.Record(t.Context(), settled), "lock was lost")
	assert.ErrorContains(t, j.Record(t.Context(), openEntry("b")), "lock was lost")
	lock(t, s.journal(t, database))() // it gave up the lock
	unlock()
	assertEntries(t, j, "a")
	assert.Equal(t, []string{"open"}, column[string](t, s.open(t, database), "SELECT state FROM youproxy_journal"))
}

func sqlOneConnection(t *testing.T, s *databaseServer) {
	database := s.database(t)
	pool := s.open(t, database)
	pool.SetMaxOpenConns(1)
	j, err := sqljournal.New(pool, s.dialect, "main")
	require.NoError(t, err)
	var running sync.WaitGroup
	for i := range 3 {
		running.Go(func() {
			for round := range 5 {
				unlock := lockWithin(t, j, time.Minute)
				assert.NoError(t, j.Record(t.Context(), openEntry(fmt.Sprint(i, "-", round))))
				for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
					if assert.NoError(t, err) {
						assert.NoError(t, j.Record(t.Context(), e))
					}
				}
				unlock()
			}
		})
	}
	running.Wait()
	var n int
	for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
		require.NoError(t, err)
		n++
		require.NoError(t, pool.PingContext(t.Context()), "the loop over %s holds the only connection", e.Attempt.ID)
	}
	assert.Equal(t, 15, n)
}

func sqlExclusion(t *testing.T, s *databaseServer) {
	const processes, rounds = 8, 10
	database := s.database(t)
	set := s.settings(database)
	set.Dir = t.TempDir()
	var children []*child
	for range processes {
		children = append(children, startChild(t, "journal", set))
	}
	began := time.Now()
	for i, c := range children {
		c.tell(t, fmt.Sprintf("rounds %d %d", rounds, i))
	}
	for _, c := range children {
		assert.Equal(t, "ok", c.answer(t, 2*time.Minute))
	}
	t.Logf("%d rounds by %d processes took %v", processes*rounds, processes, time.Since(began))
	assert.Equal(t, []int64{processes * rounds}, column[int64](t, s.open(t, database), "SELECT count(*) FROM youproxy_journal WHERE state = 'executed'"))
	assert.Equal(t, []int64{processes * rounds}, column[int64](t, s.open(t, database), "SELECT gen FROM youproxy_journal_head"))
}

func sqlCreateTable(t *testing.T, s *databaseServer) {
	database := s.database(t)
	db := s.open(t, database)
	for range 3 {
		_, err := db.ExecContext(t.Context(), "DROP TABLE youproxy_journal")
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "DROP TABLE youproxy_journal_head")
		require.NoError(t, err)
		var running sync.WaitGroup
		for range 8 {
			j := s.journal(t, database)
			running.Go(func() { assert.NoError(t, j.CreateTable(t.Context())) })
		}
		running.Wait()
	}
	j := s.journal(t, database)
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), openEntry("a")))
	unlock()
	require.NoError(t, j.CreateTable(t.Context()))
	assertEntries(t, j, "a")
}

func sqlNoTables(t *testing.T, s *databaseServer) {
	database := s.database(t)
	_, err := s.open(t, database).ExecContext(t.Context(), "DROP TABLE youproxy_journal_head")
	require.NoError(t, err)
	_, err = s.journal(t, database).Lock(t.Context())
	assert.ErrorContains(t, err, "are the tables there")
}

// sqlReadOnly takes the lock on a server that grants locks but cannot be written, such
// as a standby.
func sqlReadOnly(t *testing.T, s *databaseServer) {
	database := s.database(t)
	params := map[sqljournal.Dialect]string{sqljournal.Postgres: "default_transaction_read_only=on", sqljournal.MySQL: "tx_read_only=1"}[s.dialect]
	j, err := sqljournal.New(openDSN(t, s.dialect, s.dsn(s.port, database, params)), s.dialect, "main")
	require.NoError(t, err)
	_, err = j.Lock(t.Context())
	require.ErrorContains(t, err, "is this the node that writes?")
	lock(t, s.journal(t, database))()
}

func sqlLarge(t *testing.T, s *databaseServer) {
	j := s.journal(t, s.database(t))
	defer lock(t, j)()
	e := openEntry("a")
	e.Note = strings.Repeat("n", 1<<20-1000)
	require.NoError(t, j.Record(t.Context(), e))
	for _, note := range []string{strings.Repeat("n", 1<<20), strings.Repeat("é", 1<<18)} {
		e.Attempt.ID, e.Note = "b", note
		assert.ErrorContains(t, j.Record(t.Context(), e), "nothing was written")
	}
	require.NoError(t, j.Record(t.Context(), openEntry("c")), "the lock went with the refusal")
	assertEntries(t, j, "a", "c")
}

// sqlContexts uses contexts that end while the lock is held.
func sqlContexts(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	defer lock(t, j)()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, j.Record(over, openEntry("a")))
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		for _, err := range j.Entries(ctx, youproxy.EntryQuery{}) {
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		}
		require.NoError(t, j.Record(ctx, openEntry("a")), "a context took the lock along")
		cancel()
	}
	assertEntries(t, j, "a")
}

// sqlColumns reads the rows as people do.
func sqlColumns(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	e := openEntry("id 1")
	e.Attempt.At, e.Attempt.Key, e.Note = at, "Key", "Grüße, 世界 \U0001F680"
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), e))
	unlock()
	db := s.open(t, database)
	one := func(column_ string) string {
		return fmt.Sprint(column[string](t, db, "SELECT "+column_+" FROM youproxy_journal"))
	}
	assert.Equal(t, "[id 1]", one("id"))
	assert.Equal(t, "[main]", one("account"))
	assert.Equal(t, "[open]", one("state"))
	assert.Equal(t, "[IPv4]", one("proxy_type"))
	assert.Equal(t, "[0]", one("settled_us"))
	assert.Equal(t, fmt.Sprintf("[%d]", at.UnixMicro()), one("at_us"))
	byHand := map[sqljournal.Dialect]string{sqljournal.Postgres: "encode(sha256('Key'), 'hex')", sqljournal.MySQL: "SHA2('Key', 256)"}[s.dialect]
	assert.Equal(t, one(byHand), one("key_hash"))
	note := map[sqljournal.Dialect]string{sqljournal.Postgres: "entry::json->>'note'", sqljournal.MySQL: "JSON_VALUE(entry, '$.note')"}[s.dialect]
	assert.Equal(t, "["+e.Note+"]", one(note))
	assert.NotContains(t, one("entry"), "世", "the entry is ASCII")
}

// sqlDocumentedQueries executes the queries of the package documentation.
func sqlDocumentedQueries(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	e := openEntry("a")
	e.Attempt.Key = "invoice 17"
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), e))
	e.Attempt.ID, e.State, e.SettledAt = "b", youproxy.EntryExecuted, time.Now()
	require.NoError(t, j.Record(t.Context(), e))
	unlock()
	doc, err := os.ReadFile("../sqljournal/doc.go")
	require.NoError(t, err)
	_, text, _ := strings.Cut(string(doc), "in PostgreSQL:\n")
	postgres, mariadb, _ := strings.Cut(text, "in MariaDB:\n")
	if s.dialect == sqljournal.MySQL {
		postgres = mariadb
	}
	var found []int64
	for line := range strings.Lines(postgres) {
		query, is := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(line), ";"), "//\tSELECT ")
		if is {
			found = append(found, column[int64](t, s.open(t, database), "SELECT count(*) FROM (SELECT "+query+") AS q")...)
		}
	}
	assert.Equal(t, []int64{1, 1, 2}, found, "one is open, one was settled within a day, two have the key")
}

func sqlUnreadable(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	unlock := lock(t, j)
	require.NoError(t, j.Record(t.Context(), openEntry("a")))
	unlock()
	for _, text := range []string{`{"attempt": "words of an entry"`, `{"state": "open"}`, `{"attempt": {"id": "a", "version": "words of an entry"}}`} {
		_, err := s.open(t, database).ExecContext(t.Context(), "UPDATE youproxy_journal SET entry = '"+text+"'")
		require.NoError(t, err)
		var failed error
		for _, err := range j.Entries(t.Context(), youproxy.EntryQuery{}) {
			failed = err
		}
		require.ErrorContains(t, failed, `the entry with the id "a"`)
		assert.NotContains(t, failed.Error(), "words")
	}
}

// sqlObserver reads continually while this process and another lock and record.
func sqlObserver(t *testing.T, s *databaseServer) {
	database := s.database(t)
	j := s.journal(t, database)
	set := s.settings(database)
	set.Dir = t.TempDir()
	other := startChild(t, "journal", set)
	other.tell(t, "rounds 20 other")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for ctx.Err() == nil {
				for _, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: time.Unix(1, 0)}) {
					if !assert.NoError(t, err) {
						return
					}
				}
			}
		})
	}
	for i := range 20 {
		assert.NoError(t, aloneInside(t.Context(), j, set.Dir, fmt.Sprint(i)))
	}
	assert.Equal(t, "ok", other.answer(t, time.Minute))
	cancel()
	running.Wait()
}

func TestSQLJournalBehindPgBouncer(t *testing.T) {
	t.Parallel()
	s := startPostgres(t)
	database := s.database(t)
	for _, mode := range []string{"transaction", "statement", "session"} {
		port := startPgBouncer(t, s, mode)
		for i := range 10 {
			pool := openDSN(t, s.dialect, s.dsn(port, database, ""))
			j, err := sqljournal.New(pool, s.dialect, "main")
			require.NoError(t, err)
			for range 2 {
				unlock, err := j.Lock(t.Context())
				if mode != "session" {
					require.ErrorContains(t, err, "a PgBouncer in transaction or statement mode")
					continue
				}
				require.NoError(t, err)
				require.NoError(t, j.Record(t.Context(), openEntry(fmt.Sprint(i))))
				unlock()
			}
			require.NoError(t, pool.Close())
		}
	}
	lock(t, s.journal(t, database))()
}

// TestSQLJournalInAnOddMariaDB uses a server that accepts values that do not fit, stores
// Latin letters only, and may lose commits in a crash.
func TestSQLJournalInAnOddMariaDB(t *testing.T) {
	t.Parallel()
	s := startMariaDB(t, "--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES", "--character-set-server=latin1", "--innodb-flush-log-at-trx-commit=2", "--autocommit=0")
	database := s.database(t)
	for _, params := range []string{"", "charset=latin1", "interpolateParams=true", "interpolateParams=true&clientFoundRows=true&parseTime=true"} {
		journaltest.Run(t, func(t *testing.T) func() youproxy.Journal {
			return func() youproxy.Journal {
				j, err := sqljournal.New(openDSN(t, s.dialect, s.dsn(s.port, database, params)), s.dialect, "счёт "+params+t.Name())
				require.NoError(t, err)
				return j
			}
		})
	}
	j := s.journal(t, database)
	var log strings.Builder
	j.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 {
		lock(t, j)()
	}
	assert.Equal(t, 1, strings.Count(log.String(), "innodb_flush_log_at_trx_commit"))
}
