package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// filter selects proxies of the account.
type filter struct {
	proxyType youproxy.ProxyType // empty for all
	country   string             // empty for all
}

// filterFlags adds the flags of a filter. Their values are completed from the account.
func (a *app) filterFlags(cmd *cobra.Command, f *filter) {
	cmd.Flags().Var((*typeValue)(&f.proxyType), "type", "only proxies of this `type`: IPv4, IPv6, MOBILE or ISP")
	cmd.Flags().StringVar(&f.country, "country", "", "only proxies in this country, a `code` such as USA")
	_ = cmd.RegisterFlagCompletionFunc("type", a.completeTypes)
	_ = cmd.RegisterFlagCompletionFunc("country", a.completeCountriesHeld(f))
}

func (f *filter) query() youproxy.ProxyQuery { return youproxy.ProxyQuery{ProxyType: f.proxyType} }

// matches reports whether a proxy is in the country.
func (f *filter) matches(p youproxy.Proxy) bool {
	return f.country == "" || strings.EqualFold(f.country, p.Country)
}

// proxies yields the proxies of the account that the filter selects.
func (f *filter) proxies(ctx context.Context, client *youproxy.Client) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for p, err := range client.Proxies(ctx, f.query()) {
			if (err != nil || f.matches(p)) && !yield(p, err) {
				return
			}
		}
	}
}

// String returns the proxies in words, such as "ISP proxies in USA".
func (f *filter) String() string {
	text := "proxies"
	if f.proxyType != "" {
		text = string(f.proxyType) + " proxies"
	}
	if f.country != "" {
		text += " in " + strings.ToUpper(f.country)
	}
	return text
}

var documentedTypes = []youproxy.ProxyType{
	youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
}

// typeValue is a flag for a proxy type, in any letter case.
type typeValue youproxy.ProxyType

func (v *typeValue) String() string { return string(*v) }
func (v *typeValue) Type() string   { return "type" }

func (v *typeValue) Set(s string) error {
	for _, t := range documentedTypes {
		if strings.EqualFold(s, string(t)) {
			*v = typeValue(t)
			return nil
		}
	}
	return errors.New("it must be IPv4, IPv6, MOBILE or ISP")
}

// schemeValue is a flag for the protocol to use with proxies.
type schemeValue youproxy.Scheme

var schemeNames = []string{"any", "http", "socks5", "socks5h"}

func (v *schemeValue) String() string { return string(*v) }
func (v *schemeValue) Type() string   { return "scheme" }

func (v *schemeValue) Set(s string) error {
	if s = strings.ToLower(s); !slices.Contains(schemeNames, s) {
		return errors.New("it must be any, http, socks5 or socks5h")
	}
	*v = schemeValue(strings.TrimPrefix(s, "any"))
	return nil
}

func (a *app) schemeFlag(cmd *cobra.Command, s *youproxy.Scheme) {
	cmd.Flags().Var((*schemeValue)(s), "scheme", "`protocol` to use with the proxies: http, socks5, socks5h, or any, which is http if a proxy speaks it")
	_ = cmd.RegisterFlagCompletionFunc("scheme", cobra.FixedCompletions(schemeNames, cobra.ShellCompDirectiveNoFileComp))
}

// timeSpan is a flag for a time such as 7d or 12h.
type timeSpan time.Duration

func (*timeSpan) Type() string { return "time" }

func (s *timeSpan) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 36500)) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return errors.New("it must be a number of days or hours, such as 7d or 12h")
	}
	*s = timeSpan(d)
	return nil
}

func (s *timeSpan) String() string {
	const day = timeSpan(24 * time.Hour)
	switch {
	case *s == 0:
		return ""
	case *s%day == 0:
		return strconv.Itoa(int(*s/day)) + "d"
	}
	return time.Duration(*s).String()
}

// completionTime is how long a shell waits for completions.
const completionTime = 3 * time.Second

// complete returns the completions that offer finds in the account, or none if it fails.
func (a *app) complete(cmd *cobra.Command, offer func(context.Context, *youproxy.Client) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	client, err := a.client(youproxy.WithReadRetries(0))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	offered, err := offer(ctx, client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offered, cobra.ShellCompDirectiveNoFileComp
}

// completeTypes offers the proxy types on sale.
func (a *app) completeTypes(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	offered, directive := a.complete(cmd, func(ctx context.Context, client *youproxy.Client) (offered []cobra.Completion, err error) {
		types, err := client.ProxyTypes(ctx)
		for _, t := range types {
			if t.Valid() {
				offered = append(offered, string(t))
			}
		}
		return offered, err
	})
	if len(offered) == 0 {
		for _, t := range documentedTypes {
			offered = append(offered, string(t))
		}
	}
	return offered, directive
}

// completeCountries offers the countries in which proxies of the type that *name says are
// on sale.
func (a *app) completeCountries(name *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.complete(cmd, func(ctx context.Context, client *youproxy.Client) (offered []cobra.Completion, err error) {
			t, err := parseType(*name)
			if err != nil {
				return nil, err
			}
			countries, err := client.Countries(ctx, t)
			for _, c := range countries {
				offered = append(offered, cobra.CompletionWithDesc(plain(c.Code), plain(c.Name)))
			}
			return offered, err
		})
	}
}

// completeCountriesHeld offers the countries of the proxies that the account has.
func (a *app) completeCountriesHeld(f *filter) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.complete(cmd, func(ctx context.Context, client *youproxy.Client) (offered []cobra.Completion, err error) {
			count := map[string]int{}
			for p, err := range client.Proxies(ctx, f.query()) {
				if err != nil {
					return nil, err
				}
				count[p.Country]++
			}
			delete(count, "")
			for _, country := range slices.Sorted(maps.Keys(count)) {
				offered = append(offered, cobra.CompletionWithDesc(plain(country), fmt.Sprintf("proxies: %d", count[country])))
			}
			return offered, nil
		})
	}
}
