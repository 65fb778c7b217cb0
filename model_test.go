package youproxy_test

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// longModelRuns is what the table of the documentation counts.
const longModelRuns = 3000

var (
	modelRuns = flag.Int("model.runs", 0, "how many random runs TestModel makes; 0 for as many as is usual")
	modelSeed = flag.Uint64("model.seed", 0, "the only random run that TestModel makes; 0 for all")
)

// TestModel lets random processes buy and renew in random accounts with one journal, while
// faults befall them, processes end, and others buy. It holds all that the package says of
// a purchase against what the service has in its books when all is over.
func TestModel(t *testing.T) {
	first, runs := uint64(1), *modelRuns
	switch {
	case *modelSeed != 0:
		first, runs = *modelSeed, 1
	case runs == 0 && isRaceDetected():
		runs = size(1000, 100, 50) // the same as the first of all runs
	case runs == 0:
		runs = size(longModelRuns, 100, 100)
	}
	var table modelTable
	var failed atomic.Int32
	shards := runtime.GOMAXPROCS(0)
	t.Run("runs", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for n := shard; n < runs && failed.Load() < 5; n += shards {
					seed := first + uint64(n)
					var wrong []string
					var story string
					synctest.Test(t, func(*testing.T) {
						w := newModelWorld(seed)
						w.run()
						w.check()
						table.add(w)
						if wrong = w.wrong; len(wrong) > 0 || *modelSeed != 0 {
							story = w.story()
						}
					})
					if len(wrong) > 0 {
						failed.Add(1)
						t.Errorf("go test -run Model -model.seed %d\n%s\n%s", seed, strings.Join(wrong, "\n"), story)
					} else if story != "" {
						t.Log(story)
					}
				}
			})
		}
	})
	t.Logf("%d runs, misled in %v\n%s", runs, table.misled, &table)
	if t.Failed() || *modelSeed != 0 {
		return
	}
	assert.LessOrEqual(t, table.alone.undetermined*20, table.alone.runs, "undetermined with a single fault and nothing else")
	assert.Equal(t, table.untold, table.alone.undetermined-table.alone.settled, "still undetermined, where the service tells enough")
	if runs != longModelRuns {
		return
	}
	assert.Len(t, table.misled, 1, "verdicts that are excused, as docs/spending.md says")
	inDocs(t, "docs/spending.md", "<!-- model: written by YOUPROXY_LONG_TESTS=1 go test -run TestModel . -update -->\n", table.String(), "<!-- end of model -->")
}

// modelTable counts how the runs ended.
type modelTable struct {
	mu     sync.Mutex
	rows   map[string]*modelRow
	misled []uint64
	alone  modelRow
	untold int // of these, undetermined in the end, and the service tells too little
}

type modelRow struct{ runs, executed, notExecuted, undetermined, settled int }

const (
	modelGuards = "it is stopped before it is sent"
	modelAgain  = "it is tried again"
	modelPlain  = "a plain call"
	modelBlind  = "the balance cannot show it: it is free, or not charged as quoted"
)

// modelRows names the rows of what happens beside the faults.
var modelRows = map[modelKind]string{
	kindFleet:   "several purchases at once",
	kindCaller:  "the caller's context ends",
	kindReads:   "calls that read fail",
	kindCache:   "a cache answers",
	kindOthers:  "others buy and pay in meanwhile",
	kindJournal: "the journal fails",
	kindCrash:   "processes end, or lose the lock",
}

func (t *modelTable) add(w *modelWorld) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.misled > 0 {
		t.misled = append(t.misled, w.seed)
	}
	for _, i := range w.wishes {
		if len(i.sends) == 0 {
			t.row(modelGuards).add(modelNotExecuted, modelNotExecuted)
		}
	}
	for _, s := range w.sends {
		name := s.fault.name
		switch {
		case s.wish.plain:
			name = modelPlain
		case s.nth > 0:
			name = modelAgain
		case w.kind != kindAlone:
			name = modelRows[w.kind]
		case w.isBlind(s):
			name = modelBlind
		}
		last := w.last(s)
		first := s.first
		if first == "" { // the process ended
			first = last
		}
		t.row(name).add(first, last)
		if name != s.fault.name || name == modelFaults()[0].name || s.fault.isPartial() {
			continue
		}
		t.alone.add(first, last)
		if d := w.deed(s); last == modelUndetermined && !w.isShown(s, &d) {
			t.untold++
		}
	}
}

func (t *modelTable) row(name string) *modelRow {
	if t.rows == nil {
		t.rows = make(map[string]*modelRow)
	}
	if t.rows[name] == nil {
		t.rows[name] = new(modelRow)
	}
	return t.rows[name]
}

func (r *modelRow) add(first, last string) {
	r.runs++
	switch first {
	case modelExecuted:
		r.executed++
	case modelNotExecuted:
		r.notExecuted++
	default:
		r.undetermined++
		if last != modelUndetermined {
			r.settled++
		}
	}
}

// String gives the table in Markdown.
func (t *modelTable) String() string {
	var b strings.Builder
	b.WriteString("| What happens | Purchases | Executed | Not executed | Undetermined | Settled by `Recover` an hour later |\n|---|---|---|---|---|---|\n")
	line := func(name string, row *modelRow) {
		if row != nil {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d (%.1f %%) | %d |\n", name, row.runs, row.executed, row.notExecuted,
				row.undetermined, 100*float64(row.undetermined)/float64(row.runs), row.settled)
		}
	}
	for n, f := range modelFaults() {
		name := f.name
		if fault, rest, _ := strings.Cut(name, ","); n > 1 {
			name = strings.TrimSuffix("`"+fault+"`,"+rest, ",")
		} else if n == 0 {
			name = "nothing"
		}
		line(name, t.rows[f.name])
	}
	line("a single fault, together, but for partial ones", &t.alone)
	for kind := kindFleet; kind <= kindCrash; kind++ {
		line(modelRows[kind], t.rows[modelRows[kind]])
	}
	for _, name := range []string{modelBlind, modelAgain, modelPlain, modelGuards} {
		line(name, t.rows[name])
	}
	return b.String()
}
