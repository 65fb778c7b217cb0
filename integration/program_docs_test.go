package integration

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pageBlock returns what docs/program.md shows between a mark and the end of its block.
func pageBlock(t *testing.T, mark, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/program.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- "+mark+" -->\n```"+language+"\n")
	require.True(t, ok, mark)
	block, _, ok := strings.Cut(rest, "```\n")
	require.True(t, ok, mark)
	return block
}

// The ten commands of docs/program.md run as they are written, and print what it shows.
func TestProgramOfTheDocs(t *testing.T) {
	commands := pageBlock(t, "ten commands", "sh")
	assert.Equal(t, 10, strings.Count(commands, "\n"))
	p := newPerson(t)
	p.usesSandbox()
	page := targets["https HTTP/1.1"](t) // in place of example.com, which may be out of reach
	_, port, err := net.SplitHostPort(page.Listener.Addr().String())
	require.NoError(t, err)
	p.write(".curlrc", "silent\nshow-error\nfail\ninsecure\nconnect-to = \"example.com:443:127.0.0.1:"+port+"\"\n", 0o600)

	cmd := p.command("bash", "-e")
	cmd.Stdin = strings.NewReader(commands)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NotContains(t, string(out), p.env["YOUPROXY_API_KEY"])
	assert.Equal(t, 1, page.times(""))

	left := string(out)
	for line := range strings.Lines(pageBlock(t, "what they print, with ... for what is left out", "text")) {
		pattern := regexp.QuoteMeta(strings.TrimSuffix(line, "\n"))
		pattern = strings.NewReplacer(`\.\.\.`, `.*`, "  ", `\t`).Replace(pattern)
		found := regexp.MustCompile(`(?m)^` + pattern).FindStringIndex(left)
		require.NotNil(t, found, "%s is not printed, or not in this order:\n%s", line, out)
		left = left[found[1]:]
	}
}
