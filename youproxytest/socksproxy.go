package youproxytest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// serveSOCKS5 answers as a SOCKS5 proxy (RFC 1928, RFC 1929).
func (p *soldProxy) serveSOCKS5(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // files have run out, and may be there again
			time.Sleep(10 * time.Millisecond)
		default:
			p.server.handlers.Go(func() {
				defer func() { _ = c.Close() }()
				p.socks5(c)
			})
		}
	}
}

// What a SOCKS5 server answers to a request.
const (
	succeeded               = 0
	hostUnreachable         = 4
	commandNotSupported     = 7
	addressTypeNotSupported = 8
)

// socks5 serves one connection.
func (p *soldProxy) socks5(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := &socksReader{from: bufio.NewReader(c)}
	if !p.greet(c, in) {
		return
	}
	request := in.bytes(4) // version, command, reserved, type of the address
	if in.failed || request[0] != 5 {
		return
	}
	var host string
	switch request[3] {
	case 1:
		host = in.address(4)
	case 3:
		host = in.text()
	case 4:
		host = in.address(16)
	default:
		answerSOCKS(c, addressTypeNotSupported)
		return
	}
	port := binary.BigEndian.Uint16(in.bytes(2))
	switch {
	case in.failed:
		return
	case request[1] != 1:
		answerSOCKS(c, commandNotSupported)
		return
	}
	ctx := context.WithValue(p.life, proxyKey{}, p)
	target, err := p.dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		answerSOCKS(c, hostUnreachable)
		return
	}
	answerSOCKS(c, succeeded)
	_ = c.SetDeadline(time.Time{})
	tunnel(c, in.from, target)
}

// greet agrees on how the client shows who it is, and reports whether it may go on.
func (p *soldProxy) greet(c net.Conn, in *socksReader) bool {
	version := in.bytes(1)
	methods := in.text()
	if in.failed || version[0] != 5 {
		return false
	}
	const none, password, noneAcceptable = "\x00", "\x02", "\xff"
	if p.ip.Login == "" {
		if !strings.Contains(methods, none) || !p.accepts("", "") {
			_, _ = io.WriteString(c, "\x05"+noneAcceptable)
			return false
		}
		_, _ = io.WriteString(c, "\x05"+none)
		return true
	}
	if !strings.Contains(methods, password) {
		_, _ = io.WriteString(c, "\x05"+noneAcceptable)
		return false
	}
	_, _ = io.WriteString(c, "\x05"+password)
	in.bytes(1) // version of the login
	login, secret := in.text(), in.text()
	if in.failed || !p.accepts(login, secret) {
		_, _ = io.WriteString(c, "\x01\x01")
		return false
	}
	_, _ = io.WriteString(c, "\x01\x00")
	return true
}

// answerSOCKS answers a request, without the address that the target is reached from.
func answerSOCKS(c net.Conn, reply byte) { _, _ = c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0}) }

// socksReader reads what a client says. After an error it returns zeros.
type socksReader struct {
	from   *bufio.Reader
	failed bool
}

func (r *socksReader) bytes(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.from, b); err != nil {
		r.failed = true
	}
	return b
}

// text reads a length, and a string of that length.
func (r *socksReader) text() string { return string(r.bytes(int(r.bytes(1)[0]))) }

func (r *socksReader) address(size int) string {
	addr, _ := netip.AddrFromSlice(r.bytes(size))
	return addr.String()
}
