// Package long tells tests whether the long runs were asked for.
package long

import "os"

// Run reports whether YOUPROXY_LONG_TESTS is set to 1, as CI does.
func Run() bool { return os.Getenv("YOUPROXY_LONG_TESTS") == "1" }
