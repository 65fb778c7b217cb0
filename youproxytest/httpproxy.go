package youproxytest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
)

// newForward returns what answers requests for whole URLs.
func newForward(transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // which lost what net/url cannot read
		},
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the target cannot be reached", http.StatusBadGateway)
		},
	}
}

// serveHTTP answers as an HTTP proxy (RFC 9110, RFC 7617).
func (p *soldProxy) serveHTTP(w http.ResponseWriter, r *http.Request) {
	given := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	login, password, _ := given.BasicAuth()
	switch {
	case r.Method != http.MethodConnect && (r.URL.Scheme != "http" || r.URL.Host == ""):
		http.Error(w, "this is a proxy: ask for a whole URL of http, or use CONNECT", http.StatusBadRequest)
	case !p.accepts(login, password):
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		http.Error(w, "the login is not accepted", http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// connect answers CONNECT.
func (p *soldProxy) connect(w http.ResponseWriter, r *http.Request) {
	// The context of r also ends when the client has sent all.
	target, err := p.dial(context.WithoutCancel(r.Context()), "tcp", r.Host)
	if err != nil {
		w.Header().Set("Connection", "close") // what follows is no request to a proxy
		http.Error(w, "the target cannot be reached", http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = target.Close()
		http.Error(w, "there are no tunnels over this protocol", http.StatusHTTPVersionNotSupported)
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n") // a tunnel that is broken ends at once
	tunnel(client, buffered.Reader, target)
}
