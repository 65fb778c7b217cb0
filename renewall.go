package youproxy

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// ErrNothingToRenew is matched by a [*PartError] if nothing of the part is left to renew:
// all of it ends later by now, is in another renewal, or must be left out for another of
// the reasons in its LeftOut. Nothing was sent.
var ErrNothingToRenew = errors.New("youproxy: nothing of the part is left to renew")

// PartError is the error of a part of a plan that was not renewed, or whose outcome is
// not known. It has the outcome of Err, and matches what Err matches.
type PartError struct {
	Part    RenewalPart
	LeftOut []LeftOut // proxies of the part that were left out
	Err     error     // such as a [*SpendError]
}

// Error returns which part failed, why, and whether money may have been spent.
func (e *PartError) Error() string {
	return "youproxy: " + e.Part.String() + ": " + strings.TrimPrefix(e.Err.Error(), "youproxy: ")
}

// Unwrap returns Err, the cause.
func (e *PartError) Unwrap() error { return e.Err }

// LogValue returns the part, the outcome and the cause as a group, for slog.
func (e *PartError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("part", e.Part.String()),
		slog.Int("left_out", len(e.LeftOut)),
		slog.String("outcome", OutcomeOf(e.Err).String()),
		slog.String("error", e.Err.Error()),
	)
}

// RenewAll returns an iterator that carries out a plan, part by part. For each part it
// yields a renewal, or a [*PartError], and goes on with the next part.
//
// Each part is renewed as with [Client.Renew], for no more than its planned price, and
// all parts together for no more than the limit of the plan. The journal is locked for
// one part at a time. After locking it, RenewAll reads the list again and leaves out
// proxies that now end later than planned, that are in an extension of the journal which
// is open or was executed since, or that must be left out for another reason: see
// [Renewal.LeftOut]. It asks for the price of the rest again.
//
// Each part has its own idempotency key, made from the ID of the plan and what the part
// extends. Carrying out the same plan again, also after a crash, therefore renews nothing
// twice: a part that was renewed before is yielded again, and one whose outcome is not
// known is looked at first. If two processes that share a journal plan the same renewals,
// only one pays.
//
// An open extension of another plan stops the renewal of its proxies until it is settled,
// so call [Client.Recover] before planning.
//
// The iteration ends early if going on is pointless: if ctx is over, the API key is
// refused, or the plan is not valid, which is a [*ValidationError]. If the outcome of a
// part is not known, the later parts of its proxy type are not tried in this iteration;
// each yields a [*PartError] with a [*PendingError].
func (c *Client) RenewAll(ctx context.Context, plan *RenewalPlan) iter.Seq2[*Renewal, error] {
	return func(yield func(*Renewal, error) bool) {
		if err := c.check(ctx); err != nil {
			yield(nil, notSent("RenewAll", err))
			return
		}
		if err := plan.problem(); err != nil {
			yield(nil, err)
			return
		}
		left, parts := plan.Limit, slices.Clone(plan.Parts) // the loop may change them
		undetermined := make(map[ProxyType]*SpendError)
		for i := range parts {
			part := &parts[i]
			if u := undetermined[part.ProxyType]; u != nil {
				err := &PendingError{op: u.Attempt.Op, Attempt: u.Attempt.clone(), Evidence: u.Evidence}
				if !yield(nil, &PartError{Part: *part, Err: err}) {
					return
				}
				continue
			}
			renewal, cost, err := c.renewPart(ctx, plan, part, left)
			left.Amount = left.Amount.Sub(cost.Amount)
			var failed *SpendError
			if errors.As(err, &failed) && failed.Verdict == VerdictUndetermined {
				undetermined[part.ProxyType] = failed
			}
			if !yield(renewal, err) || isFinal(ctx, err) {
				return
			}
		}
	}
}

// isFinal reports whether an error of one part would be that of all later parts.
func isFinal(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || slices.ContainsFunc(
		[]error{ErrInvalidAPIKey, ErrCallerNotAllowed}, func(final error) bool { return errors.Is(err, final) }))
}

// renewPart renews a part of a plan, and returns what it cost, or may have cost.
func (c *Client) renewPart(ctx context.Context, plan *RenewalPlan, part *RenewalPart, left Money) (*Renewal, Money, error) {
	limit := part.Price
	if isAbove(&limit, left) {
		limit = left
	}
	s := c.extending(part.Request().extension())
	s.part = &partTurn{plan: plan, part: part}
	err := s.run(ctx, limit, nil)
	var failed *SpendError
	switch {
	case err == nil:
		renewal := s.entry.renewal(s.quote)
		renewal.LeftOut = s.part.leftOut
		if s.quote == nil {
			renewal.LeftOut = s.part.leftBefore(&s.entry.Attempt)
		}
		return renewal, s.entry.cost(), nil
	case errors.As(err, &failed) && failed.Verdict == VerdictUndetermined:
		return nil, s.entry.cost(), &PartError{*part, s.part.leftOut, err}
	}
	return nil, Money{}, &PartError{*part, s.part.leftOut, err}
}

// partTurn is a part of a plan that is being carried out.
type partTurn struct {
	plan    *RenewalPlan
	part    *RenewalPart
	leftOut []LeftOut
}

// key returns the idempotency key of the part, made from the request as planned.
func (p *partTurn) key(a *Attempt) string { return p.plan.ID + "/" + a.Request[:32] }

// since returns the time from which entries of the journal may have been settled after
// the plan, allowing for the clocks of two machines.
func (p *partTurn) since() time.Time { return minTime(p.plan.At, time.Now()).Add(-clockTolerance) }

// lagging returns the time from which entries settled before since count, as a list may
// not show them yet.
func lagging(since time.Time) time.Time { return since.Add(-remainsFor) }

// leftBefore returns what an earlier attempt to renew the part left out.
func (p *partTurn) leftBefore(a *Attempt) (left []LeftOut) {
	for _, r := range p.part.Proxies {
		if !slices.Contains(a.IPAddressIDs, r.ID) && !slices.Contains(a.OrderIDs, r.OrderID) {
			left = append(left, LeftOut{Reason: LeaveBefore}.of(p.part.ProxyType, r))
		}
	}
	return left
}

// prune takes out of a part what must not be renewed any more.
func (s *spending) prune(listed []Proxy, now time.Time) error {
	if now.IsZero() {
		now = time.Now()
	}
	found := make(map[IPAddressID]*Proxy)
	inOrder := make(map[OrderID]int)
	for i := range listed {
		if p := &listed[i]; found[p.ID] == nil {
			found[p.ID] = p
			inOrder[p.OrderID]++
		}
	}
	part, others := s.part.part, s.others()
	rest := *part
	rest.Proxies = nil
	for _, u := range part.units() {
		var why LeftOut
		for _, r := range u {
			if why.Reason == "" {
				why = r.hindrance(part.ProxyType, found[r.ID], others, now)
			}
		}
		switch {
		case why.Reason != "":
		case part.ProxyType == ProxyTypeIPv6 && inOrder[u[0].OrderID] != len(u):
			why.Reason = LeavePartOfOrder
		default:
			rest.Proxies = append(rest.Proxies, u...)
			continue
		}
		for _, r := range u {
			s.part.leftOut = append(s.part.leftOut, why.of(part.ProxyType, r))
		}
	}
	switch a, x := &s.entry.Attempt, s.body.(*extension); len(rest.Proxies) {
	case 0:
		return stopped(a.Op, "nothing of it is left to renew: "+strings.Join(countLeftOut(s.part.leftOut), "; "), ErrNothingToRenew)
	case len(part.Proxies):
	default:
		left := rest.Request().extension()
		x.IPAddressIDs, x.OrderIDs = left.IPAddressIDs, left.OrderIDs
		a.IPAddressIDs, a.OrderIDs = slices.Clone(x.IPAddressIDs), slices.Clone(x.OrderIDs)
		s.one = x.one()
		s.payload, _ = json.Marshal(x) // as it could be before
	}
	return nil
}

// units returns what of the part can only be renewed as a whole.
func (p RenewalPart) units() []unit {
	var units []unit
	at := make(map[OrderID]int)
	for _, r := range p.Proxies {
		i, known := at[r.OrderID]
		if !known || p.ProxyType != ProxyTypeIPv6 {
			i = len(units)
			at[r.OrderID] = i
			units = append(units, nil)
		}
		units[i] = append(units[i], r)
	}
	return units
}

// hindrance returns why a planned proxy must not be renewed now. p is nil if the list
// does not show it any more.
func (r PlannedRenewal) hindrance(t ProxyType, p *Proxy, others *extended, now time.Time) (why LeftOut) {
	switch e := others.entry(r); {
	case e != nil && e.State == EntryOpen:
		why.Reason, why.Detail = LeavePending, e.Attempt.String()
	case e != nil && (!e.SettledAt.Before(others.since) || p == nil || !e.isShown(p)):
		why.Reason, why.Detail = LeaveRenewed, e.Attempt.String()
	case p == nil || t == ProxyTypeIPv6 && p.OrderID != r.OrderID:
		why.Reason = LeaveGone
	case p.End.After(r.End):
		why.Reason = LeaveEndsLater
	default:
		why.Reason = p.hindrance(now)
	}
	return why
}

// isShown reports whether the list may show an extension already: whether the end of a
// proxy is at least a period after the extension was settled, less 36 hours. If the proxy had more than a period
// left before, that cannot be decided.
func (e *Entry) isShown(p *Proxy) bool {
	return !p.End.Before(e.SettledAt.Add(e.Attempt.period() - 36*time.Hour))
}

// extended is the entries of the journal that extended proxies or orders, or may have,
// since a plan or so shortly before it that the list may not show it.
type extended struct {
	since  time.Time
	ids    map[IPAddressID]*Entry
	orders map[OrderID]*Entry
}

func (x *extended) entry(r PlannedRenewal) *Entry {
	if e := x.ids[r.ID]; e != nil || r.OrderID == "" {
		return e
	}
	return x.orders[r.OrderID]
}

// others returns the extensions since the plan.
func (s *spending) others() *extended {
	return extendedBy(s.open, s.part.since(), func(a *Attempt) bool { return s.turn.ledger.watch(a).isOver(a, &s.c.core().config) })
}

// extendedBy returns what entries extended. An open entry concerns all proxies of its
// orders until its patience is over, as their ids may change.
func extendedBy(entries []Entry, since time.Time, isOver func(*Attempt) bool) *extended {
	x := &extended{since, make(map[IPAddressID]*Entry), make(map[OrderID]*Entry)}
	for i := range entries {
		e := &entries[i]
		a := &e.Attempt
		if a.isOrder() || e.State != EntryOpen && (e.State != EntryExecuted || e.SettledAt.Before(lagging(since))) {
			continue
		}
		for _, id := range slices.Concat(a.IPAddressIDs, e.IPAddressIDs, slices.Collect(maps.Keys(a.Before.Ends))) {
			x.ids[id] = e
		}
		orders := slices.Clone(a.OrderIDs)
		if len(orders) > 0 { // a reply may name the orders of ids as well, of which not all was extended
			orders = append(orders, e.OrderIDs...)
		}
		if e.State == EntryOpen && !isOver(a) {
			orders = append(orders, a.Before.Orders...)
		}
		for _, id := range orders {
			x.orders[id] = e
		}
	}
	return x
}
