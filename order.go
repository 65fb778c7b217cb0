package youproxy

import (
	"context"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// OrderRequest is an [IPv4OrderRequest], [IPv6OrderRequest], [MobileOrderRequest] or
// [ISPOrderRequest], or a pointer to one.
type OrderRequest interface {
	// ProxyType returns the type of the proxies to order.
	ProxyType() ProxyType
	// Validate returns nil, or one [*ValidationError] with every rule that the request
	// breaks.
	Validate() error

	order() *order
}

// IPv4OrderRequest orders IPv4 proxies. Every field is required but PromoCode and, unless
// AuthType is [AuthTypeIP], AuthIP.
type IPv4OrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // number of proxies, 1 or more
	RentPeriodDays int        // 1 or more; see [Client.RentPeriods]
	Goal           string     // what the proxies are for, in any words; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise; only with AuthTypeIP
	PromoCode      string     // optional; the service orders at the full price if it is not valid
}

// IPv6OrderRequest orders IPv6 proxies. Every field is required but PromoCode and, unless
// AuthType is [AuthTypeIP], AuthIP.
type IPv6OrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // number of proxies, 1 or more
	RentPeriodDays int        // 1 or more; see [Client.RentPeriods]
	Goal           string     // what the proxies are for, in any words; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise; only with AuthTypeIP
	Protocol       Protocol   // the protocol that the proxies speak
	PromoCode      string     // optional; the service orders at the full price if it is not valid
}

// MobileOrderRequest orders mobile proxies. Every field is required but PromoCode, AuthIP
// unless AuthType is [AuthTypeIP], and one of RotationTime and RotateByLink.
//
// RotateByLink sends a rotation time of 0. In a sibling service that means a rotation by
// link: the address changes only when [Proxy.RebootURL] is opened. Whether Youproxy
// accepts 0 is not documented; use it if [MobileOperator.RotationTimes] contains 0.
type MobileOrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // number of proxies, 1 or more
	RentPeriodDays int        // 1 or more; see [Client.RentPeriods]
	Goal           string     // what the proxies are for, in any words; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise; only with AuthTypeIP
	MobileOperator string     // the tag of a [MobileOperator], such as "verizon"
	RotationTime   int        // between changes of address, probably in seconds; one of [MobileOperator.RotationTimes], not 0
	RotateByLink   bool       // order a rotation time of 0
	PromoCode      string     // optional; the service orders at the full price if it is not valid
}

// ISPOrderRequest orders ISP proxies. Every field is required but PromoCode and, unless
// AuthType is [AuthTypeIP], AuthIP.
type ISPOrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // number of proxies, 1 or more
	RentPeriodDays int        // 1 or more; see [Client.RentPeriods]
	Goal           string     // what the proxies are for, in any words; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise; only with AuthTypeIP
	PromoCode      string     // optional; the service orders at the full price if it is not valid
}

// ProxyType returns [ProxyTypeIPv4].
func (IPv4OrderRequest) ProxyType() ProxyType { return ProxyTypeIPv4 }

// ProxyType returns [ProxyTypeIPv6].
func (IPv6OrderRequest) ProxyType() ProxyType { return ProxyTypeIPv6 }

// ProxyType returns [ProxyTypeMobile].
func (MobileOrderRequest) ProxyType() ProxyType { return ProxyTypeMobile }

// ProxyType returns [ProxyTypeISP].
func (ISPOrderRequest) ProxyType() ProxyType { return ProxyTypeISP }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks. It does not check whether a country or a period is sold: the service decides
// that.
func (r IPv4OrderRequest) Validate() error { return r.order().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks. It does not check whether a country or a period is sold: the service decides
// that.
func (r IPv6OrderRequest) Validate() error { return r.order().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks. It does not check whether a country, a period or an operator is sold: the
// service decides that.
func (r MobileOrderRequest) Validate() error { return r.order().validate() }

// Validate returns nil, or one [*ValidationError] with every rule that the request
// breaks. It does not check whether a country or a period is sold: the service decides
// that.
func (r ISPOrderRequest) Validate() error { return r.order().validate() }

// order is what the four requests have in common, as it is sent to the service. A quote
// is asked with orderTerms alone.
type order struct {
	orderTerms
	AuthType AuthType `json:"authType"`
	AuthIP   string   `json:"authIp,omitzero"`
	Protocol Protocol `json:"protocol,omitzero"`

	request  string // the name of the request's type
	authIP   netip.Addr
	rotation int
	byLink   bool
	entry    Entry // in the journal, if it is placed
	reply    orderReply
}

type orderTerms struct {
	ProxyType      ProxyType `json:"proxyType"`
	Quantity       int       `json:"quantity"`
	RentPeriodDays int       `json:"rentPeriodDays"`
	Country        string    `json:"country"`
	Goal           string    `json:"goal"`
	PromoCode      string    `json:"promoCode,omitzero"`
	RotationTime   *int      `json:"rotationTime,omitzero"` // of mobile proxies, even if it is 0
	MobileOperator string    `json:"mobileOperator,omitzero"`
}

func (r IPv4OrderRequest) order() *order {
	return &order{
		request: "IPv4OrderRequest",
		orderTerms: orderTerms{
			ProxyType: ProxyTypeIPv4, Quantity: r.Quantity, RentPeriodDays: r.RentPeriodDays,
			Country: r.Country, Goal: r.Goal, PromoCode: r.PromoCode,
		},
		AuthType: r.AuthType, authIP: r.AuthIP,
	}
}

func (r IPv6OrderRequest) order() *order {
	return &order{
		request: "IPv6OrderRequest",
		orderTerms: orderTerms{
			ProxyType: ProxyTypeIPv6, Quantity: r.Quantity, RentPeriodDays: r.RentPeriodDays,
			Country: r.Country, Goal: r.Goal, PromoCode: r.PromoCode,
		},
		AuthType: r.AuthType, authIP: r.AuthIP, Protocol: r.Protocol,
	}
}

func (r MobileOrderRequest) order() *order {
	o := &order{
		request: "MobileOrderRequest",
		orderTerms: orderTerms{
			ProxyType: ProxyTypeMobile, Quantity: r.Quantity, RentPeriodDays: r.RentPeriodDays,
			Country: r.Country, Goal: r.Goal, PromoCode: r.PromoCode, MobileOperator: r.MobileOperator,
		},
		AuthType: r.AuthType, authIP: r.AuthIP, rotation: r.RotationTime, byLink: r.RotateByLink,
	}
	o.RotationTime = &o.rotation
	return o
}

func (r ISPOrderRequest) order() *order {
	o := IPv4OrderRequest(r).order()
	o.request, o.ProxyType = "ISPOrderRequest", ProxyTypeISP
	return o
}

// checkedOrder returns a request in the form that is sent, or an error with every rule
// that it breaks.
func checkedOrder(req OrderRequest) (*order, error) {
	if err := checkRequest(req, "OrderRequest", "the four order requests"); err != nil {
		return nil, err
	}
	o := req.order()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.authIP.IsValid() {
		o.AuthIP = o.authIP.Unmap().String()
	}
	return o, nil
}

// checkRequest returns an error if a request is nil, or is not of a type of this package
// but embeds one.
func checkRequest(req any, name, kinds string) error {
	if req == nil {
		return notARequest(name, ruleRequired, "is nil: give one of "+kinds)
	}
	v := reflect.ValueOf(req)
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.PkgPath() != reflect.TypeFor[Client]().PkgPath():
		return notARequest(v.Type().String(), ruleUnknown, "is not one of "+kinds+": give the one it embeds")
	case v.Kind() == reflect.Pointer && v.IsNil():
		return notARequest(t.Name(), ruleRequired, "is a nil pointer: give one that is filled in")
	}
	return nil
}

func notARequest(name, rule, message string) error {
	return &ValidationError{Request: name, Fields: []FieldError{{Field: "request", Rule: rule, Message: message}}}
}

func (o *order) validate() error {
	var v brokenRules
	if o.Quantity < 1 {
		v.add("quantity", ruleRange, "must be 1 or more")
	}
	if o.RentPeriodDays < 1 {
		v.add("rentPeriodDays", ruleRange, "must be 1 or more")
	}
	switch {
	case strings.TrimSpace(o.Country) == "":
		v.add("country", ruleRequired, "is missing: give an ISO 3166-1 alpha-3 code such as USA")
	case !isCountryCode(o.Country):
		v.add("country", ruleFormat, "must be three capital letters, an ISO 3166-1 alpha-3 code such as USA")
	}
	v.checkText("goal", o.Goal, "say what the proxies are for")
	switch {
	case o.AuthType == "":
		v.add("authType", ruleRequired, "is missing: give AuthTypeLogin or AuthTypeIP")
	case !o.AuthType.Valid():
		v.add("authType", ruleUnknown, "must be LOGIN or IP")
	case o.AuthType == AuthTypeIP && !o.authIP.IsValid():
		v.add("authIp", ruleRequired, "is missing: authType IP needs the address to authorise")
	case o.AuthType == AuthTypeLogin && o.authIP.IsValid():
		v.add("authIp", ruleConflict, "contradicts authType LOGIN: leave it out, or use authType IP")
	}
	if o.authIP.Zone() != "" {
		v.add("authIp", ruleFormat, "must be an address without a zone")
	}
	v.checkPromoCode(o.PromoCode)
	if o.ProxyType == ProxyTypeIPv6 {
		switch {
		case o.Protocol == "":
			v.add("protocol", ruleRequired, "is missing: give ProtocolHTTP or ProtocolSOCKS")
		case !o.Protocol.Valid():
			v.add("protocol", ruleUnknown, "must be HTTP or SOCKS")
		}
	}
	if o.ProxyType == ProxyTypeMobile {
		switch {
		case o.byLink && o.rotation != 0:
			v.add("rotationTime", ruleConflict, "contradicts RotateByLink: leave one of them out")
		case o.rotation == 0 && !o.byLink:
			v.add("rotationTime", ruleRequired, "is missing: give the seconds between changes of address")
		}
		v.checkText("mobileOperator", o.MobileOperator, "give the operator's tag, such as verizon")
	}
	return v.asError(o.request)
}

const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func isCountryCode(s string) bool {
	return len(s) == 3 && strings.Trim(s, capitals) == ""
}

// brokenRules collects the rules that a request breaks.
type brokenRules []FieldError

func (r *brokenRules) add(field, rule, message string) {
	*r = append(*r, FieldError{Field: field, Rule: rule, Message: message})
}

func (r *brokenRules) checkText(field, value, remedy string) {
	switch {
	case strings.TrimSpace(value) == "":
		r.add(field, ruleRequired, "is missing: "+remedy)
	case !utf8.ValidString(value):
		r.add(field, ruleFormat, "must be UTF-8")
	}
}

func (r *brokenRules) checkPromoCode(code string) {
	if code != strings.TrimSpace(code) || !utf8.ValidString(code) {
		r.add("promoCode", ruleFormat, "must be UTF-8 without white space around it: the service would ignore such a code and charge the full price")
	}
}

func (r brokenRules) asError(request string) error {
	if len(r) == 0 {
		return nil
	}
	return &ValidationError{Request: request, Fields: r}
}

// Quote is the price of an order or an extension at this moment.
type Quote struct {
	ProxyType       ProxyType
	Price           Money           // the price, or a larger total if the reply has one beside it
	Balance         Money           // of the account; nothing was charged
	Discount        decimal.Decimal // percent
	PromoCodeStatus PromoCodeStatus
	Warnings        []Warning // reasons why the service would not execute it

	aged bool // the reply came from a cache
}

// Warning is a reason why the service would not execute what was quoted.
type Warning struct {
	Code    ErrorCode `json:"code"`
	Message string    `json:"message"`
}

// Order is an order that the service accepted. The reply contains neither the price nor
// the proxies, which may be ready only later.
type Order struct {
	Number          OrderNumber
	ProxyType       ProxyType
	Balance         Money // of the account, after the order
	PromoCodeStatus PromoCodeStatus
}

// QuoteOrder returns what an order would cost. It spends nothing. The request must be as
// valid as for [Client.CreateOrder], but AuthType, AuthIP and Protocol are not sent, as
// the price does not depend on them.
//
// A quote with warnings is not an error: see [Quote.Warnings].
func (c *Client) QuoteOrder(ctx context.Context, req OrderRequest) (*Quote, error) {
	o, err := checkedOrder(req)
	if err != nil {
		return nil, err
	}
	return c.quote(ctx, "POST /calculate/order", &o.orderTerms, o.ProxyType)
}

// CreateOrder places an order and spends its price, which the reply does not contain:
// call [Client.QuoteOrder] first. The request is sent once and never repeated.
// [Client.Buy] is the same with a limit on the price and a search for lost replies.
//
// The error is a [*ValidationError] if the request breaks a rule, an [*APIError] if the
// service refused, and a [*CallError] otherwise. If its [OutcomeOf] is [OutcomeUnknown],
// the order may have been placed, and calling CreateOrder again may buy twice. Canceling
// ctx after the request was sent does not stop the order; it only hides its outcome.
func (c *Client) CreateOrder(ctx context.Context, req OrderRequest) (*Order, error) {
	o, err := checkedOrder(req)
	if err != nil {
		return nil, err
	}
	o.reply.asked = o.ProxyType
	e, err := c.post(ctx, opOrder, o, &o.reply)
	if err != nil {
		return nil, err
	}
	return o.reply.order(e), nil
}

const opOrder = "POST /order"

type orderReply struct {
	asked           ProxyType
	ProxyType       text `json:"proxyType"`
	OrderNumber     text `json:"orderNumber"`
	PromoCodeStatus text `json:"promoCodeStatus"`
}

func (r *orderReply) order(e *envelope) *Order {
	return &Order{
		Number:          OrderNumber(r.OrderNumber),
		ProxyType:       ProxyType(r.ProxyType),
		Balance:         e.money(e.balance),
		PromoCodeStatus: PromoCodeStatus(r.PromoCodeStatus),
	}
}

// spent returns the journal entry of the order.
func (o *order) spent() *Entry {
	o.entry.Attempt = Attempt{
		Op: opOrder, ProxyType: o.ProxyType, RentPeriodDays: o.RentPeriodDays, PromoCode: o.PromoCode, Quantity: o.Quantity,
		Country: o.Country, Goal: o.Goal, MobileOperator: o.MobileOperator, RotationTime: o.rotation,
	}
	return &o.entry
}

// tell copies what the reply says to the entry of the order.
func (r *orderReply) tell(e *Entry) {
	e.OrderNumber, e.PromoCodeStatus = OrderNumber(r.OrderNumber), PromoCodeStatus(r.PromoCodeStatus)
}

func (r *orderReply) problem(*envelope) string {
	switch {
	case strings.TrimSpace(string(r.OrderNumber)) == "":
		return `"orderNumber"` + isMissing
	case isOther(r.ProxyType, r.asked):
		return `"proxyType"` + isAnother
	}
	return ""
}

// isOther reports whether a reply names another proxy type than was asked for. A more
// specific name, such as IPV4_INDIVIDUAL, is the same type.
func isOther(told text, asked ProxyType) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	return told != "" && ProxyType(told) != asked && !strings.HasPrefix(plain(string(told)), plain(string(asked)))
}

type quoteReply struct {
	asked           ProxyType
	ProxyType       text     `json:"proxyType"`
	Price           amount   `json:"price"`
	Discount        amount   `json:"discount"`
	PromoCodeStatus text     `json:"promoCodeStatus"`
	Warnings        warnings `json:"warnings"`
	Total           amount   // the largest total beside the price
}

// readMore reads a total beside the price, under any name. Which of the two is charged is
// not documented.
func (r *quoteReply) readMore(name string, dec *jsontext.Decoder) error {
	plain := strings.ToLower(strings.ReplaceAll(name, "_", ""))
	if !totalName.MatchString(plain) {
		return dec.SkipValue()
	}
	var total amount
	err := total.UnmarshalJSONFrom(dec)
	if total.given && total.value.GreaterThan(r.Total.value) {
		r.Total = total
	}
	return err
}

// totalName matches names of a total, but not of a count or a balance.
var totalName = regexp.MustCompile(`^(?:(?:full|final|grand|order|sub)?total(?:price|cost|sum|amount)?|(?:price|cost|sum|amount)total|sum|amount)$`)

// price returns the amount to expect: the price, or a larger total beside it.
func (r *quoteReply) price() amount {
	if r.Total.given && r.Total.value.GreaterThan(r.Price.value) {
		return r.Total
	}
	return r.Price
}

func (r *quoteReply) problem(*envelope) string {
	switch {
	case !r.Price.given:
		return `"price"` + isMissing
	case isOther(r.ProxyType, r.asked):
		return `"proxyType"` + isAnother
	}
	return ""
}

// warnings is the warnings of a quote: a list of faults, or a single one.
type warnings []fault

func (w *warnings) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '[' {
		return (*list[fault])(w).UnmarshalJSONFrom(dec)
	}
	var one fault
	err := one.UnmarshalJSONFrom(dec)
	*w = nil
	if one.stands() {
		*w = warnings{one}
	}
	return err
}

func (c *Client) quote(ctx context.Context, op string, terms any, asked ProxyType) (*Quote, error) {
	reply := quoteReply{asked: asked}
	e, err := c.post(ctx, op, terms, &reply)
	if err != nil {
		return nil, err
	}
	q := &Quote{
		ProxyType:       ProxyType(reply.ProxyType),
		Price:           e.money(reply.price()),
		Balance:         e.money(e.balance),
		Discount:        reply.Discount.value,
		PromoCodeStatus: PromoCodeStatus(reply.PromoCodeStatus),
		aged:            e.aged,
	}
	for _, w := range reply.Warnings {
		q.Warnings = append(q.Warnings, Warning{Code: w.code, Message: c.core().redact(w.message)})
	}
	return q, nil
}
