package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// traffic records the exchanges that a contract watched.
type traffic struct {
	mu   sync.Mutex
	list []exchange
}

type exchange struct {
	op      string // "" if the contract has none
	sent    string // method and target, as they arrived
	body    string // of the request
	success bool   // false: refused
	broken  []string
}

func (s *traffic) add(e exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e)
}

func (s *traffic) all() []exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// watch returns a handler that passes every request to next and records in seen how
// the request or its reply breaks the contract.
func (c *contract) watch(next http.Handler, seen *traffic) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		e := exchange{op: c.op(r), sent: r.Method + " " + r.RequestURI, body: string(body)}
		for _, b := range c.request(r, body) {
			e.broken = append(e.broken, fmt.Sprintf("request %s with %s: %s", r.Method+" "+r.URL.RequestURI(), body, b))
		}
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, withBody(r, body))
		reply := recorded.Body.Bytes()
		for _, b := range c.reply(r, recorded.Code, recorded.Header(), reply) {
			e.broken = append(e.broken, fmt.Sprintf("reply %d %s to %s: %s", recorded.Code, reply, e.op, b))
		}
		var envelope struct{ Success bool }
		_ = json.Unmarshal(reply, &envelope)
		e.success = envelope.Success
		seen.add(e)

		maps.Copy(w.Header(), recorded.Header())
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(reply)
	})
}

// startWatched serves next on loopback. What breaks the contract fails the test.
func startWatched(t testing.TB, next http.Handler) (url string, seen *traffic) {
	t.Helper()
	seen = &traffic{}
	s := httptest.NewServer(theContract(t).watch(next, seen))
	t.Cleanup(func() {
		s.Close()
		for _, e := range seen.all() {
			for _, b := range e.broken {
				t.Errorf("%s", b)
			}
		}
	})
	return s.URL, seen
}

// Requests and replies pass unchanged, and what is wrong with them is recorded.
func TestContractWatches(t *testing.T) {
	seen := &traffic{}
	s := httptest.NewServer(theContract(t).watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Got", string(body))
		_, _ = io.WriteString(w, orderPlaced)
	}), seen))
	defer s.Close()
	send := func(path, body string) {
		header, reply := post(t, s.URL+basePath+"key"+path, body)
		assert.JSONEq(t, orderPlaced, reply)
		assert.Equal(t, body, header.Get("X-Got"))
	}
	send("/order", goodOrder)
	send("/order", `{}`)
	send("/extend", goodExtend)
	send("/nothing", goodExtend)

	all := seen.all()
	require.Len(t, all, 4)
	assert.Equal(t, exchange{op: "POST /order", sent: "POST " + basePath + "key/order", body: goodOrder, success: true}, all[0])
	for i, want := range map[int]string{1: "request POST " + basePath + "key/order with {}: ", 2: "reply 200 " + orderPlaced + " to POST /extend: ", 3: "not found"} {
		require.NotEmpty(t, all[i].broken)
		assert.Contains(t, all[i].broken[0], want)
	}
}

func post(t *testing.T, url, body string) (header http.Header, reply string) {
	t.Helper()
	var client http.Client
	client.Transport = &http.Transport{DisableKeepAlives: true}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.Header, string(text)
}

// toldErrors collects errors that would fail a test.
type toldErrors struct {
	testing.TB
	list []string
}

func (f *toldErrors) Errorf(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func TestWhatBreaksTheContractFailsTheTest(t *testing.T) {
	var failed toldErrors
	t.Run("watched", func(t *testing.T) {
		failed.TB = t
		url, _ := startWatched(&failed, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, orderRefused)
		}))
		post(t, url+basePath+"key/order", goodOrder)
		assert.Empty(t, failed.list)
		post(t, url+basePath+"key/order", changed(t, goodOrder, `"goal"`, `"colour": "red", "goal"`))
		post(t, url+basePath+"key/extend", goodExtend)
	})
	require.Len(t, failed.list, 2)
	assert.Contains(t, failed.list[0], "additional properties 'colour' not allowed")
	assert.Contains(t, failed.list[1], "missing properties 'rentPeriodDays', 'quantity', 'ipAddressIds'")
}
