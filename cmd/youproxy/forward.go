package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

// forwarding are the flags of forward.
type forwarding struct {
	filter

	scheme      youproxy.Scheme
	addr        string
	allowRemote bool
	sticky      bool
	every       time.Duration

	told string // of the list, last
}

// forward runs a local proxy in front of those of the account.
func (a *app) forward() *cobra.Command {
	o := &forwarding{}
	cmd := &cobra.Command{
		Use:   "forward",
		Short: "Run a local proxy over the proxies of the account",
		Long: `forward runs an HTTP proxy without a login on this machine, and sends requests through the
proxies of the account: for browsers and programs that cannot log in to a proxy. It uses the
proxies in turn, and another if one fails. It follows the account's list: new proxies are used
as they appear, and those that have ended are not. It runs until Ctrl-C.

Whoever can connect can use the proxies. So it serves this machine alone, unless there is
--allow-remote.`,
		Example: "  youproxy forward\n" +
			"  curl --proxy http://127.0.0.1:3128 https://example.com/\n" +
			"  youproxy forward --type ISP --country USA --sticky --addr 127.0.0.1:8888",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.every < time.Second {
				return usageError{errors.New("--every must be 1s or more")}
			}
			return a.runForward(cmd.Context(), o)
		},
	}
	a.filterFlags(cmd, &o.filter)
	a.schemeFlag(cmd, &o.scheme)
	cmd.Flags().StringVar(&o.addr, "addr", "127.0.0.1:3128", "`address` to listen at; with port 0 it takes a free one")
	cmd.Flags().BoolVar(&o.allowRemote, "allow-remote", false, "let other machines use the proxies, without a login")
	cmd.Flags().BoolVar(&o.sticky, "sticky", false, "use the same proxy for the same host")
	cmd.Flags().DurationVar(&o.every, "every", 5*time.Minute, "how often to read the account's list")
	return cmd
}

// listen listens at the address of --addr, which is of this machine alone unless other
// machines are allowed.
func (o *forwarding) listen(ctx context.Context) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return nil, fmt.Errorf("the local proxy cannot listen: choose another address with --addr: %w", err)
	}
	if at, _ := listener.Addr().(*net.TCPAddr); !o.allowRemote && (at == nil || !at.IP.IsLoopback()) {
		_ = listener.Close()
		return nil, usageError{fmt.Errorf("--addr %s is open to other machines: add --allow-remote, or listen at 127.0.0.1", o.addr)}
	}
	return listener, nil
}

func (o *forwarding) options() (pool []proxypool.Option, forward []proxypool.ForwardOption) {
	if o.sticky {
		pool = append(pool, proxypool.Sticky(func(r *http.Request) string { return r.URL.Hostname() }))
	}
	if o.allowRemote {
		forward = append(forward, proxypool.AllowRemote())
	}
	return pool, forward
}

func (a *app) runForward(ctx context.Context, o *forwarding) error {
	a.proxiesWork = true
	client, err := a.client()
	if err != nil {
		return err
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	poolOptions, forwardOptions := o.options()
	pool, err := proxypool.New(nil, poolOptions...)
	if err != nil {
		return err
	}
	defer pool.CloseIdleConnections()

	following, stop := context.WithCancel(ctx)
	defer stop()
	done, err := client.FollowProxies(following, youproxy.Follow{
		Query: o.query(), Scheme: o.scheme, Select: o.matches, Every: o.every,
		Tell: func(e youproxy.FollowEvent) { a.tellFollowed(o, e) },
	}, pool.Replace)
	if err != nil {
		return err
	}
	defer func() { stop(); <-done }()

	forwarder := proxypool.Forward(pool, forwardOptions...)
	server := &http.Server{Handler: forwarder, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(a.err, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.note("the local proxy is http://%s; Ctrl-C ends it", listener.Addr())
	select {
	case err = <-served:
		err = fmt.Errorf("the local proxy failed: %w", err)
	case <-ctx.Done():
	}
	return errors.Join(err, server.Close(), forwarder.Close())
}

// tellFollowed prints a note about a list, if it is not the same as the last one.
func (a *app) tellFollowed(o *forwarding, e youproxy.FollowEvent) {
	var text strings.Builder
	switch {
	case e.Err == nil:
		fmt.Fprintf(&text, "in use: %d %s", e.Used, &o.filter)
	case o.told == "":
		return // the command ends with it
	default:
		fmt.Fprintf(&text, "the account's list was not used, and the proxies stay as they are: %v", e.Err)
	}
	for _, s := range e.Skipped {
		fmt.Fprintf(&text, "\nleft out: %s", strings.TrimPrefix(s.Err.Error(), "youproxy: "))
	}
	if text.String() != o.told {
		o.told = text.String()
		a.note("%s", o.told)
	}
}
