package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGrowth bounds what the SDK adds to a program that placed its orders by hand. A
// sudden growth mostly means that something keeps code alive that is not called, as a
// template does that calls methods by name.
func TestGrowth(t *testing.T) {
	folder := t.TempDir()
	byHand, err := build(folder, "byhand", "-ldflags=-s -w")
	require.NoError(t, err)
	bySDK, err := build(folder, "sdk", "-ldflags=-s -w")
	require.NoError(t, err)
	t.Logf("by hand %d KB, by SDK %d KB", byHand/1000, bySDK/1000)
	assert.Less(t, (bySDK-byHand)/1000, int64(2000))
}

func TestByPackage(t *testing.T) {
	assert.Equal(t, map[string]int{"net/http": 30, "github.com/a/b": 5, "gopkg.in/yaml.v3": 7}, byPackage([]byte(`
  401000         10 T net/http.(*Client).Do
  401010         20 t net/http.Get
  401020          5 T github.com/a/b.Generic[go.shape.struct { c/d.e string }]
  401030          7 T gopkg.in/yaml.v3.Marshal
  501000        900 R net/http.table
  601000         10 T _rt0_amd64
`)))
}
