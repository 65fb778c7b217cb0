package youproxy

import (
	"html"
	"slices"
	"strings"
)

// redacted replaces the API key in a string. It contains no ASCII, so that neither it nor
// what it touches can form a key, which is ASCII throughout.
const redacted = "•••"

// newRedactor returns a function that replaces the key in a string: in any letter case,
// raw or escaped as in URLs, JSON, Go strings and HTML, also repeatedly. It also replaces
// the beginning of a key at the end of a string, as strings may be cut. The key is kept
// in the closure, where printing a struct does not find it.
func newRedactor(key string) func(string) string {
	var starts [256]bool
	for _, c := range []byte{key[0], foldCase(key[0]), '%', '\\', '&'} {
		starts[c] = true
	}
	return func(text string) string {
		var b strings.Builder
		done := 0
		for i := 0; i < len(text); {
			if !starts[text[i]] {
				i++
				continue
			}
			end := matchKey(key, text, i)
			if end < 0 {
				i++
				continue
			}
			b.WriteString(text[done:i])
			b.WriteString(redacted)
			i, done = end, end
		}
		if done == 0 {
			return text
		}
		b.WriteString(text[done:])
		return b.String()
	}
}

// shortestPartialKey is how much of a key at the end of a string is replaced, at least.
const shortestPartialKey = 4

// matchKey returns the index after the key that begins at text[from], or -1. It follows
// all readings of the text at once, as what looks like an escape may be literal.
func matchKey(key, text string, from int) int {
	var room, spare [8]int
	at, next := append(room[:0], from), spare[:0]
	for i := range len(key) {
		for _, p := range at {
			if p == len(text) && i >= shortestPartialKey {
				return p
			}
			next = appendAfter(next, key[i], text, p)
		}
		if len(next) == 0 {
			if i >= shortestPartialKey && slices.ContainsFunc(at, func(p int) bool { return isCutEscape(text[p:]) }) {
				return len(text)
			}
			return -1
		}
		at, next = next, at[:0]
	}
	return slices.Max(at)
}

// isCutEscape reports whether rest may be the beginning of an escape.
func isCutEscape(rest string) bool {
	return len(rest) < 2*deepestEscape && strings.ContainsAny(rest[:1], `%\&`) && !strings.ContainsAny(rest[1:], " \t\r\n\"<>/")
}

// deepestEscape is how often a string may have been escaped repeatedly. Without a bound,
// a long run of escapes would take too long.
const deepestEscape = 32

// longestEntity is the length of the longest HTML entity for one character.
const longestEntity = 16

// appendAfter appends every position at which a reading of c at text[p:] ends.
func appendAfter(ends []int, c byte, text string, p int) []int {
	if p >= len(text) {
		return ends
	}
	if isFold(text[p], c) {
		ends = appendNew(ends, p+1)
	}
	switch text[p] {
	case '%':
		return appendPercent(ends, c, text, p)
	case '\\':
		return appendBackslash(ends, c, text, p)
	case '&':
		return appendEntity(ends, c, text, p)
	}
	return ends
}

// appendPercent reads %41, and %2541 where that was escaped again.
func appendPercent(ends []int, c byte, text string, p int) []int {
	for q := p + 1; q <= p+2*deepestEscape; q += 2 {
		b, ok := hexByte(text, q)
		if ok && isFold(b, c) {
			ends = appendNew(ends, q+2)
		}
		if !ok || b != '%' {
			break
		}
	}
	return ends
}

// appendBackslash reads \", \x41 and \u0041, with any number of backslashes.
func appendBackslash(ends []int, c byte, text string, p int) []int {
	q := p
	for q < len(text) && text[q] == '\\' && q < p+2*deepestEscape {
		q++
		if c == '\\' {
			ends = appendNew(ends, q)
		}
	}
	if q == len(text) {
		return ends
	}
	if isFold(text[q], c) {
		ends = appendNew(ends, q+1)
	}
	first, ok := hexByte(text, q+1)
	switch {
	case !ok:
	case text[q] == 'x' && isFold(first, c):
		ends = appendNew(ends, q+3)
	case first == 0 && (text[q] == 'u' || text[q] == 'U'):
		if b, ok := hexByte(text, q+3); ok && isFold(b, c) {
			ends = appendNew(ends, q+5)
		}
	}
	return ends
}

// appendEntity reads &#65; &#x41; &amp; and &amp;#65; where that was escaped again.
func appendEntity(ends []int, c byte, text string, p int) []int {
	q := p + 1
	for range deepestEscape {
		if !strings.HasPrefix(text[q:], "amp;") {
			break
		}
		q += len("amp;")
		if isFold('&', c) {
			ends = appendNew(ends, q)
		}
	}
	name, _, ok := strings.Cut(text[q:min(len(text), q+longestEntity)], ";")
	if plain := html.UnescapeString("&" + name + ";"); ok && len(plain) == 1 && isFold(plain[0], c) {
		ends = appendNew(ends, q+len(name)+1)
	}
	return ends
}

func appendNew(ends []int, end int) []int {
	if slices.Contains(ends, end) {
		return ends
	}
	return append(ends, end)
}

// isFold reports whether two bytes are the same but for the letter case of ASCII.
func isFold(b, c byte) bool { return b == c || b == foldCase(c) }

func hexByte(text string, p int) (byte, bool) {
	if p+2 > len(text) {
		return 0, false
	}
	high, low := hexDigit(text[p]), hexDigit(text[p+1])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func hexDigit(c byte) int {
	if c >= 'A' && c <= 'F' {
		c = foldCase(c)
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// foldCase returns the other letter case of an ASCII letter.
func foldCase(c byte) byte {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return c ^ ('a' - 'A')
	}
	return c
}
