package youproxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// Country is where proxies are on sale.
type Country struct {
	Code string // ISO 3166-1 alpha-3, such as "USA": what an order's Country takes
	Name string // empty where the service names none
}

// MobileOperator is a carrier of mobile proxies.
type MobileOperator struct {
	Tag           string // what an order's MobileOperator takes, such as "verizon"
	Name          string // empty where the service names none
	Country       string // as the service writes it; empty where it names none
	RotationTimes []int  // seconds: what an order's RotationTime takes
}

// PromoCode is a promo code of the account.
type PromoCode struct {
	Code         string
	Uses         int               // so far
	Start, End   time.Time         // zero where the service gives none
	Endless      bool              // it does not end
	Discount     decimal.Decimal   // in percent
	Descriptions map[string]string // by locale, such as "en"
}

// ProxyTypes gives the proxy types on sale.
//
// The form of the reply is not documented: names and objects are taken, in a
// list under any of the names a public integration looked for. A reply in
// another form is a [*CallError]; [Client.Call] reaches it.
func (c *Client) ProxyTypes(ctx context.Context) ([]ProxyType, error) {
	reply := undocumentedList{
		names: []string{"proxyTypes", "types", "items"},
		keys:  []string{"proxyType", "code", "name", "title"},
	}
	if _, err := c.get(ctx, "GET /proxyType", nil, &reply); err != nil {
		return nil, err
	}
	types := make([]ProxyType, len(reply.entries))
	for i, e := range reply.entries {
		types[i] = knownProxyType(e.key)
	}
	return types, nil
}

// Countries gives where proxies of a type are on sale.
//
// The form of the reply was read off a public integration; one in another form
// is a [*CallError], and [Client.Call] reaches it.
func (c *Client) Countries(ctx context.Context, t ProxyType) ([]Country, error) {
	query, err := forProxyType("Countries", t)
	if err != nil {
		return nil, err
	}
	reply := undocumentedList{
		names: []string{"countries"},
		keys:  []string{"alpha3code", "alpha3", "countryCode", "code"},
	}
	if _, err := c.get(ctx, "GET /country", query, &reply); err != nil {
		return nil, err
	}
	countries := make([]Country, len(reply.entries))
	for i, e := range reply.entries {
		countries[i] = Country{Code: e.key, Name: e.text("name", "countryName")}
	}
	return countries, nil
}

// RentPeriods gives for how many days proxies of a type can be rented or
// extended.
func (c *Client) RentPeriods(ctx context.Context, t ProxyType) ([]int, error) {
	query, err := forProxyType("RentPeriods", t)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Days list[number] `json:"rentPeriodDays"`
	}
	if _, err := c.get(ctx, "GET /rentPeriod", query, &reply); err != nil {
		return nil, err
	}
	days := []int{}
	for _, n := range reply.Days {
		if n > 0 {
			days = append(days, int(n))
		}
	}
	return days, nil
}

// MobileOperators gives the carriers of mobile proxies.
//
// The form of the reply is not documented: names and objects are taken, in a
// list under any of the names a public integration looked for. A reply in
// another form is a [*CallError]; [Client.Call] reaches it.
func (c *Client) MobileOperators(ctx context.Context) ([]MobileOperator, error) {
	reply := undocumentedList{
		names: []string{"mobileOperators", "operators"},
		keys:  []string{"code", "id", "operator"},
	}
	if _, err := c.get(ctx, "GET /mobileOperator", nil, &reply); err != nil {
		return nil, err
	}
	operators := make([]MobileOperator, len(reply.entries))
	for i, e := range reply.entries {
		operators[i] = MobileOperator{
			Tag: e.key, Name: e.text("name", "title", "operator"), Country: e.text("country"),
			RotationTimes: e.numbers("rotationTimes", "rotationTime"),
		}
	}
	return operators, nil
}

// PromoCodes gives the promo codes of the account.
func (c *Client) PromoCodes(ctx context.Context) ([]PromoCode, error) {
	var reply struct {
		Codes list[promoCode] `json:"promoCodes"`
	}
	if _, err := c.get(ctx, "GET /promoCode", nil, &reply); err != nil {
		return nil, err
	}
	codes := []PromoCode{}
	for _, p := range reply.Codes {
		if p.Code == "" {
			continue
		}
		codes = append(codes, PromoCode{
			Code: string(p.Code), Uses: int(p.CountUses), Start: p.StartDate.Time, End: p.EndDate.Time,
			Endless: bool(p.Endless), Discount: p.Discount.value, Descriptions: p.Descriptions,
		})
	}
	return codes, nil
}

type promoCode struct {
	Code         text   `json:"code"`
	CountUses    number `json:"countUses"`
	StartDate    date   `json:"startDate"`
	EndDate      date   `json:"endDate"`
	Endless      truth  `json:"endless"`
	Discount     amount `json:"discount"`
	Descriptions texts  `json:"descriptionsByLocale"`
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

// proxyTypeQuery is the query of the calls that are about one proxy type.
type proxyTypeQuery struct {
	ProxyType ProxyType `url:"proxyType,omitempty"`
}

// forProxyType makes the query of a call that must name a proxy type. Whether it
// is one is for the service to say.
func forProxyType(call string, t ProxyType) (*proxyTypeQuery, error) {
	var v brokenRules
	v.checkText("proxyType", string(t), "give one such as ProxyTypeIPv4")
	return &proxyTypeQuery{t}, v.asError(call)
}

// undocumentedList reads a list of which neither the name is documented nor the
// form of its entries: they may be texts, or objects that hold one.
type undocumentedList struct {
	names   []string // of the list, the likeliest first
	keys    []string // of the member that tells entries apart, the likeliest first
	found   string   // the name it has
	null    bool     // one of the names is there, without a list: an empty one
	entries []entry
}

type entry struct {
	key     string
	members map[string]jsontext.Value
}

func (l *undocumentedList) problem(*envelope) string {
	if l.found == "" && !l.null {
		return strconv.Quote(l.names[0]) + isMissing
	}
	return ""
}

func (l *undocumentedList) reset() { l.found, l.null, l.entries = "", false, nil }

func (l *undocumentedList) readMember(_ *envelope, name string, dec *jsontext.Decoder) error {
	rank := slices.Index(l.names, name)
	switch kind := dec.PeekKind(); {
	case rank >= 0 && kind == 'n':
		l.null = true
		return dec.SkipValue()
	case rank < 0, kind != '[', l.found != "" && rank >= slices.Index(l.names, l.found):
		return dec.SkipValue()
	}
	var values list[jsontext.Value]
	if err := values.UnmarshalJSONFrom(dec); err != nil {
		return err
	}
	l.found, l.entries = l.names[rank], nil
	for i, value := range values {
		e := readEntry(value, l.keys)
		switch {
		case e.key != "":
			l.entries = append(l.entries, e)
		case value.Kind() != 'n':
			return &oddForm{oddity(fmt.Sprintf("entry %d of %q is in an unknown form", i, l.found))}
		}
	}
	return nil
}

func readEntry(value jsontext.Value, keys []string) (e entry) {
	switch value.Kind() {
	case '"', '0':
		e.key = strings.TrimSpace(textOf(value))
	case '{':
		if err := json.Unmarshal(value, &e.members, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err == nil {
			e.key = e.text(keys...)
		}
	}
	return e
}

// text gives the first of the members that is a text or a number, but not blank.
func (e *entry) text(names ...string) string {
	for _, name := range names {
		if t := strings.TrimSpace(textOf(e.members[name])); t != "" {
			return t
		}
	}
	return ""
}

// numbers gives the first of the members that is a whole number, or a list of
// them.
func (e *entry) numbers(names ...string) []int {
	for _, name := range names {
		value := e.members[name]
		values := list[number]{0}
		if value.Kind() == '[' {
			values = nil
			_ = json.Unmarshal(value, &values)
		} else {
			_ = json.Unmarshal(value, &values[0])
		}
		var all []int
		for _, n := range values {
			if n != 0 {
				all = append(all, int(n))
			}
		}
		if all != nil {
			return all
		}
	}
	return nil
}

// textOf gives a value that is a JSON string, or a number as it is written.
func textOf(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		t, _ := jsontext.AppendUnquote(nil, value)
		return string(t)
	case '0':
		return string(value)
	}
	return ""
}

// knownProxyType gives a proxy type in its own letter case.
func knownProxyType(name string) ProxyType {
	for _, t := range []ProxyType{ProxyTypeIPv4, ProxyTypeIPv6, ProxyTypeMobile, ProxyTypeISP} {
		if strings.EqualFold(name, string(t)) {
			return t
		}
	}
	return ProxyType(name)
}
