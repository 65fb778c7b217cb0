package filejournal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	keepFor    = 400 * 24 * time.Hour // an entry without a key, once it is settled
	keepBefore = 24 * time.Hour       // what the account held before, once it is settled
	minWaste   = 64 << 10             // bytes that are worth a compaction
)

// expired reports whether the entry is no longer needed.
func (r *record) expired(now time.Time) bool {
	return !r.open && r.key == "" && !r.settledAt.IsZero() && now.Sub(r.settledAt) > keepFor
}

// slims reports whether what the account held before is no longer needed.
func (r *record) slims(now time.Time) bool {
	return !r.open && r.before > 0 && (r.ordered || !r.settledAt.IsZero() && now.Sub(r.settledAt) > keepBefore)
}

// wasted reports whether more than half of the file can be left out.
func (x *index) wasted(now time.Time) bool {
	waste := x.size
	for i := range x.records {
		r := &x.records[i]
		if !r.expired(now) {
			waste -= int64(r.length) + 1
		}
		if r.slims(now) && !r.expired(now) {
			waste += int64(r.before)
		}
	}
	return waste > minWaste && waste > x.size/2
}

// compact replaces the file by one without waste. The caller holds the lock and mu.
func (j *Journal) compact(now time.Time) (err error) {
	name := j.path + ".new"
	next, err := j.rewrite(name, now)
	if err == nil {
		err = os.Rename(name, j.path)
	}
	if err != nil {
		_ = os.Remove(name) // else the next compaction does
		return fmt.Errorf("filejournal: %s cannot be compacted: %w", j.path, err)
	}
	j.index, j.synced = next, false
	return nil
}

// rewrite writes what is needed into another file, syncs it, and reads it again.
func (j *Journal) rewrite(name string, now time.Time) (next index, err error) {
	_ = os.Remove(name) // what an interrupted compaction left
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return next, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	kept := 0
	err = j.use(os.O_RDONLY, func(old *os.File) error {
		if err := keepAccess(f, j.index.info); err != nil {
			return err
		}
		w := bufio.NewWriter(f)
		for i := range j.index.records {
			r := &j.index.records[i]
			if r.expired(now) {
				continue
			}
			kept++
			line, err := r.read(old)
			if err == nil && r.slims(now) {
				line, err = slim(line)
			}
			if err != nil {
				return err
			}
			_, _ = w.Write(append(line, '\n')) // Flush returns its error
		}
		return w.Flush()
	})
	if err == nil {
		err = j.sync(f)
	}
	if err == nil {
		_, err = next.refresh(f)
	}
	if err == nil && len(next.records) != kept {
		err = errors.New("the new file does not hold what was written to it")
	}
	return next, err
}

// slim returns the line without what the account held before. Everything else stays,
// including fields that only a newer program knows.
func slim(line []byte) ([]byte, error) {
	var slimmed bytes.Buffer
	dec, enc := jsontext.NewDecoder(bytes.NewReader(line)), jsontext.NewEncoder(&slimmed)
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return bytes.TrimSpace(slimmed.Bytes()), nil
		}
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(string(dec.StackPointer())) {
		case "/attempt/before/orders", "/attempt/before/ends":
			err = dec.SkipValue()
		default:
			err = enc.WriteToken(token)
		}
		if err != nil {
			return nil, err
		}
	}
}
