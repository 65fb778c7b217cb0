package youproxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/outcometest"
)

// TestOutcomes makes everything happen to an order that can, against a real
// listener: how often did it arrive, and what is said of it?
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for _, c := range outcometest.Cases {
			t.Run(fmt.Sprintf("HTTP/%d/%s", map[bool]int{false: 1, true: 2}[http2], c.Name), func(t *testing.T) {
				t.Parallel()
				reached, err := c.Run(t, http2, nil)
				assert.Equal(t, c.Reached, reached, "how often the order reached the service")
				assert.Equal(t, c.Outcome, youproxy.OutcomeOf(err), "%v", err)
				assert.Equal(t, c.Outcome == youproxy.OutcomeUnknown, errors.Is(err, youproxy.ErrOutcomeUnknown))
				assert.Equal(t, c.Outcome == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))
				assertKind(t, c.Error, err)
			})
		}
	}
}

func assertKind(t *testing.T, kind string, err error) {
	var apiErr *youproxy.APIError
	var callErr *youproxy.CallError
	if kind == "none" {
		require.NoError(t, err)
		return
	}
	assert.Equal(t, strings.Contains(kind, "APIError"), errors.As(err, &apiErr), "%v", err)
	assert.Equal(t, strings.Contains(kind, "CallError"), errors.As(err, &callErr), "%v", err)
	assert.Equal(t, strings.Contains(kind, "ErrRedirect"), errors.Is(err, youproxy.ErrRedirect), "%v", err)
	assert.Equal(t, strings.Contains(kind, "ErrReplyTooLarge"), errors.Is(err, youproxy.ErrReplyTooLarge), "%v", err)
}
