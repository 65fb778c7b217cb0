// Package metrics exports the figures of a Youproxy account, and of the calls that a program
// makes, to Prometheus. It is a module of its own, so that programs without Prometheus do
// not depend on it. Package tracing does the same for OpenTelemetry.
//
//	account := metrics.NewAccount(client, journal)
//	done, err := account.Follow(ctx, 5*time.Minute)
//	...
//	prometheus.MustRegister(account)
//
// Every label has few values: none contains an id, a host, a message, the API key or a
// password.
package metrics
