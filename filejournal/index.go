package filejournal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/youproxy-go/youproxy"
)

const (
	maxLine  = 4 << 20  // bytes of a line that is read: somebody may have added blanks
	tailSize = 16 << 10 // bytes before the end that show whether the file was replaced
)

// index is where the entries are in the file.
type index struct {
	info    os.FileInfo
	size    int64    // of the whole lines
	lines   int      // how many these are
	tail    []byte   // their last bytes
	records []record // in the order in which they were first recorded
	byID    map[string]int
}

// record is what the index keeps of an entry.
type record struct {
	offset    int64
	length    int
	key       string
	open      bool
	ordered   bool // the id of its order is known
	settledAt time.Time
	before    int // bytes of the line, roughly, for what the account held before
}

func (r *record) selected(q youproxy.EntryQuery) bool {
	return r.open || q.Key != "" && r.key == q.Key || !q.Since.IsZero() && !r.settledAt.Before(q.Since)
}

// read returns the line without its end.
func (r *record) read(f *os.File) ([]byte, error) {
	line := make([]byte, r.length)
	if _, err := f.ReadAt(line, r.offset); err != nil {
		return nil, fmt.Errorf("filejournal: %s cannot be read: check the disk, or whether somebody changed the file: %w", f.Name(), err)
	}
	return line, nil
}

// refresh reads what was appended, or the whole file if it was replaced. After an error it
// starts anew.
func (x *index) refresh(f *os.File) (replaced bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("filejournal: %s cannot be read: check the disk: %w", f.Name(), err)
	}
	if x.info == nil || !os.SameFile(x.info, info) || !x.continues(f) {
		*x, replaced = index{info: info, byID: make(map[string]int)}, true
	}
	if err := x.scan(f, info.Size()); err != nil {
		*x = index{}
		return replaced, err
	}
	return replaced, nil
}

// continues reports whether the file still holds what was read of it last.
func (x *index) continues(f *os.File) bool {
	tail := make([]byte, len(x.tail))
	_, err := f.ReadAt(tail, x.size-int64(len(tail)))
	return err == nil && bytes.Equal(tail, x.tail)
}

// scan reads the whole lines from those that were read up to size.
func (x *index) scan(f *os.File, size int64) error {
	buffer := make([]byte, min(size-x.size, maxLine))
	for x.size < size {
		chunk := buffer[:min(size-x.size, maxLine)]
		n, err := f.ReadAt(chunk, x.size)
		if err != nil && !errors.Is(err, io.EOF) { // at the end a torn line may have been removed
			return fmt.Errorf("filejournal: %s cannot be read: check the disk: %w", f.Name(), err)
		}
		whole := chunk[:bytes.LastIndexByte(chunk[:n], '\n')+1]
		switch {
		case len(whole) > 0:
			err = x.add(whole)
		case n == maxLine:
			err = fmt.Errorf("it is longer than %d bytes", maxLine)
		case isTorn(chunk[:n]):
			return nil
		default:
			err = errors.New("it is not the beginning of an entry, and the file may not be a journal")
		}
		switch {
		case errors.Is(err, errNewer):
			return fmt.Errorf("filejournal: %s, line %d: %w", f.Name(), x.lines+1, err)
		case err != nil:
			return fmt.Errorf("filejournal: %s, line %d: %w: correct or remove that line by hand while no program uses the file", f.Name(), x.lines+1, err)
		}
	}
	return nil
}

// isTorn reports whether the line may be the beginning of an entry. Anything else may be
// a file that is not a journal, and must not be cut off.
func isTorn(line []byte) bool {
	const start = `{"attempt":{"`
	_, err := decode(line)
	return err == nil || bytes.HasPrefix(line, []byte(start[:min(len(start), len(line))])) || len(bytes.Trim(line, "\x00")) == 0
}

// add adds the next lines.
func (x *index) add(whole []byte) error {
	for line := range bytes.Lines(whole) {
		e, err := decode(line)
		if err != nil {
			return err
		}
		r := record{
			offset: x.size, length: len(line) - 1, key: e.Attempt.Key, settledAt: e.SettledAt,
			open: e.State == youproxy.EntryOpen, ordered: e.OrderID != "",
		}
		for _, id := range e.Attempt.Before.Orders {
			r.before += len(`"",`) + len(id)
		}
		for id := range e.Attempt.Before.Ends {
			r.before += len(`"":"2026-03-01T12:00:00Z",`) + len(id)
		}
		if i, ok := x.byID[e.Attempt.ID]; ok {
			x.records[i] = r
		} else {
			x.byID[e.Attempt.ID] = len(x.records)
			x.records = append(x.records, r)
		}
		x.size += int64(len(line))
		x.lines++
	}
	x.tail = append(x.tail, whole[max(0, len(whole)-tailSize):]...)
	x.tail = x.tail[max(0, len(x.tail)-tailSize):]
	return nil
}

var errNewer = errors.New("update this program, or correct the line if it was changed by hand")

// decode reads a line. Its errors do not quote the line, which may be anything.
func decode(line []byte) (youproxy.Entry, error) {
	var e youproxy.Entry
	if err := json.Unmarshal(line, &e, json.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true)); err != nil {
		at := int64(0)
		var syntax *jsontext.SyntacticError
		var semantic *json.SemanticError
		switch {
		case errors.As(err, &syntax):
			at = syntax.ByteOffset
		case errors.As(err, &semantic):
			at = semantic.ByteOffset
		}
		return e, fmt.Errorf("it is not an entry in JSON from byte %d on", at)
	}
	switch {
	case e.Attempt.ID == "":
		return e, errors.New("the entry's attempt has no id")
	case e.Attempt.Version != 1 && e.Attempt.Version != 2:
		return e, fmt.Errorf("the entry's attempt has version %d, and this program reads 1 and 2: %w", e.Attempt.Version, errNewer)
	}
	switch e.State {
	case youproxy.EntryOpen, youproxy.EntryExecuted, youproxy.EntryNotExecuted, youproxy.EntryDismissed:
		return e, nil
	}
	return e, fmt.Errorf("this program does not know the entry's state: %w", errNewer)
}
