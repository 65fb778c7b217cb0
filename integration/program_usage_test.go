package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A wrong command line ends with 2, says what is wrong, and does nothing.
func TestProgramIsUsedWrongly(t *testing.T) {
	p := newPerson(t)
	for line, says := range map[string]string{
		"nonsense":                         `unknown command "nonsense" for "youproxy"; "youproxy --help" shows the usage`,
		"help nonsense":                    `there is no command "nonsense"`,
		"journal nonsense":                 `"youproxy journal --help" shows the usage`,
		"completion tcsh":                  `unknown command "tcsh"`,
		"balance now":                      `"youproxy balance --help" shows the usage`,
		"list --output xml":                "--output is json or csv",
		"list --ending 0d":                 "--ending must be more than 0",
		"list --type quantum":              "it must be IPv4, IPv6, MOBILE or ISP",
		"catalog quantum":                  "it must be IPv4, IPv6, MOBILE or ISP",
		"export --output json":             "--format jsonl instead of --output",
		"export --format xml":              "is neither one of",
		"export --format {{.Password":      "template",
		"quote --country USA":              "--goal is missing",
		"quote --max-price 5":              "write an amount, one space, and a currency",
		"buy":                              "--country is missing",
		"buy ORDER":                        "--max-price is missing",
		"buy ORDER --max-price 5_USD":      "nobody can be asked here: add --yes",
		"buy ORDER --quantity 0":           "--quantity must be 1 or more",
		"buy ORDER --days 0":               "--days must be 1 or more",
		"buy ORDER --operator x":           "can be used with --type MOBILE only",
		"buy ORDER --type MOBILE":          "--operator",
		"buy ORDER --auth-ip x":            "--auth-ip must be an IP address",
		"buy ORDER --idempotency-key=":     "--max-price is missing",
		"extend":                           "nothing is named",
		"extend 1 --max-price 5_USD":       "nobody can be asked here",
		"auto-extend":                      "requires at least 1 arg",
		"auto-extend maybe 1":              "the first argument is on or off",
		"renew":                            "--max-price is missing",
		"renew --max-price 5_USD --days 0": "must be more than 0",
		"journal dismiss":                  `"youproxy journal dismiss --help" shows the usage`,
		"journal dismiss X":                "--note is missing",
		"check --target nowhere":           "--target must be a URL",
		"check --from missing":             "the list cannot be read",
		"forward --addr 0.0.0.0:0":         "is open to other machines",
		"sandbox --addr 0.0.0.0:0":         "an address of this machine alone",
		"sandbox --fault x":                "must begin with an operation",
		"sandbox reset --balance x":        "is not money",
		"man":                              `"youproxy man --help" shows the usage`,
	} {
		line = strings.Replace(line, " ORDER", " --country USA --goal tests", 1)
		var args []string
		for _, word := range strings.Fields("--sandbox " + line) {
			args = append(args, strings.ReplaceAll(word, "_", " "))
		}
		cmd := p.command("youproxy", args...)
		cmd.Stdin = strings.NewReader("y\ny\n")
		s := p.finish(cmd)
		assert.Equal(t, 2, s.code, line)
		assert.Contains(t, s.stderr, says, line)
		assert.True(t, strings.HasPrefix(s.stderr, "youproxy: "), "%s: %s", line, s.stderr)
		assert.Empty(t, s.stdout, line)
	}
	assert.Equal(t, "100 USD\n", p.ok("--sandbox", "balance"))
	assert.Empty(t, p.ok("--sandbox", "journal", "list"))
}

// What the service or the account does not allow ends with 1, and says what to do.
func TestProgramFails(t *testing.T) {
	p := newPerson(t)
	for line, says := range map[string]string{
		"buy ORDER --max-price 1_USD":                    "allow it with --max-price",
		"buy ORDER --max-price 10_EUR":                   "Write --max-price and --max-day in the currency of the account",
		"buy ORDER --max-price 10_USD --promo NOSUCH":    "Leave out --promo to pay the full price.",
		"buy ORDER --max-price 10_USD --days 31":         "youproxy catalog shows what is on sale.",
		"buy ORDER --max-price 999_USD --quantity 200":   "Add money to the account, or buy less.",
		"buy ORDER --max-price 10_USD --country XXX":     "youproxy catalog shows what is on sale.",
		"quote ORDER --max-price 1_USD":                  "allow it with --max-price",
		"extend 12345 --max-price 10_USD":                "youproxy list shows the ids",
		"extend --order NUMBER-112233 --max-price 9_USD": "--order takes the id of an order, not its number",
		"auto-extend on 12345":                           "youproxy list shows the ids",
		"journal dismiss X --note none":                  `the journal has no open attempt "X"`,
		"export --file /nowhere/proxies.txt":             "nothing was written to /nowhere/proxies.txt",
		"check --target http://127.0.0.1:9 --type ISP":   "none of 2 proxies works",
		"forward --addr 127.0.0.1:0 --country FRA":       "",
		"man /dev/null/man1":                             "cannot be created",
	} {
		line = strings.Replace(line, " ORDER", " --country USA --goal tests", 1)
		args := strings.Fields("--sandbox " + line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		if args[1] == "buy" || args[1] == "extend" {
			args = append(args, "--yes")
		}
		s := p.run(args...)
		assert.Equal(t, 1, s.code, line)
		assert.Contains(t, s.stderr, says, line)
	}
	assert.Equal(t, "100 USD\n", p.ok("--sandbox", "balance"))
}
