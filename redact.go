package youproxy

import (
	"html"
	"slices"
	"strings"
)

// redacted stands where the API key stood in a text. It holds no ASCII, so that
// neither it nor what it touches can spell a key, which is ASCII throughout.
const redacted = "•••"

// newRedactor returns a function that takes the key out of a text: in any letter
// case, raw or escaped as URLs, JSON, Go strings and HTML escape it, also over and
// over. It takes out the beginning of a key at the end of a text, too, for
// texts are cut. The key is kept in the closure, where no printing of a struct
// finds it.
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

// shortestPartialKey is how much of a key at the end of a text is taken for it.
const shortestPartialKey = 4

// matchKey returns where the key that begins at text[from] ends, or -1. It follows
// every way of reading the text at once, as an escape may also be meant as it
// stands.
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

// deepestEscape is how often a text may have been escaped over again. Without a
// bound, a long run of escapes would cost time.
const deepestEscape = 32

// longestEntity is how long an HTML entity for one character may be.
const longestEntity = 16

// appendAfter appends every position at which a reading of c at text[p:] ends.
func appendAfter(ends []int, c byte, text string, p int) []int {
	if p >= len(text) {
		return ends
	}
	add := func(end int) {
		if !slices.Contains(ends, end) {
			ends = append(ends, end)
		}
	}
	is := func(b byte) bool { return b == c || b == foldCase(c) }
	if is(text[p]) {
		add(p + 1)
	}
	switch text[p] {
	case '%': // %41, and %2541 where that was escaped again
		for q := p + 1; q <= p+2*deepestEscape; q += 2 {
			b, ok := hexByte(text, q)
			if ok && is(b) {
				add(q + 2)
			}
			if !ok || b != '%' {
				break
			}
		}
	case '\\': // \", \x41, \u0041, with any number of backslashes
		q := p
		for q < len(text) && text[q] == '\\' && q < p+2*deepestEscape {
			q++
			if c == '\\' {
				add(q)
			}
		}
		if q == len(text) {
			break
		}
		if is(text[q]) {
			add(q + 1)
		}
		if b, ok := hexByte(text, q+1); ok && text[q] == 'x' && is(b) {
			add(q + 3)
		}
		if zero, ok := hexByte(text, q+1); ok && zero == 0 && (text[q] == 'u' || text[q] == 'U') {
			if b, ok := hexByte(text, q+3); ok && is(b) {
				add(q + 5)
			}
		}
	case '&': // &#65; &#x41; &amp; and &amp;#65; where that was escaped again
		q := p + 1
		for range deepestEscape {
			if !strings.HasPrefix(text[q:], "amp;") {
				break
			}
			q += len("amp;")
			if is('&') {
				add(q)
			}
		}
		name, _, ok := strings.Cut(text[q:min(len(text), q+longestEntity)], ";")
		if plain := html.UnescapeString("&" + name + ";"); ok && len(plain) == 1 && is(plain[0]) {
			add(q + len(name) + 1)
		}
	}
	return ends
}

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
