// Package untraced hides the httptrace hooks of a context, so that others can replace
// them: package net/http/httptrace can only add hooks.
package untraced

import (
	"context"
	"net/http/httptrace"
)

// Context returns ctx without its [httptrace.ClientTrace].
func Context(ctx context.Context) context.Context { return untraced{ctx} }

type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}
