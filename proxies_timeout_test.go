package youproxy_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const listTimeout = 10 * time.Second

// pausing gives a reply in pieces, each after its pause.
type pausing struct {
	ctx    context.Context
	pieces []piece
}

type piece struct {
	after time.Duration
	text  string
}

func (p *pausing) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	next := &p.pieces[0]
	select {
	case <-time.After(next.after):
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
	n := copy(b, next.text)
	if next.text, next.after = next.text[n:], 0; next.text == "" {
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

func inPieces(pieces ...piece) answer {
	return streaming(200, func(r *http.Request) io.Reader { return &pausing{r.Context(), append([]piece{}, pieces...)} })
}

// listed is what a list gave, and how long that took.
type listed struct {
	ids  []string
	err  error
	took time.Duration
	made int // requests
}

func listOf(t *testing.T, inLoop time.Duration, retries int, answers ...answer) (l listed) {
	s := &script{answers: answers}
	c := clientFor(t, s.option(), youproxy.WithReadRetries(retries), youproxy.WithTimeouts(youproxy.Timeouts{Read: listTimeout, Spend: time.Hour}))
	started := time.Now()
	l.ids = []string{}
	for p, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
		require.NoError(t, l.err, "nothing comes after an error")
		if err != nil {
			l.err = err
			continue
		}
		l.ids = append(l.ids, string(p.ID))
		time.Sleep(inLoop)
	}
	l.took, l.made = time.Since(started), len(s.times)
	return l
}

func TestTimeoutsOfAList(t *testing.T) {
	t.Parallel()
	const just = listTimeout - time.Millisecond
	var slow []piece
	for i := range len(threeProxies) {
		slow = append(slow, piece{just, threeProxies[i : i+1]})
	}
	late := func(d time.Duration) answer {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(d):
				return stubReply(r, 200, threeProxies), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	begin := piece{0, `{"success": true, "ipv4": [{"ipAddressId": "1"}, `}
	for _, tc := range []struct {
		name   string
		answer answer
		inLoop time.Duration
		ids    []string
		took   time.Duration
		fails  bool
	}{
		{"a header that does not come", never, 0, []string{}, listTimeout, true},
		{"a header that comes too late", late(listTimeout + time.Millisecond), 0, []string{}, listTimeout, true},
		{"a header that comes just in time", late(just), 0, []string{"1", "2", "3"}, just, false},
		{"a body that does not begin", inPieces(piece{time.Hour, threeProxies}), 0, []string{}, listTimeout, true},
		{"a body that stalls", inPieces(begin, piece{time.Hour, "x"}), 0, []string{"1"}, listTimeout, true},
		{"a body that stalls after an hour", inPieces(begin, piece{just, " "}, piece{just, " "}, piece{time.Hour, "x"}), 0, []string{"1"}, 2*just + listTimeout, true},
		{"a body that stalls at its very end", inPieces(piece{0, threeProxies}, piece{time.Hour, "x"}), 0, []string{"1", "2", "3"}, listTimeout, true},
		{"a body that takes almost a timeout for each byte", inPieces(slow...), 0, []string{"1", "2", "3"}, time.Duration(len(threeProxies)) * just, false},
		{"a loop that takes an hour for each proxy", status(200, threeProxies), time.Hour, []string{"1", "2", "3"}, 3 * time.Hour, false},
		{"a loop that takes an hour, and a body in pieces", inPieces(begin, piece{just, `{"ipAddressId": "2"}`}, piece{just, `]}`}), time.Hour, []string{"1", "2"}, 2*time.Hour + 2*just, false},
		{"a loop that takes an hour, and a body that stalls then", inPieces(begin, piece{time.Hour, "x"}), time.Hour, []string{"1"}, time.Hour + listTimeout, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listOf(t, tc.inLoop, 0, tc.answer)
				assert.Equal(t, tc.ids, l.ids)
				assert.Equal(t, tc.took, l.took)
				if !tc.fails {
					assert.NoError(t, l.err)
					return
				}
				assert.ErrorIs(t, l.err, context.DeadlineExceeded)
				assert.NotErrorIs(t, l.err, context.Canceled)
			})
		})
	}
}

func TestTheCallersDeadlineEndsAList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{inPieces(piece{0, `{"success": true, "ipv4": [{"ipAddressId": "1"}, `}, piece{time.Hour, "x"})}}
		c := clientFor(t, s.option())
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		started := time.Now()
		got, err := drainList(t, c.Proxies(ctx, youproxy.ProxyQuery{}))
		assert.Len(t, got, 1)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 7*time.Second, time.Since(started))
		assert.Len(t, s.times, 1)
	})
}
