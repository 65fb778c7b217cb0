package youproxytest_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ipv4Order = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

func newServer(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	s := youproxytest.NewServer(opts...)
	t.Cleanup(s.Close)
	return s
}

func newClient(t *testing.T, s *youproxytest.Server, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	c, err := s.Client(opts...)
	require.NoError(t, err)
	return c
}

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const day = 24 * time.Hour

// send makes one request without the SDK, with the right key.
func send(t *testing.T, s *youproxytest.Server, op, body string) (status int, header http.Header, reply string) {
	t.Helper()
	method, path, _ := strings.Cut(op, " ")
	return sendTo(t, s, method, "/client/api/v1/"+s.APIKey()+path, "application/json", body)
}

func sendTo(t *testing.T, s *youproxytest.Server, method, path, contentType, body string) (status int, header http.Header, reply string) {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, in)
	require.NoError(t, err)
	if body != "" && contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.Transport().RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(read)
}

// open makes a GET request, and leaves its reply to be read.
func open(t *testing.T, s *youproxytest.Server, path string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/client/api/v1/"+s.APIKey()+path, nil)
	require.NoError(t, err)
	resp, err := s.Transport().RoundTrip(req)
	require.NoError(t, err)
	return resp.Body
}
