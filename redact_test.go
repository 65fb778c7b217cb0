package youproxy

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/internal/long"
)

// spellings are the ways in which a text may spell a key.
var spellings = []struct {
	name  string
	spell func(key string) string
}{
	{"raw", func(k string) string { return k }},
	{"upper case", strings.ToUpper},
	{"lower case", strings.ToLower},
	{"every other letter in the other case", func(k string) string {
		b := []byte(k)
		for i := 0; i < len(b); i += 2 {
			b[i] = foldCase(b[i])
		}
		return string(b)
	}},
	{"escaped as in a path", url.PathEscape},
	{"escaped as in a query", url.QueryEscape},
	{"escaped as in a path twice", func(k string) string { return url.PathEscape(url.PathEscape(k)) }},
	{"every byte percent-encoded", func(k string) string { return eachByte("%%%02x", k) }},
	{"every byte percent-encoded in capitals", func(k string) string { return eachByte("%%%02X", k) }},
	{"every byte percent-encoded, upper case", func(k string) string { return eachByte("%%%02x", strings.ToUpper(k)) }},
	{"every byte percent-encoded twice", func(k string) string { return eachByte("%%25%02x", k) }},
	{"every byte percent-encoded four times", func(k string) string { return eachByte("%%252525%02x", k) }},
	{"every second byte percent-encoded", func(k string) string {
		var b strings.Builder
		for i := range len(k) {
			if i%2 == 0 {
				b.WriteByte(k[i])
			} else {
				fmt.Fprintf(&b, "%%%02x", k[i])
			}
		}
		return b.String()
	}},
	{"every byte as in JSON", func(k string) string { return eachByte(`\u%04x`, k) }},
	{"every byte as in JSON, in JSON", func(k string) string { return eachByte(`\\u%04X`, k) }},
	{"every byte as in a Go string", func(k string) string { return eachByte(`\x%02x`, k) }},
	{"JSON", inJSON},
	{"JSON in JSON", func(k string) string { return inJSON(inJSON(k)) }},
	{"quoted", func(k string) string { return unquoted(strconv.Quote(k)) }},
	{"quoted three times", func(k string) string {
		for range 3 {
			k = unquoted(strconv.Quote(k))
		}
		return k
	}},
	{"HTML", html.EscapeString},
	{"HTML in HTML", func(k string) string { return html.EscapeString(html.EscapeString(k)) }},
	{"every byte as an HTML entity", func(k string) string { return eachByte("&#%d;", k) }},
	{"every byte as a long HTML entity", func(k string) string { return eachByte("&#%03d;", k) }},
	{"every byte as a hexadecimal HTML entity", func(k string) string { return eachByte("&#x%x;", k) }},
	{"every byte as a hexadecimal HTML entity in HTML", func(k string) string { return eachByte("&amp;#X%X;", k) }},
}

func eachByte(format, s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func inJSON(s string) string {
	b, _ := json.Marshal(s)
	return unquoted(string(b))
}

func unquoted(s string) string { return s[1 : len(s)-1] }

var redactKeys = []string{
	"Secret-Key_0123456789", "k%+\"<&\\'~key", "ABC", "aaaa", "x", "%41", "%%25", `\\n`, "&amp;Z", "a.b.c", "25252525", "amp;amp;", `k\u0041`,
}

func TestRedactTakesTheKeyOut(t *testing.T) {
	t.Parallel()
	for _, key := range redactKeys {
		redact := newRedactor(key)
		for _, s := range spellings {
			t.Run(key+"/"+s.name, func(t *testing.T) {
				for _, around := range []string{"%s", "\n<%s>\n", "•%s•", " %s: \x00\xff%[1]s\n", "«https://h/client/api/v1/%s/order»"} {
					want := fmt.Sprintf(around, redacted)
					if got := redact(fmt.Sprintf(around, s.spell(key))); got != want {
						t.Errorf("%q became %q", fmt.Sprintf(around, s.spell(key)), got)
					}
				}
			})
		}
	}
}

func TestRedactLeavesOtherTextsAlone(t *testing.T) {
	t.Parallel()
	redact := newRedactor("Secret-Key_0123456789")
	for _, text := range []string{
		"", "S", "Sec", "Secret-Key_012345678 9", "a secret-key_ of another account",
		"%", "%5", "%53", "%zz", "\\", `\u`, `\u00`, `\x`, `\x5`, "&", "&#", "&#83", "&#;", "&amp;", "&#x;", "&#-83;", "\xff\xfe", "naïve •••",
		"50%25 off", `C:\Users\x`, "Secret\u2010Key_0123456789", "\u017fecret-\u212aey_0123456789", // only ASCII is folded
	} {
		assert.Equal(t, text, redact(text), "%q", text)
	}
}

// TestRedactTakesACutKeyOut: texts are cut, so that a key at the end may not be
// whole, and what is there of it is enough to be a secret.
func TestRedactTakesACutKeyOut(t *testing.T) {
	t.Parallel()
	const key = "Secret-Key_0123456789"
	redact := newRedactor(key)
	for _, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			whole := s.spell(key)
			for n := 1; n < len(whole); n++ {
				kept := redact("page: " + whole[:n])
				plain := asciiLower(html.UnescapeString(tolerantUnescape(tolerantUnescape(kept))))
				plain = strings.NewReplacer(`\u00`, "", `\x`, "", `\\u00`, "").Replace(plain)
				for _, c := range []string{"secre", eachByte("%02x", "Secre"), eachByte("%02x", "SECRE")} {
					require.NotContains(t, plain, c, "cut after %d bytes: %q", n, whole[:n])
				}
			}
		})
	}
	assert.Equal(t, "page: Sec", redact("page: Sec"), "too little to be told from a word")
	assert.Equal(t, "Secret-Keys and more", redact("Secret-Keys and more"), "not at the end")
}

// TestRedactIsFast: whoever answers chooses the text, up to 1 MiB of it, so that
// no text may take more than its length's worth of time.
func TestRedactIsFast(t *testing.T) {
	const most = 10 * time.Second // far above what it takes, also under the race detector on a busy machine
	largest := 1 << 13
	if long.Run() {
		largest = 1 << 16
	}
	for _, key := range []string{"Secret-Key_0123456789", "k%+\"<&\\'~key", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"} {
		redact := newRedactor(key)
		for _, piece := range []string{
			`\`, "a", "%25", "25", "%", "&", "amp;", "&amp;", `\u005c`, `\x`, "&#38;", key[:len(key)-1], key, `a\`, `S\\\\\\\\`, "%2525252525",
		} {
			for size := 1 << 8; size <= largest; size *= 2 { // ends early where it grows faster than the text
				text := strings.Repeat(piece, size/len(piece))
				began := time.Now()
				redact(text)
				redact("%" + text)
				redact("&" + text)
				if d := time.Since(began); d > most {
					t.Errorf("key %q: %d bytes of %q take %s", key, size, piece, d)
					break
				}
			}
		}
	}
}

func TestOutsideErrorsKeepWhatMatched(t *testing.T) {
	t.Parallel()
	const key = "Secret-Key_0123456789"
	redact := newRedactor(key)
	assert.NoError(t, outside(redact, nil))

	certificate := x509.UnknownAuthorityError{}
	inner := fmt.Errorf("at /%s: %w", key, errors.Join(&url.Error{Op: "Get", URL: "http://h/" + key, Err: timeoutError{}},
		io.ErrUnexpectedEOF, syscall.ECONNREFUSED, certificate, ErrNotSent))
	err := outside(redact, inner)
	assert.Same(t, err, outside(redact, err), "what stands in for an error stays")
	assert.Contains(t, err.Error(), "connection refused")
	assert.NotContains(t, fmt.Sprintf("%+v %#v %s", err, err, err), key)
	for _, target := range []error{io.ErrUnexpectedEOF, syscall.ECONNREFUSED} {
		assert.ErrorIs(t, err, target)
	}
	assert.NotErrorIs(t, err, ErrNotSent, "what became of the call is not for others to say")
	var network net.Error
	require.ErrorAs(t, err, &network)
	assert.True(t, network.Timeout())
	assert.ErrorAs(t, err, &certificate)
	var u *url.Error
	assert.NotErrorAs(t, err, &u, "it holds the URL")
}

// What net/http quotes of a reply that it cannot read may be a password.
func TestOutsideErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	redact := newRedactor("Secret-Key_0123456789")
	for _, err := range []error{
		errors.New(`malformed HTTP response "192.0.2.1:8080:login:hunter2"`),
		errors.New(`malformed HTTP response "a \"quoted\" hunter2`),
		fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", textproto.ProtocolError("malformed MIME header line: hunter2")),
		panicking{},
		(*url.Error)(nil),
		(*net.OpError)(nil),
		fmt.Errorf("bad %q: %w", "hunter2", context.Canceled),
		fmt.Errorf("bad %q: %w", "hunter2", &net.OpError{Op: "read", Err: io.EOF}),
	} {
		assert.NotContains(t, outside(redact, err).Error(), "hunter2")
		assert.NotEmpty(t, outside(redact, err).Error())
	}
	assert.Equal(t, "one  [31m line", outside(redact, errors.New("one\n\x1b[31m line")).Error())
	const dial = `dial tcp: lookup "odd" failed`
	assert.Equal(t, dial, outside(redact, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(`lookup "odd" failed`)}).Error())
}

type panicking struct{}

func (panicking) Error() string { panic("hunter2") }

type timeoutError struct{}

func (timeoutError) Error() string { return "too late" }
func (timeoutError) Timeout() bool { return true }

// tolerantUnescape takes one level of percent-encoding off, and leaves what is
// none as it stands.
func tolerantUnescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func FuzzRedact(f *testing.F) {
	for i, key := range redactKeys {
		f.Add(key, "before the key and after it", uint8(i), uint8(11))
		f.Add(key, `\%&`+key+`%25\\&amp;`, uint8(i+11), uint8(2))
	}
	f.Fuzz(func(t *testing.T, key, text string, spelling, at uint8) {
		if checkKey(key) != nil || len(key) > 64 || len(text) > 4096 {
			t.Skip()
		}
		redact := newRedactor(key)
		cut := min(int(at), len(text))
		spelled := spellings[int(spelling)%len(spellings)].spell(key)
		folded := asciiLower(key)
		for _, in := range []string{text, text[:cut] + spelled + text[cut:]} {
			began := time.Now()
			out := redact(in)
			if d := time.Since(began); d > 30*time.Second {
				t.Fatalf("took %s: key %q, text %q", d, key, in)
			}
			if strings.Contains(asciiLower(out), folded) {
				t.Errorf("key %q in %q, from %q", key, out, in)
			}
			if strings.Contains(asciiLower(tolerantUnescape(out)), folded) {
				t.Errorf("key %q in %q once unescaped, from %q", key, out, in)
			}
		}
		// The embedded key itself is gone, however it was spelled.
		if redact(spelled) != redacted {
			t.Errorf("key %q spelled %q gives %q", key, spelled, redact(spelled))
		}
		if !strings.ContainsAny(text, `%\&`) && !strings.Contains(asciiLower(text), folded) && !endsInKey(asciiLower(text), folded) {
			if out := redact(text); out != text {
				t.Errorf("key %q is not in %q, which became %q", key, text, out)
			}
		}
	})
}

// endsInKey reports whether a text ends in so much of a key that it is taken out.
func endsInKey(text, key string) bool {
	for n := shortestPartialKey; n < len(key); n++ {
		if strings.HasSuffix(text, key[:n]) {
			return true
		}
	}
	return false
}
