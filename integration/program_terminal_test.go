package integration

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// terminal is a command in a terminal of its own, whose user types.
type terminal struct {
	p    *person
	cmd  *exec.Cmd
	file *os.File      // of the user
	done chan struct{} // when all was read

	mu     sync.Mutex
	screen bytes.Buffer
	seen   int // of the screen
}

// at starts the program in a terminal. What stdout is set to stays.
func (p *person) at(cmd *exec.Cmd) *terminal {
	p.t.Helper()
	cmd.SysProcAttr = nil
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	require.NoError(p.t, err)
	term := &terminal{p: p, cmd: cmd, file: file, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			term.mu.Lock()
			term.screen.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil {
				return // EIO, when the last process has left
			}
		}
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = file.Close()
		<-term.done
	})
	return term
}

// text returns all that was shown.
func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return strings.ReplaceAll(term.screen.String(), "\r\n", "\n")
}

// expect waits until something is shown that was not waited for before.
func (term *terminal) expect(pattern string) {
	term.p.t.Helper()
	expression := regexp.MustCompile(pattern)
	require.Eventually(term.p.t, func() bool {
		text := term.text()
		found := expression.FindStringIndex(text[term.seen:])
		if found != nil {
			term.seen += found[1]
		}
		return found != nil
	}, within, 5*time.Millisecond, "%s is not shown, but:\n%s", pattern, lazily(term.text))
}

type lazily func() string

func (l lazily) String() string { return l() }

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)

func (term *terminal) keys(text string) {
	term.p.t.Helper()
	_, err := term.file.WriteString(text)
	require.NoError(term.p.t, err)
}

// ends waits for the end, and returns the exit code.
func (term *terminal) ends() int {
	term.p.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = term.cmd.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(within):
		_ = term.cmd.Process.Kill()
		<-ended
		assert.Fail(term.p.t, "it does not end", term.text())
	}
	<-term.done
	text := term.text()
	if handsOut(term.cmd.Args) && term.cmd.Stdout == term.cmd.Stderr {
		text = passwords.ReplaceAllString(text, "")
	}
	term.p.noSecrets(text, term.cmd.Args...)
	return term.cmd.ProcessState.ExitCode()
}

// buyOne is a command that buys one proxy.
var buyOne = []string{"--sandbox", "buy", "--country", "USA", "--goal", "price monitoring", "--max-price", "10 USD"}

func TestProgramAsksOnATerminal(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		code, bought int
		says         string
	}{
		{"yes", "y\r", 0, 1, `Bought 1 x IPv4, USA, 30 days for 1\.31 USD\.\nThe order is NUMBER-\d+\.\n(.|\n)*http://login`},
		{"yes in full", "YES\r", 0, 1, `Bought`},
		{"no", "n\r", 1, 0, `the answer was not yes: nothing was spent\n$`},
		{"enter", "\r", 1, 0, `the answer was not yes: nothing was spent\n$`},
		{"end of input", ctrlD, 1, 0, `\nyouproxy: the answer was not yes: nothing was spent\n$`},
		{"Ctrl-C", ctrlC, 1, 0, `\nyouproxy: interrupted: nothing was spent\n$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t)
			term := p.at(p.command("youproxy", buyOne...))
			term.expect(`Price +1\.31 USD\nBalance +100 USD\nLimit +10 USD\nSpend up to 10 USD\? \[y/N\] $`)
			term.keys(c.answer)
			assert.Equal(t, c.code, term.ends())
			assert.Regexp(t, c.says, term.text())
			assert.Equal(t, c.bought, p.bought())
		})
	}
}

// What cannot be answered with yes is not asked.
func TestProgramDoesNotAskInVain(t *testing.T) {
	p := newPerson(t)
	for _, args := range [][]string{{"--max-price", "1 USD"}, {"--max-price", "10 EUR"}, {"--promo", "NOSUCH"}, {"--quantity", "100", "--max-price", "500 USD"}} {
		term := p.at(p.command("youproxy", append(buyOne, args...)...))
		assert.Equal(t, 1, term.ends(), args)
		assert.NotContains(t, term.text(), "[y/N]")
		assert.Contains(t, term.text(), "nothing was spent")
	}
	assert.Zero(t, p.bought())
}

// The question stands on the terminal where stdout goes into a file.
func TestProgramAsksBesideItsOutput(t *testing.T) {
	p := newPerson(t)
	cmd := p.command("youproxy", buyOne...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	term := p.at(cmd)
	term.expect(`\[y/N\] $`)
	term.keys("y\r")
	assert.Zero(t, term.ends())
	assert.Regexp(t, `^http://login\d+:Pw[0-9a-f]{8}@198\.18\.0\.\d+:59100\n$`, stdout.String())
}

func TestProgramOnATerminal(t *testing.T) {
	p := newPerson(t)
	for _, c := range []struct {
		args   string
		answer string // to a question
		says   string
	}{
		{"list", "", `^ID +TYPE +HOST +HTTP +SOCKS5 +COUNTRY +ORDER +ENDS +DAYS LEFT +AUTO-EXTEND\n(\d{19}  (IPv4|ISP ) .*\n){5}$`},
		{"balance", "", `^BALANCE\n100 USD\n$`},
		{"catalog ISP", "", `^rent periods in days: 30,60,90,180,360\nCODE +COUNTRY\n(\w{3}   .*\n)+$`},
		{"renew --max-price 20_USD", "n\r", `^Type +Proxies(.|\n)*Renew for up to 2\.62 USD\? \[y/N\] n\nyouproxy: the answer was not yes: nothing was renewed\n$`},
		{"renew --max-price 20_USD", "y\r", `\[y/N\] y\nTYPE +PROXIES +DAYS +PRICE +CHARGED\nIPv4 +2 +30 +2\.62 USD +2\.62 USD\n$`},
		{"journal list", "", `^AT +STATE +ATTEMPT(.|\n)* executed +\w{26} +extension of 2 x IPv4 for 30 days +2\.62 USD`},
		{"check --target http://127.0.0.1:9/", "", `^\r\[-{30}\] 0 of 5(.|\n)*\[#{30}\] 5 of 5\r +\rPROXY +STATUS(.|\n)*http://login1:\*\*\*@127\.(.|\n)*youproxy: none of 5 proxies works\n$`},
	} {
		args := strings.Fields("--sandbox " + c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		term := p.at(p.command("youproxy", args...))
		if c.answer != "" {
			term.expect(`\[y/N\] $`)
			term.keys(c.answer)
		}
		term.ends()
		assert.Regexp(t, c.says, term.text(), c.args)
	}
}

// A service ends at Ctrl-C, and that is its proper end.
func TestProgramServesUntilCtrlC(t *testing.T) {
	p := newPerson(t)
	for _, c := range []struct{ args, starts, ends string }{
		{"sandbox --addr 127.0.0.1:0", `export YOUPROXY_JOURNAL='.*'\n`, `stopped after 0 requests; orders: 3, balance: 100 USD\n$`},
		{"--sandbox forward --addr 127.0.0.1:0", `the local proxy is http://127\.0\.0\.1:\d+; Ctrl-C ends it\n`, `\^C$`},
	} {
		term := p.at(p.command("youproxy", strings.Fields(c.args)...))
		term.expect(c.starts)
		p.noSecretsKept()
		term.keys(ctrlC)
		assert.Zero(t, term.ends(), c.args)
		assert.Regexp(t, c.ends, term.text())
	}
}
