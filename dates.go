package youproxy

import (
	"regexp"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// parseDate parses a date in any of the forms that services write. It returns the date in
// UTC, or the zero time if it cannot parse it. zoned reports whether text names its time
// zone; without one, UTC is assumed. Ambiguous forms, such as 01/02/2026, are not parsed.
func parseDate(text string) (t time.Time, zoned bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return inRange(t, true)
	}
	text = strings.TrimSpace(text)
	if len(text) == 0 || len(text) > longestDate {
		return time.Time{}, false
	}
	if parts := isoDate.FindStringSubmatch(text); parts != nil {
		return isoTime(parts)
	}
	if parts := mailDate.FindStringSubmatch(text); parts != nil {
		return mailTime(parts)
	}
	return epochTime(text)
}

// longestDate is longer than any date, with a fraction and the name of a time zone.
const longestDate = 100

var (
	// isoDate matches year, month and day, perhaps with a time and a zone.
	isoDate = regexp.MustCompile(`^(\d{4})[-/](\d\d?)[-/](\d\d?)(?:(?:[Tt]| +)(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: *` + zone + `)?)?$`)
	// mailDate matches a date as RFC 1123 and RFC 850 write it.
	mailDate = regexp.MustCompile(`^(?:[A-Za-z]{3,9}, *)?(\d\d?)[ -]([A-Za-z]{3})[ -](\d{4}|\d\d) (\d\d):(\d\d)(?::(\d\d))?(?: *` + zone + `)?$`)
)

// zone is an offset from UTC, with the name of the zone in brackets, or UTC itself.
const zone = `(?:([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)(?: UTC|\[[^\]]*\])?)`

func isoTime(parts []string) (t time.Time, zoned bool) {
	fraction := parts[7]
	return dateOf("2006-1-2 15:4:5", parts[1]+"-"+parts[2]+"-"+parts[3], parts[4:7], fraction[:min(len(fraction), 9)], parts[8])
}

func mailTime(parts []string) (t time.Time, zoned bool) {
	layout := "2-Jan-2006 15:4:5"
	if len(parts[3]) == 2 {
		layout = "2-Jan-06 15:4:5"
	}
	return dateOf(layout, parts[1]+"-"+parts[2]+"-"+parts[3], parts[4:7], "", parts[7])
}

// dateOf joins the parts of a date in one form and has package time check them.
func dateOf(layout, day string, clock []string, fraction, zone string) (t time.Time, zoned bool) {
	text := day + " " + orZero(clock[0]) + ":" + orZero(clock[1]) + ":" + orZero(clock[2])
	if fraction != "" {
		text += "." + fraction
	}
	switch strings.ToUpper(zone) {
	case "", "Z", "UTC", "GMT":
	default:
		layout += " -0700"
		text += " " + (strings.ReplaceAll(zone, ":", "") + "00")[:5]
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, false
	}
	return inRange(t, zone != "")
}

func orZero(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}

// The bounds of a plausible time in seconds since 1970: 1973 to 2286. In milliseconds they
// are a thousand times as large.
var (
	firstSecond = decimal.New(1, 8)
	pastSeconds = decimal.New(1, 10)
)

// epochTime parses seconds or milliseconds since 1970, whichever is plausible.
func epochTime(text string) (t time.Time, zoned bool) {
	n, err := parseAmount(text)
	if err != nil {
		return time.Time{}, false
	}
	if n.GreaterThanOrEqual(pastSeconds) {
		n = n.Shift(-3)
	}
	if n.LessThan(firstSecond) || n.GreaterThanOrEqual(pastSeconds) {
		return time.Time{}, false
	}
	return inRange(time.Unix(n.IntPart(), n.Mod(decimal.New(1, 0)).Shift(9).IntPart()), true)
}

// inRange returns a time in UTC if RFC 3339 can write its year.
func inRange(t time.Time, zoned bool) (time.Time, bool) {
	t = t.UTC()
	if year := t.Year(); year < 1 || year > 9999 || t.IsZero() {
		return time.Time{}, false
	}
	return t, zoned
}
