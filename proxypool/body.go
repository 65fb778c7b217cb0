package proxypool

import (
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
	used   bool      // the caller's own body was read, or given away for good
	closed bool
}

func newUpload(req *http.Request) *upload { return &upload{req: req} }

// none reports whether the request has no body.
func (u *upload) none() bool { return u.req.Body == nil || u.req.Body == http.NoBody }

// next gives the body for the next try, and false where there is none any more.
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
	u.lent = nil
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

// upgraded is the body of a response that switched protocols.
type upgraded struct {
	*download

	io.Writer
}

// lend wraps the body of resp.
func lend(resp *http.Response, done func()) {
	if resp.Body == http.NoBody {
		done()
		return
	}
	body := &download{ReadCloser: resp.Body, done: done}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = upgraded{body, w}
		return
	}
	resp.Body = body
}
