package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// oddLogins are logins and passwords that a program could misread. No login is there
// twice.
var oddLogins = [][2]string{
	{"user", "word"},
	{"us:er", "colon"},
	{"colons in the password", "wo:rd:"},
	{"us@er", "w@rd"},
	{"us%er%40", "w%3Ard"},
	{`us"er'`, `w"ord'`},
	{" us er ", " wo rd "},
	{`us\er\n`, `w\rd\`},
	{"=1+1", "=1+1"},
	{"'quoted", "'quoted"},
	{"-x", "--url"},
	{"#comment", "wo#rd ; // w"},
	{"/?us/er?", "/?wo/rd?"},
	{"{us}[er]<>|^`", "{{wo}}[rd]<>|^`"},
	{"$HOME $(id) &+,;", "$HOME $(id) &+,;!*"},
	{"user é", "Latin-1 ü"},
	{"世界", "пароль"},
	{"😀", "😀"},
	{"007", "007"},
	{"1e5", "1111111111111111110"},
	{"TRUE", "1-2"},
	{"true", "***"},
	{"empty password", ""},
	{"", "empty login"},
	{strings.Repeat("l", 255), strings.Repeat("p", 255)},
	{strings.Repeat("l", 256), "a login of 256 bytes"},
	{"a password of 256 bytes", strings.Repeat("p", 256)},
	{"us\ner", "a line feed"},
	{"a line feed", "wo\nrd"},
	{"a carriage return", "wo\r\nrd"},
	{"a NUL", "\x00=1+1"},
	{"a tab", "\tword\t"},
}

// oddProxies returns the proxies with these logins, at one server.
func oddProxies(t *testing.T) []youproxy.Proxy {
	t.Helper()
	s := startV2rayFor(t, oddLogins)
	var list []youproxy.Proxy
	for _, l := range oddLogins {
		p := s.proxy()
		p.Credentials = &youproxy.Credentials{Login: l[0], Password: youproxy.NewSecret(l[1])}
		list = append(list, p)
	}
	return list
}

// usable returns the proxies that can be written in the layout, and the line of each.
// The others must be refused, and be as many as expected.
func usable(t *testing.T, l youproxy.Layout, list []youproxy.Proxy, refused int) (names, texts []string) {
	t.Helper()
	var no []string
	for _, p := range list {
		name := fmt.Sprintf("%.30q %.30q", p.Credentials.Login, p.Credentials.Password.Reveal())
		text, err := p.Format(l)
		if err != nil {
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			no = append(no, name)
			continue
		}
		names, texts = append(names, name), append(texts, text)
	}
	require.Len(t, no, refused, "refused: %q", no)
	return names, texts
}

var everyScheme = []youproxy.Scheme{youproxy.SchemeHTTP, youproxy.SchemeSOCKS5, youproxy.SchemeSOCKS5H}

func TestCurlWithOddLogins(t *testing.T) {
	curl := program(t, "curl", "curl")
	list := oddProxies(t)
	for kind, g := range map[string]*target{"http": targets["http"](t), "https": targets["https HTTP/1.1"](t)} {
		for _, scheme := range everyScheme {
			t.Run(string(scheme)+" to "+kind, func(t *testing.T) {
				names, lines := usable(t, youproxy.LayoutCurl(scheme), list, map[bool]int{true: 6, false: 8}[scheme == youproxy.SchemeHTTP])
				for i, line := range lines {
					out, _ := run(t, line, curl, "-q", "-sS", "--insecure", "-K", "-", g.onlyThere())
					assert.Equal(t, page, out, names[i])
				}
				if scheme == youproxy.SchemeSOCKS5 {
					return // for a socks5 URL, curl looks the name up itself
				}
				names, lines = usable(t, youproxy.LayoutURL(scheme), list, map[bool]int{true: 6, false: 8}[scheme == youproxy.SchemeHTTP])
				for i, line := range lines {
					out, _ := run(t, "", curl, "-q", "-sS", "--insecure", "-x", line, g.onlyThere())
					assert.Equal(t, page, out, names[i])
				}
			})
		}
	}
}

// To curl, socks5 and socks5h are not the same.
func TestCurlLooksNamesUpWithSOCKS5(t *testing.T) {
	curl := program(t, "curl", "curl")
	p := startV2ray(t, "user", "word").proxy()
	g := targets["http"](t)
	out, err := run(t, "", curl, "-q", "-sS", "-x", format(t, p, youproxy.LayoutURL(youproxy.SchemeSOCKS5H)), g.onlyThere())
	require.NoError(t, err)
	assert.Equal(t, page, out)
	_, err = run(t, "", curl, "-q", "-sS", "-x", format(t, p, youproxy.LayoutURL(youproxy.SchemeSOCKS5)), g.onlyThere())
	require.Error(t, err)
}

// playwrightContexts opens each page through each proxy, in a separate context.
const playwrightContexts = `
const { chromium } = require(process.argv[2] + '/node_modules/playwright-core');
(async () => {
	const { proxies, urls, executablePath, args } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
	const browser = await chromium.launch({ executablePath, args });
	const results = [];
	for (const proxy of proxies) {
		const context = await browser.newContext({ proxy, ignoreHTTPSErrors: true });
		const texts = [];
		for (const url of urls) {
			const page = await context.newPage();
			texts.push(await page.goto(url).then(() => page.textContent('p', { timeout: 5000 }), e => String(e)));
		}
		results.push(texts.join(', '));
		await context.close();
	}
	await browser.close();
	console.log(JSON.stringify(results));
})().catch(e => { console.error(e); process.exit(1); });
`

func TestPlaywrightWithOddLogins(t *testing.T) {
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	names, texts := usable(t, youproxy.LayoutPlaywright(youproxy.SchemeHTTP), oddProxies(t), 7)
	options, err := json.Marshal(map[string]any{
		"proxies": json.RawMessage("[" + strings.Join(texts, ",") + "]"), "urls": []string{plain.onlyThere(), secure.onlyThere()},
		"executablePath": program(t, "chromium", "chromium"), "args": chromiumFlags[1:],
	})
	require.NoError(t, err)
	out, err := run(t, string(options), program(t, "node", "nodejs"), "-e", playwrightContexts, "-", playwrightFolder(t))
	require.NoError(t, err)
	assertPages(t, names, out)
}

func TestScrapyWithOddLogins(t *testing.T) {
	program(t, "scrapy", "python3-scrapy")
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	names, texts := usable(t, youproxy.LayoutScrapy(youproxy.SchemeHTTP), oddProxies(t), 10)
	given, err := json.Marshal(map[string]any{"metas": json.RawMessage("[" + strings.Join(texts, ",") + "]"), "urls": []string{plain.onlyThere(), secure.onlyThere()}})
	require.NoError(t, err)
	out, err := run(t, string(given), "/usr/bin/python3", "-c", scrapyScript)
	require.NoError(t, err)
	assertPages(t, names, out)
}

// pythonLogin reads proxies as the documentation of a layout says and requests each
// URL through each of them.
const pythonLogin = `
import base64, csv, http.client, io, json, socket, ssl, sys
from urllib.parse import unquote, urlsplit

given = json.load(sys.stdin)
unverified = ssl._create_unverified_context()

def read_url(line):
    u = urlsplit(line)
    return u.scheme, u.hostname, u.port, unquote(u.username), unquote(u.password)

def read_host_first(line):
    host, port, login, password = line.split(":", 3)
    return given["scheme"], host, int(port), login, password

def read_login_first(line):
    before, at, after = line.rpartition("@")
    login, password = before.split(":", 1)
    host, port = after.split(":")
    return given["scheme"], host, int(port), login, password

def of_record(host, http_port, socks5_port, login, password):
    return given["scheme"], host, int(http_port if given["scheme"] == "http" else socks5_port), login, password

def read_json(line):
    r = json.loads(line)
    return of_record(r["ipAddressIp"], r["httpsPort"], r["socks5Port"], r["authInfo"]["login"], r["authInfo"]["password"])

def read_csv(row):
    values = [v[1:] if v.startswith("'") else v for v in next(csv.reader(io.StringIO(row, newline="")))]
    return of_record(values[2], values[3], values[4], values[5], values[6])

readers = {"URL": read_url, "host:port:login:password": read_host_first, "login:password@host:port": read_login_first, "JSON lines": read_json, "CSV": read_csv}

def socks5(host, port, login, password, target, target_port):
    sock = socket.create_connection((host, port), timeout=20)
    def ask(question, length):
        sock.sendall(question)
        answer = b""
        while len(answer) < length:
            part = sock.recv(length - len(answer))
            if not part:
                raise EOFError("the proxy hung up")
            answer += part
        return answer
    if ask(b"\x05\x01\x02", 2) != b"\x05\x02":
        raise ValueError("the proxy does not ask for a login")
    if ask(b"\x01" + bytes([len(login)]) + login + bytes([len(password)]) + password, 2)[1] != 0:
        raise ValueError("the login is refused")
    if ask(b"\x05\x01\x00\x03" + bytes([len(target)]) + target + target_port.to_bytes(2, "big"), 10)[1] != 0:
        raise ValueError("the target is refused")
    return sock

def fetch(proxy, url):
    scheme, host, port, login, password = proxy
    target = urlsplit(url)
    if scheme == "http":
        header = {"Proxy-Authorization": "Basic " + base64.b64encode((login + ":" + password).encode()).decode()}
        if target.scheme == "https":
            conn = http.client.HTTPSConnection(host, port, timeout=20, context=unverified)
            conn.set_tunnel(target.hostname, target.port, header)
            conn.request("GET", "/")
        else:
            conn = http.client.HTTPConnection(host, port, timeout=20)
            conn.request("GET", url, headers=header)
    else:
        sock = socks5(host, port, login.encode(), password.encode(), target.hostname.encode(), target.port)
        conn = http.client.HTTPConnection(target.hostname, target.port)
        conn.sock = unverified.wrap_socket(sock, server_hostname=target.hostname) if target.scheme == "https" else sock
        conn.request("GET", "/")
    body = conn.getresponse().read().decode()
    conn.close()
    return body.split("<p>")[1].split("</p>")[0] if "<p>" in body else body

results = []
for text in given["texts"]:
    texts = []
    for url in given["urls"]:
        try:
            texts.append(fetch(readers[given["layout"]](text), url))
        except Exception as e:
            texts.append(repr(e))
    results.append(", ".join(texts))
print(json.dumps(results))
`

func TestPythonWithOddLogins(t *testing.T) {
	list := oddProxies(t)
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	for _, test := range []struct {
		layout  youproxy.Layout
		scheme  youproxy.Scheme
		refused int
	}{
		{youproxy.LayoutURL(youproxy.SchemeHTTP), youproxy.SchemeHTTP, 6},
		{youproxy.LayoutURL(youproxy.SchemeSOCKS5H), youproxy.SchemeSOCKS5H, 8},
		{youproxy.LayoutHostPortLoginPassword(youproxy.SchemeHTTP), youproxy.SchemeHTTP, 6},
		{youproxy.LayoutHostPortLoginPassword(youproxy.SchemeSOCKS5), youproxy.SchemeSOCKS5, 9},
		{youproxy.LayoutLoginPasswordHostPort(youproxy.SchemeHTTP), youproxy.SchemeHTTP, 6},
		{youproxy.LayoutLoginPasswordHostPort(youproxy.SchemeSOCKS5), youproxy.SchemeSOCKS5, 9},
		{youproxy.LayoutJSONLines(), youproxy.SchemeHTTP, 1},
		{youproxy.LayoutJSONLines(), youproxy.SchemeSOCKS5, 1},
		{youproxy.LayoutCSV(), youproxy.SchemeHTTP, 0},
		{youproxy.LayoutCSV(), youproxy.SchemeSOCKS5, 1},
	} {
		t.Run(fmt.Sprint(test.layout, " over ", test.scheme), func(t *testing.T) {
			list := list
			if name := test.layout.String(); name == "CSV" || name == "JSON lines" { // they have logins that no scheme can carry
				list = slices.DeleteFunc(slices.Clone(list), func(p youproxy.Proxy) bool {
					_, err := p.URL(test.scheme)
					return err != nil
				})
			}
			names, texts := usable(t, test.layout, list, test.refused)
			given, err := json.Marshal(map[string]any{
				"layout": test.layout.String(), "scheme": test.scheme, "texts": texts, "urls": []string{plain.onlyThere(), secure.onlyThere()},
			})
			require.NoError(t, err)
			out, err := run(t, string(given), "/usr/bin/python3", "-c", pythonLogin)
			require.NoError(t, err)
			assertPages(t, names, out)
		})
	}
}

// requestsScript requests each URL through the proxies of a list of URLs.
const requestsScript = `
import json, sys, requests, urllib3

urllib3.disable_warnings()
given = json.load(sys.stdin)
results = []
for text in given["texts"]:
    texts = []
    for url in given["urls"]:
        try:
            body = requests.get(url, proxies={"http": text, "https": text}, verify=False, timeout=20).text
            texts.append(body.split("<p>")[1].split("</p>")[0] if "<p>" in body else body)
        except Exception as e:
            texts.append("failed")
    results.append(", ".join(texts))
print(json.dumps(results))
`

// Most Python programs use Requests, with PySocks for SOCKS5. The documentation of
// [youproxy.LayoutURL] says what these cannot do with any URL.
func TestRequestsWithOddLogins(t *testing.T) {
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	list := slices.DeleteFunc(oddProxies(t), func(p youproxy.Proxy) bool {
		return len(p.Credentials.Login) > 127 || len(p.Credentials.Password.Reveal()) > 127
	})
	for _, test := range []struct {
		scheme  youproxy.Scheme
		takes   func(login, password string) bool
		refused int
	}{
		{youproxy.SchemeHTTP, func(login, password string) bool {
			return login != "" && !strings.ContainsFunc(login+password, func(r rune) bool { return r > 0x7f })
		}, 6},
		{youproxy.SchemeSOCKS5H, func(_, password string) bool { return password != "" }, 6},
	} {
		t.Run(string(test.scheme), func(t *testing.T) {
			list := slices.DeleteFunc(slices.Clone(list), func(p youproxy.Proxy) bool {
				return !test.takes(p.Credentials.Login, p.Credentials.Password.Reveal())
			})
			names, texts := usable(t, youproxy.LayoutURL(test.scheme), list, test.refused)
			given, err := json.Marshal(map[string]any{"texts": texts, "urls": []string{plain.onlyThere(), secure.onlyThere()}})
			require.NoError(t, err)
			out, err := run(t, string(given), "/usr/bin/python3", "-c", requestsScript)
			require.NoError(t, err)
			assertPages(t, names, out)
		})
	}
}
