package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// withKey makes the program take a fake for the real service.
func withKey(t *testing.T) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer()
	t.Cleanup(fake.Close)
	t.Setenv("YOUPROXY_API_KEY", fake.APIKey())
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	return fake
}

func TestWithoutAKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	want, err := os.ReadFile("testdata/output.txt")
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	assert.Equal(t, string(want), out.String())
}

func TestOneJobBuysOnce(t *testing.T) {
	fake := withKey(t)
	journal := filepath.Join(t.TempDir(), "purchases.jsonl")
	args := []string{"-journal", journal, "-max-price", "10 USD", "-quantity", "2", "-job"}
	fake.Inject("POST /order", youproxytest.DropAfterCommit)
	var first, second, other bytes.Buffer

	require.NoError(t, run(t.Context(), append(args, "monday"), &first))
	require.NoError(t, run(t.Context(), append(args, "monday"), &second))
	assert.Equal(t, first.String(), second.String())
	assert.Len(t, fake.Orders(), 1)

	require.NoError(t, run(t.Context(), append(args, "tuesday"), &other))
	assert.NotEqual(t, first.String(), other.String())
	assert.Len(t, fake.Orders(), 2)
}

func TestErrors(t *testing.T) {
	fake := withKey(t)
	journal := filepath.Join(t.TempDir(), "purchases.jsonl")
	for name, args := range map[string][]string{
		"give -job and -max-price": {"-job", "monday"},
		"is not money":             {"-job", "monday", "-max-price", "10"},
		"above the limit":          {"-journal", journal, "-job", "monday", "-max-price", "1 USD"},
		"country must be three":    {"-journal", journal, "-job", "monday", "-max-price", "10 USD", "-country", "us"},
		"flag provided but":        {"-nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), args, &out)
			assert.ErrorContains(t, err, name)
			assert.NotContains(t, err.Error(), fake.APIKey())
			assert.Empty(t, out.String())
		})
	}
	assert.Empty(t, fake.Orders())
	err := run(t.Context(), []string{"-journal", journal, "-job", "monday", "-max-price", "1 USD"}, &bytes.Buffer{})
	assert.ErrorIs(t, err, youproxy.ErrPriceAboveLimit)
}
