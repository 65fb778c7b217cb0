package main

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
)

// plain returns a text of the service as it can be shown on a terminal: in quotes and
// with escapes where it has characters that do not print, such as those that move the
// cursor or turn the direction of writing.
func plain[S ~string](s S) string {
	if quoted := strconv.Quote(string(s)); quoted != `"`+string(s)+`"` {
		return quoted
	}
	return string(s)
}

// escaped returns JSON with escapes for the characters that do not print. Those below
// the blank are escaped in all JSON.
func escaped(line []byte) []byte {
	var out []byte
	for _, r := range string(line) {
		if unicode.IsPrint(r) {
			out = append(out, string(r)...)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
