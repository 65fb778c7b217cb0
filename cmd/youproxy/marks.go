package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// mark is an empty file beside the journal. It exists while a run spends: from before it
// sends anything until it ends well. The run holds its lock. A mark that no process holds is
// that of a run that did not finish: the journal may have settled its purchases, but they
// were not reported.
type mark struct {
	key     string // of the purchase, or what the keys of a plan begin with
	request string // the fingerprint of what was asked for
	path    string
	lock    *flock.Flock
}

// fingerprint returns a string that differs from one request to another.
func fingerprint(request any) string {
	text, _ := json.Marshal(request) // requests can be written as JSON
	sum := sha256.Sum256(fmt.Appendf(nil, "%T\n%s", request, text))
	return hex.EncodeToString(sum[:8])
}

// markOf returns the mark of a key.
func (a *app) markOf(key, request string) (*mark, error) {
	path, err := a.journalPath()
	return &mark{key: key, request: request, path: path + "." + key + "." + request}, err
}

// marks returns the marks whose keys begin with a prefix.
func (a *app) marks(prefix string) (list []*mark, err error) {
	path, err := a.journalPath()
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder of the journal could not be read, nothing was sent: %w", err)
	}
	for _, file := range files {
		name, found := strings.CutPrefix(file.Name(), filepath.Base(path)+".")
		if key, request, ok := strings.Cut(name, "."); found && ok && strings.HasPrefix(key, prefix) {
			m, err := a.markOf(key, request)
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
	}
	return list, nil
}

// unheld returns the marks whose keys begin with a prefix and that no run holds, and holds
// them.
func (a *app) unheld(prefix string) ([]*mark, error) {
	list, err := a.marks(prefix)
	return slices.DeleteFunc(list, func(m *mark) bool { return a.hold(m, os.O_RDWR) != nil }), err
}

var errHeld = errors.New("another run holds it")

// hold locks a mark until the run ends.
func (a *app) hold(m *mark, flag int) error {
	m.lock = flock.New(m.path, flock.SetFlag(flag), flock.SetPermissions(0o600))
	locked, err := m.lock.TryLock()
	if err == nil && locked {
		_, err = os.Stat(m.path) // it may be removed since it was opened
	}
	if err == nil && !locked {
		err = errHeld
	}
	if err != nil {
		return errors.Join(err, m.lock.Close())
	}
	a.closers = append(a.closers, func() error { m.release(); return nil })
	return nil
}

// mark creates a mark, and holds it.
func (a *app) mark(key, request string) (*mark, error) {
	m, err := a.markOf(key, request)
	for try := 0; try < 3 && err == nil; try++ { // a run that looks for marks can take it first
		if err := a.hold(m, os.O_RDWR|os.O_CREATE); err == nil {
			return m, nil
		} else if try == 2 {
			return nil, fmt.Errorf("nothing was sent: %s could not be created: %w", m.path, err)
		}
	}
	return nil, err
}

// release lets other runs hold a mark.
func (m *mark) release() {
	if m.lock != nil {
		_ = m.lock.Close()
	}
}

// remove removes a mark.
func (m *mark) remove() {
	_ = os.Remove(m.path)
	m.release()
	_ = os.Remove(m.path) // for Windows, which removes no file that is open
}
