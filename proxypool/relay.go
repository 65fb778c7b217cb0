package proxypool

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay copies both ways until both sides have ended, or one breaks. When one side
// has sent all, the other is told so and goes on, but it ends when it says nothing
// for the time of patience: it may be that nobody is there any more to read it.
func relay(client, target net.Conn, patience time.Duration) {
	t := &relaying{patience: patience}
	var copying sync.WaitGroup
	copying.Go(func() { t.copy(client, target) })
	t.copy(target, client)
	copying.Wait()
}

type relaying struct {
	patience time.Duration
	half     atomic.Bool // one side has sent all
}

// copy copies until src has sent all.
func (t *relaying) copy(dst, src net.Conn) {
	_, err := io.Copy(struct{ io.Writer }{dst}, &relayReader{src, t})
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		_ = dst.Close()
		_ = src.Close()
		return
	}
	t.half.Store(true)
	_ = dst.SetReadDeadline(time.Now().Add(t.patience)) // for the Read under way
}

// relayReader reads one side of a tunnel.
type relayReader struct {
	net.Conn

	relay *relaying
}

func (r *relayReader) Read(p []byte) (int, error) {
	if r.relay.half.Load() {
		_ = r.SetReadDeadline(time.Now().Add(r.relay.patience))
	}
	return r.Conn.Read(p)
}

var errNoHalfClose = errors.New("the connection cannot be closed for writing alone")

// closeWrite tells the other side that all is sent.
func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errNoHalfClose
}
