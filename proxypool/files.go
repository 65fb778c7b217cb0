//go:build !plan9

package proxypool

import "syscall"

// tooManyFiles are the errors for too many open files: of the process, and of the system.
var tooManyFiles = []error{syscall.EMFILE, syscall.ENFILE}
