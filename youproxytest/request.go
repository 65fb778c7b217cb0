package youproxytest

import (
	"bytes"
	"io"
	"net/http"
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
	Fault  Fault // the one it met; 0 for none
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
// listener of the caller's. It panics with [http.ErrAbortHandler] where the
// connection is to be dropped.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	key, op := s.operation(r)
	fault, faulty := faults[s.record(op, r, body)]
	switch {
	case !faulty:
		s.answer(key, op, r, body).write(w)
	case fault.commits:
		fault.spoil(s, w, r, s.answer(key, op, r, body))
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

// operation gives the key a request came with and what it asks for.
func (s *Server) operation(r *http.Request) (key, op string) {
	path := r.URL.Path
	if below, ok := strings.CutPrefix(path, apiPath); ok {
		key, path, _ = strings.Cut(below, "/")
		path = "/" + path
	}
	return key, r.Method + " " + path
}

// record notes a request and gives the fault it meets.
func (s *Server) record(op string, r *http.Request, body []byte) Fault {
	noted := Request{
		Op:     op,
		Query:  s.redactAll(r.URL.Query()),
		Header: s.redactAll(r.Header),
		Body:   []byte(s.redact(string(body))),
	}
	if _, known := endpoints[op]; !known {
		noted.Op = s.redact(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	noted.Fault = s.nextFault(op)
	s.requests = append(s.requests, noted)
	return noted.Fault
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
