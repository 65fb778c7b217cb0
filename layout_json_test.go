package youproxy_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// A password that JSON cannot hold must not become another one in silence.
func TestJSONLayoutsKeepPasswordsOrRefuse(t *testing.T) {
	t.Parallel()
	for _, password := range append(oddSigns, "***") {
		p := bothPorts("user", password)
		if text, err := p.Format(youproxy.LayoutPlaywright(http1)); err == nil {
			var got struct{ Password string }
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			assert.Equal(t, password, got.Password, "Playwright")
		}
		p = youproxy.Proxy{ID: "1", Credentials: credentials("user", password), RebootURL: youproxy.NewSecret(password)}
		if text, err := p.Format(youproxy.LayoutJSONLines()); err == nil {
			var got youproxy.Proxy
			assert.NoError(t, json.Unmarshal([]byte(text), &got), "JSON lines with %q", password)
			assert.Equal(t, p, got, "JSON lines")
		}
	}
}

func TestJSONLayoutsAreJSON(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]youproxy.Layout{"Playwright": youproxy.LayoutPlaywright(http1), "Scrapy": youproxy.LayoutScrapy(http1)} {
		t.Run(name, func(t *testing.T) {
			for n := range 5 {
				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(layoutProxies[:n])))
				var got []map[string]string
				require.NoError(t, json.Unmarshal(b.Bytes(), &got))
				assert.Len(t, got, n)
				for i, object := range got {
					want, err := layoutProxies[i].URL(http1)
					require.NoError(t, err)
					if name == "Scrapy" {
						assert.Equal(t, map[string]string{"proxy": want.String()}, object)
						continue
					}
					assert.Equal(t, "http://"+want.Host, object["server"])
					if as := layoutProxies[i].Credentials; as != nil {
						assert.Equal(t, as.Login, object["username"])
						assert.Equal(t, as.Password.Reveal(), object["password"])
					} else {
						assert.Len(t, object, 1)
					}
				}
			}
		})
	}
}

func TestJSONLinesReadBack(t *testing.T) {
	t.Parallel()
	list := slices.Clone(layoutProxies)
	for _, shape := range listShapes {
		for _, p := range shape.want {
			p.Extra = nil
			if p.Credentials != nil && p.Credentials.Login == "" && p.Credentials.Password.IsZero() {
				p.Credentials = nil
			}
			list = append(list, p)
		}
	}
	withSecrets := secretive(t)
	text, err := withSecrets.Format(youproxy.LayoutJSONLines())
	require.NoError(t, err)
	assert.NotContains(t, text, "token", "Extra is left out")
	withSecrets.Extra = nil
	list = append(list, withSecrets)
	for _, sign := range oddSigns {
		if sign != "\xff" {
			list = append(list, youproxy.Proxy{ID: "1", Country: sign, Credentials: credentials(sign, sign+"\r\n\x00"), RebootURL: youproxy.NewSecret(sign)})
		}
	}
	var b bytes.Buffer
	require.NoError(t, youproxy.WriteProxies(&b, youproxy.LayoutJSONLines(), slices.Values(list)))
	lines := slices.Collect(strings.Lines(b.String()))
	require.Len(t, lines, len(list))
	for i, line := range lines {
		var got youproxy.Proxy
		require.NoError(t, json.Unmarshal([]byte(line), &got), line)
		got.Extra = nil // an extension that is not known stays so
		assert.Equal(t, list[i], got, line)
	}
}

func FuzzJSONLines(f *testing.F) {
	f.Add([]byte(bareRecord))
	for _, text := range []string{`{"ipAddressId": "1", "authInfo": {"login": "l", "password": "p\u0000\u2028<\"\\"}, "rebootLink": "https://example.com/?a&b"}`, `{"id": 1, "ip": "192.0.2.1:80", "password": "\ud800"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, got youproxy.Proxy
		if p.UnmarshalJSON(data) != nil {
			return
		}
		p.Extra = nil
		if p.Credentials != nil && p.Credentials.Login == "" && p.Credentials.Password.IsZero() {
			p.Credentials = nil
		}
		if p.RebootURL.IsZero() {
			p.RebootURL = youproxy.Secret{}
		}
		text, err := p.Format(youproxy.LayoutJSONLines())
		require.NoError(t, err)
		require.NotContains(t, text, "\n")
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		got.Extra = nil
		require.Equal(t, p, got, text)
	})
}

func TestJSONLinesRefuseALinkThatIsNone(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"***", "https://example.com/\xff"} {
		_, err := youproxy.Proxy{ID: "1", RebootURL: youproxy.NewSecret(link)}.Format(youproxy.LayoutJSONLines())
		assert.ErrorIs(t, err, youproxy.ErrNotUsable, "%q", link)
	}
}
