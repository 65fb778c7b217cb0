package youproxytest

import (
	"net/http"
	"time"
)

// WithClock sets the clock of the server: when orders are placed, when proxies
// appear and end, and when promo codes hold. By default it is [time.Now], which is
// also correct inside a [testing/synctest] bubble. The function must be safe for
// concurrent use, and must not call the server. WithClock panics if it is nil.
//
// A client cannot see this clock. It waits by [time.Now], and compares the dates of the
// service with the Date header of its replies. So the clock of the server may be any
// duration ahead of [time.Now] or behind it, as long as both run at the same rate; see
// also [WithClockSkew]. To move it forward, add a duration to [time.Now], as the example
// does. With a clock that stands still, runs backwards, or jumps during a purchase, a
// client may be unable to find out whether a purchase was executed whose reply was lost.
func WithClock(now func() time.Time) Option {
	if now == nil {
		panic("youproxytest: the clock is nil: use a function such as time.Now")
	}
	return func(s *Server) { s.clock = now }
}

// WithClockSkew sets how far the clock of the server is ahead of the client's, or behind
// it if the duration is negative. It is added to the time of [WithClock].
func WithClockSkew(ahead time.Duration) Option {
	return func(s *Server) { s.skew = ahead }
}

// now returns the time of the server.
func (s *Server) now() time.Time { return s.clock().Add(s.skew) }

// WithoutDate leaves the Date header out of all replies.
func WithoutDate() Option {
	return func(s *Server) { s.noDate = true }
}

// setDate sets the Date header. net/http does not change it, even if it is nil.
func (s *Server) setDate(header http.Header, at time.Time) {
	header["Date"] = nil
	if !s.noDate {
		header.Set("Date", at.UTC().Format(http.TimeFormat))
	}
}
