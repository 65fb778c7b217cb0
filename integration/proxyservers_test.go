package integration

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// Logins with characters that must be escaped in a URL, and a space.
const (
	oddLogin    = "us@er/%#? 1"  // HTTP takes no colon in a login
	oddLogin5   = "us@er:/%#? 1" // SOCKS5 does
	oddPassword = "p@:/%#? w"
)

// proxyServer is a process of a third-party proxy server on loopback.
type proxyServer struct {
	t               *testing.T
	kind            string
	login, password string // no login: anybody may use it
	httpPort        int    // 0: it speaks no HTTP
	httpsPort       int    // 0: it speaks no HTTP over TLS
	socksPort       int    // 0: it speaks no SOCKS5
	command         func() *exec.Cmd
	log             *os.File
	process         *exec.Cmd
}

// proxyServers has a function to start each kind, with the oddest login that it accepts.
var proxyServers = map[string]func(t *testing.T) *proxyServer{
	"squid":      func(t *testing.T) *proxyServer { return startSquid(t, oddLogin, oddPassword) },
	"tinyproxy":  func(t *testing.T) *proxyServer { return startTinyproxy(t, "us-er.1", "pass-word_1") },
	"microsocks": func(t *testing.T) *proxyServer { return startMicrosocks(t, oddLogin5, oddPassword) },
	"dante":      func(t *testing.T) *proxyServer { return startDante(t, oddLogin, oddPassword) },
	"v2ray":      func(t *testing.T) *proxyServer { return startV2ray(t, oddLogin, oddPassword) },
}

// startSquid starts Squid. It accepts no login that has a colon or starts with #.
func startSquid(t *testing.T, login, password string) *proxyServer {
	t.Helper()
	squid := program(t, "squid", "squid")
	helper := "/usr/lib/squid/basic_ncsa_auth"
	require.FileExists(t, helper, "install Debian's squid")
	s := newProxyServer(t, "squid", login, password)
	s.httpPort, s.httpsPort = freePort(t), freePort(t)
	dir := sharedDir(t)
	cert, key := certificateFiles(t, dir)
	config := fmt.Sprintf(`http_port 127.0.0.1:%d
https_port 127.0.0.1:%d tls-cert=%s tls-key=%s
pid_filename none
cache_log %[5]s/cache.log
access_log none
cache_store_log none
coredump_dir %[5]s
cache deny all
memory_pools off
netdb_filename none
shutdown_lifetime 0 seconds
`, s.httpPort, s.httpsPort, cert, key, dir)
	if login == "" {
		config += "http_access allow all\n"
	} else {
		hash := exec.CommandContext(t.Context(), program(t, "openssl", "openssl"), "passwd", "-apr1", "-stdin")
		hash.Stdin = strings.NewReader(password + "\n")
		hashed, err := hash.Output()
		require.NoError(t, err)
		write(t, dir, "passwords", login+":"+strings.TrimSpace(string(hashed))+"\n")
		config += fmt.Sprintf(`auth_param basic program %s %s/passwords
auth_param basic children 5 startup=2 idle=1
auth_param basic realm proxy
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
`, helper, dir)
	}
	file := write(t, dir, "squid.conf", config)
	name := "test" + strconv.Itoa(s.httpPort)
	s.command = func() *exec.Cmd { return exec.Command(squid, "-N", "-n", name, "-f", file) }
	s.start()
	return s
}

// startTinyproxy starts Tinyproxy. It accepts letters, digits and - . _ in a login and
// a password.
func startTinyproxy(t *testing.T, login, password string) *proxyServer {
	t.Helper()
	tinyproxy := program(t, "tinyproxy", "tinyproxy")
	s := newProxyServer(t, "tinyproxy", login, password)
	s.httpPort = freePort(t)
	config := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 500\nAllow 127.0.0.1\nLogLevel Error\n", s.httpPort)
	if login != "" {
		config += fmt.Sprintf("BasicAuth %s %s\n", login, password)
	}
	file := write(t, sharedDir(t), "tinyproxy.conf", config)
	s.command = func() *exec.Cmd { return exec.Command(tinyproxy, "-d", "-c", file) }
	s.start()
	return s
}

// startMicrosocks starts MicroSocks. It accepts every character.
func startMicrosocks(t *testing.T, login, password string) *proxyServer {
	t.Helper()
	microsocks := program(t, "microsocks", "microsocks")
	s := newProxyServer(t, "microsocks", login, password)
	s.socksPort = freePort(t)
	args := []string{"-i", "127.0.0.1", "-p", strconv.Itoa(s.socksPort)}
	if login != "" {
		args = append(args, "-u", login, "-P", password)
	}
	s.command = func() *exec.Cmd { return exec.Command(microsocks, args...) }
	s.start()
	return s
}

// startDante starts Dante. Its users are those of the system, so it gets its own in a
// mount namespace, which requires root. Their names allow no colon.
func startDante(t *testing.T, login, password string) *proxyServer {
	t.Helper()
	danted, unshare := program(t, "danted", "dante-server"), program(t, "unshare", "util-linux")
	require.Zero(t, os.Geteuid(), "Dante must be started by root")
	s := newProxyServer(t, "dante", login, password)
	s.socksPort = freePort(t)
	dir := sharedDir(t)
	hash := exec.CommandContext(t.Context(), program(t, "openssl", "openssl"), "passwd", "-6", "-stdin")
	hash.Stdin = strings.NewReader(password + "\n")
	hashed, err := hash.Output()
	require.NoError(t, err)
	write(t, dir, "passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"+login+":x:60001:65534::/:/bin/false\n")
	write(t, dir, "shadow", "root:*:19000::::::\nnobody:*:19000::::::\n"+login+":"+strings.TrimSpace(string(hashed))+":19000::::::\n")
	file := write(t, dir, "danted.conf", fmt.Sprintf(`logoutput: %s/danted.log
internal: 127.0.0.1 port = %d
external: 127.0.0.1
clientmethod: none
socksmethod: username
user.privileged: root
user.unprivileged: nobody
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
`, dir, s.socksPort))
	script := `mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && exec "$2" -f "$3"`
	s.command = func() *exec.Cmd {
		return exec.Command(unshare, "--mount", "sh", "-c", script, "sh", dir, danted, file)
	}
	s.start()
	return s
}

// onlyThere is a name of this machine that only V2Ray can resolve. What reaches it went
// through the proxy, which looked the name up.
const onlyThere = "target.invalid"

// startV2ray starts V2Ray, which speaks HTTP and SOCKS5. Its HTTP accepts no colon in a
// login.
func startV2ray(t *testing.T, login, password string) *proxyServer {
	t.Helper()
	return startV2rayFor(t, [][2]string{{login, password}})
}

// startV2rayFor starts V2Ray with several logins and their passwords. The proxyServer
// has the first.
func startV2rayFor(t *testing.T, logins [][2]string) *proxyServer {
	t.Helper()
	v2ray := program(t, "v2ray", "v2ray")
	s := newProxyServer(t, "v2ray", logins[0][0], logins[0][1])
	s.httpPort, s.httpsPort, s.socksPort = freePort(t), freePort(t), freePort(t)
	dir := sharedDir(t)
	cert, key := certificateFiles(t, dir)
	type object = map[string]any
	var accounts []object
	for _, l := range logins {
		accounts = append(accounts, object{"user": l[0], "pass": l[1]})
	}
	config, err := json.Marshal(object{
		"log": object{"loglevel": "error"},
		"inbounds": []object{
			{"listen": "127.0.0.1", "port": s.httpPort, "protocol": "http", "settings": object{"accounts": accounts}},
			{
				"listen": "127.0.0.1", "port": s.httpsPort, "protocol": "http", "settings": object{"accounts": accounts},
				"streamSettings": object{"security": "tls", "tlsSettings": object{"certificates": []object{{"certificateFile": cert, "keyFile": key}}}},
			},
			{"listen": "127.0.0.1", "port": s.socksPort, "protocol": "socks", "settings": object{"auth": "password", "accounts": accounts}},
		},
		"dns":       object{"hosts": object{onlyThere: "127.0.0.1"}},
		"outbounds": []object{{"protocol": "freedom", "settings": object{"domainStrategy": "UseIPv4"}}},
	})
	require.NoError(t, err)
	file := write(t, dir, "v2ray.json", string(config))
	s.command = func() *exec.Cmd { return exec.Command(v2ray, "-config", file) }
	s.start()
	return s
}

func newProxyServer(t *testing.T, kind, login, password string) *proxyServer {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), kind+".log"))
	require.NoError(t, err)
	s := &proxyServer{t: t, kind: kind, login: login, password: password, log: log}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s said: %s", kind, text)
		}
		_ = log.Close()
	})
	return s
}

// program returns the path of a program of a Debian package.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	require.Fail(t, name+" is not here", "install Debian's %s: .ci/install-proxies and .ci/install-databases do", debian)
	return ""
}

// sharedDir returns a folder that servers can use after they gave up being root.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// certificateFiles writes the certificate of the targets and its key.
func certificateFiles(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	secret, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	cert = write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	key = write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return cert, key
}

// taken has the ports that this process has used.
var taken sync.Map

func freePort(t *testing.T) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		if _, given := taken.LoadOrStore(port, true); !given {
			return port
		}
	}
}

// start runs the server and waits until it accepts connections.
func (s *proxyServer) start() {
	s.t.Helper()
	s.process = s.command()
	s.process.Stdout, s.process.Stderr = s.log, s.log
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, s.process.Start())
	for _, port := range []int{s.httpPort, s.httpsPort, s.socksPort} {
		if port == 0 {
			continue
		}
		require.Eventually(s.t, func() bool {
			c, err := net.Dial("tcp", address(port))
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		}, 30*time.Second, 20*time.Millisecond, "%s does not take connections", s.kind)
	}
}

// kill kills the server and so ends all connections through it.
func (s *proxyServer) kill() {
	if s.process == nil {
		return
	}
	_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
	_ = s.process.Wait()
	s.process = nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// schemes returns the schemes that the server speaks.
func (s *proxyServer) schemes() (list []youproxy.Scheme) {
	if s.httpPort != 0 {
		list = append(list, youproxy.SchemeHTTP)
	}
	if s.socksPort != 0 {
		list = append(list, youproxy.SchemeSOCKS5)
	}
	return list
}

// proxy returns the server as the list of an account would have it.
func (s *proxyServer) proxy() youproxy.Proxy { return s.proxyWith(s.password) }

func (s *proxyServer) proxyWith(password string) youproxy.Proxy {
	p := youproxy.Proxy{ID: youproxy.IPAddressID(s.kind), Host: "127.0.0.1", HTTPPort: s.httpPort, SOCKS5Port: s.socksPort}
	if s.login != "" {
		p.Credentials = &youproxy.Credentials{Login: s.login, Password: youproxy.NewSecret(password)}
	}
	return p
}

func (s *proxyServer) url(scheme youproxy.Scheme) *url.URL { return s.urlWith(scheme, s.password) }

func (s *proxyServer) urlWith(scheme youproxy.Scheme, password string) *url.URL {
	s.t.Helper()
	u, err := s.proxyWith(password).URL(scheme)
	require.NoError(s.t, err)
	return u
}

// assertNoPassword checks that a string has no password, raw, escaped or in Base64.
func (s *proxyServer) assertNoPassword(t *testing.T, text string, passwords ...string) {
	t.Helper()
	for _, password := range append(passwords, s.password) {
		for _, form := range []string{
			password, url.QueryEscape(password), url.PathEscape(password), strings.TrimPrefix(url.UserPassword("", password).String(), ":"),
			strconv.Quote(password), base64.StdEncoding.EncodeToString([]byte(s.login + ":" + password)),
		} {
			assert.NotContains(t, text, strings.Trim(form, `"`))
		}
	}
}

// target is a web server that records its requests.
type target struct {
	*httptest.Server

	conns atomic.Int64 // in total

	mu       sync.Mutex
	requests map[string]int // number of requests by their Id field
	proto    string         // of the last request
}

// targets has a function to start each kind of target.
var targets = map[string]func(t *testing.T) *target{
	"http":           func(t *testing.T) *target { return startTarget(t, func(s *httptest.Server) { s.Start() }) },
	"https HTTP/1.1": func(t *testing.T) *target { return startTarget(t, func(s *httptest.Server) { s.StartTLS() }) },
	"https HTTP/2":   startHTTP2Target,
}

func startHTTP2Target(t *testing.T) *target {
	return startTarget(t, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	})
}

// startTarget starts a server that answers with the request body, or with a page if
// there is none.
func startTarget(t *testing.T, start func(*httptest.Server)) *target {
	t.Helper()
	g := &target{requests: make(map[string]int)}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			http.NotFound(w, r)
			return
		}
		g.mu.Lock()
		g.requests[r.Header.Get("Id")]++
		g.proto = r.Proto
		g.mu.Unlock()
		switch {
		case r.Header.Get("Bare") != "":
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPost:
			body, err := io.ReadAll(r.Body) // all of it, as some servers end an upload that is answered early
			if err == nil {
				_, _ = w.Write(body)
			}
		default:
			_, _ = io.WriteString(w, page)
		}
	}))
	g.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			g.conns.Add(1)
		}
	}
	g.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(g.Server)
	t.Cleanup(g.Close)
	return g
}

const page = "<html><body><p>the target's page</p></body></html>"

// transport returns a transport that trusts the target.
func (g *target) transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	g.trusting(t)
	return t
}

// onlyThere returns the target's URL with the name that only V2Ray can resolve.
func (g *target) onlyThere() string { return strings.Replace(g.URL, "127.0.0.1", onlyThere, 1) }

func (g *target) trusting(t *http.Transport) {
	if g.Certificate() == nil {
		return
	}
	pool := x509.NewCertPool()
	pool.AddCert(g.Certificate())
	t.TLSClientConfig = g.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	t.TLSClientConfig.RootCAs = pool
	t.TLSClientConfig.NextProtos = nil
}

func (g *target) times(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests[id]
}

func (g *target) spoke() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proto
}
