package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// replacement is a file that replaces the one at its path when it is complete. Until then
// it is beside it, with a name of its own.
type replacement struct {
	tempFile

	path string
}

// tempFile is what a replacement needs of an *os.File.
type tempFile interface {
	io.Writer
	Name() string
	Chmod(mode fs.FileMode) error
	Sync() error
	Close() error
}

// createTemp creates a file that nobody else can open; a test replaces it.
var createTemp = func(folder string) (tempFile, error) { return os.CreateTemp(folder, ".youproxy-*") }

// replace begins a file for path. If there is one already, it stays as it is.
func replace(path string) (*replacement, error) {
	target, err := leadsTo(path)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(target)
	file, err := createTemp(folder)
	if err != nil {
		return nil, fmt.Errorf("no file can be created in the folder %s: %w", folder, cause(err))
	}
	return &replacement{file, target}, nil
}

// leadsTo returns the file that a path leads to over links.
func leadsTo(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s is a link to a file that does not exist", path)
		}
		return path, nil
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("%s is a folder: name a file", path)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file that can be replaced: leave --file out, and redirect stdout", path)
	}
	return filepath.EvalSymlinks(path)
}

// finish moves the file to its place if err is nil, and removes it otherwise. It returns
// err, or what went wrong here.
//
// After a crash either the old file or the new one is there, complete.
func (r *replacement) finish(ctx context.Context, err error) error {
	if err == nil {
		err = r.Chmod(0o600) // the umask may have taken even that away
	}
	if err == nil {
		err = r.Sync()
	}
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = os.Rename(r.Name(), r.path)
	}
	if err == nil {
		return nil
	}
	if removeErr := os.Remove(r.Name()); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = fmt.Errorf("%w\nremove %s, it holds passwords: %w", err, r.Name(), cause(removeErr))
	}
	return err
}

// cause returns an error without the path of a file.
func cause(err error) error {
	var full *fs.PathError
	if errors.As(err, &full) {
		return full.Err
	}
	return err
}
