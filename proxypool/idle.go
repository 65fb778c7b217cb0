package proxypool

import (
	"container/list"
	"fmt"
	"sync"
)

// WithMaxIdleConns sets how many connections that no request uses are kept open, over
// all proxies and targets. The default is 512, which leaves room below the usual limit
// of 1,024 open files. If there are more, the connections of the proxy that was least
// recently used are closed. With 0 none is kept. If the program still runs out of files,
// the pool closes all of its idle connections and goes on.
func WithMaxIdleConns(n int) Option {
	return func(s *settings) error {
		if n < 0 {
			return fmt.Errorf("proxypool: WithMaxIdleConns needs a number that is not negative, not %d", n)
		}
		s.idle.most = n
		return nil
	}
}

// use is the state of a connection.
type use struct {
	users        int
	idle, closed bool
}

// idleConns counts the connections of a pool that no request uses.
type idleConns struct {
	most int

	mu    sync.Mutex
	n     int
	order list.List // of proxies with connections, the most recently used first
}

func newIdleConns() *idleConns { return &idleConns{most: 512} }

// opened counts a new connection.
func (i *idleConns) opened(c *conn) {
	x := c.line.proxy
	i.mu.Lock()
	defer i.mu.Unlock()
	x.open++
	if x.order == nil {
		x.order = i.order.PushFront(x)
	}
}

// taken is called when a request gets a connection.
func (i *idleConns) taken(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c.use.users++
	i.notIdle(c)
}

// released is called when a request is done with a connection.
func (i *idleConns) released(c *conn) {
	i.mu.Lock()
	c.use.users--
	i.mu.Unlock()
	i.unused(c)
}

// unused is called when a connection may be one that no request uses.
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

// closed is called when a connection is closed.
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

// over returns the least recently used proxies: so many that at most most connections
// are idle without theirs.
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

// makeRoom closes all idle connections. If that was not enough, those in use are closed
// when their requests are done.
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
