package youproxy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/outcometest"
)

var update = flag.Bool("update", false, "write the tables of the README anew")

// TestOutcomes makes everything happen to an order that can, against a real
// listener: how often did it arrive, and what is said of it?
func TestOutcomes(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, c := range outcometest.Cases {
			t.Run(fmt.Sprintf("HTTP/%d/%s", map[bool]int{false: 1, true: 2}[http2], c.Name), func(t *testing.T) {
				t.Parallel()
				reached, err := c.Run(t, http2, nil)
				assert.Equal(t, c.Reached, reached, "how often the order reached the service")
				assert.Equal(t, c.Outcome, youproxy.OutcomeOf(err), "%v", err)
				assert.Equal(t, c.Outcome == youproxy.OutcomeUnknown, errors.Is(err, youproxy.ErrOutcomeUnknown))
				assert.Equal(t, c.Outcome == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))
				assertKind(t, c.Error, err)
			})
		}
	}
}

func assertKind(t *testing.T, kind string, err error) {
	var apiErr *youproxy.APIError
	var callErr *youproxy.CallError
	if kind == "none" {
		require.NoError(t, err)
		return
	}
	assert.Equal(t, strings.Contains(kind, "APIError"), errors.As(err, &apiErr), "%v", err)
	assert.Equal(t, strings.Contains(kind, "CallError"), errors.As(err, &callErr), "%v", err)
	assert.Equal(t, strings.Contains(kind, "ErrRedirect"), errors.Is(err, youproxy.ErrRedirect), "%v", err)
	assert.Equal(t, strings.Contains(kind, "ErrReplyTooLarge"), errors.Is(err, youproxy.ErrReplyTooLarge), "%v", err)
}

// TestREADMEOutcomes holds the README's table against the cases; -update writes
// it anew.
func TestREADMEOutcomes(t *testing.T) {
	var table strings.Builder
	table.WriteString("| What happens to the order | It arrives | `OutcomeOf` | Error |\n|---|---|---|---|\n")
	for _, c := range outcometest.Cases {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", c.Name,
			[]string{"never", "once"}[c.Reached], c.Outcome, c.Error)
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	const begin, end = "<!-- outcomes: written by go test -run README -update -->\n", "<!-- end of outcomes -->"
	before, rest, ok := strings.Cut(string(readme), begin)
	require.True(t, ok, "the README has no place for the table")
	shown, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(before+begin+table.String()+end+after), 0o644))
		return
	}
	assert.Equal(t, table.String(), shown)
}
