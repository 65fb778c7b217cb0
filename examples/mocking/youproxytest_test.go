package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// newFake gives a Restocker whose client talks to a fake service, which keeps an
// account as the real one does.
func newFake(t *testing.T, opts ...youproxytest.Option) (fake *youproxytest.Server, restocker *Restocker) {
	fake = youproxytest.NewServer(opts...)
	t.Cleanup(fake.Close)
	client, err := fake.Client(youproxy.WithReadRetries(0))
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return fake, &Restocker{Ordering: client, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("10 USD")}
}

func TestRestockTakesTheMoneyOnce(t *testing.T) {
	fake, restocker := newFake(t, youproxytest.WithBalance(youproxy.MustMoney("100 USD")))

	decision, order, err := restocker.Restock(t.Context(), 3)

	require.NoError(t, err)
	assert.Equal(t, Restocked, decision)
	placed := fake.Orders()
	require.Len(t, placed, 1)
	assert.Equal(t, order.Number, placed[0].Number)
	assert.Equal(t, 2, placed[0].Quantity)
	assert.True(t, order.Balance.Equal(fake.Balance()))
}

func TestRestockWithAnEmptyAccount(t *testing.T) {
	fake, restocker := newFake(t, youproxytest.WithBalance(youproxy.MustMoney("0.01 USD")))

	decision, _, err := restocker.Restock(t.Context(), 4)

	assert.Equal(t, AskHuman, decision)
	assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
	assert.Empty(t, fake.Orders())
}

// A connection that breaks looks the same to a program whether or not the order
// was placed, so the Restocker must never order again by itself.
func TestRestockWhenTheConnectionBreaks(t *testing.T) {
	for name, test := range map[string]struct {
		fault  youproxytest.Fault
		placed int
	}{
		"before the order was placed": {youproxytest.DropBeforeCommit, 0},
		"after the order was placed":  {youproxytest.DropAfterCommit, 1},
	} {
		t.Run(name, func(t *testing.T) {
			fake, restocker := newFake(t)
			fake.Inject("POST /order", test.fault)

			decision, _, err := restocker.Restock(t.Context(), 4)

			assert.Equal(t, AskHuman, decision)
			assert.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
			assert.Len(t, fake.Orders(), test.placed)
		})
	}
}

func TestRestockRepeatsLater(t *testing.T) {
	fake, restocker := newFake(t)
	fake.Inject("POST /order", youproxytest.TooManyRequests)

	decision, _, err := restocker.Restock(t.Context(), 4)
	require.Error(t, err)
	require.Equal(t, RepeatLater, decision)
	require.Empty(t, fake.Orders())

	decision, _, err = restocker.Restock(t.Context(), 4) // the fault is over
	require.NoError(t, err)
	assert.Equal(t, Restocked, decision)
	assert.Len(t, fake.Orders(), 1)
}

func TestRestockWithACancelledContext(t *testing.T) {
	fake, restocker := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	decision, _, err := restocker.Restock(ctx, 4)

	assert.Equal(t, RepeatLater, decision)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, fake.Requests())
}
