package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/youproxytest"
)

const oldList = "the list of yesterday\n"

// folderWith returns a folder with one file, which everybody may read.
func folderWith(t *testing.T, name string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(oldList), 0o644))
	require.NoError(t, os.Chmod(path, 0o644)) // whatever the umask is
	return path
}

func filesIn(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}

// checkPrivate makes sure that only its owner may read a file.
func checkPrivate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // it has no such modes
		assert.Equal(t, fs.FileMode(0o600), info.Mode())
	}
}

func TestAFile(t *testing.T) {
	for name, path := range map[string]func(t *testing.T) string{
		"new":                          func(t *testing.T) string { return filepath.Join(t.TempDir(), "list.txt") },
		"that everybody could read":    func(t *testing.T) string { return folderWith(t, "list.txt") },
		"with an odd name":             func(t *testing.T) string { return folderWith(t, "list *.txt") },
		"with the longest of names":    func(t *testing.T) string { return folderWith(t, strings.Repeat("l", 255)) },
		"in the folder of the program": func(t *testing.T) string { t.Chdir(t.TempDir()); return "list.txt" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			s.fill()
			path := path(t)

			code, stdout, stderr := s.run("export", "--file", path)

			require.Equal(t, 0, code, stderr)
			assert.Empty(t, stdout)
			assert.Equal(t, "written to "+path+": 5 proxies\n", stderr)
			assert.Equal(t, s.urls(), contentOf(t, path))
			checkPrivate(t, path)
			assert.Equal(t, []string{filepath.Base(path)}, filesIn(t, filepath.Dir(path)))
		})
	}
}

func TestAnEmptyListReplacesAFile(t *testing.T) {
	s := newShell(t)
	path := folderWith(t, "list.txt")
	code, _, stderr := s.run("export", "--file", path)
	assert.Equal(t, 0, code)
	assert.Equal(t, "there are no proxies\nwritten to "+path+": 0 proxies\n", stderr)
	assert.Empty(t, contentOf(t, path))
}

func TestStdoutByName(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newShell(t)
	s.fill()
	code, stdout, stderr := s.run("export", "--file", "-")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, s.urls(), stdout)
	assert.Empty(t, filesIn(t, "."))
}

func TestALinkStays(t *testing.T) {
	s := newShell(t)
	s.fill()
	path := folderWith(t, "list.txt")
	link := filepath.Join(t.TempDir(), "link.txt")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	code, _, stderr := s.run("export", "--file", link)
	require.Equal(t, 0, code, stderr)
	leadsTo, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, path, leadsTo)
	assert.Equal(t, s.urls(), contentOf(t, path))
	checkPrivate(t, path)
	assert.Len(t, filesIn(t, filepath.Dir(link)), 1)
}

// TestUntilTheListIsWhole looks at the folder while the list is asked for.
func TestUntilTheListIsWhole(t *testing.T) {
	path := folderWith(t, "list.txt")
	s := newShell(t)
	s.fill()
	s.inFrontOf(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, oldList, contentOf(t, path))
		list := filesIn(t, filepath.Dir(path))
		if assert.Len(t, list, 2) {
			checkPrivate(t, filepath.Join(filepath.Dir(path), list[0]))
		}
		s.ServeHTTP(w, r)
	})
	code, _, stderr := s.run("export", "--file", path)
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, s.urls(), contentOf(t, path))
}

// broken is a file on a disk that fails.
type broken struct {
	tempFile

	write, chmod, sync, close error
	name                      string
}

func (b *broken) Write(p []byte) (int, error) {
	if b.write != nil {
		n, _ := b.tempFile.Write(p[:len(p)/2])
		return n, b.write
	}
	return b.tempFile.Write(p)
}

func (b *broken) Chmod(mode fs.FileMode) error { return errors.Join(b.tempFile.Chmod(mode), b.chmod) }
func (b *broken) Sync() error                  { return errors.Join(b.tempFile.Sync(), b.sync) }
func (b *broken) Close() error                 { return errors.Join(b.tempFile.Close(), b.close) }

func (b *broken) Name() string {
	if b.name != "" {
		return b.name
	}
	return b.tempFile.Name()
}

// onDisk makes the program write to a disk that fails.
func onDisk(t *testing.T, b broken) {
	t.Helper()
	was := createTemp
	t.Cleanup(func() { createTemp = was })
	createTemp = func(folder string) (tempFile, error) {
		file, err := was(folder)
		b.tempFile = file
		return &b, err
	}
}

var errDisk = errors.New("the disk fails")

func TestTheOldFileStays(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		spoil func(t *testing.T, s *shell, cancel func())
		want  string
	}{
		"the list breaks off": {spoil: func(_ *testing.T, s *shell, _ func()) {
			s.Inject("GET /ipAddress", youproxytest.Truncated)
		}, want: "unexpected EOF"},
		"a refusal": {spoil: func(_ *testing.T, s *shell, _ func()) {
			s.Refuse("GET /ipAddress", 2)
		}, want: "Error api key"},
		"none is usable": {args: []string{"--scheme", "http", "--type", "IPv6"}, want: "none of 2 proxies can be written in the layout URL"},
		"a template":     {args: []string{"--format", "{{.Hosst}}"}, want: "can't evaluate field"},
		"cancelled before the answer": {spoil: func(_ *testing.T, s *shell, cancel func()) {
			s.inFrontOf(func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				<-r.Context().Done()
			})
		}, want: "interrupted"},
		"cancelled after the last proxy": {spoil: func(t *testing.T, _ *shell, cancel func()) {
			was := createTemp
			t.Cleanup(func() { createTemp = was })
			createTemp = func(folder string) (tempFile, error) {
				file, err := was(folder)
				return cancelling{file, cancel}, err
			}
		}, want: "interrupted"},
		"no space":  {spoil: func(t *testing.T, _ *shell, _ func()) { onDisk(t, broken{write: errDisk}) }, want: "the disk fails"},
		"no mode":   {spoil: func(t *testing.T, _ *shell, _ func()) { onDisk(t, broken{chmod: errDisk}) }, want: "the disk fails"},
		"not saved": {spoil: func(t *testing.T, _ *shell, _ func()) { onDisk(t, broken{sync: errDisk}) }, want: "the disk fails"},
		"not saved as it is closed": {spoil: func(t *testing.T, _ *shell, _ func()) {
			onDisk(t, broken{close: errDisk})
		}, want: "the disk fails"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			path := folderWith(t, "list.txt")
			s := newShell(t)
			s.fill()
			if test.spoil != nil {
				test.spoil(t, s, cancel)
			}

			code, stdout, stderr := s.runContext(ctx, append([]string{"export", "--file", path}, test.args...)...)

			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "\nnothing was written to "+path+"\n")
			assert.Equal(t, oldList, contentOf(t, path))
			assert.Equal(t, []string{"list.txt"}, filesIn(t, filepath.Dir(path)))
		})
	}
}

// cancelling cancels the run once the list is written.
type cancelling struct {
	tempFile

	cancel func()
}

func (c cancelling) Sync() error {
	c.cancel()
	return c.tempFile.Sync()
}

// TestAFileThatCannotTakeItsPlace finds a folder where none was.
func TestAFileThatCannotTakeItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	s := newShell(t)
	s.inFrontOf(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, os.Mkdir(path, 0o700))
		s.ServeHTTP(w, r)
	})
	code, _, stderr := s.run("export", "--file", path)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "youproxy: rename ")
	assert.Equal(t, []string{"list.txt"}, filesIn(t, filepath.Dir(path)))
}

func TestAFileThatCannotBeRemovedIsTold(t *testing.T) {
	left := folderWith(t, "file")
	onDisk(t, broken{sync: errDisk, name: filepath.Dir(left)}) // a folder that is not empty stays
	s := newShell(t)
	s.fill()
	code, _, stderr := s.run("export", "--file", filepath.Join(t.TempDir(), "list.txt"))
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "youproxy: the disk fails\nremove "+filepath.Dir(left)+", it holds passwords: ")
}

func TestAFileThatCannotBeMade(t *testing.T) {
	was := createTemp
	t.Cleanup(func() { createTemp = was })
	createTemp = func(string) (tempFile, error) { return nil, errDisk }
	s := newShell(t)
	code, _, stderr := s.run("export", "--file", folderWith(t, "list.txt"))
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, ": the disk fails\n")
	assert.Empty(t, s.Requests())
}

func TestPathsThatAreNoFile(t *testing.T) {
	for name, test := range map[string]struct {
		path func(t *testing.T, folder string) string
		want string
	}{
		"a folder": {func(_ *testing.T, folder string) string { return folder }, "is a folder: name a file"},
		"a folder that is missing": {func(_ *testing.T, folder string) string {
			return filepath.Join(folder, "missing", "list.txt")
		}, "no file can be created in the folder "},
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
		}, "is a link to a file that does not exist"},
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
