package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/youproxy-go/youproxy"
)

// wording replaces what errors of the SDK say to programmers.
var wording = strings.NewReplacer(
	"repeat the purchase with the same key and journal, which looks first, or let Recover or Reconcile find out, or look at the account, before buying again", "find out before buying again",
	"let Recover or Reconcile find out, or look at the account, before buying again", "find out before buying again",
	"its outcome is not known: call Recover, or look at the account and call Dismiss", "its outcome is not known",
	"it was executed: Recover returns it", "it was executed",
	"give a new idempotency key, or make a new plan, to spend again", "its idempotency key cannot be used again",
	": youproxy: ", ": ",
	", and AllowEmpty is not set", "",
	"context canceled", "interrupted",
	"interrupt signal received", "interrupted",
	"terminated signal received", "interrupted",
	"context deadline exceeded", "the time is over",
)

// inWords returns the message of an error for a person at a shell.
func inWords(err error) string { return inWordsOf(strings.TrimPrefix(err.Error(), "youproxy: ")) }

func inWordsOf(text string) string { return wording.Replace(text) }

// hints is what to do about errors, the first that matches.
var hints = []struct {
	cause error
	hint  string
}{
	{youproxy.ErrKeyReused, "Use another --idempotency-key for each purchase, or none."},
	{youproxy.ErrOverBudget, "Wait until less was spent in the last 24 hours, or allow more with --max-day."},
	{youproxy.ErrPriceAboveLimit, "If you want to pay that, allow it with --max-price."},
	{youproxy.ErrCurrencyMismatch, "Write --max-price and --max-day in the currency of the account: youproxy balance shows it."},
	{youproxy.ErrPromoCodeNotValid, "Leave out --promo to pay the full price."},
	{youproxy.ErrInvalidAPIKey, "Check the API key in YOUPROXY_API_KEY or in the key file."},
	{youproxy.ErrCallerNotAllowed, "Allow the address of this machine in the settings of the account."},
	{youproxy.ErrInsufficientFunds, "Add money to the account, or buy less."},
	{youproxy.ErrIncorrectGoal, "Say in --goal what the proxies are for, in other words."},
	{youproxy.ErrIncorrectCountry, seeCatalog},
	{youproxy.ErrCountryUnavailable, seeCatalog},
	{youproxy.ErrIncorrectMobileOperator, seeCatalog},
	{youproxy.ErrIncorrectRentPeriod, seeCatalog},
	{youproxy.ErrWholeOrderRequired, "Name all proxies of the order, or the order with --order."},
	{youproxy.ErrIncorrectIPAddresses, seeList},
	{youproxy.ErrIncorrectOrderIDs, seeList},
	{youproxy.ErrNotExecuted, "The same command can be run again."},
}

const (
	seeCatalog = "youproxy catalog shows what is on sale."
	seeList    = "youproxy list shows the ids of the account's proxies and orders."
)

// hintFor returns what to do next, if that is known.
func (a *app) hintFor(err error) string {
	var spent *mayBeSpent
	var pending *youproxy.PendingError
	switch {
	case errors.As(err, &spent):
		return spent.next
	case errors.As(err, &pending):
		return a.hintForPending(pending)
	}
	for _, h := range hints {
		if errors.Is(err, h.cause) {
			return h.hint
		}
	}
	return ""
}

// hintForPending returns what to do about an earlier purchase that stops this one.
func (a *app) hintForPending(e *youproxy.PendingError) string {
	switch {
	case e.Note != "":
		return "To buy, use another --idempotency-key."
	case e.Attempt.Before.Balance.IsZero(): // nothing shows whether a plain call was executed
		return "Try again in a few minutes."
	}
	return fmt.Sprintf("To find out what became of it, which spends nothing, run:\n  %s\n%s",
		a.command("journal", "recover"), a.dismissal(e.Attempt.ID))
}

// dismissal says how to settle an attempt by hand.
func (a *app) dismissal(id string) string {
	return fmt.Sprintf("If that cannot tell, look at the account yourself. Then settle it by hand:\n  %s",
		a.command("journal", "dismiss", id, "--note", "what you found"))
}

// command returns a command line for the same account.
func (a *app) command(args ...string) string {
	if a.sandbox {
		args = append(args, "--sandbox")
	}
	if a.keyFile != "" {
		args = append(args, "--key-file", a.keyFile)
	}
	if journal := a.journalNamed(); journal != "" {
		args = append(args, "--journal", journal)
	}
	return commandLine(append([]string{"youproxy"}, args...))
}

// journalNamed returns what --journal must say for a command to use the same journal in any
// folder and with any environment. It is empty where that is the one of the sandbox.
func (a *app) journalNamed() string {
	path, err := a.journalPath()
	if err != nil || a.sandbox && a.journalFile == "" {
		return ""
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return path
}

// again returns the command line that runs a command again with the same journal.
func (a *app) again(cmd *cobra.Command) string {
	if journal := a.journalNamed(); journal != "" {
		_ = cmd.Flags().Set("journal", journal)
	}
	return again(cmd)
}

// again returns the command line that runs a command again, with the flags that were set
// since.
func again(cmd *cobra.Command) string {
	args := strings.Fields(cmd.CommandPath())
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			args = append(args, "--"+f.Name)
			switch {
			case f.Value.Type() != "bool":
				args = append(args, value)
			case value != "true":
				args[len(args)-1] += "=" + value
			}
		}
	})
	rest := cmd.Flags().Args()
	if len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		args = append(args, "--")
	}
	return commandLine(append(args, rest...))
}

// commandLine quotes arguments for a shell.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.Trim(arg, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:=,@+") != "" {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
