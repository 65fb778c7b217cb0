package youproxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// envelope is what every reply has in common.
type envelope struct {
	success bool   // "success" is true
	refused bool   // "success" is false
	fault   *fault // what "error" holds, unless that is null or absent
	balance amount

	currency     text // of the balance and of a price
	currencyCode text // the same, as the balance's own call names it
}

// money gives an amount of the reply in its currency.
func (e *envelope) money(a amount) Money {
	return Money{Amount: a.value, Currency: string(cmp.Or(e.currency, e.currencyCode))}
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

// memberReader is a reply that reads the members which its envelope does not.
type memberReader interface {
	readMember(e *envelope, name string, dec *jsontext.Decoder) error
	reset() // forgets what was read
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
	others, _ := reply.(memberReader)
	var odd *oddForm
	for dec.PeekKind() != '}' {
		raw, err := dec.ReadValue()
		if err != nil {
			return e, err
		}
		name, field, err := e.member(raw, reply)
		switch {
		case err != nil:
			return e, err
		case name == "" && others != nil:
			err = others.readMember(e, textOf(raw), dec)
		case name == "":
			err = dec.SkipValue()
		case slices.Contains(seen, name):
			return e, fmt.Errorf("the reply gives %q twice", name)
		default:
			seen = append(seen, name)
			err = readField(dec, field)
		}
		if form, ok := err.(*oddForm); ok { //nolint:errorlint // it is never wrapped
			odd, err = cmp.Or(odd, form), nil
		}
		if err != nil {
			return e, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return e, err
	}
	switch _, err := dec.ReadToken(); {
	case err == nil:
		return e, errTrailing
	case errors.Is(err, io.EOF) && odd != nil && !e.refused:
		return e, odd
	case errors.Is(err, io.EOF):
		return e, nil
	default:
		return e, fmt.Errorf("%w: %w", errTrailing, err)
	}
}

// oddForm is what is wrong with a member that was read to its end. It spoils a
// success, but not a refusal.
type oddForm struct{ error }

func (e *oddForm) Unwrap() error { return e.error }

func readField(dec *jsontext.Decoder, field any) error {
	if u, ok := field.(json.UnmarshalerFrom); ok {
		return u.UnmarshalJSONFrom(dec)
	}
	return json.UnmarshalDecode(dec, field)
}

// member finds where the member of a reply with this name, still in quotes,
// belongs. The name is empty where it belongs nowhere. Nothing is held of such
// a name, for a reply may have many.
func (e *envelope) member(raw jsontext.Value, reply any) (name string, field any, err error) {
	quoted := raw[1 : len(raw)-1]
	if bytes.IndexByte(quoted, '\\') >= 0 {
		quoted, _ = jsontext.AppendUnquote(nil, raw)
	}
	switch string(quoted) {
	case "success":
		return "success", (*successField)(e), nil
	case "error":
		return "error", (*errorField)(e), nil
	case "balance":
		return "balance", &e.balance, nil
	case "currency":
		return "currency", &e.currency, nil
	case "currencyCode":
		return "currencyCode", &e.currencyCode, nil
	}
	if bytes.EqualFold(quoted, []byte("success")) || bytes.EqualFold(quoted, []byte("error")) {
		return "", nil, fmt.Errorf("the reply has %q where it should be in lower case", quoted)
	}
	if _, ok := reply.(memberReader); ok || reply == nil {
		return "", nil, nil
	}
	v := reflect.ValueOf(reply).Elem()
	for i := range v.NumField() {
		// The tags of replies are no more than names.
		tag := strings.TrimSuffix(strings.TrimPrefix(string(v.Type().Field(i).Tag), `json:"`), `"`)
		if tag == string(quoted) {
			return tag, v.Field(i).Addr().Interface(), nil
		}
	}
	return "", nil, nil
}

// successField reads the "success" of an envelope.
type successField envelope

func (e *successField) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	switch token.Kind() {
	case 't':
		e.success = true
	case 'f':
		e.refused = true
	default:
		return errors.New(`"success" in the reply is neither true nor false`)
	}
	return nil
}

// errorField reads the "error" of an envelope.
type errorField envelope

func (e *errorField) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	e.fault, err = readFault(dec)
	return err
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
	*n = 0
	digits := strings.TrimSpace(string(t))
	if i, convErr := strconv.Atoi(digits); convErr == nil {
		*n = number(i)
	} else if d, convErr := parseAmount(digits); convErr == nil && d.IsInteger() && d.Abs().LessThan(decimal.New(1, 9)) {
		*n = number(d.IntPart()) // such as 30.0
	}
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

// date is a time as RFC 3339 writes it, in UTC; anything else is the zero time.
type date struct{ time.Time }

func (d *date) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var t text
	err := t.UnmarshalJSONFrom(dec)
	d.Time = parseDate(string(t))
	return err
}

func parseDate(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	t = t.UTC()
	if year := t.Year(); err != nil || year < 0 || year > 9999 { // no more than RFC 3339 can write
		return time.Time{}
	}
	return t
}

// truth is a JSON boolean; anything else is false.
type truth bool

func (t *truth) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = dec.PeekKind() == 't'
	return dec.SkipValue()
}

// texts is a JSON object of strings or numbers; anything else in it is left out,
// and anything but an object is none.
type texts map[string]string

func (t *texts) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = nil
	if dec.PeekKind() != '{' {
		return dec.SkipValue()
	}
	var all map[string]text
	err := json.UnmarshalDecode(dec, &all)
	for name, value := range all {
		if value == "" {
			continue
		}
		if *t == nil {
			*t = make(texts)
		}
		(*t)[name] = string(value)
	}
	return err
}

// list is a JSON array; anything else, null above all, is an empty one.
type list[T any] []T

func (l *list[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	if dec.PeekKind() != '[' {
		return dec.SkipValue()
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	var odd *oddForm
	for i := 0; dec.PeekKind() != ']'; i++ {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var item T
		if err := json.Unmarshal(raw, &item, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err != nil && odd == nil {
			odd = &oddForm{fmt.Errorf("entry %d of a list: %w", i, err)}
		}
		*l = append(*l, item)
	}
	if _, err := dec.ReadToken(); err != nil || odd == nil {
		return err
	}
	return odd
}

// The bounds of what is read of a reply.
const (
	defaultMaxReply = 16 << 20  // in all
	maxErrorPage    = 1 << 20   // of a reply with an HTTP status other than 2xx
	maxReplyValue   = 512 << 10 // of a single value, as that is held as a whole
	maxRecord       = 1 << 20   // of a record of a list that is handed out while it is read
)

// errLongValue tells that a value is longer than the lookahead.
var errLongValue = errors.New("the value is too long to be read as a whole")

// replyReader bounds what is read of a reply's body, and remembers how it ended.
type replyReader struct {
	body      io.Reader
	limit     int64 // in all
	lookahead int64 // past the last value read
	trying    bool  // a value longer than that is only told to be
	dec       *jsontext.Decoder
	whole     *rawReply // takes all that is read, or nil
	pause     *pause    // bounds each wait for more, or nil
	read      int64
	head      [512]byte // the beginning, for error texts
	err       error     // why reading ended early; nil at the end of the body
	tooLarge  bool
}

func newReplyReader(body io.Reader, limit, lookahead int64) *replyReader {
	return &replyReader{body: body, limit: limit, lookahead: lookahead}
}

func newDecoder(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r,
		jsontext.AllowInvalidUTF8(true),    // an odd message must not hide a refusal
		jsontext.AllowDuplicateNames(true)) // names are not remembered: readEnvelope looks for repeats that matter
}

// smallReply is what is read at once where the service tells the length.
const smallReply = 4 << 10

// decoder gives the decoder of the reply. A small reply is read at once, which is
// cheaper than to decode it as it comes.
func (r *replyReader) decoder(length int64) *jsontext.Decoder {
	var source io.Reader = r
	if length > 0 && length <= smallReply {
		data := make([]byte, length+1)
		n, err := io.ReadFull(r, data)
		if err != nil { // the end, as told; another error shows again when the rest is read
			return newDecoder(bytes.NewBuffer(data[:n]))
		}
		source = io.MultiReader(bytes.NewReader(data), r) // a stub told less than it has
	}
	r.dec = newDecoder(source)
	return r.dec
}

func (r *replyReader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.trying:
		room := r.lookahead - (r.read - r.dec.InputOffset())
		if room <= 0 {
			return 0, errLongValue
		}
		p = p[:min(int64(len(p)), room)]
	case r.tooLarge, r.dec != nil && r.read-r.dec.InputOffset() > r.lookahead:
		r.tooLarge = true
		return 0, ErrReplyTooLarge
	}
	if r.pause != nil {
		r.pause.start()
		defer r.pause.stop()
	}
	// One byte more than allowed is asked for, so that a body of just that size
	// can end.
	if room := r.limit - r.read; int64(len(p)) > room {
		p = p[:room+1]
	}
	n, err := r.body.Read(p)
	if r.whole != nil {
		r.whole.data = append(r.whole.data, p[:n]...)
	}
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
	r.dec, r.whole = nil, nil // nothing is held from here on
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
