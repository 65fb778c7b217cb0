//go:build !unix

package filejournal

import "errors"

var errNotHere = errors.New("not on this system")

func diskFull(string) error { return errNotHere }

func compactOnFullDisk(string) error { return errNotHere }

func noAccess(string) error { return errNotHere }
