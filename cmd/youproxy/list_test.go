package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestList(t *testing.T) {
	const none = "there are no "
	for name, test := range map[string]struct {
		args []string
		want []int // the proxies of fill, from 0
		note string
	}{
		"all":                      {want: []int{0, 1, 2, 3, 4}},
		"a type, in small letters": {args: []string{"--type", "ipv6"}, want: []int{2, 3}},
		"a country":                {args: []string{"--country", "usa"}, want: []int{0, 1}},
		"what ends soon":           {args: []string{"--ending", "30d"}, want: []int{0, 1, 2, 3, 4}},
		"in hours":                 {args: []string{"--ending", "719h"}, want: []int{0, 1, 2, 3, 4}},
		"nothing ends so soon":     {args: []string{"--ending", "29d"}, note: none + "proxies that end so soon\n"},
		"none in the country":      {args: []string{"--type", "MOBILE", "--country", "usa"}, note: none + "MOBILE proxies in USA\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			code, stdout, stderr := s.run(append([]string{"list"}, test.args...)...)
			assert.Equal(t, 0, code)
			assert.Equal(t, test.note, stderr)
			var want strings.Builder
			for _, i := range test.want {
				ip := s.IPAddresses()[i]
				http := number(ip.HTTPPort)
				if http == "" {
					http = "-"
				}
				fmt.Fprintf(&want, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t29\tno\n", ip.ID, ip.ProxyType, ip.Host, http, ip.SOCKS5Port,
					ip.Country, ip.OrderID, ip.End.UTC().Format(time.RFC3339))
			}
			assert.Equal(t, want.String(), stdout)
		})
	}
}

func TestListOnATerminal(t *testing.T) {
	s := newShell(t)
	s.fill()
	s.tty = true
	_, stdout, _ := s.run("list")
	lines := strings.Split(stdout, "\n")
	require.Len(t, lines, 7)
	assert.Equal(t, strings.Fields("ID TYPE HOST HTTP SOCKS5 COUNTRY ORDER ENDS DAYS LEFT AUTO-EXTEND"), strings.Fields(lines[0]))
	for _, line := range lines[1:6] {
		assert.Equal(t, strings.Index(lines[0], "ENDS"), strings.Index(line, "20"), line)
	}
}

func TestListAsJSON(t *testing.T) {
	s := newShell(t)
	code, stdout, _ := s.run("list", "--output", "json")
	assert.Equal(t, 0, code)
	assert.JSONEq(t, "[]", stdout)

	s.fill()
	_, stdout, _ = s.run("list", "--output", "json")
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	require.Len(t, list, 5)
	assert.Equal(t, string(s.IPAddresses()[0].ID), list[0]["ipAddressId"])
	assert.Equal(t, map[string]any{"login": s.IPAddresses()[0].Login, "password": "***"}, list[0]["authInfo"])
}

func TestListAsCSV(t *testing.T) {
	s := newShell(t)
	s.fill()
	_, stdout, _ := s.run("list", "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 6)
	assert.Equal(t, "ID", rows[0][0])
	assert.Empty(t, rows[3][3], "it speaks no HTTP")
}

// TestListEscapes: what the service writes cannot control a terminal.
func TestListEscapes(t *testing.T) {
	s := newShell(t, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"country": "a\x1b[2J\u009b\u202eb\nc\td"}}))
	s.fill()
	for _, form := range []string{"", "csv", "json"} {
		_, stdout, _ := s.run("list", "--output", form)
		assert.NotRegexp(t, "[\x1b\u009b\u202e]|b\nc|c\td", stdout, form)
		assert.Contains(t, stdout, "\\u202eb\\nc\\td", form)
		if form == "json" {
			var list []struct{ Country string }
			require.NoError(t, json.Unmarshal([]byte(stdout), &list))
			assert.Equal(t, "a\x1b[2J\u009b\u202eb\nc\td", list[0].Country)
		}
	}
}

func TestListThatBreaksOff(t *testing.T) {
	for _, form := range []string{"", "csv", "json"} {
		s := newShell(t)
		s.fill()
		for range 3 { // it is read again
			s.Inject("GET /ipAddress", youproxytest.Truncated)
		}
		code, stdout, stderr := s.run("list", "--output", form)
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "\nthe list is not complete: it ended after ")
		if form == "json" {
			assert.False(t, json.Valid([]byte(stdout)), "half a list is no JSON")
		}
	}
}

func TestEndsOfProxies(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for left, at := range map[string]time.Time{
		"":      {},
		"ended": now,
		"0":     now.Add(time.Hour),
		"2":     now.Add(71 * time.Hour),
	} {
		_, got := end(youproxy.Proxy{End: at}, now)
		assert.Equal(t, left, got, at)
	}
	ends, _ := end(youproxy.Proxy{End: now.In(time.FixedZone("", 3600))}, now)
	assert.Equal(t, "2026-03-01T12:00:00Z", ends)
}

func TestWhatEndsIsNotKnown(t *testing.T) {
	s := newShell(t, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": nil}}))
	s.fill()
	code, stdout, stderr := s.run("list", "--ending", "7d")
	assert.Equal(t, 0, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "there are no proxies that end so soon\nleft out, as their end is not known: 5\n", stderr)
}

// gone is a stdout that nobody reads any more.
type gone struct{ err error }

func (g gone) Write([]byte) (int, error) { return 0, g.err }

func TestStdoutThatIsClosed(t *testing.T) {
	for want, err := range map[string]error{
		"": &fs.PathError{Op: "write", Path: "/dev/stdout", Err: errClosedPipe},
		"youproxy: the disk is full\nthe list is not complete: it ended after 5 proxies\n": errors.New("the disk is full"),
	} {
		s := newShell(t)
		s.fill()
		s.out = gone{err}
		code, _, stderr := s.run("list")
		assert.Equal(t, 1, code)
		assert.Equal(t, want, stderr)
	}
}

// TestMoneyIsToldOnAClosedStdout: what may have been spent is never left untold.
func TestMoneyIsToldOnAClosedStdout(t *testing.T) {
	var errOut output
	a := &app{err: &errOut}
	closed := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: errClosedPipe}
	assert.Equal(t, exitMaySpent, a.report(&mayBeSpent{err: closed, next: "look at the journal"}))
	assert.Contains(t, errOut.String(), "look at the journal")
}

func TestWrongUsageOfReading(t *testing.T) {
	for line, want := range map[string]string{
		"list --type IPv5":                          "it must be IPv4, IPv6, MOBILE or ISP",
		"list --ending 0d":                          "--ending must be more than 0",
		"list --ending 7":                           "a number of days or hours",
		"list --output xml":                         `--output is json or csv, not "xml"`,
		"list extra":                                `unknown command "extra"`,
		"catalog IPv5":                              `"IPv5" is not a proxy type`,
		"catalog ISP USA":                           "accepts at most 1 arg",
		"export --format xml":                       `--format "xml" is neither one of url, host:port,`,
		"export --output json":                      "use --format csv or --format jsonl instead of --output",
		"export --scheme ftp":                       "it must be any, http, socks5 or socks5h",
		"export --scheme http --format csv":         "--scheme cannot be used with --format csv, which has both ports",
		"export --scheme http --format {{.Host}}":   "--scheme cannot be used with a template",
		"export --format {{.Host":                   "unclosed action",
		"export --format {{.Credentials.Password}}": "add .Reveal, as in",
		"check --target example.com":                "--target must be a URL of http or https with a host",
		"check --timeout 0s":                        "--timeout must be more than 0",
		"check --concurrency 0":                     "--concurrency must be 1 or more",
		"check --from=":                             "--from must name a file, or - for stdin",
		"check --from x --type ISP":                 "--type selects proxies of the account, and cannot be used with --from",
		"check --from no-such-file":                 "the list cannot be read: open no-such-file",
		"forward --every 0s":                        "--every must be 1s or more",
		"forward --addr 0.0.0.0:0":                  "is open to other machines: add --allow-remote",
		"completion tcsh":                           `unknown command "tcsh"`,
		"man":                                       "accepts 1 arg(s), received 0",
	} {
		t.Run(line, func(t *testing.T) {
			s := newShell(t)
			code, stdout, stderr := s.run(strings.Split(line, " ")...)
			assert.Equal(t, 2, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, want)
			assert.Empty(t, s.Requests())
		})
	}
}

func TestListThatIsRefused(t *testing.T) {
	s := newShell(t)
	s.env["YOUPROXY_API_KEY"] = "another"
	code, stdout, stderr := s.run("list")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "youproxy: GET /ipAddress: refused: the API key is not valid: \"Error api key\" (code 2); the call spends nothing\nCheck the API key in YOUPROXY_API_KEY or in the key file.\n", stderr)
}
