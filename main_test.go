package youproxy_test

import (
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy/internal/long"
)

// TestMain fails the tests if one of them, or the package, leaves a goroutine
// behind. It collects garbage less often than is usual, which takes a quarter of
// the time otherwise.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	goleak.VerifyTestMain(m)
}

// size returns how large a test is: large in the long runs, small with -short.
func size(large, usual, small int) int {
	switch {
	case long.Run():
		return large
	case testing.Short():
		return small
	}
	return usual
}

// large skips a test of megabytes, or of thousands of entries, with -short.
func large(t *testing.T) {
	t.Helper()
	if size(0, 0, 1) == 1 {
		t.Skip("large")
	}
}
