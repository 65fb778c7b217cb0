package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/youproxy-go/youproxy/youproxytest"
)

// welcome tells how to reach the sandbox.
func (o *options) welcome(baseURL string, proxies []youproxytest.IPAddress) string {
	var b strings.Builder
	p := printer{&b}
	p.line("A fake Youproxy is serving. No money is spent. Ctrl-C stops it.")
	p.line("")
	p.line("Base URL  %s", baseURL)
	p.line("API key   %s", o.key)
	p.line("Proxies   %d", len(proxies))
	for _, f := range o.faults {
		p.line("Fault     %s on the next %s", f.fault, f.op)
	}
	p.line("")
	p.line("Try, in a shell:")
	p.line("")
	p.line("  API='%s%s%s'", baseURL, apiPath, url.PathEscape(o.key))

	const terms = `"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring"`
	p.get("what the account holds", "/balance")
	p.post("what an order would cost", "/calculate/order", "{"+terms+"}")
	p.post("an order", "/order", "{"+terms+`,"authType":"LOGIN"}`)
	p.get("the proxies", "/ipAddress")
	if len(proxies) > 0 {
		extension := fmt.Sprintf(`{"proxyType":%q,"ipAddressIds":[%q],"rentPeriodDays":30}`, proxies[0].ProxyType, proxies[0].ID)
		p.post("what it would cost to extend a proxy", "/calculate/extend", extension)
		p.post("to extend it", "/extend", extension)
	}
	p.line("")
	p.line("Go programs take it with YOUPROXY_BASE_URL=%s and the key in YOUPROXY_API_KEY.", baseURL)
	p.line("")
	p.line("Requests:")
	return b.String()
}

func (p printer) get(what, path string) {
	p.line("\n  # %s", what)
	p.line(`  curl "$API%s"`, path)
}

func (p printer) post(what, path, body string) {
	p.line("\n  # %s", what)
	p.line(`  curl "$API%s" -H 'Content-Type: application/json' -d '%s'`, path, body)
}
