package proxypool

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// ParseURL parses a proxy in one of the formats of sellers' lists, and returns its URL:
//
//	http://login:password@host:port    also https, socks5 and socks5h
//	login:password@host:port
//	host:port@login:password
//	host:port:login:password
//	login:password:host:port
//	host:port
//
// Each format may have a scheme in front and a slash at its end. Without a scheme, the
// proxy is an HTTP proxy. An IPv6 address must be in brackets. A password may contain
// any characters but blanks and control characters. Escapes such as %40 are decoded in
// the first format only.
//
// If a string fits two formats, the one with the better host is used: an address is
// better than a name with a dot, and that is better than a name without one. If both are
// as good, ParseURL returns an error, as it does for a password that may or may not be
// escaped. Errors never contain a part of the string.
func ParseURL(s string) (*url.URL, error) {
	u, err := parseURL(s)
	if err != nil {
		return nil, fmt.Errorf("proxypool: the proxy cannot be read: %w", err)
	}
	return u, nil
}

// maxLine is the length of the longest line that [ReadURLs] reads, in bytes.
const maxLine = 4096

// ReadURLs reads a list with one proxy per line, in the formats of [ParseURL]. It skips
// blank lines and lines that begin with #. It keeps duplicates, which [New] uses once.
//
// It returns the URLs of all lines that it could read, even with an error. The error
// contains the number of each other line and the reason, but not the line itself, which
// may contain a password. A line must not be longer than 4096 bytes.
func ReadURLs(r io.Reader) ([]*url.URL, error) {
	var urls []*url.URL
	var errs []error
	in := bufio.NewReaderSize(r, maxLine+2) // with its line end
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		text := string(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return urls, errors.Join(append(errs, fmt.Errorf("proxypool: reading line %d: %w", n, err))...)
		}
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // the byte order mark
		}
		text = strings.TrimSpace(text)
		if tooLong {
			errs = append(errs, fmt.Errorf("proxypool: line %d cannot be read: it is longer than %d bytes", n, maxLine))
		} else if text != "" && text[0] != '#' {
			u, err := parseURL(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("proxypool: line %d cannot be read: %w", n, err))
			} else {
				urls = append(urls, u)
			}
		}
		if err != nil {
			return urls, errors.Join(errs...)
		}
	}
}

// The errors are constant, so that none can contain a password.
var (
	errBlank     = errors.New("it contains a blank or a control character")
	errNoForm    = errors.New("it is not host:port, with a login and a password in one of the usual places")
	errTwoForms  = errors.New("both ends could be the host and its port: write it as scheme://login:password@host:port")
	errBareIPv6  = errors.New("an IPv6 address must be in brackets, as in [2001:db8::1]:8080")
	errSlash     = errors.New("the slash at its end may belong to the password: write it as scheme://login:password@host:port")
	errEscapes   = errors.New("the login or the password may or may not be escaped: write it as scheme://login:password@host:port, escaped")
	errNoScheme  = errors.New("it begins like a URL, but not with a scheme and a ://")
	errNoVersion = errors.New("the scheme socks has no version: write socks5 or socks5h")
	errSOCKS4    = errors.New("SOCKS4 is not supported: the scheme must be http, https, socks5 or socks5h")
)

func parseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, errBlank
	}
	scheme, rest := cutScheme(text)
	rest, slash := strings.CutSuffix(rest, "/")
	f, err := readForm(rest, scheme != "")
	switch {
	case scheme == "socks":
		return nil, errNoVersion
	case strings.HasPrefix(scheme, "socks4"):
		return nil, errSOCKS4
	case err != nil:
		return nil, err
	case scheme == "" && !f.hostFirst && (strings.HasPrefix(text, "//") || defaultPorts[strings.ToLower(f.user.Username())] != ""):
		return nil, errNoScheme
	case slash && f.hostFirst && f.user != nil:
		return nil, errSlash
	}
	u := &url.URL{Scheme: cmp.Or(scheme, "http"), User: f.user, Host: f.hostPort}
	if _, err := parseAddress(u); err != nil {
		return nil, err
	}
	// With its login unescaped, it may be another form.
	_, written, _ := strings.Cut(u.String(), "://")
	if _, err := readForm(written, true); err != nil {
		return nil, errTwoForms
	}
	return u, nil
}

// cutScheme returns the scheme of a string, in lower case, and the rest of the string.
func cutScheme(text string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(text, "://")
	notOfScheme := func(r rune) bool {
		return r >= 0x80 || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+-.", r)
	}
	if !found || scheme == "" || strings.ContainsFunc(scheme, notOfScheme) {
		return "", text
	}
	return strings.ToLower(scheme), rest
}

// form is one way to read a string.
type form struct {
	endpoint

	user      *url.Userinfo
	hostFirst bool  // the host comes before the login
	err       error // why it cannot be used, although its host may be one
}

// endpoint is the host and the port of a proxy.
type endpoint struct {
	hostPort string
	rank     int // of the host, see rankOf; 0 if there is none
}

// readForm reads a string without its scheme.
func readForm(text string, hasScheme bool) (form, error) {
	if e := readEndpoint(text, hasScheme); e.rank > 0 {
		return form{endpoint: e, hostFirst: true}, nil
	}
	if isBareIPv6(text) {
		return form{}, errBareIPv6
	}
	left, _, _ := strings.Cut(text, "@")
	isURL := hasScheme && strings.Count(text, "@") == 1 && strings.Count(left, ":") <= 1
	asURL, reversed := loginAtHost(text, hasScheme, isURL), hostAtLogin(text)
	if isURL && reversed.rank <= asURL.rank {
		reversed = form{} // all programs read it as a URL
	}
	best, tied := asURL, false
	for _, f := range []form{reversed, hostPortLoginPassword(text), loginPasswordHostPort(text)} {
		switch {
		case f.rank > best.rank:
			best, tied = f, false
		case f.rank == best.rank && f.rank > 0:
			tied = true
		}
	}
	switch {
	case best.rank == 0:
		return form{}, errNoForm
	case tied, hasScheme && asURL.rank > 0 && best != asURL:
		return form{}, errTwoForms
	}
	return best, best.err
}

// loginAtHost reads login:password@host:port. The password may have colons and @.
func loginAtHost(text string, hasScheme, isURL bool) form {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return form{}
	}
	f := form{endpoint: readEndpoint(text[at+1:], isURL)}
	f.user, f.err = readUser(text[:at], hasScheme)
	return f
}

// hostAtLogin reads host:port@login:password. The password may have colons and @.
func hostAtLogin(text string) form {
	left, right, _ := strings.Cut(text, "@")
	return hostFirst(left, right)
}

// hostPortLoginPassword reads host:port:login:password. The password may have colons.
func hostPortLoginPassword(text string) form {
	bracket := 0
	if strings.HasPrefix(text, "[") {
		bracket = max(strings.IndexByte(text, ']'), 0)
	}
	_, right, _ := strings.Cut(text[bracket:], ":") // behind the host
	_, right, _ = strings.Cut(right, ":")           // behind the port
	return hostFirst(text[:max(len(text)-len(right)-1, 0)], right)
}

// hostFirst reads host:port on the left of a sign, and login:password on its right.
func hostFirst(left, right string) form {
	user := plainUser(right)
	if user == nil {
		return form{}
	}
	return form{endpoint: readEndpoint(left, false), user: user, hostFirst: true}
}

// loginPasswordHostPort reads login:password:host:port. The password may have colons.
func loginPasswordHostPort(text string) form {
	port := max(strings.LastIndexByte(text, ':'), 0)
	host := strings.LastIndexByte(text[:port], ':')
	if strings.HasSuffix(text[:port], "]") {
		host = strings.LastIndex(text[:port], ":[")
	}
	user := plainUser(text[:max(host, 0)])
	if user == nil {
		return form{}
	}
	return form{endpoint: readEndpoint(text[host+1:], false), user: user}
}

// plainUser reads login:password without escapes. It returns nil if one is empty.
func plainUser(text string) *url.Userinfo {
	login, password, _ := strings.Cut(text, ":")
	if login == "" || password == "" {
		return nil
	}
	return url.UserPassword(login, password)
}

// readUser reads the login and the password in front of an @. In a URL they may be
// escaped, unless they contain a % that begins no escape.
func readUser(text string, inURL bool) (*url.Userinfo, error) {
	login, password, hasPassword := strings.Cut(text, ":")
	if login == "" && (password == "" || !inURL) {
		return nil, errNoForm
	}
	plainLogin, errLogin := url.PathUnescape(login)
	plainPassword, errPassword := url.PathUnescape(password)
	if errLogin == nil && errPassword == nil && strings.Contains(text, "%") {
		if !inURL || strings.ContainsFunc(text, mustBeEscaped) {
			return nil, errEscapes
		}
		login, password = plainLogin, plainPassword
	}
	if !hasPassword {
		return url.User(login), nil
	}
	return url.UserPassword(login, password), nil
}

// mustBeEscaped reports whether a character of a login or a password is escaped in a
// URL (RFC 3986).
func mustBeEscaped(r rune) bool {
	return r >= 0x80 || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._~!$&'()*+,;=:%", r)
}

// readEndpoint reads host:port. In a URL the port may be missing.
func readEndpoint(text string, inURL bool) endpoint {
	host, port, hasPort := strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		var rest string
		host, rest, _ = strings.Cut(text[1:], "]")
		if !strings.Contains(host, ":") || rest != "" && rest[0] != ':' {
			return endpoint{}
		}
		port, hasPort = strings.CutPrefix(rest, ":")
	}
	host = strings.ToLower(host)
	e := endpoint{rank: rankOf(host)}
	if !hasPort && inURL {
		e.hostPort = strings.TrimSuffix(net.JoinHostPort(host, ""), ":")
		return e
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return endpoint{}
	}
	e.hostPort = net.JoinHostPort(host, strconv.FormatUint(n, 10))
	return e
}

// rankOf returns how likely a string is a host: 3 for an address, 2 for a name with a dot
// and for localhost, 1 for any other name, and 0 if it is no host.
func rankOf(host string) int {
	if !hostname.Valid(host) {
		return 0
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return 3
	}
	name := strings.TrimSuffix(host, ".")
	dot := strings.LastIndexByte(name, '.')
	switch {
	case strings.Trim(name[dot+1:], "0123456789") == "":
		return 0
	case dot >= 0, name == "localhost":
		return 2
	}
	return 1
}

// isBareIPv6 reports whether a string is an IPv6 address without brackets, with or
// without a port.
func isBareIPv6(text string) bool {
	host := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		host = text[:i]
	}
	for _, s := range []string{text, host} {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Is6() {
			return true
		}
	}
	return false
}
