package youproxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// envelope is what every reply has in common.
type envelope struct {
	success  bool  // "success" is true
	refused  bool  // "success" is false
	fault    fault // what "error" holds
	faults   fault // what "errors" holds
	balance  amount
	currency text      // of the balance and of a price
	odd      error     // makes a success invalid, but not a refusal
	aged     bool      // it comes from a cache
	date     time.Time // the service's clock; only of a list of proxies
	claims   bool      // it has "success": true somewhere, even if it is malformed

	reply any // receives the members that the envelope does not know
}

// money returns an amount of the reply in its currency, or the zero Money if the reply
// has no amount.
func (e *envelope) money(a amount) Money {
	if !a.given {
		return Money{}
	}
	return Money{Amount: a.value, Currency: string(e.currency)}
}

// checked is a reply that must contain certain members.
type checked interface {
	// problem returns what is wrong with the reply, beginning with the name of a member
	// in quotes, or "".
	problem(e *envelope) string
}

// The ends of a problem.
const (
	isMissing = " is missing or cannot be read"
	isAnother = " is not what was asked for"
)

// memberReader is a reply that reads all members which the envelope does not know.
type memberReader interface {
	readMember(e *envelope, name string, dec *jsontext.Decoder) error
	reset() // forgets what was read
}

// moreReader is a reply that reads more members than its JSON tags name.
type moreReader interface {
	readMore(name string, dec *jsontext.Decoder) error
}

// rawReply receives a whole reply as it came.
type rawReply struct {
	status int
	data   []byte
}

// forget resets what an earlier attempt read into a reply.
func forget(reply any) {
	switch r := reply.(type) {
	case nil:
	case memberReader:
		r.reset()
	default:
		v := reflect.ValueOf(reply).Elem()
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				v.Field(i).SetZero()
			}
		}
	}
}

// The bounds of what is read of a reply.
const (
	defaultMaxReply = 16 << 20 // in all
	maxErrorPage    = 1 << 20  // of a reply with an HTTP status other than 2xx
	firstRead       = 64 << 10 // the most that is allocated because of a Content-Length
)

// brokenReply is the error of a reply that could not be read to its end.
type brokenReply struct{ error }

// read reads a reply: a list while its proxies are yielded, any other reply as a whole.
func (c *core) read(s *sending, resp *http.Response, reply any) (*envelope, error) {
	limit := c.config.maxReply
	if limit == 0 {
		limit = defaultMaxReply
	}
	body := io.Reader(resp.Body)
	if list, ok := reply.(*proxyList); ok {
		reply = nil // what is not a list yields nothing
		if resp.StatusCode/100 == 2 {
			in := newListReader(s, body, limit)
			if in.isObject() {
				return in.read(list)
			}
			body = in
		}
	}
	if resp.StatusCode/100 != 2 {
		limit = min(limit, maxErrorPage)
	}
	var came struct {
		data []byte
		err  error
	}
	var data []byte
	_, err := await(s, func() (struct{}, error) {
		came.data, came.err = readWhole(body, resp.ContentLength, limit)
		s.whole.Store(true)
		s.wait()
		return struct{}{}, resp.Body.Close()
	})
	if s.whole.Load() { // even if the body could not be closed
		data, err = came.data, came.err
	}
	if err != nil {
		if !errors.Is(err, ErrReplyTooLarge) {
			err = &brokenReply{err}
		}
		return &envelope{claims: data == nil || saysSuccess.Match(data)}, err
	}
	if raw, ok := reply.(*rawReply); ok {
		*raw, reply = rawReply{status: resp.StatusCode, data: data}, nil
	}
	e, err := c.parse(data, reply)
	e.claims = e.success || err != nil && saysSuccess.Match(data)
	return e, err
}

// saysSuccess finds what a rejection must not contain.
var saysSuccess = regexp.MustCompile(`(?i)"success"\s*:\s*true`)

// readWhole reads a body of at most limit bytes. With an error it returns what was read
// until then.
func readWhole(body io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, ErrReplyTooLarge
	}
	if length <= 0 {
		length = bytes.MinRead
	}
	data := make([]byte, 0, min(length, firstRead)+1)
	for idle := 0; ; {
		if len(data) == cap(data) {
			data = slices.Grow(data, int(min(int64(len(data)), limit-int64(len(data))+1)))
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+min(max(n, 0), cap(data)-len(data))] // whatever a reader says
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case int64(len(data)) > limit:
			return data, ErrReplyTooLarge
		case idle > 100:
			return data, io.ErrNoProgress
		case errors.Is(err, io.EOF):
			return bytes.TrimPrefix(data, byteOrderMark), nil
		case err != nil:
			return data, err
		}
	}
}

var byteOrderMark = []byte("\ufeff")

// lenient is how replies are read: an odd message must not hide a refusal, and the
// envelope decides which names may not be repeated.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// parse reads a whole reply: the envelope, and into reply, a pointer to a struct, the
// members that its JSON tags name. Other members are skipped. An error means that the
// reply is not one complete JSON object, or repeats a member that must not be repeated;
// what was read before it stays in the envelope.
func (c *core) parse(data []byte, reply any) (*envelope, error) {
	e := &envelope{reply: reply}
	err := json.Unmarshal(data, e, lenient)
	switch {
	case err == nil && e.refused:
		return e, nil
	case err == nil:
		return e, e.odd
	case len(bytes.TrimSpace(data)) == 0:
		return e, errors.New("the reply is empty")
	}
	if title := pageTitle(data); title != "" {
		return e, fmt.Errorf("the reply is a page titled %s", shortQuote(c.redact(title)))
	}
	return e, malformed(err)
}

// malformed returns what is wrong with a reply, and where, without quoting it.
func malformed(err error) error {
	var odd oddity
	var at *misplaced
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, ErrReplyTooLarge), errors.Is(err, errStopped), errors.Is(err, errMisread):
		return err
	case errors.As(err, &at):
		return fmt.Errorf("the reply is malformed: %w", at)
	case errors.As(err, &odd):
		return fmt.Errorf("the reply is malformed: %w", odd)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the reply is malformed: it ends too early: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &syntax):
		return fmt.Errorf("the reply is malformed: %w", &misplaced{syntax.ByteOffset, pathOf(syntax.JSONPointer), oddity("it is not JSON there")})
	}
	return errors.New("the reply is malformed")
}

// oddity is something that this package finds wrong with a reply.
type oddity string

func (o oddity) Error() string { return string(o) }

// title matches the title of an HTML page.
var title = regexp.MustCompile(`(?is)^\s*<(?:!doctype html|html|head|title)\b.*?<title[^>]*>([^<]*)`)

// pageTitle returns the title of a reply that is an HTML page. Beside the service's
// messages it is all that is ever quoted of a reply.
func pageTitle(data []byte) string {
	found := title.FindSubmatch(data[:min(len(data), firstRead)])
	if found == nil {
		return ""
	}
	return strings.Join(strings.Fields(html.UnescapeString(string(found[1]))), " ")
}

// UnmarshalJSONFrom reads a reply.
func (e *envelope) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch token, err := dec.ReadToken(); {
	case err != nil:
		return err
	case token.Kind() != '{':
		return oddity("it is not a JSON object")
	}
	var room, fields [16]string
	seen, tags := room[:0], e.tags(fields[:0])
	for dec.PeekKind() != '}' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		name := raw[1 : len(raw)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name, _ = jsontext.AppendUnquote(nil, raw)
		}
		known, field := e.member(name, tags)
		switch {
		case slices.Contains(seen, known):
			return oddity(fmt.Sprintf("it has %q twice", known))
		case field != nil:
			seen = append(seen, known)
			err = e.tolerate(field.UnmarshalJSONFrom(dec))
		case known != "":
			return oddity(fmt.Sprintf("it has %q in other letter case", known))
		default:
			switch reply := e.reply.(type) {
			case memberReader:
				err = e.tolerate(reply.readMember(e, string(name), dec))
			case moreReader:
				err = e.tolerate(reply.readMore(string(name), dec))
			default:
				err = dec.SkipValue()
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// member returns the field that a member of a reply belongs to, or nil. known is set if
// the name belongs, or seems to belong, to a field. Unknown names are not kept, as a
// reply may have many.
func (e *envelope) member(name []byte, tags []string) (known string, field json.UnmarshalerFrom) {
	switch string(name) {
	case "success":
		return "success", (*successField)(e)
	case "error":
		return "error", &e.fault
	case "errors":
		return "errors", &e.faults
	case "balance":
		return "balance", &e.balance
	case "currency":
		return "currency", (*currencyField)(e)
	case "currencyCode":
		return "currencyCode", (*currencyField)(e)
	}
	for _, known := range []string{"success", "error"} {
		if len(name) == len(known) && strings.EqualFold(string(name), known) {
			return known, nil
		}
	}
	for i, tag := range tags {
		if tag != "" && tag == string(name) {
			field, _ = reflect.ValueOf(e.reply).Elem().Field(i).Addr().Interface().(json.UnmarshalerFrom)
			return tag, field
		}
	}
	return "", nil
}

// tags appends the names of the members that the fields of the reply take. The tags of
// replies contain only names.
func (e *envelope) tags(tags []string) []string {
	if _, ok := e.reply.(memberReader); ok || e.reply == nil {
		return nil
	}
	t := reflect.TypeOf(e.reply).Elem()
	for i := range t.NumField() {
		tags = append(tags, strings.TrimSuffix(strings.TrimPrefix(string(t.Field(i).Tag), `json:"`), `"`))
	}
	return tags
}

// tolerate keeps an oddForm and returns any other error.
func (e *envelope) tolerate(err error) error {
	if form, ok := err.(*oddForm); ok { //nolint:errorlint // it is never wrapped
		e.odd = cmp.Or[error](e.odd, form)
		return nil
	}
	return err
}

// oddForm is the error of a member that was read to its end. It makes a success invalid,
// but not a refusal.
type oddForm struct{ oddity }

// successField reads the "success" of an envelope.
type successField envelope

func (e *successField) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	e.success, e.refused = token.Kind() == 't', token.Kind() == 'f'
	if !e.success && !e.refused {
		return oddity(`"success" is neither true nor false`)
	}
	return nil
}

const longestCurrency = 32

// currencyField reads the currency, which a reply may name twice.
type currencyField envelope

func (e *currencyField) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var t text
	err := t.UnmarshalJSONFrom(dec)
	name := strings.TrimSpace(string(t))
	if len(name) > longestCurrency || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		name = "" // not a currency
	}
	e.currency = cmp.Or(e.currency, text(name))
	return err
}

// fault is the service's reason for a refusal, or a warning. It is read in any form: an
// object, a message alone, or a list of either.
type fault struct {
	given   bool // it is present and not null
	hollow  bool // it is present but empty
	code    ErrorCode
	message string
}

func (f *fault) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*f = fault{given: raw.Kind() != 'n'}
	if !f.given {
		return nil
	}
	all := list[jsontext.Value]{raw}
	if raw.Kind() == '[' {
		err = json.Unmarshal(raw, &all, lenient)
	}
	f.hollow = true
	for _, one := range all {
		if err == nil {
			err = f.add(one)
		}
	}
	return err
}

// stands reports whether there is a reason rather than an empty place for one.
func (f *fault) stands() bool { return f.given && !f.hollow }

// add adds a reason.
func (f *fault) add(raw jsontext.Value) error {
	one := fault{hollow: raw.Kind() == 'n' || raw.Kind() == 'f'}
	switch raw.Kind() {
	case '{':
		var object struct {
			Code    number `json:"code"`
			Message text   `json:"message"`
		}
		if err := json.Unmarshal(raw, &object, jsontext.AllowInvalidUTF8(true)); err != nil {
			return err
		}
		one.code, one.message = ErrorCode(object.Code), string(object.Message)
		one.hollow = len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
	case '"', '0':
		one.message = textOf(raw)
		one.hollow = one.message == ""
	}
	f.join(&one)
	return nil
}

// join adds another reason. The first code counts, but [ErrServiceFault] takes
// precedence, as it leaves the outcome open.
func (f *fault) join(other *fault) {
	f.hollow = f.hollow && other.hollow
	if f.code = cmp.Or(f.code, other.code); other.code == ErrServiceFault {
		f.code = other.code
	}
	message := other.message
	if f.message != "" && message != "" {
		message = "; " + message
	}
	room := max(longestMessage-len(f.message), 0)
	f.message += strings.ToValidUTF8(message[:min(len(message), room)], "")
}

// longestMessage is the most that is kept of a message, in bytes.
const longestMessage = 16 << 10

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
			odd = &oddForm{oddity(fmt.Sprintf("entry %d of a list is in an unknown form", i))}
		}
		*l = append(*l, item)
	}
	if _, err := dec.ReadToken(); err != nil || odd == nil {
		return err
	}
	return odd
}

// isHollow reports whether a JSON value is null or empty.
func isHollow(v []byte) bool {
	switch v[0] {
	case 'n':
		return true
	case '"':
		return len(v) == 2
	case '{', '[':
		return v[nextValue(v, 1)] == v[0]+2
	}
	return false
}

func nested(value []byte) bool { return value[0] == '{' || value[0] == '[' }

// isText reports whether a JSON value is a string or a number.
func isText(v []byte) bool {
	return len(v) > 0 && (v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// unquote returns a JSON string without quotes and escapes, a number as it is written,
// and nil for any other value.
func unquote(v []byte) []byte {
	switch {
	case !isText(v):
		return nil
	case v[0] != '"':
		return v
	}
	for _, c := range v {
		if c == '\\' || c >= 0x80 {
			text, _ := jsontext.AppendUnquote(nil, v)
			return text
		}
	}
	return v[1 : len(v)-1]
}

// textOf is unquote as a string.
func textOf(v []byte) string { return string(unquote(v)) }
