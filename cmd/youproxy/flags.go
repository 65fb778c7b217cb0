package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// filter is which proxies of the account a command is about.
type filter struct {
	proxyType youproxy.ProxyType // empty for all
	country   string             // empty for all
}

// filterFlags adds the flags of a filter, whose values are completed from the account.
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

// proxies yields the proxies of the account that the filter lets through.
func (f *filter) proxies(ctx context.Context, client *youproxy.Client) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for p, err := range client.Proxies(ctx, f.query()) {
			if (err != nil || f.matches(p)) && !yield(p, err) {
				return
			}
		}
	}
}

// String says which proxies it is about.
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

// typeValue is a flag for a proxy type, in capitals or not.
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
	return errors.New("it is IPv4, IPv6, MOBILE or ISP")
}

// schemeValue is a flag for what to speak with proxies.
type schemeValue youproxy.Scheme

var schemeNames = []string{"any", "http", "socks5", "socks5h"}

func (v *schemeValue) String() string { return string(*v) }
func (v *schemeValue) Type() string   { return "scheme" }

func (v *schemeValue) Set(s string) error {
	if s = strings.ToLower(s); !slices.Contains(schemeNames, s) {
		return errors.New("it is any, http, socks5 or socks5h")
	}
	*v = schemeValue(strings.TrimPrefix(s, "any"))
	return nil
}

func (a *app) schemeFlag(cmd *cobra.Command, s *youproxy.Scheme) {
	cmd.Flags().Var((*schemeValue)(s), "scheme", "`protocol` to speak with the proxies: http, socks5, socks5h, or any, which is http where a proxy speaks it")
	_ = cmd.RegisterFlagCompletionFunc("scheme", cobra.FixedCompletions(schemeNames, cobra.ShellCompDirectiveNoFileComp))
}

// completionTime is how long a shell waits for what it offers.
const completionTime = 3 * time.Second

// complete returns what a call to the account offers a shell; nothing where it fails.
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
