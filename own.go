package youproxy

import (
	"slices"
	"sync"
	"time"
)

// ownSpends is what a client has spent lately, or may have. Its variants share it.
// Without it, what the account shows of one call that spent could pass for what
// another one did.
type ownSpends struct {
	mu        sync.Mutex
	spends    []ownSpend // as they take turns, only the last can be under way
	forgotten time.Time  // when the latest was that is not among them any more
}

// ownSpend is one call that spends.
type ownSpend struct {
	attempt   string    // the id of its attempt; empty where it has none
	at        time.Time // when it was sent, or its outcome was known or given up
	unknown   bool      // whether it was executed
	proxyType ProxyType // empty where that is not known

	orders bool        // it may place an order
	number OrderNumber // of the order; empty where that is not known
	seen   bool        // in the list

	extends bool          // it may extend proxies
	proxies []IPAddressID // which; empty where that is not known
}

const (
	// unseenFor is how long an order is looked for. A list that carries no order
	// numbers never shows it.
	unseenFor = time.Hour
	// rememberedFor is how long a call that spent is remembered.
	rememberedFor = 24 * time.Hour
	// mostRemembered bounds how many are.
	mostRemembered = 1000
)

// anySpend is a call of which is not known what it does.
var anySpend = ownSpend{orders: true, extends: true}

func (o *order) own() ownSpend { return ownSpend{orders: true, proxyType: o.ProxyType} }

func (e *extension) own() ownSpend {
	return ownSpend{extends: true, proxyType: e.ProxyType, proxies: slices.Clone(e.IPAddressIDs)}
}

// tell adds what the reply tells of an order.
func (r *orderReply) tell(s *ownSpend) { s.number = OrderNumber(r.OrderNumber) }

// tell adds what the reply tells of an extension.
func (r *extendReply) tell(s *ownSpend) {
	if len(s.proxies) > 0 {
		return
	}
	for _, id := range r.IPAddressIDs {
		s.proxies = append(s.proxies, IPAddressID(id))
	}
}

// begin notes a call that is about to be sent. Until it ends, as where something
// panics meanwhile, its outcome is unknown.
func (own *ownSpends) begin(s ownSpend) {
	own.mu.Lock()
	defer own.mu.Unlock()
	s.at, s.unknown = time.Now(), true
	for len(own.spends) > 0 && (len(own.spends) >= mostRemembered || s.at.Sub(own.spends[0].at) > rememberedFor) {
		own.forgotten = own.spends[0].at
		own.spends = own.spends[1:]
	}
	own.spends = append(own.spends, s)
}

// end notes what became of the call that was begun last. reply is its reply, or
// nil.
func (own *ownSpends) end(o Outcome, reply any) {
	own.mu.Lock()
	defer own.mu.Unlock()
	last := len(own.spends) - 1
	switch o {
	case OutcomeNotSent, OutcomeRejected:
		own.spends = own.spends[:last]
		return
	case OutcomeDone:
		if r, ok := reply.(interface{ tell(*ownSpend) }); ok {
			r.tell(&own.spends[last])
		}
	}
	own.spends[last].at, own.spends[last].unknown = time.Now(), o != OutcomeDone
}

// recovered notes that the call that was begun last was executed, and shows in the
// account.
func (own *ownSpends) recovered() {
	own.end(OutcomeDone, nil)
	own.mu.Lock()
	defer own.mu.Unlock()
	own.spends[len(own.spends)-1].seen = true
}

// see notes that the proxies of an order were found in the list.
func (own *ownSpends) see(number OrderNumber) {
	own.mu.Lock()
	defer own.mu.Unlock()
	for i := range own.spends {
		s := &own.spends[i]
		s.seen = s.seen || s.number != "" && s.number == number
	}
}

// unseen gives the orders of a proxy type that are not among the numbers of a
// list, with an empty number for each that is not known and may still be executed,
// or appear, for some time.
func (own *ownSpends) unseen(t ProxyType, listed map[OrderNumber]bool, late time.Duration) []OrderNumber {
	own.mu.Lock()
	defer own.mu.Unlock()
	var numbers []OrderNumber
	for i := range own.spends {
		s := &own.spends[i]
		s.seen = s.seen || s.number != "" && listed[s.number]
		longest := unseenFor
		if s.number == "" {
			longest = late
		}
		if s.orders && s.isOf(t) && !s.seen && time.Since(s.at) <= longest {
			numbers = append(numbers, s.number)
		}
	}
	return numbers
}

// ordered reports whether an order of the list, of which the number may be empty,
// may be that of another call than a, since a was sent.
func (own *ownSpends) ordered(a *Attempt, number OrderNumber) bool {
	own.mu.Lock()
	defer own.mu.Unlock()
	later, all := own.since(a)
	return !all || slices.ContainsFunc(later, func(s ownSpend) bool {
		return s.orders && s.isOf(a.ProxyType) && (number == "" || s.number == "" || s.number == number)
	})
}

// extended reports whether another call than a may have moved the ends of its
// proxies since a was sent, or, late, still might have when it was.
func (own *ownSpends) extended(a *Attempt, late time.Duration) bool {
	own.mu.Lock()
	defer own.mu.Unlock()
	later, all := own.since(a)
	touches := func(s ownSpend) bool { return s.extends && s.isOf(a.ProxyType) && s.touches(a.Before.Ends) }
	return !all || slices.ContainsFunc(later, touches) ||
		slices.ContainsFunc(own.spends[:len(own.spends)-len(later)], func(s ownSpend) bool {
			return s.unknown && s.attempt != a.ID && a.At.Sub(s.at) <= late && touches(s)
		})
}

// since gives what was sent after an attempt, and whether all of that is
// remembered.
func (own *ownSpends) since(a *Attempt) (later []ownSpend, all bool) {
	for i, s := range own.spends {
		if s.attempt == a.ID {
			return own.spends[i+1:], true
		}
	}
	i := slices.IndexFunc(own.spends, func(s ownSpend) bool { return s.at.After(a.At) })
	if i < 0 {
		i = len(own.spends)
	}
	return own.spends[i:], own.forgotten.IsZero() || own.forgotten.Before(a.At)
}

func (s *ownSpend) isOf(t ProxyType) bool { return s.proxyType == "" || s.proxyType == t }

// touches reports whether some of the proxies may be among those it extends.
func (s *ownSpend) touches(ends map[IPAddressID]time.Time) bool {
	return len(s.proxies) == 0 || slices.ContainsFunc(s.proxies, func(id IPAddressID) bool {
		_, ok := ends[id]
		return ok
	})
}
