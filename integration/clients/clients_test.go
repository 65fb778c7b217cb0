package clients

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// results are what a generated client returned. Amounts are as it prints them.
type results struct {
	Balance           string   `json:"balance"`
	Price             string   `json:"price"`
	OrderNumber       string   `json:"orderNumber"`
	BalanceLeft       string   `json:"balanceLeft"`
	Refusal           int      `json:"refusal"`
	MobileProxies     []string `json:"mobileProxies"`
	BalanceOfStranger string   `json:"balanceOfStranger"`
	RefusalOfStranger int      `json:"refusalOfStranger"`
}

const serviceBase = "/client/api/v1"

// checkClient runs a generated client against the in-process service. It asks for
// the balance and a price, orders an IPv4 proxy, orders another for a goal that is
// refused, lists the proxies, and asks for the balance with an unknown key.
func checkClient(t *testing.T, balance string, run func(ctx context.Context, baseURL, key string) results) {
	t.Helper()
	start := youproxy.MustMoney(balance + " USD")
	fake := youproxytest.NewServer(youproxytest.WithBalance(start))
	t.Cleanup(fake.Close)
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeMobile, Country: "USA", Quantity: 2})
	var ids []string
	for _, ip := range fake.IPAddresses() {
		ids = append(ids, string(ip.ID))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	got := run(ctx, fake.URL()+serviceBase, fake.APIKey())

	orders := fake.Orders()
	require.Len(t, orders, 2)
	left := fake.Balance()
	assert.Equal(t, results{
		Balance:           balance,
		Price:             start.Amount.Sub(left.Amount).String(),
		OrderNumber:       string(orders[1].Number),
		BalanceLeft:       left.Amount.String(),
		Refusal:           int(youproxy.ErrIncorrectGoal),
		MobileProxies:     ids,
		BalanceOfStranger: "null",
		RefusalOfStranger: int(youproxy.ErrInvalidAPIKey),
	}, got)
}

// moreThanAFloat64 has more digits than a 64-bit floating-point number.
const moreThanAFloat64 = "12345678901234567.89"

// numbersAndNulls is a list of proxies whose ids and ports are numbers, strings
// and nulls.
const numbersAndNulls = `{"success": true, "error": null, "IPv4": [
	{"ipAddressId": 1111111111111111111, "orderId": "o", "httpsPort": 59100, "socks5Port": "59101", "rotationTime": null, "more": {}},
	{"orderId": 2, "ips": [{"id": "b", "httpsPort": null, "rotationTime": 300}]}
]}`

// serveReply returns the base URL of a service that answers every call with reply.
func serveReply(t *testing.T, reply string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(reply))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// No generator makes money a binary floating-point number.
func TestGeneratedGoHasNoFloats(t *testing.T) {
	for pattern, forbidden := range map[string][]string{
		"oapi/*.go":               {"float32", "float64"},
		"ogen/oas_schemas_gen.go": {"float32", "float64"},
		"ogen/*.go":               {"float32"}, // it measures durations in float64
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, `run "go generate" first`)
		for _, file := range files {
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(tree, func(n ast.Node) bool {
				if name, ok := n.(*ast.Ident); ok {
					assert.NotContains(t, forbidden, name.Name, file)
				}
				return true
			})
		}
	}
}

func TestTypeScriptClient(t *testing.T) {
	// JavaScript has no other numbers than 64-bit floating-point ones.
	checkClient(t, "1000.25", func(ctx context.Context, baseURL, key string) (got results) {
		out, err := exec.CommandContext(ctx, "node", "typescript/build/main.js", baseURL, key).Output()
		require.NoError(t, err, "%s", stderr(err))
		require.NoError(t, json.Unmarshal(out, &got))
		return got
	})
}

// The linter of descriptions, with its recommended rules, has nothing to say.
func TestDescriptionIsLinted(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "npm", "--silent", "--prefix", "typescript", "run", "lint").Output()
	assert.NoError(t, err, "%s", stderr(err))
	var report struct{ Totals map[string]int }
	require.NoError(t, json.Unmarshal(out, &report), "%s", out)
	assert.Equal(t, map[string]int{"errors": 0, "warnings": 0, "ignored": 0}, report.Totals, "%s", out)
}

func stderr(err error) []byte {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.Stderr
	}
	return nil
}
