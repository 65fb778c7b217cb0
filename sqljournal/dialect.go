package sqljournal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Dialect is the database that a [Journal] uses.
type Dialect uint8

// The dialects.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 14 or newer
	MySQL                       // MariaDB; MySQL 8 was not tried
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case MySQL:
		return "MariaDB or MySQL"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// DDL returns the statements that [Journal.CreateTable] executes, each ended by a
// semicolon. It is empty for a dialect that this package does not know.
func (d Dialect) DDL() string {
	switch d {
	case Postgres:
		return ddlPostgres
	case MySQL:
		return ddlMySQL
	}
	return ""
}

const ddlPostgres = `CREATE TABLE IF NOT EXISTS youproxy_journal_head (
	account text COLLATE "C" PRIMARY KEY,
	gen bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS youproxy_journal (
	account text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	gen bigint NOT NULL,
	seq bigint NOT NULL,
	state text NOT NULL,
	proxy_type text NOT NULL,
	key_hash text COLLATE "C" NOT NULL,
	at_us bigint NOT NULL,
	settled_us bigint NOT NULL,
	entry text NOT NULL,
	PRIMARY KEY (account, id)
);
CREATE INDEX IF NOT EXISTS youproxy_journal_settled ON youproxy_journal (account, settled_us);
CREATE INDEX IF NOT EXISTS youproxy_journal_key ON youproxy_journal (account, key_hash);
`

const ddlMySQL = `CREATE TABLE IF NOT EXISTS youproxy_journal_head (
	account VARBINARY(255) NOT NULL PRIMARY KEY,
	gen BIGINT NOT NULL
) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS youproxy_journal (
	account VARBINARY(255) NOT NULL,
	id VARBINARY(255) NOT NULL,
	gen BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	proxy_type VARBINARY(255) NOT NULL,
	key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	at_us BIGINT NOT NULL,
	settled_us BIGINT NOT NULL,
	entry LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	PRIMARY KEY (account, id),
	KEY youproxy_journal_settled (account, settled_us),
	KEY youproxy_journal_key (account, key_hash)
) ENGINE=InnoDB;
`

// The statements are written with a question mark for each argument.
const (
	readHead    = `SELECT gen FROM youproxy_journal_head WHERE account = ? FOR UPDATE`
	raiseHead   = `INSERT INTO youproxy_journal_head (account, gen) VALUES (?, 1)`
	insertEntry = `INSERT INTO youproxy_journal (account, id, gen, seq, state, proxy_type, key_hash, at_us, settled_us, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	readEntries = `SELECT id, entry, gen, seq FROM youproxy_journal WHERE account = ? AND `
)

// sql returns a statement with the placeholders of the dialect.
func (d Dialect) sql(text string) string {
	if d == MySQL {
		return text
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// raise returns the statement that raises the generation of an account.
func (d Dialect) raise() string {
	if d == MySQL {
		return raiseHead + ` ON DUPLICATE KEY UPDATE gen = gen + 1`
	}
	return d.sql(raiseHead + ` ON CONFLICT (account) DO UPDATE SET gen = youproxy_journal_head.gen + 1`)
}

// upsert returns the statement that writes an entry. An existing one keeps its place in
// the order.
func (d Dialect) upsert() string {
	text, form := insertEntry+` ON CONFLICT (account, id) DO UPDATE SET `, "%[1]s = excluded.%[1]s"
	if d == MySQL {
		text, form = insertEntry+` ON DUPLICATE KEY UPDATE `, "%[1]s = VALUES(%[1]s)"
	}
	var set []string
	for _, column := range []string{"state", "proxy_type", "key_hash", "at_us", "settled_us", "entry"} {
		set = append(set, fmt.Sprintf(form, column))
	}
	return d.sql(text + strings.Join(set, ", "))
}

// identifier returns an argument for a column that identifies something. MariaDB
// compares these byte by byte.
func (d Dialect) identifier(s string) any {
	if d == MySQL {
		return []byte(s)
	}
	return s
}

// take returns the statement that waits a second for the lock of an account. Names
// of locks are one namespace for all databases of a MariaDB, at most 64 characters,
// in any letter case; in PostgreSQL they are 64 bits.
func (d Dialect) take(database, account string) string {
	if d == MySQL {
		database = strings.ToLower(database) // some systems take it in any letter case
	}
	sum := sha256.Sum256([]byte("youproxy-journal\x00" + database + "\x00" + account))
	if d == MySQL {
		return fmt.Sprintf("SELECT GET_LOCK('youproxy-%s', 1)", hex.EncodeToString(sum[:20]))
	}
	return fmt.Sprintf("SELECT pg_advisory_lock(%d)", int64(binary.BigEndian.Uint64(sum[:8])))
}
