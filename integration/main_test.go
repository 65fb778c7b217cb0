package integration

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// atExit has functions to call when all tests have ended.
var atExit []func()

// TestMain runs the tests, or the role of a process that [startChild] started.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(runChild(role))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, f := range atExit {
			f()
		}
		os.Exit(code)
	}))
}
