package youproxytest

import (
	"html"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// Fault is a way in which one request fails. See [Server.Inject]. Faults that execute
// nothing have a second form that executes the request, and then answers in the same
// way, such as BadGateway.AfterCommit(). See [Fault.AfterCommit].
type Fault uint8

const (
	// DropBeforeCommit executes nothing and drops the connection without a reply.
	// If the connection has served a request before, net/http repeats a GET request by
	// itself, which then counts as the next request.
	DropBeforeCommit Fault = iota + 1
	// DropAfterCommit executes the request, then drops the connection without a
	// reply. GET requests may be repeated as with DropBeforeCommit.
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
	// Truncated executes the request, and cuts its reply off in the middle. The
	// Content-Length is that of the whole reply.
	Truncated
	// EmptyReply executes the request, and answers with status 200 and no body.
	EmptyReply
	// Slow executes the request, and does not answer until the client cancels it or the
	// server is closed.
	Slow
	// Redirect executes nothing and answers with a 307 redirect to the same path, key
	// included, of another host, which does not exist. Over [Server.Transport] that
	// host is this server, so that [Server.Requests] shows a client that follows.
	Redirect
	// EchoKey executes nothing and answers with a 404 page in HTML that shows the
	// path of the request, key included.
	EchoKey
	// CommitLate drops the connection without a reply at once, and executes the
	// request later, see [WithCommitDelay]. If it would be refused by then, nothing
	// happens. GET requests may be repeated as with DropBeforeCommit.
	CommitLate
	// ServiceFault executes nothing and answers with error code 35, "Unknown error".
	ServiceFault
	// RejectAfterCommit executes the request, and answers with a 404 page in HTML, as a
	// proxy server in front of a service may do.
	RejectAfterCommit
	// UnknownCodeAfterCommit executes the request, and answers with an error code that
	// is not documented. The balance in the reply is the balance after the request.
	UnknownCodeAfterCommit
	// RefusedAfterCommit executes the request, and answers with error code 16,
	// "Insufficient funds on balance". The balance in the reply is the balance after the
	// request, so it shows that something was charged.
	RefusedAfterCommit
	// Forbidden executes nothing and answers with a 403 page in HTML, as a firewall in
	// front of a service does.
	Forbidden
	// PartialExtension executes POST /extend and POST /extend/order for the first half
	// of the proxies only, rounded up. They alone are charged for and named in the
	// reply. Other operations do not fail: they are executed and answered as usual.
	PartialExtension
	// PartialExtensionDropped executes the same as PartialExtension, then drops the
	// connection without a reply. For other operations it is DropAfterCommit.
	PartialExtensionDropped
)

// afterCommit marks the second form of a fault.
const afterCommit Fault = 1 << 7

// When a fault executes the request.
type commit uint8

const (
	never commit = iota
	atOnce
	inPart // at once; of an extension, half of it
	late
)

// faultKind describes a fault.
type faultKind struct {
	name    string
	commits commit
	// spoil writes the reply. The whole one is nil where the request is not executed
	// at once.
	spoil func(s *Server, w http.ResponseWriter, r *http.Request, whole *reply)
}

// faults is every fault in its first form.
var faults = map[Fault]faultKind{
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
	ServiceFault:       {"ServiceFault", never, refusedWith(35)},

	RejectAfterCommit:       {"RejectAfterCommit", atOnce, page(http.StatusNotFound)},
	UnknownCodeAfterCommit:  {"UnknownCodeAfterCommit", atOnce, refusedWith(undocumented)},
	RefusedAfterCommit:      {"RefusedAfterCommit", atOnce, refusedWith(16)},
	Forbidden:               {"Forbidden", never, page(http.StatusForbidden)},
	PartialExtension:        {"PartialExtension", inPart, asAlways},
	PartialExtensionDropped: {"PartialExtensionDropped", inPart, drop},
}

// undocumented is an error code that the service is not known to have.
const undocumented = 99

// Faults returns all faults: the constants, then the second forms.
func Faults() []Fault {
	list := slices.Sorted(maps.Keys(faults))
	for _, f := range slices.Clone(list) {
		if second := f.AfterCommit(); !slices.Contains(list, second) {
			list = append(list, second)
		}
	}
	return list
}

// AfterCommit returns the second form of f: a fault that executes the request, and then
// answers as f does. Its name is the name of f followed by AfterCommit. The second form
// of DropBeforeCommit is [DropAfterCommit]. A fault that executes the request anyway has
// none, and is returned unchanged.
func (f Fault) AfterCommit() Fault {
	known, ok := f.kind()
	switch {
	case f == DropBeforeCommit:
		return DropAfterCommit
	case ok && known.commits == never:
		return f | afterCommit
	default:
		return f
	}
}

// kind returns the description of a fault, and reports whether there is such a fault.
func (f Fault) kind() (faultKind, bool) {
	known, ok := faults[f&^afterCommit]
	if !ok || f&afterCommit == 0 {
		return known, ok
	}
	if known.commits != never || f == DropBeforeCommit|afterCommit {
		return faultKind{}, false
	}
	known.name += "AfterCommit"
	known.commits = atOnce
	return known, true
}

// String returns the name of the fault, such as "DropAfterCommit", and "none" for
// the zero Fault.
func (f Fault) String() string {
	if known, ok := f.kind(); ok {
		return known.name
	}
	if f == 0 {
		return "none"
	}
	return "Fault(" + strconv.Itoa(int(f)) + ")"
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

// refusedWith refuses with an error code. The reply has the present balance.
func refusedWith(code int) func(*Server, http.ResponseWriter, *http.Request, *reply) {
	return func(s *Server, w http.ResponseWriter, r *http.Request, _ *reply) {
		s.refuse(s.call(r, nil), refusalOf(code)).write(w)
	}
}

func asAlways(_ *Server, w http.ResponseWriter, _ *http.Request, whole *reply) {
	whole.write(w)
}
