package youproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// listText is what a list of rows must look like; of one that broke off where
// whole is false.
func listText(head string, array bool, rows []string, whole bool) string {
	switch {
	case array && whole:
		return "[\n" + strings.Join(rows, ",\n") + "\n]\n"
	case array && len(rows) == 0, !array && !whole && len(rows) == 0:
		return ""
	case array:
		return "[\n" + strings.Join(rows, ",\n") + "\n"
	}
	return head + strings.Join(append(slices.Clone(rows), ""), "\n")
}

// then gives proxies, and an error in the end unless that is nil.
func then(list []youproxy.Proxy, err error) iter.Seq2[youproxy.Proxy, error] {
	return func(yield func(youproxy.Proxy, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
		if err != nil {
			yield(youproxy.Proxy{}, err)
		}
	}
}

func TestWriteProxies(t *testing.T) {
	t.Parallel()
	broke := errors.New("the list broke off")
	for _, l := range everyLayout {
		for _, n := range []int{0, 1, 3, 4} {
			t.Run(fmt.Sprintf("%s, %d proxies", l.name, n), func(t *testing.T) {
				list, want := layoutProxies[:n], listText(l.head, l.array, l.want[:n], true)

				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, l.layout, slices.Values(list)))
				assert.Equal(t, want, b.String())

				b.Reset()
				require.NoError(t, youproxy.WriteProxies(&b, l.layout, then(list, nil)))
				assert.Equal(t, want, b.String())

				part := listText(l.head, l.array, l.want[:n], false)
				b.Reset()
				require.ErrorIs(t, youproxy.WriteProxies(&b, l.layout, then(list, broke)), broke)
				assert.Equal(t, part, b.String(), "whole proxies, and no end")
				if l.array {
					assert.False(t, json.Valid(b.Bytes()), "it is not taken for a list")
				}
			})
		}
	}
}

func TestWriteProxiesFromAReply(t *testing.T) {
	t.Parallel()
	reply := inEnvelope(`"ipv4": [{"ipAddressId": "1", "ip": "192.0.2.1", "httpsPort": 80}, {"ipAddressId": "2", "ip": "192.0.2.2", "httpsPort": 80}]`)
	var b bytes.Buffer
	require.NoError(t, youproxy.WriteProxies(&b, youproxy.LayoutURL(http1), youproxy.ReadProxies(strings.NewReader(reply))))
	assert.Equal(t, "http://192.0.2.1:80\nhttp://192.0.2.2:80\n", b.String())
	b.Reset()
	err := youproxy.WriteProxies(&b, youproxy.LayoutURL(http1), youproxy.ReadProxies(strings.NewReader(reply[:len(reply)-30])))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "http://192.0.2.1:80\n", b.String())
}

func TestWriteProxiesUpToOneThatCannotBe(t *testing.T) {
	t.Parallel()
	bad := youproxy.Proxy{ID: "bad\rid", Credentials: credentials("user", hushed), Start: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	failing := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}{{if not .Host}}{{.URL "http"}}{{end}}`)))
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			layout := l.layout
			if l.name == "template" {
				layout = failing
			}
			for n := range 4 {
				given := 0
				list := func(yield func(youproxy.Proxy) bool) {
					for _, p := range slices.Insert(slices.Clone(layoutProxies), n, bad) {
						if given++; !yield(p) {
							return
						}
					}
				}
				var b bytes.Buffer
				err := youproxy.WriteProxies(&b, layout, iter.Seq[youproxy.Proxy](list))
				require.Error(t, err)
				assertTellsNoSecret(t, err)
				assert.Equal(t, n+1, given, "no more is taken from the list")
				assert.Equal(t, listText(l.head, l.array, l.want[:n], false), b.String())
			}
		})
	}
}

func TestWriteProxiesWithoutThoseThatCannotBe(t *testing.T) {
	t.Parallel()
	bad := youproxy.Proxy{ID: "bad\rid", Credentials: credentials("user", hushed)}
	failing := youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}{{if not .Host}}{{.URL "http"}}{{end}}`)))
	for _, l := range everyLayout {
		if l.name == "JSON lines" {
			continue // it takes this one
		}
		t.Run(l.name, func(t *testing.T) {
			layout := l.layout
			if l.name == "template" {
				layout = failing
			}
			whole := listText(l.head, l.array, l.want[:], true)
			for n := range 5 {
				list := slices.Insert(slices.Clone(layoutProxies), n, bad, bad)
				told := 0
				skip := youproxy.SkipUnusable(func(p youproxy.Proxy, err error) {
					told++
					assert.Equal(t, bad, p)
					require.ErrorIs(t, err, youproxy.ErrNotUsable)
					assertTellsNoSecret(t, err)
				})
				var b bytes.Buffer
				require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values(list), skip))
				assert.Equal(t, whole, b.String())
				assert.Equal(t, 2, told)

				b.Reset()
				require.NoError(t, youproxy.WriteProxies(&b, layout, then(list, nil), nil, youproxy.SkipUnusable(nil)))
				assert.Equal(t, whole, b.String(), "nobody need be told")

				broke := errors.New("the list broke off")
				b.Reset()
				require.ErrorIs(t, youproxy.WriteProxies(&b, layout, then(list, broke), skip), broke)
				assert.Equal(t, listText(l.head, l.array, l.want[:], false), b.String())
			}
			var b bytes.Buffer
			err := youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{bad, bad}), youproxy.SkipUnusable(nil))
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.ErrorContains(t, err, "none of 2 proxies can be written in the layout "+l.prints)
			assert.Zero(t, b.Len(), "it is not taken for an empty list")

			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{}), youproxy.SkipUnusable(nil)))
			assert.Equal(t, listText(l.head, l.array, nil, true), b.String(), "which an empty list is")
		})
	}
}

// Only proxies are skipped: nothing else goes by unseen.
func TestWriteProxiesSkipsNothingElse(t *testing.T) {
	t.Parallel()
	skip := youproxy.SkipUnusable(func(youproxy.Proxy, error) { t.Error("nothing is skipped") })
	var b bytes.Buffer
	list := slices.Values(layoutProxies)
	for _, l := range []youproxy.Layout{{}, youproxy.LayoutTemplate(nil), youproxy.LayoutURL("https"), youproxy.LayoutTemplate(template.Must(template.New("t").Parse("{{.Nope}}")))} {
		err := youproxy.WriteProxies(&b, l, list, skip)
		require.Error(t, err)
		assert.NotErrorIs(t, err, youproxy.ErrNotUsable)
	}
	assert.ErrorIs(t, youproxy.WriteProxies(&notingWriter{failing: 1}, youproxy.LayoutURL(http1), list, skip), errDisk)
}

// notingWriter notes what it is handed, and fails from a write on.
type notingWriter struct {
	writes  []string
	failing int // the first write that fails, counted from 1
	short   bool
}

var errDisk = errors.New("the disk is full")

func (w *notingWriter) Write(b []byte) (int, error) {
	w.writes = append(w.writes, string(b))
	switch {
	case w.failing == 0 || len(w.writes) < w.failing:
		return len(b), nil
	case w.short:
		return len(b) - 1, nil
	}
	return len(b) / 2, errDisk
}

// manyProxies is a list of more than two pieces in every layout.
func manyProxies() []youproxy.Proxy {
	list := make([]youproxy.Proxy, 0, 6000)
	for i := range cap(list) {
		list = append(list, youproxy.Proxy{ID: youproxy.IPAddressID(strconv.Itoa(i)), Host: "192.0.2.1", HTTPPort: i + 1, SOCKS5Port: i + 1})
	}
	return list
}

func TestWriteProxiesInPieces(t *testing.T) {
	t.Parallel()
	list := manyProxies()
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			var rows []string
			longest := 0
			for _, p := range list {
				row, err := p.Format(l.layout)
				require.NoError(t, err)
				rows = append(rows, row)
				longest = max(longest, len(row))
			}
			w := &notingWriter{}
			taken, early := 0, 0
			require.NoError(t, youproxy.WriteProxies(w, l.layout, iter.Seq[youproxy.Proxy](func(yield func(youproxy.Proxy) bool) {
				for _, p := range list {
					if taken++; !yield(p) {
						return
					}
				}
				early = len(w.writes)
			})))
			assert.Equal(t, listText(l.head, l.array, rows, true), strings.Join(w.writes, ""))
			assert.Equal(t, len(list), taken)
			assert.Positive(t, early, "it is written while the list is read")
			assert.Greater(t, len(w.writes), 2)
			separator := "\n"
			if l.array {
				separator = ",\n"
			}
			next := 0
			for i, piece := range w.writes {
				require.NotEmpty(t, piece)
				assert.LessOrEqual(t, len(piece), 32<<10+longest+len(l.head)+len("[\n,\n]\n"))
				if i == 0 {
					piece = strings.TrimPrefix(strings.TrimPrefix(piece, l.head), "[\n")
				}
				piece = strings.TrimSuffix(strings.TrimSuffix(piece, "\n]\n"), "\n")
				piece = strings.TrimPrefix(piece, separator)
				if piece == "" {
					continue // the end of the list
				}
				whole := strings.Split(piece, separator)
				require.LessOrEqual(t, next+len(whole), len(rows))
				require.Equal(t, rows[next:next+len(whole)], whole)
				next += len(whole)
			}
			assert.Equal(t, len(rows), next, "each piece is whole proxies")
		})
	}
}

func TestWriteProxiesToAWriterThatFails(t *testing.T) {
	t.Parallel()
	for _, l := range everyLayout {
		for _, failing := range []int{1, 2} {
			for _, short := range []bool{false, true} {
				for _, last := range []error{nil, errors.New("not reached")} {
					t.Run(fmt.Sprintf("%s, write %d, short %t, list breaks off %t", l.name, failing, short, last != nil), func(t *testing.T) {
						writeUntilItFails(t, l.layout, &notingWriter{failing: failing, short: short}, last)
					})
				}
			}
		}
		t.Run(l.name+", at the end", func(t *testing.T) {
			w := &notingWriter{failing: 1}
			require.ErrorIs(t, youproxy.WriteProxies(w, l.layout, slices.Values(layoutProxies)), errDisk)
			assert.Len(t, w.writes, 1)
			w = &notingWriter{failing: 1}
			broke := errors.New("the list broke off")
			require.ErrorIs(t, youproxy.WriteProxies(w, l.layout, then(layoutProxies, broke)), broke, "the first error counts")
			assert.Len(t, w.writes, 1)
		})
	}
}

// writeUntilItFails writes many proxies, after which the list would break off with last.
func writeUntilItFails(t *testing.T, layout youproxy.Layout, w *notingWriter, last error) {
	list, taken := manyProxies(), 0
	err := youproxy.WriteProxies(w, layout, iter.Seq2[youproxy.Proxy, error](func(yield func(youproxy.Proxy, error) bool) {
		for p, err := range then(list, last) {
			if taken++; !yield(p, err) {
				return
			}
		}
	}))
	want := errDisk
	if w.short {
		want = io.ErrShortWrite
	}
	require.ErrorIs(t, err, want)
	assert.ErrorContains(t, err, "youproxy: ")
	assert.Len(t, w.writes, w.failing, "it is not written to again")
	assert.Less(t, taken, len(list), "the list is not read any further")
}

func TestWriteProxiesWithNothing(t *testing.T) {
	t.Parallel()
	some := slices.Values(layoutProxies)
	for _, l := range everyLayout {
		var b bytes.Buffer
		assert.ErrorContains(t, youproxy.WriteProxies(nil, l.layout, some), "the writer is nil")
		assert.ErrorContains(t, youproxy.WriteProxies(&b, l.layout, iter.Seq[youproxy.Proxy](nil)), "the sequence of proxies is nil")
		assert.ErrorContains(t, youproxy.WriteProxies(&b, l.layout, iter.Seq2[youproxy.Proxy, error](nil)), "the sequence of proxies is nil")
		assert.Zero(t, b.Len())
	}
	var b bytes.Buffer
	for _, list := range []iter.Seq[youproxy.Proxy]{some, slices.Values([]youproxy.Proxy{})} {
		assert.ErrorContains(t, youproxy.WriteProxies(&b, youproxy.Layout{}, list), "no layout")
	}
	assert.ErrorContains(t, youproxy.WriteProxies(&b, youproxy.Layout{}, then(layoutProxies, nil)), "no layout")
	_, err := fullProxy.Format(youproxy.Layout{})
	assert.ErrorContains(t, err, "no layout")

	none := youproxy.LayoutTemplate(nil)
	assert.ErrorContains(t, youproxy.WriteProxies(&b, none, some), "the template is nil")
	got, err := fullProxy.Format(none)
	assert.ErrorContains(t, err, "the template is nil")
	assert.Empty(t, got)
	assert.Zero(t, b.Len())
}
