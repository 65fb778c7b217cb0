//go:build unix

package filejournal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// room lets the files of this process grow to a size. Beyond it a write is cut
// short, as on a full disk.
func room(bytes int64) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	set(&limit.Cur, bytes)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// set sets a number whose type depends on the system.
func set[T int64 | uint64](n *T, to int64) { *n = T(to) }

// diskFull records where there is room for a part of the entry only.
func diskFull(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	unlock, err := j.Lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, left := range []int64{0, 1, 100} {
		if err := room(int64(len(before)) + left); err != nil {
			return err
		}
		err := j.Record(context.Background(), entry("b"))
		if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "free some disk space") {
			return fmt.Errorf("with room for %d bytes: %w", left, err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if string(after) != string(before) {
			return fmt.Errorf("with room for %d bytes: the file has changed", left)
		}
	}
	if err := room(1 << 20); err != nil {
		return err
	}
	return j.Record(context.Background(), entry("c"))
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	j := open(t, path)
	put(t, j, entry("a"))
	cmd, _, output := start(t, "disk full", path)
	for output.Scan() {
		t.Error(output.Text())
	}
	require.NoError(t, cmd.Wait())
	assert.Equal(t, "a c", ids(t, j))
	put(t, j, entry("d"))
	assert.Equal(t, "a c d", ids(t, open(t, path)))
}

// compactOnFullDisk compacts where there is no room for the new file.
func compactOnFullDisk(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	if err := room(10_000); err != nil {
		return err
	}
	if err := j.compact(time.Now()); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("compaction: %w", err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the new file was left behind: %w", err)
	}
	unlock, err := j.Lock(context.Background()) // tries again
	if err != nil {
		return err
	}
	defer unlock()
	if err := room(1 << 20); err != nil {
		return err
	}
	return j.Record(context.Background(), entry("c"))
}

// Where there is no room for compaction, the journal works on.
func TestFullDiskDuringCompaction(t *testing.T) {
	t.Parallel()
	path, _ := wasteful(t)
	before := content(t, path)
	cmd, _, output := start(t, "compact on a full disk", path)
	for output.Scan() {
		t.Error(output.Text())
	}
	require.NoError(t, cmd.Wait())
	assert.True(t, strings.HasPrefix(content(t, path), before))
	assert.Equal(t, "a b c", ids(t, open(t, path)))
}

// Somebody may have put a link where the new file is to be written.
func TestCompactionFollowsNoLink(t *testing.T) {
	t.Parallel()
	path, entries := wasteful(t)
	precious := newPath(t)
	write(t, precious, "precious")
	require.NoError(t, os.Chmod(precious, 0o640))
	require.NoError(t, os.Symlink(precious, path+".new"))
	put(t, open(t, path))
	assert.Equal(t, lines(t, entries...), content(t, path))
	assert.Equal(t, "precious", content(t, precious))
	info, err := os.Stat(precious)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

// noAccess tells what Open says to a user who may not do all that is needed.
func noAccess(path string) error {
	if os.Getuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	_, err := Open(path)
	return err
}

func TestNoAccess(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "filejournal") // its parent is open to all users
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = os.Chmod(folder, 0o700)
		_ = os.RemoveAll(folder)
	})
	file, hidden := filepath.Join(folder, "journal"), filepath.Join(folder, "hidden")
	write(t, file, "")
	require.NoError(t, os.Mkdir(hidden, 0))
	require.NoError(t, os.Chmod(folder, 0o555))
	for _, c := range []struct {
		path string
		mode os.FileMode
		says string
	}{
		{filepath.Join(folder, "new"), 0o666, "new cannot be opened for writing: grant this user write access to it and its folder"},
		{filepath.Join(hidden, "journal"), 0o666, "journal cannot be reached: grant this user access to its folder"},
		{file, 0o222, "journal cannot be opened for writing"},
		{file, 0o444, "journal is read-only: make it writable for this user"},
		{file, 0o666, "the lock file beside " + file + " cannot be opened: grant this user write access to the folder"},
	} {
		require.NoError(t, os.Chmod(file, c.mode))
		cmd, _, output := start(t, "no access", c.path)
		require.True(t, output.Scan(), "Open has no error")
		assert.Contains(t, output.Text(), c.says)
		assert.Contains(t, output.Text(), "filejournal: ")
		assert.Error(t, cmd.Wait())
	}
}

func TestNotARegularFile(t *testing.T) {
	t.Parallel()
	_, err := Open(os.DevNull)
	assert.ErrorContains(t, err, "is not a regular file")
	pipe := newPath(t)
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = Open(pipe)
	assert.ErrorContains(t, err, "is not a regular file")
}

// Those who may use the file can use the compacted one.
func TestCompactionKeepsAccess(t *testing.T) {
	t.Parallel()
	path, _ := wasteful(t)
	require.NoError(t, os.Chmod(path, 0o640))
	owner := os.Getuid()
	if owner == 0 { // for others this is their own file in any case
		owner = 65534
		require.NoError(t, os.Chown(path, owner, owner))
	}
	before, err := os.Stat(path)
	require.NoError(t, err)
	put(t, open(t, path))
	after, err := os.Stat(path)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, after))
	assert.Equal(t, os.FileMode(0o640), after.Mode().Perm())
	assert.EqualValues(t, owner, after.Sys().(*syscall.Stat_t).Uid)
}

// No file stays open but that of the lock.
func TestNothingStaysOpen(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which files are open in /dev/fd")
	}
	path := newPath(t)
	j := open(t, path)
	opened := func() (n int) {
		fds, err := os.ReadDir("/dev/fd")
		require.NoError(t, err)
		for _, fd := range fds {
			if name, err := os.Readlink("/dev/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, path) {
				n++
			}
		}
		return n
	}
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, j.Record(t.Context(), entry("a")))
	assert.Equal(t, 1, opened())
	unlock()
	assert.Equal(t, "a", ids(t, j))
	assert.Zero(t, opened())
}

// What Record has returned nil for must outlive a power failure.
func TestSynced(t *testing.T) {
	t.Parallel()
	path, _ := wasteful(t)
	j, err := Open(path)
	require.NoError(t, err)
	assert.Equal(t, reflect.ValueOf((*os.File).Sync).Pointer(), reflect.ValueOf(j.sync).Pointer())
	var synced []string
	j.sync = func(f *os.File) error {
		synced = append(synced, strings.TrimPrefix(f.Name(), filepath.Dir(path)))
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			assert.True(t, strings.HasSuffix(content(t, f.Name()), "}\n"), "synced before it was written")
		}
		return f.Sync()
	}
	name := "/" + filepath.Base(path)
	put(t, j, entry("c"))
	assert.Equal(t, []string{name + ".new", name, ""}, synced, "compacted and recorded")

	synced = nil
	put(t, j, entry("d"), entry("e"))
	assert.Equal(t, []string{name, name}, synced)

	other := open(t, path)
	other.sync = j.sync
	synced = nil
	put(t, other, entry("f"))
	assert.Equal(t, []string{name, ""}, synced, "another process may have died before it synced the folder")
}

func TestSyncThatFails(t *testing.T) {
	t.Parallel()
	path, _ := wasteful(t)
	before := content(t, path)
	j := open(t, path)
	j.sync = func(*os.File) error { return syscall.EIO }
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	assert.Equal(t, before, content(t, path), "a compacted file that may be lost is in use")
	assert.ErrorIs(t, j.Record(t.Context(), entry("c")), syscall.EIO)
	assert.Equal(t, before, content(t, path))

	j.sync = func(f *os.File) error {
		if f.Name() == filepath.Dir(path) {
			return syscall.EIO
		}
		return f.Sync()
	}
	for range 2 {
		assert.ErrorIs(t, j.Record(t.Context(), entry("c")), syscall.EIO, "the folder")
	}
	j.sync = (*os.File).Sync
	require.NoError(t, j.Record(t.Context(), entry("d")))
	assert.Equal(t, "a b c d", ids(t, j))
}

// The rest of a line that cannot be written must not cost the line.
func TestLastLineThatCannotBeEnded(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	line := strings.TrimSpace(lines(t, entry("a")))
	write(t, path, line)
	j := open(t, path)
	j.sync = func(*os.File) error { return syscall.ENOSPC }
	_, err := j.Lock(t.Context())
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.Equal(t, line, content(t, path))
	j.sync = (*os.File).Sync
	put(t, j)
	assert.Equal(t, "a", ids(t, j))
}
