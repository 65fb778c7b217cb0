package youproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"strings"

	"github.com/go-json-experiment/json"
)

// ProxyType is a kind of proxy the service sells. Its values are case
// sensitive. A type this package does not know is kept as the service wrote it.
type ProxyType string

// The proxy types the service documents.
const (
	ProxyTypeIPv4   ProxyType = "IPv4"
	ProxyTypeIPv6   ProxyType = "IPv6"
	ProxyTypeMobile ProxyType = "MOBILE"
	ProxyTypeISP    ProxyType = "ISP"
)

// Valid reports whether t is one of the documented proxy types.
func (t ProxyType) Valid() bool {
	switch t {
	case ProxyTypeIPv4, ProxyTypeIPv6, ProxyTypeMobile, ProxyTypeISP:
		return true
	}
	return false
}

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

// AuthType says how a proxy recognises its user.
type AuthType string

// The authorisation types the service documents.
const (
	AuthTypeLogin AuthType = "LOGIN" // by login and password
	AuthTypeIP    AuthType = "IP"    // by the address the traffic comes from
)

// Valid reports whether t is one of the documented authorisation types.
func (t AuthType) Valid() bool { return t == AuthTypeLogin || t == AuthTypeIP }

// Protocol is what an IPv6 proxy speaks. The other proxy types speak both.
type Protocol string

// The protocols the service documents.
const (
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolSOCKS Protocol = "SOCKS"
)

// Valid reports whether p is one of the documented protocols.
func (p Protocol) Valid() bool { return p == ProtocolHTTP || p == ProtocolSOCKS }

// PromoCodeStatus says what became of the promo code of a request. It is empty
// where no code was sent. A code that is not valid is no error to the service:
// the order is placed at the full price.
type PromoCodeStatus string

// The promo code states the service documents.
const (
	PromoCodeValid    PromoCodeStatus = "VALID"
	PromoCodeNotValid PromoCodeStatus = "NO_VALID"
)

// Valid reports whether s is a documented state, or the empty one of a request
// without a promo code. It does not say whether the code was accepted: compare
// with [PromoCodeValid] for that.
func (s PromoCodeStatus) Valid() bool {
	return s == "" || s == PromoCodeValid || s == PromoCodeNotValid
}

// OrderNumber is what the reply to an order calls it, such as
// "NUMBER-112233". It is not the [OrderID] that extensions ask for.
type OrderNumber string

// OrderID names an order in the list of IP addresses and in extensions.
type OrderID string

// IPAddressID names one IP address of an order.
type IPAddressID string

// hidden stands wherever a [Secret] would be printed.
const hidden = "***"

// Secret is a string that must not be shown, such as a password. It prints as ***
// under every verb, in logs and in JSON; only [Secret.Reveal] returns it. The zero
// Secret is empty. Two Secrets are equal, with == as well, if they hide the same.
//
// What it holds is masked with a key of this process, so that a dump of its fields,
// such as that of a failed assertion, does not show the string either.
type Secret struct{ masked string }

// maskKey masks what secrets hold.
var maskKey = maphash.MakeSeed()

// maskSize is how much is masked at a time, and how long the tag before it is.
const maskSize = 8

// NewSecret hides a string.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	var room [64]byte
	b := binary.LittleEndian.AppendUint64(room[:0], maphash.String(maskKey, s))
	return Secret{masked: string(mask(append(b, s...)))}
}

// Reveal returns the string.
func (s Secret) Reveal() string {
	if s.masked == "" {
		return ""
	}
	var room [64]byte
	return string(mask(append(room[:0], s.masked...))[maskSize:])
}

// mask masks what follows the tag, or takes the mask off again. The tag makes each
// string's mask its own.
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

// IsZero reports whether there is nothing to hide.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns ***.
func (Secret) String() string { return hidden }

// Format writes *** whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue returns *** for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON writes "***", or "" where there is nothing to hide.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte(`""`), nil
	}
	return []byte(`"` + hidden + `"`), nil
}

// UnmarshalJSON reads a string. It refuses "***", so that a value that was
// saved without its secret is not taken for one that has it.
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
