package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// app is one run of the program: its streams, its flags, and what it opens.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string

	asks bool // a person can answer a question
	tty  bool // out is a terminal
	live bool // err is a terminal

	keyFile, journalFile string
	sandbox              bool
	output               string

	proxiesWork bool                 // those of the sandbox's account, for a command that sends through them
	fake        *youproxytest.Server // of the sandbox, once it is used

	ctx     context.Context   // of the run
	options []youproxy.Option // beside those that the flags lead to
	closers []func() error
}

// run executes a command, and returns the exit code.
func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if cause := recover(); cause != nil { // else Go exits with 2
			a.note("youproxy: there is a bug in the program: %v\n%s", cause, debug.Stack())
			code = a.report(&mayBeSpent{errors.New("money may have been spent"), "To find out, run:\n  " + a.command("journal", "recover")})
		}
	}()
	a.ctx = ctx
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	for _, end := range a.closers {
		err = errors.Join(err, end())
	}
	return a.report(err)
}

// root is the command that has all others.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "youproxy",
		Short: "Buy, renew, list and use the proxies of a Youproxy account",
		Long: `youproxy buys, renews, lists and uses the proxies of a Youproxy account. It is unofficial.

The API key comes from YOUPROXY_API_KEY, or from a file that only you can read: --key-file,
YOUPROXY_API_KEY_FILE, or youproxy/key in your configuration folder. There is no flag for
the key itself: other users of the machine can see flags.

Nothing is spent without --max-price and a yes: on a terminal the program asks, elsewhere it
needs --yes. Each purchase is recorded in a journal before it is sent; an interrupted command
says how to go on. With --sandbox no key is needed and no money is spent.

Exit codes: 0 done, 1 failed and nothing was spent, 2 wrong usage, 3 money may have been spent.
Ctrl-C ends a command with one of these; a second one, or another signal, kills it, and then
money may have been spent: run the same command again.`,
		Example:       "  youproxy --sandbox list\n  youproxy --sandbox buy --country USA --goal 'price monitoring' --max-price '10 USD'",
		Version:       ownVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "show the version of the program")
	flags := root.PersistentFlags()
	flags.StringVar(&a.keyFile, "key-file", "", "`file` with the API key, mode 0600")
	flags.StringVar(&a.journalFile, "journal", "", "`file` of the journal, one for each account (default YOUPROXY_JOURNAL, or youproxy/journal.jsonl in your state folder)")
	flags.BoolVar(&a.sandbox, "sandbox", false, "use a fake Youproxy that keeps its account in a file: no key is needed, no money is spent")
	flags.StringVarP(&a.output, "output", "o", "", "`form` of the output: json or csv (default a table on a terminal, plain lines elsewhere)")
	root.SetFlagErrorFunc(wrongUsage)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "" && a.output != "json" && a.output != "csv" {
			return usageError{fmt.Errorf("--output is json or csv, not %q", a.output)}
		}
		return nil
	}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(a.commands()...)
	addCompletion(root)
	addHelp(root)
	return root
}

// commands returns the commands, each of which has a file of its own.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.balance(),
		a.catalog(), a.list(), a.export(), a.check(), a.forward(), a.man(),
		a.serveSandbox(),
		a.quote(),
		a.buy(),
		a.extend(),
		a.autoExtend(),
		a.renew(),
		a.journal(),
	}
}

// usageError is an error of the command line.
type usageError struct{ error }

// usage marks the errors of a check of arguments.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return wrongUsage(cmd, err)
		}
		return nil
	}
}

// wrongUsage adds how to show the usage.
func wrongUsage(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w; %q shows the usage", err, cmd.CommandPath()+" --help")}
}

// The exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitMaySpent
)

// report prints an error, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	code := exitCode(err)
	if file := (*fs.PathError)(nil); code == exitFailed && errors.As(err, &file) && errors.Is(file, errClosedPipe) {
		return code // the reader of the output, such as head, needs no more
	}
	a.note("youproxy: %s", inWords(err))
	if hint := a.hintFor(err); hint != "" {
		a.note("%s", hint)
	}
	return code
}

// exitCode returns what an error means for the money. Where an error is not one of the
// SDK, nothing was sent.
func exitCode(err error) int {
	var wrong usageError
	var invalid *youproxy.ValidationError
	var spent *mayBeSpent
	switch {
	case errors.As(err, &spent):
		return exitMaySpent
	case errors.As(err, &wrong), errors.As(err, &invalid), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	}
	return exitFailed
}

// mayBeSpent is an error of a command that may have spent money, with what to do next.
type mayBeSpent struct {
	err  error
	next string
}

func (e *mayBeSpent) Error() string { return e.err.Error() }
func (e *mayBeSpent) Unwrap() error { return e.err }

// confirm asks a question, and reports whether the answer is yes. If nobody can answer, or
// ctx is done before somebody does, it is no.
func (a *app) confirm(ctx context.Context, question string) bool {
	if !a.asks {
		return false
	}
	_, _ = fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // it ends with the program if nobody answers
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		a.note("")
		return false
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			a.note("")
		}
		line = strings.ToLower(strings.TrimSpace(line))
		return (line == "y" || line == "yes") && ctx.Err() == nil
	}
}
