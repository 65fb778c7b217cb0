package proxypool

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// Errors that those of this package match with [errors.Is].
var (
	// ErrNoProxy means that the list is empty, or that all of its proxies rest.
	ErrNoProxy = errors.New("there is no proxy to use")
	// ErrUnreachable means that no connection to the proxy could be made.
	ErrUnreachable = errors.New("the proxy cannot be reached")
	// ErrAuthentication means that the proxy does not accept the login and the
	// password of its URL, or that it needs a login and the URL has none.
	ErrAuthentication = errors.New("the proxy does not accept the login")
	// ErrRefused means that the proxy works, but made no connection to the target.
	ErrRefused = errors.New("the proxy made no connection to the target")
)

// Error is the error of a request that got no response through a proxy. It contains no
// password.
type Error struct {
	// Proxy is the name of the last proxy that was tried, as [Name] returns it. It is
	// empty if there was none.
	Proxy string
	// Tries is the number of proxies that were tried.
	Tries int
	// MayHaveArrived reports whether the target may have received the request or a
	// part of it. If it is false, the request can be sent again safely.
	MayHaveArrived bool
	// Err is the error of the last try.
	Err error
}

// Error returns what went wrong through which proxy, after how many others, and whether
// the request may have arrived.
func (e *Error) Error() string {
	text := "proxypool: "
	if e.Proxy != "" {
		text += "through " + e.Proxy
		if e.Tries > 1 {
			text += fmt.Sprintf(", after %d others", e.Tries-1)
		}
		text += ": "
	}
	text += e.Err.Error()
	if e.MayHaveArrived {
		text += " (the request may have arrived)"
	}
	return text
}

// Unwrap returns the error of the last try.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the error is a timeout, as in [net.Error].
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// LogValue returns the error as a group of its fields.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("proxy", e.Proxy),
		slog.Int("tries", e.Tries),
		slog.Bool("may_have_arrived", e.MayHaveArrived),
		slog.String("error", e.Err.Error()),
	)
}

// because is an error of a kind, and the reason for it.
type because struct {
	kind   error
	reason string
	err    error // nil, or what reason is the text of
}

func (e *because) Error() string   { return e.kind.Error() + ": " + e.reason }
func (e *because) Unwrap() []error { return compact(e.kind, e.err) }
func (e *because) Timeout() bool   { return slices.ContainsFunc(e.Unwrap(), isTimeout) }

func compact(errs ...error) (list []error) {
	for _, err := range errs {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}
