package youproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// ProxyType is a kind of proxy that the service sells. Its values are case-sensitive. An
// unknown type is kept as the service wrote it.
type ProxyType string

// The documented proxy types.
const (
	ProxyTypeIPv4   ProxyType = "IPv4"
	ProxyTypeIPv6   ProxyType = "IPv6"
	ProxyTypeMobile ProxyType = "MOBILE"
	ProxyTypeISP    ProxyType = "ISP"
)

// Valid reports whether t is one of the documented proxy types.
func (t ProxyType) Valid() bool { return slices.Contains(knownProxyTypes[:], t) }

var knownProxyTypes = [...]ProxyType{ProxyTypeIPv4, ProxyTypeIPv6, ProxyTypeMobile, ProxyTypeISP}

// knownProxyType returns a proxy type in its own letter case.
func knownProxyType(name string) ProxyType {
	for _, t := range knownProxyTypes {
		if strings.EqualFold(name, string(t)) {
			return t
		}
	}
	return ProxyType(name)
}

// AuthType is how a proxy recognises its user.
type AuthType string

// The documented authorisation types.
const (
	AuthTypeLogin AuthType = "LOGIN" // by login and password
	AuthTypeIP    AuthType = "IP"    // by the address the traffic comes from
)

// Valid reports whether t is one of the documented authorisation types.
func (t AuthType) Valid() bool { return t == AuthTypeLogin || t == AuthTypeIP }

// Protocol is the protocol of an IPv6 proxy. The other proxy types speak both.
type Protocol string

// The documented protocols.
const (
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolSOCKS Protocol = "SOCKS"
)

// Valid reports whether p is one of the documented protocols.
func (p Protocol) Valid() bool { return p == ProtocolHTTP || p == ProtocolSOCKS }

// PromoCodeStatus is whether the promo code of a request is valid. It is empty if no code
// was sent. To the service a code that is not valid is not an error: it charges the full
// price.
type PromoCodeStatus string

// The documented states of a promo code.
const (
	PromoCodeValid    PromoCodeStatus = "VALID"
	PromoCodeNotValid PromoCodeStatus = "NO_VALID"
)

// Valid reports whether s is a documented state, or the empty one of a request without a
// promo code. It does not report whether the code was accepted: compare s with
// [PromoCodeValid].
func (s PromoCodeStatus) Valid() bool {
	return s == "" || s == PromoCodeValid || s == PromoCodeNotValid
}

// OrderNumber is the number of an order in the reply that accepts it, such as
// "NUMBER-112233". It is not the [OrderID] that extensions require.
type OrderNumber string

// OrderID identifies an order in the list of proxies and in extensions.
type OrderID string

// IPAddressID identifies one IP address of an order, which is one proxy.
type IPAddressID string

// hidden is printed instead of a [Secret].
const hidden = "***"

// Secret is a string that must not be shown, such as a password. It prints as *** with
// every verb, in logs and in JSON; only [Secret.Reveal] returns the string. The zero
// Secret is empty. Two Secrets are equal, also with ==, if they hide the same string.
//
// The string is masked with a key of this process, so that a dump of the fields, such as
// that of a failed assertion, does not show it either.
type Secret struct{ masked string }

// maskKey masks the strings of secrets.
var maskKey = maphash.MakeSeed()

// maskSize is how many bytes are masked at a time, and the length of the tag before them.
const maskSize = 8

// NewSecret returns a Secret that hides s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	var room [64]byte
	b := binary.LittleEndian.AppendUint64(room[:0], maphash.String(maskKey, s))
	return Secret{masked: string(mask(append(b, s...)))}
}

// Reveal returns the hidden string.
func (s Secret) Reveal() string {
	if s.masked == "" {
		return ""
	}
	var room [64]byte
	return string(mask(append(room[:0], s.masked...))[maskSize:])
}

// mask masks or unmasks what follows the tag. The tag makes the mask of each string
// different.
func mask(b []byte) []byte {
	var block [2 * maskSize]byte
	copy(block[:], b[:maskSize])
	for i := maskSize; i < len(b); i++ {
		if i%maskSize == 0 {
			binary.LittleEndian.PutUint64(block[maskSize:], uint64(i))
			binary.LittleEndian.PutUint64(block[maskSize:], maphash.Bytes(maskKey, block[:]))
		}
		b[i] ^= block[maskSize+i%maskSize]
	}
	return b
}

// Equal reports whether both hide the same string.
func (s Secret) Equal(other Secret) bool { return s == other }

// IsZero reports whether the hidden string is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns ***.
func (Secret) String() string { return hidden }

// Format writes *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue returns ***, for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON returns "***", or "" if the hidden string is empty.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte(`""`), nil
	}
	return []byte(`"` + hidden + `"`), nil
}

// UnmarshalJSON reads a string. "***" is an error, so that a value that was saved without
// its secret is not mistaken for the secret.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("youproxy: a secret must be a JSON string")
	}
	if text == hidden {
		return fmt.Errorf("youproxy: %q stands for a secret that was not saved: take it from where it is kept", hidden)
	}
	*s = Secret{}
	if text != "" {
		*s = NewSecret(text)
	}
	return nil
}
