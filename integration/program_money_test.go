package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shell runs a line as it was printed.
func (p *person) shell(line string) said {
	p.t.Helper()
	cmd := p.command("bash", "-c", line)
	cmd.Args = append(cmd.Args, strings.Fields(line)...) // which tell whether it hands passwords out
	return p.finish(cmd)
}

// typed runs a line in a terminal, where it is to end well without a question.
func (p *person) typed(line string) {
	p.t.Helper()
	cmd := p.command("bash", "-c", line)
	cmd.Args = append(cmd.Args, strings.Fields(line)...)
	term := p.at(cmd)
	assert.Zero(p.t, term.ends(), term.text())
}

// purchases are commands that spend, and what a person reads who interrupts them.
var purchases = []struct {
	name, fault string
	args        []string // ID is a proxy
	what        string   // in the journal
}{
	{"buy", "POST /order", buyOne, "order of 1 x IPv4 for 30 days\t1.31 USD\t1.31 USD"},
	{"extend", "POST /extend", []string{"--sandbox", "extend", "ID", "--max-price", "10 USD"}, "extension of 1 x ISP for 30 days\t2.4 USD\t2.4 USD"},
	{"renew", "POST /extend", []string{"--sandbox", "renew", "--max-price", "10 USD"}, "extension of 2 x IPv4 for 30 days\t2.62 USD\t2.62 USD"},
}

// Ctrl-C while the reply of what was executed does not come ends the command at once. It
// tells that money may have been spent. The command that it says to run next finds the
// purchase, and buys nothing.
func TestProgramIsInterruptedInAPurchase(t *testing.T) {
	for _, c := range purchases {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t)
			id, _, _ := strings.Cut(p.ok("--sandbox", "list", "--type", "ISP"), "\t")
			args := strings.Split(strings.Replace(strings.Join(c.args, "\x00"), "ID", id, 1), "\x00")
			p.env["YOUPROXY_SANDBOX_FAULTS"] = c.fault + "=Slow"
			term := p.at(p.command("youproxy", args...))
			delete(p.env, "YOUPROXY_SANDBOX_FAULTS")
			term.expect(`\[y/N\] $`)
			term.keys("y\r")
			require.Eventually(t, func() bool {
				account, err := os.ReadFile(p.state("sandbox", "account.jsonl"))
				return err == nil && strings.Contains(string(account), `"op":"`+c.fault+`"`)
			}, within, 5*time.Millisecond)
			p.noSecretsKept()
			term.keys(ctrlC)
			assert.Equal(t, 3, term.ends())
			assert.Contains(t, term.text(), "money may have been spent")
			assert.NotContains(t, term.text(), "filejournal")

			p.typed(next(t, term.text()))
			p.executedOnce(c.what)
		})
	}
}

// executedOnce looks for one purchase in the journal, and no other.
func (p *person) executedOnce(what string) {
	p.t.Helper()
	journal := p.ok("journal", "list", "--journal", p.state("sandbox", "journal.jsonl"))
	assert.Equal(p.t, 1, strings.Count(journal, "\n"), journal)
	assert.Contains(p.t, journal, "\texecuted\t")
	assert.Contains(p.t, journal, what)
}

// A process that is killed tells nothing. The same command finds its purchase.
func TestProgramIsKilledInAPurchase(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox("--fault", "POST /order=Slow")
	args := slices.Concat(buyOne[1:], []string{"--yes"})
	cmd := p.command("youproxy", args...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		account, err := os.ReadFile(p.state("sandbox", "account.jsonl"))
		return err == nil && strings.Contains(string(account), `"op":"POST /order"`)
	}, within, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	assert.Error(t, cmd.Wait())

	s := p.run(append(buyOne[1:], "--country", "DEU", "--yes")...)
	assert.Equal(t, 1, s.code, "another purchase of the type")
	assert.Contains(t, s.stderr, "an earlier purchase stands in the way")
	assert.Regexp(t, `^youproxy journal recover --journal /\S+/journal.jsonl$`, next(t, s.stderr))
	s = p.run(args...)
	assert.Zero(t, s.code, s.stderr)
	assert.Contains(t, s.stderr, "nothing was spent now")
	p.executedOnce(purchases[0].what)
}

// A reply that is lost is found out by the same run, or by the next, or by hand.
func TestProgramLosesAReply(t *testing.T) {
	spend := slices.Concat(buyOne, []string{"--yes", "--idempotency-key", "monday"})
	t.Run("in the run", func(t *testing.T) {
		p := newPerson(t)
		p.env["YOUPROXY_SANDBOX_FAULTS"] = "POST /order=DropAfterCommit"
		s := p.run(spend...)
		assert.Zero(t, s.code, s.stderr)
		assert.Contains(t, s.stderr, "No reply says what became of it")
		assert.Contains(t, s.stderr, "the reply was lost, the account shows it")
		again := p.run(spend...) // the fault is there again, and nothing is ordered
		assert.Equal(t, said{0, s.stdout, again.stderr}, again)
		assert.Contains(t, again.stderr, "nothing was spent now")
		p.executedOnce(purchases[0].what)
	})
	for name, then := range map[string][]string{"the next run": spend, "recover": {"--sandbox", "journal", "recover"}} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.leftOpen(spend)
			s := p.run(then...)
			assert.Zero(t, s.code, s.stderr)
			p.executedOnce(purchases[0].what)
		})
	}
	t.Run("recover is interrupted", func(t *testing.T) {
		p := newPerson(t)
		p.leftOpen(spend)
		p.env["YOUPROXY_SANDBOX_FAULTS"] = "GET /ipAddress=Slow"
		term := p.at(p.command("youproxy", "--sandbox", "journal", "recover"))
		delete(p.env, "YOUPROXY_SANDBOX_FAULTS")
		term.expect("Looking for what became of 1 purchase, which can take minutes")
		term.keys(ctrlC)
		assert.Equal(t, 3, term.ends())
		assert.Contains(t, term.text(), "it is not known what became of 1 purchase: money may have been spent: interrupted\n")
		p.typed(next(t, term.text()))
		p.executedOnce(purchases[0].what)
	})
	t.Run("dismissed by hand", func(t *testing.T) {
		p := newPerson(t)
		p.leftOpen(spend)
		row := strings.Split(p.ok("--sandbox", "journal", "list", "--since", "0d"), "\t")
		require.Len(t, row, 9)
		assert.Equal(t, "open", row[1])
		p.ok("--sandbox", "journal", "dismiss", row[2], "--note", "I looked at the account")
		s := p.run(spend...)
		assert.Equal(t, 1, s.code)
		assert.Contains(t, s.stderr, "To buy, use another --idempotency-key.")
		assert.Zero(t, p.bought())
	})
}

// leftOpen interrupts a purchase whose reply does not come.
func (p *person) leftOpen(args []string) {
	p.t.Helper()
	p.env["YOUPROXY_SANDBOX_FAULTS"] = "POST /order=Slow"
	defer delete(p.env, "YOUPROXY_SANDBOX_FAULTS")
	cmd := p.command("youproxy", args...)
	require.NoError(p.t, cmd.Start())
	require.Eventually(p.t, func() bool {
		account, err := os.ReadFile(p.state("sandbox", "account.jsonl"))
		return err == nil && strings.Contains(string(account), `"op":"POST /order"`)
	}, within, 5*time.Millisecond)
	require.NoError(p.t, cmd.Process.Signal(syscall.SIGTERM))
	var ended *exec.ExitError
	require.ErrorAs(p.t, cmd.Wait(), &ended)
	assert.Equal(p.t, 3, ended.ExitCode())
}

// A loop in a shell buys once, whatever the network does.
func TestProgramInALoop(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox("--fault", "POST /calculate/order=BadGateway", "--fault", "POST /order=DropAfterCommit", "--fault", "GET /ipAddress=BadGateway")
	line := "youproxy buy --country USA --goal 'price monitoring' --max-price '10 USD' --yes"
	s := p.shell("until " + line + "; do sleep 0.1; done")
	assert.Zero(t, s.code, s.stderr)
	assert.Equal(t, 1, strings.Count(s.stdout, "\n"), "proxies")
	p.executedOnce(purchases[0].what)
}

// Without a journal nothing is spent.
func TestProgramWithoutAJournal(t *testing.T) {
	for _, c := range []struct {
		name    string
		journal func(t *testing.T, p *person) string
		says    string
	}{
		{"a full disk", fullDisk, "free some disk space"},
		{"a folder", func(_ *testing.T, p *person) string { return p.home }, "nothing is spent without a journal"},
		{"below a file", func(_ *testing.T, p *person) string { return p.write("file", "", 0o600) + "/journal" }, "nothing is spent without a journal"},
		{"not a journal", func(_ *testing.T, p *person) string { return p.write("file", "hello\nworld\n", 0o600) }, "filejournal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t)
			before := p.ok("--sandbox", "balance")
			file := c.journal(t, p)
			for _, args := range [][]string{buyOne, {"--sandbox", "renew", "--max-price", "20 USD"}} {
				s := p.run(append(args, "--yes", "--journal", file)...)
				assert.Equal(t, 1, s.code, s.stderr)
				assert.Contains(t, s.stderr, c.says)
			}
			assert.Equal(t, before, p.ok("--sandbox", "balance"))
		})
	}
}

// An account of the sandbox that cannot be kept is not left half made.
func TestProgramWithoutSpaceForASandbox(t *testing.T) {
	p := newPerson(t)
	p.env["XDG_STATE_HOME"] = filepath.Dir(fullDisk(t, p))
	s := p.run("--sandbox", "balance")
	assert.Equal(t, 1, s.code)
	assert.Contains(t, s.stderr, "youproxy: the sandbox cannot be created: ")
	assert.NoFileExists(t, filepath.Join(p.env["XDG_STATE_HOME"], "youproxy", "sandbox", "account.jsonl"))
	require.NoError(t, os.Remove(filepath.Join(p.env["XDG_STATE_HOME"], "fill")))
	assert.Equal(t, "100 USD\n", p.ok("--sandbox", "balance"))
}

// fullDisk returns a file on a disk of its own, which is full.
func fullDisk(t *testing.T, p *person) string {
	t.Helper()
	folder := filepath.Join(p.home, "disk")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=8k"), "it takes root")
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, 0)) })
	assert.ErrorIs(t, os.WriteFile(filepath.Join(folder, "fill"), make([]byte, 1<<14), 0o600), syscall.ENOSPC)
	return filepath.Join(folder, "journal.jsonl")
}

// What was bought and could not be printed says so.
func TestProgramCannotPrint(t *testing.T) {
	p := newPerson(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = full.Close() }()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--sandbox", "list"}, 1, "no space left on device"},
		{[]string{"--sandbox", "export"}, 1, "the list on stdout is not complete"},
		{append(buyOne, "--yes", "--idempotency-key", "a"), 3, "it was bought, but its proxies were not all printed"},
	} {
		cmd := p.command("youproxy", c.args...)
		cmd.Stdout = full
		s := p.finish(cmd)
		assert.Equal(t, c.code, s.code, c.args)
		assert.Contains(t, s.stderr, c.says)
		if c.code == 3 {
			s = p.shell(next(t, s.stderr))
			assert.Zero(t, s.code)
			assert.Contains(t, s.stdout, "http://login")
		}
	}
	p.executedOnce(purchases[0].what)
}
