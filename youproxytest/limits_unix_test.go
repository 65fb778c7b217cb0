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

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// setLimit sets a limit, whose type depends on the system.
func setLimit[T int64 | uint64](limit *T, to int) { *limit = T(to) }

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	if !runsAlone(t) {
		return
	}
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
	setLimit(&low.Cur, len(before)+50) // in the middle of a line
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

func TestAnOrderWithoutSocketsIsRefused(t *testing.T) {
	if !runsAlone(t) {
		return
	}
	s := newServer(t, youproxytest.WithProxies(), youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
	client := newClient(t, s)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	low := limit
	setLimit(&low.Cur, 200)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	order := ipv4Order
	order.Quantity = 150
	_, err := client.CreateOrder(t.Context(), order)
	panicked := assert.Panics(t, func() { s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 150}) })
	order.Quantity = 2
	_, errAfter := client.CreateOrder(t.Context(), order)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.ErrorIs(t, err, youproxy.ErrServiceFault)
	assert.ErrorContains(t, err, "the proxies cannot work: ")
	require.NoError(t, errAfter, "the sockets are free again")
	assert.True(t, panicked)
	assert.Len(t, s.Orders(), 1)
	assert.Len(t, s.IPAddresses(), 2)
	assert.Equal(t, youproxy.IPAddressID(ipv4ID), s.IPAddresses()[0].ID, "a refused order takes no ids")
	assert.Equal(t, youproxy.MustMoney("1000 USD").Amount.Sub(s.Orders()[0].Price.Amount), s.Balance().Amount, "only the two were paid")
}
