//go:build unix

package filejournal

import (
	"errors"
	"os"
	"syscall"
)

// syncFolder syncs a folder, so that a new file in it, or a new name, survives a crash.
func syncFolder(path string, sync func(*os.File) error) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(sync(folder), folder.Close())
}

// keepAccess sets the mode and the owner of f to those of another file, so that the same
// users can use it.
func keepAccess(f *os.File, as os.FileInfo) error {
	if owner, ok := as.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(as.Mode().Perm())
}
