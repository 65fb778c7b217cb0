package proxypool

import (
	"testing"

	"github.com/youproxy-go/youproxy/internal/long"
)

// whole reports whether tests run all of their cases, and in full.
func whole() bool { return long.Run() && !testing.Short() }

// Sampled reports whether a test runs its case i: one of so many cases, fewer with
// -short, and all in the long runs.
func Sampled(i, every int) bool {
	if testing.Short() {
		every *= 3
	}
	return whole() || i%every == 0
}

// Sized returns how many requests, say, a test makes: full in the long runs.
func Sized(few, full int) int {
	if whole() {
		return full
	}
	return few
}
