package youproxytest

import (
	"context"
	"net"
	"sync"
)

// memoryListener is a listener whose connections are pipes, made by dial.
type memoryListener struct {
	incoming chan net.Conn
	closing  sync.Once
	closed   chan struct{}
}

func newMemoryListener() *memoryListener {
	return &memoryListener{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	var err error
	select {
	case l.incoming <- theirs:
		return ours, nil
	case <-l.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = ours.Close(), theirs.Close()
	return nil, &net.OpError{Op: "dial", Net: "memory", Addr: memoryAddr{}, Err: err}
}

// Accept waits for the next dial.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "memory", Addr: memoryAddr{}, Err: net.ErrClosed}
	}
}

// Close refuses the dials to come.
func (l *memoryListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return nil
}

// Addr names the listener.
func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "youproxytest" }
