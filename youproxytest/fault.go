package youproxytest

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
)

// Fault is a way in which one request goes wrong. See [Server.Inject].
type Fault uint8

const (
	// DropBeforeCommit executes nothing and drops the connection without a reply.
	// Where that connection has served a call before, net/http repeats a GET by
	// itself, which is then the next request.
	DropBeforeCommit Fault = iota + 1
	// DropAfterCommit executes the request, then drops the connection without a
	// reply. Of a GET the same holds as for DropBeforeCommit.
	DropAfterCommit
	// BadGateway executes nothing and answers with a 502 page in HTML.
	BadGateway
	// ServiceUnavailable executes nothing and answers with a 503 page in HTML.
	ServiceUnavailable
	// TooManyRequests executes nothing and answers with a 429 page in HTML and
	// Retry-After: 1.
	TooManyRequests
	// InternalError executes nothing and answers with a 500 page in HTML.
	InternalError
	// HTMLPage executes nothing and answers with a page in HTML and status 200.
	HTMLPage
	// Truncated executes the request, and cuts its reply in the middle; the
	// Content-Length is that of the whole.
	Truncated
	// EmptyReply executes the request, and answers with status 200 and no body.
	EmptyReply
	// Slow executes the request, and holds its reply until the client goes or the
	// server is closed.
	Slow
	// Redirect executes nothing and redirects with a 307 to the same path, key
	// included, of another host, which does not exist. Over [Server.Transport]
	// that host is this server, so that a client which follows shows in
	// [Server.Requests].
	Redirect
	// EchoKey executes nothing and answers with a 404 page in HTML that shows the
	// path of the request, key included.
	EchoKey
)

// faults is every fault: its name, whether the request is executed, and how its
// reply, which is nil where it is not, goes wrong.
var faults = map[Fault]struct {
	name    string
	commits bool
	spoil   func(s *Server, w http.ResponseWriter, r *http.Request, whole *reply)
}{
	DropBeforeCommit:   {"DropBeforeCommit", false, drop},
	DropAfterCommit:    {"DropAfterCommit", true, drop},
	BadGateway:         {"BadGateway", false, page(http.StatusBadGateway)},
	ServiceUnavailable: {"ServiceUnavailable", false, page(http.StatusServiceUnavailable)},
	TooManyRequests:    {"TooManyRequests", false, tooMany},
	InternalError:      {"InternalError", false, page(http.StatusInternalServerError)},
	HTMLPage:           {"HTMLPage", false, page(http.StatusOK)},
	Truncated:          {"Truncated", true, truncate},
	EmptyReply:         {"EmptyReply", true, empty},
	Slow:               {"Slow", true, hold},
	Redirect:           {"Redirect", false, redirect},
	EchoKey:            {"EchoKey", false, echo},
}

// String gives the fault's name, such as "DropAfterCommit", and "none" for the
// zero Fault.
func (f Fault) String() string {
	if known, ok := faults[f]; ok {
		return known.name
	}
	if f == 0 {
		return "none"
	}
	return "Fault(" + strconv.Itoa(int(f)) + ")"
}

// Inject makes requests of op, such as "POST /order", go wrong: each fault is
// used up by one request, in order, after those injected before. It panics where
// op is not a method and a path, or a fault is not one of this package.
func (s *Server) Inject(op string, list ...Fault) {
	method, path, _ := strings.Cut(op, " ")
	if method == "" || strings.ToUpper(method) != method || !strings.HasPrefix(path, "/") {
		panic(fmt.Sprintf("youproxytest: %q is not an operation: write it such as POST /order", op))
	}
	for _, f := range list {
		if _, ok := faults[f]; !ok {
			panic("youproxytest: " + f.String() + " is not a fault: use one of the constants")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[op] = append(s.faults[op], list...)
}

// nextFault uses up a fault of op. The caller holds mu.
func (s *Server) nextFault(op string) Fault {
	waiting := s.faults[op]
	if len(waiting) == 0 {
		return 0
	}
	s.faults[op] = waiting[1:]
	return waiting[0]
}

func drop(*Server, http.ResponseWriter, *http.Request, *reply) {
	panic(http.ErrAbortHandler)
}

func page(status int) func(*Server, http.ResponseWriter, *http.Request, *reply) {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request, _ *reply) {
		htmlReply(status, "").write(w)
	}
}

func tooMany(_ *Server, w http.ResponseWriter, _ *http.Request, _ *reply) {
	w.Header().Set("Retry-After", "1")
	htmlReply(http.StatusTooManyRequests, "").write(w)
}

func truncate(_ *Server, w http.ResponseWriter, _ *http.Request, whole *reply) {
	w.Header().Set("Content-Length", strconv.Itoa(len(whole.body)))
	cut := *whole
	cut.body = whole.body[:len(whole.body)/2]
	cut.write(w)
}

func empty(_ *Server, w http.ResponseWriter, _ *http.Request, _ *reply) {
	w.WriteHeader(http.StatusOK)
}

func hold(s *Server, _ http.ResponseWriter, r *http.Request, _ *reply) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
	panic(http.ErrAbortHandler)
}

func redirect(_ *Server, w http.ResponseWriter, r *http.Request, _ *reply) {
	w.Header().Set("Location", "http://elsewhere.invalid"+r.URL.RequestURI())
	htmlReply(http.StatusTemporaryRedirect, "").write(w)
}

func echo(_ *Server, w http.ResponseWriter, r *http.Request, _ *reply) {
	htmlReply(http.StatusNotFound, "Cannot "+r.Method+" "+html.EscapeString(r.URL.Path)).write(w)
}
