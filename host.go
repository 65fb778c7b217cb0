package youproxy

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// hostPort is the address of a proxy.
type hostPort struct {
	host string     // an address, or a host name
	ip   netip.Addr // host, if that is an address
	port int        // 0 for none
}

// isEndpoint reports whether h can hardly be anything but an address.
func (h hostPort) isEndpoint() bool { return h.ip.IsValid() || strings.IndexByte(h.host, '.') > 0 }

// parseHostPort parses an address or a host name, with or without a port.
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

// isEndpoint reports whether a string is the address of a proxy.
func isEndpoint(text string) bool {
	h, ok := parseHostPort(strings.TrimSpace(text))
	return ok && h.isEndpoint()
}

// holdsAddress reports whether a string contains an address in any form: with a port, in a
// link, beside a login. The version of a program is not an address.
func holdsAddress(text string) bool {
	if holdsIP(text) {
		return true
	}
	_, text, _ = strings.Cut("://"+text[strings.Index(text, "://")+1:], "://")
	host, rest, _ := strings.Cut(text[strings.LastIndexByte(text, '@')+1:], ":")
	port, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && strings.Contains(host, ".") && hostname.Valid(host)
}

// holdsIP reports whether a string contains an IP address, other than a version such as
// Chrome/120.0.0.0.
func holdsIP(text string) bool {
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
		if colons > 1 && len(part) > 5 && len(part) <= 45 && isIP(part, netip.Addr.Is6) {
			return true
		}
		isVersion := start > 1 && text[start-1] == '/' && text[start-2] != '/'
		if dots < 3 || isVersion {
			continue
		}
		for part := range strings.SplitSeq(part, ":") {
			if isIP(part, netip.Addr.Is4) {
				return true
			}
		}
	}
	return false
}

// isIP reports whether a string is an IP address of a kind.
func isIP(text string, kind func(netip.Addr) bool) bool {
	addr, err := netip.ParseAddr(text)
	return err == nil && kind(addr)
}

// listensFor sets the port on which a proxy speaks a protocol. It returns false if the
// protocol is not known or has another port already.
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

// ports reads ports in any form. It returns false if some cannot be read or are not used.
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

// wholeNumber parses a whole number, such as 8080 or 8080.0. Blanks are 0.
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

// portNumber returns the number of a port; 0 means none.
func portNumber(v []byte) (int, bool) {
	n, ok := wholeNumber(unquote(v))
	if !ok || !isText(v) || n < 0 || n > 65535 {
		return 0, false
	}
	return n, true
}
