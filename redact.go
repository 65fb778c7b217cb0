package youproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// redacted stands where the API key stood in a text. It holds no ASCII, so that
// neither it nor what it touches can spell a key, which is ASCII throughout.
const redacted = "•••"

// newRedactor gives a function that takes the key out of a text: in any letter
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

// matchKey gives where the key that begins at text[from] ends, or -1. It follows
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
		if end, b := entity(text, q); end > 0 && is(b) {
			add(end)
		}
	}
	return ends
}

// entity reads the HTML entity whose name begins at text[p].
func entity(text string, p int) (end int, b byte) {
	name, _, ok := strings.Cut(text[p:min(len(text), p+16)], ";")
	if !ok {
		return 0, 0
	}
	end = p + len(name) + 1
	switch name {
	case "amp":
		return end, '&'
	case "lt":
		return end, '<'
	case "gt":
		return end, '>'
	case "quot":
		return end, '"'
	case "apos":
		return end, '\''
	}
	var n int
	format := "#%d"
	if strings.HasPrefix(name, "#x") || strings.HasPrefix(name, "#X") {
		name, format = "#"+name[2:], "#%x"
	}
	if _, err := fmt.Sscanf(name, format, &n); err != nil || n <= 0 || n > 0x7f {
		return 0, 0
	}
	return end, byte(n)
}

func hexByte(text string, p int) (byte, bool) {
	if p+2 > len(text) {
		return 0, false
	}
	var b byte
	for _, c := range []byte(text[p : p+2]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		b = b<<4 | c
	}
	return b, true
}

// foldCase gives the other letter case of an ASCII letter.
func foldCase(c byte) byte {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return c ^ ('a' - 'A')
	}
	return c
}

// redactError gives err without the key. Where the key is nowhere in it, that is
// err itself. Else it is an error with the same text less the key, which matches
// what err matched and unwraps to those of its causes that are clean.
func redactError(redact func(string) string, err error) error {
	if err == nil || !leaks(redact, err) {
		return err
	}
	//nolint:errorlint // each error of the tree is looked at by itself
	if u, ok := err.(*url.Error); ok && u != nil {
		return &url.Error{Op: redact(u.Op), URL: redact(u.URL), Err: redactError(redact, u.Err)}
	}
	clean := &redactedError{
		text:    redact(asText(err)),
		timeout: isTimeout(err),
		is:      func(target error) bool { return errors.Is(err, target) },
	}
	//nolint:errorlint // as above
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := redactError(redact, e.Unwrap()); inner != nil {
			clean.causes = []error{inner}
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if inner := redactError(redact, inner); inner != nil {
				clean.causes = append(clean.causes, inner)
			}
		}
	}
	return clean
}

// redactedError stands in for an error that showed the key.
type redactedError struct {
	text    string
	causes  []error
	timeout bool
	is      func(error) bool
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Unwrap() []error      { return e.causes }
func (e *redactedError) Is(target error) bool { return e.is(target) }
func (e *redactedError) Timeout() bool        { return e.timeout }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// leaks reports whether the key shows in any of the ways in which an error, or
// what it unwraps to, is likely to be printed.
func leaks(redact func(string) string, err error) bool {
	if err == nil {
		return false
	}
	if holdsRequest(err) {
		return true
	}
	for _, text := range []string{
		asText(err), fmt.Sprintf("%s", err), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err),
		asJSON(err), asLogged(err),
	} {
		if redact(text) != text {
			return true
		}
	}
	//nolint:errorlint // each error of the tree is looked at by itself
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return leaks(redact, e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(inner error) bool { return leaks(redact, inner) })
	}
	return false
}

// asJSON gives err as encoding/json prints it, or nothing where it cannot.
func asJSON(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	b, _ := json.Marshal(err)
	return string(b)
}

// asText gives err.Error(), whatever that does.
func asText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprint(err)
		}
	}()
	return err.Error()
}

// asLogged gives err as slog prints it, where it has a say in that.
func asLogged(err error) string {
	v, ok := err.(slog.LogValuer)
	if !ok {
		return ""
	}
	return slog.AnyValue(v).Resolve().String()
}

// holdsRequest reports whether a field of err gives the request away, which no
// printing of err shows.
func holdsRequest(err error) bool {
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() != reflect.Struct {
		return false
	}
	for i := range v.NumField() {
		switch v.Type().Field(i).Type {
		case reflect.TypeFor[*http.Request](), reflect.TypeFor[*http.Response](), reflect.TypeFor[*url.URL]():
			if !v.Field(i).IsNil() {
				return true
			}
		}
	}
	return false
}
