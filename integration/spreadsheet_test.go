package integration

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// spreadsheet has LibreOffice read a CSV in a language and write it as it shows it. As
// in LibreOffice's dialog, it splits at commas, semicolons and tabs.
func spreadsheet(t *testing.T, text, language string) [][]string {
	t.Helper()
	dir := t.TempDir()
	file := write(t, dir, "in.csv", text)
	_, err := run(t, "", program(t, "soffice", "libreoffice-calc-nogui"), "--headless", "-env:UserInstallation=file://"+filepath.Join(dir, "profile"),
		"--infilter=CSV:44/59/9,34,76,1,,"+language+",false,true,false", // separators, quote, UTF-8, from line 1, numbers and dates in any form
		"--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,"+language+",false,true,false", "--outdir", filepath.Join(dir, "out"), file)
	require.NoError(t, err)
	out, err := os.ReadFile(filepath.Join(dir, "out", "in.csv"))
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	require.NoError(t, err)
	return rows
}

// Strings that a spreadsheet would change in English, and those without letters in other
// languages as well.
var (
	changedInEnglish = []string{
		"1e5", "1E+05", "1 e5", "TRUE", "false", "Jan 1", "Mar-5", "Sept 1", "December 5", "1:30 PM", "5am", "2026-10-01T08:30:00",
	}
	changedAnywhere = []string{
		"0", "007", "8080", "1111111111111111110", "1.50", "1,5", "1.0000000000000001", "1 000", "50%", "$5", "€5", "(5)", "5-", "1/2", "3 1/2", "1-2", "1.2", "1.2.3", "5.10.2026", "2026-10-01",
		"12:30", "1:2:3", "192.168.100.100",
	}
	formulas = []string{"=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\n=1+1", " =1+1", "\x00=1+1", "\x01=1+1", "\x1f=1+1", "\ufeff=1+1", "\u200b=1+1", "\u00a0=1+1", "＝1+1", "a;=1+1", "a\t=1+1"}
	kept     = []string{
		"", "word", "user-1", "2001:db8::1", "192.0.2.1", "::1", "e5", "0x1F", "1st", "Q1", " a ", "a\nb", `a"b`, "a,b", "a;b", "'x", "#N/A", "https://example.com/?a=1&b=2", "é", "世界", "😀",
	}
)

func TestLibreOfficeChangesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		language string
		texts    []string
	}{
		"English (USA)": {"1033", slices.Concat(changedInEnglish, changedAnywhere, formulas, kept)},
		"English (UK)":  {"2057", slices.Concat(changedInEnglish, changedAnywhere, formulas, kept)},
		"German":        {"1031", slices.Concat(changedAnywhere, formulas, kept)},
		"French":        {"1036", slices.Concat(changedAnywhere, formulas, kept)},
		"Russian":       {"1049", slices.Concat(changedAnywhere, formulas, kept)},
		"Japanese":      {"1041", slices.Concat(changedAnywhere, formulas, kept)},
	} {
		t.Run(name, func(t *testing.T) {
			var proxies []youproxy.Proxy
			for _, s := range test.texts {
				proxies = append(proxies, youproxy.Proxy{
					ID: youproxy.IPAddressID(s), Host: "192.0.2.1", HTTPPort: 8080, OrderID: youproxy.OrderID(s), OrderNumber: youproxy.OrderNumber(s), Country: s, MobileOperator: s,
					Credentials: &youproxy.Credentials{Login: s, Password: youproxy.NewSecret(s)},
				})
			}
			var list strings.Builder
			require.NoError(t, youproxy.WriteProxies(&list, youproxy.LayoutCSV(), slices.Values(proxies)))
			rows := spreadsheet(t, list.String(), test.language)
			require.Len(t, rows, len(test.texts)+1)
			for i, row := range rows[1:] {
				want := strings.ReplaceAll(test.texts[i], "\x00", "") // a spreadsheet drops it
				for _, column := range []int{0, 5, 6, 7, 12, 13, 14} {
					assert.Equal(t, want, strings.TrimPrefix(row[column], "'"), "%q in %s", test.texts[i], rows[0][column])
				}
				assert.Equal(t, []string{"192.0.2.1", "8080"}, row[2:4])
			}
		})
	}
}

// Without an apostrophe, a spreadsheet does change these.
func TestLibreOfficeChangesWhatIsNotProtected(t *testing.T) {
	var list strings.Builder
	out := csv.NewWriter(&list)
	texts := []string{"007", "1e5", "1111111111111111110", "1.50", "1/2", "$5", "Mar-5", "5am", "(5)", "=1+1", "\x00=1+1"}
	for _, s := range texts {
		require.NoError(t, out.Write([]string{s, "x"}))
	}
	out.Flush()
	for i, row := range spreadsheet(t, list.String(), "1033") {
		assert.NotEqual(t, texts[i], row[0])
	}
}
