package proxypool

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Many tests wait for a time to run out, so more of them run at once than there are
	// processors.
	if parallel := flag.Lookup("test.parallel"); !whole() && parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("4")
	}
	goleak.VerifyTestMain(m)
}
