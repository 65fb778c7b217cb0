package youproxytest

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// endpoint is one call of the API.
type endpoint struct {
	// answer executes a call. An error is a [*refusal] or tells what is wrong
	// with the form of the request.
	answer func(s *Server, body []byte) (any, error)
	// refuse gives the reply that refuses a call.
	refuse func(left funds, why *refusal) any
}

// endpoints is every call the server knows, by method and path below the key.
var endpoints = map[string]endpoint{
	"GET /balance":          {(*Server).readBalance, refuseBalance},
	"POST /calculate/order": {(*Server).calculateOrder, refuseQuote},
	"POST /order":           {(*Server).createOrder, refuseOrder},
}

// answer executes a request and gives the whole reply.
func (s *Server) answer(key, op string, r *http.Request, body []byte) *reply {
	e, ok := endpoints[op]
	switch {
	case !strings.HasPrefix(r.URL.Path, apiPath):
		return htmlReply(http.StatusNotFound, "")
	case !ok:
		return noEndpoint(op)
	case key != s.apiKey:
		return jsonReply(http.StatusOK, e.refuse(funds{}, refusalOf(2)))
	}
	err := checkForm(r, body)
	var document any
	if err == nil {
		document, err = e.answer(s, body)
	}
	switch why := err.(type) { //nolint:errorlint // never wrapped
	case nil:
		return jsonReply(http.StatusOK, document)
	case *refusal:
		return jsonReply(http.StatusOK, e.refuse(s.funds(), why))
	default:
		return jsonReply(http.StatusBadRequest, e.refuse(s.funds(), &refusal{Code: codeMalformed, Message: err.Error()}))
	}
}

// checkForm tells what is wrong with a request before its body is read.
func checkForm(r *http.Request, body []byte) error {
	for name := range r.URL.Query() {
		return fmt.Errorf("parameter %q is unknown", name)
	}
	if r.Method == http.MethodGet {
		if len(body) > 0 {
			return errors.New("a GET request has no body")
		}
		return nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errors.New("header field Content-Type must be application/json")
	}
	return nil
}

// noEndpoint answers what is not in the table.
func noEndpoint(op string) *reply {
	_, path, _ := strings.Cut(op, " ")
	var methods []string
	for known := range endpoints {
		if method, ok := strings.CutSuffix(known, " "+path); ok {
			methods = append(methods, method)
		}
	}
	if len(methods) == 0 {
		return htmlReply(http.StatusNotFound, "")
	}
	slices.Sort(methods)
	page := htmlReply(http.StatusMethodNotAllowed, "")
	page.header.Set("Allow", strings.Join(methods, ", "))
	return page
}

// codeMalformed is the error code of a request whose form is wrong. It is not one
// of the service's documented ones.
const codeMalformed = 1

// refusal is the error of a reply, or a warning.
type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (r *refusal) Error() string { return r.Message }

// messages is what the server says with a code. Those of 2, 4, 8, 13, 14 and 16
// are the service's; it prints none for the others.
var messages = map[int]string{
	2:  "Error api key",
	4:  "Incorrect proxy type",
	6:  "Incorrect country",
	7:  "Country is not available",
	8:  "Incorrect mobile operator",
	10: "Incorrect auth type",
	11: "Incorrect rent period",
	13: "Incorrect protocol",
	14: "Incorrect goal",
	16: "Insufficient funds on balance",
	19: "Incorrect quantity",
	23: "Incorrect auth ip",
}

func refusalOf(code int) *refusal { return &refusal{Code: code, Message: messages[code]} }

// number is a JSON number, or null where it is nil.
type number = jsontext.Value

func exact(d decimal.Decimal) number { return number(d.String()) }
func whole(i int) number             { return number(strconv.Itoa(i)) }

// reply is a whole HTTP reply.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (p *reply) write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body)
}

// jsonReply writes a document as the service's documentation does.
func jsonReply(status int, document any) *reply {
	body, err := json.Marshal(document, jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
	if err != nil {
		panic("youproxytest: a reply cannot be written: " + err.Error())
	}
	return &reply{status, http.Header{"Content-Type": {"application/json"}}, body}
}

// htmlReply gives a page such as a proxy server in front of the service makes.
func htmlReply(status int, text string) *reply {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	page := "<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1><p>" + text + "</p></body></html>\n"
	return &reply{status, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, []byte(page)}
}
