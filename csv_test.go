package youproxy_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// csvValues are the cells of a proxy, before anything is done to them.
func csvValues(p youproxy.Proxy) []string {
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	instant := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return at.UTC().Format(time.RFC3339Nano)
	}
	as := youproxy.Credentials{}
	if p.Credentials != nil {
		as = *p.Credentials
	}
	return []string{
		string(p.ID), string(p.ProxyType), p.Host, number(p.HTTPPort), number(p.SOCKS5Port), as.Login, as.Password.Reveal(), p.Country, instant(p.Start), instant(p.End),
		strconv.FormatBool(p.AutoExtend), number(p.AutoExtendDays), string(p.OrderID), string(p.OrderNumber), p.MobileOperator, number(p.RotationTime), p.RebootURL.Reveal(),
	}
}

// requireCSV checks that text is a table of these proxies that reads back, and
// in which nothing is a formula.
func requireCSV(t *testing.T, text string, list ...youproxy.Proxy) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err, "%q", text)
	require.Len(t, rows, len(list)+1, "%q", text)
	assert.Equal(t, strings.Split(csvHeader, ","), rows[0])
	for i, row := range rows[1:] {
		var values []string
		for _, cell := range row {
			require.NotRegexp(t, "^[=+@\t\r\n＝＋－＠-]", cell)
			values = append(values, strings.TrimPrefix(cell, "'"))
		}
		require.Equal(t, csvValues(list[i]), values)
	}
}

func writtenAsCSV(t *testing.T, list ...youproxy.Proxy) (string, error) {
	t.Helper()
	var b bytes.Buffer
	err := youproxy.WriteProxies(&b, youproxy.LayoutCSV(), slices.Values(list))
	return b.String(), err
}

// everyText is a proxy with a text in every field that holds one.
func everyText(s string) youproxy.Proxy {
	return youproxy.Proxy{
		ID: youproxy.IPAddressID(s), ProxyType: youproxy.ProxyType(s), Host: s, Credentials: &youproxy.Credentials{Login: s, Password: youproxy.NewSecret(s)}, Country: s,
		OrderID: youproxy.OrderID(s), OrderNumber: youproxy.OrderNumber(s), MobileOperator: s, RebootURL: youproxy.NewSecret(s),
	}
}

func TestCSVReadsBack(t *testing.T) {
	t.Parallel()
	list := append(slices.Clone(layoutProxies), youproxy.Proxy{}, youproxy.Proxy{HTTPPort: -1, SOCKS5Port: -2, RotationTime: -3, AutoExtendDays: -4},
		youproxy.Proxy{Start: time.Date(2026, 10, 1, 0, 0, 0, 1, time.FixedZone("X", 7200))})
	for _, s := range []string{
		"=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "'", "''", "'=1", "＝1", "＋1", "－1", "＠1",
		`"`, `""`, `a"b`, `"=1"`, ",", ",=1", "a,=1", ";", ";=1", "a\nb", "a\n=1", "\n", " ", " a", "a ", `\.`, "\x00", "\ufeff=1", "\u2028", "é", "\xff",
	} {
		list = append(list, everyText(s))
	}
	for _, p := range list {
		text, err := writtenAsCSV(t, p)
		require.NoError(t, err)
		requireCSV(t, text, p)
		row, err := p.Format(youproxy.LayoutCSV())
		require.NoError(t, err)
		assert.Equal(t, text, csvHeader+"\n"+row+"\n")
	}
	text, err := writtenAsCSV(t, list...)
	require.NoError(t, err)
	requireCSV(t, text, list...)
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"", "=1", "'=1", "\t", "\n", "a\r\nb", `"`, `a","=1`, "＝", ";=1", "\xef\xbc"} {
		f.Add(s, "x", -1)
		f.Add("x", s, 65535)
	}
	f.Fuzz(func(t *testing.T, a, b string, port int) {
		first, second := everyText(a), everyText(b)
		first.HTTPPort, second.RotationTime = port, port
		text, err := writtenAsCSV(t, first, second)
		if strings.Contains(a+b, "\r") {
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			return
		}
		require.NoError(t, err)
		requireCSV(t, text, first, second)
	})
}

// What a spreadsheet would change is told from what it leaves as it is.
func TestCSVProtectsWhatSpreadsheetsChange(t *testing.T) {
	t.Parallel()
	cell := func(t *testing.T, password string) string {
		text, err := writtenAsCSV(t, youproxy.Proxy{ID: "x", Credentials: credentials("user", password)})
		require.NoError(t, err)
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		require.NoError(t, err)
		return rows[1][6]
	}
	for _, text := range []string{
		"0", "007", "8080", "1111111111111111110", "1.50", "1,5", "1 000", "1'000", "1e5", "1E5", "1e-5", "1E+05", "1 e5", "50%", "$5", "€5", "5 £", "(5)", "5-", "1/2", "½", "٣", "１２",
		"1-2", "2026-10-01", "2026-10-01T08:30:00", "5.10.2026", "12:30", "1:30 PM", "5am", "5 p", "Jan 1", "1 Jan 2026", "Mar-5", "MAR5", "sept1", "December 5", "May 5",
		"TRUE", "true", "False", "true ", "192.168.100.100", "1.100.100.100",
		"=1+1", "\x00=1+1", "\x01=1+1", "\x1f=1", "\x7f=1", "\ufeff=1", "\u200b=1", "\u00ad=1", "\u202e=1", "\u00a0=1", "\u2028=1", " =1", " a", "'", "@x", "＝1",
	} {
		assert.Equal(t, "'"+text, cell(t, text), "%q", text)
	}
	for _, text := range []string{
		"", "word", "a ", "a=1", "user1", "login-1", "1st", "Q1", "e5", "0x1F", "1d5", "mayor5", "5cents", "192.0.2.1", "192.168.0.1", "2001:db8::1", "::1", "1:2:3:4:5:6:7:8", "true1", "untrue", "é", "世界", "😀", "a\nb",
	} {
		assert.Equal(t, text, cell(t, text), "%q", text)
	}
}

// Spreadsheets may split at semicolons and tabs as well, but not inside of quotes.
func TestCSVQuotesOtherSeparators(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a;=1+1", "a\t=1+1", ";", "a\t"} {
		row, err := youproxy.Proxy{Credentials: credentials("user", text)}.Format(youproxy.LayoutCSV())
		require.NoError(t, err)
		assert.Contains(t, row, `,user,"`+text+`",`)
	}
}

// Numbers, times and truth values are for spreadsheets to read.
func TestCSVLeavesNumbersAsTheyAre(t *testing.T) {
	t.Parallel()
	p := fullProxy
	p.ID, p.OrderID = "a", "b"
	row, err := p.Format(youproxy.LayoutCSV())
	require.NoError(t, err)
	assert.NotContains(t, row, "'")
}
