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
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Proxy is one proxy of the account.
//
// Except for the ids, its form in the service's lists is not documented. What a list
// leaves out is zero. A value that cannot be read is zero too, and Extra holds it as it
// was written. A date without a time zone is read as UTC, and Extra holds it as well.
//
// A Proxy prints, logs and marshals without its password, its reboot link and the values
// of Extra. [Proxy.URL], [Proxy.Format] and [WriteProxies] return or write the secrets.
// Package fmt does not call the methods of a Proxy in an unexported field of a struct, or
// behind a pointer with a verb such as %t: it then prints the values of Extra, though the
// password and the link only if they are in Extra.
type Proxy struct {
	ID          IPAddressID // for [ExtendIPsRequest]
	OrderID     OrderID     // for [ExtendOrdersRequest]
	OrderNumber OrderNumber
	ProxyType   ProxyType
	Host        string       // an address or a host name, without a port
	IP          netip.Addr   // Host, if that is an address
	HTTPPort    int          // 0 if it does not speak HTTP
	SOCKS5Port  int          // 0 if it does not speak SOCKS5
	Protocol    Protocol     // of a proxy that speaks only one, such as IPv6
	Credentials *Credentials // nil if it recognises its user by IP, or if Extra has a login that could not be read
	Country     string
	Start, End  time.Time // in UTC
	AutoExtend  bool
	// AutoExtendUnknown reports whether the list has something about the automatic
	// extension that cannot be read: the proxy may extend itself.
	AutoExtendUnknown bool
	AutoExtendDays    int // length of each automatic extension
	MobileOperator    string
	RotationTime      int    // between changes of address, as the service writes it: probably seconds
	RebootURL         Secret // changes the address of a mobile proxy when opened

	// Extra holds the other members of the proxy's record, and those of the record or its
	// order that could not be read, by their names in the list. The values may be secrets,
	// and must not be changed, as they may be shared with other proxies.
	Extra Extra
}

// Extra is fields of a [Proxy], a [Country] or a [MobileOperator] by their names in the
// reply. It prints and logs only the names, as the values may be secrets.
type Extra map[string]json.RawMessage

// names returns the sorted names.
func (e Extra) names() []string { return slices.Sorted(maps.Keys(e)) }

// Format writes the names for every verb.
func (e Extra) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%q", e.names()) }

// LogValue returns the names, for slog.
func (e Extra) LogValue() slog.Value { return slog.AnyValue(e.names()) }

// Credentials is the login and password of a proxy.
type Credentials struct {
	Login    string
	Password Secret
}

// ProxyQuery selects proxies of the account. The zero value selects all.
type ProxyQuery struct {
	ProxyType ProxyType // empty for all types
}

// Proxies returns an iterator over the proxies of the account, which yields them while
// they arrive, so a list of any length needs little memory. Each iteration makes its own
// call.
//
// The first error ends the iteration. Only a list without an error is complete: the
// service may report a refusal after some proxies. The call is not retried once a proxy
// was yielded. The time of the loop body does not count for a timeout, but the connection
// is in use until the loop ends.
//
// A list in an unknown form is an error: one with addresses of which none could be read
// as a proxy, or with an address without an id among proxies. A list without addresses is
// empty.
//
// Each record, or an order with its records, may be as long as [WithMaxReplySize] allows.
// What the reply says about all proxies, such as their type, applies to those after it.
func (c *Client) Proxies(ctx context.Context, q ProxyQuery) iter.Seq2[Proxy, error] {
	return func(yield func(Proxy, error) bool) {
		if _, err := c.list(ctx, q, func(p *Proxy) bool { return yield(*p, nil) }); err != nil {
			yield(Proxy{}, err)
		}
	}
}

// list yields the proxies of the account, and returns the envelope of the reply.
func (c *Client) list(ctx context.Context, q ProxyQuery, yield func(*Proxy) bool) (*envelope, error) {
	var query *proxyTypeQuery
	if q.ProxyType != "" {
		var err error
		if query, err = forProxyType("ProxyQuery", q.ProxyType); err != nil {
			return nil, err
		}
	}
	return c.get(ctx, "GET /ipAddress", query, &proxyList{ctx: ctx, asked: q.ProxyType, yield: yield})
}

// errAged means that a cache answered, so that the reply does not show the account.
var errAged = errors.New("the reply comes from a cache (its Age is above 0)")

// ListProxies returns all proxies of the account, or an error: never a part of the list.
func (c *Client) ListProxies(ctx context.Context, q ProxyQuery) ([]Proxy, error) {
	const longest = 8 << 10
	var pieces [][]Proxy // growing one slice would copy it many times
	piece := make([]Proxy, 0, 16)
	_, err := c.list(ctx, q, func(p *Proxy) bool {
		if len(piece) == cap(piece) {
			pieces = append(pieces, piece)
			piece = make([]Proxy, 0, min(2*cap(piece), longest))
		}
		piece = append(piece, *p)
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case pieces == nil:
		return piece, nil
	}
	return slices.Concat(append(pieces, piece)...), nil
}

// opReadProxies is the label of [ReadProxies] in errors.
const opReadProxies = "ReadProxies"

// ReadProxies returns an iterator over the proxies in a reply of the service, such as one
// that was fetched with [Client.Call]. It reads r once, in the same way as
// [Client.Proxies]; the reply must report success.
func ReadProxies(r io.Reader) iter.Seq2[Proxy, error] {
	return func(yield func(Proxy, error) bool) {
		if r == nil {
			yield(Proxy{}, notSent(opReadProxies, errors.New("the reader is nil")))
			return
		}
		c := &core{redact: func(s string) string { return s }}
		ctx := context.Background()
		s := &sending{Context: ctx, native: true} // reads of r are not bounded
		reply := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(r), ContentLength: -1}
		call := &apiCall{op: opReadProxies, effect: read, reply: &proxyList{ctx: ctx, yield: func(p *Proxy) bool { return yield(*p, nil) }}}
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

// String returns the type, the id, the address and the end of the proxy, without its
// password.
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

// plainText returns a string, quoted if it is not plain text.
func plainText(s string) string {
	if quoted := shortQuote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// GoString returns the same as String.
func (p Proxy) GoString() string { return p.String() }

// LogValue returns the fields that are not secret as a group, for slog.
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

// proxyJSON is the JSON form of a proxy: a record of the service's lists.
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
	AutoExtend     any `json:"autoExtend"` // a boolean, or a string if it is not known
	AutoExtendDays int `json:"extendDays,omitzero"`
}

// MarshalJSON returns the proxy as a record of the service's lists, with *** for the
// password and the reboot link, and without Extra.
func (p Proxy) MarshalJSON() ([]byte, error) { return json.Marshal(p.record()) }

func (p Proxy) record() proxyJSON {
	record := proxyJSON{
		ID: p.ID, Host: p.host(), ProxyType: p.ProxyType, OrderID: p.OrderID, OrderNumber: p.OrderNumber,
		Country: p.Country, Start: p.Start, End: p.End, HTTPPort: p.HTTPPort, SOCKS5Port: p.SOCKS5Port, Protocol: p.Protocol,
		Extend: extendJSON{p.AutoExtend, p.AutoExtendDays}, MobileOperator: p.MobileOperator,
		RotationTime: p.RotationTime, RebootURL: p.RebootURL,
	}
	if p.AutoExtendUnknown {
		record.Extend.AutoExtend = "unknown"
	}
	if p.Credentials != nil {
		record.Credentials = &credentialsJSON{p.Credentials.Login, p.Credentials.Password}
	}
	return record
}

// UnmarshalJSON reads a record of the service's lists. It returns an error for the output
// of MarshalJSON if the proxy had a password or a reboot link, as these are missing
// there.
func (p *Proxy) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) || b[0] != '{' {
		return errors.New("youproxy: a proxy must be a JSON object")
	}
	var found []Proxy
	d := newProxyDecoder(func(p *Proxy) error {
		found = append(found, *p)
		return nil
	})
	d.whole = b
	switch err := d.read(b, nil, &listName{}, true, nil); {
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
