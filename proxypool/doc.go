// Package proxypool sends requests through many proxies. A [Pool] is an
// [http.RoundTripper] over a list of proxy URLs, wherever the proxies come from:
//
//	pool, err := proxypool.New(urls)
//	if err != nil {
//		return err
//	}
//	defer pool.CloseIdleConnections()
//	client := &http.Client{Transport: pool}
//	resp, err := client.Get("https://example.com/")
//
// A single [http.Transport] with a function that returns another proxy each time does
// not spread requests evenly: it reuses open connections, and over HTTP/2 one connection
// carries all requests to a host. A new transport for each request, on the other hand,
// makes a new connection each time. So a [Pool] has one transport for each proxy. It
// uses the proxies in turn ([RoundRobin]), at random ([Random]), or the same proxy for
// the same key ([Sticky]).
//
// A proxy rests, which means that it gets no requests for a while, if it cannot be
// reached, does not accept its login, or fails where another proxy serves the same
// hosts. [Pool] describes the rules, and [WithBan] adds those of the caller, which depend
// on the response. [Error] reports whether a request may have reached its target.
//
// # Lists
//
// [ParseURL] and [ReadURLs] read proxies in the formats in which sellers list them.
// [Check] tries each proxy of a list. [Pool.Replace] changes the list while requests
// run. [Pool.Stats] returns the state of each proxy. [Via] and [OnUse] report which
// proxy served a request.
//
// # Other programs and protocols
//
// [Pool.DialContext] makes a tunnel to any host and port, for gRPC, WebSocket and
// databases. [Forward] returns a local proxy without a login, for browsers and other
// programs that cannot log in to a proxy.
//
// # Connections
//
// [WithMaxIdleConns] bounds the unused connections of the whole pool, which leaves open
// files for the rest of the program. [WithRotation] makes new connections after a number
// of requests or a time, for gateways that use another exit for each connection.
//
// The URLs contain passwords. This package never prints, logs or marshals a password.
package proxypool
