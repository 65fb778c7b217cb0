package proxypool

import (
	"container/list"
	"fmt"
	"sync"
)

// WithMaxIdleConns bounds how many connections the pool keeps open that no request
// uses, over all proxies and targets: 512 unless it is set, which leaves room under
// the usual limit of 1,024 open files. Where there are more, those of the proxy
// that was not used for the longest time are closed; with 0 none is kept. Where
// files run out nevertheless, the pool closes all of its idle connections, and goes
// on.
func WithMaxIdleConns(n int) Option {
	return func(s *settings) error {
		if n < 0 {
			return fmt.Errorf("proxypool: WithMaxIdleConns takes 0 or more, not %d", n)
		}
		s.idle.most = n
		return nil
	}
}

// use is how a connection is used.
type use struct {
	users        int
	idle, closed bool
}

// idleConns counts the connections of a pool that no request uses.
type idleConns struct {
	most int

	mu    sync.Mutex
	n     int
	order list.List // of proxies with connections, the last used first
}

func newIdleConns() *idleConns { return &idleConns{most: 512} }

// opened is told that there is another connection.
func (i *idleConns) opened(c *conn) {
	x := c.line.proxy
	i.mu.Lock()
	defer i.mu.Unlock()
	x.open++
	if x.order == nil {
		x.order = i.order.PushFront(x)
	}
}

// taken is told that a request got a connection.
func (i *idleConns) taken(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c.use.users++
	i.notIdle(c)
}

// given is told that a request is done with a connection.
func (i *idleConns) given(c *conn) {
	i.mu.Lock()
	c.use.users--
	i.mu.Unlock()
	i.unused(c)
}

// unused is told that a connection may be one that no request uses.
func (i *idleConns) unused(c *conn) {
	x := c.line.proxy
	i.mu.Lock()
	if c.use.users > 0 || c.use.closed || c.use.idle {
		i.mu.Unlock()
		return
	}
	c.use.idle = true
	i.n++
	x.idle++
	i.order.MoveToFront(x.order)
	victims := i.over(i.most)
	i.mu.Unlock()
	for _, v := range victims {
		v.shrink()
	}
}

// closed is told that a connection ended.
func (i *idleConns) closed(c *conn) {
	x := c.line.proxy
	i.mu.Lock()
	defer i.mu.Unlock()
	c.use.closed = true
	i.notIdle(c)
	if x.open--; x.open == 0 {
		i.order.Remove(x.order)
		x.order = nil
	}
}

func (i *idleConns) notIdle(c *conn) {
	if c.use.idle {
		c.use.idle = false
		i.n--
		c.line.proxy.idle--
	}
}

// over returns the proxies that were used least lately, so many that no more than most
// connections are idle without theirs.
func (i *idleConns) over(most int) (victims []*proxy) {
	left := i.n
	for e := i.order.Back(); e != nil && left > most; e = e.Prev() {
		if x := e.Value.(*proxy); x.idle > 0 {
			left -= x.idle
			victims = append(victims, x)
		}
	}
	return victims
}

// makeRoom closes all that are idle. If that was not enough, those in use are closed as
// well when they are no longer.
func (i *idleConns) makeRoom(enough bool) {
	i.mu.Lock()
	victims := i.over(0)
	if !enough {
		victims = nil
		for e := i.order.Front(); e != nil; e = e.Next() {
			victims = append(victims, e.Value.(*proxy))
		}
	}
	i.mu.Unlock()
	for _, x := range victims {
		if enough {
			x.shrink()
		} else {
			x.renew()
		}
	}
}
