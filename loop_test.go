package youproxy_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/internal/looptest"
)

// TestLoop makes one wanted purchase in all the ways that programs do, with every fault of
// the fake service: how often is it charged?
func TestLoop(t *testing.T) {
	t.Parallel()
	table := looptest.Table(
		t,
		looptest.Journals{Name: "In memory", Fresh: func(*testing.T) func() youproxy.Journal { return youproxy.NewMemoryJournal }},
		looptest.Journals{Name: "In a file", Lasts: true, Fresh: func(t *testing.T) func() youproxy.Journal {
			path := filepath.Join(t.TempDir(), "journal")
			return func() youproxy.Journal {
				j, err := filejournal.Open(path)
				require.NoError(t, err)
				return j
			}
		}},
	)
	t.Log("\n" + table)
	if strings.Contains(table, "|  |") {
		t.Skip("only some of the callers ran")
	}
	inDocs(t, "docs/spending.md", "<!-- callers: written by go test -run TestLoop . -update -->\n", table, "<!-- end of callers -->")
}
