package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// interrupted makes a purchase that is interrupted before its reply comes.
func (s *shell) interrupted(fault youproxytest.Fault, key string) {
	s.t.Helper()
	s.Inject("POST /order", fault)
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	code, _, stderr := s.runContext(ctx, buying("--yes", "--idempotency-key", key)...)
	require.Equal(s.t, exitMaySpent, code, stderr)
}

func TestJournalList(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		delete(s.env, "YOUPROXY_API_KEY") // it needs none
		code, stdout, _ := s.run("journal", "list", "--output", "json")
		assert.Equal(t, exitDone, code)
		assert.Equal(t, "[]\n", stdout)
		assert.NoFileExists(t, s.journal())
		s.env["YOUPROXY_API_KEY"] = shellKey

		code, _, stderr := s.run(buying("--yes", "--idempotency-key", "first")...)
		require.Equal(t, exitDone, code, stderr)
		s.interrupted(youproxytest.Slow, "second")
		code, stdout, _ = s.run("journal", "list")
		assert.Equal(t, exitDone, code)
		lines := strings.Split(stdout, "\n")
		require.Len(t, lines, 3)
		assert.Regexp(t, `^\S+Z\texecuted\t\w{26}\torder of 1 x IPv4 for 30 days\t1.31 USD\t1.31 USD\tNUMBER-112233\tfirst\t-$`, lines[0])
		assert.Regexp(t, `^\S+Z\topen\t\w{26}\torder of 1 x IPv4 for 30 days\t1.31 USD\tunknown\t-\tsecond\t-$`, lines[1])

		time.Sleep(31 * 24 * time.Hour)
		code, stdout, _ = s.run("journal", "list", "-o", "json")
		assert.Equal(t, exitDone, code)
		var entries []youproxy.Entry
		require.NoError(t, json.Unmarshal([]byte(stdout), &entries))
		require.Len(t, entries, 1)
		assert.Equal(t, youproxy.EntryOpen, entries[0].State)
		code, stdout, _ = s.run("journal", "list", "--since", "40d")
		assert.Equal(t, exitDone, code)
		assert.Equal(t, 2, strings.Count(stdout, "\n"))
	})
}

func TestJournalRecover(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault youproxytest.Fault
		after func(s *shell)
		code  int
		want  string // on stdout
		told  string
	}{
		"executed":     {youproxytest.Slow, func(*shell) {}, exitDone, "\texecuted\torder of 1 x IPv4 for 30 days\t1.31 USD\tNUMBER-112233\tjob\t", "Looking for what became of 1 purchase,"},
		"late":         {youproxytest.CommitLate, func(*shell) {}, exitDone, "\texecuted\torder of 1 x IPv4 for 30 days\t1.31 USD\tNUMBER-112233\tjob\t", ""},
		"not executed": {youproxytest.DropBeforeCommit, func(*shell) {}, exitDone, "\tnot executed\t", ""},
		"cannot tell":  {youproxytest.DropBeforeCommit, func(s *shell) { s.SetBalance(youproxy.MustMoney("90 USD")) }, exitMaySpent, "\tundetermined\t", "it is not known what became of 1 purchase: money may have been spent\nTo look again, run:\n  youproxy journal recover --journal "},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.interrupted(test.fault, "job")
				test.after(s)
				code, stdout, stderr := s.run("journal", "recover")
				assert.Equal(t, test.code, code, stderr)
				assert.Contains(t, stdout, test.want)
				assert.Contains(t, stderr, test.told)
				if test.code == exitDone {
					code, stdout, stderr = s.run("journal", "recover", "--output", "json")
					assert.Equal(t, exitDone, code)
					assert.Equal(t, "[]\n", stdout)
					assert.Contains(t, stderr, "Nothing is open")
				}
				assert.Equal(t, 1, s.sent("POST /order"))
			})
		})
	}
}

func TestJournalRecoverInterrupted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.interrupted(youproxytest.DropBeforeCommit, "job")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, _, stderr := s.runContext(ctx, "journal", "recover")
		assert.Equal(t, exitMaySpent, code)
		assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))

		ctx, cancel = context.WithCancel(t.Context()) // before it begins
		defer cancel()
		s.onErr = func(string) { cancel() }
		code, _, stderr = s.runContext(ctx, "journal", "recover")
		assert.Equal(t, exitMaySpent, code)
		assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))
	})
}

func TestJournalDismiss(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.interrupted(youproxytest.Slow, "job")
		code, stdout, _ := s.run("journal", "list", "--since", "0d")
		require.Equal(t, exitDone, code)
		id := strings.Split(stdout, "\t")[2]

		_, stdout, _ = s.run("__complete", "journal", "dismiss", "")
		assert.Contains(t, stdout, id+"\torder of 1 x IPv4 for 30 days\n")

		for _, test := range []struct {
			args []string
			code int
			want string
		}{
			{[]string{id}, exitUsage, "--note is missing"},
			{[]string{id, "--note", " "}, exitUsage, "--note is missing"},
			{[]string{"--note", "x"}, exitUsage, "accepts 1 arg"},
			{[]string{"nosuch", "--note", "x"}, exitFailed, "the journal has no open attempt"},
			{[]string{id, "--note", "it is not there"}, exitDone, "Dismissed " + id},
			{[]string{id, "--note", "again"}, exitFailed, "the journal has no open attempt"},
		} {
			code, stdout, stderr := s.run(append([]string{"journal", "dismiss"}, test.args...)...)
			assert.Equal(t, test.code, code, stderr)
			assert.Contains(t, stderr, test.want)
			assert.Empty(t, stdout)
		}

		code, _, stderr := s.run(buying("--yes", "--idempotency-key", "job")...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "it was dismissed (it is not there)")
		assert.Contains(t, stderr, "To buy, use another --idempotency-key.")
		code, _, stderr = s.run(buying("--yes")...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Len(t, s.Orders(), 2)
	})
}

// The commands that are printed to be run next are of the same account.
func TestNextCommandNamesTheAccount(t *testing.T) {
	t.Chdir("/")
	a := &app{sandbox: true, keyFile: "my key", journalFile: "j.jsonl"}
	assert.Equal(t, `youproxy journal dismiss X --note 'it'\''s gone' --sandbox --key-file 'my key' --journal /j.jsonl`,
		a.command("journal", "dismiss", "X", "--note", "it's gone"))
}
