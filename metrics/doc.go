// Package metrics shows an account of Youproxy, and the calls that a program makes, to
// Prometheus. It is a module of its own, so that programs without Prometheus do not depend
// on it. Package tracing beside it does the same for OpenTelemetry.
//
//	account := metrics.NewAccount(client, journal)
//	done, err := account.Follow(ctx, 5*time.Minute)
//	...
//	prometheus.MustRegister(account)
//
// Every label is one of few values: ids, hosts and messages are in none, and neither are
// the API key and passwords.
package metrics
