package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
)

// client returns a client of the account, with the journal if the command may spend.
func (a *app) client(opts ...youproxy.Option) (*youproxy.Client, error) {
	opts = append(opts, a.options...)
	if a.sandbox {
		return a.sandboxClient(opts...)
	}
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	if base := a.env("YOUPROXY_BASE_URL"); base != "" {
		opts = append(opts, youproxy.WithBaseURL(base))
	}
	client, err := youproxy.New(key, opts...)
	if err != nil {
		return nil, usageError{err}
	}
	a.closers = append(a.closers, func() error { client.CloseIdleConnections(); return nil })
	return client, nil
}

// spender returns a client whose journal is in a file.
func (a *app) spender(opts ...youproxy.Option) (*youproxy.Client, error) {
	journal, err := a.openJournal()
	if err != nil {
		return nil, err
	}
	return a.client(append(opts, youproxy.WithJournal(journal))...)
}

// openJournal opens the journal, and creates its folder.
func (a *app) openJournal() (*filejournal.Journal, error) {
	path, err := a.journalPath()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the folder of the journal cannot be created, and nothing is spent without a journal: %w", err)
	}
	journal, err := filejournal.Open(path)
	if err != nil {
		return nil, fmt.Errorf("nothing is spent without a journal: %w", err)
	}
	return journal, nil
}

// key returns the API key. No error shows it.
func (a *app) key() (string, error) {
	if key := a.env("YOUPROXY_API_KEY"); key != "" && a.keyFile == "" {
		return key, nil
	}
	path := a.keyFile
	if path == "" {
		path = a.env("YOUPROXY_API_KEY_FILE")
	}
	asked := path != ""
	if !asked {
		folder, err := os.UserConfigDir()
		if err != nil {
			return "", errNoKey
		}
		path = filepath.Join(folder, "youproxy", "key")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return "", errNoKey
	case err != nil:
		return "", usageError{fmt.Errorf("the key file cannot be read: %w", err)}
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return "", usageError{fmt.Errorf("the key file %s can be read by others: chmod 600 %[1]s", path)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", usageError{fmt.Errorf("the key file cannot be read: %w", err)}
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", usageError{fmt.Errorf("the key file %s is empty", path)}
	}
	return key, nil
}

var errNoKey = usageError{errors.New("there is no API key: set YOUPROXY_API_KEY, or write the key into a file with mode 0600 and name the file with --key-file; --sandbox needs no key")}

// journalPath returns the file of the journal.
func (a *app) journalPath() (string, error) {
	if a.journalFile != "" {
		return a.journalFile, nil
	}
	if file := a.env("YOUPROXY_JOURNAL"); file != "" && !a.sandbox {
		return file, nil
	}
	folder, err := a.stateFolder()
	if err != nil {
		return "", err
	}
	if a.sandbox {
		folder = filepath.Join(folder, "sandbox")
	}
	return filepath.Join(folder, "journal.jsonl"), nil
}

// stateFolder returns the folder in which the program keeps its files.
func (a *app) stateFolder() (string, error) {
	if folder := a.env("XDG_STATE_HOME"); folder != "" {
		return filepath.Join(folder, "youproxy"), nil
	}
	if runtime.GOOS == "linux" {
		if home := a.env("HOME"); home != "" {
			return filepath.Join(home, ".local", "state", "youproxy"), nil
		}
	}
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", usageError{fmt.Errorf("there is no folder for the journal: name a file with --journal: %w", err)}
	}
	return filepath.Join(folder, "youproxy", "state"), nil
}
