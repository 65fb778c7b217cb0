package filejournal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/youproxy-go/youproxy"
)

const (
	maxEntry = 1 << 20 // bytes of a line that Record writes

	// A handle that waits for the lock tries every poll. A handle that has just released it
	// waits for courtesy before it tries again, so that other processes get their turn.
	poll     = 5 * time.Millisecond
	courtesy = 2 * poll
)

// Journal is a [youproxy.Journal] in a file. Any number of them may be open on the
// same file, in one process or in several. There is nothing to close.
type Journal struct {
	path string
	lock *flock.Flock
	turn chan struct{} // held by the holder of the lock, and by whoever waits for it
	sync func(*os.File) error

	mu       sync.Mutex
	held     bool      // the lock is held through this handle
	released time.Time // when it was last
	index    index
	synced   bool // the folder was synced since this file was first seen
}

var _ youproxy.Journal = (*Journal)(nil)

// Open opens the journal in the file at path, which it creates if there is none. The
// folder must exist. Open reads the file, and returns an error if it is damaged. Its errors
// match [youproxy.ErrNotSent].
func Open(path string) (*Journal, error) {
	j, err := openJournal(path)
	if err != nil {
		return nil, openError{err}
	}
	return j, nil
}

// openError is the error of a journal that could not be opened, before anything was sent.
type openError struct{ error }

func (e openError) Unwrap() []error { return []error{e.error, youproxy.ErrNotSent} }

func openJournal(path string) (*Journal, error) {
	path, err := create(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, lock: flock.New(path + ".lock"), turn: make(chan struct{}, 1), sync: (*os.File).Sync}
	lock, err := os.OpenFile(j.lock.Path(), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("filejournal: the lock file beside %s cannot be opened: grant this user write access to the folder and to both files: %w", path, err)
	}
	_ = lock.Close() // nothing was written
	if err := j.use(os.O_RDONLY, func(*os.File) error { return nil }); err != nil {
		return nil, err
	}
	return j, nil
}

// create creates the file if there is none, and returns its path, with symbolic links
// followed.
func create(path string) (string, error) {
	if path == "" {
		return "", errors.New("filejournal: the path is empty: name a file")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("filejournal: the current folder is not known: use an absolute path: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("filejournal: there is no folder %s: create it first: %w", filepath.Dir(path), err)
		}
	case err != nil:
		return "", fmt.Errorf("filejournal: %s cannot be reached: grant this user access to its folder: %w", path, err)
	case info.IsDir():
		return "", fmt.Errorf("filejournal: %s is a folder: name a file in it", path)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("filejournal: %s is not a regular file: name another one", path)
	case info.Mode().Perm()&0o222 == 0:
		return "", fmt.Errorf("filejournal: %s is read-only: make it writable for this user: %w", path, fs.ErrPermission)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("filejournal: %s cannot be opened for writing: grant this user write access to it and its folder: %w", path, err)
	}
	_ = f.Close() // nothing was written
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("filejournal: the symbolic link cannot be followed: name the file itself: %w", err)
	}
	return path, nil
}

// use opens the file, reads what was appended since the last time, and calls f. The
// caller holds mu, or is the only one that uses j.
func (j *Journal) use(flag int, f func(*os.File) error) (err error) {
	file, err := os.OpenFile(j.path, flag, 0)
	if err != nil {
		return fmt.Errorf("filejournal: %s cannot be opened any more: put it back, with write access for this user: %w", j.path, err)
	}
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = fmt.Errorf("filejournal: %s cannot be closed: check the disk: %w", j.path, e)
		}
	}()
	replaced, err := j.index.refresh(file)
	if replaced {
		j.synced = false
	}
	if err != nil {
		return err
	}
	return f(file)
}

// Lock implements [youproxy.Journal]. The lock excludes all other handles on the
// file, also those of this process.
func (j *Journal) Lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("filejournal: the lock was not requested: %w", err)
	}
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("filejournal: another purchase of this process holds the lock: try again later, or wait longer: %w", ctx.Err())
	}
	if err := j.acquire(ctx); err != nil {
		<-j.turn
		return nil, err
	}
	if err := j.prepare(); err != nil {
		j.release()
		return nil, err
	}
	var once sync.Once
	return func() { once.Do(j.release) }, nil
}

// acquire takes the lock of the file.
func (j *Journal) acquire(ctx context.Context) error {
	j.mu.Lock()
	wait := courtesy - time.Since(j.released)
	j.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done(): // TryLockContext returns its error
	}
	for {
		if _, err := j.lock.TryLockContext(ctx, poll); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("filejournal: another process or handle holds the lock of %s: try again later, or wait longer: %w", j.path, err)
			}
			return fmt.Errorf("filejournal: %s cannot be locked: check access to its lock file, and that it is on a local disk: %w", j.path, err)
		}
		if j.owns() {
			return nil
		}
		_ = j.lock.Unlock() // of a file that was deleted meanwhile: there is a new one
	}
}

// owns reports whether the file that is locked is still at its path, where others look.
func (j *Journal) owns() bool {
	mine, err := j.lock.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(j.lock.Path())
	return err == nil && os.SameFile(mine, theirs)
}

// prepare makes the file ready for its next holder.
func (j *Journal) prepare() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = true
	if err := j.use(os.O_RDWR, j.repair); err != nil {
		return err
	}
	if j.index.wasted(time.Now()) {
		_ = j.compact(time.Now()) // else the file stays as it is
	}
	return nil
}

func (j *Journal) release() {
	j.mu.Lock()
	j.held, j.released = false, time.Now()
	_ = j.lock.Unlock() // the file is closed in any case
	j.mu.Unlock()
	<-j.turn
}

// repair removes what an unfinished write left. A complete entry that lacks only the end
// of its line is kept.
func (j *Journal) repair(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("filejournal: %s cannot be read: check the disk: %w", j.path, err)
	}
	if info.Size() == j.index.size {
		return nil
	}
	torn := make([]byte, min(info.Size()-j.index.size, maxLine))
	n, _ := f.ReadAt(torn, j.index.size)
	if _, err := decode(torn[:n]); err == nil && int64(n) == info.Size()-j.index.size {
		return j.write(f, []byte{'\n'}, info.Size())
	}
	if err := f.Truncate(j.index.size); err != nil {
		return fmt.Errorf("filejournal: the incomplete last line of %s cannot be removed: check the disk: %w", j.path, err)
	}
	return nil
}

// write writes a line, or the rest of one, at the end of the file, and syncs it.
func (j *Journal) write(f *os.File, line []byte, end int64) error {
	_, err := f.WriteAt(line, end)
	if err == nil {
		err = j.sync(f)
	}
	if err != nil {
		_ = f.Truncate(end) // else the next holder does
		return fmt.Errorf("filejournal: %s cannot be written: free some disk space, or check the disk: %w", j.path, err)
	}
	if !j.synced {
		if err := syncFolder(filepath.Dir(j.path), j.sync); err != nil {
			return fmt.Errorf("filejournal: the folder of %s cannot be synced: check the disk: %w", j.path, err)
		}
		j.synced = true
	}
	_, err = j.index.refresh(f)
	return err
}

// Record implements [youproxy.Journal]. It refuses an entry of more than 1 MiB.
func (j *Journal) Record(ctx context.Context, e youproxy.Entry) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return fmt.Errorf("filejournal: the entry cannot be written as JSON: %w", err)
	}
	if line.Len() > maxEntry {
		return fmt.Errorf("filejournal: the entry has %d bytes, and the limit is %d: record it with fewer details", line.Len(), maxEntry)
	}
	written, err := decode(line.Bytes())
	if err == nil && (written.Attempt.ID != e.Attempt.ID || written.Attempt.Key != e.Attempt.Key) {
		err = errors.New("its id or its key is not valid UTF-8")
	}
	if err != nil {
		return fmt.Errorf("filejournal: the entry was not recorded, because it could not be read again: %w", err)
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.held:
		return errors.New("filejournal: the lock is not held: call Record between Lock and unlock")
	case !j.owns():
		return fmt.Errorf("filejournal: the lock file of %s was deleted or replaced, and the lock is lost: leave that file alone, and try again", j.path)
	case ctx.Err() != nil:
		return fmt.Errorf("filejournal: the entry was not recorded: %w", ctx.Err())
	}
	return j.use(os.O_RDWR, func(f *os.File) error {
		if err := j.repair(f); err != nil {
			return err
		}
		return j.write(f, line.Bytes(), j.index.size)
	})
}

// Entries implements [youproxy.Journal].
func (j *Journal) Entries(ctx context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		lines, err := j.lines(q)
		for _, line := range lines {
			if ctx.Err() != nil {
				err = fmt.Errorf("filejournal: the entries were not read to the end: %w", ctx.Err())
				break
			}
			var e youproxy.Entry
			if e, err = decode(line); err != nil {
				err = fmt.Errorf("filejournal: %s was changed while it was read: read it again: %w", j.path, err)
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(youproxy.Entry{}, err)
		}
	}
}

// lines returns the lines of the entries that q selects.
func (j *Journal) lines(q youproxy.EntryQuery) (lines [][]byte, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err = j.use(os.O_RDONLY, func(f *os.File) error {
		for _, r := range j.index.records {
			if !r.selected(q) {
				continue
			}
			line, err := r.read(f)
			if err != nil {
				return err
			}
			lines = append(lines, line)
		}
		return nil
	})
	return lines, err
}
