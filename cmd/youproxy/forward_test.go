package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// forwarder is a run of forward.
type forwarder struct {
	http   *http.Client // that uses it
	stderr *output
	stop   func() (code int)
}

var listens = regexp.MustCompile(`the local proxy is (http://\S+);`)

// startForward runs forward until stop is called.
func startForward(t *testing.T, s *shell, args ...string) *forwarder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &forwarder{stderr: &output{}}
	code := make(chan int, 1)
	go func() {
		code <- s.app(io.Discard, f.stderr).run(ctx, append([]string{"forward", "--addr", "127.0.0.1:0"}, args...))
	}()
	f.stop = func() int {
		cancel()
		select {
		case c := <-code:
			return c
		case <-time.After(time.Minute):
			t.Error("it does not end")
			return -1
		}
	}
	require.Eventually(t, func() bool { return listens.MatchString(f.stderr.String()) }, time.Minute, time.Millisecond)
	local, err := url.Parse(listens.FindStringSubmatch(f.stderr.String())[1])
	require.NoError(t, err)
	transport := &http.Transport{Proxy: http.ProxyURL(local), DisableKeepAlives: true}
	f.http = &http.Client{Transport: transport, Timeout: 10 * time.Minute}
	return f
}

func (f *forwarder) get(t *testing.T, page string) string {
	t.Helper()
	response, err := f.http.Get(page)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

func TestForward(t *testing.T) {
	s, page := withWorking(t)
	f := startForward(t, s)
	for range 4 {
		assert.Equal(t, "203.0.113.9", f.get(t, page))
	}
	assert.Len(t, s.ProxyRequests(), 4, "each in its turn")
	assert.Equal(t, 0, f.stop())
	assert.Regexp(t, `^in use: 4 proxies\nthe local proxy is http://127\.0\.0\.1:\d+; Ctrl-C ends it\n$`, f.stderr.String())
}

func TestForwardOfSome(t *testing.T) {
	s, page := withWorking(t)
	f := startForward(t, s, "--country", "usa", "--sticky")
	for range 4 {
		f.get(t, page)
	}
	assert.Len(t, s.ProxyRequests(), 1, "the same for the same host")
	assert.Equal(t, 0, f.stop())
	assert.True(t, strings.HasPrefix(f.stderr.String(), "in use: 3 proxies in USA\n"), f.stderr.String())
}

// TestForwardEndsAtOnce: what is under way does not hold it.
func TestForwardEndsAtOnce(t *testing.T) {
	s, _ := withWorking(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	f := startForward(t, s)
	ended := make(chan error, 1)
	go func() {
		response, err := f.http.Get("http://" + silent.Addr().String())
		if err == nil {
			_ = response.Body.Close()
		}
		ended <- err
	}()
	connection, err := silent.Accept()
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	assert.Equal(t, 0, f.stop())
	assert.Error(t, <-ended)
}

func TestForwardFollowsTheList(t *testing.T) {
	t.Parallel()
	s, _ := withWorking(t)
	f := startForward(t, s, "--scheme", "http", "--every", "1s")
	defer f.stop()
	first := f.stderr.String()
	assert.Contains(t, first, "in use: 3 proxies\nleft out: proxy "+string(s.IPAddresses()[3].ID)+" cannot be used in this way: it has no port for http\n")
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 2})
	require.Eventually(t, func() bool { return f.stderr.String() != first }, time.Minute, time.Millisecond)
	assert.True(t, strings.HasPrefix(f.stderr.String(), first+"in use: 5 proxies\n"), f.stderr.String())
}

func TestForwardThatCannotBegin(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no proxies":           {[]string{"--addr", "127.0.0.1:0"}, "youproxy: the list has no proxy that can be used\n"},
		"the address is taken": {[]string{"--addr", taken.Addr().String()}, "choose another address with --addr: "},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := newShell(t).run(append([]string{"forward"}, test.args...)...)
			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "it is told once")
		})
	}
}

func TestForwardTellsWhatIsNew(t *testing.T) {
	var errOut output
	a, o := &app{err: &errOut}, &forwarding{}
	for _, e := range []youproxy.FollowEvent{
		{Err: errors.New("the first is returned")}, {Used: 2}, {Used: 2}, {Err: errors.New("no answer")}, {Err: errors.New("no answer")}, {Used: 2}, {Used: 3},
	} {
		a.tellFollowed(o, e)
	}
	assert.Equal(t, "in use: 2 proxies\nthe account's list was not used, and the proxies stay as they are: no answer\nin use: 2 proxies\nin use: 3 proxies\n", errOut.String())
}
