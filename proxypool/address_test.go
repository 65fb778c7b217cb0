package proxypool

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestName(t *testing.T) {
	for _, tc := range []struct {
		name string
		url  *url.URL
		want string
	}{
		{"nil", nil, "invalid proxy URL"},
		{"empty", &url.URL{}, "invalid proxy URL"},
		{"scheme", &url.URL{Scheme: "socks4", Host: "h:1"}, "invalid proxy URL"},
		{"host", &url.URL{Scheme: "http", Host: ":1"}, "invalid proxy URL"},
		{"port", &url.URL{Scheme: "http", Host: "h:0"}, "invalid proxy URL"},
		{"port too high", &url.URL{Scheme: "http", Host: "h:65536"}, "invalid proxy URL"},
		{"port of letters", &url.URL{Scheme: "http", Host: "h:abc"}, "invalid proxy URL"},
		{"path", &url.URL{Scheme: "http", Host: "h:1", Path: "/x"}, "invalid proxy URL"},
		{"a line in the place of a host", &url.URL{Scheme: "http", Host: "h:1:login:password"}, "invalid proxy URL"},
		{"a zone", &url.URL{Scheme: "http", Host: "[fe80::1%eth0]:1"}, "invalid proxy URL"},
		{"a host in other letters", &url.URL{Scheme: "http", Host: "é.example:1"}, "invalid proxy URL"},
		{"a host that is no name", &url.URL{Scheme: "http", Host: "a,b:1"}, "invalid proxy URL"},
		{"an absolute name", &url.URL{Scheme: "http", Host: "proxy.example.:1"}, "http://proxy.example.:1"},
		{"no login", &url.URL{Scheme: "http", Host: "h:1"}, "http://h:1"},
		{"login alone", &url.URL{Scheme: "http", User: url.User("l"), Host: "h:1"}, "http://l@h:1"},
		{"both", &url.URL{Scheme: "http", User: url.UserPassword("l", "p"), Host: "h:1"}, "http://l:***@h:1"},
		{"password in the login", &url.URL{Scheme: "http", User: url.UserPassword("a-pass-b", "pass"), Host: "h:1"}, "http://***:***@h:1"},
		{"login escaped", &url.URL{Scheme: "http", User: url.UserPassword("a@b:c", "p"), Host: "h:1"}, "http://a%40b%3Ac:***@h:1"},
		{"default of http", &url.URL{Scheme: "http", Host: "h"}, "http://h:80"},
		{"default of https", &url.URL{Scheme: "https", Host: "h"}, "https://h:443"},
		{"default of socks5", &url.URL{Scheme: "socks5", Host: "h"}, "socks5://h:1080"},
		{"default of socks5h", &url.URL{Scheme: "socks5h", Host: "h"}, "socks5h://h:1080"},
		{"capitals", &url.URL{Scheme: "HTTP", Host: "HoSt:1"}, "http://host:1"},
		{"IPv6", &url.URL{Scheme: "http", Host: "[::1]:8080"}, "http://[::1]:8080"},
		{"IPv6 without a port", &url.URL{Scheme: "http", Host: "[::1]"}, "http://[::1]:80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, Name(tc.url))
		})
	}
}

func TestTheSameProxyCountsOnce(t *testing.T) {
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return u
	}
	p, err := New([]*url.URL{
		parse("http://login:password@h:80"), parse("http://login:password@h"), parse("HTTP://login:password@H/"),
		parse("http://login:p%61ssword@h"),
	})
	require.NoError(t, err)
	assert.Len(t, p.Stats(), 1)
	require.NoError(t, p.Replace([]*url.URL{
		parse("http://login:password@h:80"), parse("https://login:password@h:80"), parse("http://login:other@h:80"),
		parse("http://other:password@h:80"), parse("http://login:password@h:81"), parse("http://h:80"),
	}))
	assert.Len(t, p.Stats(), 6)
}

func TestURLsStayAsTheyAre(t *testing.T) {
	u := &url.URL{Scheme: "HTTP", User: url.UserPassword("a", "b"), Host: "H"}
	p, err := New([]*url.URL{u})
	require.NoError(t, err)
	assert.Equal(t, &url.URL{Scheme: "HTTP", User: url.UserPassword("a", "b"), Host: "H"}, u)
	u.Host, u.Scheme = "other", "ftp"
	assert.Equal(t, "http://a:***@h:80", p.Stats()[0].Proxy)
}
