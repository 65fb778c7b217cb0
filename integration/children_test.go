package integration

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/sqljournal"
)

// Environment variables that make the test program a child process of a test: its
// role and its settings.
const (
	childRole     = "YOUPROXY_TEST_CHILD"
	childSettings = "YOUPROXY_TEST_CHILD_SETTINGS"
)

// settings are the settings of a child with a journal.
type settings struct {
	Dialect sqljournal.Dialect
	DSN     string
	Account string
	Lease   time.Duration
	Dir     string // shared by the children of a test
	URL     string // of the service, for a buyer
	Key     string // of the API
}

// journal opens the journal. The child does not outlive its use, so it closes
// nothing.
func (c settings) journal() (*sqljournal.Journal, error) {
	db, err := sql.Open(driverOf(c.Dialect), c.DSN)
	if err != nil {
		return nil, err
	}
	j, err := sqljournal.New(db, c.Dialect, c.Account)
	if err != nil {
		return nil, err
	}
	j.Lease = c.Lease
	return j, nil
}

// childRoles are the roles of a child. Each reads commands, one a line, and answers
// each with a line.
var childRoles = map[string]func(c settings) (answer func(command string, args []string) error, err error){
	"journal": journalRole,
	"buyer":   buyerRole,
}

// runChild is the main function of a child.
func runChild(role string) (exit int) {
	var c settings
	if err := json.Unmarshal([]byte(os.Getenv(childSettings)), &c); err != nil {
		fmt.Println("error", err)
		return 1
	}
	answer, err := childRoles[role](c)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if err := answer(words[0], words[1:]); err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
	return 0
}

// journalRole locks, records and unlocks on command.
func journalRole(c settings) (func(string, []string) error, error) {
	j, err := c.journal()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	unlock := func() {}
	return func(command string, args []string) (err error) {
		switch command {
		case "create":
			return j.CreateTable(ctx)
		case "lock":
			unlock, err = j.Lock(ctx)
			return err
		case "unlock":
			unlock()
			return nil
		case "record":
			return j.Record(ctx, openEntry(args[0]))
		case "rounds": // how many, and a prefix of ids
			var n int
			if _, err := fmt.Sscan(args[0], &n); err != nil {
				return err
			}
			for i := range n {
				if err := aloneInside(ctx, j, c.Dir, fmt.Sprintf("%s-%d", args[1], i)); err != nil {
					return err
				}
			}
			return nil
		}
		return errors.New("no such command")
	}, nil
}

// aloneInside records an entry, first open and then settled. It fails if anybody
// else holds the lock of the same folder meanwhile.
func aloneInside(ctx context.Context, j youproxy.Journal, dir, id string) (err error) {
	unlock, err := j.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	marker := filepath.Join(dir, "inside")
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("two hold the lock: %w", err)
	}
	_ = f.Close()
	defer func() { err = errors.Join(err, os.Remove(marker)) }()
	for e, err := range j.Entries(ctx, youproxy.EntryQuery{}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s is open while nobody else can have it open", e.Attempt.ID)
	}
	e := openEntry(id)
	if err := j.Record(ctx, e); err != nil {
		return err
	}
	e.State, e.SettledAt = youproxy.EntryExecuted, time.Now()
	return j.Record(ctx, e)
}

func openEntry(id string) youproxy.Entry {
	price := youproxy.MustMoney("1 USD")
	return youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{
		Version: 2, ID: id, At: time.Now().UTC(), Op: "POST /order", ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 30, Quantity: 1, Price: price, Limit: price,
	}}
}

// child is another process of the test.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	answers chan string
}

// startChild starts a process, which ends with the test at the latest.
func startChild(t *testing.T, role string, c settings) *child {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	p := &child{process: exec.Command(os.Args[0]), answers: make(chan string, 16)}
	p.process.Env = append(os.Environ(), childRole+"="+role, childSettings+"="+string(text))
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.process.Stderr = os.Stderr
	p.in, err = p.process.StdinPipe()
	require.NoError(t, err)
	out, err := p.process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.process.Start())
	go func() {
		defer close(p.answers)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.answers <- lines.Text()
		}
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// kill kills the process and waits until its output ends.
func (p *child) kill() {
	_ = p.process.Process.Kill()
	for range p.answers {
		continue
	}
	_ = p.process.Wait()
}

func (p *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.process.Process.Signal(s))
}

// tell sends a command without waiting for the answer.
func (p *child) tell(t *testing.T, command string) {
	t.Helper()
	_, err := io.WriteString(p.in, command+"\n")
	require.NoError(t, err)
}

// answer waits for the answer to a command: "ok" or an error.
func (p *child) answer(t *testing.T, limit time.Duration) string {
	t.Helper()
	select {
	case a, open := <-p.answers:
		require.True(t, open, "the process has ended")
		return a
	case <-time.After(limit):
		require.Fail(t, "the process does not answer", "within %v", limit)
		return ""
	}
}

// ask sends a command to a process that may be killed meanwhile, and waits for the
// answer.
func (p *child) ask(command string) error {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return err
	}
	a, open := <-p.answers
	switch {
	case !open:
		return errors.New("the process has ended")
	case a != "ok":
		return errors.New(a)
	}
	return nil
}

// must sends a command that must succeed.
func (p *child) must(t *testing.T, command string) {
	t.Helper()
	p.tell(t, command)
	require.Equal(t, "ok", p.answer(t, time.Minute), command)
}
