package integration

import (
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/looptest"
	"github.com/youproxy-go/youproxy/sqljournal"
)

// TestSQLLoop makes one purchase in all the ways that programs do, with every fault of
// the fake service and a journal in a database. It must be charged at most once.
func TestSQLLoop(t *testing.T) {
	for kind, start := range databaseServers {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			database := s.database(t)
			dsn := s.dsn(s.port, database, "")
			var accounts atomic.Int64
			t.Log("\n" + looptest.Table(t, looptest.Journals{Name: "In " + kind, Lasts: true, Waits: true, Fresh: func(t *testing.T) func() youproxy.Journal {
				account := fmt.Sprint("account ", accounts.Add(1))
				return func() youproxy.Journal {
					db, err := sql.Open(driverOf(s.dialect), dsn)
					require.NoError(t, err)
					t.Cleanup(func() { _ = db.Close() })
					j, err := sqljournal.New(db, s.dialect, account)
					require.NoError(t, err)
					return j
				}
			}}))
		})
	}
}
