package integration

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenAPIDocumentIsValid(t *testing.T) {
	text, err := os.ReadFile(openAPIFile)
	require.NoError(t, err)
	document, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	v, errs := validator.NewValidator(document)
	require.Empty(t, errs)
	ok, broken := v.ValidateDocument()
	assert.True(t, ok, "%s", strings.Join(texts(broken), "\n"))
	assert.Equal(t, "3.0.3", document.GetVersion())
}

// The overlay tells a success from a refusal in every reply, and the two ways to
// log in in every order. A schema that it no longer finds by its name lacks that.
func TestStrictOverlayIsWhole(t *testing.T) {
	c := theContract(t)
	for _, o := range c.operations() {
		reply, _ := o.Responses.Codes.Get("200")
		content, _ := reply.Content.Get("application/json")
		assert.Len(t, content.Schema.Schema().OneOf, 2, o.name)
	}
	var orders int
	for name, schema := range c.document.Components.Schemas.FromOldest() {
		if properties := schema.Schema().Properties; properties != nil && properties.GetOrZero("authIp") != nil {
			orders++
			assert.Len(t, schema.Schema().OneOf, 2, name)
		}
	}
	assert.Equal(t, len(allProxyTypes), orders)
}

// operation is one of the document.
type operation struct {
	name string // such as "POST /order"
	*v3.Operation
}

func (c *contract) operations() []operation {
	var list []operation
	for path, item := range c.document.Paths.PathItems.FromOldest() {
		for method, o := range item.GetOperations().FromOldest() {
			list = append(list, operation{strings.ToUpper(method) + " " + strings.TrimPrefix(path, "/{apiKey}"), o})
		}
	}
	return list
}

// documented reports whether the reply is documented.
func (o operation) documented() bool { return strings.HasPrefix(o.Description, "Level: doc.") }

func (o operation) request(body string) *http.Request {
	method, path, _ := strings.Cut(o.name, " ")
	if path == "/country" || path == "/rentPeriod" {
		path += "?proxyType=IPv4"
	}
	return newRequest(method, basePath+"key"+path, body)
}

func newRequest(method, target, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// examples returns the examples of a media type as JSON, by name.
func examples(t *testing.T, content *orderedmap.Map[string, *v3.MediaType]) map[string]string {
	t.Helper()
	all := map[string]string{}
	media, ok := content.Get("application/json")
	require.True(t, ok)
	for name, example := range media.Examples.FromOldest() {
		var value any
		require.NoError(t, example.Value.Decode(&value))
		text, err := json.Marshal(value)
		require.NoError(t, err)
		all[name] = string(text)
	}
	return all
}

func (o operation) requests(t *testing.T) map[string]string {
	if o.RequestBody == nil {
		return nil
	}
	return examples(t, o.RequestBody.Content)
}

func (o operation) replies(t *testing.T) map[string]string {
	r, ok := o.Responses.Codes.Get("200")
	require.True(t, ok)
	return examples(t, r.Content)
}

var okHeader = http.Header{"Content-Type": {"application/json"}}

func TestOpenAPIDocumentIsWhole(t *testing.T) {
	want := []string{
		"GET /balance", "GET /promoCode", "GET /proxyType", "GET /country", "GET /rentPeriod", "GET /mobileOperator",
		"POST /calculate/order", "POST /calculate/extend", "POST /calculate/extend/order",
		"POST /order", "POST /extend", "POST /extend/order", "POST /extend/auto", "POST /extend/order/auto", "GET /ipAddress",
	}
	var names []string
	for _, o := range theContract(t).operations() {
		names = append(names, o.name)
		assert.Regexp(t, `^Level: (doc|reseller)\. `, o.Description, o.name)
		if strings.HasPrefix(o.name, "POST") {
			assert.NotEmpty(t, o.requests(t), o.name)
		}
		if o.documented() {
			var successes, refusals int
			for _, reply := range o.replies(t) {
				if strings.Contains(reply, `"success":true`) {
					successes++
				} else {
					refusals++
				}
			}
			assert.Positive(t, successes, o.name)
			assert.Positive(t, refusals, o.name)
		}
	}
	assert.ElementsMatch(t, want, names)
}

// Each example keeps the contract, and breaks it when a member is missing or has
// another type.
func TestOpenAPIExamples(t *testing.T) {
	c := theContract(t)
	for _, o := range c.operations() {
		for name, body := range o.requests(t) {
			t.Run(o.name+"/request/"+name, func(t *testing.T) {
				assert.Empty(t, c.request(o.request(body), []byte(body)))
				for change, changed := range spoiled(t, body, "promoCode") {
					assert.NotEmpty(t, c.request(o.request(changed), []byte(changed)), change)
				}
				more := `{"more":1,` + body[1:]
				assert.NotEmpty(t, c.request(o.request(more), []byte(more)))
			})
		}
		for name, body := range o.replies(t) {
			t.Run(o.name+"/reply/"+name, func(t *testing.T) {
				asked := o.request("")
				assert.Empty(t, c.reply(asked, 200, okHeader, []byte(body)))
				more := `{"more":1,` + body[1:]
				assert.Empty(t, c.reply(asked, 200, okHeader, []byte(more)), "replies may have further members")
				if !o.documented() {
					return
				}
				for change, changed := range spoiled(t, body) {
					assert.NotEmpty(t, c.reply(asked, 200, okHeader, []byte(changed)), change)
				}
			})
		}
	}
}

// spoiled returns variants of an object: without one of its members, unless that is
// optional, or with a member of another type.
func spoiled(t *testing.T, object string, optional ...string) map[string]string {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal([]byte(object), &members))
	all := map[string]string{}
	put := func(change string, changed map[string]any) {
		text, err := json.Marshal(changed)
		require.NoError(t, err)
		all[change] = string(text)
	}
	for name, value := range members {
		other := maps.Clone(members)
		switch value.(type) {
		case string, map[string]any, nil:
			other[name] = []int{1}
		default:
			other[name] = "text"
		}
		put(name+" of another type", other)
		if !slices.Contains(optional, name) {
			less := maps.Clone(members)
			delete(less, name)
			put("without "+name, less)
		}
	}
	return all
}
