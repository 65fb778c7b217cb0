// Package proxypool sends HTTP requests through many proxies. It takes their URLs,
// from wherever they come:
//
//	pool, err := proxypool.New(urls)
//	if err != nil {
//		return err
//	}
//	defer pool.CloseIdleConnections()
//	client := &http.Client{Transport: pool}
//	resp, err := client.Get("https://example.com/")
//
// The requests of one transport that is given many proxies stay with one of them:
// a connection that is kept open, or shared by HTTP/2, is used again. A transport
// for each request makes a new connection each time. So a [Pool] has one
// transport for each proxy. It takes them in turn ([RoundRobin]), by chance
// ([Random]), or the same one for the same key ([Sticky]). A proxy that cannot be
// reached, or does not accept its login, rests for a growing while, and is tried
// again by a single request.
//
// [Pool.Replace] changes the list while requests run. [Check] tries each proxy of
// a list. [Error] tells whether a request may have arrived.
//
// The URLs hold passwords. Nothing of this package prints, logs or marshals them.
package proxypool
