package youproxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// Scheme is the protocol that a program uses to talk to a proxy.
type Scheme string

// The schemes. SchemeAny means SchemeHTTP if the proxy has a port for it, and SchemeSOCKS5
// otherwise.
//
// SchemeSOCKS5 and SchemeSOCKS5H are the same protocol on the same port. For net/http,
// package proxypool and browsers they are equal: the proxy resolves host names. For curl and
// programs in Python, socks5 means that they resolve host names themselves, which shows their
// name server where they connect to, and socks5h means that the proxy does. Use SchemeSOCKS5H
// for these.
const (
	SchemeAny     Scheme = ""
	SchemeHTTP    Scheme = "http"
	SchemeSOCKS5  Scheme = "socks5"
	SchemeSOCKS5H Scheme = "socks5h"
)

// Valid reports whether s is one of the schemes.
func (s Scheme) Valid() bool { return s == SchemeAny || s == SchemeHTTP || s.isSOCKS5() }

func (s Scheme) isSOCKS5() bool { return s == SchemeSOCKS5 || s == SchemeSOCKS5H }

// ErrNotUsable is matched by the errors of a [Proxy] that cannot be used or written in
// the requested way. Their texts contain the reason, without the password.
var ErrNotUsable = errors.New("the proxy cannot be used in this way")

// URL returns the URL of the proxy, with its password, for [http.ProxyURL] and other
// programs. Log [url.URL.Redacted] rather than its String.
//
// The error matches [ErrNotUsable] if the proxy has no port for the scheme, if its host
// is neither an address without a zone nor an ASCII host name, if the list has a login
// that could not be read, or if the scheme cannot carry the login or password. HTTP
// cannot carry control characters or a login with a colon (RFC 7617). SOCKS5 needs a
// login of 1 to 255 bytes and a password of at most 255. An empty password is allowed:
// servers accept it, although RFC 1929 does not.
func (p Proxy) URL(s Scheme) (*url.URL, error) {
	e, err := p.endpoint(s)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: string(e.scheme), Host: e.hostPort()}
	if p.Credentials != nil {
		u.User = url.UserPassword(e.login, e.password)
	}
	return u, nil
}

// Transport returns a new transport that sends all requests through the proxy. It is a
// copy of [http.DefaultTransport] without the proxy settings of the environment. Each of
// configure is called with it in turn and may change it. The errors are those of
// [Proxy.URL].
//
// A transport keeps connections open: use one for all requests through the proxy, and
// close its idle connections at the end. For several proxies use package proxypool.
func (p Proxy) Transport(s Scheme, configure ...func(*http.Transport)) (*http.Transport, error) {
	u, err := p.URL(s)
	if err != nil {
		return nil, err
	}
	base, ok := http.DefaultTransport.(*http.Transport)
	if ok {
		base = base.Clone()
		if base.TLSNextProto["h2"] != nil { // of x/net/http2: it would share connections, and go around the proxy
			base.TLSNextProto, base.ForceAttemptHTTP2 = nil, true
		}
	} else { // the program has replaced it
		base = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:   true,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	base.Proxy = http.ProxyURL(u)
	for _, f := range configure {
		if f != nil {
			f(base)
		}
	}
	return base, nil
}

// endpoint is the address and the login with which a proxy is used.
type endpoint struct {
	scheme          Scheme
	host            string // an address or a host name, without brackets
	port            int
	login, password string
}

func (e endpoint) hostPort() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// endpoint returns the endpoint of the proxy, or an error as documented for [Proxy.URL].
func (p Proxy) endpoint(s Scheme) (endpoint, error) {
	if !s.Valid() {
		return endpoint{}, fmt.Errorf("youproxy: the scheme %s is not known: it is %q, %q or %q", shortQuote(string(s)), SchemeHTTP, SchemeSOCKS5, SchemeSOCKS5H)
	}
	e := endpoint{scheme: s, host: p.host()}
	if s == SchemeAny {
		e.scheme = SchemeHTTP
		if p.HTTPPort == 0 {
			e.scheme = SchemeSOCKS5
		}
	}
	e.port = p.HTTPPort
	if e.scheme.isSOCKS5() {
		e.port = p.SOCKS5Port
	}
	switch {
	case e.host == "":
		return e, p.notUsable("it has no host")
	case !hostname.Valid(e.host):
		return e, p.notUsable("its host %s is neither an address nor a host name", shortQuote(e.host))
	case e.port == 0 && s == SchemeAny:
		return e, p.notUsable("it has no port")
	case e.port == 0:
		return e, p.notUsable("it has no port for %s", s)
	case e.port < 0 || e.port > 65535:
		return e, p.notUsable("its port %d is out of range", e.port)
	}
	if p.hidesLogin() {
		return e, p.notUsable("the list has a login for it that cannot be read")
	}
	if p.Credentials == nil {
		return e, nil
	}
	e.login, e.password = p.Credentials.Login, p.Credentials.Password.Reveal()
	switch socks5 := e.scheme.isSOCKS5(); {
	case socks5 && (e.login == "" || len(e.login) > 255):
		return e, p.notUsable("SOCKS5 cannot carry a login of %d bytes: it takes 1 to 255", len(e.login))
	case socks5 && len(e.password) > 255:
		return e, p.notUsable("SOCKS5 cannot carry a password of %d bytes: it takes up to 255", len(e.password))
	case socks5:
	case strings.Contains(e.login, ":"):
		return e, p.notUsable("HTTP cannot carry a login with a colon")
	case hasControl(e.login):
		return e, p.notUsable("HTTP cannot carry a login with a control character")
	case hasControl(e.password):
		return e, p.notUsable("HTTP cannot carry a password with a control character")
	}
	return e, nil
}

// host returns Host, or IP if there is no Host.
func (p Proxy) host() string {
	if p.Host == "" && p.IP.IsValid() {
		return p.IP.String()
	}
	return p.Host
}

// notUsable returns an error that matches ErrNotUsable. args must not contain a secret.
func (p Proxy) notUsable(format string, args ...any) error {
	name := "the proxy"
	if p.ID != "" {
		name = "proxy " + plainText(string(p.ID))
	}
	return notUsableError("youproxy: " + name + " cannot be used in this way: " + fmt.Sprintf(format, args...))
}

type notUsableError string

func (e notUsableError) Error() string      { return string(e) }
func (notUsableError) Is(target error) bool { return target == ErrNotUsable }

// hasControl reports whether s holds an ASCII control character.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
