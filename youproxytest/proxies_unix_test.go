//go:build unix

package youproxytest_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestAnOrderWithoutSocketsIsRefused(t *testing.T) {
	s := newServer(t, youproxytest.WithProxies(), youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
	client := newClient(t, s)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	low := limit
	low.Cur = 200
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
