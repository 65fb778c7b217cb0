package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// timeSpan is a flag for a time such as 7d or 12h.
type timeSpan time.Duration

func (*timeSpan) Type() string { return "time" }

func (s *timeSpan) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 36500)) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return errors.New("it is a number of days or hours, such as 7d or 12h")
	}
	*s = timeSpan(d)
	return nil
}

func (s *timeSpan) String() string {
	const day = timeSpan(24 * time.Hour)
	switch {
	case *s == 0:
		return ""
	case *s%day == 0:
		return strconv.Itoa(int(*s/day)) + "d"
	}
	return time.Duration(*s).String()
}
