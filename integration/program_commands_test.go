package integration

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commandLine is a right use of a command.
type commandLine struct {
	args   []string
	free   bool // needs no key
	local  bool // calls no service, as things are
	serves bool // until Ctrl-C
	forms  bool // has the output of --output
	code   int  // where all is well
}

func (c *commandLine) String() string { return strings.Join(c.args, " ") }

// commandsOf returns a use of each command, in an order in which all end well. The ids are
// of the person's account.
func commandsOf(p *person, global ...string) []commandLine {
	p.t.Helper()
	row := strings.Split(strings.SplitN(p.ok(append(global, "list", "--type", "ISP")...), "\n", 2)[0], "\t")
	require.Len(p.t, row, 10)
	id, order := row[0], row[6]
	none := p.write("none.txt", "http://127.0.0.1:9\n", 0o600)
	spend := []string{"--max-price", "20 USD", "--yes"}
	order1 := []string{"--country", "USA", "--goal", "price monitoring"}
	line := func(words string, more ...string) []string { return append(strings.Fields(words), more...) }
	return []commandLine{
		{args: line("balance"), forms: true},
		{args: line("catalog"), forms: true},
		{args: line("catalog MOBILE"), forms: true},
		{args: line("catalog promo-codes"), forms: true},
		{args: line("list"), forms: true},
		{args: line("export")},
		{args: line("check --target http://127.0.0.1:9"), forms: true, code: 1},
		{args: line("quote", order1...), forms: true},
		{args: append(line("buy", order1...), spend...), forms: true},
		{args: line("extend "+id, spend...), forms: true},
		{args: line("extend --order "+order, spend...), forms: true},
		{args: line("auto-extend on " + id), forms: true},
		{args: line("auto-extend off --order " + order), forms: true},
		{args: line("renew", "--max-price", "20 USD"), forms: true},
		{args: line("renew --within 30d", spend...), forms: true},
		{args: line("journal list"), free: true, forms: true},
		{args: line("journal recover"), local: true, forms: true},
		{args: line("forward --addr 127.0.0.1:0"), serves: true},
		{args: line("sandbox --addr 127.0.0.1:0"), free: true, serves: true},
		{args: line("completion bash"), free: true},
		{args: line("completion zsh"), free: true},
		{args: line("completion fish"), free: true},
		{args: line("completion powershell"), free: true},
		{args: line("help buy"), free: true},
		{args: line("man man1"), free: true},
		{args: line("check --from " + none + " --target http://127.0.0.1:9"), free: true, forms: true, code: 1},
		{args: line("journal dismiss X --note none"), local: true, code: 1},
		{args: line("sandbox reset"), free: true},
	}
}

// Each command does its work in pipes, in each form of its output.
func TestProgramRunsEachCommand(t *testing.T) {
	for _, form := range []string{"", "json", "csv"} {
		t.Run("form "+form, func(t *testing.T) {
			p := newPerson(t)
			for _, c := range commandsOf(p, "--sandbox") {
				args := append([]string{"--sandbox"}, c.args...)
				switch {
				case c.serves || form != "" && !c.forms:
					continue
				case form != "":
					args = append(args, "--output", form)
				}
				s := p.run(args...)
				assert.Equal(t, c.code, s.code, "%s: %s", &c, s.stderr)
				switch form {
				case "json":
					values := json.NewDecoder(strings.NewReader(s.stdout))
					var value any
					assert.NoError(t, values.Decode(&value), "%s: %s", &c, s.stdout)
					assert.ErrorIs(t, values.Decode(&value), io.EOF, "%s: it is one value", &c)
				case "csv":
					rows, err := csv.NewReader(strings.NewReader(s.stdout)).ReadAll()
					assert.NoError(t, err, "%s: %s", &c, s.stdout)
					assert.NotEmpty(t, rows, "%s", &c)
				default:
					assert.NotContains(t, s.stdout, "\x1b", "%s", &c)
				}
			}
			p.noSecretsKept()
		})
	}
}

// Each command has help with an example, says where that is to a flag it does not know,
// and is used by the test above.
func TestProgramHasHelp(t *testing.T) {
	p := newPerson(t)
	p.ok("man", "man1")
	files, err := os.ReadDir(filepath.Join(p.home, "man1"))
	require.NoError(t, err)
	pages := map[string]bool{}
	for _, file := range files {
		page := strings.ReplaceAll(strings.TrimSuffix(file.Name(), ".1"), "-", " ")
		pages[strings.ReplaceAll(page, "auto extend", "auto-extend")] = true
	}
	assert.Greater(t, len(pages), 20)
	pages["youproxy man"], pages["youproxy catalog promo-codes"] = true, pages["youproxy catalog promo codes"]
	delete(pages, "youproxy catalog promo codes")

	used := map[string]bool{"youproxy": true, "youproxy journal": true, "youproxy completion": true}
	for _, c := range commandsOf(p, "--sandbox") {
		page := "youproxy " + c.args[0]
		if len(c.args) > 1 && pages[page+" "+c.args[1]] {
			page += " " + c.args[1]
		}
		used[page] = true
	}
	for page := range pages {
		assert.True(t, used[page], "%s is never run", page)
		words := strings.Fields(page)[1:]
		s := p.run(append(words, "--help")...)
		assert.Zero(t, s.code, page)
		assert.Contains(t, s.stdout, "Examples:\n  ", page)
		assert.Empty(t, s.stderr, page)
		s = p.run(append(words, "--nonsense")...)
		assert.Equal(t, said{2, "", "youproxy: unknown flag: --nonsense; \"" + page + " --help\" shows the usage\n"}, s)
	}
	program(t, "man", "man-db")
	_, err = p.command("man", "-l", "man1/youproxy-buy.1").Output()
	assert.NoError(t, err)
}

// The scripts for shells are right, and offer what the account has.
func TestProgramCompletes(t *testing.T) {
	p := newPerson(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := p.write("completion."+shell, p.ok("completion", shell), 0o600)
		out, err := p.command(shell, "-n", script).CombinedOutput()
		assert.NoError(t, err, "%s: %s", shell, out)
		assert.Empty(t, string(out), shell)
	}
	assert.Contains(t, p.ok("completion", "powershell"), "Register-ArgumentCompleter")
	for _, c := range []struct{ args, offers string }{
		{"ba", "balance\tShow the balance of the account\n"},
		{"--sandbox list --country ", "DEU\tproxies: 2\nGBR\tproxies: 1\nUSA\tproxies: 2\n"},
		{"--sandbox list --type I", "IPv4\nIPv6\nMOBILE\nISP\n"},
		{"--sandbox buy --type I", "IPv4\nIPv6\nMOBILE\nISP\n"},
		{"--sandbox buy --country ", "USA\tUnited States\n"},
		{"--output ", "json\ncsv\n"},
		{"auto-extend ", "on\noff\n"},
		{"journal ", "dismiss\tSettle an open purchase by hand\n"},
	} {
		args := strings.Split("__complete "+c.args, " ")
		assert.Contains(t, p.ok(args...), c.offers, c.args)
	}
	p.env["YOUPROXY_BASE_URL"] = "http://127.0.0.1:9" // nothing is offered, and no error is in the way
	p.env["YOUPROXY_API_KEY"] = "Key-of-nobody"
	assert.Equal(t, ":4\n", p.ok("__complete", "list", "--country", ""))
	fish := p.command("bash", "-c", `source completion.bash; complete -p youproxy`)
	out, err := fish.Output()
	assert.NoError(t, err)
	assert.Contains(t, string(out), "__start_youproxy")
}
