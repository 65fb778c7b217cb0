// Package longlist writes the list of proxies of a large account, for tests and
// benchmarks.
package longlist

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/youproxy-go/youproxy"
)

// FirstID is the id of the first proxy of a list. Those that follow count up from it.
const FirstID = 1111111111111111111

// ID returns the id of the proxy at index i of a list.
func ID(i int) youproxy.IPAddressID {
	return youproxy.IPAddressID(strconv.FormatInt(FirstID+int64(i), 10))
}

// New returns a reader of the reply of an account with n proxies, in orders of ten.
// The reply is made piece by piece, and its records have only the members that are
// documented.
func New(n int) io.Reader { return &list{n: n} }

type list struct {
	n, next int
	rest    []byte
}

func (l *list) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		l.rest = l.rest[:0]
		switch {
		case l.next == 0:
			l.rest = append(l.rest, `{"success": true, "IPv4": [`...)
			fallthrough
		case l.next < l.n:
			l.rest = appendRecord(l.rest, l.next)
			if l.next++; l.next < l.n {
				l.rest = append(l.rest, ", "...)
			}
		case l.next == l.n:
			l.rest = append(l.rest, `], "error": null}`...)
			l.next++
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func appendRecord(b []byte, i int) []byte {
	const date = "2006-01-02T15:04:05.000-07:00"
	order := i / 10
	start := time.Date(2026, 10, 1, 0, 0, order, 220e6, time.UTC)
	return fmt.Appendf(b, `{"ipAddressId": "%s", "ipAddressIp": "10.%d.%d.%d", "orderId": "11122233%09x", "orderNumber": "NUMBER-%d", `+
		`"country": "%s", "dateStart": "%s", "dateEnd": "%s", "httpsPort": "%d", "socks5Port": "%d", `+
		`"authInfo": {"login": "user%d", "password": "pw-%x"}, "extendInfo": {"autoExtend": %t, "extendDays": 30}}`,
		ID(i), i>>16&255, i>>8&255, i&255, int64(order)*7919, 112233+order,
		[]string{"USA", "DEU", "GBR"}[order%3], start.Format(date), start.AddDate(0, 1, 0).Format(date),
		8000+i%1000, 9000+i%1000, i, int64(i)*2654435761, order%2 == 0)
}
