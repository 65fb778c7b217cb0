package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// renewFlags are the flags of renew.
type renewFlags struct {
	within           timeSpan
	days             int
	types            []string
	promo            string
	maxPrice, maxDay price
	yes              bool
}

// renew plans to renew what ends soon, and carries the plan out.
func (a *app) renew() *cobra.Command {
	f := renewFlags{within: timeSpan(3 * 24 * time.Hour)}
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew what ends soon",
		Long: `renew plans which proxies to renew: those that end first, up to --max-price. On a terminal it
asks before it carries the plan out; with --yes it does not ask. Elsewhere, without --yes, it
prints the plan and spends nothing.

Proxies that the service extends automatically are left out. renew can be run again after a
failure, or every night: it first finds out whether renewals that an earlier run left open in the
journal were executed, and renews nothing twice.

--max-price limits one run, together with the runs in which the same command is repeated because
it did not exit with 0. After a run that did, the next one can spend as much again. To limit what
is spent in 24 hours, add --max-day.`,
		Example: `  youproxy renew --max-price '20 USD'
  youproxy renew --within 7d --days 30 --type ISP --max-price '20 USD' --max-day '30 USD' --yes
  youproxy renew --max-price '20 USD' --output json </dev/null`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			policy, err := f.policy()
			if err != nil {
				return err
			}
			opts := []youproxy.Option{a.watch()}
			if !f.maxDay.IsZero() {
				opts = append(opts, youproxy.WithBudget(f.maxDay.Money, 24*time.Hour))
			}
			client, err := a.spender(opts...)
			if err != nil {
				return err
			}
			if !f.yes && !a.asks {
				return a.showPlan(cmd, client, policy)
			}
			return a.carryOut(cmd, client, policy, &f)
		},
	}
	flags := cmd.Flags()
	flags.Var(&f.within, "within", "renew what ends within this time")
	flags.IntVar(&f.days, "days", 30, "length of each extension in `days`")
	flags.StringSliceVar(&f.types, "type", nil, "proxy `type` to renew; may be repeated (default all)")
	_ = cmd.RegisterFlagCompletionFunc("type", a.completeTypes)
	flags.StringVar(&f.promo, "promo", "", "promo `code`; if it is not valid, nothing is renewed")
	flags.Var(&f.maxPrice, "max-price", "the most that all renewals may cost together, such as '20 USD'; required")
	flags.Var(&f.maxDay, "max-day", "the most that all purchases of 24 hours in the journal may cost together")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return cmd
}

// policy returns the policy of the flags.
func (f *renewFlags) policy() (youproxy.RenewalPolicy, error) {
	policy := youproxy.RenewalPolicy{
		EndsWithin: time.Duration(f.within), RentPeriodDays: f.days, PromoCode: f.promo, Limit: f.maxPrice.Money,
	}
	switch {
	case f.maxPrice.IsZero():
		return policy, usageError{errors.New("--max-price is missing: set the most that all renewals may cost together, such as --max-price '20 USD'")}
	case f.within <= 0, f.days < 1:
		return policy, usageError{errors.New("--within and --days must be more than 0")}
	case f.within < timeSpan(time.Minute):
		return policy, usageError{errors.New("--within must be a minute or more, such as 7d")}
	case f.within > timeSpan(f.days)*timeSpan(24*time.Hour):
		return policy, usageError{errors.New("--within must not be longer than --days: each run would renew again what the run before it renewed")}
	}
	for _, name := range f.types {
		t, err := parseType(name)
		if err != nil {
			return policy, err
		}
		policy.ProxyTypes = append(policy.ProxyTypes, t)
	}
	return policy, nil
}

// showPlan prints a plan, and spends nothing.
func (a *app) showPlan(cmd *cobra.Command, client *youproxy.Client, policy youproxy.RenewalPolicy) error {
	open, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	if len(open) > 0 {
		a.note("It is not known what became of %s. To find out, which spends nothing, run:\n  %s", purchases(len(open)), a.command("journal", "recover"))
	}
	plan, err := client.PlanRenewals(cmd.Context(), policy)
	if err != nil {
		return byFlag(err)
	}
	t := &table{head: []string{"TYPE", "PROXIES", "FIRST END", "DAYS", "PRICE"}}
	for i := range plan.Parts {
		p := &plan.Parts[i]
		t.add(p.ProxyType, len(p.Proxies), p.Proxies[0].End.UTC().Format(time.RFC3339), p.RentPeriodDays, p.Price)
	}
	for _, line := range leftOut(plan.LeftOut) {
		a.note("Left out: %s", line)
	}
	if err := a.show(t, plan); err != nil {
		return err
	}
	if len(plan.Parts) > 0 {
		_ = cmd.Flags().Set("yes", "true")
		a.note("Nothing was spent. To renew, run:\n  %s", a.again(cmd))
	}
	return nil
}

// leftOut returns how many proxies are left out for each reason.
func leftOut(list []youproxy.LeftOut) []string {
	var reasons []string
	counts := make(map[string]int)
	for _, l := range list {
		reason := fmt.Sprintf("%s, %s", l.ProxyType, l.Reason)
		if l.Detail != "" {
			reason += ": " + inWordsOf(l.Detail)
		}
		if counts[reason]++; counts[reason] == 1 {
			reasons = append(reasons, reason)
		}
	}
	for i, reason := range reasons {
		reasons[i] = plain(fmt.Sprintf("%d x %s", counts[reason], reason))
	}
	return reasons
}

// carryOut makes a plan, asks, and renews.
func (a *app) carryOut(cmd *cobra.Command, client *youproxy.Client, policy youproxy.RenewalPolicy, f *renewFlags) error {
	ctx := cmd.Context()
	unsettled, err := a.settle(ctx, client)
	if err != nil {
		return err
	}
	limit := a.newRenewLimit(f)
	if policy.Limit, err = limit.left(ctx, policy.Limit); err != nil {
		return errors.Join(err, unsettled)
	}
	plan, err := client.PlanRenewals(ctx, policy)
	if err != nil {
		return errors.Join(byFlag(err), unsettled)
	}
	a.note("%s", strings.TrimSuffix(plan.String(), "\n"))
	run := &renewing{a: a, cmd: cmd}
	switch {
	case len(plan.Parts) == 0:
		a.note("There is nothing to renew.")
	case !f.yes && !a.confirm(ctx, fmt.Sprintf("Renew for up to %s?", plan.Price())):
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted: nothing was renewed"), unsettled)
		}
		return errors.Join(errors.New("the answer was not yes: nothing was renewed"), unsettled)
	default:
		if err := limit.begin(plan); err != nil {
			return errors.Join(err, unsettled)
		}
		run.all(ctx, client, plan)
	}
	run.done.head = []string{"TYPE", "PROXIES", "DAYS", "PRICE", "CHARGED"}
	err = a.show(&run.done.table, struct {
		Renewed []renewal          `json:"renewed"`
		LeftOut []youproxy.LeftOut `json:"leftOut"`
		Failed  []string           `json:"failed"`
	}{
		append([]renewal{}, run.done.values...), append([]youproxy.LeftOut{}, slices.Concat(plan.LeftOut, run.leftOut)...), append([]string{}, run.failures...),
	})
	return limit.end(errors.Join(run.result(err, len(plan.Parts)), unsettled))
}

// settle finds out the outcome of what earlier runs left open, which stops renewals. If it
// cannot, it returns unsettled, an error that does not keep the rest from being renewed.
func (a *app) settle(ctx context.Context, client *youproxy.Client) (unsettled, err error) {
	open, err := a.open(ctx)
	if len(open) == 0 || err != nil {
		return nil, err
	}
	t, _, unsettled := a.recover(ctx, client)
	for _, row := range t.rows {
		a.note("%s: %s", plain(row[2]), plain(row[1]))
	}
	var spent *mayBeSpent
	if ctx.Err() != nil || unsettled != nil && !errors.As(unsettled, &spent) {
		return nil, unsettled
	}
	return unsettled, nil
}

// renewing is a plan that is being carried out.
type renewing struct {
	a   *app
	cmd *cobra.Command

	done     renewalTable
	leftOut  []youproxy.LeftOut
	failures []string
	nothing  int   // parts of which nothing was left to renew
	first    error // of the failures
	unknown  int   // parts of which it is not known whether they were renewed
}

// all carries out a plan.
func (r *renewing) all(ctx context.Context, client *youproxy.Client, plan *youproxy.RenewalPlan) {
	for renewed, err := range client.RenewAll(ctx, plan) {
		if err == nil {
			r.done.add(renewed)
			r.leaveOut(renewed.LeftOut)
			if renewed.AboveLimit() {
				r.a.note("Renewed %s: %s was charged, more than the planned %s.", whatOf(&renewed.Attempt), renewed.Charged, renewed.Attempt.Limit)
			}
			continue
		}
		var part *youproxy.PartError
		if errors.As(err, &part) {
			r.leaveOut(part.LeftOut)
		}
		if errors.Is(err, youproxy.ErrNothingToRenew) {
			r.nothing++
			continue
		}
		if outcome := youproxy.OutcomeOf(err); outcome != youproxy.OutcomeNotSent && outcome != youproxy.OutcomeRejected {
			r.unknown++
			err = interrupted(ctx, err)
		}
		if r.first == nil {
			r.first = err
		}
		r.failures = append(r.failures, inWords(err))
		r.a.note("Not renewed, as far as is known: %s", inWords(err))
	}
}

func (r *renewing) leaveOut(list []youproxy.LeftOut) {
	r.leftOut = append(r.leftOut, list...)
	for _, line := range leftOut(list) {
		r.a.note("Left out: %s", line)
	}
}

// result returns what the failures mean for the money. shown is the error of printing the
// renewals.
func (r *renewing) result(shown error, parts int) error {
	renewed := len(r.done.values)
	rest := parts - renewed - r.nothing
	next := "To find out what became of the rest, and to renew what was not renewed, run:\n  "
	switch {
	case r.first == nil && shown == nil:
		return nil
	case r.first == nil && renewed == 0:
		return shown
	case r.unknown == 0 && renewed == 0:
		return fmt.Errorf("nothing was renewed: %w", r.first)
	case r.unknown == 0 && rest > 0:
		next = "To renew the rest, and nothing twice, run:\n  "
	case rest == 0:
		next = "To see what was renewed, run:\n  " + r.a.command("journal", "list")
		return &mayBeSpent{fmt.Errorf("what was renewed could not be printed: %w", shown), next}
	}
	text := fmt.Sprintf("of %d parts of the plan %d were renewed, and %d not", parts, renewed, rest)
	if r.unknown > 0 {
		text = fmt.Sprintf("of %d parts of the plan %d were renewed; of %d it is not known whether they were: money may have been spent", parts, renewed, r.unknown)
	}
	if shown != nil {
		text += "; what was renewed could not be printed: " + inWords(shown)
	}
	return &mayBeSpent{&refusal{text, []error{r.first}}, next + r.a.again(r.cmd)}
}
