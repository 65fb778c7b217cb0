package proxypool

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// protocol is how a target speaks.
type protocol struct {
	name  string
	start func(*httptest.Server)
}

var protocols = []protocol{
	{"http", func(s *httptest.Server) { s.Start() }},
	{"HTTP/1.1", func(s *httptest.Server) { s.StartTLS() }},
	{"HTTP/2", func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	}},
}

// target starts a server that requests are for.
func target(t testing.TB, p protocol, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{testCertificate()}}
	p.start(s)
	t.Cleanup(s.Close)
	return s
}

func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "hello")
}

// testCertificate is that of all targets and proxies.
var testCertificate = sync.OnceValue(func() tls.Certificate { return Certificate("example.com", "*.example.com") })

// testRoots know it.
var testRoots = sync.OnceValue(func() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(testCertificate().Leaf)
	return roots
})

// strangeCertificate is one that nobody trusts.
var strangeCertificate = sync.OnceValue(func() tls.Certificate { return Certificate("example.com") })

// Certificate makes a certificate for names and for loopback addresses. Its key is one
// of an elliptic curve: with RSA, as in net/http/httptest, handshakes take most of the
// time of the tests.
func Certificate(names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), // the clock of a bubble begins in 2000
		NotAfter:     time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
