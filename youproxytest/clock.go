package youproxytest

import (
	"net/http"
	"time"
)

// WithClock sets the clock of the server: when orders are placed, when proxies
// appear and end, and when promo codes hold. By default it is [time.Now], which is
// also the right one inside a [testing/synctest] bubble. The function must be safe
// for concurrent use, and must not call the server. WithClock panics where it is
// nil.
//
// A client cannot see this clock. It waits by [time.Now], and compares the dates of the
// service with the Date header of its replies. So the clock of the server may be any
// duration ahead of [time.Now] or behind it, as long as both run along; see also
// [WithClockSkew]. Add a duration to [time.Now] to move it on, as the example does. With
// a clock that stands still, runs backwards, or jumps while a purchase is under way, a
// client may be unable to tell what became of a purchase whose reply was lost.
func WithClock(now func() time.Time) Option {
	if now == nil {
		panic("youproxytest: the clock is nil: give a function such as time.Now")
	}
	return func(s *Server) { s.clock = now }
}

// WithClockSkew sets how far the clock of the server is ahead of the client's, or behind
// it where the duration is negative. It is added to the time of [WithClock].
func WithClockSkew(ahead time.Duration) Option {
	return func(s *Server) { s.skew = ahead }
}

// now returns the time of the server.
func (s *Server) now() time.Time { return s.clock().Add(s.skew) }

// WithoutDate leaves the Date header out of all replies.
func WithoutDate() Option {
	return func(s *Server) { s.noDate = true }
}

// tellTime sets the Date header, which net/http leaves as it is, also where it is nil.
func (s *Server) tellTime(header http.Header, at time.Time) {
	header["Date"] = nil
	if !s.noDate {
		header.Set("Date", at.UTC().Format(http.TimeFormat))
	}
}
