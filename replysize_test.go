package youproxy_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// hugeReply writes about 64 MiB from one buffer that was made before.
type hugeReply struct {
	before, after string
	filler        []byte
	status        int
	length        bool // with a Content-Length
}

const (
	hugeSize   = 64 << 20
	hugeCost   = 4 << 20      // the most a call may allocate to find a reply too large that says how long it is, or is an error page
	readCost   = 4 * 16 << 20 // and one that must be read up to the bound first
	fillerSize = 32 << 10
)

func filler(unit string) []byte { return bytes.Repeat([]byte(unit), fillerSize/len(unit)) }

func (h hugeReply) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	blocks := hugeSize / len(h.filler)
	if h.length {
		w.Header().Set("Content-Length", strconv.Itoa(len(h.before)+blocks*len(h.filler)+len(h.after)))
	}
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, h.before)
	for range blocks {
		if _, err := w.Write(h.filler); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, h.after)
}

func TestHugeReplyIsNotHeld(t *testing.T) {
	large(t)
	const begin = `{"success": true, "balance": 25.03, "currency": "USD", "orderNumber": "N-1", `
	for _, tc := range []struct {
		name          string
		before, after string
		unit          string
	}{
		{"one string", begin + `"x": "`, `"}`, "a"},
		{"one string of escapes", begin + `"x": "`, `"}`, `\u0041`},
		{"one string that is needed", `{"success": true, "balance": 25.03, "orderNumber": "`, `"}`, "1"},
		{"an error's message", `{"success": false, "error": {"code": 16, "message": "`, `"}}`, "a"},
		{"one name", begin + `"`, `": 1}`, "a"},
		{"one number", begin + `"x": 1`, `}`, "1"},
		{"many small members", begin, `"z": 1}`, `"a":1,`},
		{"many small members with longer names", begin, `"z": 1}`, `"member":1,`},
		{"one list of numbers", begin + `"x": [`, `1]}`, "1,"},
		{"one list of objects", begin + `"x": [`, `{}]}`, `{"id":"1","ip":"192.0.2.1"},`},
		{"white space before", "", begin + `"x": 1}`, " "},
		{"white space within", begin, `"x": 1}`, "\n"},
		{"white space after", begin + `"x": 1}`, "", " "},
		{"JSON after JSON", begin + `"x": 1}`, "", "{}"},
		{"a page", "<html>", "</html>", "<p>text</p>"},
		{"NUL bytes", "", "", "\x00"},
	} {
		for _, code := range []int{200, 500} {
			for _, length := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d, Content-Length %t", tc.name, code, length), func(t *testing.T) {
					h := hugeReply{before: tc.before, after: tc.after, filler: filler(tc.unit), status: code, length: length}
					var warm bool
					s := listen(t, func(w http.ResponseWriter, r *http.Request) {
						if !warm {
							reply(w, r, 200, clientBalance)
							return
						}
						h.serve(w, r)
					})
					c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0))
					_, err := c.Balance(t.Context())
					require.NoError(t, err)
					warm = true
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					_, err = c.CreateOrder(t.Context(), benchOrder)
					runtime.ReadMemStats(&after)
					most := uint64(hugeCost)
					if code == 200 && !length {
						most = readCost
					}
					assert.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, most, "bytes allocated in all")
					var call *youproxy.CallError
					require.ErrorAs(t, err, &call)
					assert.Equal(t, code, call.HTTPStatus)
					assert.Equal(t, youproxy.OutcomeUnknown, call.Outcome)
					assert.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
					assert.Less(t, len(err.Error()), 1000)
				})
			}
		}
	}
}

func TestMaxReplySizeIsExact(t *testing.T) {
	t.Parallel()
	large(t)
	// padded is a reply of n bytes, none of whose values is long.
	padded := func(n int) string {
		body := `{"success": true, "balance": 25.03, "currencyCode": "USD", `
		end := `"z": "`
		const member = `"a": "0123456789012345678901234567890123456789", `
		for len(body)+len(member)+len(end)+2 <= n {
			body += strings.Repeat(member, max(1, (n-len(body)-len(end)-2)/len(member)))
		}
		return body + end + strings.Repeat("z", n-len(body)-len(end)-2) + `"}`
	}
	const size = 2000
	long := `{"success": true, "balance": 25.03, "currencyCode": "USD", "x": "` + strings.Repeat("x", 2<<20) + `"}`
	for _, tc := range []struct {
		name string
		body string
		max  int64 // 0: the default
		fits bool
	}{
		{"exactly as large as allowed", padded(size), size, true},
		{"a byte more", padded(size + 1), size, false},
		{"a byte less", padded(size - 1), size, true},
		{"a byte of white space more", padded(size) + "\n", size, false},
		{"exactly the default", padded(16 << 20), 0, true},
		{"a byte more than the default", padded(16<<20 + 1), 0, false},
		{"more than the default, where that is allowed", padded(17 << 20), 17 << 20, true},
		{"a long value", long, 0, true},
		{"a long value, where a bound is set", long, 3 << 20, true},
		{"without a bound to speak of", padded(size), math.MaxInt64, true},
	} {
		for _, length := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, Content-Length %t", tc.name, length), func(t *testing.T) {
				s := listen(t, func(w http.ResponseWriter, r *http.Request) {
					if length {
						w.Header().Set("Content-Length", strconv.Itoa(len(tc.body)))
					} else {
						_ = http.NewResponseController(w).Flush()
					}
					_, _ = io.WriteString(w, tc.body)
				})
				opts := []youproxy.Option{youproxy.WithBaseURL(s.URL), youproxy.WithReadRetries(0)}
				if tc.max != 0 {
					opts = append(opts, youproxy.WithMaxReplySize(tc.max))
				}
				c := clientFor(t, opts...)
				var err error
				if !assert.NotPanics(t, func() { _, err = c.Balance(t.Context()) }) {
					return
				}
				if tc.fits {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
			})
		}
	}
	for _, n := range []int{size, size + 1} {
		t.Run(fmt.Sprintf("Call, %d of %d", n, size), func(t *testing.T) {
			s := listen(t, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, padded(n)) })
			err := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithMaxReplySize(size)).
				Call(t.Context(), "GET", "/thing", nil, nil, new(any))
			if n <= size {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, youproxy.ErrReplyTooLarge)
		})
	}
}
