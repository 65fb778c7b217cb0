package youproxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// errLongValue means that a value is longer than the lookahead.
var errLongValue = errors.New("the value is too long to be read as a whole")

// pace is how much is read at a time from a body that may read on.
const pace = 32 << 10

// pacedBody bounds each wait for more of a body by the patience of the sending.
type pacedBody struct {
	s    *sending
	body io.Reader
	own  []byte // the buffer if the body may still be reading after the sending
	err  error  // why it ended
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

// listReader reads the body of a list, bounds how much of it is held, and keeps the error
// that ended it.
type listReader struct {
	body      *bufio.Reader
	lookahead int64 // past the last value read
	trying    bool  // a longer value is errLongValue rather than the end
	dec       *jsontext.Decoder
	count     int64 // of bytes read
	err       error // why reading ended early; nil at the end of the body
}

func newListReader(s *sending, body io.Reader, lookahead int64) *listReader {
	size := 16 // enough to look for the beginning
	if !s.native {
		size = pace
	}
	return &listReader{body: bufio.NewReaderSize(&pacedBody{s: s, body: body}, size), lookahead: lookahead}
}

// isObject reports whether the body begins like an object. It skips a byte order mark.
func (r *listReader) isObject() bool {
	begin, _ := r.body.Peek(len(byteOrderMark))
	if bytes.Equal(begin, byteOrderMark) {
		_, _ = r.body.Discard(len(byteOrderMark))
		begin, _ = r.body.Peek(1)
	}
	return len(begin) > 0 && strings.IndexByte("{ \t\r\n", begin[0]) >= 0
}

// read reads a list and yields its proxies.
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
			return e, cmp.Or(e.odd, list.end())
		}
		err = cmp.Or(err, error(oddity("it goes on after its end")))
	}
	switch {
	case errors.Is(err, errStopped):
		return e, err
	case r.err != nil && errors.Is(r.err, ErrReplyTooLarge):
		return e, errLongElement
	case r.err != nil:
		return e, &brokenReply{r.err}
	}
	return e, malformed(err)
}

func (r *listReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.dec != nil {
		room := r.lookahead - (r.count - r.dec.InputOffset())
		switch {
		case room <= 0 && r.trying:
			return 0, errLongValue
		case room <= 0:
			r.err = ErrReplyTooLarge
			return 0, r.err
		}
		p = p[:min(int64(len(p)), room)]
	}
	n, err := r.body.Read(p)
	r.count += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// errLongElement means that a record, or an order with its records, is too long.
var errLongElement = fmt.Errorf("%w: an element of the list is longer than WithMaxReplySize allows", ErrReplyTooLarge)

// proxyList reads a reply that is a list of IP addresses, and yields its proxies.
type proxyList struct {
	ctx      context.Context
	asked    ProxyType
	yield    func(*Proxy) bool
	begun    bool // a proxy was yielded
	foreign  bool // a proxy is of an undocumented type that was not asked for
	others   bool // a proxy is of another documented type
	in       *listReader
	envelope object
	proxyDecoder
}

func (l *proxyList) reset() {
	l.envelope, l.proxyDecoder = object{name: new(listName)}, newProxyDecoder(l.handOut)
}

func (l *proxyList) handOut(p *Proxy) error {
	switch {
	case l.asked == "":
	case p.ProxyType == "":
		p.ProxyType = l.asked
	case !strings.EqualFold(string(p.ProxyType), string(l.asked)):
		l.others = l.others || p.ProxyType.Valid()
		l.foreign = l.foreign || !p.ProxyType.Valid()
		return nil // it was not asked for
	}
	if err := contextError(l.ctx, nil); err != nil {
		l.in.err = err
		return err
	}
	l.begun = true
	if !l.yield(p) {
		return errStopped
	}
	return nil
}

// end returns what is wrong with the list as a whole.
func (l *proxyList) end() error {
	l.spotIn(&l.envelope)
	switch {
	case l.made == 0 && l.strays > 0:
		return l.lost()
	case l.foreign && !l.others: // a list of all types would have others
		return fmt.Errorf("%w: some proxies are of a type that is not known, and may be what was asked for", errMisread)
	}
	return nil
}

func (l *proxyList) readMember(e *envelope, name string, dec *jsontext.Decoder) error {
	if e.refused || e.fault.stands() || e.faults.stands() {
		return dec.SkipValue()
	}
	return l.stream(dec, &l.envelope, l.remembered(name))
}

// stream reads the records in a member of the reply, or of an object that is too long to
// be held; of a list, element by element. The other members of that object apply to the
// records after them.
func (l *proxyList) stream(dec *jsontext.Decoder, around *object, name *listName) error {
	kind := dec.PeekKind()
	made, strays := l.made, l.strays
	if kind == '[' && name.isWalked([]byte("[]")) {
		around.hasList = true
		err := l.group(around, name, func() error { return l.list(dec, around, name) })
		return cmp.Or(err, l.keyed(around, name, made, strays))
	}
	l.in.trying = kind == '{'
	value, err := dec.ReadValue()
	l.in.trying = false
	switch {
	case errors.Is(err, errLongValue) && !name.isWalked([]byte("{}")):
		return dec.SkipValue()
	case errors.Is(err, errLongValue):
		err := l.group(around, name, func() error { return l.long(dec, around, name) })
		return cmp.Or(err, l.keyed(around, name, made, strays))
	case err != nil:
		return err
	case kind != '[' && name.isWalked(value):
		around.hasList = around.hasList || name.group
		l.whole = value
		if kind == '{' && name.field == fieldOrder && len(value) <= maxAround {
			if err := l.order(around, name, slices.Clone(value)); err != nil {
				return l.here(dec, len(value), err)
			}
		}
		err := l.group(around, name, func() error { return l.read(value, around, name, false, nil) })
		return l.here(dec, len(value), cmp.Or(err, l.keyed(around, name, made, strays)))
	}
	if name.hides(value) {
		return l.here(dec, len(value), errBarred)
	}
	if !name.means(value) || name.field == fieldNone || len(value) > maxAround || len(around.members) > 4*int(fieldCount) {
		around.texts = around.texts || kind == '"' && !name.barred && !name.person && holdsAddress(textOf(value))
		return nil
	}
	*around.room() = member{name, name.field, slices.Clone(value)}
	if !around.add() {
		return l.here(dec, len(value), fmt.Errorf("%q appears twice", name.known()))
	}
	return nil
}

// keyed notes the result of a member that may be one of many, each under its id.
func (l *proxyList) keyed(around *object, name *listName, made, strays int) error {
	if !name.digits {
		return nil
	}
	return around.keyed.note(&l.proxyDecoder, made, strays)
}

// maxAround is the most that is kept of a value around the lists, in bytes.
const maxAround = 64 << 10

func (l *proxyList) list(dec *jsontext.Decoder, around *object, name *listName) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	var t tally
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		l.whole = value
		if err := l.read(value, around, name, true, &t); err != nil {
			return l.here(dec, len(value), err)
		}
	}
	_, err := dec.ReadToken()
	return err
}

// long reads the records in an object that is too long to be held: an envelope, a group
// or a page.
func (l *proxyList) long(dec *jsontext.Decoder, around *object, name *listName) error {
	if l.depth++; l.depth > maxDepth {
		return l.here(dec, 0, errTooDeep)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	inside := around.inside(name, false, nil)
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := l.stream(dec, &inside, l.remembered(name.String())); err != nil {
			return err
		}
	}
	l.depth--
	if _, at := l.address(&inside); isID(inside.value(fieldID)) || isID(inside.value(fieldShortID)) && at.isEndpoint() {
		return errLongElement // it may be a record
	}
	l.spotIn(&inside)
	_, err := dec.ReadToken()
	return err
}

// misplaced is an error with its position in a reply.
type misplaced struct {
	offset int64
	path   string // names and indexes, each after a slash
	err    error
}

func (e *misplaced) Error() string {
	if e.path == "" {
		return fmt.Sprintf("at byte %d: %v", e.offset, e.err)
	}
	return fmt.Sprintf("in %s, at byte %d: %v", shortQuote(e.path), e.offset, e.err)
}

func (e *misplaced) Unwrap() error { return e.err }

// here adds the position in the reply to an error within the last length bytes read.
func (l *proxyList) here(dec *jsontext.Decoder, length int, err error) error {
	if err == nil || errors.Is(err, errStopped) {
		return err
	}
	var e *misplaced
	if !errors.As(err, &e) {
		e = &misplaced{err: err}
	}
	e.offset += dec.InputOffset() - int64(length)
	e.path = pathOf(dec.StackPointer())
	return e
}
