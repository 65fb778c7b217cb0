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
)

// Request is a request the server received. The API key is nowhere in it: where
// it was, *** stands.
type Request struct {
	Op     string // method and path below the key, such as "POST /order"
	Query  url.Values
	Header http.Header
	Body   []byte
	Fault  Fault // the one it met; 0 for none, also where Refuse refused it
}

// Requests gives every request received so far, oldest first, those that met a
// fault included.
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

// apiPath stands before the API key.
const apiPath = "/client/api/v1/"

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

// ServeHTTP answers one request, so that the server can also stand behind a
// listener of the caller's, who closes that first and the server then. It panics
// with [http.ErrAbortHandler] where the connection is to be dropped.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	c := s.call(r, body)
	m := s.record(c, r)
	fault := faults[m.fault]
	switch {
	case m.refusal != nil:
		s.refuse(c, m.refusal).write(w)
	case m.fault == 0:
		s.answer(c).write(w)
	case fault.commits == atOnce:
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

// call is what of a request its answer depends on.
type call struct {
	key, op     string
	outside     bool // of the API
	caller      netip.Addr
	query       string // as it came
	contentType string
	body        []byte

	params url.Values // the query, once it is checked
}

// call gives the key a request came with and what it asks for.
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

// callerOf gives the address a request came from. What came in memory came from
// this machine.
func callerOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return from.Addr().Unmap().WithZone("")
}

// record notes a request and gives the mishap it meets.
func (s *Server) record(c *call, r *http.Request) mishap {
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
	m := s.nextMishap(c.op)
	noted.Fault = m.fault
	s.requests = append(s.requests, noted)
	return m
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
