// Package bench compares the SDK with other ways to make the same calls: by hand on
// net/http and encoding/json, a client that oapi-codegen generates from the API
// description, and resty. It is a module of its own, so that what it compares with
// stays out of the SDK's go.mod, and it is never released.
//
// The figures and the commands that print them are in docs/performance.md.
package bench
