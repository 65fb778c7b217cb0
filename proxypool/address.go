package proxypool

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// defaultPorts has the schemes of proxies, which are those of net/http.
var defaultPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// address is a proxy's URL, checked.
type address struct {
	url      *url.URL
	identity string // the same for URLs that mean the same
	name     string // with *** for the password
	point    string // the string whose hash places it in a sticky pool: without the password
}

// Name returns the URL of a proxy with *** in place of its password, as in
// http://login:***@host:port. It is what errors, logs and [ProxyStats] contain. For a URL
// that cannot be that of a proxy, Name returns "invalid proxy URL".
func Name(u *url.URL) string {
	a, err := parseAddress(u)
	if err != nil {
		return "invalid proxy URL"
	}
	return a.name
}

// hidden stands in place of a password.
const hidden = "***"

// parseAddress never puts a part of a URL into an error.
func parseAddress(u *url.URL) (*address, error) {
	if u == nil {
		return nil, errors.New("the URL is nil")
	}
	scheme := strings.ToLower(u.Scheme)
	port, known := defaultPorts[scheme]
	host := strings.ToLower(u.Hostname())
	switch {
	case !known:
		return nil, errors.New("the scheme is not http, https, socks5 or socks5h")
	case host == "":
		return nil, errors.New("the URL has no host")
	case !hostname.Valid(host):
		return nil, errors.New("the host is neither an address without a zone nor a host name in ASCII: is it a login or a password?")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, errors.New("the URL has more than a scheme, a login, a host and a port: must a character of the password be escaped?")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return nil, errors.New("the port is not a number from 1 to 65535")
	}
	clean := &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	a := &address{url: clean}
	a.name = clean.String()
	a.point = a.name
	if u.User != nil {
		login := u.User.Username()
		password, hasPassword := u.User.Password()
		clean.User = u.User
		if socks := strings.HasPrefix(scheme, "socks"); socks && (login == "" || len(login) > 255 || len(password) > 255) {
			return nil, errors.New("SOCKS5 allows a login of 1 to 255 bytes, and a password of up to 255")
		}
		shown := url.User(login).String()
		a.point = scheme + "://" + shown + "@" + clean.Host
		if password != "" && strings.Contains(login, password) {
			shown = hidden
		}
		if hasPassword {
			shown += ":" + hidden
		}
		a.name = scheme + "://" + shown + "@" + clean.Host
	}
	a.identity = clean.String()
	return a, nil
}

// secrets returns the strings in which a proxy or a library may repeat the password,
// the longest first.
func (a *address) secrets() []string {
	password, _ := a.url.User.Password()
	if password == "" {
		return nil
	}
	login := a.url.User.Username()
	both := []byte(login + ":" + password)
	forms := []string{
		password,
		url.QueryEscape(password),
		url.PathEscape(password),
		strings.TrimPrefix(url.UserPassword("", password).String(), ":"),
		strings.Trim(strconv.Quote(password), `"`),
		base64.RawStdEncoding.EncodeToString(both), // without the padding, which some leave out
		base64.RawURLEncoding.EncodeToString(both),
		base64.RawStdEncoding.EncodeToString([]byte(password)),
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(forms)
}

// reveals reports whether a string contains the password.
func (a *address) reveals(text string) bool {
	return slices.ContainsFunc(a.secrets(), func(secret string) bool { return strings.Contains(text, secret) })
}

// unshown stands for the text of an error that repeats the password. If only the password
// were removed, what is missing from a known text would reveal it.
const unshown = "the text of the error is not shown, since it contains the password"

// scrub returns err, or an error that stands in for it if its text contains the password.
func (a *address) scrub(err error) error {
	if err == nil || local(err) {
		return err
	}
	if !a.reveals(err.Error()) {
		return err
	}
	clean := &scrubbed{text: unshown, timeout: isTimeout(err), kinds: kindsOf(err)}
	if len(clean.kinds) > 0 {
		clean.text = clean.kinds[0].Error() + ": " + unshown
	}
	return clean
}

// local reports whether the text of err comes from this package, the standard library and
// the system alone. If it contains the password, that is by chance.
func local(err error) bool {
	switch e := err.(type) { //nolint:errorlint // each error of the chain is examined by itself
	case *because:
		return e.err == nil || local(e.err)
	case *net.OpError:
		return e.Err != nil && local(e.Err)
	case *os.SyscallError, *net.DNSError:
		return true
	}
	for _, plain := range []error{
		context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		errDropped, errFellIll, errBroke,
	} {
		if err.Error() == plain.Error() {
			return true
		}
	}
	return false
}

// kindsOf returns the errors that err matches and callers may look for.
func kindsOf(err error) (kinds []error) {
	for _, kind := range []error{
		ErrNoProxy, ErrUnreachable, ErrAuthentication, ErrRefused,
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	} {
		if errors.Is(err, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// scrubbed is an error whose own text contained a password.
type scrubbed struct {
	text    string
	timeout bool
	kinds   []error
}

func (e *scrubbed) Error() string   { return e.text }
func (e *scrubbed) Timeout() bool   { return e.timeout }
func (e *scrubbed) Unwrap() []error { return e.kinds }

// parseAll checks the URLs of a list. One that occurs twice counts once.
func parseAll(urls []*url.URL) ([]*address, error) {
	list := make([]*address, 0, len(urls))
	seen := make(map[string]bool, len(urls))
	for i, u := range urls {
		a, err := parseAddress(u)
		if err != nil {
			return nil, fmt.Errorf("proxypool: the proxy at index %d cannot be used: %w", i, err)
		}
		if !seen[a.identity] {
			seen[a.identity] = true
			list = append(list, a)
		}
	}
	return list, nil
}
