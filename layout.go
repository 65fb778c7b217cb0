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

// Layout is a form in which proxies are written down for people and other
// programs. The zero value is none: take one from a function such as [LayoutURL].
//
// Each layout gives out passwords. So write the result only where they may be.
type Layout struct {
	name                string
	head, between, tail string // of a list
	row                 func(w *bytes.Buffer, p Proxy) error
}

// String returns the layout's name, such as "host:port".
func (l Layout) String() string {
	if l.row == nil {
		return "no layout"
	}
	return l.name
}

// LayoutHostPort writes host:port, a proxy a line, as programs take it that know
// the login from elsewhere. An IPv6 address stands in brackets, here and below.
func LayoutHostPort(s Scheme) Layout {
	return lines("host:port", s, func(w *bytes.Buffer, _ Proxy, e endpoint) error {
		w.WriteString(e.hostPort())
		return nil
	})
}

// LayoutHostPortLoginPassword writes host:port:login:password, a proxy a line,
// and host:port for one that knows its user by IP. The password is all that
// follows the colon behind the login: it may hold colons, the login may not.
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

// LayoutLoginPasswordHostPort writes login:password@host:port, a proxy a line,
// and host:port for one that knows its user by IP. Nothing is escaped: the login
// ends at the first colon, and may hold none; the password ends at the last @.
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

// LayoutURL writes the text of [Proxy.URL], a proxy a line. It is an error for a control
// character in the login or password: given one, curl goes without the proxy.
//
// Programs may take less than a URL can carry. Requests, in Python, logs in over HTTP with
// ASCII alone and not with an empty login, and over SOCKS5 with 1 to 127 bytes each.
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

// LayoutCurl writes a line of a curl configuration, as curl -K takes it, a proxy
// a line. As the last line counts, give curl one of them. SOCKS5 is written as
// [SchemeSOCKS5H], whichever of the two is asked for, so that the proxy looks host names
// up. It is an error for a control character in the login or password.
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

// LayoutPlaywright writes what Playwright's launch options take as proxy: an
// object with server, username and password. A list is a JSON array of them. SOCKS5 is
// always written as socks5, the only form that browsers know: the proxy looks host names
// up. It is an error for a SOCKS5 proxy with a login, as browsers cannot log in there,
// for an empty login, with which they do not log in, and for a login or password that is
// not UTF-8.
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

// LayoutScrapy writes what Scrapy's requests take as meta: an object with the
// URL as proxy. A list is a JSON array of them, which is a Python list as well. It is an
// error for SOCKS5, which Scrapy does not speak; [SchemeAny] means HTTP. It is an error for
// an empty login, with which Scrapy does not log in, and for a login or password outside
// ASCII, which it sends in Latin-1 unless it is told otherwise, or not at all.
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

// LayoutJSONLines writes an object a line: a record of the service's lists, as
// [Proxy.MarshalJSON] writes it, but with the password and the reboot link, so
// that [Proxy.UnmarshalJSON] reads all of it back. Extra is left out. It is an
// error for a login, password or link that is not UTF-8, and for a password or
// link that is just ***, which stands for one that was hidden.
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

// LayoutTemplate writes what the template makes of a [Proxy], a proxy a line. A
// secret is written with Reveal, a URL with its scheme:
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

// templateError is err, unless its text tells a secret: a function of the
// caller's may have put one there.
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
			return p.notUsable("the template failed, with an error that tells a secret of the proxy")
		}
	}
	return fmt.Errorf("youproxy: proxy %s: %w", plainText(string(p.ID)), err)
}

// tells reports whether text holds the secret, as it is, escaped, or as the list
// that package fmt makes of bytes.
func tells(text, secret string) bool {
	return newRedactor(secret)(text) != text ||
		strings.Contains(text, strings.Trim(strconv.QuoteToASCII(secret), `"`)) ||
		strings.Contains(text, strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))
}

// Format returns the proxy in a layout, with its password, and without a line feed
// at the end.
func (p Proxy) Format(l Layout) (string, error) {
	var w bytes.Buffer
	if err := l.write(&w, p); err != nil {
		return "", err
	}
	return w.String(), nil
}

// WriteOption configures [WriteProxies].
type WriteOption func(*layoutWriter)

// SkipUnusable leaves out the proxies that cannot be written in the layout, and calls
// skipped with each of them and an error that matches [ErrNotUsable] and says why. All
// other errors, such as that of a template, end the list as before. It is an error as well
// where none of the proxies can be written. A nil skipped is allowed.
func SkipUnusable(skipped func(Proxy, error)) WriteOption {
	return func(w *layoutWriter) {
		w.skip = func(p Proxy, err error) {
			if skipped != nil {
				skipped(p, err)
			}
		}
	}
}

// WriteProxies writes the proxies in a layout, with their passwords: a list, as
// [slices.Values] yields it, or the proxies of [Client.Proxies] while they arrive.
//
// It ends at the first error: of the list, of w, or that a proxy cannot be written in this
// layout, unless [SkipUnusable] leaves that one out. What is before it was written, and is
// not the list.
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

// aPiece is about how much is handed to the writer at once.
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

// end writes what is held, and the end of a list that is whole.
func (w *layoutWriter) end(whole bool) error {
	switch {
	case w.layout.row == nil:
		return errNoLayout
	case !whole && w.begun:
		w.held.WriteByte('\n') // what there is ends with a whole line
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

var errNoLayout = errors.New("youproxy: no layout is given: take one from a function such as LayoutURL")

func (l Layout) write(w *bytes.Buffer, p Proxy) error {
	if l.row == nil {
		return errNoLayout
	}
	return l.row(w, p)
}

// lines makes a layout that has a line for each proxy, and is used by a scheme.
func lines(name string, s Scheme, row func(w *bytes.Buffer, p Proxy, e endpoint) error) Layout {
	return Layout{name: name, between: "\n", tail: "\n", row: func(w *bytes.Buffer, p Proxy) error {
		e, err := p.endpoint(s)
		if err != nil {
			return err
		}
		return row(w, p, e)
	}}
}

// array makes a JSON array of the rows.
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

// fitsLine reports why the login and the password cannot stand in a line between
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

// fitsJSON reports why JSON cannot hold what gives access: it would put other
// characters there in silence.
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
