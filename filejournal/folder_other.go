//go:build !unix

package filejournal

import "os"

// syncFolder does nothing: folders cannot be synced here.
func syncFolder(string, func(*os.File) error) error { return nil }

// keepAccess does nothing: a new file has the access rules of its folder.
func keepAccess(*os.File, os.FileInfo) error { return nil }
