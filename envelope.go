package youproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// envelope is what every reply has in common.
type envelope struct {
	success  bool   // "success" is true
	refused  bool   // "success" is false
	fault    *fault // what "error" holds, unless that is null or absent
	balance  amount
	currency text // of the balance and of a price
}

// money gives an amount of the reply in its currency.
func (e *envelope) money(a amount) Money {
	return Money{Amount: a.value, Currency: string(e.currency)}
}

// fault is the service's reason for a refusal, or a warning.
type fault struct {
	Code    number `json:"code"`
	Message text   `json:"message"`
}

// mustCarry is a reply that is not one without certain members.
type mustCarry interface {
	// missing names the member that is not there, or nothing.
	missing(e *envelope) string
}

var errTrailing = errors.New("the reply goes on after its end")

// readEnvelope reads a whole reply: what all replies have in common, and into
// reply, a pointer to a struct, the members that its JSON tags name. Other
// members are passed over without being held. An error means that the reply is
// not one complete JSON object, or gives twice what may be given once; what was
// read until then stays in the envelope.
func readEnvelope(dec *jsontext.Decoder, reply any) (*envelope, error) {
	e := new(envelope)
	switch token, err := dec.ReadToken(); {
	case err != nil:
		return e, err
	case token.Kind() != '{':
		return e, errors.New("the reply is not a JSON object")
	}
	var room [16]string
	seen := room[:0]
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return e, err
		}
		name := token.String()
		known, err := e.readMember(dec, name, reply)
		if err != nil {
			return e, err
		}
		if !known {
			continue
		}
		if slices.Contains(seen, name) {
			return e, fmt.Errorf("the reply gives %q twice", name)
		}
		seen = append(seen, name)
	}
	if _, err := dec.ReadToken(); err != nil {
		return e, err
	}
	switch _, err := dec.ReadToken(); {
	case err == nil:
		return e, errTrailing
	case errors.Is(err, io.EOF):
		return e, nil
	default:
		return e, fmt.Errorf("%w: %w", errTrailing, err)
	}
}

// readMember reads one member of a reply and reports whether it is a known one.
func (e *envelope) readMember(dec *jsontext.Decoder, name string, reply any) (known bool, err error) {
	switch name {
	case "success":
		token, err := dec.ReadToken()
		if err != nil {
			return true, err
		}
		switch token.Kind() {
		case 't':
			e.success = true
		case 'f':
			e.refused = true
		default:
			return true, errors.New(`"success" in the reply is neither true nor false`)
		}
		return true, nil
	case "error":
		e.fault, err = readFault(dec)
		return true, err
	case "balance":
		return true, e.balance.UnmarshalJSONFrom(dec)
	case "currency", "currencyCode":
		return true, e.currency.UnmarshalJSONFrom(dec)
	}
	if strings.EqualFold(name, "success") || strings.EqualFold(name, "error") {
		return true, fmt.Errorf("the reply has %q where it should be in lower case", name)
	}
	switch field := memberOf(reply, name).(type) {
	case nil:
		return false, dec.SkipValue()
	case json.UnmarshalerFrom:
		return true, field.UnmarshalJSONFrom(dec)
	default:
		return true, json.UnmarshalDecode(dec, field)
	}
}

// memberOf gives a pointer to the field of the struct that reply points to whose
// JSON tag is name, or nil.
func memberOf(reply any, name string) any {
	if reply == nil {
		return nil
	}
	v := reflect.ValueOf(reply).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == name {
			return v.Field(i).Addr().Interface()
		}
	}
	return nil
}

// readFault reads an error of the envelope. One in an odd form is kept as far as
// it can be read, for it is a refusal all the same.
func readFault(dec *jsontext.Decoder) (*fault, error) {
	switch dec.PeekKind() {
	case 'n':
		return nil, dec.SkipValue()
	case '{':
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		var f fault
		return &f, json.Unmarshal(raw, &f, jsontext.AllowInvalidUTF8(true))
	default:
		var f fault
		return &f, f.Message.UnmarshalJSONFrom(dec)
	}
}

// text is a JSON string, or a number as it is written; anything else is empty.
type text string

func (t *text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = ""
	switch dec.PeekKind() {
	case '"', '0':
		token, err := dec.ReadToken()
		if err == nil {
			*t = text(token.String())
		}
		return err
	}
	return dec.SkipValue()
}

// number is a whole JSON number, in quotes or not; anything else is 0.
type number int

func (n *number) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var t text
	err := t.UnmarshalJSONFrom(dec)
	i, convErr := strconv.Atoi(strings.TrimSpace(string(t)))
	if convErr != nil {
		i = 0
	}
	*n = number(i)
	return err
}

// amount is an exact JSON number, in quotes or not; anything else is not given.
type amount struct {
	value decimal.Decimal
	given bool
}

func (a *amount) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var t text
	err := t.UnmarshalJSONFrom(dec)
	value, convErr := parseAmount(strings.TrimSpace(string(t)))
	*a = amount{value: value, given: convErr == nil}
	return err
}

// The bounds of what is read of a reply.
const (
	defaultMaxReply = 16 << 20 // in all
	maxErrorPage    = 1 << 20  // of a reply with an HTTP status other than 2xx
	maxReplyValue   = 1 << 20  // of a single value, as that is held as a whole
)

// replyReader bounds what is read of a reply's body, and remembers how it ended.
type replyReader struct {
	body      io.Reader
	limit     int64 // in all
	lookahead int64 // past the last value read
	dec       *jsontext.Decoder
	read      int64
	head      [512]byte // the beginning, for error texts
	err       error     // why reading ended early; nil at the end of the body
	tooLarge  bool
}

func newReplyReader(body io.Reader, limit, lookahead int64) *replyReader {
	r := &replyReader{body: body, limit: limit, lookahead: lookahead}
	r.dec = jsontext.NewDecoder(r,
		jsontext.AllowInvalidUTF8(true),    // an odd message must not hide a refusal
		jsontext.AllowDuplicateNames(true)) // names are not remembered: readEnvelope looks for repeats that matter
	return r
}

func (r *replyReader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.tooLarge, r.dec != nil && r.read-r.dec.InputOffset() > r.lookahead:
		r.tooLarge = true
		return 0, ErrReplyTooLarge
	}
	// One byte more than allowed is asked for, so that a body of just that size
	// can end.
	p = p[:min(int64(len(p)), r.limit-r.read+1)]
	n, err := r.body.Read(p)
	if r.read < int64(len(r.head)) {
		copy(r.head[r.read:], p[:n])
	}
	r.read += int64(n)
	if r.read > r.limit {
		r.tooLarge = true
		return 0, ErrReplyTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// drain reads the rest of the body, so that the connection can serve the next
// call and a reply that is too large is known as such.
func (r *replyReader) drain() {
	r.dec = nil // nothing is held from here on
	if !r.tooLarge {
		_, _ = io.Copy(io.Discard, r)
	}
}

// excerpt gives the beginning of a reply that is no JSON. Of JSON nothing is
// shown, for it may hold passwords.
func (r *replyReader) excerpt() string {
	head := bytes.TrimSpace(r.head[:min(r.read, int64(len(r.head)))])
	if len(head) == 0 || head[0] == '{' || head[0] == '[' {
		return ""
	}
	return string(head)
}
