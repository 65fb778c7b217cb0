package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// addCompletion adds cobra's command that writes scripts for shells, with examples.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	examples := map[string]string{
		"completion": "  youproxy completion bash > ~/.local/share/bash-completion/completions/youproxy",
		"bash":       "  source <(youproxy completion bash)",
		"zsh":        "  source <(youproxy completion zsh)",
		"fish":       "  youproxy completion fish | source",
		"powershell": "  youproxy completion powershell | Out-String | Invoke-Expression",
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example = examples[cmd.Name()]
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // otherwise any argument shows the help as well
		for _, shell := range cmd.Commands() {
			shell.Example = examples[shell.Name()]
		}
	}
}

// addHelp adds cobra's command that shows the help of others. It fails if there is no such
// command.
func addHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Example = "  youproxy help buy"
			cmd.Args = usage(func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return fmt.Errorf("there is no command %q", strings.Join(args, " "))
				}
				return nil
			})
		}
	}
}
