package filejournal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/long"
)

// The environment of this program when the tests start it as another process.
const (
	childJob  = "FILEJOURNAL_TEST_JOB"
	childPath = "FILEJOURNAL_TEST_PATH"
)

// child does one of the jobs that need a process of their own.
func child(name string) int {
	job, ok := map[string]func(path string) error{
		"hold": hold, "take turns": takeTurns, "write": writeOn, "disk full": diskFull, "compact on a full disk": compactOnFullDisk, "no access": noAccess,
	}[name]
	if !ok {
		return 2
	}
	if err := job(os.Getenv(childPath)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// start starts another process. Its output comes line by line.
func start(t *testing.T, job, path string) (cmd *exec.Cmd, stdin io.WriteCloser, output *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childJob+"="+job, childPath+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // if it has not ended
		_ = cmd.Wait()
	})
	return cmd, stdin, bufio.NewScanner(stdout)
}

// hold records an entry, and holds the lock until its input ends.
func hold(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	unlock, err := j.Lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := j.Record(context.Background(), entry("of the holder")); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestLockIsReleasedWhenItsProcessEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"unlock", "kill"} {
		path := newPath(t)
		j := open(t, path)
		holder, stdin, output := start(t, "hold", path)
		require.True(t, output.Scan())
		require.Equal(t, "locked", output.Text())

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := j.Lock(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "another process or handle holds the lock")
		assert.False(t, lockable(t, j))
		assert.Equal(t, "of the holder", ids(t, j))

		if end == "unlock" {
			require.NoError(t, stdin.Close())
			require.NoError(t, holder.Wait())
		} else {
			require.NoError(t, holder.Process.Kill())
		}
		put(t, j, entry("mine"))
		assert.Equal(t, "of the holder mine", ids(t, j))
	}
}

// turns is how many turns a process takes.
func turns() int {
	if long.Run() {
		return 100
	}
	return 15
}

// takeTurns records entries whose ids are how many there were before.
func takeTurns(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	for range turns() {
		if err := takeTurn(j); err != nil {
			return err
		}
	}
	return nil
}

func takeTurn(j *Journal) error {
	unlock, err := j.Lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	n := 0
	for _, err := range j.Entries(context.Background(), youproxy.EntryQuery{}) {
		if err != nil {
			return err
		}
		n++
	}
	return j.Record(context.Background(), entry(fmt.Sprint(n)))
}

func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	var others []*exec.Cmd
	for range 3 {
		cmd, _, _ := start(t, "take turns", path)
		others = append(others, cmd)
	}
	require.NoError(t, takeTurns(path))
	for _, cmd := range others {
		require.NoError(t, cmd.Wait())
	}
	got := strings.Fields(ids(t, open(t, path)))
	require.Len(t, got, 4*turns())
	for i, id := range got {
		require.Equal(t, fmt.Sprint(i), id)
	}
	assert.Equal(t, 4*turns(), strings.Count(content(t, path), "\n"), "two wrote the same entry")
}

// writeOn records until it is killed, and tells what it has recorded.
func writeOn(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	n := 0
	for e, err := range j.Entries(context.Background(), youproxy.EntryQuery{}) {
		if err != nil {
			return err
		}
		n = max(n, serial(e)+1)
	}
	for ; ; n++ {
		unlock, err := j.Lock(context.Background())
		if err != nil {
			return err
		}
		e := entry(fmt.Sprint(n % 7))
		e.Note = fmt.Sprintf("%d %s", n, strings.Repeat("x", 10_000))
		if err := j.Record(context.Background(), e); err != nil {
			return err
		}
		fmt.Println(n)
		unlock()
	}
}

// serial is the number in the note of an entry that writeOn has written.
func serial(e youproxy.Entry) int {
	number, _, _ := strings.Cut(e.Note, " ")
	n, _ := strconv.Atoi(number)
	return n
}

func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	j := open(t, path)
	recorded := make(map[string]int)
	rounds := 8
	if long.Run() {
		rounds = 30
	}
	for round := range rounds {
		writer, _, output := start(t, "write", path)
		for range round + 1 { // others come before it is dead
			require.True(t, output.Scan())
		}
		require.NoError(t, writer.Process.Kill())
		for more := true; more; more = output.Scan() {
			n, err := strconv.Atoi(output.Text())
			require.NoError(t, err, output.Text())
			recorded[fmt.Sprint(n%7)] = n
		}
		_ = writer.Wait() // it was killed
		for _, j := range []*Journal{j, open(t, path)} {
			put(t, j)
			for _, e := range all(t, j) {
				assert.GreaterOrEqual(t, serial(e), recorded[e.Attempt.ID], "a record was lost")
				assert.True(t, strings.HasSuffix(e.Note, "x"))
			}
			assert.GreaterOrEqual(t, len(all(t, j)), len(recorded))
		}
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(rounds*(rounds+1)/2*10_000), "it was never compacted")
}
