package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// sandboxWait is how long a run waits for another one that uses the account.
const sandboxWait = 10 * time.Second

// sandboxClient returns a client of the fake service whose account is kept in a file. No
// other process can use that account until the run ends.
func (a *app) sandboxClient(opts ...youproxy.Option) (*youproxy.Client, error) {
	if a.fake == nil {
		faults, err := readFaults(strings.Split(a.env("YOUPROXY_SANDBOX_FAULTS"), ","))
		if err != nil {
			return nil, usageError{fmt.Errorf("YOUPROXY_SANDBOX_FAULTS: %w", err)}
		}
		if err := a.openSandbox(faults); err != nil {
			return nil, err
		}
	}
	return a.fake.Client(opts...)
}

// openSandbox starts the fake service, which ends with the run.
func (a *app) openSandbox(faults []fault) error {
	folder, err := a.lockSandbox()
	if err != nil {
		return err
	}
	path := accountIn(folder)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeAccount(path, youproxy.MustMoney("100 USD"), false); err != nil {
			return err
		}
	}
	var opts []youproxytest.Option
	if a.proxiesWork {
		opts = append(opts, youproxytest.WithProxies())
	}
	a.fake, err = openAccount(path, opts...)
	if err != nil {
		return fmt.Errorf(`%w; "youproxy sandbox reset" creates a new one`, err)
	}
	// The lock, which was there first, is released last.
	a.closers = append([]func() error{func() error { a.fake.Close(); return nil }}, a.closers...)
	for _, f := range faults {
		a.fake.Inject(f.op, f.fault)
	}
	return nil
}

// accountIn returns the file of the account.
func accountIn(folder string) string { return filepath.Join(folder, "account.jsonl") }

// openAccount opens an account. The options that change prices are the same each time.
func openAccount(path string, opts ...youproxytest.Option) (*youproxytest.Server, error) {
	return youproxytest.OpenServer(path, append(opts,
		youproxytest.WithPromoCode("TENTH", 10),
		youproxytest.WithRotateByLink())...)
}

// makeAccount creates an account with a few proxies at path. It replaces what is there once
// the account is complete.
func makeAccount(path string, balance youproxy.Money, empty bool) (err error) {
	defer func() { // the fake panics where it cannot write, as on a full disk
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the sandbox cannot be created: %v", cause)
		}
	}()
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the sandbox cannot be created: %w", err)
	}
	fake, err := openAccount(unfinished)
	if err != nil {
		return err
	}
	defer fake.Close()
	fake.SetBalance(balance)
	now := time.Now()
	for _, o := range []struct {
		proxyType youproxy.ProxyType
		country   string
		quantity  int
		age       time.Duration // of the 30 days
	}{
		{youproxy.ProxyTypeIPv4, "USA", 2, 27*24*time.Hour + 12*time.Hour},
		{youproxy.ProxyTypeISP, "DEU", 2, 14 * 24 * time.Hour},
		{youproxy.ProxyTypeIPv4, "GBR", 1, 24 * time.Hour},
	} {
		if !empty {
			fake.AddOrder(youproxytest.Order{ProxyType: o.proxyType, Country: o.country, Quantity: o.quantity, CreatedAt: now.Add(-o.age)})
		}
	}
	fake.Close()
	if err := os.Rename(unfinished, path); err != nil {
		return fmt.Errorf("the sandbox cannot be created: %w", err)
	}
	return nil
}

// lockSandbox returns the folder of the sandbox, and keeps other processes from using it
// until the run ends.
func (a *app) lockSandbox() (folder string, err error) {
	state, err := a.stateFolder()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(state, "sandbox")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("the folder of the sandbox cannot be created: %w", err)
	}
	lock := flock.New(accountIn(folder)+".lock", flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		a.note("waiting for another youproxy that uses the sandbox")
		ctx, cancel := context.WithTimeout(a.ctx, sandboxWait)
		defer cancel()
		locked, err = lock.TryLockContext(ctx, 20*time.Millisecond)
		if errors.Is(err, context.DeadlineExceeded) && a.ctx.Err() == nil {
			return "", errors.New(`another youproxy uses the sandbox: wait until it ends; to let several use it at once, run "youproxy sandbox"`)
		}
	}
	if !locked {
		return "", fmt.Errorf("the sandbox cannot be locked: %w", err)
	}
	a.closers = append(a.closers, lock.Close)
	return folder, nil
}

// fault is a fault of the next request of an operation.
type fault struct {
	op    string
	fault youproxytest.Fault
}

// readFaults reads faults such as "POST /order=DropAfterCommit".
func readFaults(texts []string) ([]fault, error) {
	var list []fault
	for _, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		op, name, _ := strings.Cut(text, "=")
		if !slices.Contains(youproxytest.Operations(), op) {
			return nil, fmt.Errorf("%q must begin with an operation, as in POST /order=DropAfterCommit: %s", text, strings.Join(youproxytest.Operations(), ", "))
		}
		var names []string
		for _, f := range youproxytest.Faults() {
			names = append(names, f.String())
		}
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("%q must end with a fault, as in POST /order=DropAfterCommit: %s", text, strings.Join(names, ", "))
		}
		list = append(list, fault{op, youproxytest.Faults()[i]})
	}
	return list, nil
}
