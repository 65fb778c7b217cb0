package main

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestExport(t *testing.T) {
	s := newShell(t)
	s.fill()
	code, stdout, stderr := s.run("export")
	assert.Equal(t, 0, code)
	assert.Equal(t, s.urls(), stdout)
	assert.Empty(t, stderr)

	lines := strings.SplitAfter(s.urls(), "\n")
	_, stdout, _ = s.run("export", "--country", "DEU")
	assert.Equal(t, lines[2]+lines[3], stdout)
}

func TestExportFormats(t *testing.T) {
	const template = `{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}`
	for name, test := range map[string]struct{ args, want string }{
		"host and port":      {"--format host:port", "198.18.0.4:59100\n"},
		"login behind":       {"--format host:port:login:password", "198.18.0.4:59100:login3:Pwdaa66d13\n"},
		"login before":       {"--format login:password@host:port", "login3:Pwdaa66d13@198.18.0.4:59100\n"},
		"URL":                {"--format URL", "http://login3:Pwdaa66d13@198.18.0.4:59100\n"},
		"curl":               {"--format curl", "proxy = \"http://login3:Pwdaa66d13@198.18.0.4:59100\"\n"},
		"SOCKS5":             {"--scheme SOCKS5", "socks5://login3:Pwdaa66d13@198.18.0.4:59101\n"},
		"SOCKS5H":            {"--scheme socks5h", "socks5h://login3:Pwdaa66d13@198.18.0.4:59101\n"},
		"the port of SOCKS5": {"--scheme socks5 --format host:port", "198.18.0.4:59101\n"},
		"HTTP":               {"--scheme http", "http://login3:Pwdaa66d13@198.18.0.4:59100\n"},
		"any scheme":         {"--scheme any", "http://login3:Pwdaa66d13@198.18.0.4:59100\n"},
		"a template":         {"", "198.18.0.4 59100 login3 Pwdaa66d13\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			args := append([]string{"export", "--type", "mobile"}, strings.Fields(test.args)...)
			if test.args == "" {
				args = append(args, "--format", template)
			}
			code, stdout, stderr := s.run(args...)
			assert.Equal(t, 0, code)
			assert.Empty(t, stderr)
			assert.Equal(t, test.want, stdout)
		})
	}
}

// TestExportReadsBack gives the list to readers that are not this module's.
func TestExportReadsBack(t *testing.T) {
	type objects []map[string]string
	for format, test := range map[string]struct {
		leftOut   int
		passwords func(t *testing.T, stdout string) []string
	}{
		"csv": {0, func(t *testing.T, stdout string) (found []string) {
			rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
			require.NoError(t, err)
			require.Equal(t, "password", rows[0][6])
			for _, row := range rows[1:] {
				found = append(found, row[6])
			}
			return found
		}},
		"jsonl": {0, func(t *testing.T, stdout string) (found []string) {
			for line := range strings.Lines(stdout) {
				var p youproxy.Proxy
				require.NoError(t, json.Unmarshal([]byte(line), &p))
				found = append(found, p.Credentials.Password.Reveal())
			}
			return found
		}},
		"playwright": {2, func(t *testing.T, stdout string) (found []string) {
			var list objects
			require.NoError(t, json.Unmarshal([]byte(stdout), &list))
			for _, p := range list {
				found = append(found, p["password"])
			}
			return found
		}},
		"scrapy": {2, func(t *testing.T, stdout string) (found []string) {
			var list objects
			require.NoError(t, json.Unmarshal([]byte(stdout), &list))
			for _, p := range list {
				_, rest, _ := strings.Cut(strings.TrimPrefix(p["proxy"], "http://"), ":")
				password, _, _ := strings.Cut(rest, "@")
				found = append(found, password)
			}
			return found
		}},
	} {
		t.Run(format, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			code, stdout, stderr := s.run("export", "--format", format)
			require.Equal(t, 0, code, stderr)
			assert.Equal(t, test.leftOut, strings.Count(stderr, "left out: "))
			var want []string
			for _, ip := range s.IPAddresses() {
				if ip.HTTPPort != 0 || test.leftOut == 0 {
					want = append(want, ip.Password)
				}
			}
			assert.Equal(t, want, test.passwords(t, stdout))
		})
	}
}

func TestExportOfNothing(t *testing.T) {
	for format, want := range map[string]string{
		"url": "", "csv": "id,type,host,", "jsonl": "", "playwright": "[\n\n]\n", "host:port": "",
	} {
		code, stdout, stderr := newShell(t).run("export", "--format", format)
		assert.Equal(t, 0, code, format)
		assert.Equal(t, "there are no proxies\n", stderr)
		assert.Equal(t, want, stdout[:min(len(stdout), max(len(want), 1))], format)
	}
}

func TestExportLeavesOut(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		badAuth bool // of all
		why     string
	}{
		"no port for the scheme":              {args: []string{"--scheme", "http"}, why: "it has no port for http"},
		"a form that lacks the scheme":        {args: []string{"--format", "scrapy"}, why: "it has no port for http"},
		"a form that lacks logins":            {args: []string{"--format", "playwright"}, why: "browsers cannot log in to a SOCKS5 proxy"},
		"a template that asks for the scheme": {args: []string{"--format", `{{.URL "http"}}`}, why: "it has no port for http"},
		"a login with a colon":                {args: []string{"--format", "login:password@host:port"}, badAuth: true, why: "HTTP cannot carry a login with a colon"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			wantCode, wantOut := 0, 2
			if test.badAuth {
				s.SetListShape(youproxytest.ListShape{Extra: map[string]any{"authInfo": map[string]string{"login": "a:b", "password": "Pw12345678"}}})
				wantCode, wantOut = 1, 5
			}
			code, stdout, stderr := s.run(append([]string{"export"}, test.args...)...)
			assert.Equal(t, wantCode, code)
			assert.Equal(t, wantOut, strings.Count(stderr, "left out: proxy "))
			assert.Contains(t, stderr, "left out: proxy "+string(s.IPAddresses()[2].ID))
			assert.Contains(t, stderr, test.why)
			if test.badAuth {
				assert.Contains(t, stderr, "youproxy: none of 5 proxies can be written in the layout ")
				assert.Empty(t, stdout)
			} else {
				assert.Contains(t, stdout, s.IPAddresses()[4].Host)
				assert.NotContains(t, stdout, s.IPAddresses()[2].Host)
			}
		})
	}
}

func TestExportWithATemplateThatFails(t *testing.T) {
	s := newShell(t)
	s.fill()
	code, stdout, stderr := s.run("export", "--format", "{{.Hosst}}")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "can't evaluate field Hosst")
	assert.Contains(t, stderr, "\nthe list on stdout is not complete\n")
}
