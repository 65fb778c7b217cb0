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
	lent   *lentBody // to the running try
	unread bool      // the running try has closed it without reading it
	used   bool      // the caller's own body was read, or passed on for good
	closed bool
}

func newUpload(req *http.Request) *upload { return &upload{req: req} }

// none reports whether the request has no body.
func (u *upload) none() bool { return !hasBody(u.req) }

// next returns the body for the next try, and false if there is none.
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
	case !u.used: // as it is, since net/http sends the common types in better ways
		u.used, u.closed = true, true // by net/http
		return u.req.Body, true
	}
	body, err := u.req.GetBody()
	return body, err == nil
}

// back takes the body back from a try that did not read it.
func (u *upload) back() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lent, u.unread = nil, false
}

// keep leaves the body to the last try, which has a response. net/http closes it.
func (u *upload) keep() {
	u.mu.Lock()
	u.used = true
	unread := u.unread
	u.mu.Unlock()
	if unread {
		u.end()
	}
}

// end closes the caller's body, as an [http.RoundTripper] must.
func (u *upload) end() {
	u.mu.Lock()
	closed := u.closed || u.none()
	u.closed, u.lent = true, nil
	u.mu.Unlock()
	if !closed && u.req.Body != nil {
		_ = u.req.Body.Close()
	}
}

// lentBody is a body without GetBody. Closing it before it was read leaves it for another
// try.
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

// upgraded is the body of a response that switched protocols. Its user may still write
// when everything is read.
type upgraded struct {
	*download

	io.Writer
}

func (b upgraded) Read(p []byte) (int, error) { return b.ReadCloser.Read(p) }

// lend wraps the body of resp, so that done is called when it ends. It also ends with the
// context, since net/http then drops the connection even if nobody closes the body.
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
