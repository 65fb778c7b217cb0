package youproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ExtendRequest is an [ExtendIPsRequest] or an [ExtendOrdersRequest], or a pointer to
// one.
type ExtendRequest interface {
	// Validate returns nil, or one [*ValidationError] with every rule that the request
	// breaks.
	Validate() error

	extension() *extension
}

// ExtendIPsRequest extends single proxies. Every field but PromoCode is required. All IP
// addresses of an IPv6 order must be extended together.
type ExtendIPsRequest struct {
	ProxyType      ProxyType // of all the proxies
	IPAddressIDs   []IPAddressID
	RentPeriodDays int    // 1 or more; see [Client.RentPeriods]
	PromoCode      string // optional; the service extends at the full price if it is not valid
}

// ExtendOrdersRequest extends all proxies of whole orders. Every field but PromoCode is
// required.
type ExtendOrdersRequest struct {
	ProxyType      ProxyType // of all the orders
	OrderIDs       []OrderID // from [Proxy.OrderID]; not order numbers
	RentPeriodDays int       // 1 or more; see [Client.RentPeriods]
	PromoCode      string    // optional; the service extends at the full price if it is not valid
}

// AutoExtendRequest is an [AutoExtendIPsRequest] or an [AutoExtendOrdersRequest], or a
// pointer to one.
type AutoExtendRequest interface {
	// Validate returns nil, or one [*ValidationError] with every rule that the request
	// breaks.
	Validate() error

	autoExtension() *autoExtension
}

// AutoExtendIPsRequest turns the automatic extension of single proxies on or off. Every
// field is required.
type AutoExtendIPsRequest struct {
	ProxyType      ProxyType // of all the proxies
	IPAddressIDs   []IPAddressID
	RentPeriodDays int // of each extension, 1 or more; required to turn it off, too
	AutoExtend     bool
}

// AutoExtendOrdersRequest turns the automatic extension of all proxies of whole orders on
// or off. Every field is required.
type AutoExtendOrdersRequest struct {
	ProxyType      ProxyType // of all the orders
	OrderIDs       []OrderID // from [Proxy.OrderID]; not order numbers
	RentPeriodDays int       // of each extension, 1 or more; required to turn it off, too
	AutoExtend     bool
}

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks.
func (r ExtendIPsRequest) Validate() error { return r.extension().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks.
func (r ExtendOrdersRequest) Validate() error { return r.extension().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks.
func (r AutoExtendIPsRequest) Validate() error { return r.autoExtension().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks.
func (r AutoExtendOrdersRequest) Validate() error { return r.autoExtension().validate() }

// selection is what all of these requests have in common: what they are about, and the
// period. It is part of the body as it is here.
type selection struct {
	ProxyType      ProxyType     `json:"proxyType"`
	IPAddressIDs   []IPAddressID `json:"ipAddressIds,omitzero"`
	OrderIDs       []OrderID     `json:"orderIds,omitzero"`
	RentPeriodDays int           `json:"rentPeriodDays"`

	request string // the name of the request's type
	suffix  string // of the path
}

// extension is the body of an extension, and of a quote for one.
type extension struct {
	selection
	PromoCode string `json:"promoCode,omitzero"`
}

type autoExtension struct {
	selection
	AutoExtend bool `json:"autoExtend"`
}

func (r ExtendIPsRequest) extension() *extension {
	return &extension{selection: selection{
		request:   "ExtendIPsRequest",
		ProxyType: r.ProxyType, IPAddressIDs: r.IPAddressIDs, RentPeriodDays: r.RentPeriodDays,
	}, PromoCode: r.PromoCode}
}

func (r ExtendOrdersRequest) extension() *extension {
	return &extension{selection: selection{
		request: "ExtendOrdersRequest", suffix: "/order",
		ProxyType: r.ProxyType, OrderIDs: r.OrderIDs, RentPeriodDays: r.RentPeriodDays,
	}, PromoCode: r.PromoCode}
}

func (r AutoExtendIPsRequest) autoExtension() *autoExtension {
	return &autoExtension{selection: selection{
		request:   "AutoExtendIPsRequest",
		ProxyType: r.ProxyType, IPAddressIDs: r.IPAddressIDs, RentPeriodDays: r.RentPeriodDays,
	}, AutoExtend: r.AutoExtend}
}

func (r AutoExtendOrdersRequest) autoExtension() *autoExtension {
	return &autoExtension{selection: selection{
		request: "AutoExtendOrdersRequest", suffix: "/order",
		ProxyType: r.ProxyType, OrderIDs: r.OrderIDs, RentPeriodDays: r.RentPeriodDays,
	}, AutoExtend: r.AutoExtend}
}

func (e *extension) validate() error {
	v := e.brokenRules()
	v.checkPromoCode(e.PromoCode)
	return v.asError(e.request)
}

func (e *autoExtension) validate() error { return e.brokenRules().asError(e.request) }

func (s *selection) brokenRules() (v brokenRules) {
	switch {
	case s.ProxyType == "":
		v.add("proxyType", ruleRequired, "is missing: give one such as ProxyTypeIPv4")
	case !s.ProxyType.Valid():
		v.add("proxyType", ruleUnknown, "must be IPv4, IPv6, MOBILE or ISP")
	}
	if s.suffix == "" {
		checkIDs(&v, "ipAddressIds", s.IPAddressIDs)
	} else {
		checkIDs(&v, "orderIds", s.OrderIDs)
	}
	if s.RentPeriodDays < 1 {
		v.add("rentPeriodDays", ruleRange, "must be 1 or more")
	}
	return v
}

// checkIDs reports the first id that is malformed, and the first that is repeated.
func checkIDs[ID ~string](v *brokenRules, field string, ids []ID) {
	if len(ids) == 0 {
		v.add(field, ruleRequired, "is empty: give at least one id")
	}
	first := make(map[ID]int, len(ids))
	var malformed, repeated bool
	for i, id := range ids {
		switch before, again := first[id]; {
		case strings.TrimSpace(string(id)) == "" && !malformed:
			malformed = true
			v.add(field, ruleFormat, fmt.Sprintf("is blank at index %d: leave it out", i))
		case (strings.TrimSpace(string(id)) != string(id) || !utf8.ValidString(string(id))) && !malformed:
			malformed = true
			v.add(field, ruleFormat, fmt.Sprintf("must be UTF-8 without white space around it, which it is not at index %d", i))
		case again && !repeated:
			repeated = true
			v.add(field, ruleConflict, fmt.Sprintf("is at index %d the same as at index %d: give each id once", i, before))
		}
		first[id] = i
	}
}

// Extension is the result of an extension, or of turning the automatic extension on or
// off.
type Extension struct {
	ProxyType       ProxyType
	RentPeriodDays  int
	Quantity        int           // number of proxies
	IPAddressIDs    []IPAddressID // empty if the service listed the orders
	OrderIDs        []OrderID     // empty if the service listed the IP addresses
	Balance         Money         // of the account, after the extension
	PromoCodeStatus PromoCodeStatus
}

// QuoteExtension returns what an extension would cost. It spends nothing.
//
// A quote with warnings is not an error: see [Quote.Warnings].
func (c *Client) QuoteExtension(ctx context.Context, req ExtendRequest) (*Quote, error) {
	e, err := checkedExtension(req)
	if err != nil {
		return nil, err
	}
	return c.quote(ctx, "POST /calculate/extend"+e.suffix, e, e.ProxyType)
}

// Extend extends proxies and spends the price, which the reply does not contain: call
// [Client.QuoteExtension] first. The request is sent once and never repeated.
// [Client.Renew] is the same with a limit on the price and a search for lost replies.
//
// The error is a [*ValidationError] if the request breaks a rule, an [*APIError] if the
// service refused, such as with [ErrWholeOrderRequired] for a part of an IPv6 order, and
// a [*CallError] otherwise. If its [OutcomeOf] is [OutcomeUnknown], the proxies may have
// been extended, and calling Extend again may extend them twice. Canceling ctx after the
// request was sent does not stop the extension; it only hides its outcome.
func (c *Client) Extend(ctx context.Context, req ExtendRequest) (*Extension, error) {
	e, err := checkedExtension(req)
	if err != nil {
		return nil, err
	}
	return c.extend(ctx, opExtend+e.suffix, e, extendReply{asked: &e.selection})
}

// SetAutoExtend turns the automatic extension of proxies on or off. The call itself
// spends nothing, and is retried like one that reads.
func (c *Client) SetAutoExtend(ctx context.Context, req AutoExtendRequest) (*Extension, error) {
	if err := checkRequest(req, "AutoExtendRequest", "the two auto-extend requests"); err != nil {
		return nil, err
	}
	e := req.autoExtension()
	if err := e.validate(); err != nil {
		return nil, err
	}
	return c.extend(ctx, opExtend+e.suffix+"/auto", e, extendReply{asked: &e.selection, off: !e.AutoExtend})
}

// checkedExtension returns a request in the form that is sent, or an error with every
// rule that it breaks.
func checkedExtension(req ExtendRequest) (*extension, error) {
	if err := checkRequest(req, "ExtendRequest", "the two extend requests"); err != nil {
		return nil, err
	}
	e := req.extension()
	return e, e.validate()
}

// The calls that extend.
const (
	opExtend       = "POST /extend"
	opExtendOrders = opExtend + "/order"
)

type extendReply struct {
	asked           *selection
	off             bool       // no extension follows, so the period may be 0
	ProxyType       text       `json:"proxyType"`
	RentPeriodDays  told       `json:"rentPeriodDays"`
	Quantity        told       `json:"quantity"`
	IPAddressIDs    list[text] `json:"ipAddressIds"`
	OrderIDs        list[text] `json:"orderIds"` // on one page of the documentation only
	PromoCodeStatus text       `json:"promoCodeStatus"`
}

// spent returns the journal entry of the extension.
func (e *extension) spent() *Entry {
	return &Entry{Attempt: Attempt{
		Op: opExtend + e.suffix, ProxyType: e.ProxyType, RentPeriodDays: e.RentPeriodDays, PromoCode: e.PromoCode,
		IPAddressIDs: slices.Clone(e.IPAddressIDs), OrderIDs: slices.Clone(e.OrderIDs),
	}}
}

// tell copies what the reply says to the entry of the extension.
func (r *extendReply) tell(e *Entry) {
	done := r.extension(&envelope{})
	e.IPAddressIDs, e.OrderIDs, e.PromoCodeStatus = done.IPAddressIDs, done.OrderIDs, done.PromoCodeStatus
	if len(e.OrderIDs) == 0 {
		e.OrderIDs = slices.Clone(e.Attempt.OrderIDs)
	}
}

func (c *Client) extend(ctx context.Context, op string, body any, reply extendReply) (*Extension, error) {
	e, err := c.post(ctx, op, body, &reply)
	if err != nil {
		return nil, err
	}
	return reply.extension(e), nil
}

// told is a number that a reply may leave out.
type told struct {
	number
	given bool
}

func (t *told) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	t.given = dec.PeekKind() != 'n'
	return t.number.UnmarshalJSONFrom(dec)
}

// problem compares the reply with the request. The reply must list what was extended; the
// other members must agree if they are present. A reply to an extension by orders may
// list the proxies instead of the orders.
func (r *extendReply) problem(*envelope) string {
	asked, named, days := r.asked, r.IPAddressIDs, r.RentPeriodDays
	switch {
	case len(named) == 0 && (asked.suffix == "" || len(r.OrderIDs) == 0):
		return `"ipAddressIds"` + isMissing
	case asked.suffix == "" && !sameIDs(named, asked.IPAddressIDs):
		return `"ipAddressIds"` + isAnother
	case asked.suffix != "" && len(r.OrderIDs) > 0 && !sameIDs(r.OrderIDs, asked.OrderIDs):
		return `"orderIds"` + isAnother
	case isOther(r.ProxyType, asked.ProxyType):
		return `"proxyType"` + isAnother
	case days.given && int(days.number) != asked.RentPeriodDays && (days.number != 0 || !r.off):
		return `"rentPeriodDays"` + isAnother
	case r.Quantity.given && (r.Quantity.number < 1 || asked.suffix == "" && int(r.Quantity.number) != len(named)):
		return `"quantity"` + isAnother
	}
	return ""
}

// names reports whether the reply lists the proxies that were to be extended, or none.
// For an extension by orders these are known only from the snapshot.
func (r *extendReply) names(a *Attempt) bool {
	return len(r.IPAddressIDs) == 0 || sameIDs(r.IPAddressIDs, slices.Collect(maps.Keys(a.Before.Ends)))
}

// sameIDs reports whether both contain the same ids, in any order.
func sameIDs[ID ~string](named list[text], asked []ID) bool {
	left := make(map[text]bool, len(asked))
	for _, id := range asked {
		left[text(id)] = true
	}
	for _, id := range named {
		if _, ok := left[id]; !ok {
			return false
		}
		left[id] = false
	}
	return !slices.Contains(slices.Collect(maps.Values(left)), true)
}

func (r *extendReply) extension(e *envelope) *Extension {
	done := &Extension{
		ProxyType:       ProxyType(r.ProxyType),
		RentPeriodDays:  int(r.RentPeriodDays.number),
		Quantity:        int(r.Quantity.number),
		Balance:         e.money(e.balance),
		PromoCodeStatus: PromoCodeStatus(r.PromoCodeStatus),
	}
	for _, id := range r.IPAddressIDs {
		done.IPAddressIDs = append(done.IPAddressIDs, IPAddressID(id))
	}
	for _, id := range r.OrderIDs {
		done.OrderIDs = append(done.OrderIDs, OrderID(id))
	}
	return done
}
