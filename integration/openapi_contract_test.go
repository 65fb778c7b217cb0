package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/router"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/stretchr/testify/require"
)

const (
	openAPIFile   = "../api/openapi.yaml" // of another module: after a change to it, go test wants -count=1
	strictOverlay = "../api/strict.overlay.yaml"
	basePath      = "/client/api/v1/"
)

// contract holds requests and replies against the OpenAPI document with the overlay
// that makes it strict.
type contract struct {
	document  *v3.Document
	router    router.Router
	validator validator.Validator
}

var loadContract = sync.OnceValues(func() (*contract, error) {
	text, err := os.ReadFile(openAPIFile)
	if err != nil {
		return nil, err
	}
	overlay, err := os.ReadFile(strictOverlay)
	if err != nil {
		return nil, err
	}
	strict, err := libopenapi.ApplyOverlayFromBytesToSpecBytes(text, overlay)
	if err != nil {
		return nil, err
	}
	if len(strict.Warnings) > 0 { // such as a target that is not there
		return nil, fmt.Errorf("%s: %+v", strictOverlay, strict.Warnings)
	}
	document := strict.OverlayDocument
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v := validator.NewValidatorFromV3Model(&model.Model,
		config.WithStrictServerMatching(), config.WithFormatAssertions(),
		config.WithRejectUndeclaredRequestBody(), config.WithRejectUnsupportedBodyContent())
	v.SetDocument(document)
	return &contract{&model.Model, router.NewRouter(&model.Model), v}, nil
})

func theContract(t testing.TB) *contract {
	t.Helper()
	c, err := loadContract()
	require.NoError(t, err)
	return c
}

// op returns the operation of a request, such as "POST /order", or "".
func (c *contract) op(r *http.Request) string {
	route, err := c.router.FindRoute(toService(r, nil))
	if err != nil {
		return ""
	}
	return r.Method + " " + strings.TrimPrefix(route.Path, "/{apiKey}")
}

// request returns how a request breaks the contract. body is the whole body.
func (c *contract) request(r *http.Request, body []byte) []string {
	r = toService(r, body)
	route, err := c.router.FindRoute(r)
	if err != nil {
		return []string{err.Error()}
	}
	broken := onlyJSON(body)
	known := map[string]bool{}
	for _, p := range slices.Concat(route.PathItem.Parameters, route.Operation.Parameters) {
		known[p.In+" "+p.Name] = true
	}
	for name, values := range r.URL.Query() {
		switch {
		case !known["query "+name]:
			broken = append(broken, fmt.Sprintf("query parameter %q is unknown", name))
		case len(values) != 1:
			broken = append(broken, fmt.Sprintf("query parameter %q is there %d times", name, len(values)))
		}
	}
	_, errs := c.validator.ValidateHttpRequestSync(r)
	return append(broken, texts(errs)...)
}

// reply returns how the reply to a request breaks the contract.
func (c *contract) reply(r *http.Request, status int, header http.Header, body []byte) []string {
	if status == 200 && jsontext.Value(body).Kind() != '{' { // the validator lets these pass
		return []string{"the body is not a JSON object"}
	}
	r = toService(r, nil)
	_, errs := c.validator.ValidateHttpResponse(r, &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	})
	return append(onlyJSON(body), texts(errs)...)
}

// toService returns a request as if it were sent to the server of the document.
func toService(r *http.Request, body []byte) *http.Request {
	r = withBody(r, body)
	r.URL.Scheme, r.URL.Host, r.Host = "https", "youproxy.io", "youproxy.io"
	return r
}

func withBody(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = http.NoBody, int64(len(body))
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r
}

// onlyJSON finds what the validator does not look at: duplicate members, and text
// after the end.
func onlyJSON(body []byte) []string {
	if len(body) > 0 && !jsontext.Value(body).IsValid() {
		return []string{"the body is not one JSON value without duplicate members"}
	}
	return nil
}

func texts(errs []*validation.ValidationError) []string {
	var list []string
	for _, e := range errs {
		text := e.Message + ": " + e.Reason
		for _, s := range e.SchemaValidationErrors {
			text += fmt.Sprintf("\n    %s: %s", s.FieldPath, s.Reason)
		}
		list = append(list, text)
	}
	return list
}
