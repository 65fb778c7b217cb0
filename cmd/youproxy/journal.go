package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// journal is the command of the journal.
func (a *app) journal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Show the purchases of this machine, and find out what became of them",
		Long: `Each purchase is recorded in the journal, a file, before it is sent. As long as it is not known
whether it was executed, it is open and stops similar purchases. recover finds out whether it
was executed, and dismiss settles it by hand.`,
		Example: "  youproxy journal list\n  youproxy journal recover",
		Args:    usage(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.journalList(), a.journalRecover(), a.journalDismiss())
	return cmd
}

// entries returns entries of the journal, or none if there is no journal.
func (a *app) entries(ctx context.Context, q youproxy.EntryQuery) ([]youproxy.Entry, error) {
	path, err := a.journalPath()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	journal, err := a.openJournal()
	if err != nil {
		return nil, err
	}
	var entries []youproxy.Entry
	for e, err := range journal.Entries(ctx, q) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// open returns the open entries whose outcome Recover can find out: all but plain calls.
func (a *app) open(ctx context.Context) ([]youproxy.Entry, error) {
	entries, err := a.entries(ctx, youproxy.EntryQuery{})
	return slices.DeleteFunc(entries, func(e youproxy.Entry) bool {
		return e.Attempt.Before.Balance.IsZero()
	}), err
}

func (a *app) journalList() *cobra.Command {
	since := timeSpan(30 * 24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List purchases that are open, and those settled lately",
		Example: `  youproxy journal list
  youproxy journal list --since 0d
  youproxy journal list --since 400d --output csv`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var query youproxy.EntryQuery
			if since > 0 {
				query.Since = time.Now().Add(-time.Duration(since))
			}
			entries, err := a.entries(cmd.Context(), query)
			if err != nil {
				return err
			}
			t := &table{head: []string{"AT", "STATE", "ATTEMPT", "WHAT", "PRICE", "CHARGED", "ORDER", "KEY", "NOTE"}}
			for i := range entries {
				e := &entries[i]
				t.add(e.Attempt.At.UTC().Format(time.RFC3339), e.State, e.Attempt.ID, whatOf(&e.Attempt), e.Attempt.Price,
					orUnknown(e.Charged), orderOf(e.OrderNumber, e.OrderID), e.Attempt.Key, e.Note)
			}
			return a.show(t, append([]youproxy.Entry{}, entries...))
		},
	}
	cmd.Flags().Var(&since, "since", "how far back to list settled purchases, such as 7d; 0d lists the open ones alone")
	return cmd
}

// whatOf returns what an attempt was for.
func whatOf(a *youproxy.Attempt) string {
	switch {
	case a.Op == "POST /order":
		return fmt.Sprintf("order of %d x %s for %d days", a.Quantity, a.ProxyType, a.RentPeriodDays)
	case strings.HasPrefix(a.Op, "POST /extend"):
		return fmt.Sprintf("extension of %d x %s for %d days", a.Quantity, a.ProxyType, a.RentPeriodDays)
	}
	return a.Op
}

// orderOf returns the number of an order, or else its id.
func orderOf(number youproxy.OrderNumber, id youproxy.OrderID) string {
	if number != "" {
		return string(number)
	}
	return string(id)
}

func (a *app) journalRecover() *cobra.Command {
	return &cobra.Command{
		Use:   "recover",
		Short: "Find out what became of purchases that are open",
		Long: `recover finds out, from what the account holds, whether the open purchases of the journal were
executed, and settles them. It spends nothing. It can take minutes, because a purchase may be
executed late.

A purchase whose outcome cannot be found out stays open, and recover exits with 3.`,
		Example: "  youproxy journal recover\n  youproxy journal recover --output json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.spender()
			if err != nil {
				return err
			}
			t, values, err := a.recover(cmd.Context(), client)
			if untold := a.show(t, values); untold != nil {
				err = a.unseen(values, untold, err)
			}
			return err
		},
	}
}

// unseen returns an error if purchases were executed, and that could not be printed.
func (a *app) unseen(values []recovered, untold, err error) error {
	for _, value := range values {
		if value.Verdict == youproxy.VerdictExecuted.String() {
			text := "some purchases were executed, and that could not be printed: " + inWords(untold)
			untold = &mayBeSpent{&refusal{text, []error{untold}}, "To see them, run:\n  " + a.command("journal", "list")}
			break
		}
	}
	return errors.Join(err, untold)
}

// recovered is the outcome of an attempt, in JSON.
type recovered struct {
	Attempt        string                 `json:"attempt"`
	Verdict        string                 `json:"verdict"`
	What           string                 `json:"what"`
	Charged        *youproxy.Money        `json:"charged,omitempty"`
	OrderNumber    youproxy.OrderNumber   `json:"orderNumber,omitempty"`
	OrderID        youproxy.OrderID       `json:"orderId,omitempty"`
	IPAddressIDs   []youproxy.IPAddressID `json:"ipAddressIds,omitempty"`
	IdempotencyKey string                 `json:"idempotencyKey,omitempty"`
	Evidence       string                 `json:"evidence,omitempty"`
}

// recover finds out the outcome of all open entries. Its error says what may still have
// been spent.
func (a *app) recover(ctx context.Context, client *youproxy.Client) (*table, []recovered, error) {
	t, values := &table{head: []string{"ATTEMPT", "VERDICT", "WHAT", "CHARGED", "ORDER", "KEY", "EVIDENCE"}}, []recovered{}
	open, err := a.open(ctx)
	if err != nil {
		return t, values, err
	}
	if len(open) == 0 {
		a.note("Nothing is open in the journal.")
	} else {
		a.note("Looking for what became of %s, which can take minutes. Ctrl-C ends that.", purchases(len(open)))
	}
	found, err := client.Recover(ctx)
	undetermined := make(map[string]bool)
	for _, e := range open {
		undetermined[e.Attempt.ID] = true
	}
	for _, r := range found {
		value := recovered{
			Attempt: r.Attempt.ID, Verdict: r.Verdict.String(), What: whatOf(&r.Attempt), IdempotencyKey: r.Attempt.Key,
			Evidence: inWordsOf(r.Evidence.String()),
		}
		switch {
		case r.Purchase != nil:
			value.Charged, value.OrderNumber, value.OrderID = r.Purchase.Charged, r.Purchase.OrderNumber, r.Purchase.OrderID
		case r.Renewal != nil:
			value.Charged, value.IPAddressIDs = r.Renewal.Charged, r.Renewal.IPAddressIDs
		}
		undetermined[r.Attempt.ID] = r.Verdict == youproxy.VerdictUndetermined
		t.add(value.Attempt, value.Verdict, value.What, orUnknown(value.Charged), orderOf(value.OrderNumber, value.OrderID), value.IdempotencyKey, value.Evidence)
		values = append(values, value)
	}
	if err != nil && ctx.Err() != nil {
		err = &refusal{"interrupted", []error{err}}
	}
	return t, values, a.stillOpen(open, undetermined, err)
}

// stillOpen returns an error if the outcome of some of the open entries is not known.
func (a *app) stillOpen(open []youproxy.Entry, undetermined map[string]bool, err error) error {
	var left []string
	for _, e := range open {
		if undetermined[e.Attempt.ID] {
			left = append(left, e.Attempt.ID)
		}
	}
	if len(left) == 0 {
		return err
	}
	text := fmt.Sprintf("it is not known what became of %s: money may have been spent", purchases(len(left)))
	causes := []error{youproxy.ErrUndetermined}
	next := "To look again, run:\n  " + a.command("journal", "recover")
	if err != nil {
		text += ": " + strings.TrimSuffix(inWords(err), "; nothing was sent, nothing was spent") // by the look
		causes = append(causes, err)
	} else {
		next += "\n" + a.dismissal(left[0])
	}
	return &mayBeSpent{&refusal{text, causes}, next}
}

func purchases(n int) string {
	if n == 1 {
		return "1 purchase"
	}
	return fmt.Sprintf("%d purchases", n)
}

func (a *app) journalDismiss() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:   "dismiss ATTEMPT --note TEXT",
		Short: "Settle an open purchase by hand",
		Long: `dismiss settles an open purchase after you have looked at the account, so that it no longer
stops others. recover does not look for it again. It counts in a budget as if it had been
executed, and its idempotency key cannot be used again. The note says what you found.`,
		Example: "  youproxy journal dismiss LZ7Q3MFW2KXBP5JHTN4VAYD6RC --note 'the order is not in the account'",
		Args:    usage(cobra.ExactArgs(1)),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			if open, err := a.open(cmd.Context()); err == nil && len(args) == 0 {
				for _, e := range open {
					ids = append(ids, e.Attempt.ID+"\t"+whatOf(&e.Attempt))
				}
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(note) == "" {
				return usageError{errors.New("--note is missing: say what you found in the account")}
			}
			client, err := a.spender()
			if err != nil {
				return err
			}
			if err := client.Dismiss(cmd.Context(), args[0], note); err != nil {
				return err
			}
			a.note("Dismissed %s.", plain(args[0]))
			return nil
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "`text` that says what you found; required")
	return cmd
}
