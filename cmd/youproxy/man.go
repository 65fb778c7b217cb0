package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// man writes the manual pages, for those who package the program.
func (a *app) man() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write manual pages into a folder",
		Example: "  youproxy man ~/.local/share/man/man1",
		Args:    usage(cobra.ExactArgs(1)),
		Hidden:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("the folder of the manual pages cannot be created: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // it has a date; that of a page is SOURCE_DATE_EPOCH
			header := &doc.GenManHeader{Title: "YOUPROXY", Section: "1", Source: "youproxy", Manual: "youproxy"}
			return doc.GenManTree(root, header, args[0])
		},
	}
}
