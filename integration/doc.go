// Package integration holds tests of the SDK against third-party software:
// retrying HTTP clients, tracing, proxy servers, databases, and a validator that
// checks the SDK, the fake service and the examples against api/openapi.yaml. It is
// a separate module so that the SDK's go.mod stays short.
package integration
