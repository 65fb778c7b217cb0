package youproxytest

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
)

// endpoint is one call of the API.
type endpoint struct {
	params []param // of the URL's query
	// answer executes a call, and returns a document that shares nothing with the
	// account. An error is a [*refusal], or says what is wrong with the form of the
	// request.
	answer func(a *account, c *call) (any, error)
	// refuse returns the reply that refuses a call.
	refuse func(a *account, left funds, why *refusal) any
}

// param is a parameter that the query of a call may have.
type param struct {
	name     string
	optional bool
}

// endpoints is every call the server knows, by method and path below the key.
var endpoints = map[string]endpoint{
	"GET /proxyType":               {nil, readProxyTypes, refuseProxyTypes},
	"GET /balance":                 {nil, readBalance, refuseBalance},
	"GET /country":                 {[]param{{"proxyType", false}}, readCountries, refuseCountries},
	"GET /rentPeriod":              {[]param{{"proxyType", false}}, readRentPeriods, refuseRentPeriods},
	"GET /mobileOperator":          {nil, readMobileOperators, refuseMobileOperators},
	"GET /promoCode":               {nil, readPromoCodes, refusePromoCodes},
	"POST /calculate/order":        {nil, calculateOrder, refuseQuote},
	"POST /calculate/extend":       {nil, byIPs.calculate, refuseQuote},
	"POST /calculate/extend/order": {nil, byOrders.calculate, refuseQuote},
	"POST /order":                  {nil, createOrder, refuseOrder},
	"POST /extend":                 {nil, byIPs.extend, refuseExtension},
	"POST /extend/order":           {nil, byOrders.extend, refuseExtension},
	"POST /extend/auto":            {nil, byIPs.setAutoExtend, refuseAutoExtend},
	"POST /extend/order/auto":      {nil, byOrders.setAutoExtend, refuseAutoExtendOrders},
	"GET /ipAddress":               {[]param{{"proxyType", true}}, listIPAddresses, refuseList},
}

// answer executes a call and returns the whole reply.
func (s *Server) answer(c *call) *reply {
	if _, ok := endpoints[c.op]; !ok || c.outside {
		return noEndpoint(c)
	}
	s.mu.Lock()
	status, document := s.execute(s.look(), c)
	s.mu.Unlock()
	return jsonReply(status, document)
}

// execute does what a call of an endpoint asks for. The caller holds mu.
func (s *Server) execute(a *account, c *call) (status int, document any) {
	e := endpoints[c.op]
	if why := s.checkCaller(c); why != nil {
		return http.StatusOK, e.refuse(a, funds{}, why)
	}
	err := c.checkForm(e.params)
	if err == nil {
		document, err = s.carryOut(a, c)
	}
	switch why := err.(type) { //nolint:errorlint // never wrapped
	case nil:
		return http.StatusOK, document
	case *refusal:
		return http.StatusOK, e.refuse(a, a.fundsOfRefusal(), why)
	default:
		return http.StatusBadRequest, e.refuse(a, a.fundsOfRefusal(), &refusal{Code: codeMalformed, Message: err.Error()})
	}
}

// refuse refuses a call of an endpoint without executing it.
func (s *Server) refuse(c *call, why *refusal) *reply {
	e := endpoints[c.op]
	s.mu.Lock()
	a := s.look()
	var left funds
	if s.checkCaller(c) == nil {
		left = a.fundsOfRefusal()
	}
	document := e.refuse(a, left, why)
	s.mu.Unlock()
	return jsonReply(http.StatusOK, document)
}

// checkCaller returns why a caller is not allowed, or nil.
func (s *Server) checkCaller(c *call) *refusal {
	if c.key != s.apiKey {
		return refusalOf(2)
	}
	for _, prefix := range s.allowed {
		if prefix.Contains(c.caller) {
			return nil
		}
	}
	if s.allowed != nil {
		return refusalOf(3)
	}
	return nil
}

// checkForm returns what is wrong with a call before its body is read, and records its
// parameters.
func (c *call) checkForm(params []param) error {
	if err := c.checkQuery(params); err != nil {
		return err
	}
	if strings.HasPrefix(c.op, http.MethodGet+" ") {
		if len(c.body) > 0 {
			return errors.New("a GET request has no body")
		}
		return nil
	}
	if media, _, err := mime.ParseMediaType(c.contentType); err != nil || media != "application/json" {
		return errors.New("header field Content-Type must be application/json")
	}
	return nil
}

func (c *call) checkQuery(params []param) error {
	query, err := url.ParseQuery(c.query)
	if err != nil {
		return fmt.Errorf("the query is malformed: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.ContainsFunc(params, func(known param) bool { return known.name == name }) {
			return fmt.Errorf("parameter %q is unknown", name)
		}
		if len(query[name]) > 1 {
			return fmt.Errorf("parameter %q is repeated", name)
		}
	}
	for _, known := range params {
		if !query.Has(known.name) && !known.optional {
			return fmt.Errorf("parameter %q is missing", known.name)
		}
	}
	c.params = query
	return nil
}

// noEndpoint returns the reply to a request that is not in the table.
func noEndpoint(c *call) *reply {
	_, path, _ := strings.Cut(c.op, " ")
	var methods []string
	for known := range endpoints {
		if method, ok := strings.CutSuffix(known, " "+path); ok && !c.outside {
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

// messages has the message for each code. Those of 2, 4, 8, 13, 14, 16, 24
// and 29 are the service's; it prints none for the others.
var messages = map[int]string{
	2:  "Error api key",
	3:  "Caller is not allowed",
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
	24: "Incorrect ip addresses",
	25: "Incorrect order number",
	28: "All ip addresses of the order must be chosen",
	29: "Incorrect orderIds",
	35: "Unknown error",
}

func refusalOf(code int) *refusal {
	message, ok := messages[code]
	if !ok {
		message = "Error " + strconv.Itoa(code)
	}
	return &refusal{Code: code, Message: message}
}

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
	var body []byte
	if list, ok := document.(*ipList); ok {
		body = list.write()
	} else {
		body = marshal(document)
	}
	return &reply{status, http.Header{"Content-Type": {"application/json"}}, body}
}

func marshal(document any) []byte {
	body, err := json.Marshal(document, json.Deterministic(true), jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
	if err != nil {
		panic("youproxytest: a reply cannot be written: " + err.Error())
	}
	return body
}

// htmlReply returns a page like those of a proxy server in front of a service.
func htmlReply(status int, text string) *reply {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	page := "<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1><p>" + text + "</p></body></html>\n"
	return &reply{status, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, []byte(page)}
}
