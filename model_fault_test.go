package youproxy_test

import (
	"math/rand/v2"

	"github.com/youproxy-go/youproxy/youproxytest"
)

// modelFault is what befalls a request that spends.
type modelFault struct {
	name   string
	inject youproxytest.Fault
	refuse int  // a code of the service
	hangs  bool // the client hears of nothing until it gives up
}

const hanging = ", after hanging"

// modelFaults is every fault, the first of which is none.
func modelFaults() []modelFault {
	list := []modelFault{{name: "none"}, {name: "refused", refuse: 11}}
	for _, f := range youproxytest.Faults() {
		list = append(list, modelFault{name: f.String(), inject: f})
		if f == youproxytest.DropBeforeCommit || f == youproxytest.CommitLate {
			list = append(list, modelFault{name: f.String() + hanging, inject: f, hangs: true})
		}
	}
	return list
}

// isPartial reports whether only a part is executed.
func (f modelFault) isPartial() bool {
	return f.inject == youproxytest.PartialExtension || f.inject == youproxytest.PartialExtensionDropped
}

// isDenial reports whether the service denies what it executed, by a documented code. Only
// the balance beside the code tells.
func (f modelFault) isDenial() bool {
	return f.inject == youproxytest.RefusedAfterCommit || f.inject == youproxytest.ServiceFault.AfterCommit()
}

// modelShape is a shape of the list, with what it keeps silent about.
type modelShape struct {
	name  string
	shape youproxytest.ListShape

	noNumber, noStart, noCountry, noOrderID, noEnd, wholeMinutes bool
}

func modelShapes() []modelShape {
	without := func(names ...string) youproxytest.ListShape {
		extra := make(map[string]any)
		for _, name := range names {
			extra[name] = nil
		}
		return youproxytest.ListShape{Extra: extra}
	}
	sparse := without("orderNumber", "dateStart")
	sparse.Flat, sparse.Sparse, sparse.NumericIDs, sparse.PortInIP = true, true, true, true
	shapes := []modelShape{
		{name: "flat", shape: youproxytest.ListShape{Flat: true, Sparse: true, NumericIDs: true}},
		{name: "orders", shape: youproxytest.ListShape{Orders: true}},
		{name: "short orders", shape: youproxytest.ListShape{Orders: true, OrdersKey: "list", ShortNames: true, Sparse: true, NumericIDs: true}},
		{name: "whole minutes", shape: youproxytest.ListShape{DateLayout: "2006-01-02T15:04:00Z07:00"}, wholeMinutes: true},
		{name: "no numbers", shape: without("orderNumber"), noNumber: true},
		{name: "no starts", shape: without("dateStart"), noStart: true},
		{name: "no countries", shape: without("country"), noCountry: true},
		{name: "country names", shape: youproxytest.ListShape{Extra: map[string]any{"country": "Somewhere"}}, noCountry: true},
		{name: "no numbers, no starts", shape: sparse, noNumber: true, noStart: true},
		{name: "no order ids", shape: without("orderId"), noOrderID: true},
		{name: "no ends", shape: without("dateEnd"), noEnd: true},
	}
	for range 16 {
		shapes = append(shapes, modelShape{name: "documented"})
	}
	return shapes
}

// faultFor draws a fault that a wish can meet.
func (w *modelWorld) faultFor(rng *rand.Rand, i *modelWish) modelFault {
	f := pick(rng, modelFaults())
	if w.kind == kindCrash && rng.IntN(4) == 0 {
		f = modelFault{name: youproxytest.CommitLate.String(), inject: youproxytest.CommitLate}
	}
	switch {
	case rng.IntN(8) == 0, f.isPartial() && i.order != nil,
		// Only the balance could tell: see docs/spending.md.
		f.isDenial() && (w.noBalances || i.plain || w.hasOthers || i.promo == "FREE"):
		return modelFaults()[0]
	case f.inject == youproxytest.CommitLate && w.hangs:
		return modelFault{name: f.inject.String() + hanging, inject: f.inject, hangs: true}
	}
	return f
}

// disturb draws what else happens.
func (w *modelWorld) disturb(rng *rand.Rand) {
	switch w.kind {
	case kindReads:
		for range 1 + rng.IntN(4) {
			w.readFaults[rng.IntN(20)] = pick(rng, youproxytest.Faults())
		}
	case kindJournal:
		for range 1 + rng.IntN(3) {
			w.recordFaults[rng.IntN(6)] = pick(rng, []string{modelRecordFails, recordFailsWritten, recordHangs})
		}
	case kindOthers:
		n := rng.IntN(4)
		if w.ending != "" {
			n -= 2
		}
		for ; n > 0 || len(w.acts) == 0 && w.ending == ""; n-- {
			w.acts = append(w.acts, newModelAct(rng))
		}
	case kindCrash:
		for _, slot := range w.slots {
			for range 1 + rng.IntN(3) {
				slot.crashes = append(slot.crashes, newModelCrash(rng))
			}
		}
		if w.hasOthers {
			w.acts = append(w.acts, newModelAct(rng))
		}
	}
}
