// Package integration holds tests of the SDK against third-party software:
// retrying HTTP clients and tracing. It is a module of its own so that the SDK's
// go.mod stays short.
package integration
