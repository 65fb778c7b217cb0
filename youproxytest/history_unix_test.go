//go:build unix

package youproxytest_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.jsonl")
	s := openServer(t, path)
	send(t, s, "POST /order", ipv4Body)
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	low := limit
	low.Cur = uint64(len(before) + 50) // in the middle of a line
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low))
	_, _, reply := send(t, s, "POST /order", ipv4Body)
	s.Inject("POST /order", youproxytest.CommitLate)
	lose(t, s, "POST /order", ipv4Body)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))

	assert.Contains(t, reply, `"code": 35, "message": "the account cannot be kept: write `)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.Equal(t, "98.69 USD", s.Balance().String())
	send(t, s, "POST /order", ipv4Body)
	s.Close()
	assert.Len(t, openServer(t, path).Orders(), 2)
}
