package hostname

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValid(t *testing.T) {
	for _, host := range []string{
		"192.0.2.1", "2001:db8::1", "::1", "::ffff:192.0.2.1", "localhost", "example.com", "Example.COM", "example.com.", "a-1.b_2.example", "1a.example", "192.0.2.1.example",
		"xn--bcher-kva.example", "a-.example", "_x", strings.Repeat("a", 253), strings.Repeat("a", 253) + ".",
	} {
		assert.True(t, Valid(host), "%q", host)
	}
	for _, host := range []string{
		"", ".", "..", "a..b", ".a", "a..", "-a", "a.-b", "1", "1.2.3", "192.0.2.1.", "192.0.2.256", "192.0.2.01", "[2001:db8::1]", "fe80::1%eth0", "fe80::1%25eth0", "1::2::3",
		"192.0.2.1:80", "example.com:80", "host:80:login:password", "login@example.com", "http://example.com", "example.com/", "a?b", "a#b", "a%b", "a\\b", "a,b", "a;b", `a"b`, "a b", " a", "a ",
		"a\nb", "a\x00b", "é.example", "ａ.example", "a\xffb", "*", "=1", "{{.}}", strings.Repeat("a", 254), strings.Repeat("a", 254) + ".",
	} {
		assert.False(t, Valid(host), "%q", host)
	}
}

// What is valid stands in a URL as it is.
func FuzzValid(f *testing.F) {
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "example.com.", "a_b", "fe80::1%eth0", "[::1]"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !Valid(host) {
			_, err := netip.ParseAddr(host)
			require.True(t, err != nil || strings.Contains(host, "%"), "an address without a zone is valid")
			return
		}
		u, err := url.Parse((&url.URL{Scheme: "http", User: url.UserPassword("l", "p"), Host: net.JoinHostPort(host, "80")}).String())
		require.NoError(t, err)
		require.Equal(t, host, u.Hostname())
		require.Equal(t, "80", u.Port())
	})
}
