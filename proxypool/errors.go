package proxypool

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// What errors of this package match, with [errors.Is].
var (
	// ErrNoProxy says that the list is empty, or that all of it rests.
	ErrNoProxy = errors.New("there is no proxy to use")
	// ErrUnreachable says that no connection with the proxy came about.
	ErrUnreachable = errors.New("the proxy cannot be reached")
	// ErrAuthentication says that the proxy does not accept the login and
	// password of its URL, or wants some where it has none.
	ErrAuthentication = errors.New("the proxy does not accept the login")
	// ErrRefused says that the proxy works, but made no connection to the target.
	ErrRefused = errors.New("the proxy made no connection to the target")
)

// Error is a request that got no answer through a proxy. No password is in it.
type Error struct {
	// Proxy is the one it was tried through last, as of [Name]; empty if
	// there was none.
	Proxy string
	// Tries is through how many it was tried.
	Tries int
	// MayHaveArrived reports whether the target may have got the request, or a
	// part of it. Where it is false, sending it again does nothing twice.
	MayHaveArrived bool
	// Err is what went wrong last.
	Err error
}

// Error tells through which proxy, after how many others, what went wrong, and
// whether the request may have arrived.
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

// Unwrap returns what went wrong last.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the error is that of a time that ran out, as net.Error
// has it.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// LogValue returns the fields.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("proxy", e.Proxy),
		slog.Int("tries", e.Tries),
		slog.Bool("may_have_arrived", e.MayHaveArrived),
		slog.String("error", e.Err.Error()),
	)
}

// because is an error of a kind, and why.
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
