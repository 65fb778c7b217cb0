package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompletion(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		noKey  bool
		refuse string // a call
		want   string
	}{
		"types":                   {args: []string{"list", "--type", ""}, want: "IPv4\nIPv6\nMOBILE\nISP\n"},
		"types without a key":     {args: []string{"list", "--type", ""}, noKey: true, want: "IPv4\nIPv6\nMOBILE\nISP\n"},
		"types that are refused":  {args: []string{"list", "--type", ""}, refuse: "GET /proxyType", want: "IPv4\nIPv6\nMOBILE\nISP\n"},
		"countries":               {args: []string{"export", "--country", ""}, want: "DEU\tproxies: 2\nGBR\tproxies: 1\nUSA\tproxies: 2\n"},
		"countries of a type":     {args: []string{"check", "--type", "MOBILE", "--country", ""}, want: "GBR\tproxies: 1\n"},
		"countries without a key": {args: []string{"forward", "--country", ""}, noKey: true},
		"countries refused":       {args: []string{"forward", "--country", ""}, refuse: "GET /ipAddress"},
		"what the catalog has":    {args: []string{"catalog", ""}, want: "promo-codes\tShow the promo codes of the account\nIPv4\nIPv6\nMOBILE\nISP\n"},
		"schemes":                 {args: []string{"forward", "--scheme", ""}, want: "any\nhttp\nsocks5\nsocks5h\n"},
		"formats":                 {args: []string{"export", "--format", "j"}, want: strings.Join(formatNames(), "\n") + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			if test.noKey {
				s.env["YOUPROXY_API_KEY"] = ""
				s.env["YOUPROXY_API_KEY_FILE"] = filepath.Join(t.TempDir(), "none")
			}
			if test.refuse != "" {
				s.Refuse(test.refuse, 2)
			}
			code, stdout, _ := s.run(append([]string{"__complete"}, test.args...)...)
			assert.Equal(t, 0, code)
			assert.Equal(t, test.want+":4\n", stdout)
			assert.Empty(t, s.Pending())
		})
	}
}

func TestCompletionOffersNoTypeThatTheFlagRefuses(t *testing.T) {
	s := newShell(t)
	s.inFrontOf(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success": true, "errors": [], "proxyTypes": ["ISP", "QUANTUM"]}`)
	})
	_, stdout, _ := s.run("__complete", "list", "--type", "")
	assert.Equal(t, "ISP\n:4\n", stdout)
}

func TestCompletionOfWhatIsOnSale(t *testing.T) {
	s := newShell(t)
	for _, name := range []string{"buy", "quote"} {
		_, stdout, _ := s.run("__complete", name, "--country", "")
		assert.Equal(t, 6, strings.Count(stdout, "\n"), stdout)
		assert.True(t, strings.HasPrefix(stdout, "USA\tUnited States\n"), stdout)
		_, stdout, _ = s.run("__complete", name, "--type", "mobile", "--country", "")
		assert.Equal(t, 4, strings.Count(stdout, "\n"), stdout)
	}
	for _, name := range []string{"buy", "quote", "extend", "auto-extend", "renew"} {
		_, stdout, _ := s.run("__complete", name, "--type", "")
		assert.Equal(t, "IPv4\nIPv6\nMOBILE\nISP\n:4\n", stdout, name)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := newShell(t).run("completion", name)
		assert.Equal(t, 0, code, name)
		assert.Contains(t, stdout, "__complete")
		assert.Empty(t, stderr)
	}
}

// TestEachCommandHasAnExample walks over all commands, so that none is forgotten.
func TestEachCommandHasAnExample(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		assert.Contains(t, cmd.Example, "youproxy ", cmd.CommandPath())
		assert.NotEmpty(t, cmd.Short, cmd.CommandPath())
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
}

func TestManualPages(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "man1")
	code, stdout, stderr := newShell(t).run("man", folder)
	assert.Equal(t, 0, code)
	assert.Empty(t, stdout+stderr)
	page, err := os.ReadFile(filepath.Join(folder, "youproxy-export.1"))
	require.NoError(t, err)
	assert.Contains(t, string(page), ".TH \"YOUPROXY\" \"1\"")
	assert.Contains(t, string(page), "EXAMPLE")
	assert.Contains(t, filesIn(t, folder), "youproxy-catalog-promo-codes.1")
	assert.False(t, slices.Contains(filesIn(t, folder), "youproxy-man.1"), "it is hidden")

	code, _, stderr = newShell(t).run("man", filepath.Join(folder, "youproxy-export.1"))
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "the folder of the manual pages cannot be created: ")
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "12h": 12 * time.Hour, "90m": 90 * time.Minute, "99999999d": 36500 * 24 * time.Hour,
	} {
		var span timeSpan
		require.NoError(t, span.Set(text))
		assert.Equal(t, want, time.Duration(span))
	}
	for _, text := range []string{"", "d", "7", "-7d", "1.5d", "week"} {
		assert.Error(t, new(timeSpan).Set(text), text)
	}
}
