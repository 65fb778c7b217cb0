// Package integration holds tests of the SDK against third-party software:
// retrying HTTP clients, tracing, proxy servers, databases, and a validator that
// holds the SDK, the fake and the examples against api/openapi.yaml. It is a module
// of its own so that the SDK's go.mod stays short.
package integration
