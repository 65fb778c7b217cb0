//go:build !plan9

package main

import (
	"os/signal"
	"syscall"
)

// errClosedPipe is the error of a write that nobody reads.
const errClosedPipe = syscall.EPIPE

// ignoreClosedPipe makes a write to a closed pipe return an error instead of killing the
// program, so that a command can still remove its files.
func ignoreClosedPipe() {
	const sigPipe = syscall.Signal(13) // not every system has it, and not all of those name it
	signal.Ignore(sigPipe)
}
