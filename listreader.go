package youproxy

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRecord bounds a record of a list that is handed out while it is read.
const maxRecord = 1 << 20

// errLongValue tells that a value is longer than the lookahead.
var errLongValue = errors.New("the value is too long to be read as a whole")

// pace is how much is read at a time of a body that may read on.
const pace = 32 << 10

// pacedBody bounds each wait for more of a body by the sending's patience.
type pacedBody struct {
	s    *sending
	body io.Reader
	own  []byte // what is read into where the body may read on after the sending
	err  error  // how it ended
}

func (b *pacedBody) Read(p []byte) (n int, err error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.s.timer != nil:
		b.s.timer.Reset(b.s.patience)
		defer b.s.timer.Stop()
	}
	if b.s.native {
		n, b.err = b.body.Read(p)
		return min(max(n, 0), len(p)), b.err
	}
	if b.own == nil {
		b.own = make([]byte, pace)
	}
	own := b.own[:min(len(p), len(b.own))]
	n, b.err = await(b.s, func() (int, error) { return b.body.Read(own) })
	return copy(p, own[:min(max(n, 0), len(own))]), b.err
}

// listReader reads the body of a list, bounds what is read of it, and remembers how
// it ended.
type listReader struct {
	body      *bufio.Reader
	limit     int64 // in all
	lookahead int64 // past the last value read
	trying    bool  // a value longer than that is only told to be
	dec       *jsontext.Decoder
	count     int64 // of bytes read
	err       error // why reading ended early; nil at the end of the body
}

func newListReader(s *sending, body io.Reader, limit, length int64) *listReader {
	size := 16 // enough to look for the beginning
	if !s.native {
		size = pace
	}
	r := &listReader{body: bufio.NewReaderSize(&pacedBody{s: s, body: body}, size), limit: limit, lookahead: limit}
	if limit == 0 {
		r.limit, r.lookahead = math.MaxInt64, maxRecord
	}
	if length > r.limit {
		r.err = ErrReplyTooLarge
	}
	return r
}

// isObject reports whether the body begins as an object does. It skips a byte order
// mark.
func (r *listReader) isObject() bool {
	begin, _ := r.body.Peek(len(byteOrderMark))
	if bytes.Equal(begin, byteOrderMark) {
		_, _ = r.body.Discard(len(byteOrderMark))
		begin, _ = r.body.Peek(1)
	}
	return len(begin) > 0 && strings.IndexByte("{ \t\r\n", begin[0]) >= 0
}

// read reads a list, and hands its proxies out.
func (r *listReader) read(list *proxyList) (*envelope, error) {
	list.in = r
	list.reset()
	e := &envelope{reply: list}
	r.dec = jsontext.NewDecoder(r, lenient)
	err := e.UnmarshalJSONFrom(r.dec)
	if err == nil {
		r.dec.PeekKind() // reads to the end
		if _, err = r.dec.ReadToken(); errors.Is(err, io.EOF) {
			if e.refused {
				return e, nil
			}
			return e, e.odd
		}
		err = cmp.Or(err, error(oddity("it goes on after its end")))
	}
	switch {
	case errors.Is(err, errStopped):
		return e, err
	case r.err != nil && errors.Is(r.err, ErrReplyTooLarge):
		return e, ErrReplyTooLarge
	case r.err != nil:
		return e, &brokenReply{r.err}
	}
	return e, malformed(err)
}

func (r *listReader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.trying:
		room := r.lookahead - (r.count - r.dec.InputOffset())
		if room <= 0 {
			return 0, errLongValue
		}
		p = p[:min(int64(len(p)), room)]
	case r.dec != nil && r.count-r.dec.InputOffset() > r.lookahead:
		r.err = ErrReplyTooLarge
		return 0, r.err
	}
	// One byte more than allowed is asked for, so that a body of just that size
	// can end.
	if room := r.limit - r.count; int64(len(p)) > room {
		p = p[:room+1]
	}
	n, err := r.body.Read(p)
	r.count += int64(n)
	switch {
	case r.count > r.limit:
		r.err = ErrReplyTooLarge
		return 0, r.err
	case err != nil && !errors.Is(err, io.EOF):
		r.err = err
	}
	return n, err
}
