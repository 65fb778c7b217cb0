package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPathsThatAreNoFile(t *testing.T) {
	for name, test := range map[string]struct {
		path func(t *testing.T, folder string) string
		want string
	}{
		"a folder": {func(_ *testing.T, folder string) string { return folder }, "is a folder: name a file"},
		"a folder that is missing": {func(_ *testing.T, folder string) string {
			return filepath.Join(folder, "missing", "list.txt")
		}, "no file can be made in the folder "},
		"a file as a folder": {func(t *testing.T, folder string) string {
			require.NoError(t, os.WriteFile(filepath.Join(folder, "file"), nil, 0o600))
			return filepath.Join(folder, "file", "list.txt")
		}, "file"},
		"a link to nothing": {func(t *testing.T, folder string) string {
			link := filepath.Join(folder, "link")
			if err := os.Symlink(filepath.Join(folder, "gone"), link); err != nil {
				t.Skip(err)
			}
			return link
		}, "is a link to what is not there"},
		"a link to itself": {func(t *testing.T, folder string) string {
			link := filepath.Join(folder, "link")
			if err := os.Symlink(link, link); err != nil {
				t.Skip(err)
			}
			return link
		}, "link"},
		"a socket": {func(t *testing.T, folder string) string {
			t.Chdir(folder) // its path must be short
			listener, err := net.Listen("unix", "socket")
			if err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			return "socket"
		}, "socket is not a file that can be replaced"},
		"a folder that is read-only": {func(t *testing.T, folder string) string {
			if runtime.GOOS == "windows" || os.Geteuid() == 0 {
				t.Skip("it is not for this user")
			}
			require.NoError(t, os.Chmod(folder, 0o500))
			t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
			return filepath.Join(folder, "list.txt")
		}, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			folder := t.TempDir()
			path := test.path(t, folder)
			before := filesIn(t, folder)

			code, stdout, stderr := s.run("export", "--file", path)

			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "nothing was written to "+path+"\n")
			assert.Empty(t, s.Requests(), "it is known before the list is asked for")
			assert.Equal(t, before, filesIn(t, folder))
		})
	}
}
