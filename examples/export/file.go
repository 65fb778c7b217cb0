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

// output is a file that takes the place of the one at its path when it is whole.
// Until then it stands beside it, under a name of its own.
type output struct {
	tempFile

	path string
}

// tempFile is what output needs of an *os.File.
type tempFile interface {
	io.Writer
	Name() string
	Chmod(mode fs.FileMode) error
	Sync() error
	Close() error
}

// createTemp makes a file that nobody else can open; a test replaces it.
var createTemp = func(folder string) (tempFile, error) { return os.CreateTemp(folder, ".export-*") }

// openOutput begins a file for path. If there is one already, it stays as it is.
func openOutput(path string, mustBeNew bool) (*output, error) {
	target, exists, err := follow(path)
	switch {
	case err != nil:
		return nil, err
	case exists && mustBeNew:
		return nil, errors.New("made-up proxies do not replace a file: set YOUPROXY_API_KEY, or give the name of a new one")
	}
	folder := filepath.Dir(target)
	file, err := createTemp(folder)
	if err != nil {
		return nil, fmt.Errorf("no file can be made in the folder %s: %w", folder, cause(err))
	}
	return &output{file, target}, nil
}

// follow gives the file that a path leads to over links, and whether it is there.
func follow(path string) (target string, exists bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return "", false, fmt.Errorf("%s is a link to what is not there", path)
		}
		return path, false, nil
	case err != nil:
		return "", false, err
	case info.IsDir():
		return "", false, fmt.Errorf("%s is a folder: give the name of a file", path)
	case !info.Mode().IsRegular():
		return "", false, fmt.Errorf("%s is not a file that can be replaced: leave -o out, and redirect stdout", path)
	}
	target, err = filepath.EvalSymlinks(path)
	return target, true, err
}

// finish puts the file into its place if err is nil, and else removes it. It
// returns err, or what went wrong here.
//
// After a crash the old file or the new one stands there, whole.
func (o *output) finish(ctx context.Context, err error) error {
	if err == nil {
		err = o.Chmod(0o600) // the umask may have taken even that away
	}
	if err == nil {
		err = o.Sync()
	}
	if closeErr := o.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = os.Rename(o.Name(), o.path)
	}
	if err == nil {
		return nil
	}
	if removeErr := os.Remove(o.Name()); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = fmt.Errorf("%w\nexport: remove %s, it holds passwords: %w", err, o.Name(), cause(removeErr))
	}
	return err
}

// cause leaves out the path of a file.
func cause(err error) error {
	var full *fs.PathError
	if errors.As(err, &full) {
		return full.Err
	}
	return err
}
