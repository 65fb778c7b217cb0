package youproxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, template, want string }{
		{"fields", `{{.ID}} {{.OrderNumber}} {{.ProxyType}} {{.Host}} {{.IP}} {{.HTTPPort}} {{.Country}} {{.End.Year}}`, "1 N-3 " + string(youproxy.ProxyTypeMobile) + " 192.0.2.1 192.0.2.1 8080 USA 2026"},
		{"a secret", `{{.Credentials.Login}}:{{.Credentials.Password.Reveal}} {{.RebootURL.Reveal}}`, `us<er:wo:rd @&" https://example.com/reboot?a=1&b=2`},
		{"a secret without Reveal", `{{.Credentials.Password}} {{.RebootURL}}`, "*** ***"},
		{"the proxy", `{{.}}`, fullProxy.String()},
		{"an HTTP URL", `{{.URL "http"}}`, "http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"},
		{"a SOCKS5 URL", `{{.URL "socks5"}}`, "socks5://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090"},
		{"any URL", `{{(.URL "").Redacted}}`, "http://us%3Cer:xxxxx@192.0.2.1:8080"},
		{"a line feed at the end", "{{.ID}}\n", "1"},
		{"two line feeds at the end", "{{.ID}}\n\n", "1\n"},
		{"several lines", "{{.ID}}\n{{.Host}}", "1\n192.0.2.1"},
		{"nothing", ``, ""},
		{"a line feed alone", "\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			layout := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(test.template)))
			got, err := fullProxy.Format(layout)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{fullProxy, fullProxy, fullProxy})))
			assert.Equal(t, strings.Repeat(test.want+"\n", 3), b.String(), "a proxy a line")
		})
	}
}

func TestTemplateThatGivesNothingForSome(t *testing.T) {
	t.Parallel()
	layout := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{with .Credentials}}{{.Login}}{{end}}`)))
	for _, test := range []struct {
		name string
		list []youproxy.Proxy
		want string
	}{
		{"the first", []youproxy.Proxy{openProxy, sixProxy}, "\nuser\n"},
		{"one between", []youproxy.Proxy{sixProxy, openProxy, sixProxy}, "user\n\nuser\n"},
		{"the last", []youproxy.Proxy{sixProxy, openProxy}, "user\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(test.list)))
			assert.Equal(t, test.want, b.String())
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	t.Parallel()
	p := secretive(t)
	p.Credentials = credentials("us:er", hushed)
	inner := errors.New("an error of the caller's")
	funcs := template.FuncMap{
		"fail":       func(any) (string, error) { return "", inner },
		"tell":       func(v any) (string, error) { return "", fmt.Errorf("cannot take %v", v) },
		"tellQuoted": func(v any) (string, error) { return "", fmt.Errorf("cannot take %q", fmt.Sprint(v)) },
		"panics":     func(v any) string { panic(fmt.Sprint("cannot take ", v)) },
	}
	for _, test := range []struct {
		name, template string
		is             error
		contains       string
	}{
		{"no such field", `{{.Nope}}`, nil, "Nope"},
		{"of a function", `{{fail .}}`, inner, "an error of the caller's"},
		{"of a function of a secret", `{{fail .Credentials.Password.Reveal}}`, inner, "an error of the caller's"},
		{"of URL", `{{.URL "http"}}`, youproxy.ErrNotUsable, "a login with a colon"},
		{"of an unknown scheme", `{{.URL "https"}}`, nil, `"https" is not known`},
		{"a template that is not there", `{{template "x"}}`, nil, `"x" not defined`},
	} {
		t.Run(test.name, func(t *testing.T) {
			layout := youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse("before " + test.template)))
			got, err := p.Format(layout)
			require.Error(t, err)
			assert.Empty(t, got)
			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			}
			assert.ErrorContains(t, err, "youproxy: proxy 1")
			assert.ErrorContains(t, err, test.contains)
			assertTellsNoSecret(t, err)
			var b bytes.Buffer
			require.Error(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{p})))
			assert.Zero(t, b.Len())
		})
	}
	for name, text := range map[string]string{
		"a function tells the password":              `{{tell .Credentials.Password.Reveal}}`,
		"a function tells the password, quoted":      `{{tellQuoted .Credentials.Password.Reveal}}`,
		"a function panics with the password":        `{{panics .Credentials.Password.Reveal}}`,
		"a function tells the reboot link":           `{{tell .RebootURL.Reveal}}`,
		"a function tells the URL":                   `{{tell (.URL "socks5")}}`,
		"a function tells an unknown field":          `{{tell (printf "%s" .Extra.token)}}`,
		"a function tells an unknown field's bytes":  `{{tell .Extra.token}}`,
		"a function tells a part of a list of texts": `{{tell (printf "%s" .Extra.list)}}`,
		"the template itself":                        `{{range .Credentials.Password.Reveal | len}}{{end}}{{index .Credentials.Password.Reveal "x"}}`,
		"a password is no function":                  `{{call .Credentials.Password.Reveal}}`,
		"a password is no template":                  `{{.Credentials.Password.Reveal.Nope}}`,
		"a password is no number":                    `{{slice .Credentials.Password.Reveal .Credentials.Password.Reveal}}`,
		"a password is no scheme":                    `{{.URL .Credentials.Password.Reveal}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
			require.Error(t, err)
			assertTellsNoSecret(t, err)
		})
	}
	p.Credentials = credentials("user", "a\n\"b\\c")
	for _, text := range []string{`{{tell .Credentials.Password.Reveal}}`, `{{tellQuoted .Credentials.Password.Reveal}}`} {
		_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "b\\c")
		assert.NotContains(t, err.Error(), `b\\c`)
	}
}

// Each secret is looked for by itself.
func TestTemplateErrorsOfEachSecret(t *testing.T) {
	t.Parallel()
	p := youproxy.Proxy{
		ID: "1", Host: "192.0.2.1", HTTPPort: 8080, Credentials: credentials("user", "the-password"),
		RebootURL: youproxy.NewSecret("https://example.com/the-link"), Extra: raw("token", `"the-token"`),
	}
	funcs := template.FuncMap{"tell": func(v any) (string, error) { return "", fmt.Errorf("cannot take %v", v) }}
	for text, secret := range map[string]string{
		`{{tell .Credentials.Password.Reveal}}`:    "the-password",
		`{{tell (.URL "http")}}`:                   "the-password",
		`{{tell .RebootURL.Reveal}}`:               "the-link",
		`{{tell (printf "%s" .Extra.token)}}`:      "the-token",
		`{{tell (printf "%q" .RebootURL.Reveal)}}`: "the-link",
	} {
		_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
		require.ErrorIs(t, err, youproxy.ErrNotUsable, text)
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(`{{tell .Host}}`))))
	assert.ErrorContains(t, err, "cannot take 192.0.2.1", "what is no secret is told")
}
