package integration

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// atExit is what is left to do when all tests have ended.
var atExit []func()

// TestMain runs the tests, or what a process of [startChild] is for.
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
