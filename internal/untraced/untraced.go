// Package untraced hides the hooks of a caller on a request's connection, so that
// others can stand in their place: net/http/httptrace only ever adds to them.
package untraced

import (
	"context"
	"net/http/httptrace"
)

// Context gives ctx without its [httptrace.ClientTrace].
func Context(ctx context.Context) context.Context { return untraced{ctx} }

type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}
