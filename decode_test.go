package youproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// inEnvelope makes members a reply that says success.
func inEnvelope(members string) string {
	return `{"success": true, ` + members + `, "error": null}`
}

// readAll gives what ReadProxies hands out, and the error at its end. It fails
// the test where anything comes after an error.
func readAll(t testing.TB, r io.Reader) ([]youproxy.Proxy, error) {
	t.Helper()
	return drainList(t, youproxy.ReadProxies(r))
}

func drainList(t testing.TB, all func(func(youproxy.Proxy, error) bool)) (list []youproxy.Proxy, last error) {
	t.Helper()
	for p, err := range all {
		require.NoError(t, last, "nothing comes after an error")
		if last = err; err == nil {
			list = append(list, p)
			continue
		}
		assert.Zero(t, p, "no proxy comes with an error")
	}
	return list, last
}

func readText(t testing.TB, reply string) ([]youproxy.Proxy, error) {
	t.Helper()
	return readAll(t, strings.NewReader(reply))
}

// raw makes the Extra of names and JSON, in turn.
func raw(pairs ...string) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

func credentials(login, password string) *youproxy.Credentials {
	c := &youproxy.Credentials{Login: login}
	if password != "" {
		c.Password = youproxy.NewSecret(password)
	}
	return c
}

func oneProxy(p youproxy.Proxy) []youproxy.Proxy { return []youproxy.Proxy{p} }

// at is a proxy at the first address.
func at(id youproxy.IPAddressID, change ...func(*youproxy.Proxy)) youproxy.Proxy {
	p := youproxy.Proxy{ID: id, Host: "192.0.2.1", IP: firstIP}
	for _, f := range change {
		f(&p)
	}
	return p
}

func only(id youproxy.IPAddressID) youproxy.Proxy { return youproxy.Proxy{ID: id} }

// A proxy that is kept must not change when others are read after it.
func TestProxiesShareNothingThatIsWrittenAgain(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	for i := range 50 {
		fmt.Fprintf(&list, `{"ipAddressId": "%d", "ip": "10.0.0.%d", "country": "C%d", "authInfo": {"login": "l%d", "password": "p%d", "x": %d}, "httpsPort": "odd%d", "note": "n%d"}, `, i, i, i, i, i, i, i, i)
	}
	got, err := readText(t, inEnvelope(`"list": [`+list.String()+`null]`))
	require.NoError(t, err)
	require.Len(t, got, 50)
	for i, p := range got {
		n := strconv.Itoa(i)
		assert.Equal(t, youproxy.Proxy{
			ID: youproxy.IPAddressID(n), Host: "10.0.0." + n, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Country: "C" + n, Credentials: credentials("l"+n, "p"+n),
			Extra: raw("authInfo", fmt.Sprintf(`{"x":%d}`, i), "httpsPort", `"odd`+n+`"`, "note", `"n`+n+`"`),
		}, p)
	}
}

func TestAppendingToExtraTouchesNoOtherProxy(t *testing.T) {
	t.Parallel()
	got, err := readText(t, inEnvelope(`"list": [{"note": "n", "country": [1], "x": [{"ipAddressId": "1"}, {"ipAddressId": "2"}]}]`))
	require.NoError(t, err)
	require.Len(t, got, 2)
	for _, name := range []string{"note", "country"} {
		first, other := got[0].Extra[name], got[1].Extra[name]
		first = append(first, "first"...)
		_ = append(other, "other"...)
		assert.True(t, bytes.HasSuffix(first, []byte("first")), name)
	}
	got[0].Extra["mine"] = json.RawMessage("1")
	assert.NotContains(t, got[1].Extra, "mine")
}

func TestUnreadableRecords(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		name    string
		members string
		says    string // in the error
		at      string // where the error is
		pointer string
		before  int // proxies that come before
	}{
		{"no id", `"ipv4": [` + bareRecord + `, {"ip": "192.0.2.1", "country": "USA"}]`, `beside proxies there is an object with "ip", "country"`, `{"ip": "192.0.2.1"`, "/ipv4/1", 1},
		{"no id, within an order", `"ipv4": [{"orderId": "o", "ips": [` + bareRecord + `, {"ip": "192.0.2.2"}]}]`, "without an id", `{"ip": "192.0.2.2"`, "/ipv4/0", 1},
		{"no id, first", `"ipv4": [{"ip": "192.0.2.1"}, ` + bareRecord + `]`, "without an id", bareRecord, "/ipv4/1", 1},
		{"an index in the place of an id", `"ipv4": {"0": ` + bareRecord + `, "1": {"ip": "192.0.2.1"}}`, "without an id", `{"0"`, "/ipv4", 1},
		{"an id twice", `"ipv4": [` + bareRecord + `, {"ipAddressId": "1", "ipAddressId": "1"}]`, "twice", `{"ipAddressId": "1", "ipAddressId"`, "/ipv4/1", 1},
		{"a country twice", `"ipv4": [{"ipAddressId": "1", "country": "USA", "country": "DEU"}]`, `"country" appears twice`, `{"ipAddressId": "1"`, "/ipv4/0", 0},
		{"a country twice, once escaped", `"ipv4": [{"ipAddressId": "1", "country": "USA", "\u0063ountry": "DEU"}]`, `"country" appears twice`, `{"ipAddressId": "1"`, "/ipv4/0", 0},
		{"an order's country twice", `"ipv4": [{"country": "USA", "country": "DEU", "ips": [` + bareRecord + `]}]`, `"country" appears twice`, `{"country": "USA"`, "/ipv4/0", 0},
		{"lists that are nested deeply", `"ipv4": [` + bareRecord + `, ` + deep(100) + `]`, "nested", "", "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, lead := range []string{"", strings.Repeat(" ", 100_000)} {
				reply := lead + inEnvelope(tc.members)
				got, err := readText(t, reply)
				require.Error(t, err)
				assert.Len(t, got, tc.before)
				assert.ErrorContains(t, err, tc.says)
				if tc.at != "" {
					assert.ErrorContains(t, err, strconv.Quote(tc.pointer))
					assert.ErrorContains(t, err, fmt.Sprintf("at byte %d:", strings.Index(reply, tc.at)))
				}
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
				assert.Less(t, len(err.Error()), 1000)
			}
		})
	}
}

func TestBrokenJSONSaysWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, reply, pointer string }{
		{"a list that is not closed", `{"success": true, "ipv4": [` + bareRecord + `, }`, "/ipv4"},
		{"a record that is not closed", `{"success": true, "ipv4": [` + bareRecord + `, {"ipAddressId": "2"]}`, "/ipv4/1"},
		{"a word that is none", `{"success": true, "ipv4": [` + bareRecord + `, {"ipAddressId": yes}]}`, "/ipv4/1/ipAddressId"},
		{"a comma too many", `{"success": true, "ipv4": [` + bareRecord + `,]}`, "/ipv4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := readText(t, tc.reply)
			assert.Len(t, got, 1)
			assert.ErrorContains(t, err, tc.pointer)
			assert.Regexp(t, `(offset|byte) \d+`, err.Error())
		})
	}
}

// A list that breaks off anywhere is never taken for a complete one.
func TestListCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		inEnvelope(`"ipv4": [` + bareRecord + `, {"orderId": "o", "ips": [` + otherRecord + `]}]`),
		`{"ipv4": [` + bareRecord + `], "success": true}`,
		inEnvelope(listShapes[0].members),
	} {
		whole, err := readText(t, reply)
		require.NoError(t, err)
		for n := range len(reply) {
			got, err := readText(t, reply[:n])
			require.Error(t, err, "%s", reply[:n])
			require.LessOrEqual(t, len(got), len(whole))
			require.Equal(t, whole[:len(got)], append([]youproxy.Proxy{}, got...))
			require.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))

			got, err = readAll(t, io.MultiReader(strings.NewReader(reply[:n]), iotest.ErrReader(io.ErrUnexpectedEOF)))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.LessOrEqual(t, len(got), len(whole))
		}
	}
}

// padded gives a reply with one record of n bytes.
func padded(n int) string {
	record := `{"ipAddressId": "1", "a": "` + strings.Repeat("a", n/2) + `", "b": "`
	return inEnvelope(`"ipv4": [` + record + strings.Repeat("b", n-len(record)-2) + `"}, {"ipAddressId": "2"}]`)
}

// A record, or an order with its records, may be as long as a reply; what surrounds the
// lists is streamed.
func TestLongElements(t *testing.T) {
	large(t)
	t.Parallel()
	const mib = 1 << 20
	text := `"` + strings.Repeat("x", 17*mib) + `"`
	records := strings.Repeat(`{"ipAddressId": "1", "ip": "192.0.2.1", "note": "`+strings.Repeat("a proxy of a long order ", 40)+`"}, `, 8*mib/1000)
	proxy := at("1", typed("IPv6"), in("USA"), ofOrder("o"))
	for _, tc := range []struct {
		name  string
		reply string
		want  youproxy.Proxy // of each; zero where the list is too long
	}{
		{"just under 16 MiB", padded(16*mib - 64), youproxy.Proxy{ID: "1", ProxyType: "IPv4"}},
		{"just above", padded(16*mib + 64), youproxy.Proxy{}},
		{"a long login", inEnvelope(`"ipv4": [{"id": "1", "authInfo": {"login": ` + text + `}}]`), youproxy.Proxy{}},
		{"a long name", inEnvelope(`"ipv4": [{` + text + `: 1, "id": "1", "ip": "192.0.2.1"}]`), youproxy.Proxy{}},
		{"a long name at the top", inEnvelope(text + `: 1`), youproxy.Proxy{}},
		{"an order that says its own after its records", inEnvelope(`"ipv6": [{"ips": [` + records + `null], "orderId": "o", "country": "USA"}]`), proxy},
		{"an order longer than that", inEnvelope(`"ipv6": [{"orderId": "o", "country": "USA", "ips": [` + records + records + records + `null]}]`), youproxy.Proxy{}},
		{"a page that says its own after its records", inEnvelope(`"ipv6": {"content": [` + records + `null], "orderId": "o", "country": "USA"}`), proxy},
		{"a page longer than that", inEnvelope(`"ipv6": {"country": "USA", "page": {"orderId": "o", "content": [` + records + records + records + `null]}}`), proxy},
		{"a long page of a list of them", inEnvelope(`"pages": {"ipv6": [{"orderId": "o", "country": "USA", "ips": [` + records + `]}, {"orderId": "o", "country": "USA", "ips": [` + records + `]}]}`), proxy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			count := 0
			var last error
			for p, err := range youproxy.ReadProxies(strings.NewReader(strings.ReplaceAll(tc.reply, "}, ]", "}]"))) {
				if last = err; err == nil && p.ID == "1" {
					count++
					p.Extra = nil
					require.Equal(t, tc.want, p)
				}
			}
			if tc.want.ID == "" {
				assert.ErrorIs(t, last, youproxy.ErrReplyTooLarge)
				assert.ErrorContains(t, last, "WithMaxReplySize")
				return
			}
			require.NoError(t, last)
			assert.NotZero(t, count)
		})
	}
}

// repeated gives before, then unit until about size bytes are given, then after.
func repeated(before, unit, after string, size int) io.Reader {
	block := strings.Repeat(unit, max(1, (32<<10)/len(unit)))
	readers := []io.Reader{strings.NewReader(before)}
	for given := 0; given < size; given += len(block) {
		readers = append(readers, strings.NewReader(block))
	}
	return io.MultiReader(append(readers, strings.NewReader(after))...)
}

// What a hostile list costs in memory is bounded, whatever it holds.
func TestHugeLists(t *testing.T) {
	large(t)
	const begin = `{"success": true, "ipv4": [`
	const no, yes, maybe = 0, 1, 2
	for _, tc := range []struct {
		name                string
		before, unit, after string
		size                int
		most                uint64 // MiB allocated in all
		fails               int
	}{
		{"one text", begin + `"`, "a", `"]}`, 64 << 20, 96, yes},
		{"one text at the top", `{"success": true, "x": "`, "a", `"}`, 64 << 20, 96, yes},
		{"one text in a record", begin + `{"ipAddressId": "`, "1", `"}]}`, 64 << 20, 96, yes},
		{"one name", begin + `{"`, "a", `": 1}]}`, 64 << 20, 96, yes},
		{"one number", begin, "1", `]}`, 64 << 20, 96, yes},
		{"brackets", begin, "[", "", 100_000, 16, yes},
		{"brackets in a record", begin + `{"ipAddressId": "1", "x": `, "[", "", 100_000, 16, yes},
		{"objects in objects", begin, `{"a":`, "", 500_000, 16, yes},
		{"empty objects", begin, `{},`, `{}]}`, 500_000, 16, no},
		{"empty lists", begin, `[],`, `[]]}`, 500_000, 16, no},
		{"numbers", begin, `1,`, `1]}`, 2 << 20, 16, no},
		{"members at the top", `{"success": true, `, `"a":1,`, `"b": 1}`, 1_500_000, 16, no},
		{"objects at the top", `{"success": true, `, `"a":{},`, `"b": 1}`, 1_500_000, 16, no},
		{"members of an order", begin + `{`, `"a":1,`, `"b": 1}]}`, 1_500_000, 16, yes},
		{"members of an order without names", begin + `{`, `"":1,`, `"b": [` + strings.Repeat("0,", 600_000) + `0]}]}`, 90_000, 24, maybe},
		{"orders in an order of many members", begin + `{` + strings.Repeat(`"a":1,`, 10_000) + `"ips": [`, `{"b":1,"c":[]},`, `0]}]}`, 75_000, 64, maybe},
		{"lists in ports", begin + `{"ipAddressId": "1", "ports": `, "[", "", 9_000, 16, yes},
		{"members of many names", begin + `{"x": [`, `{"ipAddressId": null, "` + strings.Repeat("n", 100) + `": {}}, `, `0]}]}`, 4 << 20, 64, no},
		{"white space", begin, " ", `]}`, 20 << 20, 96, yes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := repeated(tc.before, tc.unit, tc.after, tc.size)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := readAll(t, r)
			runtime.ReadMemStats(&after)
			assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)>>20, tc.most, "MiB allocated in all")
			assert.Empty(t, got)
			if tc.fails != maybe {
				assert.Equal(t, tc.fails == yes, err != nil, "%v", err)
			}
			if err != nil {
				assert.Less(t, len(err.Error()), 1000)
			}
		})
	}
}

// What an order says of all its records is not held once for each of them.
func TestAnOrdersMembersAreShared(t *testing.T) {
	const records = 500
	longest, long := strings.Repeat("x", 500_000), strings.Repeat("x", 50_000)
	for _, tc := range []struct{ name, member string }{
		{"an unknown member", `"note": "` + longest + `"`},
		{"a member that is null, and another", `"a": null, "note": "` + longest + `"`},
		{"a country", `"country": "` + long + `"`},
		{"a mobile operator", `"mobileOperator": "` + long + `"`},
		{"a proxy type", `"proxyType": "` + long + `"`},
		{"a protocol", `"protocol": "` + long + `"`},
		{"an order id", `"orderId": "` + long + `"`},
		{"an order number", `"orderNumber": "` + long + `"`},
		{"a password", `"authInfo": {"login": "l", "password": "` + long + `"}`},
		{"a password in an odd form", `"authInfo": {"login": {}, "password": "` + long + `"}`},
		{"a reboot link", `"rebootLink": "` + long + `"`},
		{"a date in an odd form", `"dateStart": "` + long + `"`},
		{"a country in an odd form", `"country": ["` + long + `"]`},
		{"unknown members by the thousand", manyMembers(2000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := inEnvelope(`"ipv4": [{` + tc.member + `, "ips": [` + strings.Repeat(`{"ipAddressId": "1"}, {"ipAddressId": "2", "country": "USA", "orderNumber": "N", "proxyType": "ISP", "authInfo": {"login": "l"}}, `, records) + `null]}]`)
			client, _ := answering(t, 200, reply)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
			runtime.ReadMemStats(&after)
			if !strings.HasSuffix(tc.name, "by the thousand") { // which may be too many
				require.NoError(t, err)
			}
			assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(16), "MiB allocated in all")
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%x": 1, `, i)
	}
	return b.String() + `"end": 1`
}

// encodeList writes what was read of proxies as a list of one form, without Extra.
func encodeList(t testing.TB, list []youproxy.Proxy) []byte {
	t.Helper()
	records := []map[string]any{}
	for _, p := range list {
		record := map[string]any{
			"ipAddressId": p.ID, "ipAddressIp": p.Host, "orderId": p.OrderID, "orderNumber": p.OrderNumber, "proxyType": p.ProxyType,
			"country": p.Country, "httpsPort": p.HTTPPort, "socks5Port": p.SOCKS5Port, "protocol": p.Protocol, "mobileOperator": p.MobileOperator,
			"rotationTime": p.RotationTime, "rebootLink": p.RebootURL.Reveal(),
		}
		for name, date := range map[string]time.Time{"dateStart": p.Start, "dateEnd": p.End} {
			if !date.IsZero() {
				record[name] = date
			}
		}
		extend := map[string]any{"autoExtend": p.AutoExtend, "extendDays": p.AutoExtendDays}
		if p.AutoExtendUnknown {
			extend["autoExtend"] = "unknown"
		}
		record["extendInfo"] = extend
		if c := p.Credentials; c != nil {
			record["authInfo"] = map[string]string{"login": c.Login, "password": c.Password.Reveal()}
		}
		records = append(records, record)
	}
	reply, err := json.Marshal(map[string]any{"success": true, "list": records})
	require.NoError(t, err)
	return reply
}

// revealed is what was read of a proxy, in a form in which nothing is hidden from a
// comparison or its report.
func revealed(p youproxy.Proxy) string {
	password := "-"
	if p.Credentials != nil {
		password = fmt.Sprintf("%q %q", p.Credentials.Login, p.Credentials.Password.Reveal())
	}
	return fmt.Sprintf("%q %q %q %q %q %v %d %d %q %s %q %v %v %t %t %d %q %d %q", p.ID, p.OrderID, p.OrderNumber, p.ProxyType, p.Host, p.IP, p.HTTPPort, p.SOCKS5Port,
		p.Protocol, password, p.Country, p.Start, p.End, p.AutoExtend, p.AutoExtendUnknown, p.AutoExtendDays, p.MobileOperator, p.RotationTime, p.RebootURL.Reveal())
}

func revealedAll(list []youproxy.Proxy) []string {
	var all []string
	for _, p := range list {
		all = append(all, revealed(p))
	}
	return all
}

// FuzzReadProxies reads anything, and what was read once more from a plain form
// of it.
func FuzzReadProxies(f *testing.F) {
	for _, shape := range listShapes {
		f.Add([]byte(inEnvelope(shape.members)))
	}
	for _, file := range caseFiles {
		for _, tc := range readCases[listCase](f, file) {
			f.Add([]byte(tc.Reply))
		}
	}
	for _, reply := range []string{
		``, `{}`, `null`, `[]`, `{"success": false, "error": {"code": 2, "message": "Error api key"}}`,
		`{"ipv4": [` + bareRecord + `], "success": false}`, `{"ipv4": [` + bareRecord + `]`, inEnvelope(`"ipv4": [{"ip": "192.0.2.1"}]`),
		inEnvelope(`"ipv4": [{"ipAddressId": "1", "httpsPort": "x", "port": 81, "protocol": "HTTP", "ip": "192.0.2.1:80"}]`),
		inEnvelope(`"ipv4": [{"ipAddressId": "1", "ipAddressIp": "not an address", "ip": "192.0.2.1", "IP": "x", "ID": "y"}]`),
		inEnvelope(`"list": [{"ipAddressId": "1", "ipAddressIp": "", "iP": "19200.2.1"}]`),
		inEnvelope(`"ipv4": [{"ipAddressId": {}, "id": "1", "ipAddressIp": [], "ip": "[2001:db8::1]:80", "socks5Port": {}, "protocol": "SOCKS", "port": "x"}]`),
	} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readAll(t, bytes.NewReader(data))
		for _, p := range got {
			require.NotEmpty(t, strings.TrimSpace(string(p.ID)))
			require.True(t, p.HTTPPort >= 0 && p.HTTPPort <= 65535 && p.SOCKS5Port >= 0 && p.SOCKS5Port <= 65535)
			require.True(t, !p.IP.IsValid() || netip.MustParseAddr(p.Host) == p.IP)
			require.NotContains(t, p.String(), "\n")
			for name, value := range p.Extra {
				require.True(t, json.Valid(bytes.ToValidUTF8(value, []byte("?"))), "%q: %q", name, value)
			}
		}
		again, errAgain := readAll(t, iotest.HalfReader(bytes.NewReader(data)))
		require.Equal(t, err == nil, errAgain == nil)
		require.Equal(t, revealedAll(got), revealedAll(again), "it does not matter how the bytes arrive")

		again, err = readAll(t, bytes.NewReader(encodeList(t, got)))
		require.NoError(t, err)
		require.Equal(t, revealedAll(got), revealedAll(again), "it reads again from its own encoding")
	})
}

func TestReadProxiesOfNoReader(t *testing.T) {
	t.Parallel()
	got, err := readAll(t, nil)
	assert.Empty(t, got)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
}

func TestReadProxiesTellsTheReadersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is on fire")
	got, err := readAll(t, io.MultiReader(strings.NewReader(`{"ipv4": [`+bareRecord+`, `), iotest.ErrReader(broken)))
	assert.Len(t, got, 1)
	assert.ErrorIs(t, err, broken)
	var call *youproxy.CallError
	require.ErrorAs(t, err, &call)
	assert.Zero(t, call.HTTPStatus, "there is none")
}

func TestReadProxiesReadsOnce(t *testing.T) {
	t.Parallel()
	all := youproxy.ReadProxies(strings.NewReader(inEnvelope(`"ipv4": [` + bareRecord + `]`)))
	got, err := drainList(t, all)
	assert.Len(t, got, 1)
	assert.NoError(t, err)
	got, err = drainList(t, all)
	assert.Empty(t, got)
	assert.Error(t, err, "the reader is at its end")
}
