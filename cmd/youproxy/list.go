package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// listing are the flags of list.
type listing struct {
	filter

	ending time.Duration // 0 for all
}

// list shows the proxies of the account.
func (a *app) list() *cobra.Command {
	o := &listing{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the proxies of the account",
		Long: `list shows the proxies of the account as they arrive. It never shows passwords: see youproxy
export. Times are in UTC. With --ending it shows what ends soon, or has ended.`,
		Example: "  youproxy list\n  youproxy list --type ISP --ending 7d\n  youproxy list --output json | jq -r '.[].ipAddressId'",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("ending") && o.ending <= 0 {
				return usageError{errors.New("--ending must be more than 0")}
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.showProxies(cmd.Context(), client, o, time.Now())
		},
	}
	a.filterFlags(cmd, &o.filter)
	cmd.Flags().Var((*timeSpan)(&o.ending), "ending", "only what ends within this `time`, such as 7d or 12h, or has ended")
	return cmd
}

func (a *app) showProxies(ctx context.Context, client *youproxy.Client, o *listing, now time.Time) error {
	s := a.newStream("ID", "TYPE", "HOST", "HTTP", "SOCKS5", "COUNTRY", "ORDER", "ENDS", "DAYS LEFT", "AUTO-EXTEND")
	shown, endless := 0, 0
	var failed error
	for p, err := range o.proxies(ctx, client) {
		if failed = err; err != nil {
			break
		}
		if o.ending > 0 && p.End.IsZero() {
			endless++
			continue
		}
		if o.ending > 0 && p.End.After(now.Add(o.ending)) {
			continue
		}
		shown++
		order := cmp.Or(string(p.OrderID), string(p.OrderNumber)) // the id is what --order takes
		ends, left := end(p, now)
		if failed = s.add(p, p.ID, p.ProxyType, p.Host, number(p.HTTPPort), number(p.SOCKS5Port), p.Country, order, ends, left, autoExtend(p)); failed != nil {
			break
		}
	}
	err := s.end(failed)
	switch {
	case err != nil && shown == 0:
		return err
	case err != nil:
		return fmt.Errorf("%w\nthe list is not complete: it ended after %d proxies", err, shown)
	case shown == 0 && o.ending > 0:
		a.note("there are no %s that end so soon", o)
	case shown == 0:
		a.note("there are no %s", o)
	}
	if endless > 0 {
		a.note("left out, as their end is not known: %d", endless)
	}
	return nil
}

// end returns when a proxy ends, and the number of full days that are left.
func end(p youproxy.Proxy, now time.Time) (ends, left string) {
	switch {
	case p.End.IsZero():
		return "", ""
	case p.End.After(now):
		left = strconv.Itoa(int(p.End.Sub(now) / (24 * time.Hour)))
	default:
		left = "ended"
	}
	return p.End.UTC().Format(time.RFC3339), left
}

// number returns a number, or nothing for one that is not known.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func autoExtend(p youproxy.Proxy) string {
	switch {
	case p.AutoExtendUnknown:
		return "not known"
	case !p.AutoExtend:
		return "no"
	case p.AutoExtendDays == 0:
		return "yes"
	}
	return fmt.Sprintf("by %d days", p.AutoExtendDays)
}
