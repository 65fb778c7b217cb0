package youproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const hushed = "pa55-w0rd/é"

func TestSecretReveal(t *testing.T) {
	t.Parallel()
	s := youproxy.NewSecret(hushed)
	assert.Equal(t, hushed, s.Reveal())
	assert.False(t, s.IsZero())
	assert.True(t, s.Equal(youproxy.NewSecret(hushed)))
	assert.False(t, s.Equal(youproxy.NewSecret("another")))
	assert.Equal(t, s, youproxy.NewSecret(hushed), "tests of callers compare whole records")
	assert.NotEqual(t, s, youproxy.NewSecret("another"))

	for _, empty := range []youproxy.Secret{{}, youproxy.NewSecret("")} {
		assert.Empty(t, empty.Reveal())
		assert.True(t, empty.IsZero())
		assert.True(t, empty.Equal(youproxy.Secret{}))
		assert.Equal(t, "***", empty.String())
	}
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%b", "%o", "%20s", "%.1s", "%z"}

func TestSecretUnderEveryVerb(t *testing.T) {
	t.Parallel()
	s := youproxy.NewSecret(hushed)
	for _, verb := range verbs {
		assert.Equal(t, "***", fmt.Sprintf(verb, s), verb)
		assert.Equal(t, "***", fmt.Sprintf(verb, &s), verb)
	}
	assert.Equal(t, "***", s.String())
	assert.Equal(t, "***", fmt.Sprint(s))
}

// fmt does not ask a value in an unexported field how it wants to be printed.
func TestSecretInOtherValues(t *testing.T) {
	t.Parallel()
	type exported struct {
		Login    string
		Password youproxy.Secret
	}
	type unexported struct {
		password youproxy.Secret
		pointer  *youproxy.Secret
		list     []youproxy.Secret
		byName   map[string]youproxy.Secret
		nested   struct{ any any }
	}
	s := youproxy.NewSecret(hushed)
	hidden := unexported{s, &s, []youproxy.Secret{s}, map[string]youproxy.Secret{"a": s}, struct{ any any }{s}}

	assert.Equal(t, "{user ***}", fmt.Sprint(exported{"user", s}))
	assert.Equal(t, "[***]", fmt.Sprint([]youproxy.Secret{s}))
	assert.Equal(t, "map[a:***]", fmt.Sprint(map[string]youproxy.Secret{"a": s}))
	for _, verb := range append([]string{"%p"}, verbs...) {
		for _, value := range []any{s, &s, exported{"user", s}, &exported{"user", s}, hidden, &hidden, []any{hidden}, map[string]any{"a": hidden}} {
			assertHushed(t, fmt.Sprintf(verb, value))
		}
	}
}

func assertHushed(t *testing.T, text string) {
	t.Helper()
	for _, form := range []string{
		hushed, hushed[:4],
		fmt.Sprintf("%x", hushed), fmt.Sprintf("%X", hushed), fmt.Sprintf("% x", hushed),
		strings.Trim(fmt.Sprintf("%d", []byte(hushed)), "[]"),
	} {
		assert.NotContains(t, text, form)
	}
}

func TestSecretInLogs(t *testing.T) {
	t.Parallel()
	type credentials struct{ Password youproxy.Secret }
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			s := youproxy.NewSecret(hushed)
			slog.New(handler(&b)).Info("a", "secret", s, "pointer", &s, "in", credentials{s}, "list", []youproxy.Secret{s})
			assertHushed(t, b.String())
			assert.Equal(t, 4, strings.Count(b.String(), "***"), b.String())
		})
	}
}

func TestSecretJSON(t *testing.T) {
	t.Parallel()
	type credentials struct {
		Password youproxy.Secret `json:"password"`
		Reboot   youproxy.Secret `json:"reboot,omitzero"`
	}
	b, err := json.Marshal(credentials{Password: youproxy.NewSecret(hushed), Reboot: youproxy.NewSecret(hushed)})
	require.NoError(t, err)
	assert.Equal(t, `{"password":"***","reboot":"***"}`, string(b))

	var read credentials
	err = json.Unmarshal(b, &read)
	assert.ErrorContains(t, err, "not saved", "stars must not become a password")
	assert.True(t, read.Password.IsZero())

	b, err = json.Marshal(credentials{})
	require.NoError(t, err)
	assert.Equal(t, `{"password":""}`, string(b))
	require.NoError(t, json.Unmarshal(b, &read))
	assert.Equal(t, credentials{}, read)

	require.NoError(t, json.Unmarshal([]byte(`{"password":"pa55-w0rd\/\u00e9"}`), &read))
	assert.Equal(t, hushed, read.Password.Reveal())
	require.NoError(t, json.Unmarshal([]byte(`{"password":null}`), &read))

	for _, odd := range []string{`5500550055`, `true`, `["pa55-w0rd"]`, `{"is":"pa55-w0rd"}`} {
		err := json.Unmarshal([]byte(`{"password":`+odd+`}`), &credentials{})
		if assert.Error(t, err, odd) {
			assertHushed(t, err.Error())
			assert.NotContains(t, err.Error(), "5500550055")
		}
	}
}

func TestEnumsValid(t *testing.T) {
	t.Parallel()
	for value, valid := range map[interface{ Valid() bool }]bool{
		youproxy.ProxyTypeIPv4:      true,
		youproxy.ProxyTypeIPv6:      true,
		youproxy.ProxyTypeMobile:    true,
		youproxy.ProxyTypeISP:       true,
		youproxy.ProxyType(""):      false,
		youproxy.ProxyType("ipv4"):  false,
		youproxy.ProxyType("Isp"):   false,
		youproxy.AuthTypeLogin:      true,
		youproxy.AuthTypeIP:         true,
		youproxy.AuthType(""):       false,
		youproxy.AuthType("Login"):  false,
		youproxy.ProtocolHTTP:       true,
		youproxy.ProtocolSOCKS:      true,
		youproxy.Protocol(""):       false,
		youproxy.Protocol("SOCKS5"): false,
		youproxy.PromoCodeValid:     true,
		youproxy.PromoCodeNotValid:  true,

		youproxy.PromoCodeStatus(""):      true, // no code was sent
		youproxy.PromoCodeStatus("valid"): false,
	} {
		assert.Equal(t, valid, value.Valid(), "%T %q", value, value)
	}
}

// The service compares them letter by letter.
func TestEnumsOnTheWire(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []youproxy.ProxyType{"IPv4", "IPv6", "MOBILE", "ISP"},
		[]youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP})
	assert.Equal(t, []youproxy.AuthType{"LOGIN", "IP"}, []youproxy.AuthType{youproxy.AuthTypeLogin, youproxy.AuthTypeIP})
	assert.Equal(t, []youproxy.Protocol{"HTTP", "SOCKS"}, []youproxy.Protocol{youproxy.ProtocolHTTP, youproxy.ProtocolSOCKS})
	assert.Equal(t, []youproxy.PromoCodeStatus{"VALID", "NO_VALID"},
		[]youproxy.PromoCodeStatus{youproxy.PromoCodeValid, youproxy.PromoCodeNotValid})
}
