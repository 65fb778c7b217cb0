package filejournal

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the tests if one of them, or the package, leaves a goroutine
// behind. Where the tests have started their own program again, it does what they
// ask for instead.
func TestMain(m *testing.M) {
	if job := os.Getenv(childJob); job != "" {
		os.Exit(child(job))
	}
	goleak.VerifyTestMain(m)
}
