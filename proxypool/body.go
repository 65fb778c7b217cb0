package proxypool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// upload is the body of a request, which may be needed for several tries.
type upload struct {
	req *http.Request

	mu     sync.Mutex
	lent   *lentBody // to the try under way
	unread bool      // which has closed it without reading
	used   bool      // the caller's own body was read, or handed over for good
	closed bool
}

func newUpload(req *http.Request) *upload { return &upload{req: req} }

// none reports whether the request has no body.
func (u *upload) none() bool { return !hasBody(u.req) }

// next returns the body for the next try, and false where there is none any more.
func (u *upload) next() (io.ReadCloser, bool) {
	if u.none() {
		return u.req.Body, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.req.GetBody == nil:
		if u.used {
			return nil, false
		}
		u.lent = &lentBody{upload: u}
		return u.lent, true
	case !u.used: // net/http knows the common types, and sends them better than one of ours
		u.used, u.closed = true, true // by net/http
		return u.req.Body, true
	}
	body, err := u.req.GetBody()
	return body, err == nil
}

// back takes back what the last try did not read.
func (u *upload) back() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lent, u.unread = nil, false
}

// keep leaves the body to the last try, which has its response: that closes it
// when it has read what it wants.
func (u *upload) keep() {
	u.mu.Lock()
	u.used = true
	unread := u.unread
	u.mu.Unlock()
	if unread {
		u.end()
	}
}

// end closes the caller's body, as round trippers must.
func (u *upload) end() {
	u.mu.Lock()
	closed := u.closed || u.none()
	u.closed, u.lent = true, nil
	u.mu.Unlock()
	if !closed && u.req.Body != nil {
		_ = u.req.Body.Close()
	}
}

// lentBody is a body that cannot be had twice. To close it before it was read
// leaves it for another try.
type lentBody struct{ upload *upload }

var errTakenBack = errors.New("the body belongs to another try of the request")

func (b *lentBody) Read(p []byte) (int, error) {
	u := b.upload
	u.mu.Lock()
	if u.lent != b || u.closed {
		u.mu.Unlock()
		return 0, errTakenBack
	}
	u.used = true
	u.mu.Unlock()
	return u.req.Body.Read(p)
}

func (b *lentBody) Close() error {
	u := b.upload
	u.mu.Lock()
	if u.lent != b || u.closed || !u.used {
		u.unread = u.unread || u.lent == b
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	u.mu.Unlock()
	return u.req.Body.Close()
}

// download is the body of a response: its proxy is in use until it ends.
type download struct {
	io.ReadCloser

	once sync.Once
	done func()
}

func (b *download) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(b.done)
	}
	return n, err
}

func (b *download) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.done)
	return err
}

// upgraded is the body of a response that switched protocols. Its user may go on
// writing when all is read.
type upgraded struct {
	*download

	io.Writer
}

func (b upgraded) Read(p []byte) (int, error) { return b.ReadCloser.Read(p) }

// lend wraps the body of resp. That ends with the context as well, with which
// net/http gives the connection up even if nobody closes the body.
func lend(ctx context.Context, resp *http.Response, done func()) {
	if resp.Body == http.NoBody {
		done()
		return
	}
	body := &download{ReadCloser: resp.Body}
	stop := context.AfterFunc(ctx, func() { body.once.Do(done) })
	body.done = func() {
		stop()
		done()
	}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = upgraded{body, w}
		return
	}
	resp.Body = body
}
