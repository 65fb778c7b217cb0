package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/youproxy-go/youproxy"
)

var documentedTypes = []youproxy.ProxyType{
	youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
}

// report asks the service, and shows what it said.
type report struct {
	*options

	client        *youproxy.Client
	now           time.Time
	out, problems printer
	incomplete    bool // a part is missing
}

func (r *report) show(ctx context.Context) error {
	balance, err := r.client.Balance(ctx)
	if err != nil {
		return err
	}
	r.out.line("")
	r.out.line("Balance  %s", balance)
	r.out.line("Prices   of one proxy")

	types, err := r.types(ctx)
	if err != nil {
		return err
	}
	for _, t := range types {
		if err := r.showPrices(ctx, t); err != nil {
			return err
		}
	}
	return r.showPromoCodes(ctx)
}

// without goes on after an error where the service is there, but refused, or
// answered in a form that is not known: the form of some lists is not documented.
func (r *report) without(part string, err error) error {
	var refusal *youproxy.APIError
	var unread *youproxy.CallError
	if !errors.As(err, &refusal) && (!errors.As(err, &unread) || unread.HTTPStatus != http.StatusOK) {
		return err
	}
	r.incomplete = true
	r.problems.line("account: %v\naccount: going on without %s", err, part)
	return nil
}

func (r *report) types(ctx context.Context) ([]youproxy.ProxyType, error) {
	if r.proxyType != "" {
		return []youproxy.ProxyType{r.proxyType}, nil
	}
	types, err := r.client.ProxyTypes(ctx)
	if err != nil {
		return documentedTypes, r.without("the list of proxy types", err)
	}
	return types, nil
}

// offer is what a row of prices is about.
type offer struct {
	country  youproxy.Country
	operator youproxy.MobileOperator // of mobile proxies
}

func (r *report) showPrices(ctx context.Context, t youproxy.ProxyType) error {
	r.out.line("")
	if !t.Valid() {
		r.out.line("%s, a proxy type that this program cannot order", t)
		return nil
	}
	periods, err := r.client.RentPeriods(ctx, t)
	if err != nil {
		return r.without("the prices of "+string(t), err)
	}
	countries, err := r.client.Countries(ctx, t)
	if err != nil {
		return r.without("the prices of "+string(t), err)
	}
	offers := r.offersIn(countries)
	header := "  Code\tCountry\t"
	if t == youproxy.ProxyTypeMobile {
		operators, err := r.client.MobileOperators(ctx)
		if err != nil {
			return r.without("the prices of "+string(t), err)
		}
		offers = byOperator(offers, operators, countries)
		header += "Operator\tRotation in seconds\t"
	}

	r.out.line("%s, rent periods in days: %s", t, list(periods))
	r.out.line("")
	asked := r.periodsToAsk(periods)
	for _, days := range asked {
		header += fmt.Sprintf("%d days\t", days)
	}
	table := tabwriter.NewWriter(r.out.w, 0, 0, 2, ' ', 0)
	rows := printer{table}
	rows.line("%s", strings.TrimSuffix(header, "\t"))
	var doubts []string
	for _, o := range offers {
		cells := []string{"  " + o.country.Code, o.country.Name}
		if t == youproxy.ProxyTypeMobile {
			cells = append(cells, cmp.Or(o.operator.Tag, "none known"), list(o.operator.RotationTimes))
		}
		for _, days := range asked {
			price := "-" // of mobile proxies, there is none without an operator
			if t != youproxy.ProxyTypeMobile || o.operator.Tag != "" {
				price, err = r.price(ctx, o.request(t, days, r.goal), &doubts)
			}
			if err != nil {
				break
			}
			cells = append(cells, price)
		}
		rows.line("%s", strings.Join(cells, "\t"))
		if err != nil {
			break
		}
	}
	_ = table.Flush()
	for _, doubt := range doubts {
		r.out.line("  * would be refused now: %s", doubt)
	}
	return err
}

// offersIn gives the countries that were asked for. One that the service does not
// name is tried all the same, to learn what it says.
func (r *report) offersIn(countries []youproxy.Country) []offer {
	var offers []offer
	for _, c := range countries {
		if r.country == "" || r.country == c.Code {
			offers = append(offers, offer{country: c})
		}
	}
	if len(offers) == 0 && r.country != "" {
		offers = append(offers, offer{country: youproxy.Country{Code: r.country}})
	}
	return offers
}

// byOperator gives an offer for each operator of a country. How the service names
// an operator's country is not documented: one whose country is not found is tried
// in all.
func byOperator(offers []offer, operators []youproxy.MobileOperator, countries []youproxy.Country) []offer {
	var all []offer
	for _, o := range offers {
		found := false
		for _, operator := range operators {
			serves := func(c youproxy.Country) bool {
				in := operator.Country
				return in != "" && (strings.EqualFold(in, c.Code) || strings.EqualFold(in, c.Name))
			}
			if serves(o.country) || !slices.ContainsFunc(countries, serves) {
				all = append(all, offer{o.country, operator})
				found = true
			}
		}
		if !found {
			all = append(all, o)
		}
	}
	return all
}

func (r *report) periodsToAsk(periods []int) []int {
	switch {
	case r.days != 0:
		return []int{r.days}
	case r.country != "" || len(periods) == 0:
		return periods
	default:
		return []int{slices.Min(periods)}
	}
}

// price gives a price, or why there is none. A quote with warnings has its price
// as well: they go to doubts.
func (r *report) price(ctx context.Context, request youproxy.OrderRequest, doubts *[]string) (string, error) {
	quote, err := r.client.QuoteOrder(ctx, request)
	var refusal *youproxy.APIError
	var invalid *youproxy.ValidationError
	switch {
	case errors.As(err, &refusal):
		return reason(refusal.Code, refusal.Message), nil
	case errors.As(err, &invalid):
		return fmt.Sprintf("not asked: %s %s", invalid.Fields[0].Field, invalid.Fields[0].Message), nil
	case err != nil:
		return "", err
	case len(quote.Warnings) == 0:
		return quote.Price.String(), nil
	}
	for _, w := range quote.Warnings {
		if doubt := reason(w.Code, w.Message); !slices.Contains(*doubts, doubt) {
			*doubts = append(*doubts, doubt)
		}
	}
	return quote.Price.String() + " *", nil
}

func reason(code youproxy.ErrorCode, message string) string {
	return fmt.Sprintf("%q (code %d)", message, int(code))
}

// request is for one proxy. The price does not depend on how it recognises its
// user, on the protocol, or on which rotation time it has.
func (o offer) request(t youproxy.ProxyType, days int, goal string) youproxy.OrderRequest {
	common := youproxy.IPv4OrderRequest{
		Country: o.country.Code, Quantity: 1, RentPeriodDays: days, Goal: goal,
		AuthType: youproxy.AuthTypeLogin,
	}
	switch t {
	case youproxy.ProxyTypeIPv6:
		return youproxy.IPv6OrderRequest{
			Country: common.Country, Quantity: 1, RentPeriodDays: days, Goal: goal,
			AuthType: youproxy.AuthTypeLogin, Protocol: youproxy.ProtocolHTTP,
		}
	case youproxy.ProxyTypeMobile:
		request := youproxy.MobileOrderRequest{
			Country: common.Country, Quantity: 1, RentPeriodDays: days, Goal: goal,
			AuthType: youproxy.AuthTypeLogin, MobileOperator: o.operator.Tag,
		}
		if times := o.operator.RotationTimes; len(times) > 0 {
			request.RotationTime, request.RotateByLink = times[0], times[0] == 0
		}
		return request
	case youproxy.ProxyTypeISP:
		return youproxy.ISPOrderRequest(common)
	default:
		return common
	}
}

func (r *report) showPromoCodes(ctx context.Context) error {
	codes, err := r.client.PromoCodes(ctx)
	if err != nil {
		return r.without("the promo codes", err)
	}
	r.out.line("")
	if len(codes) == 0 {
		r.out.line("No promo codes")
		return nil
	}
	r.out.line("Promo codes")
	r.out.line("")
	table := tabwriter.NewWriter(r.out.w, 0, 0, 2, ' ', 0)
	rows := printer{table}
	rows.line("  Code\tDiscount\tUses\tHolds")
	for _, c := range codes {
		rows.line("  %s\t%s %%\t%d\t%s", c.Code, c.Discount, c.Uses, holds(c, r.now))
	}
	return table.Flush()
}

// holds tells when a promo code is valid.
func holds(c youproxy.PromoCode, now time.Time) string {
	var text string
	if c.Start.After(now) {
		text = "from " + c.Start.Format(time.DateOnly) + ", "
	}
	switch {
	case c.Endless:
		return text + "without end"
	case c.End.IsZero():
		return text + "end not known"
	case c.End.Before(now):
		return "ended " + c.End.Format(time.DateOnly)
	default:
		return text + "until " + c.End.Format(time.DateOnly)
	}
}

func list(numbers []int) string {
	if len(numbers) == 0 {
		return "none known"
	}
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ", ")
}
