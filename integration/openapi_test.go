package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
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
	"github.com/pb33f/libopenapi/orderedmap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	openAPIFile = "../api/openapi.yaml" // of another module: after a change to it, go test wants -count=1
	basePath    = "/client/api/v1/"
)

// contract holds requests and replies against the OpenAPI document.
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
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
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

// op gives the operation a request is of, such as "POST /order", or "".
func (c *contract) op(r *http.Request) string {
	route, err := c.router.FindRoute(toService(r, nil))
	if err != nil {
		return ""
	}
	return r.Method + " " + strings.TrimPrefix(route.Path, "/{apiKey}")
}

// request tells in what a request breaks the contract. body is the whole of it.
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
			broken = append(broken, fmt.Sprintf("query parameter %q is given %d times", name, len(values)))
		}
	}
	_, errs := c.validator.ValidateHttpRequestSync(r)
	return append(broken, texts(errs)...)
}

// reply tells in what the reply to a request breaks the contract.
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

// toService is a request as if it were sent to the server of the document.
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

// onlyJSON finds what the validator does not look at: members that are given
// twice, and text after the end.
func onlyJSON(body []byte) []string {
	if len(body) > 0 && !jsontext.Value(body).IsValid() {
		return []string{"the body is not one JSON value with each member given once"}
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

// traffic is what passed by a contract.
type traffic struct {
	mu   sync.Mutex
	list []exchange
}

type exchange struct {
	op      string // "" where the contract has none
	sent    string // method and target, as they arrived
	body    string // of the request
	success bool   // else refused
	broken  []string
}

func (s *traffic) add(e exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, e)
}

func (s *traffic) all() []exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// watch gives a handler that passes every request to next, and tells seen in what
// it or its reply breaks the contract.
func (c *contract) watch(next http.Handler, seen *traffic) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		e := exchange{op: c.op(r), sent: r.Method + " " + r.RequestURI, body: string(body)}
		for _, b := range c.request(r, body) {
			e.broken = append(e.broken, fmt.Sprintf("request %s with %s: %s", r.Method+" "+r.URL.RequestURI(), body, b))
		}
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, withBody(r, body))
		reply := recorded.Body.Bytes()
		for _, b := range c.reply(r, recorded.Code, recorded.Header(), reply) {
			e.broken = append(e.broken, fmt.Sprintf("reply %d %s to %s: %s", recorded.Code, reply, e.op, b))
		}
		var envelope struct{ Success bool }
		_ = json.Unmarshal(reply, &envelope)
		e.success = envelope.Success
		seen.add(e)

		maps.Copy(w.Header(), recorded.Header())
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(reply)
	})
}

// startWatched serves next on loopback, behind the contract; what breaks it fails
// the test.
func startWatched(t testing.TB, next http.Handler) (url string, seen *traffic) {
	t.Helper()
	seen = &traffic{}
	s := httptest.NewServer(theContract(t).watch(next, seen))
	t.Cleanup(func() {
		s.Close()
		for _, e := range seen.all() {
			for _, b := range e.broken {
				t.Errorf("%s", b)
			}
		}
	})
	return s.URL, seen
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	c := theContract(t)
	ok, errs := c.validator.ValidateDocument()
	assert.True(t, ok, "%s", strings.Join(texts(errs), "\n"))
	assert.Equal(t, "3.1.0", c.document.Version)
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

// documented reports whether the reply is.
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

// examples gives the examples of a media type as JSON, by name.
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

// Each example keeps the contract, and breaks it as soon as a member is taken
// away or of another type.
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

// spoiled gives an object without each of its members, but for the optional ones,
// and with each member of another type.
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

const (
	goodOrder  = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN"}`
	goodExtend = `{"proxyType": "IPv4", "ipAddressIds": ["1"], "rentPeriodDays": 30}`
	goodAuto   = `{"proxyType": "IPv4", "orderIds": ["1"], "rentPeriodDays": 30, "autoExtend": false}`
)

// changed replaces what must be there.
func changed(t *testing.T, text string, oldNew ...string) string {
	t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		require.Contains(t, text, oldNew[i])
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

func TestContractCatchesBadRequests(t *testing.T) {
	c := theContract(t)
	order := func(oldNew ...string) string { return changed(t, goodOrder, oldNew...) }
	type request struct{ name, op, body string }
	for _, good := range []request{
		{"balance", "GET /balance", ""},
		{"country", "GET /country?proxyType=MOBILE", ""},
		{"all proxies", "GET /ipAddress", ""},
		{"proxies of one type", "GET /ipAddress?proxyType=IPv6", ""},
		{"order", "POST /order", goodOrder},
		{"order by IPv4 address", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "192.0.2.7"`)},
		{"order by IPv6 address", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "2001:db8::1"`)},
		{"order of mobile proxies", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 300, "mobileOperator": "verizon", "goal"`)},
		{"order of mobile proxies that rotate by link", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 0, "mobileOperator": "verizon", "goal"`)},
		{"price", "POST /calculate/order", order(`, "authType": "LOGIN"`, ``)},
		{"extension", "POST /extend", goodExtend},
		{"auto-extension", "POST /extend/order/auto", goodAuto},
	} {
		t.Run("good/"+good.name, func(t *testing.T) {
			method, path, _ := strings.Cut(good.op, " ")
			assert.Empty(t, c.request(newRequest(method, basePath+"key"+path, good.body), []byte(good.body)))
		})
	}
	for _, bad := range []request{
		{"unknown path", "GET /nothing", ""},
		{"path too long", "POST /order/more", goodOrder},
		{"other letter case", "POST /Order", goodOrder},
		{"other method", "GET /order", ""},
		{"method with a body", "PUT /order", goodOrder},
		{"unknown parameter", "GET /balance?page=1", ""},
		{"parameter in other letter case", "GET /ipAddress?proxytype=IPv4", ""},
		{"parameter of a POST", "POST /order?dryRun=1", goodOrder},
		{"parameter twice", "GET /country?proxyType=IPv4&proxyType=IPv6", ""},
		{"missing parameter", "GET /country", ""},
		{"missing parameter of periods", "GET /rentPeriod", ""},
		{"empty parameter", "GET /ipAddress?proxyType=", ""},
		{"parameter of an unknown value", "GET /ipAddress?proxyType=ipv4", ""},
		{"body of a GET", "GET /balance", "{}"},
		{"no body", "POST /order", ""},
		{"no object", "POST /order", "[]"},
		{"null", "POST /order", "null"},
		{"no JSON", "POST /order", "quantity=1"},
		{"cut off", "POST /order", goodOrder[:len(goodOrder)-1]},
		{"trailing brace", "POST /order", goodOrder + "}"},
		{"member twice", "POST /order", order(`"goal"`, `"quantity": 2, "goal"`)},
		{"additional member", "POST /order", order(`"goal"`, `"colour": "red", "goal"`)},
		{"member in other letter case", "POST /order", order(`"goal"`, `"Goal"`)},
		{"wrong type", "POST /order", order(`"quantity": 1`, `"quantity": "1"`)},
		{"fraction", "POST /order", order(`"quantity": 1`, `"quantity": 1.5`)},
		{"none", "POST /order", order(`"quantity": 1`, `"quantity": 0`)},
		{"null member", "POST /order", order(`"goal"`, `"promoCode": null, "goal"`)},
		{"empty promo code", "POST /order", order(`"goal"`, `"promoCode": "", "goal"`)},
		{"missing member", "POST /order", order(`"goal": "prices", `, ``)},
		{"alpha-2 country", "POST /order", order(`USA`, `US`)},
		{"unknown proxy type", "POST /order", order(`IPv4`, `IPv5`)},
		{"proxy type in other letter case", "POST /order", order(`IPv4`, `ipv4`)},
		{"authIp with LOGIN", "POST /order", order(`"goal"`, `"authIp": "192.0.2.7", "goal"`)},
		{"IP without authIp", "POST /order", order(`LOGIN`, `IP`)},
		{"authIp that is none", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "here"`)},
		{"protocol with IPv4", "POST /order", order(`"goal"`, `"protocol": "HTTP", "goal"`)},
		{"protocol with ISP", "POST /order", order(`IPv4`, `ISP`, `"goal"`, `"protocol": "HTTP", "goal"`)},
		{"IPv6 without protocol", "POST /order", order(`IPv4`, `IPv6`)},
		{"MOBILE without operator", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 300, "goal"`)},
		{"MOBILE without rotation", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"mobileOperator": "verizon", "goal"`)},
		{"rotation with ISP", "POST /order", order(`IPv4`, `ISP`, `"goal"`, `"rotationTime": 300, "goal"`)},
		{"price with authType", "POST /calculate/order", goodOrder},
		{"price of IPv6 with protocol", "POST /calculate/order", order(`IPv4`, `IPv6`, `, "authType": "LOGIN"`, `, "protocol": "HTTP"`)},
		{"price of MOBILE without its members", "POST /calculate/order", order(`IPv4`, `MOBILE`, `, "authType": "LOGIN"`, ``)},
		{"extension by the other ids", "POST /extend/order", goodExtend},
		{"extension by the ids of an old page", "POST /extend", changed(t, goodExtend, `ipAddressIds`, `IpAddressIds`)},
		{"extension of nothing", "POST /extend", changed(t, goodExtend, `["1"]`, `[]`)},
		{"extension by one id", "POST /extend", changed(t, goodExtend, `["1"]`, `"1"`)},
		{"id that is a number", "POST /calculate/extend", changed(t, goodExtend, `["1"]`, `[1]`)},
		{"auto-extension without a switch", "POST /extend/order/auto", changed(t, goodAuto, `, "autoExtend": false`, ``)},
		{"auto-extension without a period", "POST /extend/order/auto", changed(t, goodAuto, `"rentPeriodDays": 30, `, ``)},
		{"auto-extension with a promo code", "POST /extend/order/auto", changed(t, goodAuto, `"autoExtend"`, `"promoCode": "A", "autoExtend"`)},
	} {
		t.Run("bad/"+bad.name, func(t *testing.T) {
			method, path, _ := strings.Cut(bad.op, " ")
			assert.NotEmpty(t, c.request(newRequest(method, basePath+"key"+path, bad.body), []byte(bad.body)))
		})
	}
	for name, target := range map[string]string{
		"no key": "/client/api/v1/balance", "empty key": "/client/api/v1//balance", "other version": "/client/api/v2/key/balance", "no base": "/key/balance",
	} {
		t.Run("bad/"+name, func(t *testing.T) {
			assert.NotEmpty(t, c.request(newRequest("GET", target, ""), nil))
		})
	}
	t.Run("bad/media type", func(t *testing.T) {
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
			r := newRequest("POST", basePath+"key/order", goodOrder)
			r.Header.Del("Content-Type")
			if media != "" {
				r.Header.Set("Content-Type", media)
			}
			assert.NotEmpty(t, c.request(r, []byte(goodOrder)), "%q", media)
		}
	})
}

func TestContractCatchesBadReplies(t *testing.T) {
	c := theContract(t)
	const ok = "application/json"
	const ips = `{"success": true, "IPV4": [{"orderId": "o", "list": [{"id": "1", "port": 80}]}, {"ipAddressId": "2", "orderId": "o"}]}`
	const operatorsInCountries = `{"success": true, "country": [{"operators": {"dedicated": [{"tag": "ee", "rotations": [{"id": 0}]}], "shared": []}}]}`
	type reply struct {
		name, op string
		status   int
		media    string
		body     string
	}
	for _, good := range []reply{
		{"order", "POST /order", 200, ok, orderPlaced},
		{"order with a charset", "POST /order", 200, ok + "; charset=utf-8", orderPlaced},
		{"refusal", "POST /order", 200, ok, orderRefused},
		{"proxy types", "GET /proxyType", 200, ok, `{"success": true, "types": ["IPv4", {"code": "IPv6"}]}`},
		{"refused proxy types", "GET /proxyType", 200, ok, `{"success": false, "error": {"code": 2, "message": "Error api key"}}`},
		{"countries", "GET /country", 200, ok, `{"success": true, "countries": [{"alpha3code": "USA", "countryName": "United States"}], "error": null}`},
		{"operators", "GET /mobileOperator", 200, ok, `{"success": true, "operators": [{"id": 7, "title": "Seven", "times": [300]}]}`},
		{"operators with tags", "GET /mobileOperator", 200, ok, `{"success": true, "mobileOperators": [{"tag": "verizon", "rotations": [{"id": 0, "name": "By link"}]}]}`},
		{"operators in countries", "GET /mobileOperator", 200, ok, operatorsInCountries},
		{"no proxies", "GET /ipAddress", 200, ok, `{"success": true, "error": null}`},
		{"proxies of one type", "GET /ipAddress", 200, ok, `{"success": true, "proxyType": "isp", "proxies": [{"id": "1", "dateEnd": "2023-10-26T10:49:49"}]}`},
		{"a page of proxies", "GET /ipAddress", 200, ok, `{"success": true, "content": [{"ipAddressId": "1"}], "totalElements": 1, "number": 0}`},
		{"proxies", "GET /ipAddress", 200, ok, ips},
	} {
		t.Run("good/"+good.name, func(t *testing.T) {
			assert.Empty(t, c.replyTo(good.op, good.status, good.media, good.body))
		})
	}
	for _, bad := range []reply{
		{"other status", "POST /order", 400, ok, orderRefused},
		{"page", "GET /balance", 200, "text/html", "<html></html>"},
		{"page that says it is JSON", "GET /balance", 200, ok, "<html></html>"},
		{"no media type", "GET /balance", 200, "", accountBalance},
		{"empty", "POST /order", 200, ok, ""},
		{"null", "POST /order", 200, ok, "null"},
		{"no object", "POST /order", 200, ok, "[]"},
		{"reply to another call", "GET /balance", 200, ok, orderPlaced},
		{"no success", "POST /order", 200, ok, changed(t, orderPlaced, `"success": true, `, ``)},
		{"success as a text", "POST /order", 200, ok, changed(t, orderPlaced, `true`, `"true"`)},
		{"success with an error", "POST /order", 200, ok, changed(t, orderPlaced, `"error": null`, `"error": {"code": 1, "message": ""}`)},
		{"refusal without an error", "POST /order", 200, ok, changed(t, orderPlaced, `true`, `false`)},
		{"error without a code", "POST /order", 200, ok, changed(t, orderRefused, `"code": 14, `, ``)},
		{"no order number", "POST /order", 200, ok, changed(t, orderPlaced, `"orderNumber": "NUMBER-112233", `, ``)},
		{"order number null", "POST /order", 200, ok, changed(t, orderPlaced, `"NUMBER-112233"`, `null`)},
		{"order number that is a number", "POST /order", 200, ok, changed(t, orderPlaced, `"NUMBER-112233"`, `112233`)},
		{"balance as a text", "POST /order", 200, ok, changed(t, orderPlaced, `4.57`, `"4.57"`)},
		{"balance null", "GET /balance", 200, ok, changed(t, accountBalance, `25.03`, `null`)},
		{"the other name of the currency", "GET /balance", 200, ok, changed(t, accountBalance, `currencyCode`, `currency`)},
		{"unknown promo code status", "POST /order", 200, ok, changed(t, orderPlaced, `"promoCodeStatus": null`, `"promoCodeStatus": "MAYBE"`)},
		{"member twice", "POST /order", 200, ok, changed(t, orderPlaced, `"balance"`, `"currency": "EUR", "balance"`)},
		{"date that is none", "GET /promoCode", 200, ok, `{"success": true, "promoCodes": [{"code": "A", "countUses": 0, "startDate": "yesterday", ` +
			`"endDate": null, "endless": true, "discount": 10, "descriptionsByLocale": {}}], "error": null}`},
		{"proxy types without a list", "GET /proxyType", 200, ok, `{"success": true}`},
		{"proxy types of numbers", "GET /proxyType", 200, ok, `{"success": true, "items": [4, 6]}`},
		{"countries without codes", "GET /country", 200, ok, `{"success": true, "countries": [{"name": "United States"}]}`},
		{"operators without tags", "GET /mobileOperator", 200, ok, `{"success": true, "operators": [{"title": "Seven"}]}`},
		{"operators in countries without tags", "GET /mobileOperator", 200, ok, changed(t, operatorsInCountries, `"tag": "ee", `, ``)},
		{"countries without operators", "GET /mobileOperator", 200, ok, changed(t, operatorsInCountries, `"operators"`, `"tariffs"`)},
		{"proxies of one type without ids", "GET /ipAddress", 200, ok, `{"success": true, "proxyType": "isp", "proxies": [{"ip": "192.0.2.1"}]}`},
		{"a page that is no list", "GET /ipAddress", 200, ok, `{"success": true, "content": {"ipAddressId": "1"}}`},
		{"proxies that are no list", "GET /ipAddress", 200, ok, `{"success": true, "ipv4": {"id": "1"}}`},
		{"proxies without ids", "GET /ipAddress", 200, ok, changed(t, ips, `"ipAddressId": "2", `, ``)},
		{"proxies without ids in an order", "GET /ipAddress", 200, ok, changed(t, ips, `"id": "1", `, ``)},
		{"port that is none", "GET /ipAddress", 200, ok, changed(t, ips, `80`, `[80]`)},
	} {
		t.Run("bad/"+bad.name, func(t *testing.T) {
			assert.NotEmpty(t, c.replyTo(bad.op, bad.status, bad.media, bad.body))
		})
	}
}

func (c *contract) replyTo(op string, status int, media, body string) []string {
	header := http.Header{}
	if media != "" {
		header.Set("Content-Type", media)
	}
	return c.reply(operation{name: op}.request(""), status, header, []byte(body))
}

// What passes by is handed on unchanged, and what is wrong with it is told.
func TestContractWatches(t *testing.T) {
	seen := &traffic{}
	s := httptest.NewServer(theContract(t).watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Got", string(body))
		_, _ = io.WriteString(w, orderPlaced)
	}), seen))
	defer s.Close()
	send := func(path, body string) {
		header, reply := post(t, s.URL+basePath+"key"+path, body)
		assert.JSONEq(t, orderPlaced, reply)
		assert.Equal(t, body, header.Get("X-Got"))
	}
	send("/order", goodOrder)
	send("/order", `{}`)
	send("/extend", goodExtend)
	send("/nothing", goodExtend)

	all := seen.all()
	require.Len(t, all, 4)
	assert.Equal(t, exchange{op: "POST /order", sent: "POST " + basePath + "key/order", body: goodOrder, success: true}, all[0])
	for i, want := range map[int]string{1: "request POST " + basePath + "key/order with {}: ", 2: "reply 200 " + orderPlaced + " to POST /extend: ", 3: "not found"} {
		require.NotEmpty(t, all[i].broken)
		assert.Contains(t, all[i].broken[0], want)
	}
}

func post(t *testing.T, url, body string) (header http.Header, reply string) {
	t.Helper()
	var client http.Client
	client.Transport = &http.Transport{DisableKeepAlives: true}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.Header, string(text)
}

// toldErrors takes what would fail a test.
type toldErrors struct {
	testing.TB
	list []string
}

func (f *toldErrors) Errorf(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func TestWhatBreaksTheContractFailsTheTest(t *testing.T) {
	var failed toldErrors
	t.Run("watched", func(t *testing.T) {
		failed.TB = t
		url, _ := startWatched(&failed, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, orderRefused)
		}))
		post(t, url+basePath+"key/order", goodOrder)
		assert.Empty(t, failed.list)
		post(t, url+basePath+"key/order", changed(t, goodOrder, `"goal"`, `"colour": "red", "goal"`))
		post(t, url+basePath+"key/extend", goodExtend)
	})
	require.Len(t, failed.list, 2)
	assert.Contains(t, failed.list[0], "additional properties 'colour' not allowed")
	assert.Contains(t, failed.list[1], "missing property 'ipAddressIds'")
}
