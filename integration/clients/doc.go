// Package clients holds the clients that code generators make of
// api/openapi.yaml against the in-process service. The generated code is not
// committed: run "go generate" before the tests. It needs npm.
package clients

//go:generate go tool oapi-codegen -generate types,client -package oapi -o oapi/client.go ../../api/openapi.yaml
//go:generate go tool ogen --loglevel error --package ogen --target ogen --clean ../../api/openapi.yaml
//go:generate npm --prefix typescript ci --no-audit --no-fund
//go:generate npm --prefix typescript run generate
