package proxypool

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	socks "golang.org/x/net/proxy"
)

// connect makes a connection to the proxy of the attempt and, unless to is empty, a
// tunnel through it to that host and port. It stops with ctx, and after the connect
// timeout.
func (l *line) connect(ctx context.Context, a *attempt, to string) (*conn, error) {
	x := l.proxy
	deadline := time.Now().Add(x.settings.connectTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer x.connecting(&cancel)()
	a.mark(dialed)
	c, err := x.settings.dialer.dial(ctx, a)
	if err != nil {
		return nil, x.notConnected(ctx, err)
	}
	tracked, err := l.track(c, a)
	if err != nil {
		return nil, err
	}
	a.mark(reached)
	a.reachedIn(x.settings.connectTimeout - time.Until(deadline))
	late := func() { a.mark(timedOut) }
	if to == "" {
		tracked.wait(time.Until(deadline), late)
		return tracked, nil
	}
	interrupt := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if strings.HasPrefix(x.url.Scheme, "socks") {
		err = x.askSOCKS(ctx, c, to)
	} else {
		err = x.askHTTP(ctx, tracked, to)
	}
	if !interrupt() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = tracked.Close()
		return nil, x.notConnected(ctx, err)
	}
	a.mark(tunnelled)
	tracked.wait(time.Until(deadline), late)
	return tracked, nil
}

// notConnected returns what an error means with which connecting failed.
func (x *proxy) notConnected(ctx context.Context, err error) error {
	switch {
	case x.isClosed():
		return errDropped
	case errors.Is(err, ErrAuthentication), errors.Is(err, ErrRefused), noMoreFiles(err):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &because{ErrUnreachable, fmt.Sprintf("no connection within %s", x.settings.connectTimeout), os.ErrDeadlineExceeded}
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return &because{ErrUnreachable, err.Error(), err}
}

// noMoreFiles reports whether the process, or the system, has too many files open.
func noMoreFiles(err error) bool {
	var dns *net.DNSError
	return slices.ContainsFunc(tooManyFiles, func(e error) bool { return errors.Is(err, e) }) ||
		errors.As(err, &dns) && strings.Contains(dns.Err, syscall.EMFILE.Error())
}

// dialer connects to proxies in the way of a transport.
type dialer struct {
	base *http.Transport
	plan dialFunc // without TLS
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func newDialer(base *http.Transport) *dialer {
	d := &dialer{base: base, plan: base.DialContext}
	if d.plan == nil {
		d.plan = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if old := base.Dial; old != nil && base.DialContext == nil { //nolint:staticcheck // callers may still use it
		d.plan = withoutContext(old)
	}
	return d
}

func withoutContext(dial func(network, addr string) (net.Conn, error)) dialFunc {
	return func(_ context.Context, network, addr string) (net.Conn, error) { return dial(network, addr) }
}

// dial connects to a proxy, with TLS if its scheme is https. If there are no files left,
// it closes idle connections of the pool, and tries again until ctx ends.
func (d *dialer) dial(ctx context.Context, a *attempt) (net.Conn, error) {
	u := a.proxy.url
	const long = time.Second / 4
	for pause := time.Millisecond; ; pause = min(2*pause, long) {
		c, err := d.once(ctx, u)
		if err == nil || !noMoreFiles(err) {
			return c, err
		}
		a.mark(starved)
		a.proxy.settings.idle.makeRoom(pause < long)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (d *dialer) once(ctx context.Context, u *url.URL) (net.Conn, error) {
	if u.Scheme != "https" {
		return d.plan(ctx, "tcp", u.Host)
	}
	switch {
	case d.base.DialTLSContext != nil:
		return d.base.DialTLSContext(ctx, "tcp", u.Host)
	case d.base.DialTLS != nil: //nolint:staticcheck // callers may still use it
		return d.base.DialTLS("tcp", u.Host) //nolint:staticcheck // the same
	}
	c, err := d.plan(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return d.secure(ctx, c, u.Hostname())
}

// secure makes the TLS handshake with a host, and closes c if that fails.
func (d *dialer) secure(ctx context.Context, c net.Conn, host string) (net.Conn, error) {
	config := &tls.Config{}
	if d.base.TLSClientConfig != nil {
		config = d.base.TLSClientConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	config.NextProtos = nil
	t := tls.Client(c, config)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}

// askSOCKS asks a SOCKS5 proxy for a tunnel.
func (x *proxy) askSOCKS(ctx context.Context, c net.Conn, to string) error {
	var login *socks.Auth
	if u := x.url.User; u != nil {
		password, _ := u.Password()
		login = &socks.Auth{User: u.Username(), Password: password}
	}
	d, err := socks.SOCKS5("tcp", x.url.Host, login, alreadyConnected{c})
	if err != nil {
		return err
	}
	_, err = d.(socks.ContextDialer).DialContext(ctx, "tcp", to)
	var op *net.OpError
	if err == nil || !errors.As(err, &op) || op.Err == nil {
		return err
	}
	// Only the text of the error contains the answer of the proxy.
	switch text := op.Err.Error(); {
	case strings.Contains(text, "authentication failed"), strings.Contains(text, "authentication method"):
		return &because{ErrAuthentication, text, nil}
	case strings.HasPrefix(text, "unknown error "):
		return &because{ErrRefused, "it answered SOCKS with " + strings.TrimPrefix(text, "unknown error "), nil}
	}
	return err
}

// alreadyConnected is a dialer that returns its connection.
type alreadyConnected struct{ net.Conn }

func (c alreadyConnected) Dial(string, string) (net.Conn, error) { return c.Conn, nil }

func (c alreadyConnected) DialContext(context.Context, string, string) (net.Conn, error) {
	return c.Conn, nil
}

// longestHeader bounds the header of a response to CONNECT, in bytes.
const longestHeader = 64 << 10

// askHTTP asks an HTTP proxy for a tunnel.
func (x *proxy) askHTTP(ctx context.Context, c *conn, to string) error {
	base := x.settings.dialer.base
	header := base.ProxyConnectHeader.Clone()
	if base.GetProxyConnectHeader != nil {
		var err error
		if header, err = base.GetProxyConnectHeader(ctx, x.url, to); err != nil {
			return err
		}
		header = header.Clone()
	}
	if header == nil {
		header = make(http.Header)
	}
	if u := x.url.User; u != nil {
		password, _ := u.Password()
		header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: header} // without hooks, which would see the login
	if err := req.Write(c.Conn); err != nil {
		return err
	}
	limited := &io.LimitedReader{R: c.Conn, N: longestHeader}
	r := bufio.NewReader(limited)
	res, err := http.ReadResponse(r, req) //nolint:bodyclose // it ends with the connection
	if err != nil {
		return err
	}
	if base.OnProxyConnectResponse != nil {
		if err := base.OnProxyConnectResponse(ctx, x.url, req, res); err != nil {
			return &because{ErrRefused, err.Error(), err} // the proxy itself works
		}
	}
	switch res.StatusCode {
	case http.StatusOK:
		if n := r.Buffered(); n > 0 { // the target speaks first
			begun, _ := r.Peek(n)
			c.begun = bytes.NewReader(begun)
		}
		return nil
	case http.StatusProxyAuthRequired, http.StatusUnauthorized: // 401 is how Tinyproxy refuses a wrong password
		return x.refusal(ErrAuthentication, c, res)
	}
	return x.refusal(ErrRefused, c, res)
}

// refusal returns an error with the reasons that the proxy sent for not making a tunnel:
// the phrase after the status, header fields about errors, and a short body.
func (x *proxy) refusal(kind error, c *conn, res *http.Response) error {
	reason := fmt.Sprintf("it answered %d to CONNECT", res.StatusCode)
	_, phrase, _ := strings.Cut(res.Status, " ")
	var said []string
	if phrase != http.StatusText(res.StatusCode) {
		said = append(said, phrase)
	}
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		if lower := strings.ToLower(name); strings.Contains(lower, "error") || strings.Contains(lower, "reason") || lower == "proxy-status" || lower == "retry-after" {
			said = append(said, name+" "+strings.Join(res.Header[name], ", "))
		}
	}
	said = append(said, shortBody(c, res))
	for _, text := range said {
		if x.reveals(text) {
			return &because{kind, reason + ", and more that is not shown, since it contains the password", nil}
		}
	}
	for _, text := range said {
		if text = printable(text); text != "" {
			reason += ": " + text
		}
	}
	return &because{kind, reason, nil}
}

// shortBody returns the body of a refusal if it is a short text that comes at once.
func shortBody(c *conn, res *http.Response) string {
	const most = 1 << 10
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	switch strings.TrimSpace(kind) {
	case "", "text/plain", "application/json":
	default:
		return ""
	}
	if res.ContentLength == 0 || res.ContentLength > most {
		return ""
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
	body, _ := io.ReadAll(io.LimitReader(res.Body, most+1))
	if text := string(body); len(text) <= most && utf8.ValidString(text) && !strings.HasPrefix(strings.TrimSpace(text), "<") {
		return text
	}
	return ""
}

// printable returns the beginning of a string, in one line.
func printable(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
