package youproxy_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// What comes back of an order.
type verdict string

const (
	placed    verdict = "nil, done"
	refused   verdict = "*APIError, rejected"
	doubtful  verdict = "*APIError, unknown"                   // refused without a code, or by a fault of the service
	rejection verdict = "*CallError, rejected"                 // a 4xx that is no refusal of the service's own
	lost      verdict = "*CallError, unknown"                  //
	lostNo    verdict = "*CallError around *APIError, unknown" // a refusal with a status that makes it worth nothing
)

func verdictOf(order *youproxy.Order, err error) verdict {
	outcome := youproxy.OutcomeOf(err).String()
	var refused *youproxy.APIError
	var failed *youproxy.CallError
	isRefused, isFailed := errors.As(err, &refused), errors.As(err, &failed)
	switch {
	case err == nil && order != nil:
		return verdict("nil, " + outcome)
	case order != nil:
		return "an order beside an error"
	case isFailed && isRefused:
		return verdict("*CallError around *APIError, " + outcome)
	case isFailed:
		return verdict("*CallError, " + outcome)
	case isRefused:
		return verdict("*APIError, " + outcome)
	}
	return "neither an order nor an error of the package"
}

const (
	success = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`
	refusal = `{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`
)

var envelopes = []struct {
	name  string
	reply string
	want  verdict
}{
	{"success", success, placed},
	{"success without error", `{"success": true, "orderNumber": "N"}`, placed},
	{"byte order mark", "\ufeff" + success, placed},
	{"type in other letter case", `{"success": true, "proxyType": "IPV4", "orderNumber": "N"}`, placed},
	{"members in another order", `{"orderNumber": "N", "error": null, "success": true}`, placed},
	{"white space around", " \r\n\t" + success + " \r\n\t", placed},
	{"white space within", "{ \"success\"\n:\ttrue , \"orderNumber\" : \"N\" }", placed},
	{"members nobody knows", `{"success": true, "orderNumber": "N", "a": {"success": false, "error": 1}, "b": [[{"orderNumber": ""}]], "c": 1e999}`, placed},
	{"members nobody knows, twice", `{"a": 1, "success": true, "a": 2, "orderNumber": "N"}`, placed},
	{"success with its name escaped", `{"\u0073uccess": true, "orderNumber": "N"}`, placed},
	{"nesting that is deep", `{"success": true, "orderNumber": "N", "a": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, placed},

	{"refusal", refusal, refused},
	{"refusal with its name escaped", `{"\u0073uccess": false, "error": {"code": 14}}`, refused},
	{"refusal that has an order number", `{"success": false, "orderNumber": "N", "error": {"code": 14}}`, refused},
	{"refusal, code in quotes", `{"success": false, "error": {"code": "14", "message": "Incorrect goal"}}`, refused},
	{"refusal, message null", `{"success": false, "error": {"code": 14, "message": null}}`, refused},
	{"refusal, message that is an object", `{"success": false, "error": {"code": 14, "message": {"en": "Incorrect goal"}}}`, refused},
	{"refusal, message with invalid UTF-8", `{"success": false, "error": {"code": 14, "message": "Incorrect ` + "\xff\xc3" + `goal"}}`, refused},
	{"refusal, message with half a surrogate pair", `{"success": false, "error": {"code": 14, "message": "\ud800"}}`, refused},
	{"refusal, invalid UTF-8 in a member nobody knows", `{"success": false, "` + "\xff" + `": "` + "\xff" + `", "error": {"code": 14}}`, refused},
	{"refusal, more about the error", `{"success": false, "error": {"code": 14, "details": [{"code": 1}], "message": ""}}`, refused},

	{"refusal, error that is a list", `{"success": false, "error": [{"code": 14}]}`, refused},
	{"refusal, errors", `{"success": false, "error": null, "errors": [{"code": 14, "message": "Incorrect goal"}]}`, refused},
	{"refusal, code with zeros", `{"success": false, "error": {"code": "0014"}}`, refused},
	{"refusal, code with decimals", `{"success": false, "error": {"code": 14.0}}`, refused},
	{"refusal after a byte order mark", "\ufeff" + refusal, refused},

	{"refusal, code 35 with zeros", `{"success": false, "error": {"code": "0035"}}`, doubtful},
	{"refusal, code 35 with decimals", `{"success": false, "error": {"code": 35.0}}`, doubtful},
	{"refusal, code 35", `{"success": false, "error": {"code": 35, "message": "Unknown error"}}`, doubtful},
	{"refusal, code missing", `{"success": false, "error": {"message": "Incorrect goal"}}`, doubtful},
	{"refusal, code null", `{"success": false, "error": {"code": null, "message": "Incorrect goal"}}`, doubtful},
	{"refusal, code 0", `{"success": false, "error": {"code": 0, "message": "Incorrect goal"}}`, doubtful},
	{"refusal, code in words", `{"success": false, "error": {"code": "GOAL", "message": "Incorrect goal"}}`, doubtful},
	{"refusal, code beyond 64 bits", `{"success": false, "error": {"code": 99999999999999999999, "message": "Incorrect goal"}}`, doubtful},
	{"refusal, code boolean", `{"success": false, "error": {"code": true, "message": "Incorrect goal"}}`, doubtful},
	{"refusal, code in other letter case", `{"success": false, "error": {"Code": 14, "message": "Incorrect goal"}}`, doubtful},
	{"refusal, error that is a text", `{"success": false, "error": "Incorrect goal"}`, doubtful},
	{"refusal, error that is a list of words", `{"success": false, "error": ["Incorrect goal"]}`, doubtful},
	{"refusal, error null", `{"success": false, "error": null}`, doubtful},
	{"refusal, error missing", `{"success": false}`, doubtful},
	{"refusal, error empty", `{"success": false, "error": {}}`, doubtful},

	{"empty", ``, lost},
	{"white space", " \n", lost},
	{"empty object", `{}`, lost},
	{"null", `null`, lost},
	{"list", `[]`, lost},
	{"list of a reply", `[` + success + `]`, lost},
	{"text", `"x"`, lost},
	{"text that holds a reply", strconv.Quote(success), lost},
	{"number", `1`, lost},
	{"true", `true`, lost},
	{"HTML", `<!DOCTYPE html><title>Welcome</title>`, lost},
	{"two byte order marks", "\ufeff\ufeff" + success, lost},

	{"success missing", `{"orderNumber": "N", "error": null}`, lost},
	{"success missing, error given", `{"error": {"code": 14, "message": "Incorrect goal"}}`, lost},
	{"success null", `{"success": null, "orderNumber": "N"}`, lost},
	{"success in quotes", `{"success": "true", "orderNumber": "N"}`, lost},
	{"success 1", `{"success": 1, "orderNumber": "N"}`, lost},
	{"success an object", `{"success": {}, "orderNumber": "N"}`, lost},
	{"success in a list", `{"success": [true], "orderNumber": "N"}`, lost},
	{"success nested", `{"data": ` + success + `}`, lost},
	{"success in quotes, refused", `{"success": "false", "error": {"code": 14}}`, lost},
	{"success 0", `{"success": 0, "error": {"code": 14}}`, lost},
	{"success null, refused", `{"success": null, "error": {"code": 14}}`, lost},

	{"success twice, true", `{"success": true, "success": true, "orderNumber": "N"}`, lost},
	{"success twice, true and false", `{"success": true, "orderNumber": "N", "success": false}`, lost},
	{"success twice, false and true", `{"success": false, "error": {"code": 14}, "success": true, "orderNumber": "N"}`, lost},
	{"success twice, false", `{"success": false, "success": false, "error": {"code": 14}}`, lost},
	{"success twice, once escaped", `{"success": true, "\u0073uccess": true, "orderNumber": "N"}`, lost},
	{"success in other letter case", `{"Success": true, "orderNumber": "N"}`, lost},
	{"success in capitals, refused", `{"SUCCESS": false, "error": {"code": 14}}`, lost},
	{"success in both letter cases", `{"success": true, "Success": true, "orderNumber": "N"}`, lost},
	{"success in both letter cases, differing", `{"success": true, "orderNumber": "N", "Success": false}`, lost},
	{"success in both letter cases, refused", `{"Success": false, "success": false, "error": {"code": 14}}`, lost},

	{"success with an error", `{"success": true, "orderNumber": "N", "error": {"code": 14, "message": "Incorrect goal"}}`, lost},
	{"success with an empty error", `{"success": true, "orderNumber": "N", "error": {}}`, lost},
	{"success with an error that is false", `{"success": true, "orderNumber": "N", "error": false}`, lost},
	{"success with an error that is an empty text", `{"success": true, "orderNumber": "N", "error": ""}`, lost},
	{"success with an error that is an empty list", `{"success": true, "orderNumber": "N", "error": []}`, lost},
	{"success with an error that is 0", `{"success": true, "orderNumber": "N", "error": 0}`, lost},
	{"error in other letter case", `{"success": true, "orderNumber": "N", "Error": {"code": 14}}`, lost},
	{"error in both letter cases", `{"success": true, "orderNumber": "N", "error": null, "ERROR": null}`, lost},
	{"error in other letter case, refused", `{"success": false, "Error": {"code": 14}}`, lost},
	{"error twice", `{"success": true, "orderNumber": "N", "error": {"code": 14}, "error": null}`, lost},
	{"error twice, refused", `{"success": false, "error": {"code": 14}, "error": {"code": 16}}`, lost},
	{"code twice", `{"success": false, "error": {"code": 14, "code": 35}}`, lost},

	{"order number missing", `{"success": true, "proxyType": "IPv4", "balance": 4.57}`, lost},
	{"order number null", `{"success": true, "orderNumber": null}`, lost},
	{"order number empty", `{"success": true, "orderNumber": ""}`, lost},
	{"order number blank", `{"success": true, "orderNumber": " \t\u00a0"}`, lost},
	{"order number boolean", `{"success": true, "orderNumber": true}`, lost},
	{"order number an object", `{"success": true, "orderNumber": {"id": "N"}}`, lost},
	{"order number a list", `{"success": true, "orderNumber": ["N"]}`, lost},
	{"order number in other letter case", `{"success": true, "ordernumber": "N"}`, lost},
	{"order number twice", `{"success": true, "orderNumber": "N", "orderNumber": "M"}`, lost},

	{"broken off", success[:len(success)-1], lost},
	{"broken off in a text", success[:60], lost},
	{"broken off, refused", refusal[:len(refusal)-1], lost},
	{"trailing bytes", success + `x`, lost},
	{"trailing bracket", success + `}`, lost},
	{"trailing NUL", success + "\x00", lost},
	{"trailing bytes, refused", refusal + `x`, lost},
	{"a second reply", success + success, lost},
	{"a second reply on a line of its own", success + "\n" + success, lost},
	{"a second reply, refused", refusal + "\n" + refusal, lost},
	{"success, then a refusal", success + refusal, lost},
	{"a refusal, then success", refusal + success, lost},
	{"single quotes", `{'success': true, 'orderNumber': 'N'}`, lost},
	{"comma at the end", `{"success": true, "orderNumber": "N",}`, lost},
	{"comment", `{"success": true, /* yes */ "orderNumber": "N"}`, lost},
	{"capital True", `{"success": True, "orderNumber": "N"}`, lost},
	{"name without a value", `{"success", "orderNumber": "N"}`, lost},
	{"nesting without a bottom", `{"success": true, "orderNumber": "N", "a": ` + strings.Repeat("[", 100_000), lost},
	{"nesting beyond reason", `{"success": true, "orderNumber": "N", "a": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, lost},
}

// Only a reply that cannot be misread counts as an order or as a refusal.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, tt := range envelopes {
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			order, err := client.CreateOrder(t.Context(), anIPv4Order())
			assert.Equal(t, tt.want, verdictOf(order, err), "%v", err)
			assert.Len(t, transport.requests, 1)
		})
	}
}

// A reply of the service means something only with a status that agrees.
func TestEnvelopeAndHTTPStatus(t *testing.T) {
	t.Parallel()
	const (
		page        = `<html>oops</html>`
		noSuccess   = `{"error": {"code": 14, "message": "Incorrect goal"}}`
		brokenOff   = `{"success": false, "error": {"code"`
		quoted      = `{"success": "true"}`
		bothAnswers = `{"success": true, "success": false}`
	)
	for _, tt := range []struct {
		statuses []int
		replies  []string
		want     verdict
	}{
		{[]int{200, 201, 202, 299}, []string{success}, placed},
		{[]int{200, 201, 202, 299}, []string{refusal}, refused},
		{[]int{200, 201, 202, 204, 299}, []string{"", page, noSuccess, brokenOff, quoted, bothAnswers}, lost},
		{[]int{300, 301, 302, 303, 304, 307, 308}, []string{"", page, success, refusal}, lost},
		{[]int{400, 401, 402, 403, 404, 409, 413, 422, 429, 499}, []string{refusal}, refused},
		{[]int{400, 401, 402, 403, 404, 409, 413, 422, 429, 499}, []string{"", page, "{}", "null", noSuccess, brokenOff, quoted, refusal + "x"}, rejection},
		{[]int{400, 401, 402, 403, 404, 409, 413, 422, 429, 499}, []string{
			success, success + "x", bothAnswers, success[:30], `{"success": false, "success": true}`, `{"Success":true}`, `{"x": nope, "success" : true}`, page + success,
		}, lost},
		{[]int{408, 500, 501, 502, 503, 504, 520, 599}, []string{"", page, "{}", success, noSuccess, brokenOff, quoted, bothAnswers, refusal + "x"}, lost},
		{[]int{408, 500, 501, 502, 503, 504, 520, 599}, []string{refusal}, lostNo},
		{[]int{600, 999}, []string{"", page, success, refusal}, lost},
	} {
		for _, status := range tt.statuses {
			for _, reply := range tt.replies {
				client, transport := answering(t, status, reply)
				order, err := client.CreateOrder(t.Context(), anIPv4Order())
				assert.Equal(t, tt.want, verdictOf(order, err), "%d %s: %v", status, reply, err)
				assert.Len(t, transport.requests, 1)

				var failed *youproxy.CallError
				var refused *youproxy.APIError
				if errors.As(err, &failed) {
					assert.Equal(t, status, failed.HTTPStatus)
				}
				if errors.As(err, &refused) {
					assert.Equal(t, status, refused.HTTPStatus)
					assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)
				}
				assert.Equal(t, status/100 == 3, errors.Is(err, youproxy.ErrRedirect), status)
			}
		}
	}
}

func TestEnvelopeOrderNumber(t *testing.T) {
	t.Parallel()
	for json, want := range map[string]youproxy.OrderNumber{
		`"NUMBER-112233"`:            "NUMBER-112233",
		`"NUMBER-\u0031\/2"`:         "NUMBER-1/2",
		`112233`:                     "112233",
		`1111111111111111111`:        "1111111111111111111",
		`12345678901234567890123456`: "12345678901234567890123456",
		`0`:                          "0",
		`"0"`:                        "0",
		`"日本"`:                       "日本",
	} {
		client, _ := answering(t, http.StatusOK, `{"success": true, "orderNumber": `+json+`}`)
		order, err := client.CreateOrder(t.Context(), anIPv4Order())
		if assert.NoError(t, err, json) {
			assert.Equal(t, want, order.Number, json)
		}
	}
}

func TestEnvelopeRefusalInAnOddForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, fault string
		code        youproxy.ErrorCode
		message     string
	}{
		{"code in quotes", `{"code": "14", "message": "Incorrect goal"}`, 14, "Incorrect goal"},
		{"code in quotes, spaced", `{"code": " 14 ", "message": ""}`, 14, ""},
		{"message a number", `{"code": 14, "message": 404}`, 14, "404"},
		{"message null", `{"code": 14, "message": null}`, 14, ""},
		{"message in another script", `{"code": 14, "message": "Неверная цель"}`, 14, "Неверная цель"},
		{"message escaped", `{"code": 14, "message": "Incorrect\u0020\"goal\""}`, 14, `Incorrect "goal"`},
		{"message with invalid UTF-8", `{"code": 14, "message": "goal` + "\xff" + `"}`, 14, "goal\ufffd"},
		{"error a text", `"Incorrect goal"`, 0, "Incorrect goal"},
		{"error a number", `14`, 0, "14"},
		{"error a list of a number", `[14]`, 0, "14"},
		{"error a list of words", `["Incorrect goal", "Incorrect country"]`, 0, "Incorrect goal; Incorrect country"},
		{"error a list", `[null, {"code": 14, "message": "Incorrect goal"}, {"code": 6, "message": "Incorrect country"}]`, 14, "Incorrect goal; Incorrect country"},
		{"errors", `null, "errors": {"code": 14, "message": "Incorrect goal"}`, 14, "Incorrect goal"},
		{"errors, a list", `{}, "errors": ["Incorrect goal"]`, 0, "Incorrect goal"},
		{"errors beside an error", `{"code": 14, "message": "Incorrect goal"}, "errors": ["more"]`, 14, "Incorrect goal; more"},
		{"a fault of the service among others", `[{"code": 14, "message": "Incorrect goal"}, {"code": 35, "message": "Unknown error"}]`, 35, "Incorrect goal; Unknown error"},
		{"a fault of the service among the errors", `{"code": 14}, "errors": [{"code": 35}]`, 35, ""},
		{"code with zeros", `{"code": "0035", "message": "no"}`, 35, "no"},
		{"code with decimals", `{"code": 35.0, "message": "no"}`, 35, "no"},
		{"error null", `null`, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": false, "error": `+tt.fault+`, "balance": 7.18, "currency": "USD"}`)
			_, err := client.CreateOrder(t.Context(), anIPv4Order())
			var refused *youproxy.APIError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, tt.code, refused.Code)
			assert.Equal(t, tt.message, refused.Message)
			require.NotNil(t, refused.Balance)
			assertMoney(t, "7.18 USD", *refused.Balance)
		})
	}
}

// Of what spends nothing a success with an empty error is one. An order that may
// have been placed is not called so.
func TestSuccessWithAnEmptyError(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{`{}`, `{ }`, `[]`, `""`, `false`, `[null]`, `[{}, ""]`} {
		client, _ := answering(t, http.StatusOK, `{"success": true, "error": `+empty+`, "balance": 25.03, "currencyCode": "USD", "orderNumber": "N", "ipv4": [{"ipAddressId": "1"}]}`)
		balance, err := client.Balance(t.Context())
		require.NoError(t, err, empty)
		assertMoney(t, "25.03 USD", balance)
		proxies, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err, empty)
		assert.Len(t, proxies, 1)
		_, err = client.CreateOrder(t.Context(), anIPv4Order())
		assert.Equal(t, lost, verdictOf(nil, err), empty)
	}
	for _, fault := range []string{`{"code": 0}`, `{"a": 1}`, `["x"]`, `["x", ""]`, `[{"code": 35}, {}]`, `[false, {"code": 14}]`, `" "`, `0`, `true`} {
		for _, name := range []string{"error", "errors"} {
			client, _ := answering(t, http.StatusOK, `{"success": true, "`+name+`": `+fault+`, "balance": 25.03, "currencyCode": "USD", "orderNumber": "N"}`)
			_, err := client.Balance(t.Context())
			assert.Equal(t, lost, verdictOf(nil, err), fault)
			_, err = client.CreateOrder(t.Context(), anIPv4Order())
			assert.Equal(t, lost, verdictOf(nil, err), fault)
		}
	}
}

// What was not read of a rejection may say success.
func TestRejectionsThatWereNotRead(t *testing.T) {
	t.Parallel()
	long := success + strings.Repeat(" ", 2<<20)
	for name, reply := range map[string]func(*http.Response){
		"too long, and says so": func(r *http.Response) {
			r.ContentLength, r.Body = int64(len(long)), io.NopCloser(strings.NewReader(long))
		},
		"too long": func(r *http.Response) { r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(long)) },
		"stalls": func(r *http.Response) {
			r.ContentLength, r.Body = -1, io.NopCloser(io.MultiReader(strings.NewReader(success), waitingReader{r.Request.Context()}))
		},
	} {
		for _, middleware := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				opts := []youproxy.Option{byStub(func(r *http.Request) (*http.Response, error) {
					resp := stubReply(r, 404, "")
					reply(resp)
					return resp, nil
				})}
				if middleware {
					opts = append(opts, youproxy.WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt }))
				}
				_, err := clientFor(t, opts...).CreateOrder(t.Context(), anIPv4Order())
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "%s: %v", name, err)
			})
		}
	}
}

// Reasons without number cost no more than their length, and are cut.
func TestManyReasons(t *testing.T) {
	t.Parallel()
	client, _ := answering(t, http.StatusBadRequest, `{"success": false, "errors": [`+strings.Repeat(`"é", `, 100_000)+`{"code": 14}]}`)
	_, err := client.CreateOrder(t.Context(), anIPv4Order())
	var refused *youproxy.APIError
	require.ErrorAs(t, err, &refused)
	assert.EqualValues(t, 14, refused.Code)
	assert.True(t, utf8.ValidString(refused.Message))
	assert.LessOrEqual(t, len(refused.Message), 16<<10)

	client, _ = answering(t, http.StatusOK, `{"success": true, "orderNumber": "N", "errors": [{"code": 14, "message": "Incorrect goal"}]}`)
	_, err = client.CreateOrder(t.Context(), anIPv4Order())
	assert.ErrorContains(t, err, `both success and error 14 "Incorrect goal"`)
}

// A currency that is none is left out: it would stand in every error.
func TestCurrenciesThatAreNone(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]string{
		`"USD"`: "25.03 USD", `" USD "`: "25.03 USD", `"us dollars"`: "25.03 us dollars", `978`: "25.03 978",
		`"hunter2\nlevel=INFO"`: "25.03", `"\u001b[31m"`: "25.03", `"` + strings.Repeat("x", 33) + `"`: "25.03", `{}`: "25.03", `null`: "25.03",
	} {
		client, _ := answering(t, http.StatusOK, `{"success": true, "balance": 25.03, "currency": `+currency+`}`)
		balance, err := client.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, balance.String())
		text, err := balance.MarshalText()
		require.NoError(t, err)
		var read youproxy.Money
		require.NoError(t, read.UnmarshalText(text), want)
	}
}

// Of a reply that cannot be read an error quotes the title of a page, and nothing
// else: anything may be a password.
func TestEnvelopeQuotesATitleAtMost(t *testing.T) {
	t.Parallel()
	for _, page := range []string{
		"\n <html>\n<title>Just a moment &amp;\n wait</title>" + strings.Repeat("x", 10_000),
		"<!DOCTYPE HTML><head><TITLE lang=en>Just a moment & wait</TITLE> pa55-w0rd",
	} {
		client, _ := answering(t, http.StatusOK, page)
		_, err := client.CreateOrder(t.Context(), anIPv4Order())
		assert.EqualError(t, err, `youproxy: POST /order: the reply is a page titled "Just a moment & wait"; money may have been spent: look at the account before repeating it`)
	}
}

var fuzzStatuses = []int{200, 201, 302, 400, 404, 408, 429, 500, 503}

// FuzzEnvelope holds what the package says of a reply against a plain reading of
// it by encoding/json: an order counts as placed, or as refused, only where that
// reading agrees.
func FuzzEnvelope(f *testing.F) {
	for i, reply := range []string{
		success, refusal, `{}`, `null`, `[]`, `"x"`, ``, `{"success":true}`, `{"success":"true","orderNumber":"N"}`,
		`{"success":true,"success":false,"orderNumber":"N"}`, `{"Success":true,"orderNumber":1}`, `{"\u0073uccess":true,"orderNumber":" "}`,
		`{"success":true,"error":{},"orderNumber":"N"}`, `{"success":true,"orderNumber":"N"} x`, `{"success":true,"orderNumber":"N"}{}`,
		`{"success":false,"error":{"code":"14","message":"` + "\xff" + `"}}`, `{"success":false,"error":"no"}`, `{"success":false,"errors":{"code":14}}`, `{"success":false,"error":{"code":35}}`,
		`{"success":true,"orderNumber":12e3,"balance":1e999999999,"currency":{}}`, `[[[[[[`, `<html>`, "\ufeff{}",
	} {
		f.Add(byte(0), reply)
		f.Add(byte(i), reply)
	}
	f.Fuzz(func(t *testing.T, pick byte, reply string) {
		status := fuzzStatuses[int(pick)%len(fuzzStatuses)]
		client, transport := answering(t, status, reply)
		order, err := client.CreateOrder(t.Context(), anIPv4Order())
		outcome := youproxy.OutcomeOf(err)
		plain := readPlainly(reply)

		if len(transport.requests) != 1 {
			t.Fatalf("sent %d times", len(transport.requests))
		}
		switch {
		case err == nil:
			if status/100 != 2 || !plain.placed {
				t.Fatalf("taken for an order: %d %q", status, reply)
			}
			if order.Number != plain.number {
				t.Fatalf("the number is %q, not %q: %q", order.Number, plain.number, reply)
			}
		case order != nil:
			t.Fatalf("an order beside an error: %q", reply)
		case outcome == youproxy.OutcomeRejected && status/100 == 2:
			if !plain.refused {
				t.Fatalf("taken for a refusal: %d %q", status, reply)
			}
		case outcome == youproxy.OutcomeRejected:
			if status/100 != 4 || status == http.StatusRequestTimeout || plain.placed {
				t.Fatalf("taken for a rejection: %d %q", status, reply)
			}
		case outcome != youproxy.OutcomeUnknown:
			t.Fatalf("%v: %d %q", outcome, status, reply)
		}
		if err != nil {
			text := err.Error()
			if strings.ContainsAny(text, "\n\r\x00\x1b") || !utf8.ValidString(text) || len(text) > 4096 {
				t.Fatalf("the text is no short line: %q", text)
			}
		}
	})
}

type plainReading struct {
	placed, refused bool
	number          youproxy.OrderNumber
}

func readPlainly(reply string) plainReading {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(reply), &members) != nil {
		return plainReading{}
	}
	fault, given := members["error"]
	_, many := members["errors"]
	var number string
	if json.Unmarshal(members["orderNumber"], &number) != nil {
		var digits json.Number
		_ = json.Unmarshal(members["orderNumber"], &digits)
		number = digits.String()
	}
	return plainReading{
		placed:  string(members["success"]) == "true" && (!given || string(fault) == "null") && strings.TrimSpace(number) != "",
		refused: string(members["success"]) == "false" && (given || many),
		number:  youproxy.OrderNumber(number),
	}
}

// A reply may name its currency in both ways the service has.
func TestBothNamesOfTheCurrency(t *testing.T) {
	t.Parallel()
	for _, names := range []string{
		`"currency": "USD", "currencyCode": "USD"`,
		`"currency": "USD", "currencyCode": null`,
		`"currency": null, "currencyCode": "USD"`,
	} {
		c, _ := answering(t, 200, `{"success": true, "orderNumber": "NUMBER-1", "balance": 4.57, `+names+`, "error": null}`)
		order, err := c.CreateOrder(t.Context(), benchOrder)
		require.NoError(t, err, names)
		assert.Equal(t, "4.57 USD", order.Balance.String(), names)
	}
}

// A reply that is longer than it tells, which only a stub can send, is read to
// its end all the same.
func TestReplyLongerThanItTells(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rest string
		want youproxy.Outcome
	}{{" \n", youproxy.OutcomeDone}, {"x", youproxy.OutcomeUnknown}} {
		c, err := youproxy.New("a-key-for-tests", youproxy.WithHTTPClient(&http.Client{
			Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: 200, Request: r,
					ContentLength: int64(len(orderedReply)), Body: io.NopCloser(strings.NewReader(orderedReply + tc.rest)),
				}, nil
			}),
		}))
		require.NoError(t, err)
		_, err = c.CreateOrder(t.Context(), benchOrder)
		assert.Equal(t, tc.want, youproxy.OutcomeOf(err), "%q: %v", tc.rest, err)
	}
}
