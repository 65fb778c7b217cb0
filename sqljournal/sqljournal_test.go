package sqljournal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocumentedDDL(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, d := range []Dialect{Postgres, MySQL} {
		want := "//\n//\t" + strings.ReplaceAll(strings.TrimSpace(d.DDL()), "\n", "\n//\t") + "\n"
		assert.Contains(t, string(text), want, "the package documentation shows another DDL than %s executes", d)
	}
	assert.Empty(t, Dialect(9).DDL())
	assert.Equal(t, "Dialect(9)", Dialect(9).String())
}

func TestStatements(t *testing.T) {
	assert.Equal(t, "a = $1 AND b = $2", Postgres.sql("a = ? AND b = ?"))
	assert.Equal(t, "a = ? AND b = ?", MySQL.sql("a = ? AND b = ?"))
	assert.NotContains(t, Postgres.upsert(), "?")
	for _, d := range []Dialect{Postgres, MySQL} {
		_, set, _ := strings.Cut(d.upsert(), " ON ")
		assert.NotContains(t, set, "gen =", "an entry must keep its place")
		assert.NotContains(t, set, "seq =", "an entry must keep its place")
	}
}

// TestLockNames states the names: another version with other ones would not keep
// out this one.
func TestLockNames(t *testing.T) {
	assert.Equal(t, "SELECT pg_advisory_lock(-5972618068929159620)", Postgres.take("shop", "main"))
	assert.Equal(t, "SELECT GET_LOCK('youproxy-ad1cff82b665de3cfb055caad10f5e36a3240303', 1)", MySQL.take("shop", "main"))
	assert.Equal(t, MySQL.take("shop", "main"), MySQL.take("Shop", "main"))
	seen := make(map[string]bool)
	for _, d := range []Dialect{Postgres, MySQL} {
		for _, names := range [][2]string{{"shop", "main"}, {"shop", "Main"}, {"shop", "main "}, {"other", "main"}, {"sho", "pmain"}, {"shopm", "ain"}} {
			seen[d.take(names[0], names[1])] = true
		}
	}
	assert.Len(t, seen, 12)
}

func TestNew(t *testing.T) {
	db := (&server{}).open(t)
	for _, account := range []string{"m", strings.Repeat("é", 127), "two words"} {
		j, err := New(db, Postgres, account)
		require.NoError(t, err)
		assert.NotNil(t, j)
	}
	for _, account := range []string{"", strings.Repeat("a", 256), "a\x00b", "a\xffb"} {
		_, err := New(db, MySQL, account)
		require.ErrorContains(t, err, "sqljournal: the account ")
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
		if len(account) > 0 {
			assert.NotContains(t, err.Error(), account, "somebody might use the API key")
		}
	}
	_, err := New(nil, Postgres, "main")
	assert.ErrorContains(t, err, "nil")
	_, err = New(db, 0, "main")
	assert.ErrorContains(t, err, "dialect")
}

func TestRecordRefuses(t *testing.T) {
	s := &server{}
	j, err := New(s.open(t), MySQL, "main")
	require.NoError(t, err)
	const words = "words of the entry"
	good := youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{ID: "1", Key: words}, Note: words}
	for want, change := range map[string]func(*youproxy.Entry){
		"without the lock":    func(*youproxy.Entry) {},
		"know the state":      func(e *youproxy.Entry) { e.State = words },
		"no attempt id":       func(e *youproxy.Entry) { e.Attempt.ID = "" },
		"the attempt id is":   func(e *youproxy.Entry) { e.Attempt.ID = words + "\x00" },
		"the idempotency key": func(e *youproxy.Entry) { e.Attempt.Key = words + "\xff" },
		"the proxy type":      func(e *youproxy.Entry) { e.Attempt.ProxyType = youproxy.ProxyType(strings.Repeat(words, 20)) },
		"as JSON":             func(e *youproxy.Entry) { e.SettledAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"and at most 1048576": func(e *youproxy.Entry) { e.Note = strings.Repeat(words, 100_000) },
	} {
		e := good
		change(&e)
		err := j.Record(t.Context(), e)
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "sqljournal: ")
		assert.NotContains(t, err.Error(), words)
	}
	assert.Empty(t, s.said())
}

func TestEntriesRefuses(t *testing.T) {
	s := &server{}
	j, err := New(s.open(t), Postgres, "main")
	require.NoError(t, err)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range j.Entries(over, youproxy.EntryQuery{}) {
		assert.ErrorIs(t, err, context.Canceled)
	}
	for _, err := range j.Entries(t.Context(), youproxy.EntryQuery{Key: "a\xff"}) {
		assert.ErrorContains(t, err, "the idempotency key is not")
	}
	assert.Empty(t, s.said())
}

func TestASCII(t *testing.T) {
	for _, text := range []string{"plain", "Grüße, 世界 \U0001F680\U0010FFFF \u2028 \ufffd \x7f", `\u00e9 "quoted" \`} {
		written, err := json.Marshal(text)
		require.NoError(t, err)
		plain := ascii(written)
		for _, b := range []byte(plain) {
			require.Less(t, b, byte(0x80))
		}
		var back string
		require.NoError(t, json.Unmarshal([]byte(plain), &back))
		assert.Equal(t, text, back)
	}
}

// TestLockGivesUp has the database answer badly at each step: no connection may go
// back to the pool, where its lock would stay.
func TestLockGivesUp(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		dialect Dialect
		answers map[string]any // by the beginning of a statement: a row, or an error
		want    string
	}{
		"Postgres, too old":         {Postgres, map[string]any{"SELECT set_config": refused}, "must be 14 or newer"},
		"Postgres, lock":            {Postgres, map[string]any{"SELECT pg_advisory_lock": refused}, "did not grant the lock: refused"},
		"Postgres, another state":   {Postgres, map[string]any{"SELECT pg_advisory_lock": stateError("40P01")}, "did not grant the lock: 40P01"},
		"Postgres, second":          {Postgres, map[string]any{"SELECT 1 WHERE": refused}, "looking for a pooler"},
		"Postgres, head":            {Postgres, map[string]any{"INSERT INTO youproxy_journal_head": refused}, "are the tables there"},
		"Postgres, commit":          {Postgres, map[string]any{"COMMIT": refused}, "are the tables there"},
		"Postgres, lock_timeout":    {Postgres, map[string]any{"SET lock_timeout": refused}, "refused"},
		"no answer":                 {Postgres, map[string]any{"SELECT current_database": refused}, "does not answer"},
		"MariaDB, no database":      {MySQL, map[string]any{"SELECT DATABASE": []driver.Value{nil, int64(1)}}, "has no database"},
		"MariaDB, session":          {MySQL, map[string]any{"SET SESSION": refused}, "cannot be set up"},
		"MariaDB, Galera":           {MySQL, map[string]any{"SHOW VARIABLES": []driver.Value{"wsrep_on", "ON"}}, "a node of a Galera cluster"},
		"MariaDB, variables":        {MySQL, map[string]any{"SHOW VARIABLES": refused}, "looking at wsrep_on"},
		"MariaDB, flush":            {MySQL, map[string]any{"SELECT @@GLOBAL": refused}, "innodb_flush_log_at_trx_commit"},
		"MariaDB, GET_LOCK is NULL": {MySQL, map[string]any{"SELECT GET_LOCK": []driver.Value{nil}}, "GET_LOCK returned NULL"},
		"MariaDB, GET_LOCK":         {MySQL, map[string]any{"SELECT GET_LOCK": refused}, "did not grant the lock: refused"},
		"MariaDB, head":             {MySQL, map[string]any{"SELECT gen": refused}, "are the tables there"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answers: c.answers}
			db := s.open(t)
			j, err := New(db, c.dialect, "main")
			require.NoError(t, err)
			for range 2 { // the turn in the process is given back, too
				_, err = j.Lock(t.Context())
				require.ErrorContains(t, err, c.want)
				assert.ErrorContains(t, err, "sqljournal: ")
			}
			// The second connection, which looked for a pooler, is an ordinary one.
			assert.LessOrEqual(t, db.Stats().OpenConnections, 1)
			s.answers = nil
			unlock, err := j.Lock(t.Context())
			require.NoError(t, err)
			unlock()
		})
	}
}

func TestLockWaitsInSlices(t *testing.T) {
	for d, again := range map[Dialect]any{Postgres: stateError("55P03"), MySQL: []driver.Value{int64(0)}} {
		s := &server{}
		statement := strings.SplitAfter(d.take("shop", "main"), "(")[0]
		var n int
		s.answers = map[string]any{statement: func() any {
			if n++; n < 4 {
				return again
			}
			return nil
		}}
		j, err := New(s.open(t), d, "main")
		require.NoError(t, err)
		unlock, err := j.Lock(t.Context())
		require.NoError(t, err)
		unlock()
		assert.Equal(t, 4, n)

		ctx, cancel := context.WithCancel(t.Context())
		s.answers = map[string]any{statement: func() any {
			cancel()
			return again
		}}
		_, err = j.Lock(ctx)
		assert.ErrorIs(t, err, context.Canceled)
	}
}

func TestLease(t *testing.T) {
	for lease, want := range map[time.Duration][2]string{
		0:                       {"'idle_session_timeout', '480000'", "wait_timeout = 480,"},
		time.Millisecond:        {"'idle_session_timeout', '1000'", "wait_timeout = 1,"},
		2500 * time.Millisecond: {"'idle_session_timeout', '2500'", "wait_timeout = 3,"},
	} {
		for i, d := range []Dialect{Postgres, MySQL} {
			s := &server{}
			j, err := New(s.open(t), d, "main")
			require.NoError(t, err)
			j.Lease = lease
			unlock, err := j.Lock(t.Context())
			require.NoError(t, err)
			unlock()
			said := strings.Join(s.said(), "\n")
			before, _, found := strings.Cut(said, d.take("shop", "main"))
			require.True(t, found)
			assert.Contains(t, before, want[i], "the lease must be there before the lock is")
		}
	}
}

// stateError is an error with a code, as those of PostgreSQL's drivers.
type stateError string

func (e stateError) Error() string    { return string(e) }
func (e stateError) SQLState() string { return string(e) }

// server is a database that says what it is told to, by the beginning of statements.
type server struct {
	answers map[string]any // a row, an error, nil, or a function that returns one of them

	mu         sync.Mutex
	statements []string
	conns      int64
}

func (s *server) open(t *testing.T) *sql.DB {
	db := sql.OpenDB(s)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *server) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statements
}

func (s *server) Driver() driver.Driver { return nil }

func (s *server) Connect(context.Context) (driver.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	return &conn{s, s.conns}, nil
}

type conn struct {
	s  *server
	id int64
}

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c *conn) Close() error                        { return nil }
func (c *conn) Begin() (driver.Tx, error)           { return nil, errors.New("no transaction") }

// answer is what a statement comes to: by default, that all is well.
func (c *conn) answer(text string) any {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.statements = append(c.s.statements, text)
	answers := map[string]any{
		"SELECT current_database": []driver.Value{"shop", c.id},
		"SELECT DATABASE":         []driver.Value{"shop", c.id},
		"SHOW VARIABLES":          []driver.Value{"wsrep_on", "OFF"},
		"SELECT @@GLOBAL":         []driver.Value{int64(1)},
		"SELECT GET_LOCK":         []driver.Value{int64(1)},
		"SELECT gen":              []driver.Value{int64(1)},
	}
	for _, answers := range []map[string]any{c.s.answers, answers} {
		for beginning, answer := range answers {
			if !strings.HasPrefix(text, beginning) {
				continue
			}
			if f, ok := answer.(func() any); ok {
				answer = f()
			}
			if answer != nil {
				return answer
			}
		}
	}
	return nil
}

func (c *conn) ExecContext(_ context.Context, text string, _ []driver.NamedValue) (driver.Result, error) {
	if err, failed := c.answer(text).(error); failed {
		return nil, err
	}
	return driver.RowsAffected(0), nil
}

func (c *conn) QueryContext(_ context.Context, text string, _ []driver.NamedValue) (driver.Rows, error) {
	switch answer := c.answer(text).(type) {
	case error:
		return nil, answer
	case []driver.Value:
		return &rows{answer}, nil
	}
	return &rows{}, nil
}

// rows is one row, or none.
type rows struct{ row []driver.Value }

func (r *rows) Columns() []string { return make([]string, len(r.row)) }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(into []driver.Value) error {
	if r.row == nil {
		return io.EOF
	}
	copy(into, r.row)
	r.row = nil
	return nil
}
