// Package proxypool sends traffic through many proxies. It takes their URLs, from
// wherever they come:
//
//	pool, err := proxypool.New(urls)
//	if err != nil {
//		return err
//	}
//	defer pool.CloseIdleConnections()
//	client := &http.Client{Transport: pool}
//	resp, err := client.Get("https://example.com/")
//
// The requests of one transport with many proxies stay with one of them:
// a connection that is kept open, or shared by HTTP/2, is used again. A transport
// for each request makes a new connection each time. So a [Pool] has one
// transport for each proxy. It takes them in turn ([RoundRobin]), by chance
// ([Random]), or the same one for the same key ([Sticky]).
//
// A proxy rests that cannot be reached, does not accept its login, or fails where
// another proxy serves the same hosts; [Pool] has the rules. [WithBan] adds those of
// the caller, by the response. [Error] reports whether a request may have arrived.
//
// # The list
//
// [ParseURL] and [ReadURLs] read proxies in the forms in which sellers list them.
// [Check] tries each proxy of a list. [Pool.Replace] changes the list while requests
// run. [Pool.Stats] returns how each proxy does; [Via] and [OnUse] report which one
// served a request.
//
// # Other programs and protocols
//
// [Pool.DialContext] makes a tunnel to any host and port, for gRPC, WebSocket and
// databases. [Forward] is a local proxy without a login, for browsers and programs that
// cannot log in.
//
// # Connections
//
// [WithMaxIdleConns] bounds the unused connections of the whole pool, which leaves files
// for the rest of the program. [WithRotation] makes new connections after a number of
// requests or a time, for gateways whose exit changes with the connection.
//
// The URLs hold passwords. Nothing of this package prints, logs or marshals them.
package proxypool
