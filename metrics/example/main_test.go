package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOutput(t *testing.T) {
	want, err := os.ReadFile("testdata/output.txt")
	require.NoError(t, err)
	got, err := exec.CommandContext(t.Context(), "go", "run", ".").Output()
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}
