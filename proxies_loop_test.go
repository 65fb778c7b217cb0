package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// endlessList writes records until the other side has had enough.
func endlessList(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"success": true, "ipv4": [`)
	for i := 1; r.Context().Err() == nil; i++ {
		if _, err := fmt.Fprintf(w, `{"ipAddressId": "%d", "note": "%s"}, `, i, strings.Repeat("x", 500)); err != nil {
			return
		}
	}
}

// How a loop over proxies can end early.
var earlyEnds = []struct {
	name string
	loop func(t *testing.T, c *youproxy.Client)
}{
	{"break at the first", func(t *testing.T, c *youproxy.Client) {
		for _, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
			require.NoError(t, err)
			break
		}
	}},
	{"break in the middle", func(t *testing.T, c *youproxy.Client) {
		n := 0
		for _, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
			require.NoError(t, err)
			if n++; n == 1000 {
				break
			}
		}
		assert.Equal(t, 1000, n)
	}},
	{"return", func(t *testing.T, c *youproxy.Client) {
		func() {
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				return
			}
		}()
	}},
	{"panic", func(t *testing.T, c *youproxy.Client) {
		assert.PanicsWithValue(t, "enough", func() {
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				panic("enough")
			}
		})
	}},
	{"cancel inside the loop", func(t *testing.T, c *youproxy.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for _, err := range c.Proxies(ctx, youproxy.ProxyQuery{}) {
			require.NoError(t, last, "nothing comes after an error")
			last = err
			cancel()
		}
		assert.ErrorIs(t, last, context.Canceled)
	}},
}

func TestLoopsThatEndEarly(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		for _, end := range earlyEnds {
			t.Run(w.name+", "+end.name, func(t *testing.T) {
				left := make(chan struct{}, 1)
				g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/balance") {
						_, _ = io.WriteString(rw, clientBalance)
						return
					}
					endlessList(rw, r)
					left <- struct{}{}
				})
				c := g.client(t, g.transport)
				end.loop(t, c)
				select {
				case <-left:
				case <-time.After(5 * time.Second):
					t.Fatal("the service is still writing: the reply was not closed")
				}
				_, err := c.Balance(t.Context())
				assert.NoError(t, err, "the client can be used")
			})
		}
	}
}

// However a loop ends, the body is closed: a stub's transport may not see the end
// of the context.
func TestTheBodyOfAListIsClosed(t *testing.T) {
	t.Parallel()
	for _, body := range []string{threeProxies, threeProxies[:60], `{"success": false}`, `<html>`, ``} {
		for stopAt := range 4 {
			closed := 0
			c := clientFor(t, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
				resp := stubReply(r, 200, body)
				resp.Body = noteClose{resp.Body, &closed}
				return resp, nil
			}))
			n := 0
			for range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
				if n == stopAt {
					break
				}
				n++
			}
			assert.Positive(t, closed)
		}
	}
}

type noteClose struct {
	io.ReadCloser
	times *int
}

func (b noteClose) Close() error {
	*b.times++
	return b.ReadCloser.Close()
}

func TestCompleteListsUseOneConnection(t *testing.T) {
	t.Parallel()
	long := inEnvelope(`"ipv4": [` + strings.Repeat(bareRecord+`, `, 1000) + `null]`)
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(g *guarded, rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, long) })
			c := g.client(t, g.transport)
			for range 20 {
				list, err := c.ListProxies(t.Context(), youproxy.ProxyQuery{})
				require.NoError(t, err)
				require.Len(t, list, 1000)
			}
			assert.EqualValues(t, 1, g.conns.Load())
		})
	}
}

func TestCancelWhileWaitingForMore(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(rw, `{"success": true, "ipv4": [`+bareRecord+`, {"ipAddr`)
				_ = http.NewResponseController(rw).Flush()
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			var last error
			for _, err := range g.client(t, g.transport).Proxies(ctx, youproxy.ProxyQuery{}) {
				if last = err; err == nil {
					n++
					time.AfterFunc(10*time.Millisecond, cancel)
				}
			}
			assert.Equal(t, 1, n)
			assert.ErrorIs(t, last, context.Canceled)
		})
	}
}

// Also where all of the reply is there already.
func TestTheContextEndsTheLoop(t *testing.T) {
	t.Parallel()
	why := errors.New("the shop closes")
	client, _ := answering(t, 200, threeProxies)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var got []string
	var last error
	for p, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
		require.NoError(t, last, "nothing comes after an error")
		if last = err; err != nil {
			continue
		}
		got = append(got, string(p.ID))
		cancel(why)
	}
	assert.Equal(t, []string{"1"}, got)
	assert.ErrorIs(t, last, context.Canceled)
	assert.ErrorIs(t, last, why)
}

func TestAContextThatIsOverAlready(t *testing.T) {
	t.Parallel()
	client, transport := answering(t, 200, threeProxies)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := drainList(t, client.Proxies(ctx, youproxy.ProxyQuery{}))
	assert.Empty(t, got)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.Empty(t, transport.requests)
}
