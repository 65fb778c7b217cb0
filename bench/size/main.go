// Size builds programs that place the same order in different ways, each with an empty
// build cache, and prints how large they are and how long that took. It then prints which
// packages the code belongs to that the SDK adds.
//
//	go run ./size
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var programs = []string{"empty", "nethttp", "byhand", "oapi", "resty", "sdk"}

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 1, "cold builds of each program, the median of which is printed; 0 for none")
	packages := flag.Int("packages", 15, "packages of the SDK's growth that are printed")
	flag.Parse()
	folder, err := os.MkdirTemp("", "size")
	if err != nil {
		log.Fatal(err)
	}
	err = printAll(folder, *rounds, *packages)
	if removed := os.RemoveAll(folder); err == nil {
		err = removed
	}
	if err != nil {
		log.Fatal(err)
	}
}

func printAll(folder string, rounds, packages int) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(w, "program\tKB\tstripped KB\tcold build\tits CPU time\t\n")
	took, err := coldBuilds(folder, rounds)
	if err != nil {
		return err
	}
	for _, program := range programs {
		whole, err := build(folder, program)
		if err != nil {
			return err
		}
		stripped, err := build(folder, program, "-ldflags=-s -w")
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.1f s\t%.1f s\t\n", program, whole/1000, stripped/1000, took[program].clock.Seconds(), took[program].cpu.Seconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printGrowth(folder, packages)
}

// effort is what a build takes.
type effort struct{ clock, cpu time.Duration }

// coldBuilds returns what it takes to build each program with an empty build cache: the
// medians of the rounds.
func coldBuilds(folder string, rounds int) (map[string]effort, error) {
	clock, cpu := make(map[string][]time.Duration), make(map[string][]time.Duration)
	for range rounds {
		for _, program := range programs {
			cache, err := os.MkdirTemp(folder, "cache")
			if err != nil {
				return nil, err
			}
			e, err := goBuild(filepath.Join(folder, program), program, "GOCACHE="+cache)
			if err != nil {
				return nil, err
			}
			clock[program], cpu[program] = append(clock[program], e.clock), append(cpu[program], e.cpu)
			if err := os.RemoveAll(cache); err != nil {
				return nil, err
			}
		}
	}
	medians := make(map[string]effort)
	for program := range clock {
		slices.Sort(clock[program])
		slices.Sort(cpu[program])
		medians[program] = effort{clock[program][rounds/2], cpu[program][rounds/2]}
	}
	return medians, nil
}

// build builds a program and returns its size in bytes.
func build(folder, program string, flags ...string) (int64, error) {
	to := filepath.Join(folder, program)
	if _, err := goBuild(to, program, "", flags...); err != nil {
		return 0, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func goBuild(to, program, env string, flags ...string) (effort, error) {
	args := append(append([]string{"build", "-o", to}, flags...), "github.com/youproxy-go/youproxy/bench/programs/"+program)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env)
	started := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return effort{}, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return effort{time.Since(started), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// printGrowth prints the packages whose code and data are larger in the program with the
// SDK than in the one made by hand.
func printGrowth(folder string, most int) error {
	sizes := make(map[string]map[string]int)
	for _, program := range []string{"byhand", "sdk"} {
		if _, err := build(folder, program); err != nil {
			return err
		}
		out, err := exec.Command("go", "tool", "nm", "-size", filepath.Join(folder, program)).Output()
		if err != nil {
			return fmt.Errorf("go tool nm: %w", err)
		}
		sizes[program] = byPackage(out)
	}
	growth := make(map[string]int)
	for name, size := range sizes["sdk"] {
		growth[name] = size - sizes["byhand"][name]
	}
	names := slices.SortedFunc(maps.Keys(growth), func(a, b string) int { return cmp.Compare(growth[b], growth[a]) })
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(w, "\ncode that sdk has more than byhand\tKB\t\n")
	for _, name := range names[:min(most, len(names))] {
		_, _ = fmt.Fprintf(w, "%s\t%d\t\n", name, growth[name]/1000)
	}
	return w.Flush()
}

// owner matches the package at the start of a symbol's name.
var owner = regexp.MustCompile(`^((?:[\w.~-]+/)*[\w~-]+(?:\.v\d+)?)\.`)

// byPackage sums the sizes of the functions that go tool nm lists up by package.
func byPackage(list []byte) map[string]int {
	sizes := make(map[string]int)
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // address, size, kind, name
		if len(fields) < 4 || !strings.EqualFold(fields[2], "T") {
			continue
		}
		size, err := strconv.Atoi(fields[1])
		if match := owner.FindStringSubmatch(fields[3]); err == nil && match != nil {
			sizes[match[1]] += size
		}
	}
	return sizes
}
