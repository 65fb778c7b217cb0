package youproxytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// OpenServer returns a new server that keeps its account in the file at path, and creates
// the file if there is none. The changes of earlier runs are made again, at their own
// times. So the account is as if the server had never stopped: everything that was due
// in between has happened, and ids, addresses and passwords are the same.
//
// The file has a line of JSON for each change: a request that was executed, or will be
// ([CommitLate]), and each call of [Server.AddOrder], [Server.SetBalance] and
// [Server.SetPrice]. It does not contain the API key or a password. Options, faults and
// received requests are not kept: use the same options each time. OpenServer
// returns an error if the balance differs from that of the earlier runs, or if the file is
// damaged. An incomplete last line is dropped.
//
// A change that cannot be written does not happen: the request is refused with error
// code 35, and AddOrder, SetBalance and SetPrice panic. Only one server at a time may use
// the file. OpenServer does not check that.
func OpenServer(path string, opts ...Option) (*Server, error) {
	s := NewServer(opts...)
	h, lines, err := openHistory(path)
	if err == nil {
		s.history = h
		err = s.replay(lines)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("youproxytest: the account in %s cannot be used: %w", path, err)
	}
	return s, nil
}

// change is a line of the file.
type change struct {
	At       time.Time      `json:"at"`
	Op       string         `json:"op"`
	Balance  string         `json:"balance"`           // before it
	Body     jsontext.Value `json:"body"`              // of the request, or the argument of the method
	InPart   bool           `json:"inPart,omitzero"`   // only half of an extension was executed
	CommitAt time.Time      `json:"commitAt,omitzero"` // of what is executed later
}

// The changes that are not requests.
const (
	addOrder   = "AddOrder"
	setBalance = "SetBalance"
	setPrice   = "SetPrice"
)

// newPrice is the arguments of [Server.SetPrice].
type newPrice struct {
	ProxyType youproxy.ProxyType `json:"proxyType"`
	Amount    decimal.Decimal    `json:"amount"`
}

// changes reports whether a call may change the account.
func (c *call) changes() bool {
	_, known := endpoints[c.op]
	return known && !c.outside && strings.HasPrefix(c.op, "POST ") && !strings.HasPrefix(c.op, "POST /calculate/")
}

// carryOut answers a call of an endpoint, and records what it changes.
func (s *Server) carryOut(a *account, c *call) (document any, err error) {
	answer := endpoints[c.op].answer
	if !c.changes() {
		return answer(a, c)
	}
	if err := s.history.begin(a, change{Op: c.op, Body: c.body, InPart: c.inPart}); err != nil {
		return nil, &refusal{Code: int(youproxy.ErrServiceFault), Message: err.Error()}
	}
	document, err = answer(a, c)
	s.history.end(err == nil)
	return document, err
}

// keepChange records a change that is about to happen without a request. Its result must
// be called with whether it happened.
func (s *Server) keepChange(a *account, op string, value any) (end func(happened bool)) {
	if s.history == nil {
		return func(bool) {}
	}
	body, err := json.Marshal(value)
	if err == nil {
		err = s.history.begin(a, change{Op: op, Body: body})
	}
	if err != nil {
		panic("youproxytest: " + err.Error())
	}
	return s.history.end
}

// replay makes the changes of earlier runs.
func (s *Server) replay(lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for line := range bytes.Lines(lines) {
		n++
		var c change
		err := json.Unmarshal(line, &c, json.RejectUnknownMembers(true))
		if err == nil {
			err = s.repeat(&c)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

// repeat makes one change, at its time.
func (s *Server) repeat(c *change) error {
	a := s.lookAt(c.At)
	if now := a.balance.String(); now != c.Balance {
		return fmt.Errorf("the balance is %s and was %s: the options or the prices are not those of the earlier runs", now, c.Balance)
	}
	switch c.Op {
	case addOrder:
		var o Order
		if err := json.Unmarshal(c.Body, &o); err != nil {
			return err
		}
		if wrong := a.checkOrder(&o); wrong != "" {
			return errors.New(wrong)
		}
		_, err := a.place(o)
		return err
	case setBalance:
		return json.Unmarshal(c.Body, &a.balance)
	case setPrice:
		var p newPrice
		err := json.Unmarshal(c.Body, &p)
		a.prices[p.ProxyType] = p.Amount
		return err
	}
	again := &call{op: c.Op, body: c.Body, inPart: c.InPart}
	switch {
	case !again.changes():
		return fmt.Errorf("%q is not a change of an account", c.Op)
	case !c.CommitAt.IsZero():
		s.late = append(s.late, lateCall{c.CommitAt, again})
		return nil
	}
	if _, err := endpoints[c.Op].answer(a, again); err != nil {
		return fmt.Errorf("%s is refused and was not: %w", c.Op, err)
	}
	return nil
}

// history is the file of [OpenServer]. The mutex of the server guards it. A nil one
// keeps nothing.
type history struct {
	file *os.File
	size int64 // of the complete lines
	line int   // length of the one that was begun, without its end
}

// openHistory opens a file, and returns its complete lines.
func openHistory(path string) (*history, []byte, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	lines, err := io.ReadAll(file)
	if err == nil {
		lines = lines[:bytes.LastIndexByte(lines, '\n')+1]
		err = file.Truncate(int64(len(lines)))
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return &history{file: file, size: int64(len(lines))}, lines, nil
}

// begin writes the line of a change that is about to happen. There is a blank where its
// end will be, so that end needs no more space, and the line does not count until then.
func (h *history) begin(a *account, c change) error {
	if h == nil {
		return nil
	}
	h.line = 0
	if !c.Body.IsValid() {
		return nil // and so refused
	}
	c.At, c.Balance = a.now.UTC(), a.balance.String()
	line, err := json.Marshal(c)
	if err == nil {
		_, err = h.file.WriteAt(append(line, ' '), h.size)
	}
	if err != nil {
		_ = h.file.Truncate(h.size) // an incomplete line does not count anyway
		return fmt.Errorf("the account cannot be kept: %w", err)
	}
	h.line = len(line)
	return nil
}

// end completes the line, or removes it where nothing happened.
func (h *history) end(happened bool) {
	switch {
	case h == nil || h.line == 0:
		return
	case !happened:
		_ = h.file.Truncate(h.size)
		return
	}
	if _, err := h.file.WriteAt([]byte{'\n'}, h.size+int64(h.line)); err != nil {
		_ = h.file.Close() // so that nothing is kept that builds on what is lost
		return
	}
	h.size += int64(h.line) + 1
}

// close closes the file. Later changes cannot be kept.
func (h *history) close() {
	if h != nil {
		_ = h.file.Close()
	}
}
