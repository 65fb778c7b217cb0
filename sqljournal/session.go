package sqljournal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	statementTime = 10 * time.Second // for what is short
	readTime      = 30 * time.Second // for entries, over the connection of the lock
)

// session is the connection that holds the lock. It is used once: Conn.Close would return
// it to the pool with the lock held.
type session struct {
	conn *sql.Conn
	gen  int64 // of the account, while this session holds the lock
	seq  int64 // entries recorded under it
	busy chan struct{}
	over context.Context // done once the connection was thrown away
	end  context.CancelFunc
}

// throwAway closes the connection, and with it what runs on it and the lock.
func (s *session) throwAway() {
	s.end()
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// do runs f alone on the connection, for a bounded time and without regard to ctx: a
// context that ends while a statement runs closes the connection. If f fails, the lock is
// released.
func (s *session) do(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	defer context.AfterFunc(s.over, cancel)()
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		if s.over.Err() == nil {
			return errors.New("sqljournal: the connection of the lock is busy with reading entries: nothing was written")
		}
	}
	if s.over.Err() != nil {
		return errLost
	}
	err := f(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("sqljournal: the database did not answer within %v: this process gave up the lock", limit)
		}
		s.throwAway()
	}
	return err
}

// open takes a connection out of the pool, and the lock on it.
func (j *Journal) open(ctx context.Context) (*session, error) {
	s, database, pid, err := j.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = j.prepare(ctx, s); err == nil {
		err = j.refusePooler(ctx, pid)
	}
	if err == nil {
		err = j.wait(ctx, s, j.dialect.take(database, j.account))
	}
	if err == nil {
		err = j.raise(ctx, s)
	}
	if err != nil {
		s.throwAway()
		return nil, err
	}
	return s, nil
}

// connect returns a connection that answers. The pool may have some that the server
// closed meanwhile, which not every driver notices before they are used.
func (j *Journal) connect(ctx context.Context) (s *session, database string, pid int64, err error) {
	// The comment keeps drivers and poolers from using a statement prepared elsewhere.
	text := fmt.Sprintf("SELECT current_database(), pg_backend_pid() /* %d */", time.Now().UnixNano())
	if j.dialect == MySQL {
		text = "SELECT DATABASE(), CONNECTION_ID()"
	}
	for range 5 {
		s = &session{busy: make(chan struct{}, 1)}
		if s.conn, err = j.db.Conn(ctx); err != nil {
			return nil, "", 0, fmt.Errorf("sqljournal: no connection for the lock: %w", err)
		}
		s.over, s.end = context.WithCancel(context.Background())
		var name sql.NullString
		bounded, cancel := context.WithTimeout(ctx, statementTime)
		err = s.conn.QueryRowContext(bounded, text).Scan(&name, &pid)
		late := bounded.Err() != nil
		cancel()
		if err == nil && name.Valid {
			return s, name.String, pid, nil
		}
		s.throwAway()
		if err == nil {
			return nil, "", 0, errors.New("sqljournal: the connection has no database: put one into the data source name")
		}
		if late {
			break
		}
	}
	return nil, "", 0, fmt.Errorf("sqljournal: the database does not answer on the connection for the lock: %w", err)
}

// prepare sets up the session before it can hold the lock: above all the lease, at
// whose end the server closes a session that is idle.
func (j *Journal) prepare(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	lease := j.Lease
	if lease <= 0 {
		lease = defaultLease
	}
	lease = max(lease, time.Second)
	text := fmt.Sprintf("SET SESSION wait_timeout = %d, innodb_lock_wait_timeout = 8, sql_mode = 'STRICT_ALL_TABLES', autocommit = 1", (lease+time.Second-1)/time.Second)
	if j.dialect == Postgres {
		text = fmt.Sprintf("SELECT set_config('idle_session_timeout', '%[1]d', false), set_config('idle_in_transaction_session_timeout', '%[1]d', false)", lease.Milliseconds())
		for _, p := range [][2]string{
			{"tcp_keepalives_idle", "10"}, {"tcp_keepalives_interval", "5"}, {"tcp_keepalives_count", "3"},
			{"synchronous_commit", "on"}, {"default_transaction_isolation", "read committed"},
			{"lock_timeout", "1s"}, {"statement_timeout", "0"},
		} {
			text += fmt.Sprintf(", set_config('%s', '%s', false)", p[0], p[1])
		}
	}
	if _, err := s.conn.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("sqljournal: the session of the lock cannot be set up (PostgreSQL must be 14 or newer): %w", err)
	}
	if j.dialect == MySQL {
		return j.inspectMySQL(ctx, s)
	}
	return nil
}

// inspectMySQL refuses a node of a cluster, and warns of a server that may lose entries.
func (j *Journal) inspectMySQL(ctx context.Context, s *session) error {
	var name, value string
	err := s.conn.QueryRowContext(ctx, "SHOW VARIABLES LIKE 'wsrep_on'").Scan(&name, &value)
	if err == nil && strings.EqualFold(value, "ON") {
		return errors.New("sqljournal: this is a node of a Galera cluster (wsrep_on), where each node grants locks independently: use a database with one node that writes")
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("sqljournal: looking at wsrep_on: %w", err)
	}
	err = s.conn.QueryRowContext(ctx, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").Scan(&value)
	if err != nil {
		return fmt.Errorf("sqljournal: looking at innodb_flush_log_at_trx_commit: %w", err)
	}
	if value != "1" && j.Logger != nil {
		j.warned.Do(func() {
			j.Logger.WarnContext(ctx, "sqljournal: the database may lose entries in a crash: set innodb_flush_log_at_trx_commit to 1", "value", value)
		})
	}
	return nil
}

// refusePooler looks for a PgBouncer in transaction mode, which shares one session
// between connections: another connection has the same backend then, while the first
// is open. Where the pool has none to spare, the generation alone protects.
func (j *Journal) refusePooler(ctx context.Context, pid int64) error {
	if j.dialect != Postgres || j.db.Stats().MaxOpenConnections == 1 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// Without arguments, and executed: so no driver prepares it.
	result, err := j.db.ExecContext(bounded, fmt.Sprintf("SELECT 1 WHERE pg_backend_pid() = %d", pid))
	if err != nil && bounded.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("sqljournal: looking for a pooler over a second connection: %w", err)
	}
	if same, err := result.RowsAffected(); err == nil && same > 0 {
		return errors.New("sqljournal: two connections share one session of the server: a PgBouncer in transaction or statement mode is between, where locks do not work; connect to the server itself, or use session mode")
	}
	return nil
}

// wait waits for the lock in slices of a second on the server: a statement that waits may
// be granted the lock after its process has ended.
func (j *Journal) wait(ctx context.Context, s *session, take string) error {
	for ctx.Err() == nil {
		got, err := j.slice(ctx, s, take)
		if err != nil {
			return fmt.Errorf("sqljournal: the database did not grant the lock: %w", err)
		}
		if got {
			return nil
		}
	}
	return ctx.Err()
}

func (j *Journal) slice(ctx context.Context, s *session, take string) (got bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second+statementTime)
	defer cancel()
	if j.dialect == Postgres {
		_, err := s.conn.ExecContext(ctx, take)
		var coded interface{ SQLState() string } // as the errors of pgx and lib/pq
		if errors.As(err, &coded) && coded.SQLState() == "55P03" {
			return false, nil // lock_timeout
		}
		return err == nil, err
	}
	var granted sql.NullInt64
	if err := s.conn.QueryRowContext(ctx, take).Scan(&granted); err != nil {
		return false, err
	}
	if !granted.Valid {
		return false, errors.New("GET_LOCK returned NULL")
	}
	return granted.Int64 == 1, nil
}

// raise begins a generation of the account. From then on no earlier holder of the lock
// can write.
func (j *Journal) raise(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	err := transact(ctx, s.conn, func() error {
		if _, err := s.conn.ExecContext(ctx, j.dialect.raise(), j.dialect.identifier(j.account)); err != nil {
			return err
		}
		return s.conn.QueryRowContext(ctx, j.dialect.sql(readHead), j.dialect.identifier(j.account)).Scan(&s.gen)
	})
	if err == nil && j.dialect == Postgres {
		_, err = s.conn.ExecContext(ctx, "SET lock_timeout = '8s'") // for rows that somebody else has locked
	}
	if err != nil {
		return fmt.Errorf("sqljournal: youproxy_journal_head cannot be written (are the tables there, and is this the node that writes?): %w", err)
	}
	return nil
}

// transact runs f in a transaction. It ends none that failed: the connection is
// thrown away then. Some drivers commit without regard to a context, so this is a
// statement like others.
func transact(ctx context.Context, conn *sql.Conn, f func() error) error {
	if _, err := conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}
