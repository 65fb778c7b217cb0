package youproxytest

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
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
	// CommitLate drops the connection without a reply at once, and executes the
	// request later, see [WithCommitDelay]. If it would be refused by then, nothing
	// happens. Of a GET the same holds as for DropBeforeCommit.
	CommitLate
	// ServiceFault executes nothing and answers with error code 35, "Unknown error",
	// in the form in which the operation refuses.
	ServiceFault
	// RejectAfterCommit executes the request, and answers with a 404 page in HTML, as
	// what stands in front of a service may.
	RejectAfterCommit
	// UnknownCodeAfterCommit executes the request, and answers with an error code that
	// is not documented, in the form in which the operation refuses. The balance in it
	// is that after the request.
	UnknownCodeAfterCommit
)

// When a fault executes the request.
type commit uint8

const (
	never commit = iota
	atOnce
	late
)

// faults is every fault: its name, when the request is executed, and how its
// reply, which is nil where that is not at once, goes wrong.
var faults = map[Fault]struct {
	name    string
	commits commit
	spoil   func(s *Server, w http.ResponseWriter, r *http.Request, whole *reply)
}{
	DropBeforeCommit:   {"DropBeforeCommit", never, drop},
	DropAfterCommit:    {"DropAfterCommit", atOnce, drop},
	BadGateway:         {"BadGateway", never, page(http.StatusBadGateway)},
	ServiceUnavailable: {"ServiceUnavailable", never, page(http.StatusServiceUnavailable)},
	TooManyRequests:    {"TooManyRequests", never, tooMany},
	InternalError:      {"InternalError", never, page(http.StatusInternalServerError)},
	HTMLPage:           {"HTMLPage", never, page(http.StatusOK)},
	Truncated:          {"Truncated", atOnce, truncate},
	EmptyReply:         {"EmptyReply", atOnce, empty},
	Slow:               {"Slow", atOnce, hold},
	Redirect:           {"Redirect", never, redirect},
	EchoKey:            {"EchoKey", never, echo},
	CommitLate:         {"CommitLate", late, drop},
	ServiceFault:       {"ServiceFault", never, unknownError},

	RejectAfterCommit:      {"RejectAfterCommit", atOnce, page(http.StatusNotFound)},
	UnknownCodeAfterCommit: {"UnknownCodeAfterCommit", atOnce, unknownCode},
}

// Faults gives every fault.
func Faults() []Fault { return slices.Sorted(maps.Keys(faults)) }

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
// the server has no such operation, or a fault is not one of this package.
// [Server.Pending] tells which were not used up.
func (s *Server) Inject(op string, list ...Fault) {
	queue := make([]mishap, len(list))
	for i, f := range list {
		if _, ok := faults[f]; !ok {
			panic("youproxytest: " + f.String() + " is not a fault: use one of the constants")
		}
		queue[i].fault = f
	}
	s.enqueue(op, queue)
}

// Refuse makes requests of op, such as "POST /order", be refused with error codes
// of the service, in the form in which op refuses: each code is used up by one
// request, which is not executed. Codes and the faults of [Server.Inject] wait in
// one queue. It panics where the server has no such operation.
func (s *Server) Refuse(op string, codes ...int) {
	queue := make([]mishap, len(codes))
	for i, code := range codes {
		queue[i].refusal = refusalOf(code)
	}
	s.enqueue(op, queue)
}

// mishap is what befalls one request: a fault or a refusal, or nothing.
type mishap struct {
	fault   Fault
	refusal *refusal
}

func (s *Server) enqueue(op string, queue []mishap) {
	if _, ok := endpoints[op]; !ok {
		panic(fmt.Sprintf("youproxytest: %q is not an operation of the server, which has: %s",
			op, strings.Join(slices.Sorted(maps.Keys(endpoints)), ", ")))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mishaps[op] = append(s.mishaps[op], queue...)
}

// Pending returns what [Server.Inject] and [Server.Refuse] were given that no request
// has used up, such as "POST /order: DropAfterCommit" or "POST /order: error 14", by
// operation and in the order in which it will be. A test that ends with some of it
// did not test what it was to.
func (s *Server) Pending() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, op := range slices.Sorted(maps.Keys(s.mishaps)) {
		for _, m := range s.mishaps[op] {
			what := m.fault.String()
			if m.refusal != nil {
				what = "error " + strconv.Itoa(m.refusal.Code)
			}
			list = append(list, op+": "+what)
		}
	}
	return list
}

// nextMishap uses up a mishap of op. The caller holds mu.
func (s *Server) nextMishap(op string) mishap {
	waiting := s.mishaps[op]
	if len(waiting) == 0 {
		return mishap{}
	}
	s.mishaps[op] = waiting[1:]
	return waiting[0]
}

// WithCommitDelay sets how long after a request [CommitLate] executes it, by the
// clock of the server: 1 minute by default.
func WithCommitDelay(d time.Duration) Option {
	return func(s *Server) { s.commitDelay = d }
}

// lateCall is a call that is executed at a later moment, see [Server.look].
type lateCall struct {
	at   time.Time
	call *call
}

// postpone executes a call later, if it is one of the API's.
func (s *Server) postpone(c *call) {
	if _, ok := endpoints[c.op]; !ok || c.outside {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, lateCall{s.now().Add(s.commitDelay), c})
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

// undocumented is an error code that the service is not known to have.
const undocumented = 99

func unknownCode(s *Server, w http.ResponseWriter, r *http.Request, _ *reply) {
	s.refuse(s.call(r, nil), refusalOf(undocumented)).write(w)
}

func unknownError(s *Server, w http.ResponseWriter, r *http.Request, _ *reply) {
	s.refuse(s.call(r, nil), refusalOf(35)).write(w)
}
