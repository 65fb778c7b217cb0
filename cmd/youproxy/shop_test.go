package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// shop is a fake service with a person at a shell in front of it.
type shop struct {
	*youproxytest.Server

	t      *testing.T
	folder string
	env    map[string]string
	answer string // of the person, who is not there where it is empty
	in     io.Reader
	out    io.Writer // in place of a buffer
	stderr *bytes.Buffer
	onErr  func(text string) // when something is told
}

const shopKey = "Key-5d1f0c77"

// inShop runs f in a bubble, where waiting takes no time.
func inShop(t *testing.T, f func(t *testing.T, s *shop), opts ...youproxytest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{t: t, folder: t.TempDir(), Server: youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(shopKey))...)}
		s.env = map[string]string{
			"XDG_STATE_HOME": s.folder, "HOME": s.folder, "YOUPROXY_API_KEY": shopKey, "YOUPROXY_BASE_URL": "http://127.0.0.1:1",
		}
		t.Cleanup(s.Close)
		f(t, s)
	})
}

// run runs the program, and checks that it keeps its secrets.
func (s *shop) run(args ...string) (code int, stdout, stderr string) {
	return s.runContext(s.t.Context(), args...)
}

func (s *shop) runContext(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out bytes.Buffer
	s.stderr = &bytes.Buffer{}
	in := s.in
	if in == nil {
		in = strings.NewReader(s.answer)
	}
	a := &app{
		in: in, out: cmp.Or[io.Writer](s.out, &out), err: s, asks: s.answer != "" || s.in != nil,
		env:     func(name string) string { return s.env[name] },
		options: []youproxy.Option{youproxy.WithHTTPClient(&http.Client{Transport: s.Transport()})},
	}
	code = a.run(ctx, args)
	assert.NotContains(s.t, strings.ToLower(out.String()+s.stderr.String()), strings.ToLower(shopKey))
	for _, p := range s.IPAddresses() {
		if p.Password != "" {
			assert.NotContains(s.t, s.stderr.String(), p.Password)
		}
	}
	return code, out.String(), s.stderr.String()
}

// Write is the program's stderr.
func (s *shop) Write(p []byte) (int, error) {
	n, err := s.stderr.Write(p)
	if s.onErr != nil {
		s.onErr(s.stderr.String())
	}
	return n, err
}

// sent returns how many requests of an operation came.
func (s *shop) sent(op string) (n int) {
	for _, r := range s.Requests() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// urls returns the proxies of the last order as buy prints them.
func (s *shop) urls() string {
	orders := s.Orders()
	require.NotEmpty(s.t, orders)
	var b strings.Builder
	for _, p := range s.IPAddresses() {
		if p.OrderID == orders[len(orders)-1].ID {
			b.WriteString("http://" + p.Login + ":" + p.Password + "@" + p.Host + ":" + itoa(p.HTTPPort) + "\n")
		}
	}
	return b.String()
}

// next returns the arguments of the first command that the program says to run next, but for
// the journal.
func (s *shop) next(stderr string) []string {
	s.t.Helper()
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(line, "  youproxy "); ok {
			words := shellWords(strings.TrimSpace(rest))
			i := slices.Index(words, "--journal")
			require.GreaterOrEqual(s.t, i, 0, "another environment can have another journal: %s", line)
			assert.Equal(s.t, s.journal(), words[i+1])
			return slices.Delete(words, i, i+2)
		}
	}
	require.Fail(s.t, "nothing to run next", stderr)
	return nil
}

// shellWords splits a line as a shell does, as far as [commandLine] quotes.
func shellWords(line string) (words []string) {
	word, quoted := "", false
	line = strings.ReplaceAll(line, `'\''`, "\x00")
	for _, r := range line {
		switch {
		case r == 0:
			word += "'"
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			words = append(words, word)
			word = ""
		default:
			word += string(r)
		}
	}
	return append(words, word)
}

func (s *shop) journal() string { return filepath.Join(s.folder, "youproxy", "journal.jsonl") }

// addISP adds ISP proxies that end in two days.
func (s *shop) addISP(quantity int) youproxytest.Order {
	return s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: quantity, CreatedAt: time.Now().AddDate(0, 0, -28)})
}
