package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program gives a process of the program, which a test may change and start.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("it has neither these signals nor this shell")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, self, args...)
	command.Env = append(os.Environ(), asProgram+"=1")
	return command
}

// closedPipe gives the end for writing of a pipe that nobody reads.
func closedPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestAProcessThatIsStopped(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			path := folderWith(t, "list.txt")
			withKey(t)
			asked := make(chan struct{})
			inFrontOf(t, func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
			})
			command := program(t, "-o", path)
			var stderr strings.Builder
			command.Stderr = &stderr
			require.NoError(t, command.Start())
			<-asked
			assert.Len(t, names(t, filepath.Dir(path)), 2)

			require.NoError(t, command.Process.Signal(signal))

			assert.Error(t, command.Wait())
			assert.Equal(t, 1, command.ProcessState.ExitCode())
			assert.Contains(t, stderr.String(), signal.String()+" signal received")
			assert.Equal(t, oldList, read(t, path))
			assert.Equal(t, []string{"list.txt"}, names(t, filepath.Dir(path)))
		})
	}
}

func TestAProcessWhoseStdoutIsClosed(t *testing.T) {
	withoutKey(t)
	command := program(t)
	var stderr strings.Builder
	command.Stdout, command.Stderr = closedPipe(t), &stderr
	assert.Error(t, command.Run())
	assert.Equal(t, 1, command.ProcessState.ExitCode(), "it is not killed")
	assert.Contains(t, stderr.String(), "broken pipe\nexport: the list is not complete\n")
}

func TestAProcessWhoseStderrIsClosed(t *testing.T) {
	withoutKey(t)
	path := filepath.Join(t.TempDir(), "list.txt")
	command := program(t, "-layout", "scrapy", "-skip", "-o", path)
	command.Stderr = closedPipe(t)
	assert.NoError(t, command.Run())
	assert.Equal(t, 5, strings.Count(read(t, path), "proxy"))
	assert.Len(t, names(t, filepath.Dir(path)), 1)
}

func TestAUmaskTakesNothingAway(t *testing.T) {
	withoutKey(t)
	path := filepath.Join(t.TempDir(), "list.txt")
	command := program(t, "-o", path)
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	command.Args = append([]string{shell, "-c", `umask 0777; exec "$0" "$@"`, command.Path}, command.Args[1:]...)
	command.Path = shell
	assert.NoError(t, command.Run())
	checkPrivate(t, path)
}
