// Package sqljournal keeps the journal of an account's purchases in PostgreSQL or
// MariaDB, for processes on many machines: see [youproxy.Journal] and
// [youproxy.WithJournal].
//
//	db, err := sql.Open("pgx", dsn) // any driver of database/sql that honors contexts
//	...
//	journal, err := sqljournal.New(db, sqljournal.Postgres, "main")
//	...
//	err = journal.CreateTable(ctx)
//	...
//	client, err := youproxy.New(key, youproxy.WithJournal(journal))
//
// It is tested with pgx (github.com/jackc/pgx/v5/stdlib) and PostgreSQL 15, and with
// go-sql-driver/mysql and MariaDB 10.11. PostgreSQL 14 is the oldest supported
// version. MySQL 8 was not tried.
//
// # The database
//
// One node must do all writing, and all processes must use that node: each node grants
// locks independently. A standby is refused, since Lock writes; so is a
// node of a Galera cluster (wsrep_on). MySQL's group replication with several
// primaries is not noticed: do not use it.
//
// A pooler that shares sessions between connections makes the lock worthless. With
// PgBouncer use session mode. Transaction and statement mode are refused where they
// are noticed, which takes a second connection: with MaxOpenConns(1) they are not.
// ProxySQL and MaxScale must not share sessions of these users either.
//
// PostgreSQL commits with synchronous_commit on, whatever the server's setting. In
// MariaDB set innodb_flush_log_at_trx_commit to 1; other values are logged to
// [Journal.Logger].
//
// # The lock
//
// The lock is a named lock of the session ("advisory" in PostgreSQL, GET_LOCK in
// MariaDB) on a connection that Lock takes out of the pool and unlock closes. A
// process needs one connection for it, however many of its goroutines wait, and another
// one where it calls [Journal.Entries] while it waits for another process. Each Lock
// begins a new generation of the account, and Record writes only while that generation
// stands, in one transaction. A process that lost the lock, in whatever way, writes
// nothing.
//
//   - The holder's process ends: its connection closes, and the next one takes over
//     within milliseconds.
//   - The network goes silent, or the holder's machine freezes: the server ends the
//     session at the end of [Journal.Lease], PostgreSQL on Linux after about 25 seconds
//     of a silent network. A Record that gets no answer fails after 10 seconds.
//   - The process ends before Record: nothing was written, and nothing was sent. After
//     Record, before or after the order was sent or its reply came: the entry is open,
//     and stops similar purchases until [youproxy.Client.Recover], or the next purchase
//     with its key, has looked at the account.
//   - Record fails: the entry may have been written or not, and the lock is released.
//     Before the order was sent, nothing is sent. After that the client locks again and
//     records again; until that succeeds the entry is open.
//   - The session is ended, the database restarts, or the lock was lost in another
//     way: each Record fails until the next Lock. Another process may have taken over
//     meanwhile, and has found the open entry.
//   - The database fails over to another node: as a restart, if that node has all that
//     was committed. Entries that an asynchronous replica had not received are lost,
//     and a purchase may be repeated: let PostgreSQL replicate synchronously to the node
//     that may take over.
//
// One case remains: a machine stops after its client checked the lock, for longer than
// the lease, and then goes on and sends the order, although others may have looked for it
// already.
//
// # The tables
//
// Column settled_us is 0 while an entry is open; at_us and settled_us are microseconds
// since 1970, by the clocks of the processes. The order is that of gen, the generation
// under which an entry was recorded first, then seq. The whole entry is JSON in ASCII
// in the column entry; the others serve to find it. The key is only in the entry:
// key_hash is its SHA-256 in hexadecimal digits, empty where there is none.
//
// Open entries, the last day's, and those of a key, in PostgreSQL:
//
//	SELECT id, state, entry::json->>'note' FROM youproxy_journal WHERE account = 'main' AND settled_us = 0 ORDER BY gen, seq;
//	SELECT id, state, to_timestamp(at_us / 1e6) FROM youproxy_journal WHERE account = 'main' AND settled_us > 1e6 * extract(epoch FROM now() - interval '1 day');
//	SELECT entry FROM youproxy_journal WHERE account = 'main' AND key_hash = encode(sha256('invoice 17'), 'hex');
//
// and in MariaDB:
//
//	SELECT CAST(id AS CHAR), state, JSON_VALUE(entry, '$.note') FROM youproxy_journal WHERE account = 'main' AND settled_us = 0 ORDER BY gen, seq;
//	SELECT CAST(id AS CHAR), state, FROM_UNIXTIME(at_us / 1e6) FROM youproxy_journal WHERE account = 'main' AND settled_us > 1e6 * UNIX_TIMESTAMP(NOW() - INTERVAL 1 DAY);
//	SELECT entry FROM youproxy_journal WHERE account = 'main' AND key_hash = SHA2('invoice 17', 256);
//
// Do not write to the tables by hand: [youproxy.Client.Dismiss] settles an entry whose
// outcome cannot be determined. This package deletes nothing. You may delete entries that are settled, have no
// key, and are older than your longest budget, but never one whose key_hash is not
// empty: the purchase of that key could be made again. Keep youproxy_journal_head as it
// is.
//
// [Journal.CreateTable] executes this in PostgreSQL:
//
//	CREATE TABLE IF NOT EXISTS youproxy_journal_head (
//		account text COLLATE "C" PRIMARY KEY,
//		gen bigint NOT NULL
//	);
//	CREATE TABLE IF NOT EXISTS youproxy_journal (
//		account text COLLATE "C" NOT NULL,
//		id text COLLATE "C" NOT NULL,
//		gen bigint NOT NULL,
//		seq bigint NOT NULL,
//		state text NOT NULL,
//		proxy_type text NOT NULL,
//		key_hash text COLLATE "C" NOT NULL,
//		at_us bigint NOT NULL,
//		settled_us bigint NOT NULL,
//		entry text NOT NULL,
//		PRIMARY KEY (account, id)
//	);
//	CREATE INDEX IF NOT EXISTS youproxy_journal_settled ON youproxy_journal (account, settled_us);
//	CREATE INDEX IF NOT EXISTS youproxy_journal_key ON youproxy_journal (account, key_hash);
//
// and this in MariaDB:
//
//	CREATE TABLE IF NOT EXISTS youproxy_journal_head (
//		account VARBINARY(255) NOT NULL PRIMARY KEY,
//		gen BIGINT NOT NULL
//	) ENGINE=InnoDB;
//	CREATE TABLE IF NOT EXISTS youproxy_journal (
//		account VARBINARY(255) NOT NULL,
//		id VARBINARY(255) NOT NULL,
//		gen BIGINT NOT NULL,
//		seq BIGINT NOT NULL,
//		state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
//		proxy_type VARBINARY(255) NOT NULL,
//		key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
//		at_us BIGINT NOT NULL,
//		settled_us BIGINT NOT NULL,
//		entry LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
//		PRIMARY KEY (account, id),
//		KEY youproxy_journal_settled (account, settled_us),
//		KEY youproxy_journal_key (account, key_hash)
//	) ENGINE=InnoDB;
package sqljournal
