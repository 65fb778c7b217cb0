package main

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

func TestWithoutAKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	const golden = "testdata/output.txt"
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	if *update {
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), out.String())
}

// withKey makes the program take a fake for the real service. Of its account, three ISP
// proxies end within three days.
func withKey(t *testing.T) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer()
	t.Cleanup(fake.Close)
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 3, CreatedAt: time.Now().AddDate(0, 0, -28)})
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 4})
	t.Setenv("YOUPROXY_API_KEY", fake.APIKey())
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	t.Chdir(t.TempDir())
	return fake
}

func TestTwoNights(t *testing.T) {
	fake := withKey(t)
	fake.Inject("POST /extend", youproxytest.DropAfterCommit)
	args := []string{"-max-price", "7 USD", "-max-day", "6 USD"}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args, &out))
	assert.Contains(t, out.String(), "renewed 2 x ISP for 4.8 USD\n")
	assert.Contains(t, out.String(), "Left out: 1 x ISP, above the budget\n")
	out.Reset()
	require.NoError(t, run(t.Context(), args, &out), "the day's budget is spent")
	assert.Contains(t, out.String(), "Left out: 1 x ISP, above the budget\n")
	require.NoError(t, run(t.Context(), []string{"-max-price", "7 USD", "-max-day", "8 USD"}, &out))
	assert.Contains(t, out.String(), "renewed 1 x ISP for 2.4 USD\n")
	assert.Len(t, fake.Extensions(), 2)
}

func TestErrors(t *testing.T) {
	fake := withKey(t)
	for name, args := range map[string][]string{
		"limit must be an amount":      {"-max-day", "8 USD"},
		"the budget is unknown":        {"-max-price", "8 USD"},
		"is not money":                 {"-max-price", "8,00 USD"},
		"flag provided but not define": {"-buy"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, run(t.Context(), args, &bytes.Buffer{}), name)
		})
	}
	fake.Refuse("POST /extend", 24)
	err := run(t.Context(), []string{"-max-price", "8 USD", "-max-day", "8 USD"}, &bytes.Buffer{})
	assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
	assert.Empty(t, fake.Extensions())
}
