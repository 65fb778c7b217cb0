package proxypool

import "syscall"

// tooManyFiles are the errors for too many open files. Plan 9 has one.
var tooManyFiles = []error{syscall.EMFILE}
