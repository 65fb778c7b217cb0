package youproxy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// A proxy whose login is there, in whatever form, never has a URL without it.
func TestURLIsNeverWithoutTheLogin(t *testing.T) {
	t.Parallel()
	const with, without, notUsable = "http://l:p@192.0.2.1:8080", "http://192.0.2.1:8080", ""
	for record, want := range map[string]string{
		`"login": "l", "password": "p"`:                                                     with,
		`"USERNAME": "l", "pass": "p"`:                                                      with,
		`"user": "l", "password": "p"`:                                                      with,
		`"authInfo": {"login": "l", "password": "p"}`:                                       with,
		`"auth": {"user": "l", "pass": "p"}`:                                                with,
		`"credentials": [{"Username": "l", "Password": "p"}]`:                               with,
		`"authInfo": {"login": "l", "password": "p", "type": "LOGIN"}, "authType": "LOGIN"`: with,
		`"authInfo": {"login": "l", "password": "p"}, "user": {"id": 1, "login": "other"}`:  with,
		`"authInfo": null, "login": "l", "password": "p"`:                                   with,

		`"authInfo": null`: without,
		`"authInfo": {}`:   without,
		`"authInfo": []`:   without,
		`"auth": false`:    without,
		`"authInfo": {"login": "", "password": ""}`:  without,
		`"authInfo": {"ip": "203.0.113.1"}`:          without,
		`"authInfo": {"allowed": ["203.0.113.1"]}`:   without,
		`"authInfo": {"type": "IP"}`:                 without,
		`"authInfo": "203.0.113.1"`:                  without,
		`"auth": "ip"`:                               without,
		`"authType": "IP", "authIp": "203.0.113.1"`:  without,
		`"user": {"id": 1, "login": "the customer"}`: without,

		`"authInfo": "l:p"`:                              notUsable,
		`"authInfo": ["l", "p"]`:                         notUsable,
		`"authInfo": [{"login": "l"}, {"login": "k"}]`:   notUsable,
		`"authInfo": {"token": "abc"}`:                   notUsable,
		`"authInfo": {"login": "l", "password": ["p"]}`:  notUsable,
		`"authInfo": {"login": {"x": 1}}`:                notUsable,
		`"authInfo": {"type": "LOGIN"}`:                  notUsable,
		`"authInfo": {"login": "l", "password": "***"}`:  notUsable,
		`"auth": true`:                                   notUsable,
		`"login": {"name": "l"}`:                         notUsable,
		`"login": "l", "password": {"x": 1}`:             notUsable,
		`"login": "l", "password": "***"`:                notUsable,
		`"authType": "LOGIN"`:                            notUsable,
		`"authType": "login", "authInfo": {"login": ""}`: notUsable,
	} {
		for form, list := range map[string]string{
			"the record":  `"list": [{"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 8080, ` + record + `}]`,
			"its order":   `"list": [{` + record + `, "ips": [{"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 8080}]}]`,
			"the records": `"list": [{"x": [{"ipAddressId": "0"}, {"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 8080, ` + record + `}]}]`,
		} {
			got, err := readText(t, inEnvelope(list))
			require.NoError(t, err)
			u, err := got[len(got)-1].URL(youproxy.SchemeHTTP)
			if want == notUsable {
				assert.ErrorIs(t, err, youproxy.ErrNotUsable, "%s: %s", form, list)
				continue
			}
			require.NoError(t, err, "%s: %s", form, list)
			assert.Equal(t, want, u.String(), "%s: %s", form, list)
		}
	}
}

// Extra may be the caller's own, and no JSON.
func TestURLWithAnyExtra(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", " ", "{", `"`, "nul", "\x00", `{"login"`, "[1", "\xff", ` {"token": "x"} `, ` { } `} {
		p := youproxy.Proxy{ID: "1", Host: "192.0.2.1", HTTPPort: 8080}
		for _, name := range []string{"authInfo", "login", "password", "authType", "x", ""} {
			p.Extra = youproxy.Extra{name: json.RawMessage(value)}
			assert.NotPanics(t, func() { _, _ = p.URL(youproxy.SchemeHTTP) }, "%q: %q", name, value)
		}
	}
}
