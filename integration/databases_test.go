package integration

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/sqljournal"
)

// databaseServer is a PostgreSQL or MariaDB process on loopback.
type databaseServer struct {
	name    string
	dialect sqljournal.Dialect
	dir     string
	port    int
	command func() *exec.Cmd
	process *exec.Cmd
	log     *os.File
	admin   *sql.DB
}

// databaseServers has a function to start each kind of server.
var databaseServers = map[string]func(t *testing.T) *databaseServer{
	"PostgreSQL": func(t *testing.T) *databaseServer { return startPostgres(t) },
	"MariaDB":    func(t *testing.T) *databaseServer { return startMariaDB(t) },
}

// startPostgres starts a PostgreSQL server with additional arguments.
func startPostgres(t *testing.T, args ...string) *databaseServer {
	t.Helper()
	bin := postgresBin(t)
	s := newDatabaseServer(t, "PostgreSQL", sqljournal.Postgres)
	data := filepath.Join(s.dir, "data")
	s.run(t, exec.CommandContext(t.Context(), filepath.Join(bin, "initdb"), "-D", data, "-U", "youproxy", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"))
	args = append([]string{
		"-D", data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "autovacuum=off",
	}, args...)
	s.command = func() *exec.Cmd { return exec.Command(filepath.Join(bin, "postgres"), args...) }
	s.start(t)
	return s
}

// postgresBin is the folder of PostgreSQL's programs, which Debian keeps out of the
// path.
func postgresBin(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.Reverse(found)
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append([]string{path}, found...)
	}
	for _, path := range found {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "initdb")); err == nil {
				return filepath.Dir(path)
			}
		}
	}
	require.Fail(t, "postgres is not here", "install Debian's postgresql: .ci/install-databases does")
	return ""
}

// startMariaDB starts a MariaDB server with additional arguments.
func startMariaDB(t *testing.T, args ...string) *databaseServer {
	t.Helper()
	mariadbd, install := program(t, "mariadbd", "mariadb-server"), program(t, "mariadb-install-db", "mariadb-server")
	s := newDatabaseServer(t, "MariaDB", sqljournal.MySQL)
	data := filepath.Join(s.dir, "data")
	s.run(t, exec.CommandContext(t.Context(), install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"))
	users := write(t, s.dir, "users.sql", "CREATE USER IF NOT EXISTS 'youproxy'@'%';\nGRANT ALL PRIVILEGES ON *.* TO 'youproxy'@'%' WITH GRANT OPTION;\n")
	args = append([]string{
		"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(s.port), "--bind-address=127.0.0.1", "--socket=" + filepath.Join(s.dir, "sock"),
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--init-file=" + users, "--innodb-buffer-pool-size=32M", "--max-connections=200", "--skip-name-resolve",
	}, args...)
	s.command = func() *exec.Cmd { return exec.Command(mariadbd, args...) }
	s.start(t)
	return s
}

func newDatabaseServer(t *testing.T, name string, d sqljournal.Dialect) *databaseServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "db") // short, for the name of a socket
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o777))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	s := &databaseServer{name: name, dialect: d, dir: dir, port: freePort(t), log: log}
	t.Cleanup(func() {
		if s.admin != nil {
			_ = s.admin.Close()
		}
		s.stop(t)
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s said: %s", name, text[max(0, len(text)-4000):])
		}
		_ = log.Close()
		_ = os.RemoveAll(dir)
	})
	return s
}

// prepare makes a command of the server run as a user other than root, as these
// servers refuse to run as root.
func (s *databaseServer) prepare(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *databaseServer) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	s.prepare(t, cmd)
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(s.log.Name())
		require.NoError(t, err, "%s: %s", cmd, text)
	}
}

// start runs the server and waits until it answers.
func (s *databaseServer) start(t *testing.T) {
	t.Helper()
	cmd := s.command()
	s.prepare(t, cmd)
	require.NoError(t, cmd.Start())
	s.process = cmd
	if s.admin == nil {
		s.admin = s.open(t, map[sqljournal.Dialect]string{sqljournal.Postgres: "postgres", sqljournal.MySQL: "mysql"}[s.dialect])
	}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return s.admin.PingContext(ctx) == nil
	}, time.Minute, 20*time.Millisecond, "%s does not answer", s.name)
}

// stop ends the server and its sessions, and waits until it has ended.
func (s *databaseServer) stop(t *testing.T) {
	t.Helper()
	if s.process == nil {
		return
	}
	signal := map[sqljournal.Dialect]syscall.Signal{sqljournal.Postgres: syscall.SIGINT, sqljournal.MySQL: syscall.SIGTERM}[s.dialect]
	_ = s.process.Process.Signal(signal)
	ended := make(chan error, 1)
	go func() { ended <- s.process.Wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = s.process.Process.Kill()
		<-ended
		t.Errorf("%s does not stop", s.name)
	}
	s.process = nil
}

// dsn returns the data source name of a database at a port, which may be a proxy's.
func (s *databaseServer) dsn(port int, database, params string) string {
	if s.dialect == sqljournal.MySQL {
		return fmt.Sprintf("youproxy@tcp(127.0.0.1:%d)/%s?%s", port, database, params)
	}
	return fmt.Sprintf("postgres://youproxy@127.0.0.1:%d/%s?sslmode=disable&%s", port, database, params)
}

func driverOf(d sqljournal.Dialect) string {
	return map[sqljournal.Dialect]string{sqljournal.Postgres: "pgx", sqljournal.MySQL: "mysql"}[d]
}

// open returns a new connection pool, which is closed when the test ends.
func (s *databaseServer) open(t *testing.T, database string) *sql.DB {
	t.Helper()
	return openDSN(t, s.dialect, s.dsn(s.port, database, ""))
}

func openDSN(t *testing.T, d sqljournal.Dialect, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driverOf(d), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

var databaseNames atomic.Int64

// database creates a database with the tables of the journal and returns its name.
func (s *databaseServer) database(t *testing.T) string {
	t.Helper()
	name := "journal" + strconv.FormatInt(databaseNames.Add(1), 10)
	_, err := s.admin.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	j, err := sqljournal.New(s.open(t, name), s.dialect, "main")
	require.NoError(t, err)
	require.NoError(t, j.CreateTable(t.Context()))
	return name
}

// endSessions ends all sessions in a database, as an administrator can.
func (s *databaseServer) endSessions(t *testing.T, database string) (ended int) {
	t.Helper()
	ids := column[int64](t, s.admin, map[sqljournal.Dialect]string{
		sqljournal.Postgres: "SELECT pid FROM pg_stat_activity WHERE datname = '" + database + "'",
		sqljournal.MySQL:    "SELECT id FROM information_schema.processlist WHERE db = '" + database + "'",
	}[s.dialect])
	for _, id := range ids {
		text := map[sqljournal.Dialect]string{sqljournal.Postgres: "SELECT pg_terminate_backend(%d)", sqljournal.MySQL: "KILL %d"}[s.dialect]
		_, err := s.admin.ExecContext(t.Context(), fmt.Sprintf(text, id))
		if err != nil {
			require.ErrorContains(t, err, "Unknown thread id") // it has ended by itself
		}
	}
	return len(ids)
}

// waiting returns how many sessions wait for a lock in a database.
func (s *databaseServer) waiting(t *testing.T, database string) int {
	t.Helper()
	return len(column[int64](t, s.admin, map[sqljournal.Dialect]string{
		sqljournal.Postgres: "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = '" + database + "'",
		sqljournal.MySQL:    "SELECT id FROM information_schema.processlist WHERE state = 'User lock' AND db = '" + database + "'",
	}[s.dialect]))
}

// column returns the values of the only column of a query.
func column[T any](t *testing.T, db *sql.DB, query string, args ...any) (list []T) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v T
		require.NoError(t, rows.Scan(&v))
		list = append(list, v)
	}
	require.NoError(t, rows.Err())
	return list
}

// silentProxy forwards TCP connections until it goes silent. Then it neither
// forwards nor closes, like a network that drops everything.
type silentProxy struct {
	listener net.Listener
	silent   chan struct{}
	closed   chan struct{}
	once     sync.Once
	running  sync.WaitGroup
}

func startSilentProxy(t *testing.T, to int) *silentProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &silentProxy{listener: l, silent: make(chan struct{}), closed: make(chan struct{})}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(c, to) })
		}
	})
	t.Cleanup(p.close)
	return p
}

// close closes the proxy and all connections through it.
func (p *silentProxy) close() {
	p.once.Do(func() { close(p.closed) })
	_ = p.listener.Close()
	p.running.Wait()
}

func (p *silentProxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *silentProxy) serve(c net.Conn, to int) {
	defer func() { _ = c.Close() }()
	server, err := net.Dial("tcp", address(to))
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{c, server}, {server, c}} {
		p.running.Go(func() {
			_, _ = io.Copy(pair[0], &quietReader{pair[1], p})
			ended <- struct{}{}
		})
	}
	select {
	case <-ended:
	case <-p.closed:
	}
	_ = c.Close()
	_ = server.Close()
}

// quietReader returns neither data nor EOF once the proxy is silent.
type quietReader struct {
	io.Reader
	p *silentProxy
}

func (r *quietReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	select {
	case <-r.p.silent:
		<-r.p.closed
		return 0, io.EOF
	default:
		return n, err
	}
}

// startPgBouncer starts PgBouncer in front of a server and returns its port.
func startPgBouncer(t *testing.T, s *databaseServer, mode string) int {
	t.Helper()
	bouncer := program(t, "pgbouncer", "pgbouncer")
	port := freePort(t)
	config := write(t, s.dir, mode+".ini", strings.Join([]string{
		"[databases]", fmt.Sprintf("* = host=127.0.0.1 port=%d user=youproxy", s.port),
		"[pgbouncer]", "listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", port), "unix_socket_dir =", "auth_type = any", "pool_mode = " + mode, "",
	}, "\n"))
	cmd := exec.Command(bouncer, config)
	s.prepare(t, cmd)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address(port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 20*time.Millisecond, "PgBouncer does not take connections")
	return port
}
