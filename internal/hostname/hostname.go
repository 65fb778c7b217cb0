// Package hostname decides what may stand where a host is expected.
package hostname

import (
	"net/netip"
	"strings"
)

// Valid reports whether s is an IP address, or could be a host name: labels of ASCII
// letters, digits, - and _ between dots, none of which begins with a hyphen, 253 bytes at
// the most. A dot at the end is allowed. An address has no brackets and no zone, which has
// a meaning on one machine only; a name in other letters is written in its ASCII form,
// such as xn--bcher-kva.example.
func Valid(s string) bool {
	if strings.Trim(s, "0123456789.") == "" || strings.IndexByte(s, ':') >= 0 {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Zone() == ""
	}
	s = strings.TrimSuffix(s, ".")
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' {
			return false
		}
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return len(s) <= 253
}
