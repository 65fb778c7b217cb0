package youproxytest_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestCacheAnswersWhatItWasToldBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, silent := range []bool{false, true} {
			s := youproxytest.NewServer(youproxytest.WithCache(youproxytest.Cache{MaxAge: time.Minute, Silent: silent}))
			defer s.Close()
			first := time.Now()
			check := func(op string, stale bool, age, want string) {
				t.Helper()
				_, header, reply := send(t, s, op, "")
				if silent {
					age = ""
				}
				assert.Equal(t, age, header.Get("Age"))
				assert.Equal(t, age != "", header["Age"] != nil)
				date := time.Now()
				if stale {
					date = first
				}
				assert.Equal(t, []string{date.UTC().Format(http.TimeFormat)}, header["Date"])
				assert.Contains(t, reply, want)
				received := s.Requests()
				assert.Equal(t, stale, received[len(received)-1].Cached)
			}
			check("GET /balance", false, "", `"balance": 100,`)
			check("GET /ipAddress?proxyType=IPv4", false, "", `"IPv4": []`)
			check("GET /balance", true, "0", `"balance": 100,`)

			_, header, _ := send(t, s, "POST /order", ipv4Body)
			assert.Nil(t, header["Age"])
			_, _, reply := send(t, s, "POST /calculate/order", quoteBody)
			assert.Contains(t, reply, `"balance": 98.69,`, "a POST request passes through")
			time.Sleep(time.Minute)
			check("GET /balance", true, "60", `"balance": 100,`)
			check("GET /ipAddress?proxyType=IPv4", true, "60", `"IPv4": []`)
			check("GET /ipAddress", false, "", `"IPv4": [{`)

			time.Sleep(time.Nanosecond)
			check("GET /balance", false, "", `"balance": 98.69,`)
			first = time.Now()
			time.Sleep(1999 * time.Millisecond)
			check("GET /balance", true, "1", `"balance": 98.69,`)
		}
	})
}

func TestCacheKeepsNoFaults(t *testing.T) {
	s := newServer(t)
	s.SetCache(youproxytest.Cache{MaxAge: time.Hour})
	s.Inject("GET /balance", youproxytest.HTMLPage)
	s.Refuse("GET /balance", 35)
	for _, want := range []string{"<html>", `"code": 35`, `"balance": 100,`} {
		_, _, reply := send(t, s, "GET /balance", "")
		assert.Contains(t, reply, want)
	}
	send(t, s, "POST /order", ipv4Body)
	s.Inject("GET /balance", youproxytest.BadGateway)
	status, _, _ := send(t, s, "GET /balance", "")
	assert.Equal(t, http.StatusBadGateway, status, "a fault comes before the cache")
	_, _, reply := send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"balance": 100,`)
	_, _, reply = sendTo(t, s, http.MethodGet, "/client/api/v1/other/balance", "", "")
	assert.Contains(t, reply, `"code": 2`, "the key counts")
	_, _, reply = send(t, s, "GET /balance?x=1", "")
	assert.Contains(t, reply, `"code": 1`, "the query counts")

	s.SetCache(youproxytest.Cache{MaxAge: time.Hour, Silent: true})
	_, _, reply = send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"balance": 98.69,`, "another cache is empty")
	send(t, s, "POST /order", ipv4Body)
	s.SetCache(youproxytest.Cache{})
	_, _, reply = send(t, s, "GET /balance", "")
	assert.Contains(t, reply, `"balance": 97.38,`, "there is none")
	for _, r := range s.Requests()[len(s.Requests())-1:] {
		assert.False(t, r.Cached)
	}
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	s := newServer(t, youproxytest.WithCache(youproxytest.Cache{MaxAge: time.Hour}))
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			_, _, reply := send(t, s, "GET /ipAddress", "")
			assert.True(t, strings.HasPrefix(reply, `{"success": true`))
			if i%5 == 0 {
				s.SetCache(youproxytest.Cache{MaxAge: time.Duration(i)})
			}
		})
	}
	calls.Wait()
	assert.Len(t, s.Requests(), 20)
}
