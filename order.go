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

// OrderRequest is one of [IPv4OrderRequest], [IPv6OrderRequest],
// [MobileOrderRequest] and [ISPOrderRequest], or a pointer to one.
type OrderRequest interface {
	// ProxyType is what the request orders.
	ProxyType() ProxyType
	// Validate reports every rule the request breaks in one [*ValidationError],
	// or nil.
	Validate() error

	order() *order
}

// IPv4OrderRequest orders IPv4 proxies. Every field is required but AuthIP,
// which goes with [AuthTypeIP], and PromoCode.
type IPv4OrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // proxies, 1 or more
	RentPeriodDays int        // 1 or more; the service tells which periods it sells
	Goal           string     // what the proxies are for, in free text; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise, with AuthTypeIP only
	PromoCode      string     // optional; one the service does not accept is no error to it
}

// IPv6OrderRequest orders IPv6 proxies. Every field is required but AuthIP,
// which goes with [AuthTypeIP], and PromoCode.
type IPv6OrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // proxies, 1 or more
	RentPeriodDays int        // 1 or more; the service tells which periods it sells
	Goal           string     // what the proxies are for, in free text; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise, with AuthTypeIP only
	Protocol       Protocol   // what the proxies speak
	PromoCode      string     // optional; one the service does not accept is no error to it
}

// MobileOrderRequest orders mobile proxies. Every field is required but AuthIP,
// which goes with [AuthTypeIP], PromoCode, and one of RotationTime and RotateByLink.
//
// RotateByLink sends a rotation time of 0. In a sibling service that is a rotation by
// link: the address changes only when the proxy's link is opened, see
// [Proxy.RebootURL]. That Youproxy takes 0 is not documented: order it where
// [MobileOperator.RotationTimes] lists 0.
type MobileOrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // proxies, 1 or more
	RentPeriodDays int        // 1 or more; the service tells which periods it sells
	Goal           string     // what the proxies are for, in free text; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise, with AuthTypeIP only
	MobileOperator string     // the operator's tag, such as "verizon"
	RotationTime   int        // seconds between changes of address, not 0
	RotateByLink   bool       // a rotation time of 0, on purpose
	PromoCode      string     // optional; one the service does not accept is no error to it
}

// ISPOrderRequest orders ISP proxies. Every field is required but AuthIP, which
// goes with [AuthTypeIP], and PromoCode.
type ISPOrderRequest struct {
	Country        string     // ISO 3166-1 alpha-3, such as "USA"
	Quantity       int        // proxies, 1 or more
	RentPeriodDays int        // 1 or more; the service tells which periods it sells
	Goal           string     // what the proxies are for, in free text; the service refuses some
	AuthType       AuthType   // how the proxies recognise their user
	AuthIP         netip.Addr // the address to authorise, with AuthTypeIP only
	PromoCode      string     // optional; one the service does not accept is no error to it
}

// ProxyType is [ProxyTypeIPv4].
func (IPv4OrderRequest) ProxyType() ProxyType { return ProxyTypeIPv4 }

// ProxyType is [ProxyTypeIPv6].
func (IPv6OrderRequest) ProxyType() ProxyType { return ProxyTypeIPv6 }

// ProxyType is [ProxyTypeMobile].
func (MobileOrderRequest) ProxyType() ProxyType { return ProxyTypeMobile }

// ProxyType is [ProxyTypeISP].
func (ISPOrderRequest) ProxyType() ProxyType { return ProxyTypeISP }

// Validate reports every rule the request breaks in one [*ValidationError], or
// nil. Whether a country or a period is on sale is for the service to say.
func (r IPv4OrderRequest) Validate() error { return r.order().validate() }

// Validate reports every rule the request breaks in one [*ValidationError], or
// nil. Whether a country or a period is on sale is for the service to say.
func (r IPv6OrderRequest) Validate() error { return r.order().validate() }

// Validate reports every rule the request breaks in one [*ValidationError], or
// nil. Whether a country, a period or an operator is on sale is for the service
// to say.
func (r MobileOrderRequest) Validate() error { return r.order().validate() }

// Validate reports every rule the request breaks in one [*ValidationError], or
// nil. Whether a country or a period is on sale is for the service to say.
func (r ISPOrderRequest) Validate() error { return r.order().validate() }

// order is what the four requests have in common, as it is sent to the service.
// The price of an order is asked with its terms alone.
type order struct {
	orderTerms
	AuthType AuthType `json:"authType"`
	AuthIP   string   `json:"authIp,omitzero"`
	Protocol Protocol `json:"protocol,omitzero"`

	request  string // the name of the request's type
	authIP   netip.Addr
	rotation int
	byLink   bool
	entry    Entry // in the journal, where it is placed
	reply    orderReply
}

type orderTerms struct {
	ProxyType      ProxyType `json:"proxyType"`
	Quantity       int       `json:"quantity"`
	RentPeriodDays int       `json:"rentPeriodDays"`
	Country        string    `json:"country"`
	Goal           string    `json:"goal"`
	PromoCode      string    `json:"promoCode,omitzero"`
	RotationTime   *int      `json:"rotationTime,omitzero"` // of mobile proxies, also where it is 0
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

// checkedOrder makes a request ready to be sent, or tells all that is wrong.
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

// checkRequest tells where a request is nil, or is not of a type of this package
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

func isCountryCode(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// brokenRules gathers what is wrong with a request.
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

// Quote is what an order or an extension would cost now.
type Quote struct {
	ProxyType       ProxyType
	Price           Money           // or a larger total, where the service tells one beside it
	Balance         Money           // what the account holds; nothing was taken from it
	Discount        decimal.Decimal // percent
	PromoCodeStatus PromoCodeStatus
	Warnings        []Warning // reasons for which the service would not execute it

	aged bool // a cache told it
}

// Warning is a reason for which the service would not execute what was quoted.
type Warning struct {
	Code    ErrorCode `json:"code"`
	Message string    `json:"message"`
}

// Order is an order the service has taken. It names neither the price nor the
// proxies, which may be ready only later.
type Order struct {
	Number          OrderNumber
	ProxyType       ProxyType
	Balance         Money // what the account holds after it
	PromoCodeStatus PromoCodeStatus
}

// QuoteOrder asks what an order would cost. It spends nothing. The request is
// held against the same rules as for [Client.CreateOrder], but AuthType, AuthIP
// and Protocol are not sent, as the price does not depend on them.
//
// A quote with warnings is no error: see [Quote.Warnings].
func (c *Client) QuoteOrder(ctx context.Context, req OrderRequest) (*Quote, error) {
	o, err := checkedOrder(req)
	if err != nil {
		return nil, err
	}
	return c.quote(ctx, "POST /calculate/order", &o.orderTerms, o.ProxyType)
}

// CreateOrder places an order and spends its price, which the reply does not
// name: ask [Client.QuoteOrder] first. It is sent once and never repeated.
//
// An error is a [*ValidationError] where the request breaks a rule, an
// [*APIError] where the service refused, and else a [*CallError]. [OutcomeOf]
// tells whether the order can have been placed; where that is
// [OutcomeUnknown], ordering again may buy twice. To cancel ctx after the order
// left only destroys the knowledge of what became of it.
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

// spent returns the entry of an order that is to be placed.
func (o *order) spent() *Entry {
	o.entry.Attempt = Attempt{
		Op: opOrder, ProxyType: o.ProxyType, RentPeriodDays: o.RentPeriodDays, PromoCode: o.PromoCode, Quantity: o.Quantity,
		Country: o.Country, Goal: o.Goal, MobileOperator: o.MobileOperator, RotationTime: o.rotation,
	}
	return &o.entry
}

// tell adds what the reply tells to the entry of the order.
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

// isOther reports whether a reply tells another proxy type than was asked for. One
// may be told more closely, such as IPV4_INDIVIDUAL.
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
	Total           amount   // the largest that stands beside the price
}

// readMore takes a total beside the price, by whatever name: which of the two is charged
// is not documented.
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

// price is what is to be reckoned with: the price, or a larger total beside it.
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

// warnings is what a quote warns of: a list of faults, or one alone.
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
