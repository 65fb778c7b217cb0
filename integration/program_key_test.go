package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No command goes on without a key or with a wrong one, or shows it.
func TestProgramWithoutARightKey(t *testing.T) {
	p := newPerson(t)
	lines := commandsOf(p, "--sandbox")
	p.usesSandbox()
	right := p.env["YOUPROXY_API_KEY"]
	const wrong = "Wrong-Key-5d1f0c77"
	p.keys = append(p.keys, wrong)
	for _, c := range lines {
		if c.free || strings.HasPrefix(c.String(), "journal list") {
			continue
		}
		delete(p.env, "YOUPROXY_API_KEY")
		s := p.run(c.args...)
		assert.Equal(t, 2, s.code, "%s", &c)
		assert.Contains(t, s.stderr, "youproxy: there is no API key: set YOUPROXY_API_KEY", "%s", &c)
		assert.Empty(t, s.stdout, "%s", &c)

		p.env["YOUPROXY_API_KEY"] = wrong
		s = p.run(c.args...)
		if c.local {
			continue
		}
		assert.Equal(t, 1, s.code, "%s", &c)
		assert.Contains(t, s.stderr, "the API key is not valid", "%s", &c)
		assert.Contains(t, s.stderr, "Check the API key in YOUPROXY_API_KEY or in the key file.\n", "%s", &c)
		assert.Empty(t, s.stdout, "%s", &c)

		base := p.env["YOUPROXY_BASE_URL"]
		for at, says := range map[string]string{"ftp://example.com": "base URL", "http://example.com": "https"} {
			p.env["YOUPROXY_BASE_URL"] = at
			s = p.run(c.args...)
			assert.Equal(t, 2, s.code, "%s", &c)
			assert.Contains(t, s.stderr, says, "%s", &c)
		}
		p.env["YOUPROXY_BASE_URL"] = base
	}
	p.env["YOUPROXY_API_KEY"] = right
	assert.Equal(t, "100 USD\n", p.ok("balance"), "nothing was spent")
	assert.Empty(t, p.ok("journal", "list"))
	p.noSecretsKept()
}

func TestProgramReadsAKeyFile(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox()
	key := p.env["YOUPROXY_API_KEY"]
	delete(p.env, "YOUPROXY_API_KEY")
	require.NoError(t, os.MkdirAll(filepath.Join(p.home, ".config", "youproxy"), 0o700))
	standard := filepath.Join(".config", "youproxy", "key")
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		code       int
		says       string
	}{
		{"private", key + "\n", 0o600, 0, ""},
		{"read only", key, 0o400, 0, ""},
		{"readable by others", key, 0o644, 2, " can be read by others: chmod 600 "},
		{"readable by the group", key, 0o640, 2, " can be read by others: chmod 600 "},
		{"empty", "\n", 0o600, 2, " is empty"},
		{"two keys", key + "\n" + key, 0o600, 2, "API key"},
		{"wrong", "Wrong-Key-5d1f0c77", 0o600, 1, "the API key is not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, set := range map[string]func(file string) []string{
				standard: func(string) []string { return nil },
				"named":  func(file string) []string { return []string{"--key-file", file} },
				"of the environment": func(file string) []string {
					p.env["YOUPROXY_API_KEY_FILE"] = file
					return nil
				},
			} {
				delete(p.env, "YOUPROXY_API_KEY_FILE")
				file := p.write(name, c.text, 0o600)
				require.NoError(t, os.Chmod(file, c.mode))
				s := p.run(append(set(file), "balance")...)
				assert.Equal(t, c.code, s.code, s.stderr)
				assert.Contains(t, s.stderr, c.says)
				if c.code == 0 {
					assert.Equal(t, said{0, "100 USD\n", ""}, s)
				}
				require.NoError(t, os.Remove(file))
			}
		})
	}
	delete(p.env, "YOUPROXY_API_KEY_FILE")
	s := p.run("balance", "--key-file", "missing")
	assert.Equal(t, 2, s.code)
	assert.Contains(t, s.stderr, "the key file cannot be read")
}

// What a person types in a shell, and copies out of what the program says, leaves no
// secret in the history.
func TestProgramLeavesNothingInTheHistory(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox()
	key := p.env["YOUPROXY_API_KEY"]
	p.env["PS1"], p.env["HISTFILE"] = "> ", filepath.Join(p.home, "history")
	delete(p.env, "YOUPROXY_API_KEY")
	term := p.at(p.command("bash", "--norc", "-i"))
	line := func(text, shown string) {
		term.expect(`> $`)
		term.keys(text + "\r")
		term.expect(shown)
	}
	line("read -rs YOUPROXY_API_KEY && export YOUPROXY_API_KEY", `API_KEY\r?\n`)
	term.keys(key + "\r")
	line("youproxy balance", "100 USD")
	line("youproxy buy --country USA --goal 'price monitoring' --max-price '10 USD' > proxies.txt", `\[y/N\] $`)
	term.keys(ctrlC)
	term.expect("nothing was spent")
	line("youproxy buy --country USA --goal 'price monitoring' --max-price '10 USD' -y > /dev/full", "it was bought, but")
	term.expect("To print it, which spends nothing")
	line(next(t, term.text())+" > proxies.txt", "nothing was spent now")
	line("exit", "exit")
	assert.Zero(t, term.ends())
	history, err := os.ReadFile(p.env["HISTFILE"])
	require.NoError(t, err)
	assert.Contains(t, string(history), "--idempotency-key auto-")
	p.executedOnce(purchases[0].what)
}
