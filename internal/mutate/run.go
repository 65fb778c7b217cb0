package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A testCase is a test function, and the mutants that it reaches.
type testCase struct {
	name    string
	binary  binary
	reached []string
	took    time.Duration
}

func listTests(binaries []binary, pattern string) (all []*testCase, err error) {
	for _, b := range binaries {
		out, err := output(b.path, "-test.list", pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(string(out)) {
			all = append(all, &testCase{name: name, binary: b})
		}
	}
	return all, nil
}

// reach runs each test by itself, and notes which mutants it reaches. A test that fails
// although nothing is broken is left out.
func reach(dir string, tests []*testCase, workers int) {
	inParallel(workers, len(tests), func(i int) {
		t, file := tests[i], filepath.Join(dir, fmt.Sprintf("%d.reached", i))
		if err := writable(file); err != nil {
			fmt.Println(err)
			return
		}
		start := time.Now()
		if out, err := t.binary.run([]*testCase{t}, 10*time.Minute, "MUTANTS_REACHED="+file); err != nil {
			fmt.Printf("left out: %s, which fails as it is: %s\n", t.name, short(out))
			return
		}
		t.took = time.Since(start)
		numbers, err := os.ReadFile(file)
		if err != nil {
			fmt.Println(err)
		}
		t.reached = strings.Fields(string(numbers))
	})
	slices.SortStableFunc(tests, func(a, b *testCase) int { return cmp.Compare(a.took, b.took) })
}

// writable creates a file that any user may write: some tests run as another one.
func writable(file string) error {
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	return errors.Join(os.Chmod(file, 0o666), os.Chmod(filepath.Dir(file), 0o755))
}

// run runs tests. A broken loop that eats memory ends at 6 GB.
func (b binary) run(tests []*testCase, timeout time.Duration, env string) (string, error) {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v 6000000; exec "$0" "$@"`, b.path,
		"-test.run", "^("+strings.Join(names, "|")+")$", "-test.failfast", "-test.timeout", timeout.String())
	cmd.Dir, cmd.Env, cmd.WaitDelay = b.dir, append(os.Environ(), env), 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A result says what killed a mutant, if anything did.
type result struct {
	mutant
	killer string
	tests  int // that reach it
}

func (r result) String() string {
	if r.killer == "" {
		return fmt.Sprintf("SURVIVED %s (%d tests reach it)", r.mutant, r.tests)
	}
	return fmt.Sprintf("killed   %s (%s)", r.mutant, r.killer)
}

// steps are how long a test may take to run in each round.
var steps = []time.Duration{200 * time.Millisecond, 3 * time.Second, time.Hour}

// test runs the tests that reach a mutant, until one fails.
func test(m mutant, tests []*testCase) result {
	r := result{mutant: m}
	rounds := make([]map[binary][]*testCase, len(steps))
	took := make([]time.Duration, len(steps))
	for _, t := range tests {
		if slices.Contains(t.reached, fmt.Sprint(m.number)) {
			i := slices.IndexFunc(steps, func(d time.Duration) bool { return t.took <= d })
			if rounds[i] == nil {
				rounds[i] = make(map[binary][]*testCase)
			}
			rounds[i][t.binary] = append(rounds[i][t.binary], t)
			took[i] += t.took
			r.tests++
		}
	}
	for i, round := range rounds {
		for b, reaching := range round {
			out, err := b.run(reaching, time.Minute+3*took[i], fmt.Sprintf("MUTANT=%d", m.number))
			if err != nil {
				r.killer = reason(out, err)
				return r
			}
		}
	}
	return r
}

var (
	failed = regexp.MustCompile(`--- FAIL: (\S+)`)
	panics = regexp.MustCompile(`(?m)^(panic|fatal error): .*`)
)

// reason returns the first test that failed, or how the tests ended.
func reason(out string, err error) string {
	if found := panics.FindString(out); found != "" {
		return short(found)
	}
	if found := failed.FindStringSubmatch(out); found != nil {
		return found[1]
	}
	return err.Error()
}

// inParallel calls do with 0 to n-1, some at the same time.
func inParallel(workers, n int, do func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
