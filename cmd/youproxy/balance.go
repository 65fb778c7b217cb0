package main

import "github.com/spf13/cobra"

// balance shows the balance of the account.
func (a *app) balance() *cobra.Command {
	return &cobra.Command{
		Use:     "balance",
		Short:   "Show the balance of the account",
		Example: "  youproxy balance\n  youproxy balance --output json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			balance, err := client.Balance(cmd.Context())
			if err != nil {
				return err
			}
			t := &table{head: []string{"BALANCE"}}
			t.add(balance)
			return a.show(t, map[string]any{"balance": balance})
		},
	}
}
