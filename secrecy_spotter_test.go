package youproxy_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/youproxy-go/youproxy/internal/reach"
)

var secretKeys = []string{"Secret-Key_0123456789", "k%+\"<&\\'~key", "MiXeD.cAsE.kEy"}

// spotter finds a key in texts: in any letter case, raw, escaped, or in hex.
type spotter struct{ key string }

func (s spotter) finds(text string) bool {
	texts := []string{text}
	for range 3 { // what three decoders in a row, of any kind, make of it
		for _, text := range texts {
			if s.raw(text) {
				return true
			}
		}
		var next []string
		for _, text := range texts {
			for _, decode := range []func(string) string{unpercent, unbackslash, html.UnescapeString} {
				if plain := decode(text); plain != text {
					next = append(next, plain)
				}
			}
		}
		texts = next
	}
	return false
}

func (s spotter) raw(text string) bool {
	text = foldASCII(text)
	key := foldASCII(s.key)
	if strings.Contains(text, key) {
		return true
	}
	for _, k := range []string{s.key, key, strings.ToUpper(s.key), url.PathEscape(s.key)} {
		if strings.Contains(text, hex.EncodeToString([]byte(k))) {
			return true
		}
	}
	return false
}

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func unpercent(s string) string {
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

func unbackslash(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		size := map[byte]int{'u': 4, 'x': 2}[s[i+1]]
		if size > 0 && i+1+size < len(s) {
			if c, err := strconv.ParseUint(s[i+2:i+2+size], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 1 + size
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// seen collects what was shown to somebody.
type seen struct {
	mu    sync.Mutex
	texts []string
}

func (s *seen) add(where string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		s.texts = append(s.texts, fmt.Sprintf("%s: %+v", where, v))
	}
}

func (s *seen) check(t *testing.T, key string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := 0
	for _, text := range s.texts {
		if (spotter{key}).finds(text) {
			if shown++; shown <= 3 {
				t.Errorf("the key shows: %.300q", text)
			}
		}
	}
	if shown > 3 {
		t.Errorf("the key shows in %d more places", shown-3)
	}
}

// addPrinted adds v as every verb, JSON and slog print it.
func (s *seen) addPrinted(where string, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d"} {
		s.add(where+" "+verb, fmt.Sprintf(verb, v))
	}
	b, _ := json.Marshal(v)
	s.add(where+" JSON", string(b))
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Error("failed", "what", v)
	slog.New(slog.NewJSONHandler(&js, nil)).Error("failed", "what", v)
	s.add(where+" slog", text.String(), js.String())
}

// addError adds an error and all it unwraps to.
func (s *seen) addError(where string, err error) {
	if err == nil {
		return
	}
	s.addPrinted(fmt.Sprintf("%s %T", where, err), err)
	s.add(where+" Error", err.Error())
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		s.addError(where+">", e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			s.addError(where+">", inner)
		}
	}
}

// addStrings adds every string that reflection reaches from v, unexported fields
// included.
func (s *seen) addStrings(where string, v any) {
	reach.Strings(v, func(text string) { s.add(where, text) })
}

// middleware shows a round tripper around the SDK's what one can see there.
func (s *seen) middleware(next http.RoundTripper) http.RoundTripper {
	request := func(where string, r *http.Request) {
		if r == nil {
			return
		}
		s.add(where, r.URL.String(), r.URL.Path, r.URL.RawPath, r.URL.Opaque, r.RequestURI, r.Host, r.Header, r.Trailer, *r.URL)
		s.add(where, fmt.Sprintf("%+v %#v", *r, *r))
		if r.Response != nil {
			s.add(where+" Response", r.Response.Header)
		}
	}
	return stubTransport(func(r *http.Request) (*http.Response, error) {
		request("middleware before", r)
		resp, err := next.RoundTrip(r)
		request("middleware after", r)
		s.addError("middleware error", err)
		s.addStrings("middleware error, deep", err)
		if resp != nil {
			request("middleware Response.Request", resp.Request)
			s.add("middleware Response", resp.Status, resp.Proto, resp.Header, resp.Trailer, resp.TransferEncoding, fmt.Sprintf("%+v", *resp))
			if l, err := resp.Location(); err == nil {
				s.add("middleware Location", l.String(), l.Path)
			} else {
				s.addError("middleware Location", err)
			}
		}
		return resp, err
	})
}

// trace has every hook.
func (s *seen) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { s.add("GetConn", hostPort) },
		GotConn:              func(i httptrace.GotConnInfo) { s.add("GotConn", i.Conn.RemoteAddr()) },
		PutIdleConn:          func(err error) { s.addError("PutIdleConn", err) },
		GotFirstResponseByte: func() {},
		Got100Continue:       func() {},
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			s.add("Got1xxResponse", code, h)
			return nil
		},
		DNSStart:     func(i httptrace.DNSStartInfo) { s.add("DNSStart", i) },
		DNSDone:      func(i httptrace.DNSDoneInfo) { s.add("DNSDone", i); s.addError("DNSDone", i.Err) },
		ConnectStart: func(network, addr string) { s.add("ConnectStart", network, addr) },
		ConnectDone: func(network, addr string, err error) {
			s.add("ConnectDone", network, addr)
			s.addError("ConnectDone", err)
		},
		TLSHandshakeStart: func() {},
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { s.addError("TLSHandshakeDone", err) },
		WroteHeaderField:  func(name string, values []string) { s.add("WroteHeaderField", name, values) },
		WroteHeaders:      func() {},
		Wait100Continue:   func() {},
		WroteRequest:      func(i httptrace.WroteRequestInfo) { s.addError("WroteRequest", i.Err) },
	}
}
