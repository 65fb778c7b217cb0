package youproxy

import (
	"bytes"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// csvColumns lists the columns of [LayoutCSV].
var csvColumns = []struct {
	name  string
	text  bool // a spreadsheet must not take it for a number, a date or a truth value
	value func(p Proxy) string
}{
	{"id", true, func(p Proxy) string { return string(p.ID) }},
	{"type", true, func(p Proxy) string { return string(p.ProxyType) }},
	{"host", true, Proxy.host},
	{"http_port", false, func(p Proxy) string { return numberOrNone(p.HTTPPort) }},
	{"socks5_port", false, func(p Proxy) string { return numberOrNone(p.SOCKS5Port) }},
	{"login", true, func(p Proxy) string {
		if p.Credentials == nil {
			return ""
		}
		return p.Credentials.Login
	}},
	{"password", true, func(p Proxy) string {
		if p.Credentials == nil {
			return ""
		}
		return p.Credentials.Password.Reveal()
	}},
	{"country", true, func(p Proxy) string { return p.Country }},
	{"start", false, func(p Proxy) string { return timeOrNone(p.Start) }},
	{"end", false, func(p Proxy) string { return timeOrNone(p.End) }},
	{"auto_extend", false, func(p Proxy) string { return strconv.FormatBool(p.AutoExtend) }},
	{"auto_extend_days", false, func(p Proxy) string { return numberOrNone(p.AutoExtendDays) }},
	{"order_id", true, func(p Proxy) string { return string(p.OrderID) }},
	{"order_number", true, func(p Proxy) string { return string(p.OrderNumber) }},
	{"mobile_operator", true, func(p Proxy) string { return p.MobileOperator }},
	{"rotation_time", false, func(p Proxy) string { return numberOrNone(p.RotationTime) }},
	{"reboot_url", true, func(p Proxy) string { return p.RebootURL.Reveal() }},
}

func numberOrNone(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func timeOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// LayoutCSV writes a header and comma-separated values, for spreadsheets (RFC 4180, but
// rows end with a line feed). Times are in UTC, the rotation time is in seconds, and
// unknown values are empty. Values with a semicolon or a tab are quoted too, as
// LibreOffice splits at these by default. [Proxy.Format] returns a row without the
// header.
//
// An apostrophe is written before each value that a spreadsheet could take for a formula:
// one that begins with = + - @ or their wide forms, an apostrophe, a blank, or an
// invisible character. It is also written before an id, login, password or other string
// that a spreadsheet in English would change: one with digits but no letters, such as
// 1111111111111111110, 007 or 1-2, except an IP address; a number or a date with letters,
// such as 1e5 or Mar-5; and true and false. A program that reads the values must remove a
// leading apostrophe.
//
// A carriage return in a value is an error, as it would not be read back. Spreadsheets
// drop a NUL; programs can read it.
func LayoutCSV() Layout {
	names := make([]string, len(csvColumns))
	for i, c := range csvColumns {
		names[i] = c.name
	}
	return Layout{name: "CSV", head: strings.Join(names, ",") + "\n", between: "\n", tail: "\n", row: func(w *bytes.Buffer, p Proxy) error {
		row := make([]string, len(csvColumns))
		for i, c := range csvColumns {
			row[i] = c.value(p)
			if strings.Contains(row[i], "\r") {
				return p.notUsable("CSV cannot carry the carriage return in its %s", c.name)
			}
			if likeFormula(row[i]) || c.text && likeNumber(row[i]) {
				row[i] = "'" + row[i]
			}
			if strings.ContainsAny(row[i], "\",;\t\n") {
				row[i] = `"` + strings.ReplaceAll(row[i], `"`, `""`) + `"`
			}
		}
		w.WriteString(strings.Join(row, ","))
		return nil
	}}
}

// likeFormula reports whether a spreadsheet could take s for a formula. It may drop an
// invisible character before it looks.
func likeFormula(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return s != "" && (strings.ContainsRune("=+-@'＝＋－＠ ", first) || !unicode.IsPrint(first))
}

// numberWords matches the letters in numbers, dates and times as a spreadsheet in English
// reads them, such as 1e5, 2026-10-01T08:30, 5 pm and 1-Mar.
var numberWords = regexp.MustCompile(`(?i)\pN\s*(?:[et]|[ap]m?)|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?`)

// likeNumber reports whether a spreadsheet could take s for a number, a date, a time or a
// truth value, and so change it. Where a dot separates thousands, that includes an
// address such as 192.168.100.100.
func likeNumber(s string) bool {
	if !strings.ContainsFunc(s, unicode.IsNumber) {
		s = strings.TrimSpace(s)
		return strings.EqualFold(s, "true") || strings.EqualFold(s, "false")
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Is4() && thousands.MatchString(s)
	}
	return !strings.ContainsFunc(numberWords.ReplaceAllString(s, ""), unicode.IsLetter)
}

var thousands = regexp.MustCompile(`^\d{1,3}(?:\.\d{3}){3}$`)
