// Command mutate tests the tests: it breaks the code in one place at a time, and
// lists the places where no test notices. Run it in the root of the module:
//
//	go run ./internal/mutate
//
// The places are chosen at random, equally many in each part of the code; with the
// same code and the same -seed they are the same. All of them are compiled into one test
// binary for each package, and an environment variable says which of them is broken. Each
// test runs once by itself to find out which places it reaches. Then each place is
// broken in turn, and the tests that reach it run, the quickest first.
//
// A place that survives lacks a test, or makes no difference. To see a new test fail, run
// the command again with its number:
//
//	go run ./internal/mutate -only 17 -tests '^TestParseMoney$'
//
// Survivors are to be tried with YOUPROXY_LONG_TESTS=1 as well.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// rooms are the files that are broken.
var rooms = []struct {
	name  string
	files []string
}{
	{"money", []string{"money.go", "plan.go", "planner.go", "verdict.go", "buy.go", "renew.go", "renewall.go"}},
	{"call", []string{"call.go", "transport.go", "envelope.go"}},
	{"journal", []string{
		"journal.go", "attempt.go", "memory.go", "judge.go", "reconcile.go", "pending.go", "turn.go",
		"filejournal/filejournal.go", "filejournal/index.go", "filejournal/compact.go",
	}},
	{"decoder", []string{"decode.go", "listfields.go", "listreader.go", "listvalues.go", "dates.go", "catalogreader.go"}},
}

// packages are those whose code is broken and whose tests run.
var packages = []string{".", "filejournal"}

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 100, "how many places are broken")
	seed := flag.Uint64("seed", 1, "which places are chosen")
	only := flag.String("only", "", "numbers of places, such as 17,23: only these are broken")
	testsNamed := flag.String("tests", "^(Test|Fuzz|Example)", "a pattern of the tests that run")
	workers := flag.Int("workers", 2, "how many tests run at the same time")
	flag.Parse()
	if err := run(*n, *seed, *only, *testsNamed, *workers); err != nil {
		log.Fatal("mutate: ", err)
	}
}

func run(n int, seed uint64, only, pattern string, workers int) error {
	dir, err := os.MkdirTemp("", "mutate-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	all, err := load(packages)
	if err != nil {
		return err
	}
	chosen, total, err := choose(all, n, seed)
	if err != nil {
		return err
	}
	fmt.Printf("%d of %d mutants, seed %d\n", len(chosen), total, seed)
	binaries, err := build(dir, all, chosen)
	if err != nil {
		return err
	}
	tests, err := listTests(binaries, pattern)
	if err != nil {
		return err
	}
	broken, err := pick(chosen, only)
	if err != nil {
		return err
	}
	reach(dir, tests, workers)
	results := make([]result, len(broken))
	inParallel(workers, len(broken), func(i int) {
		results[i] = test(broken[i], tests)
		fmt.Println(results[i])
	})
	summarize(results)
	return nil
}

// choose returns n mutants that do not overlap, equally many of each room, and how many
// there are to choose from.
func choose(all []*source, n int, seed uint64) (chosen []mutant, total int, err error) {
	for i, room := range rooms {
		var found []mutant
		files := 0
		for _, s := range all {
			if slices.Contains(room.files, s.name) {
				found = append(found, s.mutants()...)
				files++
			}
		}
		if files < len(room.files) {
			return nil, 0, fmt.Errorf("not all files of the room %s are there: correct its list", room.name)
		}
		total += len(found)
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
		var kept []mutant
		for _, m := range found {
			if len(kept) < (n+len(rooms)-1-i)/len(rooms) && !slices.ContainsFunc(kept, m.overlaps) {
				m.room = room.name
				kept = append(kept, m)
			}
		}
		chosen = append(chosen, kept...)
	}
	slices.SortStableFunc(chosen, mutant.compare)
	for i := range chosen {
		chosen[i].number = i + 1
	}
	return chosen, total, nil
}

// pick returns the mutants with the numbers of a list, or all.
func pick(chosen []mutant, only string) (picked []mutant, err error) {
	if only == "" {
		return chosen, nil
	}
	for s := range strings.SplitSeq(only, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > len(chosen) {
			return nil, errors.New("-only takes numbers of mutants, such as 17,23")
		}
		picked = append(picked, chosen[n-1])
	}
	return picked, nil
}

// summarize prints the survivors, and how many there are in each room.
func summarize(results []result) {
	type count struct{ all, killed int }
	counts := make(map[string]count)
	fmt.Println("\nsurvivors:")
	for _, r := range results {
		c, sum := counts[r.room], counts["all"]
		c.all++
		sum.all++
		if r.killer != "" {
			c.killed++
			sum.killed++
		} else {
			fmt.Println(r)
		}
		counts[r.room], counts["all"] = c, sum
	}
	fmt.Printf("\n%-10s %8s %8s %8s\n", "room", "mutants", "killed", "survived")
	for _, room := range slices.Sorted(maps.Keys(counts)) {
		if c := counts[room]; room != "all" {
			fmt.Printf("%-10s %8d %8d %8d\n", room, c.all, c.killed, c.all-c.killed)
		}
	}
	c := counts["all"]
	fmt.Printf("%-10s %8d %8d %8d\n", "all", c.all, c.killed, c.all-c.killed)
}
