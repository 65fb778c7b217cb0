package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// table is the output of a command: columns on a terminal, lines with tabs between the
// values elsewhere, or CSV.
type table struct {
	head []string
	rows [][]string
}

// add adds a row of values.
func (t *table) add(values ...any) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = fmt.Sprint(v)
	}
	t.rows = append(t.rows, row)
}

// show writes a table, or with --output json value, as one JSON value.
func (a *app) show(t *table, value any) error {
	if a.output == "json" {
		text, err := toJSON(value, "  ")
		if err == nil {
			_, err = fmt.Fprintf(a.out, "%s\n", text)
		}
		return err
	}
	s := a.newStream(t.head...)
	for _, row := range t.rows {
		if s.write(row) != nil {
			break // end returns it
		}
	}
	return s.end(nil)
}

// toJSON returns a value in JSON, on one line if indent is empty, with escapes for the
// characters that do not print.
func toJSON(value any, indent string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(value)
	return plainJSON(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), err
}

// plain returns a string of the service with escapes for the characters that do not print,
// such as those that move the cursor or change the direction of writing.
func plain(text string) string {
	var shown strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			shown.WriteRune(r)
		} else {
			shown.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return shown.String()
}

// plainJSON returns JSON with escapes for the characters that do not print.
func plainJSON(text []byte) []byte {
	var shown []byte
	for _, r := range string(text) {
		if unicode.IsPrint(r) || r == '\n' { // in a string it is escaped already
			shown = utf8.AppendRune(shown, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			shown = fmt.Appendf(shown, `\u%04x`, unit)
		}
	}
	return shown
}

// note prints a line to stderr.
func (a *app) note(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }
