package youproxy

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// hostPort is where a proxy is.
type hostPort struct {
	host string     // an address, or a host name
	ip   netip.Addr // host, where that is an address
	port int        // 0 where none is said
}

// isEndpoint reports whether it can hardly be anything else.
func (h hostPort) isEndpoint() bool { return h.ip.IsValid() || strings.IndexByte(h.host, '.') > 0 }

// parseHostPort reads an address or a host name, with or without a port.
func parseHostPort(text string) (h hostPort, ok bool) {
	h.host = text
	bracketed := strings.HasPrefix(text, "[")
	if i := strings.LastIndexByte(text, ':'); i >= 0 && (bracketed && !strings.HasSuffix(text, "]") || strings.IndexByte(text, ':') == i) {
		n, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil {
			return hostPort{}, false
		}
		h.host, h.port = text[:i], int(n)
	}
	if bracketed {
		if h.host, ok = strings.CutSuffix(h.host[1:], "]"); !ok || !strings.Contains(h.host, ":") {
			return hostPort{}, false
		}
	}
	if !hostname.Valid(h.host) {
		return hostPort{}, false
	}
	h.ip, _ = netip.ParseAddr(h.host)
	return h, true
}

// isEndpoint reports whether a text tells where a proxy is.
func isEndpoint(text string) bool {
	h, ok := parseHostPort(strings.TrimSpace(text))
	return ok && h.isEndpoint()
}

// holdsAddress reports whether an address stands in a text, in whatever form: with a port, in
// a link, beside a login. The version of a program is none.
func holdsAddress(text string) bool {
	isSign := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == '.' || c == ':'
	}
	for i := 0; i < len(text); i++ {
		start := i
		dots, colons := 0, 0
		for ; i < len(text) && isSign(text[i]); i++ {
			switch text[i] {
			case '.':
				dots++
			case ':':
				colons++
			}
		}
		part := text[start:i]
		if colons > 1 && len(part) > 5 && len(part) <= 45 {
			if addr, err := netip.ParseAddr(part); err == nil && addr.Is6() {
				return true
			}
		}
		isVersion := start > 1 && text[start-1] == '/' && text[start-2] != '/'
		if dots < 3 || isVersion {
			continue
		}
		for part := range strings.SplitSeq(part, ":") {
			if addr, err := netip.ParseAddr(part); err == nil && addr.Is4() {
				return true
			}
		}
	}
	_, text, _ = strings.Cut("://"+text[strings.Index(text, "://")+1:], "://")
	host, rest, _ := strings.Cut(text[strings.LastIndexByte(text, '@')+1:], ":")
	port, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && strings.Contains(host, ".") && hostname.Valid(host)
}

// listensFor notes the port on which a proxy speaks a protocol. It reports false where that
// is not known, or has another port.
func (p *Proxy) listensFor(protocol Protocol, port int) bool {
	var its *int
	switch strings.ToUpper(string(protocol)) {
	case "HTTP", "HTTPS":
		its = &p.HTTPPort
	case "SOCKS", "SOCKS5":
		its = &p.SOCKS5Port
	}
	switch {
	case port == 0:
		return true
	case its == nil, *its != 0 && *its != port:
		return false
	}
	*its = port
	return true
}

// knownProtocol returns a protocol in its own letter case.
func knownProtocol(name string) Protocol {
	for _, p := range []Protocol{ProtocolHTTP, ProtocolSOCKS} {
		if strings.EqualFold(name, string(p)) {
			return p
		}
	}
	return Protocol(name)
}

// ports reads ports in any form. It reports false where some cannot be read, or have no use.
func (d *proxyDecoder) ports(p *Proxy, v []byte) bool {
	switch v[0] {
	case '[':
		ok := true
		for i := nextValue(v, 1); v[i] != ']'; i = nextValue(v, i) {
			end := skipValue(v, i)
			ok = v[i] != '[' && d.ports(p, v[i:end]) && ok
			i = end
		}
		return ok
	case '{':
		ok, port := true, 0
		own := Proxy{HTTPPort: p.HTTPPort, SOCKS5Port: p.SOCKS5Port}
		d.each(v, func(name *listName, v []byte) {
			n, isPort := portNumber(v)
			switch name.field {
			case fieldHTTPPort:
				ok = ok && isPort && own.listensFor(ProtocolHTTP, n)
			case fieldSOCKS5Port:
				ok = ok && isPort && own.listensFor(ProtocolSOCKS, n)
			case fieldPort, fieldNumber:
				port, ok = n, ok && isPort
			case fieldProtocol, fieldType:
				own.Protocol = Protocol(textOf(v))
			}
		})
		ok = ok && own.listensFor(own.Protocol, port)
		some := own.HTTPPort != 0 || own.SOCKS5Port != 0
		p.HTTPPort, p.SOCKS5Port = own.HTTPPort, own.SOCKS5Port
		return ok && some
	}
	n, ok := portNumber(v)
	return ok && p.listensFor(p.Protocol, n)
}

// wholeNumber reads a whole number, such as 8080 or 8080.0. Blanks are 0.
func wholeNumber(text []byte) (int, bool) {
	n, err := strconv.Atoi(string(text))
	if err == nil {
		return n, true
	}
	text = bytes.TrimSpace(text)
	if whole, fraction, ok := bytes.Cut(text, []byte(".")); ok && len(bytes.Trim(fraction, "0")) == 0 {
		text = whole
	}
	n, err = strconv.Atoi(string(text))
	return n, err == nil || len(text) == 0
}

// portNumber reads the number of a port. 0 is none.
func portNumber(v []byte) (int, bool) {
	n, ok := wholeNumber(unquote(v))
	if !ok || !isText(v) || n < 0 || n > 65535 {
		return 0, false
	}
	return n, true
}
