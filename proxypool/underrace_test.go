//go:build race

package proxypool_test

// underRace says whether the race detector is on, which takes memory.
const underRace = true
