package youproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// Layout is a format in which proxies are written for people and other programs.
// Functions such as [LayoutURL] return one; the zero value cannot be used.
//
// Every layout writes passwords, so keep the result safe.
type Layout struct {
	name                string
	head, between, tail string // of a list
	row                 func(w *bytes.Buffer, p Proxy) error
}

// String returns the name of the layout, such as "host:port".
func (l Layout) String() string {
	if l.row == nil {
		return "no layout"
	}
	return l.name
}

// LayoutHostPort writes a line host:port for each proxy, for programs that have the login
// from elsewhere. An IPv6 address is written in brackets, here and below.
func LayoutHostPort(s Scheme) Layout {
	return lines("host:port", s, func(w *bytes.Buffer, _ Proxy, e endpoint) error {
		w.WriteString(e.hostPort())
		return nil
	})
}

// LayoutHostPortLoginPassword writes a line host:port:login:password for each proxy, or
// host:port for one without a login. The password is everything after the colon that ends
// the login. A login with a colon is an error, and so is a control character in either.
func LayoutHostPortLoginPassword(s Scheme) Layout {
	const name = "host:port:login:password"
	return lines(name, s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		w.WriteString(e.hostPort())
		if p.Credentials == nil {
			return nil
		}
		if err := p.fitsLine(name, e); err != nil {
			return err
		}
		w.WriteString(":" + e.login + ":" + e.password)
		return nil
	})
}

// LayoutLoginPasswordHostPort writes a line login:password@host:port for each proxy, or
// host:port for one without a login. Nothing is escaped: the login ends at the first
// colon, and the password at the last @. A login with a colon is an error, and so is a
// control character in either.
func LayoutLoginPasswordHostPort(s Scheme) Layout {
	const name = "login:password@host:port"
	return lines(name, s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		if p.Credentials != nil {
			if err := p.fitsLine(name, e); err != nil {
				return err
			}
			w.WriteString(e.login + ":" + e.password + "@")
		}
		w.WriteString(e.hostPort())
		return nil
	})
}

// LayoutURL writes the URL of each proxy on a line, as [Proxy.URL] returns it. A control
// character in the login or password is an error, as it would make curl connect without
// the proxy.
//
// Some programs accept fewer logins than a URL can hold. Requests, in Python, logs in
// over HTTP only in ASCII and with a login that is not empty, and over SOCKS5 with 1 to
// 127 bytes each.
func LayoutURL(s Scheme) Layout {
	return lines("URL", s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		u, err := p.urlWithoutControl("a URL in a list", e.scheme)
		if err != nil {
			return err
		}
		w.WriteString(u.String())
		return nil
	})
}

// LayoutCurl writes a line of a curl configuration, for curl -K, for each proxy. curl
// uses the last line, so pass it only one. SOCKS5 is written as [SchemeSOCKS5H] for both
// schemes, so that the proxy resolves host names. A control character in the login or
// password is an error.
func LayoutCurl(s Scheme) Layout {
	return lines("curl", s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		if e.scheme == SchemeSOCKS5 {
			e.scheme = SchemeSOCKS5H
		}
		u, err := p.urlWithoutControl("curl", e.scheme)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "proxy = %q", u.String()) // percent-encoded: nothing in it needs an escape
		return nil
	})
}

// LayoutPlaywright writes a JSON array of objects with server, username and password, as
// the proxy option of Playwright expects them. SOCKS5 is always written as socks5, the
// only form that browsers know: the proxy resolves host names. It is an error if a SOCKS5
// proxy has a login, as browsers cannot log in to one, if the login is empty, or if the
// login or password is not UTF-8. [Proxy.Format] returns a single object.
func LayoutPlaywright(s Scheme) Layout {
	type proxy struct {
		Server   string `json:"server"`
		Username string `json:"username,omitempty"`
		Password string `json:"password,omitempty"`
	}
	return array(lines("Playwright", s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		switch {
		case e.scheme.isSOCKS5() && p.Credentials != nil:
			return p.notUsable("browsers cannot log in to a SOCKS5 proxy")
		case e.scheme.isSOCKS5():
			e.scheme = SchemeSOCKS5
		case p.Credentials != nil && e.login == "":
			return p.notUsable("browsers do not log in with an empty login")
		}
		if err := p.fitsJSON(e.login, e.password); err != nil {
			return err
		}
		return writeJSON(w, proxy{string(e.scheme) + "://" + e.hostPort(), e.login, e.password})
	}))
}

// LayoutScrapy writes a JSON array, which is also a Python list, of objects with the URL
// as proxy, as the meta of Scrapy's requests expects them. [SchemeAny] means HTTP. It is
// an error to use SOCKS5, which Scrapy does not support. So is an empty login, with which
// Scrapy does not log in, and a login or password outside ASCII, which Scrapy does not
// send as UTF-8 by default. [Proxy.Format] returns a single object.
func LayoutScrapy(s Scheme) Layout {
	type meta struct {
		Proxy string `json:"proxy"`
	}
	if s == SchemeAny {
		s = SchemeHTTP
	}
	return array(lines("Scrapy", s, func(w *bytes.Buffer, p Proxy, e endpoint) error {
		switch {
		case e.scheme.isSOCKS5():
			return p.notUsable("Scrapy does not speak SOCKS5")
		case p.Credentials != nil && e.login == "":
			return p.notUsable("Scrapy does not log in with an empty login")
		case !isASCII(e.login) || !isASCII(e.password):
			return p.notUsable("Scrapy cannot carry a login or password outside ASCII")
		}
		u, err := p.URL(s)
		if err != nil {
			return err
		}
		return writeJSON(w, meta{u.String()})
	}))
}

// LayoutJSONLines writes each proxy as a JSON object on a line: a record of the service's
// lists, as [Proxy.MarshalJSON] writes it, but with the password and the reboot link, so
// that [Proxy.UnmarshalJSON] can read all of it. Extra is left out. It is an error if a
// login, password or link is not UTF-8, or if a password or link is ***, which stands for
// a hidden one.
func LayoutJSONLines() Layout {
	return Layout{name: "JSON lines", between: "\n", tail: "\n", row: func(w *bytes.Buffer, p Proxy) error {
		type credentials struct {
			Login    string `json:"login"`
			Password string `json:"password"`
		}
		full := struct {
			proxyJSON

			Credentials *credentials `json:"authInfo,omitzero"`
			RebootURL   string       `json:"rebootLink,omitzero"`
		}{proxyJSON: p.record(), RebootURL: p.RebootURL.Reveal()}
		if p.Credentials != nil {
			full.Credentials = &credentials{p.Credentials.Login, p.Credentials.Password.Reveal()}
			if err := p.fitsJSON(full.Credentials.Login, full.Credentials.Password); err != nil {
				return err
			}
			if full.Credentials.Password == hidden {
				return p.notUsable("its password is %q, which stands for one that was hidden", hidden)
			}
		}
		if full.RebootURL == hidden {
			return p.notUsable("its reboot link is %q, which stands for one that was hidden", hidden)
		}
		if err := p.fitsJSON(full.RebootURL); err != nil {
			return err
		}
		return writeJSON(w, full)
	}}
}

// LayoutTemplate writes the output of a template for each [Proxy], on a line. Reveal
// writes a secret, and URL takes its scheme as a string:
//
//	{{.Host}} {{.HTTPPort}} {{with .Credentials}}{{.Login}} {{.Password.Reveal}}{{end}}
//	{{.URL "socks5"}}
func LayoutTemplate(t *template.Template) Layout {
	return Layout{name: "template", between: "\n", tail: "\n", row: func(w *bytes.Buffer, p Proxy) error {
		if t == nil {
			return errors.New("youproxy: the template is nil")
		}
		from := w.Len()
		if err := t.Execute(w, p); err != nil {
			return p.templateError(err)
		}
		if written := w.Bytes()[from:]; bytes.HasSuffix(written, []byte("\n")) {
			w.Truncate(w.Len() - 1)
		}
		return nil
	}}
}

// templateError returns err, unless its text contains a secret, which a function of the
// caller's may have put there.
func (p Proxy) templateError(err error) error {
	secrets := []string{p.RebootURL.Reveal()}
	if p.Credentials != nil {
		secrets = append(secrets, p.Credentials.Password.Reveal())
	}
	for _, value := range p.Extra {
		secrets = append(secrets, strings.Trim(string(value), `"`))
	}
	text := err.Error()
	for _, secret := range secrets {
		if secret != "" && tells(text, secret) {
			return p.notUsable("the template failed, with an error that contains a secret of the proxy")
		}
	}
	return fmt.Errorf("youproxy: proxy %s: %w", plainText(string(p.ID)), err)
}

// tells reports whether text contains the secret as it is, escaped, or as the list that
// package fmt prints for bytes.
func tells(text, secret string) bool {
	return newRedactor(secret)(text) != text ||
		strings.Contains(text, strings.Trim(strconv.QuoteToASCII(secret), `"`)) ||
		strings.Contains(text, strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))
}

// Format returns the proxy in a layout, with its password and without a line feed at the
// end.
func (p Proxy) Format(l Layout) (string, error) {
	var w bytes.Buffer
	if err := l.write(&w, p); err != nil {
		return "", err
	}
	return w.String(), nil
}

// WriteOption configures [WriteProxies].
type WriteOption func(*layoutWriter)

// SkipUnusable leaves out proxies that cannot be written in the layout. It calls skipped,
// unless that is nil, with each of them and an error that matches [ErrNotUsable]. Any
// other error, such as that of a template, still ends the list. It is also an error if
// none of the proxies can be written.
func SkipUnusable(skipped func(Proxy, error)) WriteOption {
	return func(w *layoutWriter) {
		w.skip = func(p Proxy, err error) {
			if skipped != nil {
				skipped(p, err)
			}
		}
	}
}

// WriteProxies writes proxies in a layout, with their passwords. proxies is a list, as
// [slices.Values] yields it, or the result of [Client.Proxies], which is written while it
// arrives.
//
// WriteProxies stops at the first error: of the list, of w, or of a proxy that cannot be
// written in this layout, unless [SkipUnusable] leaves it out. If it returns an error,
// what was written is not the whole list.
func WriteProxies[S iter.Seq[Proxy] | iter.Seq2[Proxy, error]](w io.Writer, l Layout, proxies S, opts ...WriteOption) error {
	if w == nil {
		return errors.New("youproxy: the writer is nil")
	}
	out := &layoutWriter{layout: l, to: w}
	for _, opt := range opts {
		if opt != nil {
			opt(out)
		}
	}
	var failed error
	switch all := any(proxies).(type) {
	case iter.Seq[Proxy]:
		if all == nil {
			return errNoProxies
		}
		for p := range all {
			if failed = out.write(p); failed != nil {
				break
			}
		}
	case iter.Seq2[Proxy, error]:
		if all == nil {
			return errNoProxies
		}
		for p, err := range all {
			if err == nil {
				err = out.write(p)
			}
			if failed = err; failed != nil {
				break
			}
		}
	}
	if failed == nil && out.skipped > 0 && !out.begun {
		failed = notUsableError(fmt.Sprintf("youproxy: none of %d proxies can be written in the layout %s", out.skipped, l))
	}
	if err := out.end(failed == nil); failed == nil {
		failed = err
	}
	return failed
}

var errNoProxies = errors.New("youproxy: the sequence of proxies is nil")

// layoutWriter writes a list piece by piece.
type layoutWriter struct {
	layout Layout
	to     io.Writer
	skip   func(Proxy, error) // nil to end at a proxy that cannot be written
	held   bytes.Buffer
	begun  bool
	broken bool // the writer failed

	skipped int
}

// aPiece is about how much is written at once.
const aPiece = 32 << 10

func (w *layoutWriter) write(p Proxy) error {
	before := w.held.Len()
	if w.begun {
		w.held.WriteString(w.layout.between)
	} else {
		w.held.WriteString(w.layout.head)
	}
	if err := w.layout.write(&w.held, p); err != nil {
		w.held.Truncate(before)
		if w.skip == nil || !errors.Is(err, ErrNotUsable) {
			return err
		}
		w.skipped++
		w.skip(p, err)
		return nil
	}
	w.begun = true
	if w.held.Len() < aPiece {
		return nil
	}
	return w.flush()
}

// end writes the rest of what is held, and the tail of a complete list.
func (w *layoutWriter) end(whole bool) error {
	switch {
	case w.layout.row == nil:
		return errNoLayout
	case !whole && w.begun:
		w.held.WriteByte('\n') // ends the last line
	case whole && w.begun:
		w.held.WriteString(w.layout.tail)
	case whole:
		w.held.WriteString(w.layout.head)
		if w.layout.between != "\n" {
			w.held.WriteString(w.layout.tail)
		}
	}
	return w.flush()
}

func (w *layoutWriter) flush() error {
	if w.held.Len() == 0 || w.broken {
		return nil
	}
	if _, err := w.held.WriteTo(w.to); err != nil {
		w.broken = true
		return fmt.Errorf("youproxy: the list of proxies is not written: %w", err)
	}
	return nil
}

var errNoLayout = errors.New("youproxy: there is no layout: use a function such as LayoutURL")

func (l Layout) write(w *bytes.Buffer, p Proxy) error {
	if l.row == nil {
		return errNoLayout
	}
	return l.row(w, p)
}

// lines returns a layout with one line for each proxy, whose address depends on a scheme.
func lines(name string, s Scheme, row func(w *bytes.Buffer, p Proxy, e endpoint) error) Layout {
	return Layout{name: name, between: "\n", tail: "\n", row: func(w *bytes.Buffer, p Proxy) error {
		e, err := p.endpoint(s)
		if err != nil {
			return err
		}
		return row(w, p, e)
	}}
}

// array returns a layout with the rows as a JSON array.
func array(l Layout) Layout {
	l.head, l.between, l.tail = "[\n", ",\n", "\n]\n"
	return l
}

func (p Proxy) urlWithoutControl(what string, s Scheme) (*url.URL, error) {
	if c := p.Credentials; c != nil && (hasControl(c.Login) || hasControl(c.Password.Reveal())) {
		return nil, p.notUsable("%s cannot carry a login or password with a control character", what)
	}
	return p.URL(s)
}

// fitsLine returns an error if the login and the password cannot be written between
// colons.
func (p Proxy) fitsLine(layout string, e endpoint) error {
	switch {
	case strings.Contains(e.login, ":"):
		return p.notUsable("%s cannot carry a login with a colon", layout)
	case hasControl(e.login) || hasControl(e.password):
		return p.notUsable("%s cannot carry a login or password with a control character", layout)
	}
	return nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// fitsJSON returns an error if JSON cannot hold one of the texts, which it would change
// silently.
func (p Proxy) fitsJSON(texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return p.notUsable("JSON cannot carry a login, password or link that is not UTF-8")
		}
	}
	return nil
}

// writeJSON writes v on one line, without the escapes that HTML needs.
func writeJSON(w *bytes.Buffer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	w.Truncate(w.Len() - 1)
	return nil
}
