package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// autoExtend switches the automatic extension of proxies.
func (a *app) autoExtend() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "auto-extend on|off [ID...]",
		Short: "Switch the automatic extension of proxies on or off",
		Long: `auto-extend switches the automatic extension of some proxies, or of the proxies of whole
orders, on or off. It spends nothing by itself. While it is on, the service extends the proxies
when they end, and charges the account without asking. Neither --max-price nor a budget nor the
journal of this program limits that.`,
		Example: `  youproxy auto-extend on 1001 1002 --days 30
  youproxy auto-extend off --order 501`,
		Args:      usage(cobra.MinimumNArgs(1)),
		ValidArgs: []string{"on", "off"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "on" && args[0] != "off" {
				return usageError{errors.New("the first argument is on or off")}
			}
			on := args[0] == "on"
			s.ids = args[1:]
			if err := s.check(); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			t, err := s.typeOf(cmd.Context(), client)
			if err != nil {
				return err
			}
			request := s.autoRequest(t, on)
			if err := byFlag(request.Validate()); err != nil {
				return err
			}
			done, err := client.SetAutoExtend(cmd.Context(), request)
			if youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown {
				a.note("It is not known whether it was switched %s: youproxy list shows that.", args[0])
			}
			if err != nil {
				return err
			}
			if on {
				a.note("From now on the service extends them when they end, and charges the account.")
			}
			switched := &table{head: []string{"TYPE", "PROXIES", "AUTO-EXTEND", "DAYS"}}
			switched.add(t, done.Quantity, args[0], s.days)
			return a.show(switched, map[string]any{
				"proxyType": t, "quantity": done.Quantity, "autoExtend": on, "rentPeriodDays": s.days,
				"ipAddressIds": done.IPAddressIDs, "orderIds": done.OrderIDs,
			})
		},
	}
	s.add(a, cmd)
	cmd.Flags().Lookup("days").Usage = "length of each extension in `days`"
	return cmd
}

func (s *selection) autoRequest(t youproxy.ProxyType, on bool) youproxy.AutoExtendRequest {
	if len(s.orders) > 0 {
		return youproxy.AutoExtendOrdersRequest{ProxyType: t, OrderIDs: ids[youproxy.OrderID](s.orders), RentPeriodDays: s.days, AutoExtend: on}
	}
	return youproxy.AutoExtendIPsRequest{ProxyType: t, IPAddressIDs: ids[youproxy.IPAddressID](s.ids), RentPeriodDays: s.days, AutoExtend: on}
}
