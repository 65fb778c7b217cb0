package sqljournal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/youproxy-go/youproxy"
)

const (
	defaultLease = 8 * time.Minute
	maxEntry     = 1 << 20         // bytes; MariaDB resets a connection over longer packets
	clocks       = 5 * time.Minute // by which the times of settling are asked wider
)

var errLost = errors.New("sqljournal: the lock was lost: nothing was written; lock again")

var _ youproxy.Journal = (*Journal)(nil)

// Journal is the journal of one account in a database: see [youproxy.Journal]. Its
// methods may be called from many goroutines. The fields may be set before the first
// call of a method, and not after that.
type Journal struct {
	// Lease is how long the session that holds the lock may be idle before the server
	// ends it, and another process may take the lock: 8 minutes if it is zero. It
	// must outlast the longest pause between two statements, which is
	// [youproxy.Timeouts].Spend, the patience of [youproxy.WithReconcilePatience], and
	// the reads between them. MariaDB takes it in whole seconds.
	Lease time.Duration

	// Logger gets one warning if the database is configured so that it may lose entries
	// in a crash. If it is nil, nothing is logged.
	Logger *slog.Logger

	db      *sql.DB
	dialect Dialect
	account string
	turn    chan struct{} // full while a call of this process has the lock, or waits for it
	warned  sync.Once

	mu   sync.Mutex
	held *session // nil while this process does not hold the lock
}

// New returns the journal of one account in db. The account is a name of the
// application's own, such as "main", of 1 to 255 bytes. It must not be the API key: it is
// stored as it is. All processes that spend from the account use the same name, the
// same database, and the same tables: see [Journal.CreateTable]. New does not use
// db yet.
func New(db *sql.DB, d Dialect, account string) (*Journal, error) {
	switch {
	case db == nil:
		return nil, setupError{errors.New("sqljournal: the database is nil")}
	case d.DDL() == "":
		return nil, setupError{errors.New("sqljournal: the dialect is neither Postgres nor MySQL")}
	case account == "":
		return nil, setupError{errors.New("sqljournal: the account has no name: choose one, such as main")}
	}
	if err := checkName("account", account); err != nil {
		return nil, setupError{err}
	}
	return &Journal{db: db, dialect: d, account: account, turn: make(chan struct{}, 1)}, nil
}

// setupError is the error of a journal that was not set up, before anything was sent.
type setupError struct{ error }

func (e setupError) Unwrap() []error { return []error{e.error, youproxy.ErrNotSent} }

// checkName refuses strings that the databases store in different ways.
func checkName(what, s string) error {
	if len(s) > 255 || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return fmt.Errorf("sqljournal: the %s is not at most 255 bytes of valid UTF-8 without NUL", what)
	}
	return nil
}

// CreateTable creates the tables and indexes that are not there yet. It may be called
// by many processes at once. Where the application may not create tables, execute
// [Dialect.DDL] by hand instead.
func (j *Journal) CreateTable(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = setupError{fmt.Errorf("sqljournal: creating the tables: %w", err)}
		}
	}()
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	text := strings.TrimSuffix(j.dialect.DDL(), ";\n")
	if j.dialect == Postgres { // where two that create the same table at once fail
		text = "SELECT pg_advisory_xact_lock(hashtext('youproxy_journal'));\n" + text
	}
	for statement := range strings.SplitSeq(text, ";\n") {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Lock waits for the lock of the account: first for its turn in this process, then
// on a connection of its own, which it keeps until unlock is called.
func (j *Journal) Lock(ctx context.Context) (unlock func(), err error) {
	var s *session
	select {
	case j.turn <- struct{}{}:
		if err = ctx.Err(); err == nil {
			s, err = j.open(ctx)
		}
		if err != nil {
			<-j.turn
		}
	case <-ctx.Done():
	}
	if ctxErr := ctx.Err(); ctxErr != nil && s == nil {
		return nil, fmt.Errorf("sqljournal: waiting for the lock: %w", ctxErr)
	}
	if err != nil {
		return nil, err
	}
	j.hold(s)
	return sync.OnceFunc(func() {
		j.hold(nil)
		s.throwAway()
		<-j.turn
	}), nil
}

func (j *Journal) hold(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = s
}

// holder returns the session that holds the lock for this process, nil if none does.
func (j *Journal) holder() *session {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held
}

// Record writes an entry on the connection of the lock, within 10 seconds, even
// if ctx is done. If the database fails, Record releases the lock, and every further
// Record fails until the next Lock.
func (j *Journal) Record(ctx context.Context, e youproxy.Entry) error {
	args, err := j.row(e)
	if err != nil {
		return err
	}
	s := j.holder()
	if s == nil {
		return errors.New("sqljournal: Record was called without the lock: nothing was written")
	}
	return s.do(ctx, statementTime, func(ctx context.Context) error {
		s.seq++
		args[2], args[3] = s.gen, s.seq
		err := transact(ctx, s.conn, func() error {
			var gen int64
			if err := s.conn.QueryRowContext(ctx, j.dialect.sql(readHead), args[0]).Scan(&gen); err != nil {
				return err
			}
			if gen != s.gen {
				return errLost
			}
			_, err := s.conn.ExecContext(ctx, j.dialect.upsert(), args...)
			return err
		})
		if err == nil || errors.Is(err, errLost) {
			return err
		}
		return fmt.Errorf("sqljournal: the entry may or may not have been written, and this process gave up the lock: %w", err)
	})
}

// row returns the columns of an entry, without its place in the order.
func (j *Journal) row(e youproxy.Entry) ([]any, error) {
	a := &e.Attempt
	settled := max(e.SettledAt.UnixMicro(), 1)
	switch e.State {
	case youproxy.EntryOpen:
		settled = 0
	case youproxy.EntryExecuted, youproxy.EntryNotExecuted, youproxy.EntryDismissed:
	default:
		return nil, errors.New("sqljournal: this version does not know the state of the entry: nothing was written")
	}
	if a.ID == "" {
		return nil, errors.New("sqljournal: the entry has no attempt id: nothing was written")
	}
	for what, s := range map[string]string{"attempt id": a.ID, "idempotency key": a.Key, "proxy type": string(a.ProxyType)} {
		if err := checkName(what, s); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil, errors.New("sqljournal: the entry cannot be written as JSON: nothing was written")
	}
	plain := ascii(text)
	if len(plain) > maxEntry {
		return nil, fmt.Errorf("sqljournal: the entry has %d bytes, and at most %d are stored: nothing was written", len(plain), maxEntry)
	}
	d := j.dialect
	return []any{
		d.identifier(j.account), d.identifier(a.ID), nil, nil,
		string(e.State), d.identifier(string(a.ProxyType)), hashOf(a.Key), a.At.UnixMicro(), settled, plain,
	}, nil
}

func hashOf(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// ascii escapes what is not ASCII in JSON, so that no character set of a connection
// or a table can change it.
func ascii(text []byte) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(string(text))) {
		if unit < utf8.RuneSelf {
			b.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// Entries reads all entries that q selects before it yields the first. While this process
// holds the lock, it reads on the connection of the lock, otherwise on one of the pool.
func (j *Journal) Entries(ctx context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		rows, err := j.read(ctx, q)
		if err != nil {
			yield(youproxy.Entry{}, err)
			return
		}
		for _, row := range rows {
			var e youproxy.Entry
			if json.Unmarshal([]byte(row.entry), &e) != nil || e.Attempt.ID != row.id {
				yield(youproxy.Entry{}, fmt.Errorf("sqljournal: the entry with the id %q in youproxy_journal is not one that this version can read", row.id))
				return
			}
			selected := e.State == youproxy.EntryOpen ||
				!q.Since.IsZero() && !e.SettledAt.Before(q.Since) ||
				q.Key != "" && e.Attempt.Key == q.Key
			if selected && !yield(e, nil) {
				return
			}
		}
	}
}

type stored struct{ id, entry string }

// read reads the rows that q selects, and perhaps some more.
func (j *Journal) read(ctx context.Context, q youproxy.EntryQuery) ([]stored, error) {
	if err := checkName("idempotency key", q.Key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sqljournal: reading entries: %w", err)
	}
	text, args := j.query(q)
	if s := j.holder(); s != nil {
		var rows []stored
		err := s.do(ctx, readTime, func(ctx context.Context) (err error) {
			rows, err = collect(ctx, s.conn, text, args)
			return err
		})
		if err == nil || j.holder() == s {
			return rows, err
		}
		// It was unlocked meanwhile, so this is not the holder's call.
	}
	return collect(ctx, j.db, text, args)
}

// query returns a statement with a part for each index, because MariaDB uses no index if
// the parts are joined by OR. No row is in two parts.
func (j *Journal) query(q youproxy.EntryQuery) (text string, args []any) {
	account := j.dialect.identifier(j.account)
	parts, args := []string{readEntries + "settled_us = 0"}, []any{account}
	since := int64(1<<63 - 1)
	if !q.Since.IsZero() {
		since = max(q.Since.Add(-clocks).UnixMicro(), 1)
		parts, args = append(parts, readEntries+"settled_us >= ?"), append(args, account, since)
	}
	if q.Key != "" {
		parts = append(parts, readEntries+"key_hash = ? AND settled_us > 0 AND settled_us < ?")
		args = append(args, account, hashOf(q.Key), since)
	}
	return j.dialect.sql(strings.Join(parts, " UNION ALL ") + " ORDER BY gen, seq"), args
}

func collect(ctx context.Context, from interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, text string, args []any) (list []stored, err error) {
	rows, err := from.QueryContext(ctx, text, args...)
	if err == nil {
		defer func() { _ = rows.Close() }()
		var row stored
		var gen, seq int64
		for err == nil && rows.Next() {
			err = rows.Scan(&row.id, &row.entry, &gen, &seq)
			list = append(list, row)
		}
		err = errors.Join(err, rows.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("sqljournal: reading entries: %w", err)
	}
	return list, nil
}
