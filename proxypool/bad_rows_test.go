package proxypool_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plainly is what requests to http:// see of a bad proxy.
type plainly int

const (
	asBad   plainly = iota // it is as bad as for https
	answers                // its answer, which could be the target's
	asGood                 // nothing: it does its duty
)

// badProxy is a row of the table.
type badProxy struct {
	name    string
	scheme  string // http unless set
	before  func(connect time.Duration) func(context.Context) error
	conduct func(s *server, c net.Conn)
	plain   plainly
	usable  bool // it does work for a time, so it need not rest
	broken  bool // it breaks what has begun to arrive, which is for the caller to see
	spare   int  // of a hundred, how many more may fail, as nobody can tell before
	forward bool // it may send on what it reads
	socket  bool // worth trying with real sockets
}

func badProxies() []badProxy {
	rows := append(unreachable(), unwilling()...)
	rows = append(rows, statuses()...)
	rows = append(rows, deceitful()...)
	rows = append(rows, fickle()...)
	return append(rows, socksRows()...)
}

// unreachable are those with which no connection comes about.
func unreachable() []badProxy {
	refuse := func(err error) func(time.Duration) func(context.Context) error {
		return func(time.Duration) func(context.Context) error {
			return func(context.Context) error { return err }
		}
	}
	slow := func(factor float64) func(time.Duration) func(context.Context) error {
		return func(connect time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Duration(float64(connect) * factor)):
					return nil
				}
			}
		}
	}
	hole := func(time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}
	return []badProxy{
		{name: "refuses connections", before: refuse(syscall.ECONNREFUSED)},
		{name: "no route", before: refuse(syscall.EHOSTUNREACH)},
		{name: "no such host", before: refuse(&net.DNSError{Err: "no such host", IsNotFound: true})},
		{name: "black hole", before: hole},
		{name: "black hole, https", scheme: "https", before: hole},
		{name: "black hole, socks5", scheme: "socks5", before: hole},
		{name: "slower than the connect timeout", before: slow(1.5), conduct: (*server).forward, forward: true},
		{name: "nearly as slow as the connect timeout", before: slow(0.8), conduct: (*server).forward, usable: true, forward: true},
	}
}

// silent reads, and says nothing.
func silent(s *server, c net.Conn) { _, _ = io.Copy(s, c) }

func hangUp(_ *server, c net.Conn)    { _ = c.Close() }
func resetting(_ *server, c net.Conn) { reset(c) }

// reading reads a request before it does something else.
func reading(then func(*server, net.Conn)) func(*server, net.Conn) {
	return func(s *server, c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.requests.Add(1)
		_, _ = io.Copy(s, req.Body)
		then(s, &readerConn{Conn: c, r: r})
	}
}

// saying answers with a text before it does something else.
func saying(text string, then func(*server, net.Conn)) func(*server, net.Conn) {
	return reading(func(s *server, c net.Conn) {
		_, _ = io.WriteString(c, text)
		then(s, c)
	})
}

// dripping writes a byte at a time.
func dripping(text string) func(*server, net.Conn) {
	return reading(func(s *server, c net.Conn) {
		s.network.work.Go(func() {
			for i := range len(text) {
				time.Sleep(500 * time.Millisecond)
				if _, err := io.WriteString(c, text[i:i+1]); err != nil {
					return
				}
			}
		})
		silent(s, c)
	})
}

// tunnelling accepts CONNECT, or reads a request in absolute form, before it does
// something else.
func tunnelling(then func(*server, net.Conn)) func(*server, net.Conn) {
	return func(s *server, c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.requests.Add(1)
		if req.Method == http.MethodConnect {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		} else {
			_, _ = io.Copy(s, req.Body)
		}
		then(s, &readerConn{Conn: c, r: r})
	}
}

// unwilling are those that take connections and give nothing for it.
func unwilling() []badProxy {
	const half = "HTTP/1.1 200 OK\r\nContent-Len"
	return []badProxy{
		{name: "silent", conduct: silent, socket: true},
		{name: "closes at once", conduct: hangUp, socket: true},
		{name: "resets at once", conduct: resetting, socket: true},
		{name: "reads the request and closes", conduct: reading(hangUp), socket: true},
		{name: "reads the request and resets", conduct: reading(resetting), socket: true},
		{name: "reads the request and is silent", conduct: reading(silent)},
		{name: "garbage", conduct: saying("\x00\xff220 mail.example.com ESMTP\r\n", hangUp)},
		{name: "half a header, then silent", conduct: saying(half, silent), socket: true},
		{name: "half a header, then closes", conduct: saying(half, hangUp)},
		{name: "100 Continue, then silent", conduct: saying("HTTP/1.1 100 Continue\r\n\r\n", silent)},
		{name: "slow drip of a header", conduct: dripping("HTTP/1.1 200 OK\r\nX-Filler: " + strings.Repeat("x", 200) + "\r\n\r\n")},
		{name: "a tunnel, then silent", conduct: tunnelling(silent), socket: true},
		{name: "a tunnel, then closes", conduct: tunnelling(hangUp), socket: true},
		{name: "a tunnel, then resets", conduct: tunnelling(resetting), socket: true},
		{name: "https, silent in its handshake", scheme: "https", conduct: silent},
		{name: "https, speaks no TLS", scheme: "https", conduct: func(s *server, c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<12))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}},
	}
}

// statuses are those that answer every request the same.
func statuses() (rows []badProxy) {
	for _, answer := range []struct{ status, rest string }{
		{"502 Bad Gateway", "Content-Length: 0\r\n\r\n"},
		{"503 Service Unavailable", "Content-Length: 0\r\n\r\n"},
		{"504 Gateway Timeout", "Content-Length: 0\r\n\r\n"},
		{"500 Internal Server Error", "Content-Length: 0\r\n\r\n"},
		{"204 No Content", "\r\n"},
		{"302 Found", "Location: http://login.example.com/\r\nContent-Length: 0\r\n\r\n"},
		{"402 Payment Required", "Content-Length: 0\r\n\r\n"},
		{"403 Forbidden", "Content-Length: 0\r\n\r\n"},
		{"407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"},
		{"429 Too Many Requests", "Retry-After: 60\r\nContent-Length: 0\r\n\r\n"},
		{"200 OK", "Content-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>top up!</html>"},
	} {
		text := "HTTP/1.1 " + answer.status + "\r\n" + answer.rest
		row := badProxy{name: answer.status, plain: answers, conduct: func(s *server, c net.Conn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				s.requests.Add(1)
				_, _ = io.Copy(s, req.Body)
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}}
		switch answer.status[:3] {
		case "200":
			row.name = "200 and a page"
		case "407":
			row.plain = asBad
		}
		rows = append(rows, row)
	}
	return rows
}

// deceitful are those that put themselves in the target's place.
func deceitful() []badProxy {
	showing := func(cert func() tls.Certificate) func(*server, net.Conn) {
		return func(s *server, c net.Conn) {
			r := bufio.NewReader(c)
			s.forwardOne(c, r, func(client, target net.Conn) {
				_ = target.Close()
				_ = tls.Server(client, &tls.Config{Certificates: []tls.Certificate{cert()}}).Handshake()
			})
		}
	}
	stranger := func() tls.Certificate { return certificates().stranger }
	elsewhere := func() tls.Certificate { return certificates().elsewhere }
	return []badProxy{
		{name: "its own certificate", conduct: showing(stranger), plain: asGood, forward: true},
		{name: "the certificate of another site", conduct: showing(elsewhere), plain: asGood, forward: true},
		{name: "an alert in the place of TLS", plain: asGood, forward: true, conduct: func(s *server, c net.Conn) {
			s.forwardOne(c, bufio.NewReader(c), func(client, target net.Conn) {
				_ = target.Close()
				_, _ = client.Read(make([]byte, 1<<12))
				_, _ = client.Write([]byte{21, 3, 3, 0, 2, 2, 40})
			})
		}},
		{name: "https, its own certificate", scheme: "https", conduct: func(_ *server, c net.Conn) {
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificates().stranger}}).Handshake()
		}},
	}
}

// allowance is a connection that brings so many bytes to the client, and no message
// of which a part would be more.
type allowance struct {
	net.Conn
	left int
	end  func(net.Conn) // what happens then; nil drops the rest
}

func (a *allowance) Write(p []byte) (int, error) {
	if a.left -= len(p); a.left >= 0 {
		return a.Conn.Write(p)
	}
	a.left = 0
	if a.end != nil {
		a.end(a.Conn)
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func shut(c net.Conn) { _ = c.Close() }

// bringing does its duty until it has brought so many bytes over a connection.
func bringing(size int, end func(net.Conn)) func(*server, net.Conn) {
	return func(s *server, c net.Conn) { s.forward(&allowance{Conn: c, left: size, end: end}) }
}

// cutting brings the first bytes of the target's handshake.
func cutting(end func(net.Conn)) func(*server, net.Conn) {
	return func(s *server, c net.Conn) {
		s.forwardOne(c, bufio.NewReader(c), func(client, target net.Conn) {
			half := make([]byte, 300)
			s.network.work.Go(func() {
				if _, err := io.ReadFull(target, half); err == nil {
					_, _ = client.Write(half)
				}
				if end != nil {
					end(client)
				}
				_, _ = io.Copy(io.Discard, target)
			})
			_, _ = io.Copy(struct{ io.Writer }{target}, struct{ io.Reader }{client})
		})
	}
}

// fickle are those that work, and then do not.
func fickle() (rows []badProxy) {
	for _, end := range []struct {
		name string
		do   func(net.Conn)
	}{{"is silent", nil}, {"closes", shut}, {"resets", reset}} {
		spare := 0
		if end.do == nil {
			spare = 2 // a request that is answered speaks for the proxy
		}
		rows = append(rows,
			badProxy{name: "half a handshake, then " + end.name, conduct: cutting(end.do), plain: asGood, forward: true, socket: true},
			badProxy{name: "each connection brings an answer, then " + end.name, conduct: bringing(300, end.do), usable: true, forward: true, socket: true, spare: spare},
			badProxy{name: "each connection brings some answers, then " + end.name, conduct: bringing(1500, end.do), usable: true, forward: true, spare: spare},
			badProxy{name: "each connection brings many answers, then " + end.name, conduct: bringing(4000, end.do), usable: true, forward: true, spare: 4},
		)
	}
	// The first connection works, and one of so many after it, if that is not zero.
	but := func(every int64, then func(*server, net.Conn)) func(*server, net.Conn) {
		return func(s *server, c net.Conn) {
			if n := s.taken.Add(1); n == 1 || every > 0 && n%every == 1 {
				bringing(1500, shut)(s, c)
				return
			}
			then(s, c)
		}
	}
	return append(rows,
		badProxy{name: "works over one connection, then is silent", forward: true, conduct: but(0, silent), spare: 2},
		badProxy{name: "works over one connection, then closes", forward: true, conduct: but(0, hangUp)},
		badProxy{name: "every second connection is silent", forward: true, usable: true, conduct: but(2, silent), spare: 4},
		badProxy{name: "closes after each answer", forward: true, usable: true, conduct: func(s *server, c net.Conn) {
			s.forwardOne(c, bufio.NewReader(c), nil)
		}},
		badProxy{name: "cuts long answers", broken: true, forward: true, conduct: func(s *server, c net.Conn) {
			s.forward(&splitting{allowance{Conn: c, left: 20_000, end: shut}})
		}},
	)
}

// splitting is an allowance that is used up to the last byte.
type splitting struct{ allowance }

func (a *splitting) Write(p []byte) (int, error) {
	if len(p) <= a.left {
		return a.allowance.Write(p)
	}
	n, _ := a.allowance.Write(p[:a.left])
	a.end(a.Conn)
	return n, net.ErrClosed
}

// socks is how a SOCKS5 proxy answers; nil is what it should.
type socks struct {
	hello, login, reply []byte
	then                func(*server, net.Conn) // after the first of those that is set, or in the tunnel
}

func (k socks) serve(s *server, c net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	say := func(odd, right []byte) (goOn bool) {
		if odd == nil {
			_, err := c.Write(right)
			return err == nil
		}
		_, _ = c.Write(odd)
		k.then(s, c)
		return false
	}
	read(int(read(2)[1]))
	if !say(k.hello, []byte{5, 2}) {
		return
	}
	name := read(int(read(2)[1]))
	word := read(int(read(1)[0]))
	if string(name) != login || string(word) != password {
		_, _ = c.Write([]byte{1, 1})
		return
	}
	if !say(k.login, []byte{1, 0}) {
		return
	}
	var host string
	switch read(4)[3] {
	case 3:
		host = string(read(int(read(1)[0])))
	case 1:
		host = net.IP(read(4)).String()
	default:
		return
	}
	port := binary.BigEndian.Uint16(read(2))
	s.requests.Add(1)
	granted := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if k.then != nil {
		if say(k.reply, granted) {
			k.then(s, c)
		}
		return
	}
	target, err := s.network.dial(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	defer target.Close()
	if say(nil, granted) {
		pass(c, target)
	}
}

func socksRows() (rows []badProxy) {
	row := func(name string, k socks) {
		rows = append(rows, badProxy{name: "socks5, " + name, scheme: "socks5", conduct: func(s *server, c net.Conn) { k.serve(s, c) }})
	}
	row("silent", socks{hello: []byte{}, then: silent})
	row("another version", socks{hello: []byte{4, 2}, then: hangUp})
	row("no method", socks{hello: []byte{5, 0xff}, then: hangUp})
	row("half a hello", socks{hello: []byte{5}, then: silent})
	row("speaks HTTP", socks{hello: []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), then: hangUp})
	row("refuses the login", socks{login: []byte{1, 1}, then: hangUp})
	row("silent after the login", socks{login: []byte{}, then: silent})
	row("closes after the login", socks{login: []byte{1, 0}, then: hangUp})
	for i := byte(1); i <= 8; i++ {
		row("reply "+strconv.Itoa(int(i)), socks{reply: []byte{5, i, 0, 1, 0, 0, 0, 0, 0, 0}, then: hangUp})
	}
	row("half a reply", socks{reply: []byte{5, 0, 0}, then: silent})
	row("a tunnel, then silent", socks{then: silent})
	row("a tunnel, then closes", socks{then: hangUp})
	row("a tunnel, then resets", socks{then: resetting})
	return rows
}
