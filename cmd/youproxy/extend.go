package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// selection is which proxies of the account a command is about.
type selection struct {
	proxyType string
	orders    []string
	days      int
	ids       []string // the arguments
}

func (s *selection) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.proxyType, "type", "", "proxy `type` (default: what the list of the account shows)")
	flags.StringSliceVar(&s.orders, "order", nil, "`id` of an order all of whose proxies are meant; may be repeated")
	flags.IntVar(&s.days, "days", 30, "length of the extension in `days`")
	_ = cmd.RegisterFlagCompletionFunc("type", a.completeTypes)
}

// check returns what is wrong with the command line.
func (s *selection) check() error {
	switch {
	case len(s.ids) == 0 && len(s.orders) == 0:
		return usageError{errors.New("nothing is named: add the ids of proxies, or --order with the id of an order; youproxy list shows them")}
	case len(s.ids) > 0 && len(s.orders) > 0:
		return usageError{errors.New("ids of proxies and --order cannot be used together: extend them one after the other")}
	case s.days < 1:
		return usageError{errors.New("--days must be 1 or more")}
	}
	if s.proxyType == "" {
		return nil
	}
	_, err := parseType(s.proxyType)
	return err
}

// typeOf returns the type of the flag, or that of the named proxies in the list.
func (s *selection) typeOf(ctx context.Context, client *youproxy.Client) (youproxy.ProxyType, error) {
	if s.proxyType != "" {
		return parseType(s.proxyType)
	}
	left := make(map[string]bool)
	for _, id := range slices.Concat(s.ids, s.orders) {
		left[id] = true
	}
	var found youproxy.ProxyType
	for p, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
		if err != nil {
			return "", err
		}
		id, cause := string(p.ID), youproxy.ErrIncorrectIPAddresses
		if len(s.orders) > 0 {
			id, cause = string(p.OrderID), youproxy.ErrIncorrectOrderIDs
		}
		if number := string(p.OrderNumber); len(s.orders) > 0 && number != id && left[number] {
			return "", &refusal{fmt.Sprintf("--order takes the id of an order, not its number: that of %s is %s; nothing was sent", plain(number), plain(id)), []error{cause}}
		}
		if _, named := left[id]; !named {
			continue
		}
		if found != "" && found != p.ProxyType {
			return "", &refusal{fmt.Sprintf("the named proxies are of the types %s and %s: name those of one type at a time; nothing was sent", found, p.ProxyType), []error{cause}}
		}
		found = p.ProxyType
		left[id] = false
	}
	for id, missing := range left {
		if missing {
			return "", &refusal{fmt.Sprintf("%q is not in the account; nothing was sent", id), []error{s.cause()}}
		}
	}
	return found, nil
}

// cause is the error of an id that the account does not have.
func (s *selection) cause() error {
	if len(s.orders) > 0 {
		return youproxy.ErrIncorrectOrderIDs
	}
	return youproxy.ErrIncorrectIPAddresses
}

// ids returns strings as ids.
func ids[ID ~string](list []string) []ID {
	var typed []ID
	for _, id := range list {
		typed = append(typed, ID(id))
	}
	return typed
}

// request returns the extension of what is named, or of the first of it.
func (s *selection) request(t youproxy.ProxyType, promo string, one bool) youproxy.ExtendRequest {
	if len(s.orders) > 0 {
		r := youproxy.ExtendOrdersRequest{ProxyType: t, OrderIDs: ids[youproxy.OrderID](s.orders), RentPeriodDays: s.days, PromoCode: promo}
		if one {
			r.OrderIDs = r.OrderIDs[:1]
		}
		return r
	}
	r := youproxy.ExtendIPsRequest{ProxyType: t, IPAddressIDs: ids[youproxy.IPAddressID](s.ids), RentPeriodDays: s.days, PromoCode: promo}
	if one {
		r.IPAddressIDs = r.IPAddressIDs[:1]
	}
	return r
}

// count returns how much is named.
func (s *selection) count() int { return len(s.ids) + len(s.orders) }

func (s *selection) describe(t youproxy.ProxyType) string {
	switch len(s.orders) {
	case 0:
	case 1:
		return fmt.Sprintf("order %s (%s), %d days", s.orders[0], t, s.days)
	default:
		return fmt.Sprintf("%d orders (%s), %d days", s.count(), t, s.days)
	}
	return fmt.Sprintf("%d x %s, %d days", s.count(), t, s.days)
}

// extend extends proxies.
func (a *app) extend() *cobra.Command {
	var s selection
	var f spendFlags
	var promo string
	cmd := &cobra.Command{
		Use:   "extend [ID...]",
		Short: "Extend proxies",
		Long: `extend shows what the extension of some proxies, or of the proxies of whole orders, costs,
asks, and extends them once. As with buy, the same command extends nothing twice after a run that
did not exit with 0; after a run that did, it extends them again. All proxies of an IPv6
order are extended together.

To extend all that ends soon, see renew.`,
		Example: `  youproxy extend 1001 1002 --days 30 --max-price '10 USD'
  youproxy extend --order 501 --max-price '10 USD' --yes`,
		Args: usage(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.ids = args
			if err := s.check(); err != nil {
				return err
			}
			client, err := f.client(a, cmd)
			if err != nil {
				return err
			}
			return a.extendSelected(cmd, client, &s, &f, promo)
		},
	}
	s.add(a, cmd)
	cmd.Flags().StringVar(&promo, "promo", "", "promo `code`; one that is not valid stops the extension")
	f.add(cmd)
	return cmd
}

func (a *app) extendSelected(cmd *cobra.Command, client *youproxy.Client, s *selection, f *spendFlags, promo string) error {
	ctx := cmd.Context()
	d := &deal{
		a: a, cmd: cmd, flags: f, client: client, quantity: s.count(), promo: promo != "",
		request: s.fingerprint(promo), meets: s.meets,
		differs: func(a *youproxy.Attempt) bool { return s.differs(a, promo) },
	}
	err := d.find(ctx)
	if err != nil {
		return err
	}
	var t youproxy.ProxyType
	if d.earlier != nil && s.proxyType == "" {
		t = d.earlier.Attempt.ProxyType // the ids may be others by now
	} else if t, err = s.typeOf(ctx, client); err != nil {
		return err
	}
	request := s.request(t, promo, false)
	if err := byFlag(request.Validate()); err != nil {
		return err
	}
	d.what = s.describe(t)
	d.quote = func(ctx context.Context) (*youproxy.Quote, error) { return client.QuoteExtension(ctx, request) }
	if s.count() > 1 {
		d.ofOne = func(ctx context.Context) (*youproxy.Quote, error) {
			return client.QuoteExtension(ctx, s.request(t, promo, true))
		}
	}
	var renewal *youproxy.Renewal
	err = d.make(ctx, func(opts ...youproxy.SpendOption) (err error) {
		renewal, err = client.Renew(ctx, request, f.maxPrice.Money, opts...)
		return err
	})
	if err != nil {
		return err
	}
	a.note("Extended %s.", d.describe(&renewal.Attempt, renewal.Charged, renewal.Recovered))
	if renewal.PromoCodeStatus == youproxy.PromoCodeNotValid {
		a.note("The service did not accept the promo code with the extension, although it did with the quote.")
	}
	list := &renewalTable{}
	list.add(renewal)
	return d.told(a.show(&list.table, list.values[0]), "it was extended, but that was not printed: ")
}

// fingerprint returns a string that differs from one extension to another.
func (s *selection) fingerprint(promo string) string {
	sorted := *s
	sorted.ids, sorted.orders = slices.Sorted(slices.Values(s.ids)), slices.Sorted(slices.Values(s.orders))
	return fingerprint(sorted.request("", promo, false))
}

// differs reports whether an attempt was of something else.
func (s *selection) differs(a *youproxy.Attempt, promo string) bool {
	same := func(asked []string, attempted []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(asked)), slices.Sorted(slices.Values(attempted)))
	}
	var ips, orders []string
	for _, id := range a.IPAddressIDs {
		ips = append(ips, string(id))
	}
	for _, id := range a.OrderIDs {
		orders = append(orders, string(id))
	}
	return a.RentPeriodDays != s.days || a.PromoCode != promo || !same(s.ids, ips) || !same(s.orders, orders)
}

// meets reports whether an open attempt stands in the way: it extends some of what is named.
func (s *selection) meets(a *youproxy.Attempt) bool {
	for _, id := range s.ids {
		if _, ok := a.Before.Ends[youproxy.IPAddressID(id)]; ok {
			return true
		}
	}
	return a.Op != "POST /order" && slices.ContainsFunc(ids[youproxy.OrderID](s.orders), func(id youproxy.OrderID) bool {
		return slices.Contains(a.Before.Orders, id) || slices.Contains(a.OrderIDs, id)
	})
}

// renewalTable is extensions that were made.
type renewalTable struct {
	table
	values []renewal
}

// renewal is an extension in JSON.
type renewal struct {
	ProxyType      youproxy.ProxyType     `json:"proxyType"`
	Quantity       int                    `json:"quantity"`
	RentPeriodDays int                    `json:"rentPeriodDays"`
	IPAddressIDs   []youproxy.IPAddressID `json:"ipAddressIds,omitempty"`
	OrderIDs       []youproxy.OrderID     `json:"orderIds,omitempty"`
	Price          youproxy.Money         `json:"price"`
	Charged        *youproxy.Money        `json:"charged,omitempty"`
	Recovered      bool                   `json:"recovered,omitempty"`
	IdempotencyKey string                 `json:"idempotencyKey,omitempty"`
}

func (t *renewalTable) add(r *youproxy.Renewal) {
	a := &r.Attempt
	t.head = []string{"TYPE", "PROXIES", "DAYS", "PRICE", "CHARGED"}
	t.table.add(a.ProxyType, a.Quantity, a.RentPeriodDays, a.Price, orUnknown(r.Charged))
	t.values = append(t.values, renewal{
		ProxyType: a.ProxyType, Quantity: a.Quantity, RentPeriodDays: a.RentPeriodDays, IPAddressIDs: r.IPAddressIDs, OrderIDs: r.OrderIDs,
		Price: a.Price, Charged: r.Charged, Recovered: r.Recovered, IdempotencyKey: a.Key,
	})
}

// orUnknown returns an amount that may not be known.
func orUnknown(m *youproxy.Money) youproxy.Money {
	if m == nil {
		return youproxy.Money{}
	}
	return *m
}
