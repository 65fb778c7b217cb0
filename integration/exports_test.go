package integration

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// run returns the output of a program, which is killed after two minutes.
func run(t *testing.T, stdin string, name string, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Stdin = strings.NewReader(stdin)
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Logf("%s said: %s", name, said.String())
	}
	return string(out), err
}

func format(t *testing.T, p youproxy.Proxy, l youproxy.Layout) string {
	t.Helper()
	text, err := p.Format(l)
	require.NoError(t, err)
	return text
}

// curl reads the configuration from its standard input.
func TestCurl(t *testing.T) {
	curl := program(t, "curl", "curl")
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		config := format(t, s.proxy(), youproxy.LayoutCurl(scheme))
		out, err := run(t, config, curl, "-q", "-sS", "--insecure", "-K", "-", g.URL)
		require.NoError(t, err)
		assert.Equal(t, page, out)

		wrong := format(t, s.proxyWith("wrong"), youproxy.LayoutCurl(scheme))
		out, err = run(t, wrong, curl, "-q", "-sS", "--insecure", "--fail", "-K", "-", g.URL)
		assert.Error(t, err)
		assert.NotContains(t, out, page)
	})
}

// curl, and so libcurl, accepts a line that is a whole URL unchanged.
func TestCurlTakesTheURL(t *testing.T) {
	curl := program(t, "curl", "curl")
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		out, err := run(t, "", curl, "-q", "-sS", "--insecure", "-x", format(t, s.proxy(), youproxy.LayoutURL(scheme)), g.URL)
		require.NoError(t, err)
		assert.Equal(t, page, out)
	})
}

// chromiumFlags let Chromium run as root and without lookups of its own.
var chromiumFlags = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors",
	"--proxy-bypass-list=<-loopback>", // it bypasses proxies for loopback otherwise
}

func TestChromium(t *testing.T) {
	chromium := program(t, "chromium", "chromium")
	for kind, start := range map[string]func() *proxyServer{
		"squid":      func() *proxyServer { return startSquid(t, "", "") },
		"microsocks": func() *proxyServer { return startMicrosocks(t, "", "") },
	} {
		s := start()
		for name, startTarget := range targets {
			t.Run(kind+" to "+name, func(t *testing.T) {
				g := startTarget(t)
				// A browser takes no login, only the scheme, host and port.
				setting := string(s.schemes()[0]) + "://" + format(t, s.proxy(), youproxy.LayoutHostPort(youproxy.SchemeAny))
				out, err := run(t, "", chromium, append(slices.Clone(chromiumFlags),
					"--proxy-server="+setting, "--user-data-dir="+t.TempDir(), "--dump-dom", g.URL)...)
				require.NoError(t, err)
				assert.Contains(t, out, "<p>the target's page</p>")
				assert.Positive(t, g.times(""))

				s.kill()
				defer s.start()
				before := g.times("")
				out, _ = run(t, "", chromium, append(slices.Clone(chromiumFlags),
					"--proxy-server="+setting, "--user-data-dir="+t.TempDir(), "--dump-dom", g.URL)...)
				assert.NotContains(t, out, "<p>the target's page</p>", "it does go through the proxy")
				assert.Equal(t, before, g.times(""))
			})
		}
	}
}

// playwrightScript opens pages with the launch options on its standard input.
const playwrightScript = `
const { chromium } = require(process.argv[2] + '/node_modules/playwright-core');
(async () => {
	const { proxies, urls, executablePath, args } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
	for (const proxy of proxies) {
		const browser = await chromium.launch({ executablePath, args, proxy });
		for (const url of urls) {
			const page = await browser.newPage({ ignoreHTTPSErrors: true });
			await page.goto(url);
			console.log(await page.textContent('p'));
		}
		await browser.close();
	}
})().catch(e => { console.error(e); process.exit(1); });
`

// playwrightFolder returns the folder in which Playwright is installed.
func playwrightFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("PLAYWRIGHT_FOLDER")
	if folder == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		folder = filepath.Join(cache, "youproxy-integration")
	}
	require.FileExists(t, filepath.Join(folder, "node_modules", "playwright-core", "package.json"), ".ci/install-proxies installs it")
	return folder
}

func TestPlaywright(t *testing.T) {
	first, second, open := startSquid(t, oddLogin, oddPassword), startV2ray(t, oddLogin, oddPassword), startMicrosocks(t, "", "")
	var list strings.Builder
	require.NoError(t, youproxy.WriteProxies(&list, youproxy.LayoutPlaywright(youproxy.SchemeAny),
		slices.Values([]youproxy.Proxy{first.proxy(), second.proxy(), open.proxy()})))

	plain, secure := targets["http"](t), startHTTP2Target(t)
	options, err := json.Marshal(map[string]any{
		"proxies": json.RawMessage(list.String()), "urls": []string{plain.URL, secure.URL},
		"executablePath": program(t, "chromium", "chromium"), "args": chromiumFlags[1:],
	})
	require.NoError(t, err)
	out, err := run(t, string(options), program(t, "node", "nodejs"), "-e", playwrightScript, "-", playwrightFolder(t))
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("the target's page\n", 6), out)
	assert.Equal(t, 3, plain.times(""))
	assert.Equal(t, 3, secure.times(""))
}

// scrapyScript requests each URL through each proxy and prints the results.
const scrapyScript = `
import json, sys, scrapy
from scrapy.crawler import CrawlerProcess

given = json.load(sys.stdin)
results = [["nothing"] * len(given["urls"]) for _ in given["metas"]]

class Spider(scrapy.Spider):
    name = "pages"

    def start_requests(self):
        for i, meta in enumerate(given["metas"]):
            for j, url in enumerate(given["urls"]):
                yield scrapy.Request(url, meta=dict(meta), dont_filter=True, cb_kwargs={"i": i, "j": j}, errback=self.failed)

    def parse(self, response, i, j):
        results[i][j] = response.css("p::text").get()

    def failed(self, failure):
        kwargs = failure.request.cb_kwargs
        results[kwargs["i"]][kwargs["j"]] = repr(failure.value)

process = CrawlerProcess({"LOG_LEVEL": "CRITICAL", "RETRY_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "DNS_TIMEOUT": 5})
process.crawl(Spider)
process.start()
print(json.dumps([", ".join(texts) for texts in results]))
`

// assertPages checks that each proxy led to both targets. out is a JSON array of the
// pages that were seen through each.
func assertPages(t *testing.T, names []string, out string) {
	t.Helper()
	var got []string
	require.NoError(t, json.Unmarshal([]byte(out), &got), out)
	require.Len(t, got, len(names))
	for i, text := range got {
		assert.Equal(t, "the target's page, the target's page", text, names[i])
	}
}

func TestScrapy(t *testing.T) {
	first, second := startSquid(t, oddLogin, oddPassword), startV2ray(t, oddLogin, oddPassword)
	var list strings.Builder
	require.NoError(t, youproxy.WriteProxies(&list, youproxy.LayoutScrapy(youproxy.SchemeAny),
		slices.Values([]youproxy.Proxy{first.proxy(), second.proxy()})))
	plain, secure := targets["http"](t), targets["https HTTP/1.1"](t)
	given, err := json.Marshal(map[string]any{"metas": json.RawMessage(list.String()), "urls": []string{plain.URL, secure.URL}})
	require.NoError(t, err)
	program(t, "scrapy", "python3-scrapy")
	out, err := run(t, string(given), "/usr/bin/python3", "-c", scrapyScript)
	require.NoError(t, err)
	assertPages(t, []string{"squid", "v2ray"}, out)
	assert.Equal(t, 2, plain.times(""))
	assert.Equal(t, 2, secure.times(""))
}

// csvScript reads a CSV as documented, with a reader other than Go's.
const csvScript = `
import csv, json, sys
rows = [{name: value[1:] if value.startswith("'") else value for name, value in row.items()} for row in csv.DictReader(sys.stdin)]
json.dump(rows, sys.stdout)
`

func TestCSVInPython(t *testing.T) {
	odd := []string{oddPassword, "=1+1", "+1", "-1", "@x", "\tx", "'x", `a"b`, "a,b", "a;b", "a\nb", " a ", "é", ""}
	proxies := make([]youproxy.Proxy, len(odd))
	for i, text := range odd {
		proxies[i] = youproxy.Proxy{ID: "1", Host: "192.0.2.1", HTTPPort: 8080, Credentials: &youproxy.Credentials{Login: text, Password: youproxy.NewSecret(text)}}
	}
	var list strings.Builder
	require.NoError(t, youproxy.WriteProxies(&list, youproxy.LayoutCSV(), slices.Values(proxies)))
	out, err := run(t, list.String(), "/usr/bin/python3", "-c", csvScript)
	require.NoError(t, err)
	var rows []map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	require.Len(t, rows, len(odd))
	for i, row := range rows {
		assert.Equal(t, odd[i], row["login"])
		assert.Equal(t, odd[i], row["password"])
		assert.Equal(t, "192.0.2.1", row["host"])
		assert.Equal(t, "8080", row["http_port"])
	}
}
