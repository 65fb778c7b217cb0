package youproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Proxy is one proxy of the account.
//
// But for the ids, its form in the service's lists is not documented. What a
// list leaves out is zero. A value in an odd form is zero as well, and its text
// is in Extra.
//
// It prints, logs and marshals without its password, its reboot link and the
// values of Extra: [Proxy.URL], [Proxy.Format] and [WriteProxies] give the
// secrets out. Package fmt does not ask it how to print in an unexported field of
// a struct, and behind a pointer under a verb that is none for pointers, such as
// %t: it then shows what Extra holds, though neither password nor link unless the
// service gave it in an odd form.
type Proxy struct {
	ID             IPAddressID // what [ExtendIPsRequest] takes
	OrderID        OrderID     // what [ExtendOrdersRequest] takes
	OrderNumber    OrderNumber
	ProxyType      ProxyType
	Host           string       // an address, or a host name; without a port
	IP             netip.Addr   // Host, where that is an address
	HTTPPort       int          // 0 where it speaks no HTTP
	SOCKS5Port     int          // 0 where it speaks no SOCKS5
	Protocol       Protocol     // of a proxy that speaks only one
	Credentials    *Credentials // nil where it recognises its user by IP
	Country        string
	Start, End     time.Time // in UTC
	AutoExtend     bool
	AutoExtendDays int // how long each automatic extension is
	MobileOperator string
	RotationTime   int    // seconds between changes of address
	RebootURL      Secret // changes the address of a mobile proxy when it is opened

	// Extra is what this package has no field for, by its name in the list, and
	// what it could not read. The values may be shared with other proxies: they
	// must not be changed. They may be secrets.
	Extra Extra
}

// Extra is fields of a [Proxy] by their names. It prints and logs the names
// alone: the values may be secrets.
type Extra map[string]json.RawMessage

// names gives the names in order.
func (e Extra) names() []string { return slices.Sorted(maps.Keys(e)) }

// Format writes the names, whatever the verb.
func (e Extra) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%q", e.names()) }

// LogValue gives slog the names.
func (e Extra) LogValue() slog.Value { return slog.AnyValue(e.names()) }

// Credentials is what a proxy asks its user for.
type Credentials struct {
	Login    string
	Password Secret
}

// ProxyQuery selects proxies. The zero value selects all.
type ProxyQuery struct {
	ProxyType ProxyType
}

// Proxies gives the proxies of the account, while they arrive: a list of any
// length is never held as a whole. The call is made when the iteration begins,
// and each time anew.
//
// The first error ends the iteration. Only a list without one is complete: the
// reply tells whether the call succeeded wherever it likes, so that proxies
// can come before a refusal. Nothing is repeated once a proxy was handed out.
// The time the loop takes between two proxies counts for no timeout, but the
// connection is in use until the loop ends.
//
// A single record may be 1 MiB long, unless [WithMaxReplySize] bounds the whole
// list. So may an order around records; in a longer one, what holds for its
// records must come before them.
func (c *Client) Proxies(ctx context.Context, q ProxyQuery) iter.Seq2[Proxy, error] {
	return func(yield func(Proxy, error) bool) { _ = c.list(ctx, q, yield) }
}

// list yields the proxies of the account, and returns what the reply has beside them.
func (c *Client) list(ctx context.Context, q ProxyQuery, yield func(Proxy, error) bool) *envelope {
	var query *proxyTypeQuery
	if q.ProxyType != "" {
		var err error
		if query, err = forProxyType("ProxyQuery", q.ProxyType); err != nil {
			yield(Proxy{}, err)
			return nil
		}
	}
	list := &proxyList{ctx: ctx, asked: q.ProxyType, yield: yield}
	e, err := c.get(ctx, "GET /ipAddress", query, list)
	if err != nil {
		yield(Proxy{}, err)
	}
	return e
}

// errAged tells that a cache answered, so that the account was not looked at.
var errAged = errors.New("the reply comes from a cache (its Age is above 0)")

// ListProxies gives the proxies of the account: all of them, or an error.
func (c *Client) ListProxies(ctx context.Context, q ProxyQuery) ([]Proxy, error) {
	return collect(c.Proxies(ctx, q))
}

// collect holds a list in pieces until its length is known: to grow one slice
// would copy it many times.
func collect(all iter.Seq2[Proxy, error]) ([]Proxy, error) {
	const longest = 8 << 10
	var pieces [][]Proxy
	piece := make([]Proxy, 0, 16)
	for p, err := range all {
		if err != nil {
			return nil, err
		}
		if len(piece) == cap(piece) {
			pieces = append(pieces, piece)
			piece = make([]Proxy, 0, min(2*cap(piece), longest))
		}
		piece = append(piece, p)
	}
	if pieces == nil {
		return piece, nil
	}
	return slices.Concat(append(pieces, piece)...), nil
}

// opReadProxies is the label of what [ReadProxies] does.
const opReadProxies = "ReadProxies"

// ReadProxies gives the proxies in a reply of the service, such as one that was
// fetched with [Client.Call]. r is read once, as it is in [Client.Proxies], and
// the reply must say success as well.
func ReadProxies(r io.Reader) iter.Seq2[Proxy, error] {
	return func(yield func(Proxy, error) bool) {
		if r == nil {
			yield(Proxy{}, notSent(opReadProxies, errors.New("the reader is nil")))
			return
		}
		c := &core{redact: func(s string) string { return s }}
		ctx := context.Background()
		s := &sending{Context: ctx, native: true} // r ends when it likes
		reply := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(r), ContentLength: -1}
		call := &apiCall{op: opReadProxies, effect: read, reply: &proxyList{ctx: ctx, yield: yield}}
		if err := c.open(ctx, s, reply, call).err; err != nil {
			if e, ok := err.(*CallError); ok { //nolint:errorlint // it is never wrapped
				e.HTTPStatus = 0
			} else if e, ok := err.(*APIError); ok { //nolint:errorlint // the same
				e.HTTPStatus = 0
			}
			yield(Proxy{}, err)
		}
	}
}

// proxyList reads a reply that is an IP list, and hands its proxies out.
type proxyList struct {
	ctx    context.Context
	asked  ProxyType
	yield  func(Proxy, error) bool
	begun  bool // a proxy was handed out
	in     *listReader
	around surroundings // of the member of the reply that is read
	proxyDecoder
}

func (l *proxyList) reset() { l.proxyDecoder = proxyDecoder{yield: l.handOut} }

func (l *proxyList) handOut(p *Proxy) error {
	switch {
	case l.asked == "":
	case p.ProxyType == "":
		p.ProxyType = l.asked
	case !strings.EqualFold(string(p.ProxyType), string(l.asked)):
		return nil // it was not asked for
	}
	if err := contextError(l.ctx, nil); err != nil {
		l.in.err = err
		return err
	}
	l.begun = true
	if !l.yield(*p, nil) {
		return errStopped
	}
	return nil
}

func (l *proxyList) readMember(e *envelope, name string, dec *jsontext.Decoder) error {
	if e.refused || e.fault.stands() || e.faults.stands() {
		return dec.SkipValue()
	}
	l.around = surroundings{}
	at, t := place{}.under([]byte(name))
	if at.inGroup {
		l.around.setType(t)
	}
	return l.next(dec, &l.around, at)
}

// next reads the records in the next value: as a whole where that is short
// enough, and else piece by piece.
func (l *proxyList) next(dec *jsontext.Decoder, s *surroundings, at place) error {
	switch dec.PeekKind() {
	case '[':
		return l.longList(dec, s, at)
	case '{':
		l.in.trying = true
		value, err := dec.ReadValue()
		l.in.trying = false
		switch {
		case errors.Is(err, errLongValue):
			return l.longObject(dec, s, at)
		case err != nil:
			return err
		}
		return l.here(dec, int64(len(value)), l.read(value, s, at))
	}
	return dec.SkipValue()
}

// here tells where in the reply an error is, within the last length bytes read.
func (l *proxyList) here(dec *jsontext.Decoder, length int64, err error) error {
	if err == nil || errors.Is(err, errStopped) {
		return err
	}
	var e *misplaced
	if !errors.As(err, &e) {
		e = &misplaced{err: err}
	}
	e.offset += dec.InputOffset() - length
	e.path = pathOf(dec.StackPointer())
	return e
}

func (l *proxyList) longList(dec *jsontext.Decoder, s *surroundings, at place) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	inside, err := at.deeper(true)
	if err != nil {
		return l.here(dec, 0, err)
	}
	for dec.PeekKind() != ']' {
		if err := l.next(dec, s, inside); err != nil {
			return err
		}
	}
	_, err = dec.ReadToken()
	return err
}

// maxAround bounds what is remembered of an object that is too long to be read
// as a whole.
const maxAround = 64 << 10

// longObject reads the records in an object that is too long to be one.
func (l *proxyList) longObject(dec *jsontext.Decoder, s *surroundings, at place) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	inside, err := at.deeper(false)
	if err != nil {
		return l.here(dec, 0, err)
	}
	outer := l.lacking
	l.lacking = [fieldCount]bool{}
	around, said, remembered, made := within(s), members{}, 0, l.made
	addressed := false
	for dec.PeekKind() != '}' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		m := member{name: []byte(textOf(raw))}
		f, _ := fieldNamed(m.name)
		if kind := dec.PeekKind(); (kind == '{' || kind == '[') && (f == fieldCount || f >= fieldIP && f <= fieldOtherIP) {
			inside.certain = inside.certain || addressed && said.known[fieldShortID] != nil && (at.inList || at.inGroup)
			if err := l.member(dec, &around, inside, m.name); err != nil {
				return err
			}
			continue
		}
		if m.value, err = dec.ReadValue(); err != nil {
			return err
		}
		addressed = addressed || f >= fieldIP && f <= fieldPort
		if m.value[0] == 'n' && f != fieldCount {
			continue
		}
		remembered += len(m.name) + len(m.value)
		m.value = slices.Clone(m.value)
		switch {
		case f == fieldID, remembered > maxAround:
			return l.here(dec, int64(len(m.value)), ErrReplyTooLarge)
		case f == fieldCount:
			around.add(&members{others: []member{m}})
		case said.known[f] != nil:
			return l.here(dec, int64(len(m.value)), fmt.Errorf("%q is given twice", m.name))
		case l.lacking[f]:
			return l.here(dec, int64(len(m.value)), fmt.Errorf("%q of a long order comes after records that it holds for", m.name))
		default:
			said.known[f] = m.value
			around.add(&said)
		}
	}
	if l.made == made && addressed && (at.inList || at.inGroup) && !at.certain {
		return l.here(dec, 0, ErrReplyTooLarge) // it was a record, not an order
	}
	for f := range outer {
		l.lacking[f] = l.lacking[f] || outer[f]
	}
	_, err = dec.ReadToken()
	return err
}

// member reads the records in a member of an object.
func (l *proxyList) member(dec *jsontext.Decoder, s *surroundings, inside place, name []byte) error {
	at, t := inside.under(name)
	if at.inGroup {
		its := *s
		its.setType(t)
		s = &its
	}
	return l.next(dec, s, at)
}

// String tells what and where the proxy is, and when it ends.
func (p Proxy) String() string {
	text := "proxy"
	if p.ProxyType != "" {
		text = plainText(string(p.ProxyType)) + " " + text
	}
	if p.ID != "" {
		text += " " + plainText(string(p.ID))
	}
	if p.Host != "" {
		text += " at " + p.Host
	}
	if p.HTTPPort != 0 {
		text += ", HTTP port " + strconv.Itoa(p.HTTPPort)
	}
	if p.SOCKS5Port != 0 {
		text += ", SOCKS5 port " + strconv.Itoa(p.SOCKS5Port)
	}
	if p.Country != "" {
		text += ", " + plainText(p.Country)
	}
	if !p.End.IsZero() {
		text += ", ends " + p.End.UTC().Format(time.RFC3339)
	}
	return text
}

// plainText quotes a text that would not stand for itself.
func plainText(s string) string {
	if quoted := shortQuote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// GoString gives what String does.
func (p Proxy) GoString() string { return p.String() }

// LogValue gives slog the fields that are no secrets.
func (p Proxy) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("id", string(p.ID)),
		slog.String("type", string(p.ProxyType)),
		slog.String("host", p.Host),
	}
	add := func(given bool, a slog.Attr) {
		if given {
			attrs = append(attrs, a)
		}
	}
	add(p.OrderID != "", slog.String("order_id", string(p.OrderID)))
	add(p.OrderNumber != "", slog.String("order_number", string(p.OrderNumber)))
	add(p.HTTPPort != 0, slog.Int("http_port", p.HTTPPort))
	add(p.SOCKS5Port != 0, slog.Int("socks5_port", p.SOCKS5Port))
	add(p.Country != "", slog.String("country", p.Country))
	add(!p.Start.IsZero(), slog.Time("start", p.Start))
	add(!p.End.IsZero(), slog.Time("end", p.End))
	return slog.GroupValue(attrs...)
}

// proxyJSON is a proxy as JSON: as a record of the service's lists is.
type proxyJSON struct {
	ID             IPAddressID      `json:"ipAddressId"`
	Host           string           `json:"ipAddressIp,omitzero"`
	ProxyType      ProxyType        `json:"proxyType,omitzero"`
	OrderID        OrderID          `json:"orderId,omitzero"`
	OrderNumber    OrderNumber      `json:"orderNumber,omitzero"`
	Country        string           `json:"country,omitzero"`
	Start          time.Time        `json:"dateStart,omitzero"`
	End            time.Time        `json:"dateEnd,omitzero"`
	HTTPPort       int              `json:"httpsPort,omitzero"`
	SOCKS5Port     int              `json:"socks5Port,omitzero"`
	Protocol       Protocol         `json:"protocol,omitzero"`
	Credentials    *credentialsJSON `json:"authInfo,omitzero"`
	Extend         extendJSON       `json:"extendInfo"`
	MobileOperator string           `json:"mobileOperator,omitzero"`
	RotationTime   int              `json:"rotationTime,omitzero"`
	RebootURL      Secret           `json:"rebootLink,omitzero"`
}

type credentialsJSON struct {
	Login    string `json:"login"`
	Password Secret `json:"password"`
}

type extendJSON struct {
	AutoExtend     bool `json:"autoExtend"`
	AutoExtendDays int  `json:"extendDays,omitzero"`
}

// MarshalJSON writes the proxy as a record of the service's lists, with *** for
// the password and the reboot link, and without Extra.
func (p Proxy) MarshalJSON() ([]byte, error) { return json.Marshal(p.record()) }

func (p Proxy) record() proxyJSON {
	record := proxyJSON{
		ID: p.ID, Host: p.host(), ProxyType: p.ProxyType, OrderID: p.OrderID, OrderNumber: p.OrderNumber,
		Country: p.Country, Start: p.Start, End: p.End, HTTPPort: p.HTTPPort, SOCKS5Port: p.SOCKS5Port, Protocol: p.Protocol,
		Extend: extendJSON{p.AutoExtend, p.AutoExtendDays}, MobileOperator: p.MobileOperator,
		RotationTime: p.RotationTime, RebootURL: p.RebootURL,
	}
	if p.Credentials != nil {
		record.Credentials = &credentialsJSON{p.Credentials.Login, p.Credentials.Password}
	}
	return record
}

// UnmarshalJSON reads a record of the service's lists. What MarshalJSON wrote of
// a proxy with a password or a reboot link is refused, as they are not in it.
func (p *Proxy) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) || b[0] != '{' {
		return errors.New("youproxy: a proxy must be a JSON object")
	}
	var found []Proxy
	d := proxyDecoder{yield: func(p *Proxy) error {
		found = append(found, *p)
		return nil
	}}
	switch err := d.read(b, &surroundings{}, place{inList: true}); {
	case err != nil:
		return fmt.Errorf("youproxy: the proxy cannot be read: %w", err)
	case len(found) != 1:
		return errors.New("youproxy: the JSON object is not a proxy")
	case d.hidden:
		return fmt.Errorf("youproxy: %q stands for a secret that was not saved: take the proxy from the service's list", hidden)
	}
	*p = found[0]
	return nil
}
