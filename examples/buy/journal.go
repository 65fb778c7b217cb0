package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/youproxy-go/youproxy"
)

// journal is a file that remembers orders: a line before one is sent, a line
// when it is known to be bought, and a line that closes it once its proxies were
// printed, or it is known that nothing was bought.
//
// Each line is on the disk before the next thing happens. So a line that a crash
// has torn is the last, and tells of an order that was not sent yet, or what can
// be found out again.
type journal struct {
	path    string // empty: none is kept
	service string
	open    []*openAttempt // by earlier runs

	size    int64 // of its lines
	torn    int64 // bytes after them
	unended bool  // the last of the lines lacks its newline
}

// openAttempt is an order that is not closed.
type openAttempt struct {
	service  string
	attempt  youproxy.Attempt
	purchase *youproxy.Purchase // nil until it is known to be bought
}

// entry is a line: an order that is about to be sent, was bought, or is closed.
type entry struct {
	Service string            `json:"service,omitempty"` // that Attempt is about to be sent to
	Attempt *youproxy.Attempt `json:"attempt,omitempty"`

	Bought      string               `json:"bought,omitempty"` // the id of an attempt
	OrderNumber youproxy.OrderNumber `json:"orderNumber,omitempty"`
	OrderID     youproxy.OrderID     `json:"orderId,omitempty"`

	Closed  string `json:"closed,omitempty"` // the id of an attempt
	Verdict string `json:"verdict,omitempty"`
}

// openJournal reads the file at path, if there is one. It changes nothing.
func openJournal(path, service string) (*journal, error) {
	j := &journal{path: path, service: service}
	if path == "" {
		return j, nil
	}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the journal cannot be read: %w; nothing was bought", err)
	}
	lines := content[:bytes.LastIndexByte(content, '\n')+1]
	if json.Valid(content[len(lines):]) { // nothing but the newline is missing
		lines, j.unended = content, true
	}
	j.size, j.torn = int64(len(lines)), int64(len(content)-len(lines))
	number := 0
	for line := range bytes.Lines(lines) {
		number++
		if err := j.read(line); err != nil {
			return nil, fmt.Errorf("line %d of the journal %s cannot be taken: %w; nothing was bought: "+
				"look at the account, and mend the line", number, path, err)
		}
	}
	for _, o := range j.open {
		if o.service != service {
			return nil, fmt.Errorf("the journal %s holds an open order to %q, and this is %q; nothing was bought: "+
				"take a journal for each account", path, o.service, service)
		}
	}
	return j, nil
}

func (j *journal) read(line []byte) error {
	var e entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	at := func(id string) int {
		return slices.IndexFunc(j.open, func(o *openAttempt) bool { return o.attempt.ID == id })
	}
	switch {
	case e.Attempt != nil:
		if e.Attempt.ID == "" || at(e.Attempt.ID) >= 0 || e.Attempt.Op != "POST /order" {
			return errors.New("it is not an order of its own")
		}
		j.open = append(j.open, &openAttempt{service: e.Service, attempt: *e.Attempt})
		return nil
	case e.Bought != "":
		i := at(e.Bought)
		if i < 0 || e.OrderNumber == "" && e.OrderID == "" {
			return errors.New("it is not about an open order")
		}
		o := j.open[i]
		o.purchase = &youproxy.Purchase{OrderID: e.OrderID, Attempt: o.attempt}
		if e.OrderNumber != "" {
			o.purchase.Order = &youproxy.Order{Number: e.OrderNumber, ProxyType: o.attempt.ProxyType}
		}
		return nil
	case e.Closed != "":
		i := at(e.Closed)
		if i < 0 {
			return errors.New("it is not about an open order")
		}
		j.open = slices.Delete(j.open, i, i+1)
		return nil
	}
	return errors.New("it is not of this program")
}

// record writes down an order that is about to be sent.
func (j *journal) record(a youproxy.Attempt) error {
	return j.append(&entry{Service: j.service, Attempt: &a})
}

// bought writes down that an attempt has become a purchase.
func (j *journal) bought(p *youproxy.Purchase) error {
	e := &entry{Bought: p.Attempt.ID, OrderID: p.OrderID}
	if p.Order != nil {
		e.OrderNumber = p.Order.Number
	}
	return j.append(e)
}

// close writes down that nothing is left to be done about an attempt.
func (j *journal) close(id string, v youproxy.Verdict) error {
	return j.append(&entry{Closed: id, Verdict: v.String()})
}

// append writes a line and returns when it is on the disk.
func (j *journal) append(e *entry) error {
	if j.path == "" {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := j.write(append(line, '\n')); err != nil {
		return fmt.Errorf("the journal was not written: %w", err)
	}
	return nil
}

func (j *journal) write(line []byte) (err error) {
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() != j.size+j.torn:
		return errors.New(j.path + " was changed meanwhile: it is for one process at a time")
	}
	if j.torn > 0 {
		if err := os.Truncate(j.path, j.size); err != nil {
			return err
		}
		j.torn = 0
	}
	if j.unended {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := file.Write(line); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if j.size == 0 { // the file may be new
		if err := syncDirectory(filepath.Dir(j.path)); err != nil {
			return err
		}
	}
	j.size += int64(len(line))
	j.unended = false
	return nil
}

// syncDirectory makes a new file's name outlast a crash.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such call
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close() //nolint:errcheck // nothing was written through it
	return directory.Sync()
}
