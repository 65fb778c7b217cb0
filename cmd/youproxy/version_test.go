package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVersion(t *testing.T) {
	platform := " " + runtime.GOOS + "/" + runtime.GOARCH
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "4af09f3b"}
	for want, info := range map[string]*debug.BuildInfo{
		"youproxy v1.2.3, go1.26.1":                                {GoVersion: "go1.26.1", Main: debug.Module{Version: "v1.2.3"}},
		"youproxy v1.2.3, commit 4af09f3b, go1.26.1":               {GoVersion: "go1.26.1", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}},
		"youproxy (devel), commit 4af09f3b with changes, go1.26.1": {GoVersion: "go1.26.1", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, revision}},
		"youproxy (devel), " + runtime.Version():                   {},
	} {
		assert.Equal(t, want+platform, version(info))
	}

	code, stdout, stderr := newSandboxShell(t).run("--version")
	assert.Equal(t, exitDone, code)
	assert.Equal(t, ownVersion()+"\n", stdout)
	assert.Empty(t, stderr)
}
