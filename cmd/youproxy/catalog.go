package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// catalog shows what is on sale.
func (a *app) catalog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog [TYPE]",
		Short: "Show what is on sale: proxy types, countries, rent periods, mobile operators",
		Long: `catalog shows the proxy types on sale, each with its rent periods in days and its number of
countries. With a type it shows the countries, and for MOBILE also the operators with their
rotation times in seconds; "link" means that only a link changes the address. For a price,
see youproxy quote.`,
		Example:           "  youproxy catalog\n  youproxy catalog MOBILE\n  youproxy catalog promo-codes",
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			var t youproxy.ProxyType
			if len(args) > 0 {
				if err := (*typeValue)(&t).Set(args[0]); err != nil {
					return usageError{fmt.Errorf("%q is not a proxy type: %w", args[0], err)}
				}
			}
			client, err := a.client()
			switch {
			case err != nil:
				return err
			case t == "":
				return a.showTypes(cmd.Context(), client)
			}
			return a.showCountries(cmd.Context(), client, t)
		},
	}
	cmd.AddCommand(a.promoCodes())
	return cmd
}

// onSale is a proxy type, in JSON.
type onSale struct {
	ProxyType      youproxy.ProxyType `json:"proxyType"`
	RentPeriodDays []int              `json:"rentPeriodDays"`
	Countries      []country          `json:"countries"`
}

type country struct {
	Code      string     `json:"code"`
	Name      string     `json:"name"`
	Operators []operator `json:"operators,omitempty"`
}

type operator struct {
	Tag           string `json:"tag"`
	Name          string `json:"name"`
	RotationTimes []int  `json:"rotationTimes"`
}

// typeOnSale asks what is on sale of a type, without the operators.
func typeOnSale(ctx context.Context, client *youproxy.Client, t youproxy.ProxyType) (*onSale, error) {
	periods, err := client.RentPeriods(ctx, t)
	if err != nil {
		return nil, err
	}
	countries, err := client.Countries(ctx, t)
	if err != nil {
		return nil, err
	}
	sold := &onSale{t, append([]int{}, periods...), []country{}}
	for _, c := range countries {
		sold.Countries = append(sold.Countries, country{Code: c.Code, Name: c.Name})
	}
	return sold, nil
}

func (a *app) showTypes(ctx context.Context, client *youproxy.Client) error {
	types, err := client.ProxyTypes(ctx)
	if err != nil {
		return err
	}
	t := &table{head: []string{"TYPE", "RENT PERIODS", "COUNTRIES"}}
	all := []*onSale{}
	for _, proxyType := range types {
		sold, err := typeOnSale(ctx, client, proxyType)
		if err != nil {
			return err
		}
		all = append(all, sold)
		t.add(proxyType, numbers(sold.RentPeriodDays), len(sold.Countries))
	}
	return a.show(t, all)
}

func (a *app) showCountries(ctx context.Context, client *youproxy.Client, proxyType youproxy.ProxyType) error {
	sold, err := typeOnSale(ctx, client, proxyType)
	if err != nil {
		return err
	}
	if proxyType != youproxy.ProxyTypeMobile {
		t := &table{head: []string{"CODE", "COUNTRY"}}
		for _, c := range sold.Countries {
			t.add(c.Code, c.Name)
		}
		a.note("rent periods in days: %s", numbers(sold.RentPeriodDays))
		return a.show(t, sold)
	}
	operators, err := client.MobileOperators(ctx)
	if err != nil {
		return err
	}
	sold.place(operators)
	t := &table{head: []string{"CODE", "COUNTRY", "OPERATOR", "NAME", "ROTATION"}}
	for _, c := range sold.Countries {
		if len(c.Operators) == 0 {
			t.add(c.Code, c.Name, "", "", "")
		}
		for _, o := range c.Operators {
			t.add(c.Code, c.Name, o.Tag, o.Name, rotation(o.RotationTimes))
		}
	}
	a.note("rent periods in days: %s", numbers(sold.RentPeriodDays))
	return a.show(t, sold)
}

// place puts the operators into their countries. How the service names the country of an
// operator is not documented: one whose country is not found gets a place of its own.
func (s *onSale) place(operators []youproxy.MobileOperator) {
	for _, o := range operators {
		i := slices.IndexFunc(s.Countries, func(c country) bool {
			return o.Country != "" && (strings.EqualFold(o.Country, c.Code) || strings.EqualFold(o.Country, c.Name))
		})
		if i < 0 {
			i = len(s.Countries)
			s.Countries = append(s.Countries, country{Name: o.Country})
		}
		s.Countries[i].Operators = append(s.Countries[i].Operators, operator{o.Tag, o.Name, append([]int{}, o.RotationTimes...)})
	}
}

// rotation returns the rotation times as buy takes them.
func rotation(times []int) string {
	list := make([]string, len(times))
	for i, n := range times {
		if list[i] = strconv.Itoa(n); n == 0 {
			list[i] = "link"
		}
	}
	return strings.Join(list, ",")
}

func numbers(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}

// promoCodes shows the promo codes of the account.
func (a *app) promoCodes() *cobra.Command {
	return &cobra.Command{
		Use:     "promo-codes",
		Short:   "Show the promo codes of the account",
		Example: "  youproxy catalog promo-codes",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			codes, err := client.PromoCodes(cmd.Context())
			if err != nil {
				return err
			}
			s := a.newStream("CODE", "DISCOUNT", "USES", "VALID", "DESCRIPTION")
			for _, c := range codes {
				if err := s.add(newPromoCode(c), c.Code, c.Discount.String()+" %", c.Uses, validity(c, time.Now()), cmp.Or(c.Descriptions["en"], c.Descriptions["EN"])); err != nil {
					break // end returns it
				}
			}
			if len(codes) == 0 {
				a.note("there are no promo codes")
			}
			return s.end(nil)
		},
	}
}

// promoCode is a promo code in JSON.
type promoCode struct {
	Code         string            `json:"code"`
	Discount     string            `json:"discount"` // in percent
	Uses         int               `json:"uses"`
	Start        time.Time         `json:"start,omitzero"`
	End          time.Time         `json:"end,omitzero"`
	Endless      bool              `json:"endless"`
	Descriptions map[string]string `json:"descriptions,omitempty"`
}

func newPromoCode(c youproxy.PromoCode) promoCode {
	return promoCode{c.Code, c.Discount.String(), c.Uses, c.Start, c.End, c.Endless, c.Descriptions}
}

// validity returns when a promo code is valid.
func validity(c youproxy.PromoCode, now time.Time) string {
	text := ""
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
	}
	return text + "until " + c.End.Format(time.DateOnly)
}
