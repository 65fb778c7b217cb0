// Package hostname checks host names and addresses.
package hostname

import (
	"net/netip"
	"strings"
)

// Valid reports whether s is an IP address without brackets and zone, or could be a host
// name. A host name is at most 253 bytes of labels between dots; a label is ASCII
// letters, digits, - and _, and does not begin with a hyphen. A dot at the end is
// allowed. A name in other letters must be in its ASCII form, such as
// xn--bcher-kva.example. A zone is not valid, as it has a meaning on one machine only.
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
