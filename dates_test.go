package youproxy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
)

func TestDates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about string
		texts []string
		want  string // in UTC; empty: it cannot be read
	}{
		{"RFC 3339", []string{
			"2023-10-26T10:49:49.220+00:00", "2023-10-26T10:49:49.22Z", "2023-10-26T12:49:49.220+02:00", "2023-10-26T05:19:49.220-05:30",
		}, "2023-10-26T10:49:49.22Z"},
		{"an offset without a colon, or of hours alone", []string{
			"2023-10-26T10:49:49.220+0000", "2023-10-26T12:49:49.220+0200", "2023-10-26T10:49:49.220+00", "2023-10-26T12:49:49.220+02", "2023-10-26T10:49:49.220-00",
		}, "2023-10-26T10:49:49.22Z"},
		{"the name of the zone after the offset", []string{
			"2023-10-26T10:49:49.220Z[UTC]", "2023-10-26T12:49:49.220+02:00[Europe/Berlin]", "2023-10-26T10:49:49.220Z[]", "2023-10-26 10:49:49.22 +0000 UTC",
		}, "2023-10-26T10:49:49.22Z"},
		{"lower case, a comma, blanks", []string{
			"2023-10-26t10:49:49.220z", "2023-10-26T10:49:49,220Z", "2023-10-26 10:49:49.220Z", "2023-10-26  10:49:49.220 +00:00", " 2023-10-26T10:49:49.220Z\n", "2023-10-26 10:49:49.220 UTC",
		}, "2023-10-26T10:49:49.22Z"},
		{"a fraction of any length", []string{"2023-10-26T10:49:49.2Z", "2023-10-26 10:49:49.200Z", "2023-10-26T10:49:49,20000000000000000001+0000"}, "2023-10-26T10:49:49.2Z"},
		{"no seconds", []string{"2023-10-26T10:49Z", "2023-10-26 10:49+00", "2023/10/26 12:49 +02:00"}, "2023-10-26T10:49:00Z"},
		{"digits that are left out", []string{"2023-1-2T9:05:00Z", "2023-01-02 9:05Z"}, "2023-01-02T09:05:00Z"},
		{"RFC 1123 and RFC 850", []string{
			"Thu, 26 Oct 2023 10:49:49 GMT", "Thu, 26 Oct 2023 12:49:49 +0200", "Thursday, 26-Oct-23 10:49:49 GMT", "26 Oct 2023 10:49:49 UTC", "Thu, 26-Oct-2023 10:49:49 GMT",
		}, "2023-10-26T10:49:49Z"},
		{"seconds since 1970", []string{"1698317389", "1698317389.0", " 1698317389 ", "1.698317389E9"}, "2023-10-26T10:49:49Z"},
		{"milliseconds since 1970, or a fraction of seconds", []string{"1698317389220", "1698317389.220", "1698317389.2200000000001", "1.69831738922E12"}, "2023-10-26T10:49:49.22Z"},
		{"the first and the last of RFC 3339", []string{"0001-01-01T00:00:01Z"}, "0001-01-01T00:00:01Z"},
		{"the last", []string{"9999-12-31T23:59:59Z"}, "9999-12-31T23:59:59Z"},

		{"nothing", []string{"", " ", "0", "0.0", "-1", "null", "0001-01-01T00:00:00Z", "0000-00-00 00:00:00", "0000-00-00"}, ""},
		{"words", []string{"soon", "never", "today", "T", "Z", "Thu", "Thu, 26 Oct", "October 26, 2023"}, ""},
		{"a form that can be read in two ways", []string{"01/02/2026", "01-02-2026", "1.2.2026", "01/02/26 10:00", "02-01-03"}, ""},
		{"a day or a time that there is not", []string{
			"2023-02-30T00:00:00Z", "2023-13-01", "2023-00-01", "2023-10-26T24:00:00Z", "2023-10-26T10:60:00Z", "2023-10-26T10:49:61Z", "2023-10-26T10:49:49+99:00", "Thu, 31 Feb 2023 10:49:49 GMT",
		}, ""},
		{"a zone that is only named", []string{"2023-10-26T10:49:49 EST", "2023-10-26T10:49:49[Europe/Berlin]", "Thu, 26 Oct 2023 10:49:49 EST", "2023-10-26T10:49:49 Europe/Berlin"}, ""},
		{"a number that is no time", []string{"1", "99999999", "20231026", "20231026104949", "99999999999", "1698317389220000", "1698317389220000000", "1e99", "1e-99", "-1698317389", "0x65", "NaN", "٣"}, ""},
		{"a year that RFC 3339 cannot write", []string{"0000-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "10000-01-01T00:00:00Z", "+2023-10-26", "-2023-10-26"}, ""},
		{"something after it", []string{"2023-10-26T", "2023-10-26T10", "2023-10-26T10:49:49.Z", "2023-10-26T10:49:49Z!", "2023-10-26T10:49:49Z[UTC", "2023-10-26Z", "2023-10-26T10:49:49Z\x00"}, ""},
	} {
		t.Run(tt.about, func(t *testing.T) {
			for _, text := range tt.texts {
				got, zoned := youproxy.ParseDate(text)
				assert.Equal(t, tt.want != "", zoned, "%q tells its zone", text)
				if tt.want == "" {
					assert.Equal(t, time.Time{}, got, text)
				} else {
					assert.Equal(t, tt.want, got.Format(time.RFC3339Nano), text)
				}
			}
		})
	}
}

// A date that does not tell its zone is taken for UTC, and says so.
func TestDatesWithoutAZone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2023-10-26T10:49:49":        "2023-10-26T10:49:49Z",
		"2023-10-26T10:49:49.220":    "2023-10-26T10:49:49.22Z",
		"2023-10-26 10:49:49":        "2023-10-26T10:49:49Z",
		"2023-10-26 10:49":           "2023-10-26T10:49:00Z",
		"2023-10-26":                 "2023-10-26T00:00:00Z",
		"2023/10/26":                 "2023-10-26T00:00:00Z",
		"Thu, 26 Oct 2023 10:49:49":  "2023-10-26T10:49:49Z",
		" 2023-10-26T10:49:49,2200 ": "2023-10-26T10:49:49.22Z",
	} {
		got, zoned := youproxy.ParseDate(text)
		assert.False(t, zoned, text)
		assert.Equal(t, want, got.Format(time.RFC3339Nano), text)
	}
}

// FuzzDates reads any text. What is read is a date in UTC that RFC 3339 can write, and
// that reads again as the same.
func FuzzDates(f *testing.F) {
	for _, text := range []string{
		"2023-10-26T10:49:49.220+00:00", "2023-10-26T10:49:49.220+0000", "2023-10-26 10:49:49,2 Z[UTC]", "2023-10-26", "1698317389.220", "1698317389220",
		"Thu, 26 Oct 2023 10:49:49 GMT", "Thursday, 26-Oct-23 10:49:49 GMT", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14", "1e9", "01/02/2026",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, zoned := youproxy.ParseDate(text)
		if got.IsZero() {
			assert.False(t, zoned, "a date that was not read has no zone")
			return
		}
		written := got.Format(time.RFC3339Nano)
		again, zoned := youproxy.ParseDate(written)
		assert.True(t, zoned)
		assert.Equal(t, got, again, "%q was written as %q", text, written)
		assert.Equal(t, time.UTC, got.Location())
	})
}
