package youproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

var (
	fullProxy = youproxy.Proxy{
		ID: "1", OrderID: "2", OrderNumber: "N-3", ProxyType: youproxy.ProxyTypeMobile, Host: "192.0.2.1", IP: firstIP, HTTPPort: 8080, SOCKS5Port: 9090,
		Protocol: youproxy.ProtocolHTTP, Credentials: credentials("us<er", `wo:rd @&"`), Country: "USA",
		Start: time.Date(2026, 10, 1, 8, 30, 0, 0, time.UTC), End: time.Date(2026, 10, 31, 8, 30, 0, 220e6, time.UTC), AutoExtend: true, AutoExtendDays: 30,
		MobileOperator: "Op, Inc.", RotationTime: 300, RebootURL: youproxy.NewSecret("https://example.com/reboot?a=1&b=2"),
	}
	sixProxy  = youproxy.Proxy{ID: "4", Host: "2001:db8::1", IP: netip.MustParseAddr("2001:db8::1"), HTTPPort: 8081, SOCKS5Port: 9091, Credentials: credentials("user", "word")}
	openProxy = youproxy.Proxy{ID: "5", Host: "192.0.2.2", IP: secondIP, HTTPPort: 8082, SOCKS5Port: 9092}
	openSix   = youproxy.Proxy{ID: "6", Host: "2001:db8::2", IP: netip.MustParseAddr("2001:db8::2"), HTTPPort: 8083, SOCKS5Port: 9093}
)

const (
	csvHeader = "id,type,host,http_port,socks5_port,login,password,country,start,end,auto_extend,auto_extend_days,order_id,order_number,mobile_operator,rotation_time,reboot_url"
	http1     = youproxy.SchemeHTTP
	socks5    = youproxy.SchemeSOCKS5
	socks5h   = youproxy.SchemeSOCKS5H
)

var exampleTemplate = template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}`))

// everyLayout is each layout, and what it makes of fullProxy, sixProxy,
// openProxy and openSix.
var everyLayout = []struct {
	name   string
	layout youproxy.Layout
	prints string
	array  bool
	head   string
	want   [4]string
}{
	{"host:port", youproxy.LayoutHostPort(http1), "host:port", false, "", [4]string{"192.0.2.1:8080", "[2001:db8::1]:8081", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"host:port, SOCKS5", youproxy.LayoutHostPort(socks5), "host:port", false, "", [4]string{"192.0.2.1:9090", "[2001:db8::1]:9091", "192.0.2.2:9092", "[2001:db8::2]:9093"}},
	{"host:port:login:password", youproxy.LayoutHostPortLoginPassword(http1), "host:port:login:password", false, "",
		[4]string{`192.0.2.1:8080:us<er:wo:rd @&"`, "[2001:db8::1]:8081:user:word", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"host:port:login:password, SOCKS5", youproxy.LayoutHostPortLoginPassword(socks5), "host:port:login:password", false, "",
		[4]string{`192.0.2.1:9090:us<er:wo:rd @&"`, "[2001:db8::1]:9091:user:word", "192.0.2.2:9092", "[2001:db8::2]:9093"}},
	{"login:password@host:port", youproxy.LayoutLoginPasswordHostPort(youproxy.SchemeAny), "login:password@host:port", false, "",
		[4]string{`us<er:wo:rd @&"@192.0.2.1:8080`, "user:word@[2001:db8::1]:8081", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"URL", youproxy.LayoutURL(http1), "URL", false, "",
		[4]string{"http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080", "http://user:word@[2001:db8::1]:8081", "http://192.0.2.2:8082", "http://[2001:db8::2]:8083"}},
	{"URL, SOCKS5", youproxy.LayoutURL(socks5), "URL", false, "",
		[4]string{"socks5://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090", "socks5://user:word@[2001:db8::1]:9091", "socks5://192.0.2.2:9092", "socks5://[2001:db8::2]:9093"}},
	{"URL, SOCKS5H", youproxy.LayoutURL(socks5h), "URL", false, "",
		[4]string{"socks5h://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090", "socks5h://user:word@[2001:db8::1]:9091", "socks5h://192.0.2.2:9092", "socks5h://[2001:db8::2]:9093"}},
	{"curl", youproxy.LayoutCurl(http1), "curl", false, "",
		[4]string{`proxy = "http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"`, `proxy = "http://user:word@[2001:db8::1]:8081"`, `proxy = "http://192.0.2.2:8082"`, `proxy = "http://[2001:db8::2]:8083"`}},
	{"curl, SOCKS5", youproxy.LayoutCurl(socks5), "curl", false, "",
		[4]string{`proxy = "socks5h://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090"`, `proxy = "socks5h://user:word@[2001:db8::1]:9091"`, `proxy = "socks5h://192.0.2.2:9092"`, `proxy = "socks5h://[2001:db8::2]:9093"`}},
	{"Playwright", youproxy.LayoutPlaywright(http1), "Playwright", true, "",
		[4]string{
			`{"server":"http://192.0.2.1:8080","username":"us<er","password":"wo:rd @&\""}`, `{"server":"http://[2001:db8::1]:8081","username":"user","password":"word"}`,
			`{"server":"http://192.0.2.2:8082"}`, `{"server":"http://[2001:db8::2]:8083"}`,
		}},
	{"Scrapy", youproxy.LayoutScrapy(youproxy.SchemeAny), "Scrapy", true, "",
		[4]string{
			`{"proxy":"http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"}`, `{"proxy":"http://user:word@[2001:db8::1]:8081"}`,
			`{"proxy":"http://192.0.2.2:8082"}`, `{"proxy":"http://[2001:db8::2]:8083"}`,
		}},
	{"JSON lines", youproxy.LayoutJSONLines(), "JSON lines", false, "",
		[4]string{
			`{"ipAddressId":"1","ipAddressIp":"192.0.2.1","proxyType":"` + string(youproxy.ProxyTypeMobile) + `","orderId":"2","orderNumber":"N-3","country":"USA","dateStart":"2026-10-01T08:30:00Z",` +
				`"dateEnd":"2026-10-31T08:30:00.22Z","httpsPort":8080,"socks5Port":9090,"protocol":"` + string(youproxy.ProtocolHTTP) + `","extendInfo":{"autoExtend":true,"extendDays":30},` +
				`"mobileOperator":"Op, Inc.","rotationTime":300,"authInfo":{"login":"us<er","password":"wo:rd @&\""},"rebootLink":"https://example.com/reboot?a=1&b=2"}`,
			`{"ipAddressId":"4","ipAddressIp":"2001:db8::1","httpsPort":8081,"socks5Port":9091,"extendInfo":{"autoExtend":false},"authInfo":{"login":"user","password":"word"}}`,
			`{"ipAddressId":"5","ipAddressIp":"192.0.2.2","httpsPort":8082,"socks5Port":9092,"extendInfo":{"autoExtend":false}}`,
			`{"ipAddressId":"6","ipAddressIp":"2001:db8::2","httpsPort":8083,"socks5Port":9093,"extendInfo":{"autoExtend":false}}`,
		}},
	{"CSV", youproxy.LayoutCSV(), "CSV", false, csvHeader + "\n",
		[4]string{
			`'1,` + string(youproxy.ProxyTypeMobile) + `,192.0.2.1,8080,9090,us<er,"wo:rd @&""",USA,2026-10-01T08:30:00Z,2026-10-31T08:30:00.22Z,true,30,'2,N-3,"Op, Inc.",300,https://example.com/reboot?a=1&b=2`,
			`'4,,2001:db8::1,8081,9091,user,word,,,,false,,,,,,`, `'5,,192.0.2.2,8082,9092,,,,,,false,,,,,,`, `'6,,2001:db8::2,8083,9093,,,,,,false,,,,,,`,
		}},
	{"template", youproxy.LayoutTemplate(exampleTemplate), "template", false, "",
		[4]string{`192.0.2.1 8080 us<er wo:rd @&"`, "2001:db8::1 8081 user word", "192.0.2.2 8082", "2001:db8::2 8083"}},
}

var layoutProxies = []youproxy.Proxy{fullProxy, sixProxy, openProxy, openSix}

func TestFormat(t *testing.T) {
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			for i, p := range layoutProxies {
				got, err := p.Format(l.layout)
				require.NoError(t, err)
				assert.Equal(t, l.want[i], got)
				again, err := p.Format(l.layout)
				require.NoError(t, err)
				assert.Equal(t, got, again)
			}
		})
	}
}

// listText is what a list of rows must look like; of one that broke off where
// whole is false.
func listText(head string, array bool, rows []string, whole bool) string {
	switch {
	case array && whole:
		return "[\n" + strings.Join(rows, ",\n") + "\n]\n"
	case array && len(rows) == 0, !array && !whole && len(rows) == 0:
		return ""
	case array:
		return "[\n" + strings.Join(rows, ",\n") + "\n"
	}
	return head + strings.Join(append(slices.Clone(rows), ""), "\n")
}

// then gives proxies, and an error in the end unless that is nil.
func then(list []youproxy.Proxy, err error) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
		if err != nil {
			yield(youproxy.Proxy{}, err)
		}
	}
}

func TestWriteProxies(t *testing.T) {
	broke := errors.New("the list broke off")
	for _, l := range everyLayout {
		for _, n := range []int{0, 1, 3, 4} {
			t.Run(fmt.Sprintf("%s, %d proxies", l.name, n), func(t *testing.T) {
				list, want := layoutProxies[:n], listText(l.head, l.array, l.want[:n], true)

				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, l.layout, slices.Values(list)))
				assert.Equal(t, want, b.String())

				b.Reset()
				require.NoError(t, youproxy.WriteProxies(&b, l.layout, then(list, nil)))
				assert.Equal(t, want, b.String())

				part := listText(l.head, l.array, l.want[:n], false)
				b.Reset()
				require.ErrorIs(t, youproxy.WriteProxies(&b, l.layout, then(list, broke)), broke)
				assert.Equal(t, part, b.String(), "whole proxies, and no end")
				if l.array {
					assert.False(t, json.Valid(b.Bytes()), "it is not taken for a list")
				}
			})
		}
	}
}

func TestWriteProxiesFromAReply(t *testing.T) {
	reply := inEnvelope(`"ipv4": [{"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 80}, {"ipAddressId": "2", "ip": "192.0.2.2", "httpsPort": 80}]`)
	var b bytes.Buffer
	require.NoError(t, youproxy.WriteProxies(&b, youproxy.LayoutURL(http1), youproxy.ReadProxies(strings.NewReader(reply))))
	assert.Equal(t, "http://192.0.2.1:80\nhttp://192.0.2.2:80\n", b.String())
	b.Reset()
	err := youproxy.WriteProxies(&b, youproxy.LayoutURL(http1), youproxy.ReadProxies(strings.NewReader(reply[:len(reply)-30])))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "http://192.0.2.1:80\n", b.String())
}

func TestWriteProxiesUpToOneThatCannotBe(t *testing.T) {
	bad := youproxy.Proxy{ID: "bad\rid", Credentials: credentials("user", hushed), Start: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	failing := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}{{if not .Host}}{{.URL "http"}}{{end}}`)))
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			layout := l.layout
			if l.name == "template" {
				layout = failing
			}
			for n := range 4 {
				given := 0
				list := func(yield func(youproxy.Proxy) bool) {
					for _, p := range slices.Insert(slices.Clone(layoutProxies), n, bad) {
						if given++; !yield(p) {
							return
						}
					}
				}
				var b bytes.Buffer
				err := youproxy.WriteProxies(&b, layout, iter.Seq[youproxy.Proxy](list))
				require.Error(t, err)
				assertTellsNoSecret(t, err)
				assert.Equal(t, n+1, given, "no more is taken from the list")
				assert.Equal(t, listText(l.head, l.array, l.want[:n], false), b.String())
			}
		})
	}
}

func TestWriteProxiesWithoutThoseThatCannotBe(t *testing.T) {
	bad := youproxy.Proxy{ID: "bad\rid", Credentials: credentials("user", hushed)}
	failing := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}{{if not .Host}}{{.URL "http"}}{{end}}`)))
	for _, l := range everyLayout {
		if l.name == "JSON lines" {
			continue // it takes this one
		}
		t.Run(l.name, func(t *testing.T) {
			layout := l.layout
			if l.name == "template" {
				layout = failing
			}
			whole := listText(l.head, l.array, l.want[:], true)
			for n := range 5 {
				list := slices.Insert(slices.Clone(layoutProxies), n, bad, bad)
				told := 0
				skip := youproxy.SkipUnusable(func(p youproxy.Proxy, err error) {
					told++
					assert.Equal(t, bad, p)
					require.ErrorIs(t, err, youproxy.ErrNotUsable)
					assertTellsNoSecret(t, err)
				})
				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(list), skip))
				assert.Equal(t, whole, b.String())
				assert.Equal(t, 2, told)

				b.Reset()
				require.NoError(t, youproxy.WriteProxies(&b, layout, then(list, nil), nil, youproxy.SkipUnusable(nil)))
				assert.Equal(t, whole, b.String(), "nobody need be told")

				broke := errors.New("the list broke off")
				b.Reset()
				require.ErrorIs(t, youproxy.WriteProxies(&b, layout, then(list, broke), skip), broke)
				assert.Equal(t, listText(l.head, l.array, l.want[:], false), b.String())
			}
			var b bytes.Buffer
			err := youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{bad, bad}), youproxy.SkipUnusable(nil))
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.ErrorContains(t, err, "none of 2 proxies can be written in the layout "+l.prints)
			assert.Zero(t, b.Len(), "it is not taken for an empty list")

			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{}), youproxy.SkipUnusable(nil)))
			assert.Equal(t, listText(l.head, l.array, nil, true), b.String(), "which an empty list is")
		})
	}
}

// Only proxies are skipped: nothing else goes by unseen.
func TestWriteProxiesSkipsNothingElse(t *testing.T) {
	skip := youproxy.SkipUnusable(func(youproxy.Proxy, error) { t.Error("nothing is skipped") })
	var b bytes.Buffer
	list := slices.Values(layoutProxies)
	for _, l := range []youproxy.Layout{{}, youproxy.LayoutTemplate(nil), youproxy.LayoutURL("https"), youproxy.LayoutTemplate(template.Must(template.New("t").Parse("{{.Nope}}")))} {
		err := youproxy.WriteProxies(&b, l, list, skip)
		require.Error(t, err)
		assert.NotErrorIs(t, err, youproxy.ErrNotUsable)
	}
	assert.ErrorIs(t, youproxy.WriteProxies(&notingWriter{failing: 1}, youproxy.LayoutURL(http1), list, skip), errDisk)
}

// notingWriter notes what it is handed, and fails from a write on.
type notingWriter struct {
	writes  []string
	failing int // the first write that fails, counted from 1
	short   bool
}

var errDisk = errors.New("the disk is full")

func (w *notingWriter) Write(b []byte) (int, error) {
	w.writes = append(w.writes, string(b))
	switch {
	case w.failing == 0 || len(w.writes) < w.failing:
		return len(b), nil
	case w.short:
		return len(b) - 1, nil
	}
	return len(b) / 2, errDisk
}

// manyProxies is a list of more than two pieces in every layout.
func manyProxies() []youproxy.Proxy {
	list := make([]youproxy.Proxy, 0, 6000)
	for i := range cap(list) {
		list = append(list, youproxy.Proxy{ID: youproxy.IPAddressID(strconv.Itoa(i)), Host: "192.0.2.1", HTTPPort: i + 1, SOCKS5Port: i + 1})
	}
	return list
}

func TestWriteProxiesInPieces(t *testing.T) {
	list := manyProxies()
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			var rows []string
			longest := 0
			for _, p := range list {
				row, err := p.Format(l.layout)
				require.NoError(t, err)
				rows = append(rows, row)
				longest = max(longest, len(row))
			}
			w := &notingWriter{}
			taken, early := 0, 0
			require.NoError(t, youproxy.WriteProxies(w, l.layout, iter.Seq[youproxy.Proxy](func(yield func(youproxy.Proxy) bool) {
				for _, p := range list {
					if taken++; !yield(p) {
						return
					}
				}
				early = len(w.writes)
			})))
			assert.Equal(t, listText(l.head, l.array, rows, true), strings.Join(w.writes, ""))
			assert.Equal(t, len(list), taken)
			assert.Positive(t, early, "it is written while the list is read")
			assert.Greater(t, len(w.writes), 2)
			separator := "\n"
			if l.array {
				separator = ",\n"
			}
			next := 0
			for i, piece := range w.writes {
				require.NotEmpty(t, piece)
				assert.LessOrEqual(t, len(piece), 32<<10+longest+len(l.head)+len("[\n,\n]\n"))
				if i == 0 {
					piece = strings.TrimPrefix(strings.TrimPrefix(piece, l.head), "[\n")
				}
				piece = strings.TrimSuffix(strings.TrimSuffix(piece, "\n]\n"), "\n")
				piece = strings.TrimPrefix(piece, separator)
				if piece == "" {
					continue // the end of the list
				}
				whole := strings.Split(piece, separator)
				require.LessOrEqual(t, next+len(whole), len(rows))
				require.Equal(t, rows[next:next+len(whole)], whole)
				next += len(whole)
			}
			assert.Equal(t, len(rows), next, "each piece is whole proxies")
		})
	}
}

func TestWriteProxiesToAWriterThatFails(t *testing.T) {
	list := manyProxies()
	for _, l := range everyLayout {
		for _, failing := range []int{1, 2} {
			for _, short := range []bool{false, true} {
				for _, brokenToo := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, write %d, short %t, list breaks off %t", l.name, failing, short, brokenToo), func(t *testing.T) {
						w := &notingWriter{failing: failing, short: short}
						taken := 0
						var last error
						if brokenToo {
							last = errors.New("not reached")
						}
						err := youproxy.WriteProxies(w, l.layout, iter.Seq2[youproxy.Proxy, error](func(yield func(youproxy.Proxy, error) bool) {
							for p, err := range then(list, last) {
								if taken++; !yield(p, err) {
									return
								}
							}
						}))
						want := errDisk
						if short {
							want = io.ErrShortWrite
						}
						require.ErrorIs(t, err, want)
						assert.ErrorContains(t, err, "youproxy: ")
						assert.Len(t, w.writes, failing, "it is not written to again")
						assert.Less(t, taken, len(list), "the list is not read any further")
					})
				}
			}
		}
		t.Run(l.name+", at the end", func(t *testing.T) {
			w := &notingWriter{failing: 1}
			require.ErrorIs(t, youproxy.WriteProxies(w, l.layout, slices.Values(layoutProxies)), errDisk)
			assert.Len(t, w.writes, 1)
			w = &notingWriter{failing: 1}
			broke := errors.New("the list broke off")
			require.ErrorIs(t, youproxy.WriteProxies(w, l.layout, then(layoutProxies, broke)), broke, "the first error counts")
			assert.Len(t, w.writes, 1)
		})
	}
}

func TestWriteProxiesWithNothing(t *testing.T) {
	some := slices.Values(layoutProxies)
	for _, l := range everyLayout {
		var b bytes.Buffer
		assert.ErrorContains(t, youproxy.WriteProxies(nil, l.layout, some), "the writer is nil")
		assert.ErrorContains(t, youproxy.WriteProxies(&b, l.layout, iter.Seq[youproxy.Proxy](nil)), "the sequence of proxies is nil")
		assert.ErrorContains(t, youproxy.WriteProxies(&b, l.layout, iter.Seq2[youproxy.Proxy, error](nil)), "the sequence of proxies is nil")
		assert.Zero(t, b.Len())
	}
	var b bytes.Buffer
	for _, list := range []iter.Seq[youproxy.Proxy]{some, slices.Values([]youproxy.Proxy{})} {
		assert.ErrorContains(t, youproxy.WriteProxies(&b, youproxy.Layout{}, list), "no layout")
	}
	assert.ErrorContains(t, youproxy.WriteProxies(&b, youproxy.Layout{}, then(layoutProxies, nil)), "no layout")
	_, err := fullProxy.Format(youproxy.Layout{})
	assert.ErrorContains(t, err, "no layout")

	none := youproxy.LayoutTemplate(nil)
	assert.ErrorContains(t, youproxy.WriteProxies(&b, none, some), "the template is nil")
	got, err := fullProxy.Format(none)
	assert.ErrorContains(t, err, "the template is nil")
	assert.Empty(t, got)
	assert.Zero(t, b.Len())
}

func TestLayoutsPrintTheirNames(t *testing.T) {
	for _, l := range everyLayout {
		p := bothPorts("user", hushed)
		_, _ = p.Format(l.layout)
		assert.Equal(t, l.prints, l.layout.String())
		assert.Equal(t, l.prints, fmt.Sprint(l.layout))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
			for _, v := range []any{l.layout, &l.layout, []youproxy.Layout{l.layout}, struct{ L youproxy.Layout }{l.layout}, struct{ l youproxy.Layout }{l.layout}} {
				text := fmt.Sprintf(verb, v)
				assert.False(t, showsHushed(text), text)
				assert.NotContains(t, text, "192.0.2.1")
			}
		}
	}
	assert.Equal(t, "no layout", youproxy.Layout{}.String())
	assert.Equal(t, "no layout", fmt.Sprint(youproxy.Layout{}))
}

// schemeLayouts are the layouts that use a proxy by a scheme.
var schemeLayouts = map[string]func(youproxy.Scheme) youproxy.Layout{
	"host:port": youproxy.LayoutHostPort, "host:port:login:password": youproxy.LayoutHostPortLoginPassword, "login:password@host:port": youproxy.LayoutLoginPasswordHostPort,
	"URL": youproxy.LayoutURL, "curl": youproxy.LayoutCurl, "Playwright": youproxy.LayoutPlaywright, "Scrapy": youproxy.LayoutScrapy,
}

func TestLayoutsOfAProxyThatIsNotUsable(t *testing.T) {
	for name, layout := range schemeLayouts {
		t.Run(name, func(t *testing.T) {
			for _, test := range unusable {
				got, err := test.proxy.Format(layout(test.scheme))
				assert.ErrorIs(t, err, youproxy.ErrNotUsable, test.name)
				assert.Empty(t, got)
				assertTellsNoSecret(t, err)
			}
			_, err := fullProxy.Format(layout("https"))
			assert.ErrorContains(t, err, `"https" is not known`)
		})
	}
	for _, test := range unusable {
		for _, l := range []youproxy.Layout{youproxy.LayoutCSV(), youproxy.LayoutJSONLines(), youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.URL "http"}} {{.URL "socks5"}}`)))} {
			if _, err := test.proxy.Format(l); err != nil {
				assertTellsNoSecret(t, err)
			}
		}
	}
}

func TestLayoutsThatCannotCarryAProxy(t *testing.T) {
	socks := bothPorts("user", hushed)
	socks.HTTPPort = 0
	for _, test := range []struct {
		name   string
		layout youproxy.Layout
		proxy  youproxy.Proxy
		why    string
	}{
		{"a colon in the login, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a:b", hushed), "a login with a colon"},
		{"a colon in the login, login:password@host:port", youproxy.LayoutLoginPasswordHostPort(socks5), bothPorts("a:b", hushed), "a login with a colon"},
		{"a line feed in the login, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a\nb", hushed), "a control character"},
		{"a line feed in the password, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a", hushed+"\n"), "a control character"},
		{"a carriage return in the password, login:password@host:port", youproxy.LayoutLoginPasswordHostPort(socks5), bothPorts("a", "\r"+hushed), "a control character"},
		{"curl, a control character in the login", youproxy.LayoutCurl(socks5), bothPorts("us\ner", hushed), "a control character"}, // curl would go without a proxy
		{"curl, a control character in the password", youproxy.LayoutCurl(socks5), bothPorts("user", hushed+"\x00"), "a control character"},
		{"URL, a control character in the login", youproxy.LayoutURL(socks5), bothPorts("us\ner", hushed), "a control character"}, // so would curl with such a URL
		{"URL, a control character in the password", youproxy.LayoutURL(socks5h), bothPorts("user", hushed+"\t"), "a control character"},
		{"Playwright, SOCKS5 with a login", youproxy.LayoutPlaywright(socks5), socks, "browsers cannot log in"},
		{"Playwright, an empty login", youproxy.LayoutPlaywright(http1), bothPorts("", hushed), "an empty login"},
		{"Playwright, any, SOCKS5 with a login", youproxy.LayoutPlaywright(youproxy.SchemeAny), socks, "browsers cannot log in"},
		{"curl, SOCKS5H, a control character in the login", youproxy.LayoutCurl(socks5h), bothPorts("us\ner", hushed), "a control character"},
		{"Playwright, SOCKS5H with a login", youproxy.LayoutPlaywright(socks5h), socks, "browsers cannot log in"},
		{"Scrapy, SOCKS5", youproxy.LayoutScrapy(socks5), socks, "does not speak SOCKS5"},
		{"Scrapy, SOCKS5H", youproxy.LayoutScrapy(socks5h), socks, "does not speak SOCKS5"},
		{"Scrapy, an empty login", youproxy.LayoutScrapy(http1), bothPorts("", hushed), "an empty login"},
		{"Scrapy, an empty login and password", youproxy.LayoutScrapy(http1), bothPorts("", ""), "an empty login"},
		{"Scrapy, a login in Latin-1", youproxy.LayoutScrapy(http1), bothPorts("é", hushed), "outside ASCII"},
		{"Scrapy, a login outside Latin-1", youproxy.LayoutScrapy(http1), bothPorts("世", hushed), "outside ASCII"},
		{"Scrapy, a password in Latin-1", youproxy.LayoutScrapy(http1), bothPorts("user", hushed+"é"), "outside ASCII"},
		{"Scrapy, a password that is not UTF-8", youproxy.LayoutScrapy(http1), bothPorts("user", hushed+"\xff"), "outside ASCII"},
		{"Scrapy, any, SOCKS5 alone", youproxy.LayoutScrapy(youproxy.SchemeAny), socks, "no port for http"},
		{"CSV, a carriage return in the password", youproxy.LayoutCSV(), bothPorts("user", hushed+"\r\n"), "the carriage return in its password"},
		{"CSV, a carriage return in the login", youproxy.LayoutCSV(), bothPorts("us\rer", hushed), "the carriage return in its login"},
		{"CSV, a carriage return in the reboot link", youproxy.LayoutCSV(), youproxy.Proxy{RebootURL: youproxy.NewSecret(hushed + "\r")}, "the carriage return in its reboot_url"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.proxy.Format(test.layout)
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.ErrorContains(t, err, test.why)
			assert.Empty(t, got)
			assertTellsNoSecret(t, err)
		})
	}
	open := openProxy
	open.HTTPPort = 0
	for _, s := range []youproxy.Scheme{youproxy.SchemeAny, socks5, socks5h} {
		got, err := open.Format(youproxy.LayoutPlaywright(s))
		require.NoError(t, err)
		assert.Equal(t, `{"server":"socks5://192.0.2.2:9092"}`, got, "without a login a browser can use it")
		got, err = open.Format(youproxy.LayoutCurl(s))
		require.NoError(t, err)
		assert.Equal(t, `proxy = "socks5h://192.0.2.2:9092"`, got, "the proxy looks names up, however it is asked for")
	}
}

// A password that JSON cannot hold must not become another one in silence.
func TestJSONLayoutsKeepPasswordsOrRefuse(t *testing.T) {
	for _, password := range append(oddSigns, "***") {
		p := bothPorts("user", password)
		if text, err := p.Format(youproxy.LayoutPlaywright(http1)); err == nil {
			var got struct{ Password string }
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			assert.Equal(t, password, got.Password, "Playwright")
		}
		p = youproxy.Proxy{ID: "1", Credentials: credentials("user", password), RebootURL: youproxy.NewSecret(password)}
		if text, err := p.Format(youproxy.LayoutJSONLines()); err == nil {
			var got youproxy.Proxy
			assert.NoError(t, json.Unmarshal([]byte(text), &got), "JSON lines with %q", password)
			assert.Equal(t, p, got, "JSON lines")
		}
	}
}

func TestJSONLayoutsAreJSON(t *testing.T) {
	for name, layout := range map[string]youproxy.Layout{"Playwright": youproxy.LayoutPlaywright(http1), "Scrapy": youproxy.LayoutScrapy(http1)} {
		t.Run(name, func(t *testing.T) {
			for n := range 5 {
				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(layoutProxies[:n])))
				var got []map[string]string
				require.NoError(t, json.Unmarshal(b.Bytes(), &got))
				assert.Len(t, got, n)
				for i, object := range got {
					want, err := layoutProxies[i].URL(http1)
					require.NoError(t, err)
					if name == "Scrapy" {
						assert.Equal(t, map[string]string{"proxy": want.String()}, object)
						continue
					}
					assert.Equal(t, "http://"+want.Host, object["server"])
					if as := layoutProxies[i].Credentials; as != nil {
						assert.Equal(t, as.Login, object["username"])
						assert.Equal(t, as.Password.Reveal(), object["password"])
					} else {
						assert.Len(t, object, 1)
					}
				}
			}
		})
	}
}

func TestJSONLinesReadBack(t *testing.T) {
	list := slices.Clone(layoutProxies)
	for _, shape := range listShapes {
		for _, p := range shape.want {
			p.Extra = nil
			if p.Credentials != nil && p.Credentials.Login == "" && p.Credentials.Password.IsZero() {
				p.Credentials = nil
			}
			list = append(list, p)
		}
	}
	withSecrets := secretive(t)
	text, err := withSecrets.Format(youproxy.LayoutJSONLines())
	require.NoError(t, err)
	assert.NotContains(t, text, "token", "Extra is left out")
	withSecrets.Extra = nil
	list = append(list, withSecrets)
	for _, sign := range oddSigns {
		if sign != "\xff" {
			list = append(list, youproxy.Proxy{ID: "1", Country: sign, Credentials: credentials(sign, sign+"\r\n\x00"), RebootURL: youproxy.NewSecret(sign)})
		}
	}
	var b bytes.Buffer
	require.NoError(t, youproxy.WriteProxies(&b, youproxy.LayoutJSONLines(), slices.Values(list)))
	lines := slices.Collect(strings.Lines(b.String()))
	require.Len(t, lines, len(list))
	for i, line := range lines {
		var got youproxy.Proxy
		require.NoError(t, json.Unmarshal([]byte(line), &got), line)
		got.Extra = nil // an extension that is not known stays so
		assert.Equal(t, list[i], got, line)
	}
}

func FuzzJSONLines(f *testing.F) {
	f.Add([]byte(bareRecord))
	for _, text := range []string{`{"ipAddressId": "1", "authInfo": {"login": "l", "password": "p\u0000\u2028<\"\\"}, "rebootLink": "https://example.com/?a&b"}`, `{"id": 1, "ip": "192.0.2.1:80", "password": "\ud800"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, got youproxy.Proxy
		if p.UnmarshalJSON(data) != nil {
			return
		}
		p.Extra = nil
		if p.Credentials != nil && p.Credentials.Login == "" && p.Credentials.Password.IsZero() {
			p.Credentials = nil
		}
		if p.RebootURL.IsZero() {
			p.RebootURL = youproxy.Secret{}
		}
		text, err := p.Format(youproxy.LayoutJSONLines())
		require.NoError(t, err)
		require.NotContains(t, text, "\n")
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		got.Extra = nil
		require.Equal(t, p, got, text)
	})
}

// parsed is what a program makes of a line.
type parsed struct {
	host, port, login, password string
	known                       bool // a login is given
}

func parsedURL(t *testing.T, text string, schemes ...string) parsed {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	require.Contains(t, schemes, u.Scheme)
	require.Empty(t, u.Path+u.RawQuery+u.Fragment)
	password, known := u.User.Password()
	return parsed{u.Hostname(), u.Port(), u.User.Username(), password, known}
}

func parsedHostPort(t *testing.T, text string) parsed {
	t.Helper()
	host, port, err := net.SplitHostPort(text)
	require.NoError(t, err)
	return parsed{host: host, port: port}
}

// lineRules reads a line as the layout's documentation says.
var lineRules = map[string]func(t *testing.T, line string) parsed{
	"host:port": parsedHostPort,
	"host:port:login:password": func(t *testing.T, line string) parsed {
		at := 0
		if line[0] == '[' {
			at = strings.IndexByte(line, ']')
		}
		at += strings.IndexByte(line[at:], ':') + 1
		port, rest, known := strings.Cut(line[at:], ":")
		p := parsedHostPort(t, line[:at]+port)
		if p.known = known; known {
			p.login, p.password, known = strings.Cut(rest, ":")
			require.True(t, known)
		}
		return p
	},
	"login:password@host:port": func(t *testing.T, line string) parsed {
		at := strings.LastIndexByte(line, '@')
		p := parsedHostPort(t, line[at+1:])
		if p.known = at >= 0; p.known {
			var found bool
			p.login, p.password, found = strings.Cut(line[:at], ":")
			require.True(t, found)
		}
		return p
	},
	"URL": func(t *testing.T, line string) parsed { return parsedURL(t, line, "http", "socks5") },
	"curl": func(t *testing.T, line string) parsed {
		line, found := strings.CutPrefix(line, `proxy = "`)
		require.True(t, found)
		line, found = strings.CutSuffix(line, `"`)
		require.True(t, found)
		require.False(t, strings.ContainsAny(line, `"\`), line)
		return parsedURL(t, line, "http", "socks5h")
	},
}

func FuzzFormat(f *testing.F) {
	for _, sign := range append(oddSigns, "", "\n", "\r", "\x00", "\x7f", strings.Repeat("x", 256)) {
		f.Add("user", sign, "192.0.2.1", 8080, true, true)
		f.Add("a"+sign, "word"+sign, "2001:db8::1", 8080, false, true)
		f.Add(sign, "@:", "example.com", 8080, false, true)
		f.Add("", "", "a"+sign, 1, true, false)
	}
	f.Fuzz(func(t *testing.T, login, password, host string, port int, overHTTP, known bool) {
		p := youproxy.Proxy{Host: host}
		scheme := socks5
		if overHTTP {
			scheme, p.HTTPPort = http1, port
		} else {
			p.SOCKS5Port = port
		}
		want := parsed{host: host, port: strconv.Itoa(port)}
		another := p
		if known {
			p.Credentials = &youproxy.Credentials{Login: login, Password: youproxy.NewSecret(password)}
			want.login, want.password, want.known = login, password, true
			like := []byte(password)
			for i, c := range like {
				if c < ' ' || c == 0x7f {
					like[i] = '\n'
				} else {
					like[i] = 'x'
				}
			}
			another.Credentials = &youproxy.Credentials{Login: login, Password: youproxy.NewSecret(string(like))}
		}
		for name, rule := range lineRules {
			layout := schemeLayouts[name](scheme)
			line, err := p.Format(layout)
			if err != nil {
				require.ErrorIs(t, err, youproxy.ErrNotUsable)
				_, same := another.Format(layout)
				require.EqualError(t, same, err.Error(), "the text does not depend on the password")
				continue
			}
			require.False(t, strings.ContainsAny(line, "\r\n"), "%q", line)
			want := want
			if name == "host:port" {
				want.login, want.password, want.known = "", "", false
			}
			require.Equal(t, want, rule(t, line), "%s: %q", name, line)

			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{p, p})))
			require.Equal(t, line+"\n"+line+"\n", b.String())
		}
	})
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct{ name, template, want string }{
		{"fields", `{{.ID}} {{.OrderNumber}} {{.ProxyType}} {{.Host}} {{.IP}} {{.HTTPPort}} {{.Country}} {{.End.Year}}`, "1 N-3 " + string(youproxy.ProxyTypeMobile) + " 192.0.2.1 192.0.2.1 8080 USA 2026"},
		{"a secret", `{{.Credentials.Login}}:{{.Credentials.Password.Reveal}} {{.RebootURL.Reveal}}`, `us<er:wo:rd @&" https://example.com/reboot?a=1&b=2`},
		{"a secret without Reveal", `{{.Credentials.Password}} {{.RebootURL}}`, "*** ***"},
		{"the proxy", `{{.}}`, fullProxy.String()},
		{"an HTTP URL", `{{.URL "http"}}`, "http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"},
		{"a SOCKS5 URL", `{{.URL "socks5"}}`, "socks5://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090"},
		{"any URL", `{{(.URL "").Redacted}}`, "http://us%3Cer:xxxxx@192.0.2.1:8080"},
		{"a line feed at the end", "{{.ID}}\n", "1"},
		{"two line feeds at the end", "{{.ID}}\n\n", "1\n"},
		{"several lines", "{{.ID}}\n{{.Host}}", "1\n192.0.2.1"},
		{"nothing", ``, ""},
		{"a line feed alone", "\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			layout := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(test.template)))
			got, err := fullProxy.Format(layout)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{fullProxy, fullProxy, fullProxy})))
			assert.Equal(t, strings.Repeat(test.want+"\n", 3), b.String(), "a proxy a line")
		})
	}
}

func TestTemplateThatGivesNothingForSome(t *testing.T) {
	layout := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{with .Credentials}}{{.Login}}{{end}}`)))
	for _, test := range []struct {
		name string
		list []youproxy.Proxy
		want string
	}{
		{"the first", []youproxy.Proxy{openProxy, sixProxy}, "\nuser\n"},
		{"one between", []youproxy.Proxy{sixProxy, openProxy, sixProxy}, "user\n\nuser\n"},
		{"the last", []youproxy.Proxy{sixProxy, openProxy}, "user\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(test.list)))
			assert.Equal(t, test.want, b.String())
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	p := secretive(t)
	p.Credentials = credentials("us:er", hushed)
	inner := errors.New("an error of the caller's")
	funcs := template.FuncMap{
		"fail":       func(any) (string, error) { return "", inner },
		"tell":       func(v any) (string, error) { return "", fmt.Errorf("cannot take %v", v) },
		"tellQuoted": func(v any) (string, error) { return "", fmt.Errorf("cannot take %q", fmt.Sprint(v)) },
		"panics":     func(v any) string { panic(fmt.Sprint("cannot take ", v)) },
	}
	for _, test := range []struct {
		name, template string
		is             error
		contains       string
	}{
		{"no such field", `{{.Nope}}`, nil, "Nope"},
		{"of a function", `{{fail .}}`, inner, "an error of the caller's"},
		{"of a function of a secret", `{{fail .Credentials.Password.Reveal}}`, inner, "an error of the caller's"},
		{"of URL", `{{.URL "http"}}`, youproxy.ErrNotUsable, "a login with a colon"},
		{"of an unknown scheme", `{{.URL "https"}}`, nil, `"https" is not known`},
		{"a template that is not there", `{{template "x"}}`, nil, `"x" not defined`},
	} {
		t.Run(test.name, func(t *testing.T) {
			layout := youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse("before " + test.template)))
			got, err := p.Format(layout)
			require.Error(t, err)
			assert.Empty(t, got)
			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			}
			assert.ErrorContains(t, err, "youproxy: proxy 1")
			assert.ErrorContains(t, err, test.contains)
			assertTellsNoSecret(t, err)
			var b bytes.Buffer
			require.Error(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{p})))
			assert.Zero(t, b.Len())
		})
	}
	for name, text := range map[string]string{
		"a function tells the password":              `{{tell .Credentials.Password.Reveal}}`,
		"a function tells the password, quoted":      `{{tellQuoted .Credentials.Password.Reveal}}`,
		"a function panics with the password":        `{{panics .Credentials.Password.Reveal}}`,
		"a function tells the reboot link":           `{{tell .RebootURL.Reveal}}`,
		"a function tells the URL":                   `{{tell (.URL "socks5")}}`,
		"a function tells an unknown field":          `{{tell (printf "%s" .Extra.token)}}`,
		"a function tells an unknown field's bytes":  `{{tell .Extra.token}}`,
		"a function tells a part of a list of texts": `{{tell (printf "%s" .Extra.list)}}`,
		"the template itself":                        `{{range .Credentials.Password.Reveal | len}}{{end}}{{index .Credentials.Password.Reveal "x"}}`,
		"a password is no function":                  `{{call .Credentials.Password.Reveal}}`,
		"a password is no template":                  `{{.Credentials.Password.Reveal.Nope}}`,
		"a password is no number":                    `{{slice .Credentials.Password.Reveal .Credentials.Password.Reveal}}`,
		"a password is no scheme":                    `{{.URL .Credentials.Password.Reveal}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
			require.Error(t, err)
			assertTellsNoSecret(t, err)
		})
	}
	p.Credentials = credentials("user", "a\n\"b\\c")
	for _, text := range []string{`{{tell .Credentials.Password.Reveal}}`, `{{tellQuoted .Credentials.Password.Reveal}}`} {
		_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "b\\c")
		assert.NotContains(t, err.Error(), `b\\c`)
	}
}

// Each secret is looked for by itself.
func TestTemplateErrorsOfEachSecret(t *testing.T) {
	p := youproxy.Proxy{
		ID: "1", Host: "192.0.2.1", HTTPPort: 8080, Credentials: credentials("user", "the-password"),
		RebootURL: youproxy.NewSecret("https://example.com/the-link"), Extra: raw("token", `"the-token"`),
	}
	funcs := template.FuncMap{"tell": func(v any) (string, error) { return "", fmt.Errorf("cannot take %v", v) }}
	for text, secret := range map[string]string{
		`{{tell .Credentials.Password.Reveal}}`:    "the-password",
		`{{tell (.URL "http")}}`:                   "the-password",
		`{{tell .RebootURL.Reveal}}`:               "the-link",
		`{{tell (printf "%s" .Extra.token)}}`:      "the-token",
		`{{tell (printf "%q" .RebootURL.Reveal)}}`: "the-link",
	} {
		_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(text))))
		require.ErrorIs(t, err, youproxy.ErrNotUsable, text)
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := p.Format(youproxy.LayoutTemplate(template.Must(template.New("t").Funcs(funcs).Parse(`{{tell .Host}}`))))
	assert.ErrorContains(t, err, "cannot take 192.0.2.1", "what is no secret is told")
}

func TestJSONLinesRefuseALinkThatIsNone(t *testing.T) {
	for _, link := range []string{"***", "https://example.com/\xff"} {
		_, err := youproxy.Proxy{ID: "1", RebootURL: youproxy.NewSecret(link)}.Format(youproxy.LayoutJSONLines())
		assert.ErrorIs(t, err, youproxy.ErrNotUsable, "%q", link)
	}
}
