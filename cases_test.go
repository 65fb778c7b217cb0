package youproxy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// listCase is a reply of a form that is not documented, with what to make of it.
type listCase struct {
	Name   string                       `json:"name"`
	Reply  json.RawMessage              `json:"reply"`
	Query  youproxy.ProxyType           `json:"query"`
	Want   []map[string]json.RawMessage `json:"want"`
	Loud   bool                         `json:"loud"`   // an error
	Either bool                         `json:"either"` // that, or what is wanted
}

// caseFiles are the given replies, those thought of before the reader was written, and those that an
// attack on it found.
var caseFiles = []string{"lists.json", "further-lists.json", "found-lists.json"}

func readCases[T any](t testing.TB, file string) (cases []T) {
	t.Helper()
	data, err := os.ReadFile("testdata/cases/" + file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &cases))
	require.NotEmpty(t, cases)
	return cases
}

// memberOf returns a member of a proxy as the cases name it.
func memberOf(p youproxy.Proxy, name string) any {
	date := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return at.Format(time.RFC3339Nano)
	}
	var c youproxy.Credentials
	if p.Credentials != nil {
		c = *p.Credentials
	}
	switch name {
	case "id":
		return string(p.ID)
	case "host":
		return p.Host
	case "proxyType":
		return string(p.ProxyType)
	case "orderId":
		return string(p.OrderID)
	case "orderNumber":
		return string(p.OrderNumber)
	case "country":
		return p.Country
	case "start":
		return date(p.Start)
	case "end":
		return date(p.End)
	case "httpPort":
		return p.HTTPPort
	case "socks5Port":
		return p.SOCKS5Port
	case "login":
		return c.Login
	case "password":
		return c.Password.Reveal()
	case "mobileOperator":
		return p.MobileOperator
	case "autoExtend":
		return p.AutoExtend
	case "autoExtendUnknown":
		return p.AutoExtendUnknown
	case "noURL":
		_, err := p.URL(youproxy.SchemeAny)
		return err != nil
	}
	panic("a case wants " + name)
}

// differs returns how a list is not as a case wants it.
func (c *listCase) differs(got []youproxy.Proxy) string {
	if len(got) != len(c.Want) {
		return fmt.Sprintf("%d proxies, not %d: %v", len(got), len(c.Want), got)
	}
	for i, want := range c.Want {
		for name, value := range want {
			is, err := json.Marshal(memberOf(got[i], name))
			if err != nil {
				panic(err)
			}
			if string(is) != string(value) {
				return fmt.Sprintf("%s of proxy %d is %s, not %s", name, i, is, value)
			}
		}
	}
	return ""
}

// Every reply is read as it is wanted, or is an error where that is wanted: none is silently
// wrong or empty.
func TestListCases(t *testing.T) {
	t.Parallel()
	for _, file := range caseFiles {
		var right, empty, loud int
		for _, tc := range readCases[listCase](t, file) {
			t.Run(tc.Name, func(t *testing.T) {
				client, _ := answering(t, 200, string(tc.Reply))
				got, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{ProxyType: tc.Query})
				switch {
				case tc.Loud && err == nil:
					t.Errorf("no error, but %d proxies: %v\n%s", len(got), got, tc.Reply)
				case tc.Loud, tc.Either && err != nil:
					loud++
				case err != nil:
					t.Errorf("%v\n%s", err, tc.Reply)
				default:
					assert.Empty(t, tc.differs(got), "%s", tc.Reply)
					if right++; len(got) == 0 {
						empty++
					}
				}
			})
		}
		t.Logf("%s: %d as wanted, of which %d empty; %d an error, as it should be", file, right, empty, loud)
	}
}
