package youproxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// RenewalPolicy selects what [Client.PlanRenewals] plans to renew. EndsWithin,
// RentPeriodDays and Limit are required.
type RenewalPolicy struct {
	EndsWithin     time.Duration    // a minute or more: selects proxies that end within this time, by the service's clock
	RentPeriodDays int              // of each extension, in days, 1 or more
	ProxyTypes     []ProxyType      // empty for all types
	Select         func(Proxy) bool // reports whether to renew a proxy; nil for all
	PromoCode      string           // optional; if it is not valid, nothing is renewed
	Limit          Money            // the most that all renewals may cost together
}

func (p *RenewalPolicy) validate() error {
	var v brokenRules
	if p.EndsWithin < time.Minute {
		v.add("endsWithin", ruleRange, "must be a minute or more: give a duration such as 72 * time.Hour")
	}
	if p.RentPeriodDays < 1 {
		v.add("rentPeriodDays", ruleRange, "must be 1 or more")
	}
	if i := slices.IndexFunc(p.ProxyTypes, func(t ProxyType) bool { return !t.Valid() }); i >= 0 {
		v.add("proxyTypes", ruleUnknown, fmt.Sprintf("must be IPv4, IPv6, MOBILE or ISP, which it is not at index %d", i))
	}
	v.checkPromoCode(p.PromoCode)
	v.checkLimit("limit", p.Limit)
	return v.asError("RenewalPolicy")
}

func (r *brokenRules) checkLimit(field string, m Money) {
	if !isCurrency(m.Currency) || m.Amount.IsNegative() {
		r.add(field, ruleFormat, "must be an amount and its currency in capital letters, such as ParseMoney(\"10 USD\")")
	}
}

// RenewalPlan is what [Client.PlanRenewals] plans to renew. [Client.RenewAll] carries it
// out. It is plain JSON without secrets, so another process can carry it out later.
type RenewalPlan struct {
	Version int           `json:"version"`
	ID      string        `json:"id"`                // assigned by this package; with it, each part is renewed at most once
	At      time.Time     `json:"at"`                // when the list was read, by the clock of the machine that planned
	Limit   Money         `json:"limit"`             // the most that all parts may cost together
	Balance Money         `json:"balance,omitzero"`  // of the account at that time; unknown if nothing was quoted
	Parts   []RenewalPart `json:"parts"`             // in the order of their first ends
	LeftOut []LeftOut     `json:"leftOut,omitempty"` // what the policy selects but the plan does not renew
}

// RenewalPart is what one request of a [RenewalPlan] extends: proxies of one type.
type RenewalPart struct {
	ProxyType      ProxyType        `json:"proxyType"`
	RentPeriodDays int              `json:"rentPeriodDays"`
	PromoCode      string           `json:"promoCode,omitempty"`
	Proxies        []PlannedRenewal `json:"proxies"` // whole orders for IPv6

	// Price is the quoted price; if that may be per proxy, the price for all. The part may
	// cost no more, even if some of it is left out when the plan is carried out.
	Price Money `json:"price"`
}

// PlannedRenewal is a proxy of a [RenewalPart].
type PlannedRenewal struct {
	ID      IPAddressID `json:"ipAddressId"`
	OrderID OrderID     `json:"orderId,omitempty"`
	End     time.Time   `json:"end"` // at the time of the plan
}

// LeftOut is a proxy that is not renewed, and the reason.
type LeftOut struct {
	ProxyType ProxyType   `json:"proxyType"`
	ID        IPAddressID `json:"ipAddressId"`
	OrderID   OrderID     `json:"orderId,omitempty"`
	End       time.Time   `json:"end,omitzero"` // zero if not known
	Reason    LeaveReason `json:"reason"`
	Detail    string      `json:"detail,omitempty"`   // details of the reason, such as the message of a refusal
	Warnings  []Warning   `json:"warnings,omitempty"` // of the quote, or the refusal
}

// String returns which proxy is left out, and the reason.
func (l LeftOut) String() string {
	text := fmt.Sprintf("%s proxy %s: %s", l.ProxyType, l.ID, l.Reason)
	if l.Detail != "" {
		text += ": " + l.Detail
	}
	return printable(text)
}

// LeaveReason is the reason why a proxy is not renewed.
type LeaveReason string

// The reasons why a plan leaves out a proxy.
const (
	LeaveExtendsItself   LeaveReason = "extends itself"
	LeaveMayExtendItself LeaveReason = "may extend itself"           // the list shows it in an unknown form
	LeaveEndUnknown      LeaveReason = "end not known"               // or that of another proxy of the same IPv6 order
	LeaveEnded           LeaveReason = "has ended"                   // and is still in the list
	LeaveOrderUnknown    LeaveReason = "order not known"             // an IPv6 proxy is renewed with its order
	LeaveTypeUnknown     LeaveReason = "proxy type not known"        // to this package
	LeavePartOfOrder     LeaveReason = "a part of an IPv6 order"     // the rest is not selected
	LeaveAboveLimit      LeaveReason = "above the limit"             // of the policy
	LeaveAboveBudget     LeaveReason = "above the budget"            // what is left of it: see [WithBudget]
	LeaveAboveBalance    LeaveReason = "above the balance"           // of the account
	LeaveRefused         LeaveReason = "refused by the quote"        // see Detail and Warnings
	LeaveEndsLater       LeaveReason = "ends later by now"           // than planned, when the plan was carried out
	LeaveGone            LeaveReason = "not in the account any more" // when the plan was carried out
	LeaveRenewed         LeaveReason = "renewed since"               // according to the journal; the list may not show it yet
	LeavePending         LeaveReason = "renewal not settled"         // its entry in the journal is open: see [Client.Recover]
	LeaveBefore          LeaveReason = "left out before"             // when the plan was carried out the first time
)

const planVersion = 1

// Price returns the sum of the prices of all parts, or unknown Money if they are in
// different currencies.
func (p RenewalPlan) Price() Money {
	sum := Money{Currency: p.Limit.Currency}
	for i := range p.Parts {
		var err error
		if sum, err = sum.Add(p.Parts[i].Price); err != nil {
			return Money{}
		}
	}
	return sum
}

// Request returns the request that extends the part: an [ExtendOrdersRequest] for IPv6
// and an [ExtendIPsRequest] for other types.
func (p RenewalPart) Request() ExtendRequest {
	if p.ProxyType != ProxyTypeIPv6 {
		r := ExtendIPsRequest{ProxyType: p.ProxyType, RentPeriodDays: p.RentPeriodDays, PromoCode: p.PromoCode}
		for _, planned := range p.Proxies {
			r.IPAddressIDs = append(r.IPAddressIDs, planned.ID)
		}
		return r
	}
	r := ExtendOrdersRequest{ProxyType: p.ProxyType, RentPeriodDays: p.RentPeriodDays, PromoCode: p.PromoCode}
	seen := make(map[OrderID]bool)
	for _, planned := range p.Proxies {
		if !seen[planned.OrderID] {
			seen[planned.OrderID] = true
			r.OrderIDs = append(r.OrderIDs, planned.OrderID)
		}
	}
	return r
}

// String returns what the part extends, such as "5 x IPv4 for 30 days".
func (p RenewalPart) String() string {
	return fmt.Sprintf("%d x %s for %d days", len(p.Proxies), plainText(string(p.ProxyType)), p.RentPeriodDays)
}

// String returns the plan as a table, followed by what is left out.
func (p RenewalPlan) String() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for i, cell := range cells {
			cells[i] = printable(fmt.Sprint(cell))
		}
		_, _ = fmt.Fprintf(table, strings.TrimSuffix(strings.Repeat("%s\t", len(cells)), "\t")+"\n", cells...)
	}
	row("Type", "Proxies", "First end (UTC)", "Days", "Price")
	total := 0
	for i := range p.Parts {
		part := &p.Parts[i]
		total += len(part.Proxies)
		row(part.ProxyType, len(part.Proxies), part.firstEnd().UTC().Format("2006-01-02 15:04"), part.RentPeriodDays, part.Price)
	}
	row("Total", total, "", "", fmt.Sprintf("%s of at most %s", p.Price(), p.Limit))
	_ = table.Flush()
	for _, line := range countLeftOut(p.LeftOut) {
		b.WriteString("Left out: " + line + "\n")
	}
	return b.String()
}

func (p RenewalPart) firstEnd() (first time.Time) {
	for i, planned := range p.Proxies {
		if i == 0 || planned.End.Before(first) {
			first = planned.End
		}
	}
	return first
}

// countLeftOut returns how many proxies of each type are left out for each reason.
func countLeftOut(list []LeftOut) []string {
	type kind struct{ text, detail string }
	var kinds []kind
	counts := make(map[kind]int)
	for _, l := range list {
		k := kind{string(l.ProxyType) + ", " + string(l.Reason), l.Detail}
		if k.detail != "" {
			k.detail = ": " + k.detail
		}
		if counts[k]++; counts[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	lines := make([]string, len(kinds))
	for i, k := range kinds {
		lines[i] = printable(fmt.Sprintf("%d x %s%s", counts[k], k.text, k.detail))
	}
	return lines
}

// printable returns a string with a blank for each character that a terminal would not
// print.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// problem returns an error if a plan, which may come from a file, is not valid.
func (p *RenewalPlan) problem() error {
	var v brokenRules
	switch {
	case p == nil:
		v.add("plan", ruleRequired, "is nil: give one of PlanRenewals")
		return v.asError("RenewalPlan")
	case p.Version != planVersion:
		v.add("version", ruleUnknown, fmt.Sprintf("is %d, and this package reads %d", p.Version, planVersion))
	}
	if p.ID == "" || len(p.ID) > 100 || !utf8.ValidString(p.ID) || strings.ContainsRune(p.ID, 0) {
		v.add("id", ruleFormat, "must be 1 to 100 bytes of UTF-8 without NUL, as PlanRenewals made it")
	}
	if p.At.IsZero() {
		v.add("at", ruleRequired, "is missing: give when it was planned")
	}
	v.checkLimit("limit", p.Limit)
	if sum := p.Price(); isAbove(&sum, p.Limit) {
		v.add("limit", ruleConflict, "is below the price of all parts: make a new plan")
	}
	for i := range p.Parts {
		part := &p.Parts[i]
		if m := part.Price; m.Currency != p.Limit.Currency || m.Amount.IsNegative() {
			v.add(fmt.Sprintf("parts[%d].price", i), ruleConflict, "must be 0 or more in the currency of the limit")
		}
		if err, ok := part.Request().Validate().(*ValidationError); ok { //nolint:errorlint // it is never wrapped
			for _, f := range err.Fields {
				v.add(fmt.Sprintf("parts[%d].%s", i, f.Field), f.Rule, f.Message)
			}
		}
		seen := make(map[IPAddressID]bool)
		for _, planned := range part.Proxies {
			if seen[planned.ID] || planned.ID == "" || planned.End.IsZero() {
				v.add(fmt.Sprintf("parts[%d].proxies", i), ruleConflict, "must each have an end, and an id of its own")
				break
			}
			seen[planned.ID] = true
		}
	}
	return v.asError("RenewalPlan")
}

const opPlan = "PlanRenewals"

// PlanRenewals plans to renew what ends soon, for no more than policy.Limit. It spends
// nothing and does not lock the journal.
//
// It reads the list once, or once for each of policy.ProxyTypes. It leaves out proxies
// that extend themselves or may do so, proxies without a known end, what the journal
// shows as renewed or not settled, and an IPv6 order of which policy.Select excludes a
// part, as the service extends such an order as a whole. It asks for the price of the
// rest and, like [Client.Renew], for the price of one. What the service refuses is left
// out; if it refuses some ids of many, a limited number of quotes finds out which.
//
// If all would cost more than the limit, the balance, or what is left of the budget of
// [WithBudget], the plan contains what ends first and still fits; what is too expensive
// is skipped. The choice is made by the average price of one, and the price of what was
// chosen is asked for again.
//
// The error is a [*ValidationError], or the reason why the list, a price or the journal
// could not be read. Nothing was spent.
func (c *Client) PlanRenewals(ctx context.Context, policy RenewalPolicy) (*RenewalPlan, error) {
	if err := c.check(ctx); err != nil {
		return nil, notSent(opPlan, err)
	}
	if err := policy.validate(); err != nil {
		return nil, err
	}
	p := &planner{c: c, ctx: ctx, policy: &policy}
	p.plan = &RenewalPlan{Version: planVersion, ID: rand.Text(), At: time.Now().UTC(), Limit: policy.Limit, Parts: []RenewalPart{}}
	if err := p.read(); err != nil {
		return nil, err
	}
	if err := p.ask(); err != nil {
		return nil, err
	}
	if err := p.fit(); err != nil {
		return nil, err
	}
	for _, b := range p.batches {
		if len(b.chosen) > 0 {
			part := p.part(b, b.chosen)
			part.Price = b.cost
			p.plan.Parts = append(p.plan.Parts, part)
		}
	}
	slices.SortStableFunc(p.plan.Parts, func(a, b RenewalPart) int { return a.Proxies[0].End.Compare(b.Proxies[0].End) })
	return p.plan, nil
}

// compare orders planned renewals by their ends.
func (r PlannedRenewal) compare(other PlannedRenewal) int {
	return cmp.Or(r.End.Compare(other.End), cmp.Compare(r.ID, other.ID))
}
