package youproxy_test

import (
	"encoding/json"
	"strings"
	"testing"

	jsonexp "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestProxyAsJSON(t *testing.T) {
	t.Parallel()
	p := secretive(t)
	const want = `{"ipAddressId": "1", "ipAddressIp": "192.0.2.1", "proxyType": "IPv4", "orderId": "o", "orderNumber": "N-1", "country": "USA",
		"dateStart": "2026-10-01T08:30:00Z", "dateEnd": "2026-10-31T08:30:00Z", "httpsPort": 8080, "socks5Port": 9090,
		"authInfo": {"login": "user", "password": "***"}, "extendInfo": {"autoExtend": false}, "rebootLink": "***"}`
	for name, marshal := range map[string]func(any) ([]byte, error){
		"encoding/json":       json.Marshal,
		"encoding/json/v2":    func(v any) ([]byte, error) { return jsonexp.Marshal(v) },
		"a custom marshaller": func(v any) ([]byte, error) { return jsonexp.Marshal(v, jsonexp.Deterministic(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := marshal(p)
			require.NoError(t, err)
			assert.JSONEq(t, want, string(b))
			for _, v := range []any{p, &p, []youproxy.Proxy{p}, map[string]*youproxy.Proxy{"a": &p}, struct{ P youproxy.Proxy }{p}} {
				b, err := marshal(v)
				require.NoError(t, err)
				assertHushed(t, string(b))
			}
		})
	}
}

func TestProxyFromItsJSON(t *testing.T) {
	t.Parallel()
	for _, shape := range listShapes {
		for _, p := range shape.want {
			p.Extra, p.RebootURL, p.AutoExtendUnknown = nil, youproxy.Secret{}, false
			if p.Credentials != nil {
				p.Credentials = credentials(p.Credentials.Login, "")
				if p.Credentials.Login == "" {
					p.Credentials = nil
				}
			}
			t.Run(shape.name, func(t *testing.T) {
				b, err := json.Marshal(p)
				require.NoError(t, err)
				var got youproxy.Proxy
				require.NoError(t, json.Unmarshal(b, &got), "%s", b)
				assert.Equal(t, p, got, "%s", b)
				got = youproxy.Proxy{ID: "old", Country: "old", Extra: raw("old", "1")}
				require.NoError(t, jsonexp.Unmarshal(b, &got), "%s", b)
				assert.Equal(t, p, got, "nothing stays of what was there")

				b, err = json.Marshal([]youproxy.Proxy{p, p})
				require.NoError(t, err)
				var list []youproxy.Proxy
				require.NoError(t, json.Unmarshal(b, &list))
				assert.Equal(t, []youproxy.Proxy{p, p}, list)
			})
		}
	}
}

// What may extend itself is not read again as what does not.
func TestAnUnknownExtensionAsJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(youproxy.Proxy{ID: "1", AutoExtendUnknown: true})
	require.NoError(t, err)
	var got youproxy.Proxy
	require.NoError(t, json.Unmarshal(b, &got), "%s", b)
	assert.True(t, got.AutoExtendUnknown, "%s", b)
	assert.False(t, got.AutoExtend)
}

func TestProxyFromJSONWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]youproxy.Proxy{
		"a password":    {ID: "1", Credentials: credentials("l", "p")},
		"a reboot link": {ID: "1", RebootURL: youproxy.NewSecret("https://example.com")},
		"both":          secretive(t),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(p)
			require.NoError(t, err)
			got := only("kept")
			err = json.Unmarshal(b, &got)
			assert.ErrorContains(t, err, `"***"`)
			assert.Equal(t, only("kept"), got)
			var list []youproxy.Proxy
			assert.Error(t, json.Unmarshal([]byte("["+string(b)+"]"), &list))
		})
	}
}

func TestProxyFromOtherJSON(t *testing.T) {
	t.Parallel()
	var p youproxy.Proxy
	require.NoError(t, json.Unmarshal([]byte(`{"id": 1111111111111111111, "ip": "192.0.2.1", "authInfo": {"login": "l", "password": "p"}, "x": [1]}`), &p))
	assert.Equal(t, youproxy.Proxy{ID: "1111111111111111111", Host: "192.0.2.1", IP: firstIP, Credentials: credentials("l", "p"), Extra: raw("x", "[1]")}, p)

	require.NoError(t, json.Unmarshal([]byte(`null`), &p))
	assert.NotEmpty(t, p.ID, "null changes nothing, as it does everywhere")

	for _, text := range []string{
		`{}`, `[]`, `1`, `"x"`, `true`, `{"ipAddressId": ""}`, `{"ipAddressId": null}`, `{"id": "1"}`, `{"country": "USA"}`,
		`{"ipAddressId": "1", "ipAddressId": "2"}`, `{"list": [` + bareRecord + `, ` + otherRecord + `]}`,
	} {
		got := only("kept")
		assert.Error(t, got.UnmarshalJSON([]byte(text)), text)
		assert.Equal(t, only("kept"), got)
	}
	for _, text := range []string{"", " ", "{", "}", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `[`, `{"ipAddressId":"1"}}`, `{"ipAddressId":"1"} {`, "\x00", "nul", `{"ipAddressId": tru}`, `{"ipAddressId":"\u12"}`, strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000)} {
		var got youproxy.Proxy
		assert.NotPanics(t, func() { assert.Error(t, got.UnmarshalJSON([]byte(text)), text) }, text)
	}
	assert.NotPanics(t, func() { assert.Error(t, new(youproxy.Proxy).UnmarshalJSON(nil)) })
}

// A proxy must not change with the bytes it was read from, which belong to the
// decoder.
func TestProxyKeepsNothingOfItsJSON(t *testing.T) {
	t.Parallel()
	b := []byte(`{"ipAddressId": "1", "country": {"a": 1}, "x": [1, 2, 3], "authInfo": {"login": "l", "z": 1}}`)
	var p youproxy.Proxy
	require.NoError(t, p.UnmarshalJSON(b))
	want := youproxy.Proxy{ID: "1", Credentials: credentials("l", ""), Extra: raw("country", `{"a": 1}`, "x", "[1, 2, 3]", "authInfo", `{"z":1}`)}
	require.Equal(t, want, p)
	for i := range b {
		b[i] = '#'
	}
	assert.Equal(t, want, p)
}

func FuzzProxyJSON(f *testing.F) {
	f.Add([]byte(bareRecord))
	for _, text := range []string{``, `null`, `{}`, `[`, `{"id": 1, "ip": "192.0.2.1:80"}`, `{"a": {"ipAddressId": 1}}`, `{"ipAddressId": "1", "authInfo": {"password": "***"}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := only("kept")
		p := kept
		if err := p.UnmarshalJSON(data); err != nil {
			require.Equal(t, kept, p, "an error changes nothing")
			return
		}
		require.NotEmpty(t, p.ID)
		p.Extra, p.RebootURL = nil, youproxy.Secret{}
		if p.Credentials != nil {
			p.Credentials.Password = youproxy.Secret{}
			if p.Credentials.Login == "" {
				p.Credentials = nil
			}
		}
		b, err := json.Marshal(p)
		require.NoError(t, err)
		var again youproxy.Proxy
		require.NoError(t, json.Unmarshal(b, &again), "%s", b)
		again.Extra = nil
		require.Equal(t, p, again, "%s", b)
	})
}
