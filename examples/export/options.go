package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/youproxy-go/youproxy"
)

// layouts are the values of -layout. One that has both ports takes no scheme.
var layouts = []struct {
	name       string
	with       func(youproxy.Scheme) youproxy.Layout
	schemeless func() youproxy.Layout
}{
	{name: "host:port", with: youproxy.LayoutHostPort},
	{name: "host:port:login:password", with: youproxy.LayoutHostPortLoginPassword},
	{name: "login:password@host:port", with: youproxy.LayoutLoginPasswordHostPort},
	{name: "url", with: youproxy.LayoutURL},
	{name: "csv", schemeless: youproxy.LayoutCSV},
	{name: "jsonl", schemeless: youproxy.LayoutJSONLines},
	{name: "curl", with: youproxy.LayoutCurl},
	{name: "playwright", with: youproxy.LayoutPlaywright},
	{name: "scrapy", with: youproxy.LayoutScrapy},
}

func layoutNames() string {
	names := make([]string, len(layouts))
	for i, l := range layouts {
		names[i] = l.name
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// options is what the flags say.
type options struct {
	layoutName string
	template   *template.Template // nil for none
	layout     youproxy.Layout    // which either of them is
	scheme     youproxy.Scheme
	proxyType  youproxy.ProxyType // empty for all
	skip       bool
	file       string // empty for stdout
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{layoutName: "url"}
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("layout", "`form` of the list: "+layoutNames()+" (default url)", o.setLayout)
	flags.Func("template", "`text/template` for each proxy, in place of -layout; a password is {{.Credentials.Password.Reveal}}", o.setTemplate)
	flags.Func("scheme", "what is to be spoken with the proxies: `any`, http, socks5 or socks5h (default any)", o.setScheme)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.BoolVar(&o.skip, "skip", false, "leave out proxies that cannot be written so")
	flags.Func("o", "`file` to write, which only its owner may read; - is stdout (default -)", o.setFile)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := o.choose(given, flags.Args()); err != nil {
		printer{stderr}.line("export: %v", err)
		return nil, err
	}
	return o, nil
}

// choose makes the layout, or tells what is wrong with flags that are each well
// written.
func (o *options) choose(given map[string]bool, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag: see -help", rest[0])
	case given["template"] && given["layout"]:
		return errors.New("-template is a layout of its own: leave -layout out")
	case given["template"] && given["scheme"]:
		return errors.New(`-scheme does not go with -template: write {{.URL "socks5"}}, or the port that you want`)
	case given["template"]:
		o.layout = youproxy.LayoutTemplate(o.template)
		return nil
	}
	for _, l := range layouts {
		switch {
		case l.name != o.layoutName:
		case l.with != nil:
			o.layout = l.with(o.scheme)
		case given["scheme"]:
			return fmt.Errorf("-scheme does not go with -layout %s, which tells both ports", l.name)
		default:
			o.layout = l.schemeless()
		}
	}
	return nil
}

func (o *options) setLayout(s string) error {
	for _, l := range layouts {
		if strings.EqualFold(s, l.name) {
			o.layoutName = l.name
			return nil
		}
	}
	return errors.New("must be " + layoutNames())
}

func (o *options) setTemplate(s string) (err error) {
	if strings.TrimSpace(s) == "" {
		return errors.New("must not be blank")
	}
	if o.template, err = template.New("-template").Parse(s); err != nil {
		return err
	}
	const hidden = "***"
	text, err := sample.Format(youproxy.LayoutTemplate(o.template))
	if err == nil && strings.Contains(text, hidden) && !strings.Contains(s, hidden) {
		return errors.New("writes " + hidden + " for a secret: put .Reveal behind it, as in {{.Credentials.Password.Reveal}}")
	}
	return nil
}

// sample is to show whether a template hides the secrets. The proxies of the
// account show what else is wrong with it.
var sample = youproxy.Proxy{
	ID: "1", ProxyType: youproxy.ProxyTypeMobile, Host: "198.18.0.1", HTTPPort: 59100, SOCKS5Port: 59101,
	Credentials: &youproxy.Credentials{Login: "login", Password: youproxy.NewSecret("password")},
	RebootURL:   youproxy.NewSecret("https://example.com/"),
}

func (o *options) setFile(s string) error {
	switch s {
	case "":
		return errors.New("must not be empty")
	case "-":
		o.file = ""
	default:
		o.file = s
	}
	return nil
}

func (o *options) setScheme(s string) error {
	for name, scheme := range map[string]youproxy.Scheme{
		"any": youproxy.SchemeAny, "http": youproxy.SchemeHTTP, "socks5": youproxy.SchemeSOCKS5, "socks5h": youproxy.SchemeSOCKS5H,
	} {
		if strings.EqualFold(s, name) {
			o.scheme = scheme
			return nil
		}
	}
	return errors.New("must be any, http, socks5 or socks5h")
}

func (o *options) setType(s string) error {
	for _, t := range []youproxy.ProxyType{
		youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
	} {
		if strings.EqualFold(s, string(t)) {
			o.proxyType = t
			return nil
		}
	}
	return errors.New("must be IPv4, IPv6, MOBILE or ISP")
}
