//go:build unix

package filejournal

import (
	"errors"
	"os"
	"syscall"
)

// syncFolder makes durable that a file in the folder is new, or has a new name.
func syncFolder(path string, sync func(*os.File) error) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(sync(folder), folder.Close())
}

// keepAccess gives f the mode and the owner of another file, so that who could use
// that one can use this one.
func keepAccess(f *os.File, as os.FileInfo) error {
	if owner, ok := as.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(as.Mode().Perm())
}
