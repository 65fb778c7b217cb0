package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// exporting is the flags of export, and its counts.
type exporting struct {
	filter

	layout youproxy.Layout
	format string
	scheme youproxy.Scheme
	file   string // empty for stdout

	listed, leftOut int // proxies
}

// export writes the proxies for other programs, with their passwords.
func (a *app) export() *cobra.Command {
	o := &exporting{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the proxies for other programs, with their passwords",
		Long: `export writes the proxies of the account in the form that another program needs, with their
passwords. A proxy that a form cannot express is left out, with a note. The forms are

  ` + strings.Join(formatNames(), "\n  ") + `
  or a text/template of Go, such as '{{.Host}} {{.HTTPPort}}', where a password is
  {{with .Credentials}}{{.Password.Reveal}}{{end}} and a URL is {{.URL "socks5"}}.

For curl and for programs in Python, --scheme socks5h lets the proxy look up host names, and
not this machine. The forms with host:port do not contain the scheme.

A file that --file names can be read by nobody else. An existing file is replaced once the
whole list is on the disk, and stays as it is if anything goes wrong. A link is followed.`,
		Example: "  youproxy export --file proxies.txt\n" +
			"  youproxy export --format curl --country USA --file proxy.conf && curl -K proxy.conf https://example.com/\n" +
			"  youproxy export --type ISP --scheme socks5 --format host:port:login:password\n" +
			"  youproxy export --format '{{.Host}} {{with .Credentials}}{{.Login}} {{.Password.Reveal}}{{end}}'",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "" {
				return usageError{errors.New("export has forms of its own: use --format csv or --format jsonl instead of --output")}
			}
			if err := o.choose(cmd.Flags().Changed("scheme")); err != nil {
				return usageError{err}
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.writeDown(cmd.Context(), client, o)
		},
	}
	a.filterFlags(cmd, &o.filter)
	a.schemeFlag(cmd, &o.scheme)
	cmd.Flags().StringVar(&o.format, "format", "url", "`form` of the list, see above")
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "`file` to write in place of stdout, mode 0600")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formatNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// format is a value of --format. A form with both ports has no scheme.
type format struct {
	name       string
	with       func(youproxy.Scheme) youproxy.Layout
	schemeless func() youproxy.Layout
}

var formats = []format{
	{name: "url", with: youproxy.LayoutURL},
	{name: "host:port", with: youproxy.LayoutHostPort},
	{name: "host:port:login:password", with: youproxy.LayoutHostPortLoginPassword},
	{name: "login:password@host:port", with: youproxy.LayoutLoginPasswordHostPort},
	{name: "csv", schemeless: youproxy.LayoutCSV},
	{name: "jsonl", schemeless: youproxy.LayoutJSONLines},
	{name: "curl", with: youproxy.LayoutCurl},
	{name: "playwright", with: youproxy.LayoutPlaywright},
	{name: "scrapy", with: youproxy.LayoutScrapy},
}

func formatNames() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// choose makes the layout.
func (o *exporting) choose(withScheme bool) error {
	if strings.Contains(o.format, "{{") {
		if withScheme {
			return errors.New(`--scheme cannot be used with a template: write {{.URL "socks5"}}, or the port that you want`)
		}
		return o.chooseTemplate()
	}
	i := slices.IndexFunc(formats, func(f format) bool { return strings.EqualFold(f.name, o.format) })
	switch {
	case i < 0:
		return fmt.Errorf("--format %q is neither one of %s nor a template", o.format, strings.Join(formatNames(), ", "))
	case formats[i].with != nil:
		o.layout = formats[i].with(o.scheme)
	case withScheme:
		return fmt.Errorf("--scheme cannot be used with --format %s, which has both ports", formats[i].name)
	default:
		o.layout = formats[i].schemeless()
	}
	return nil
}

func (o *exporting) chooseTemplate() error {
	parsed, err := template.New("--format").Parse(o.format)
	if err != nil {
		return err
	}
	o.layout = youproxy.LayoutTemplate(parsed)
	const hidden = "***"
	text, err := sample.Format(o.layout)
	if err == nil && strings.Contains(text, hidden) && !strings.Contains(o.format, hidden) {
		return errors.New("the template writes " + hidden + " for a secret: add .Reveal, as in {{.Credentials.Password.Reveal}}")
	}
	return nil
}

// sample shows whether a template hides the secrets. Other mistakes show with the proxies
// of the account.
var sample = youproxy.Proxy{
	ID: "1", ProxyType: youproxy.ProxyTypeMobile, Host: "198.18.0.1", HTTPPort: 59100, SOCKS5Port: 59101,
	Credentials: &youproxy.Credentials{Login: "login", Password: youproxy.NewSecret("password")},
	RebootURL:   youproxy.NewSecret("https://example.com/"),
}

// writeDown writes the list to the file or to stdout.
func (a *app) writeDown(ctx context.Context, client *youproxy.Client, o *exporting) error {
	if o.file == "" || o.file == "-" {
		if err := a.writeList(ctx, client, o, a.out); err != nil {
			return fmt.Errorf("%w\nthe list on stdout is not complete", err)
		}
		return nil
	}
	file, err := replace(o.file)
	if err == nil {
		err = file.finish(ctx, a.writeList(ctx, client, o, file))
	}
	if err != nil {
		return fmt.Errorf("%w\nnothing was written to %s", err, o.file)
	}
	a.note("written to %s: %d %s", o.file, o.listed-o.leftOut, &o.filter)
	return nil
}

// writeList writes the list while it arrives.
func (a *app) writeList(ctx context.Context, client *youproxy.Client, o *exporting, w io.Writer) error {
	err := youproxy.WriteProxies(w, o.layout, o.counted(ctx, client), youproxy.SkipUnusable(func(_ youproxy.Proxy, err error) {
		o.leftOut++
		a.note("left out: %s", strings.TrimPrefix(err.Error(), "youproxy: "))
	}))
	if err == nil && o.listed == 0 {
		a.note("there are no %s", &o.filter)
	}
	return err
}

// counted yields the proxies to write, and counts them.
func (o *exporting) counted(ctx context.Context, client *youproxy.Client) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for p, err := range o.proxies(ctx, client) {
			if err == nil {
				o.listed++
			}
			if !yield(p, err) {
				return
			}
		}
	}
}
