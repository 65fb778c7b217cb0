package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

// sandbox is the program while it runs.
type sandbox struct {
	t       *testing.T
	welcome string
	lines   chan string // what it prints
	cancel  context.CancelFunc
	exited  chan int
	stderr  strings.Builder // once it has exited
}

// start runs the program on a free port and waits for its welcome.
func start(t *testing.T, args ...string) *sandbox {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stdout, w := io.Pipe()
	t.Cleanup(func() { _ = stdout.Close() })
	s := &sandbox{t: t, lines: make(chan string, 100), cancel: cancel, exited: make(chan int, 1)}
	go func() {
		code := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w, &s.stderr)
		_ = w.Close()
		s.exited <- code
	}()
	go func() { // it is not to wait for the test
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			s.lines <- lines.Text()
		}
		close(s.lines)
	}()
	for line := range s.lines {
		s.welcome += line + "\n"
		if line == "Requests:" {
			return s
		}
	}
	require.FailNow(t, "it ended before its welcome", "exit code %d, %s", <-s.exited, &s.stderr)
	return nil
}

// after gives what the welcome says after a label.
func (s *sandbox) after(label string) string {
	s.t.Helper()
	found := regexp.MustCompile(`(?m)^ *` + label + ` *'?([^ \n']+)'?$`).FindStringSubmatch(s.welcome)
	require.NotNil(s.t, found, "%s in %s", label, s.welcome)
	return found[1]
}

// line gives the next line of the log.
func (s *sandbox) line() string {
	s.t.Helper()
	line, more := <-s.lines
	require.True(s.t, more, "there is no more")
	return line
}

// stop is Ctrl-C. It gives the last line and what was printed on stderr.
func (s *sandbox) stop() (last, stderr string) {
	s.t.Helper()
	s.cancel()
	last = s.line()
	assert.Empty(s.t, <-s.lines, "it is the last line")
	assert.Equal(s.t, 0, <-s.exited)
	return last, s.stderr.String()
}

// client is a client of it, which does not repeat what fails.
func (s *sandbox) client() *youproxy.Client {
	s.t.Helper()
	client, err := youproxy.New(s.after("API key"), youproxy.WithBaseURL(s.after("Base URL")), youproxy.WithReadRetries(0))
	require.NoError(s.t, err)
	s.t.Cleanup(client.CloseIdleConnections)
	return client
}

var order = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

func TestWelcome(t *testing.T) {
	const golden = "testdata/output.txt"
	s := start(t)
	last, stderr := s.stop()
	assert.Empty(t, stderr)

	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	got := port.ReplaceAllString(s.welcome+last+"\n", "127.0.0.1:8081")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// TestEveryRequestThatIsShownWorks makes them one after the other.
func TestEveryRequestThatIsShownWorks(t *testing.T) {
	for name, test := range map[string]struct {
		args     []string
		requests []string
		last     string
	}{
		"as it is": {
			nil,
			[]string{
				"GET   /balance  200", "POST  /calculate/order  200", "POST  /order  200",
				"GET   /ipAddress  200", "POST  /calculate/extend  200", "POST  /extend  200",
			},
			"Stopped after 6 requests; orders: 5, balance: 97.38 USD",
		},
		"empty, with an odd key": {
			[]string{"-empty", "-key", `it's%20"$HOME"`, "-balance", "7.5 EUR"},
			[]string{"GET   /balance  200", "POST  /calculate/order  200", "POST  /order  200", "GET   /ipAddress  200"},
			"Stopped after 4 requests; orders: 1, balance: 6.19 EUR",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.args...)
			api := s.after("API=")
			curl := regexp.MustCompile(`(?m)^  curl "\$API([^"]+)"(?: -H '([^:]+): ([^']+)' -d '([^']+)')?$`)
			found := curl.FindAllStringSubmatch(s.welcome, -1)
			require.Len(t, found, strings.Count(s.welcome, "curl "))
			var logged []string
			for _, words := range found {
				method := http.MethodGet
				if words[4] != "" {
					method = http.MethodPost
				}
				request, err := http.NewRequestWithContext(t.Context(), method, api+words[1], strings.NewReader(words[4]))
				require.NoError(t, err)
				if words[2] != "" {
					request.Header.Set(words[2], words[3])
				}
				reply, err := http.DefaultClient.Do(request)
				require.NoError(t, err)
				var document struct{ Success bool }
				assert.NoError(t, json.NewDecoder(reply.Body).Decode(&document))
				assert.True(t, document.Success, words[0])
				_ = reply.Body.Close()
				logged = append(logged, s.line())
			}
			assert.Equal(t, test.requests, logged)
			last, stderr := s.stop()
			assert.Equal(t, test.last, last)
			assert.Empty(t, stderr)
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFaults(t *testing.T) {
	s := start(t, "-fault", "POST /order=DropAfterCommit", "-fault", "POST /order=BadGateway", "-fault", "GET /balance=EmptyReply", "-empty")
	assert.Contains(t, s.welcome, "Fault     DropAfterCommit on the next POST /order\nFault     BadGateway on the next POST /order\nFault     EmptyReply on the next GET /balance\n")
	client := s.client()

	for _, want := range []string{"POST  /order  connection dropped", "POST  /order  502", "POST  /order  200"} {
		_, _ = client.CreateOrder(t.Context(), order)
		assert.Equal(t, want, s.line())
	}
	_, err := client.Balance(t.Context())
	assert.Error(t, err)
	assert.Equal(t, "GET   /balance  200", s.line())
	last, stderr := s.stop()
	assert.Equal(t, "Stopped after 4 requests; orders: 2, balance: 97.38 USD", last)
	assert.Empty(t, stderr)
}

func TestItStopsWhileARequestIsHeld(t *testing.T) {
	s := start(t, "-fault", "GET /balance=Slow")
	client, held := s.client(), make(chan error, 1)
	go func() {
		_, err := client.Balance(t.Context())
		held <- err
	}()
	_, err := client.ProxyTypes(t.Context()) // the held one may come before or after
	require.NoError(t, err)
	assert.Equal(t, "GET   /proxyType  200", s.line())
	s.cancel()
	assert.Error(t, <-held)
	for line := range s.lines {
		assert.NotContains(t, line, "200")
	}
	assert.Equal(t, 0, <-s.exited)
}

func TestDelay(t *testing.T) {
	s := start(t, "-delay", "1h")
	client := s.client()
	_, err := client.CreateOrder(t.Context(), order)
	require.NoError(t, err)
	s.line()
	list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
	require.NoError(t, err)
	s.line()
	assert.Len(t, list, 7, "those of the new order are not there yet")
}

func TestTheLogHoldsNoKey(t *testing.T) {
	fake := youproxytest.NewServer()
	defer fake.Close()
	for target, want := range map[string]string{
		"/client/api/v1/" + youproxytest.DefaultAPIKey + "/balance?x=other-key": "GET   /balance  400",
		"/client/api/v1/" + youproxytest.DefaultAPIKey + "/no%0Asuch":           "GET   /no%0Asuch  404",
		"/client/api/v1/" + youproxytest.DefaultAPIKey:                          "GET   /  404",
		"/client/api/v1/other-key/balance":                                      "GET   (wrong key)  200",
		"/client/api/v1//other-key/balance":                                     "GET   (wrong key)  404",
		"/api/client/api/v1/other-key/balance":                                  "GET   (not below /client/api/v1/)  404",
		"/":                                                                     "GET   (not below /client/api/v1/)  404",
	} {
		var out strings.Builder
		l := &logged{fake, fake.APIKey(), log.New(&out, "", 0)}
		l.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
		assert.Equal(t, want+"\n", out.String(), target)
	}
}

func TestForAWhile(t *testing.T) {
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-for", "1ns"}, &stdout, &stderr)
	assert.Equal(t, 0, code, stderr.String())
	assert.Contains(t, stdout.String(), "Stopped after 0 requests")
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	var config net.ListenConfig
	taken, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"-addr", taken.Addr().String()}, &stdout, &stderr)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout.String())
	assert.Contains(t, stderr.String(), "sandbox: listen tcp")
}

func TestBaseURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8081": "http://127.0.0.1:8081",
		"[::]:8081":      "http://127.0.0.1:8081",
		"0.0.0.0:8081":   "http://127.0.0.1:8081",
		"[::1]:8081":     "http://[::1]:8081",
		"192.0.2.7:80":   "http://192.0.2.7:80",
	} {
		assert.Equal(t, want, baseURL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))))
	}
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":         {[]string{"-color"}, "not defined"},
		"not money":            {[]string{"-balance", "5"}, "is not money"},
		"not a duration":       {[]string{"-delay", "5"}, "delay"},
		"a negative delay":     {[]string{"-delay", "-5s"}, "must not be negative"},
		"a negative while":     {[]string{"-for", "-5s"}, "must not be negative"},
		"an empty key":         {[]string{"-key", ""}, "-key: youproxy: the API key is empty"},
		"a key that is a path": {[]string{"-key", "a/b"}, "-key: youproxy: the API key has a /"},
		"a fault of nothing":   {[]string{"-fault", "DropAfterCommit"}, "must begin with GET or POST and a path"},
		"a fault of no method": {[]string{"-fault", "/order=DropAfterCommit"}, "must begin with GET or POST and a path"},
		"no fault":             {[]string{"-fault", "POST /order"}, "must name one of the faults DropBeforeCommit, "},
		"an unknown fault":     {[]string{"-fault", "POST /order=Fault(99)"}, "must name one of the faults DropBeforeCommit, "},
		"more than flags":      {[]string{"8081"}, `"8081" is not a flag`},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			assert.Equal(t, 2, run(t.Context(), append([]string{"-for", "1ns"}, test.args...), &stdout, &stderr))
			assert.Empty(t, stdout.String())
			assert.Contains(t, stderr.String(), test.want)
		})
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr strings.Builder
	assert.Equal(t, 0, run(t.Context(), []string{"-help"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "DropAfterCommit, BadGateway")
}
