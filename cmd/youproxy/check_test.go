package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// withWorking returns a shell whose account has four proxies that work, of which the last
// speaks only SOCKS5, and a page that tells an address.
func withWorking(t *testing.T) (s *shell, page string) {
	t.Helper()
	s = newShell(t, youproxytest.WithProxies())
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3})
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 1, Protocol: youproxy.ProtocolSOCKS})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forbidden" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = fmt.Fprint(w, "203.0.113.9")
	}))
	t.Cleanup(site.Close)
	return s, site.URL
}

// times are of a table.
var times = regexp.MustCompile(`\t[0-9.]+[µm]?s\t`)

func TestCheck(t *testing.T) {
	s, page := withWorking(t)
	s.BreakProxy(s.IPAddresses()[1].ID, youproxytest.ProxyRefusesLogin)
	code, stdout, stderr := s.run("check", "--target", page)
	assert.Equal(t, 0, code)
	assert.Equal(t, "working proxies: 3 of 4\n", stderr)
	lines := strings.Split(times.ReplaceAllString(stdout, "\tTIME\t"), "\n")
	require.Len(t, lines, 5)
	ips := s.IPAddresses()
	assert.Equal(t, fmt.Sprintf("http://login1:***@%s:%d\t200\tTIME\t203.0.113.9\t-", ips[0].Host, ips[0].HTTPPort), lines[0])
	assert.Equal(t, fmt.Sprintf("http://login1:***@%s:%d\t-\t-\t-\tthe proxy does not accept the login: it answered 407", ips[1].Host, ips[1].HTTPPort), lines[1])
	assert.Equal(t, fmt.Sprintf("socks5://login2:***@%s:%d\t200\tTIME\t203.0.113.9\t-", ips[3].Host, ips[3].SOCKS5Port), lines[3])
}

func TestCheckAsJSON(t *testing.T) {
	s, page := withWorking(t)
	code, stdout, stderr := s.run("check", "--target", page, "--scheme", "http", "--output", "json")
	assert.Equal(t, 0, code)
	assert.Equal(t, "left out: proxy "+string(s.IPAddresses()[3].ID)+" cannot be used in this way: it has no port for http\nworking proxies: 3 of 3\n", stderr)
	var results []struct {
		Index, Status int
		Proxy, ExitIP string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &results))
	require.Len(t, results, 3)
	for i, r := range results {
		assert.Equal(t, i, r.Index, "in the order of the list")
		assert.Equal(t, 200, r.Status)
		assert.Equal(t, "203.0.113.9", r.ExitIP)
	}
}

func TestCheckWhereNothingWorks(t *testing.T) {
	t.Run("no proxy", func(t *testing.T) {
		code, stdout, stderr := newShell(t).run("check", "--type", "ISP")
		assert.Equal(t, 1, code)
		assert.Empty(t, stdout)
		assert.Equal(t, "youproxy: there are no ISP proxies to check\n", stderr)
	})
	t.Run("all are down", func(t *testing.T) {
		s, page := withWorking(t)
		for _, ip := range s.IPAddresses() {
			s.BreakProxy(ip.ID, youproxytest.ProxyDown)
		}
		code, stdout, stderr := s.run("check", "--target", page)
		assert.Equal(t, 1, code)
		assert.Equal(t, 4, strings.Count(stdout, "\tthe proxy cannot be reached"), stdout)
		assert.Equal(t, "youproxy: none of 4 proxies works\n", stderr)
	})
	t.Run("the page is refused", func(t *testing.T) {
		s, page := withWorking(t)
		code, stdout, stderr := s.run("check", "--target", page+"/forbidden")
		assert.Equal(t, 1, code)
		assert.Equal(t, 4, strings.Count(stdout, "\t403\t"))
		assert.Equal(t, "youproxy: none of 4 proxies works\n", stderr)
	})
}

func TestCheckOfAList(t *testing.T) {
	s, page := withWorking(t)
	ip := s.IPAddresses()[0]
	list := fmt.Sprintf("# sold yesterday\n%s:%d:%s:%s\nPw12345678 is not one\n%[3]s:%[4]s@%[1]s:%[2]d\n", ip.Host, ip.HTTPPort, ip.Login, ip.Password)
	file := filepath.Join(t.TempDir(), "list.txt")
	require.NoError(t, os.WriteFile(file, []byte(list), 0o600))
	delete(s.env, "YOUPROXY_API_KEY") // it is not needed
	for _, from := range []string{file, "-"} {
		s.in = strings.NewReader(list)
		code, stdout, stderr := s.run("check", "--target", page, "--from", from)
		assert.Equal(t, 0, code)
		assert.Equal(t, 2, strings.Count(stdout, fmt.Sprintf("http://login1:***@%s:%d\t200\t", ip.Host, ip.HTTPPort)))
		assert.Equal(t, "left out: line 3 cannot be read: it contains a blank or a control character\nworking proxies: 2 of 2\n", stderr)
	}
	for in, want := range map[string]string{
		"":      "youproxy: there are no proxies in the list\n",
		"a\nb:": "youproxy: no proxy can be read from the list: line 1 cannot be read: it is not host:port",
	} {
		s.in = strings.NewReader(in)
		code, _, stderr := s.run("check", "--from", "-")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, want)
	}
}

func TestCheckShowsProgressOnATerminal(t *testing.T) {
	s, page := withWorking(t)
	s.live = true
	_, _, stderr := s.run("check", "--target", page, "--concurrency", "1")
	var want strings.Builder
	for done := range 5 {
		full := barWidth * done / 4
		fmt.Fprintf(&want, "\r[%s%s] %d of 4", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), done)
	}
	blank := strings.Repeat(" ", len("[] 4 of 4")+barWidth)
	assert.Equal(t, want.String()+"\r"+blank+"\rworking proxies: 4 of 4\n", stderr)
}

func TestCheckThatIsStopped(t *testing.T) {
	s, _ := withWorking(t)
	ctx, cancel := context.WithCancel(t.Context())
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer site.Close()
	code, stdout, stderr := s.runContext(ctx, "check", "--target", site.URL)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "4 of 4 proxies are not checked: interrupted")
}
