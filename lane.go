package youproxy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// takeTurn waits until nothing else of this client spends, and for the caller's
// lock. All that the turn is for is done with the context that it returns.
func (c *core) takeTurn(ctx context.Context, op string) (turn context.Context, leave func(), err error) {
	turn, err = c.lane.enter(ctx)
	if err != nil {
		if errors.Is(err, errWithinSpend) {
			return nil, nil, notSent(op, err)
		}
		return nil, nil, notSent(op, fmt.Errorf("%w while waiting for another purchase to end", outside(c.redact, err)))
	}
	if c.config.spendLock == nil {
		return turn, c.leaveLane, nil
	}
	defer func() {
		if leave == nil { // no lock, or a panic
			c.lane.leave()
		}
	}()
	unlock, err := c.config.spendLock(turn)
	if err != nil {
		return nil, nil, notSent(op, fmt.Errorf("the spend lock was not taken: %w", outside(c.redact, err)))
	}
	return turn, func() {
		defer c.lane.leave()
		if unlock != nil {
			unlock()
		}
	}, nil
}

// lane lets the calls that spend take turns.
type lane struct {
	taken chan struct{}
	turns atomic.Uint64 // that have ended
}

func newLane() *lane { return &lane{taken: make(chan struct{}, 1)} }

// turn is the context of all that is done within a turn.
type turn struct {
	context.Context
	lane   *lane
	number uint64
}

func (t *turn) Value(key any) any {
	if key == any(t.lane) {
		return t.number
	}
	return t.Context.Value(key)
}

var errWithinSpend = errors.New("called by a function that this client calls while it spends, which would wait for itself")

// enter waits for the turn, and returns the context for what is done in it: within
// it another one cannot begin.
func (l *lane) enter(ctx context.Context) (context.Context, error) {
	if err := contextError(ctx, nil); err != nil {
		return nil, err
	}
	if number, ok := ctx.Value(l).(uint64); ok && number == l.turns.Load() {
		return nil, errWithinSpend
	}
	select {
	case l.taken <- struct{}{}:
		return &turn{ctx, l, l.turns.Load()}, nil
	case <-ctx.Done():
		return nil, contextError(ctx, nil)
	}
}

func (l *lane) leave() {
	l.turns.Add(1)
	<-l.taken
}
