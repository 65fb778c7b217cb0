package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildProgram builds cmd/youproxy once, and returns its folder.
// It is of another module: after a change to it, go test wants -count=1.
var buildProgram = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "youproxy-program-")
	if err != nil {
		return "", err
	}
	atExit = append(atExit, func() { _ = os.RemoveAll(folder) })
	build := exec.Command("go", "build", "-o", folder, "./cmd/youproxy")
	build.Dir = ".."
	build.Stderr = os.Stderr
	return folder, build.Run()
})

// What the program must not show: passwords and reboot links, as the fake service makes
// them.
var passwords = regexp.MustCompile(`Pw[0-9a-f]{8}|reboot\.youproxy`)

// person is somebody at a shell, with a home of its own.
type person struct {
	t    *testing.T
	home string
	env  map[string]string
	keys []string // of the API, which stand nowhere
}

func newPerson(t *testing.T) *person {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds programs")
	}
	folder, err := buildProgram()
	require.NoError(t, err)
	home := t.TempDir()
	p := &person{t: t, home: home, env: map[string]string{
		"HOME": home, "TERM": "xterm", "LANG": "C.UTF-8", "PATH": folder + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}}
	t.Cleanup(p.noSecretsKept)
	return p
}

// lists are the files at home in which a test writes proxies.
var lists = []string{"proxies.txt", "proxy.conf"}

// state returns a file that the program keeps.
func (p *person) state(names ...string) string {
	return filepath.Join(append([]string{p.home, ".local", "state", "youproxy"}, names...)...)
}

// write makes a file at home.
func (p *person) write(name, text string, mode os.FileMode) string {
	p.t.Helper()
	file := filepath.Join(p.home, name)
	require.NoError(p.t, os.WriteFile(file, []byte(text), mode))
	return file
}

// command returns a command in the person's home. It ends with the test, if not before.
func (p *person) command(name string, args ...string) *exec.Cmd {
	p.t.Helper()
	folder, err := buildProgram()
	require.NoError(p.t, err)
	path := filepath.Join(folder, name)
	if name != "youproxy" {
		path = program(p.t, name, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // that of the test ends before its cleanup
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = p.home
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// said is what a command said, and its exit code.
type said struct {
	code           int
	stdout, stderr string
}

// run runs the program with pipes, where nobody can be asked.
func (p *person) run(args ...string) said {
	p.t.Helper()
	return p.finish(p.command("youproxy", args...))
}

// finish runs a command of the program, and holds what it says against what it must not.
func (p *person) finish(cmd *exec.Cmd) said {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	require.NoError(p.t, cmd.Start())
	_ = cmd.Wait()
	s := said{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	p.noSecrets(s.stderr, cmd.Args...)
	out := s.stdout
	if handsOut(cmd.Args) {
		out = passwords.ReplaceAllString(out, "")
	}
	p.noSecrets(out, cmd.Args...)
	return s
}

// handsOut reports whether a command is to print passwords on stdout.
func handsOut(args []string) bool {
	for _, arg := range args {
		if arg == "export" || arg == "buy" {
			return true
		}
	}
	return false
}

// noSecrets fails the test where a text shows a key or a password.
func (p *person) noSecrets(text string, what ...string) {
	p.t.Helper()
	assert.NotRegexp(p.t, passwords, text, "%q", what)
	for _, key := range p.keys {
		assert.NotContains(p.t, strings.ToLower(text), strings.ToLower(key), "%q", what)
	}
}

// noSecretsKept looks into all files at home but lists, and into the command lines of all
// processes.
func (p *person) noSecretsKept() {
	p.t.Helper()
	require.NoError(p.t, filepath.WalkDir(p.home, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || slices.Contains(lists, entry.Name()) {
			return err
		}
		text, err := os.ReadFile(path)
		p.noSecrets(string(text), path)
		return err
	}))
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(p.t, err)
	for _, file := range lines {
		line, _ := os.ReadFile(file) // nothing of a process that has ended
		p.noSecrets(string(line), file)
	}
}

// ok runs the program, which is to end well, and returns its stdout.
func (p *person) ok(args ...string) string {
	p.t.Helper()
	s := p.run(args...)
	require.Zero(p.t, s.code, "%q: %s", args, s.stderr)
	return s.stdout
}

// bought returns how many purchases of the sandbox were executed.
func (p *person) bought() int {
	p.t.Helper()
	return strings.Count(p.ok("--sandbox", "journal", "list"), "\texecuted\t")
}

// next returns the first line that the program says to run next.
func next(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^  (youproxy .*?)\r?$`).FindStringSubmatch(text)
	require.NotNil(t, found, "it does not say what to run next: %s", text)
	return found[1]
}
