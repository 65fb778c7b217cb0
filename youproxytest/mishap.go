package youproxytest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Inject makes requests of op, such as "POST /order", fail. Each fault is used up by
// one request, in order, after the faults that were injected before. [Server.Pending]
// returns those that were not used up. Inject panics if the server has no such operation,
// or if a fault is not one of this package.
func (s *Server) Inject(op string, list ...Fault) {
	queue := make([]mishap, len(list))
	for i, f := range list {
		if _, ok := f.kind(); !ok {
			panic("youproxytest: " + f.String() + " is not a fault: use one of the constants")
		}
		queue[i].fault = f
	}
	s.enqueue(op, queue)
}

// Refuse makes the server refuse requests of op, such as "POST /order", with error
// codes of the service. Each code is used up by one request, which is not executed.
// Codes and the faults of [Server.Inject] wait in the same queue. Refuse panics if the
// server has no such operation.
func (s *Server) Refuse(op string, codes ...int) {
	queue := make([]mishap, len(codes))
	for i, code := range codes {
		queue[i].refusal = refusalOf(code)
	}
	s.enqueue(op, queue)
}

// Operations returns the operations of the server, such as "POST /order", sorted.
func Operations() []string { return slices.Sorted(maps.Keys(endpoints)) }

// mishap is what happens to one request: a fault or a refusal, or neither.
type mishap struct {
	fault   Fault
	refusal *refusal
}

func (s *Server) enqueue(op string, queue []mishap) {
	if _, ok := endpoints[op]; !ok {
		panic(fmt.Sprintf("youproxytest: %q is not an operation of the server, which has: %s",
			op, strings.Join(Operations(), ", ")))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mishaps[op] = append(s.mishaps[op], queue...)
}

// Pending returns the faults of [Server.Inject] and the codes of [Server.Refuse] that no
// request has used up, such as "POST /order: DropAfterCommit" or
// "POST /order: error 14". They are sorted by operation, and then in the order in which
// they will be used up. A test that ends with any of them pending did not test what it
// meant to.
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

// WithCommitDelay sets how long after a request [CommitLate] executes it, by the clock
// of the server: 1 minute by default.
func WithCommitDelay(d time.Duration) Option {
	return func(s *Server) { s.commitDelay = d }
}

// lateCall is a call that is executed later, see [Server.look].
type lateCall struct {
	at   time.Time
	call *call
}

// postpone executes a call later, if it can change anything.
func (s *Server) postpone(c *call) {
	if !c.changes() || s.checkCaller(c) != nil || c.checkForm(nil) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.look()
	next := lateCall{a.now.Add(s.commitDelay), c}
	if s.history.begin(a, change{Op: c.op, Body: c.body, CommitAt: next.at.UTC()}) != nil {
		return
	}
	s.history.end(true)
	s.late = append(s.late, next)
}
