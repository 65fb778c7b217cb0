package youproxytest

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Request is a request that the server received. It does not contain the API key,
// which is replaced by ***.
type Request struct {
	Op     string // method and path below the key, such as "POST /order"
	Query  url.Values
	Header http.Header
	Body   []byte
	Fault  Fault // that the request met; 0 for none, and if Refuse refused it
	Cached bool  // the Cache answered it in place of the service
}

// Requests returns all requests received so far, oldest first, including those that
// met a fault.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.requests)
	for i, r := range list {
		list[i].Query = url.Values(http.Header(r.Query).Clone())
		list[i].Header = r.Header.Clone()
		list[i].Body = bytes.Clone(r.Body)
	}
	return list
}

// apiPath is what comes before the API key.
const apiPath = "/client/api/v1/"

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

// ServeHTTP answers one request. It lets the caller serve it from a listener of its
// own, which must be closed before the server is. ServeHTTP panics with
// [http.ErrAbortHandler] to drop the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	if p, ok := r.Context().Value(proxyKey{}).(*soldProxy); ok {
		p.serveHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	now := s.now()
	s.setDate(w.Header(), now)
	c := s.call(r, body)
	m, cached := s.record(c, r, now)
	fault, _ := m.fault.kind()
	switch {
	case cached != nil:
		cached.write(w)
	case m.refusal != nil:
		s.refuse(c, m.refusal).write(w)
	case m.fault == 0:
		s.keep(c, now, s.answer(c)).write(w)
	case fault.commits == atOnce || fault.commits == inPart:
		c.inPart = fault.commits == inPart
		fault.spoil(s, w, r, s.answer(c))
	case fault.commits == late:
		s.postpone(c)
		fault.spoil(s, w, r, nil)
	default:
		fault.spoil(s, w, r, nil)
	}
}

// enter reports whether the server still takes requests, and makes Close wait for
// the end of this one.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.handlers.Add(1)
	}
	return !s.over
}

// call is the parts of a request on which its answer depends.
type call struct {
	key, op     string
	outside     bool // of the API
	caller      netip.Addr
	query       string // as it came
	contentType string
	body        []byte
	inPart      bool // only half of an extension is executed

	params url.Values // the query, once it is checked
}

// call returns the key a request came with and what it asks for.
func (s *Server) call(r *http.Request, body []byte) *call {
	path := r.URL.Path
	below, inside := strings.CutPrefix(path, apiPath)
	var key string
	if inside {
		key, path, _ = strings.Cut(below, "/")
		path = "/" + path
	}
	return &call{
		key:         key,
		op:          r.Method + " " + path,
		outside:     !inside,
		caller:      callerOf(r),
		query:       r.URL.RawQuery,
		contentType: r.Header.Get("Content-Type"),
		body:        body,
	}
}

// callerOf returns the address a request came from. What came in memory came from
// this machine.
func callerOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return from.Addr().Unmap().WithZone("")
}

// record records a request, and returns the mishap that it meets, or the reply from the
// cache, if there is one.
func (s *Server) record(c *call, r *http.Request, now time.Time) (m mishap, cached *reply) {
	noted := Request{
		Op:     c.op,
		Query:  s.redactAll(r.URL.Query()),
		Header: s.redactAll(r.Header),
		Body:   []byte(s.redact(string(c.body))),
	}
	if _, known := endpoints[c.op]; !known {
		noted.Op = s.redact(c.op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m = s.nextMishap(c.op)
	if m == (mishap{}) {
		cached = s.fromCache(c, now)
	}
	noted.Fault, noted.Cached = m.fault, cached != nil
	s.requests = append(s.requests, noted)
	return m, cached
}

// keyPattern finds a key in any letter case, as it is or escaped for a URL.
func keyPattern(key string) *regexp.Regexp {
	if key == "" {
		return nil
	}
	forms := []string{key, url.PathEscape(key), url.QueryEscape(key)}
	for i, form := range forms {
		forms[i] = regexp.QuoteMeta(form)
	}
	return regexp.MustCompile("(?i)" + strings.Join(forms, "|"))
}

func (s *Server) redact(text string) string {
	if s.keys == nil {
		return text
	}
	return s.keys.ReplaceAllLiteralString(text, "***")
}

func (s *Server) redactAll(fields map[string][]string) map[string][]string {
	clean := make(map[string][]string, len(fields))
	for name, values := range fields {
		name = s.redact(name)
		for _, value := range values {
			clean[name] = append(clean[name], s.redact(value))
		}
	}
	return clean
}
