package youproxy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The form of an IP list is not documented. What is taken here was read off a
// public integration and the documentation of a sibling service: records in
// lists under the names of proxy types, or under other names; bare, or inside of
// order objects, under whatever key.

// recordField is a member that a record, or an order object around records, may
// have.
type recordField uint8

const (
	fieldID recordField = iota
	fieldShortID
	fieldIP
	fieldShortIP
	fieldOtherIP
	fieldHTTPSPort
	fieldSOCKS5Port
	fieldPort
	fieldProxyType // from here on: what an order says holds for its records
	fieldOrderID
	fieldOrderNumber
	fieldCountry
	fieldStart
	fieldEnd
	fieldProtocol
	fieldAuth
	fieldExtend
	fieldOperator
	fieldRotation
	fieldReboot
	fieldCount // none of them
)

var fieldNames = [...]string{
	fieldID: "ipAddressId", fieldShortID: "id",
	fieldIP: "ipAddressIp", fieldShortIP: "ip", fieldOtherIP: "ipAddress",
	fieldHTTPSPort: "httpsPort", fieldSOCKS5Port: "socks5Port", fieldPort: "port",
	fieldProxyType: "proxyType", fieldOrderID: "orderId", fieldOrderNumber: "orderNumber",
	fieldCountry: "country", fieldStart: "dateStart", fieldEnd: "dateEnd",
	fieldProtocol: "protocol", fieldAuth: "authInfo", fieldExtend: "extendInfo",
	fieldOperator: "mobileOperator", fieldRotation: "rotationTime", fieldReboot: "rebootLink",
}

// fieldNamed finds a field by its name, in any letter case.
func fieldNamed(name []byte) (f recordField, exact bool) {
	if f = fieldSpelled(name); f < fieldCount {
		return f, true
	}
	for f, known := range fieldNames {
		if len(name) == len(known) && strings.EqualFold(string(name), known) {
			return recordField(f), false
		}
	}
	return fieldCount, false
}

func fieldSpelled(name []byte) recordField {
	switch string(name) {
	case "ipAddressId":
		return fieldID
	case "id":
		return fieldShortID
	case "ipAddressIp":
		return fieldIP
	case "ip":
		return fieldShortIP
	case "ipAddress":
		return fieldOtherIP
	case "httpsPort":
		return fieldHTTPSPort
	case "socks5Port":
		return fieldSOCKS5Port
	case "port":
		return fieldPort
	case "proxyType":
		return fieldProxyType
	case "orderId":
		return fieldOrderID
	case "orderNumber":
		return fieldOrderNumber
	case "country":
		return fieldCountry
	case "dateStart":
		return fieldStart
	case "dateEnd":
		return fieldEnd
	case "protocol":
		return fieldProtocol
	case "authInfo":
		return fieldAuth
	case "extendInfo":
		return fieldExtend
	case "mobileOperator":
		return fieldOperator
	case "rotationTime":
		return fieldRotation
	case "rebootLink":
		return fieldReboot
	}
	return fieldCount
}

// member is a member of a JSON object.
type member struct {
	name  []byte // without quotes or escapes
	value []byte // as it is written
}

// nested reports whether other values can be in a value.
func nested(value []byte) bool { return value != nil && (value[0] == '{' || value[0] == '[') }

// fields holds the values of members by their fields; nil where there is none,
// or null.
type fields [fieldCount][]byte

// members is an object that may be a record, or hold records.
type members struct {
	known     fields
	others    []member
	spelled   []member // known ones in another letter case
	noAddress bool     // an address is null
}

// name gives how the name of a field is spelled.
func (m *members) name(f recordField) string {
	for _, other := range m.spelled {
		if &other.value[0] == &m.known[f][0] {
			return string(other.name)
		}
	}
	return fieldNames[f]
}

// nested reports whether records can be in it. What tells the login and the
// extension of a record holds none.
func (m *members) nested() bool {
	return slices.ContainsFunc(m.others, func(m member) bool { return nested(m.value) }) ||
		slices.ContainsFunc(m.known[fieldIP:fieldOtherIP+1], nested)
}

// holdsList reports whether a list is in it that begins, or ends, with a byte.
func (m *members) holdsList(with byte) bool {
	return slices.ContainsFunc(m.others, func(m member) bool { return m.value[0] == '[' && m.value[nextValue(m.value, 1)] == with })
}

// addressed reports whether it tells where a proxy is.
func (m *members) addressed() bool { return m.any(fieldIP, fieldOtherIP) }

// used reports whether it tells how a proxy is used.
func (m *members) used() bool {
	return m.any(fieldHTTPSPort, fieldPort) || m.known[fieldAuth] != nil || m.known[fieldExtend] != nil
}

func (m *members) any(from, to recordField) bool {
	for f := from; f <= to; f++ {
		if m.known[f] != nil && !nested(m.known[f]) {
			return true
		}
	}
	return false
}

// isLikely reports whether it may well be a record where it stands, though it has
// no ipAddressId: whether it tells where a proxy is, or that this is not known yet,
// or how it is used. An order may do that of its gateway, around its records.
func (m *members) isLikely(at place) bool {
	shortID := m.known[fieldShortID] != nil
	switch {
	case at.certain:
		return false
	case at.inList || at.inGroup:
		return m.addressed() || m.any(fieldHTTPSPort, fieldPort) ||
			shortID && (m.noAddress && !m.holdsList('{') || m.used() && !m.nested())
	case at.withinGroup:
		return shortID && m.addressed() && (at.asAddress || m.used())
	}
	return false
}

// surroundings is what the objects around a value say that holds for records.
type surroundings struct {
	known  fields
	others []extraMember
	outer  *surroundings // whose others count where these do not have them
	count  int           // others, with the outer ones
}

// maxPassedOn bounds how many unknown members of orders each record gets: the
// first.
const maxPassedOn = 64

// within gives surroundings that nothing was added to.
func within(s *surroundings) surroundings {
	return surroundings{known: s.known, outer: s, count: s.count}
}

type extraMember struct {
	name  string
	value json.RawMessage
}

// maxDepth bounds how deep records are nested.
const maxDepth = 64

var (
	errTooDeep = fmt.Errorf("lists and objects are nested more than %d deep", maxDepth)
	errNoID    = errors.New(`the record has no id, neither "ipAddressId" nor "id"`)
	// errStopped ends a list of which the caller has seen enough.
	errStopped = errors.New("the caller stopped")
)

// place is where a value stands.
type place struct {
	inGroup     bool // under the name of a proxy type
	withinGroup bool // or further in
	inList      bool
	asAddress   bool // under the name of an address
	certain     bool // where only an ipAddressId makes a record
	depth       int
}

// under gives the place of the value of a member, and the proxy type that it is
// named after.
func (at place) under(name []byte) (place, ProxyType) {
	t := knownProxyType(string(name))
	f, _ := fieldNamed(name)
	at.inList, at.inGroup, at.asAddress = false, t.Valid(), f >= fieldIP && f <= fieldOtherIP
	at.withinGroup = at.withinGroup || at.inGroup
	return at, t
}

// deeper gives the place of the values of a list or an object.
func (at place) deeper(inList bool) (place, error) {
	if at.depth >= maxDepth {
		return at, errTooDeep
	}
	at.depth++
	at.inList = inList
	return at, nil
}

// add notes what an object says that holds for its records.
func (s *surroundings) add(m *members) {
	for f := fieldProxyType; f < fieldCount; f++ {
		if m.known[f] != nil {
			s.known[f] = m.known[f]
		}
	}
	for _, other := range m.others {
		if nested(other.value) || s.count >= maxPassedOn {
			continue
		}
		s.count++
		s.others = append(s.others, extraMember{string(other.name), slices.Clip(bytes.Clone(other.value))})
	}
}

func (s *surroundings) setType(t ProxyType) {
	s.known[fieldProxyType] = []byte(`"` + string(t) + `"`)
}

// proxyDecoder makes records of JSON.
type proxyDecoder struct {
	yield   func(*Proxy) error
	whole   []byte           // the value that is read
	hidden  bool             // some secret was only stars
	made    int              // records
	lacking [fieldCount]bool // what some record was told neither by itself nor from around it

	proxy   Proxy // the one that is handed out
	levels  []*surroundings
	text    []byte
	others  []member
	words   map[string]string
	repeats [fieldCount]lastValue
	auth    lastAuth
	extras  [fieldCount]json.RawMessage

	password, reboot lastSecret
}

// lastValue is the last value of a field that is often the same again.
type lastValue struct {
	value []byte // as it is written
	text  string
	time  time.Time
	ok    bool
}

// read reads the records in a whole JSON value, which must be valid.
func (d *proxyDecoder) read(value []byte, s *surroundings, at place) error {
	d.whole = value
	_, err := d.value(value, s, at)
	return err
}

// located tells at which byte of the whole value v begins.
func (d *proxyDecoder) located(v []byte, err error) error {
	return &misplaced{offset: int64(cap(d.whole) - cap(v)), err: err} // both end where the buffer does
}

// misplaced is an error somewhere in a reply.
type misplaced struct {
	offset int64
	path   string // names and indexes, each after a slash
	err    error
}

func (e *misplaced) Error() string {
	if e.path == "" {
		return fmt.Sprintf("at byte %d: %v", e.offset, e.err)
	}
	return fmt.Sprintf("in %s, at byte %d: %v", shortQuote(e.path), e.offset, e.err)
}

// pathOf returns a pointer with the names that are known here, and … for others,
// which may be anything.
func pathOf(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		f, _ := fieldNamed([]byte(token))
		if strings.Trim(token, "0123456789") != "" && f == fieldCount && !knownProxyType(token).Valid() {
			token = "…"
		}
		b.WriteString("/" + token)
	}
	return b.String()
}

func (e *misplaced) Unwrap() error { return e.err }

// value reads the records in a value, and reports whether there are any.
func (d *proxyDecoder) value(v []byte, s *surroundings, at place) (found bool, err error) {
	switch v[0] {
	case '{':
		return d.object(v, s, at)
	case '[':
		inside, err := at.deeper(true)
		if err != nil {
			return false, d.located(v, err)
		}
		for i := nextValue(v, 1); v[i] != ']'; i = nextValue(v, i) {
			end := skipValue(v, i)
			some, err := d.value(v[i:end], s, inside)
			found = found || some
			if err != nil {
				return found, err
			}
			i = end
		}
	}
	return found, nil
}

// object reads the record that an object is, or the records in it.
func (d *proxyDecoder) object(v []byte, s *surroundings, at place) (found bool, err error) {
	scratch := len(d.others)
	var m members
	if err := d.split(v, &m); err != nil {
		return false, d.located(v, err)
	}
	certain := m.known[fieldID] != nil
	likely := !certain && m.isLikely(at)
	if !certain && m.nested() {
		found, err = d.inside(v, &m, s, at, likely)
	}
	if likely && m.known[fieldShortID] == nil && m.known[fieldOrderID] != nil && m.holdsList(']') {
		likely = false // it is an order without records
	}
	if err == nil && !found && (certain || likely) {
		found, err = true, d.record(v, &m, s)
	}
	d.others = d.others[:scratch]
	return found, err
}

// inside reads the records in the members of an object. Where that is likely a
// record itself, only an ipAddressId makes another one of what is in it.
func (d *proxyDecoder) inside(v []byte, m *members, s *surroundings, at place, likely bool) (found bool, err error) {
	in, err := at.deeper(false)
	if err != nil {
		return false, d.located(v, err)
	}
	in.certain = at.certain || likely && m.known[fieldShortID] != nil
	around := d.level(2*in.depth, s)
	around.add(m)
	walk := func(name, value []byte) error {
		if !nested(value) {
			return nil
		}
		at, t := in.under(name)
		its := around
		if at.inGroup {
			its = d.level(2*in.depth+1, around)
			its.setType(t)
		}
		some, err := d.value(value, its, at)
		found = found || some
		return err
	}
	for _, other := range m.others {
		if err := walk(other.name, other.value); err != nil {
			return found, err
		}
	}
	for f := fieldIP; f <= fieldOtherIP; f++ {
		if err := walk([]byte(fieldNames[f]), m.known[f]); err != nil {
			return found, err
		}
	}
	return found, nil
}

// level gives a copy of s in room that is used again.
func (d *proxyDecoder) level(n int, s *surroundings) *surroundings {
	for len(d.levels) <= n {
		d.levels = append(d.levels, new(surroundings))
	}
	*d.levels[n] = within(s)
	return d.levels[n]
}

// split finds the members of an object.
func (d *proxyDecoder) split(v []byte, m *members) error {
	start := len(d.others)
	for i := nextValue(v, 1); v[i] != '}'; i = nextValue(v, i) {
		end := skipString(v, i)
		found := member{name: v[i+1 : end-1]}
		f, exact := fieldSpelled(found.name), true
		if f == fieldCount {
			if bytes.IndexByte(found.name, '\\') >= 0 {
				found.name, _ = jsontext.AppendUnquote(nil, v[i:end])
			}
			f, exact = fieldNamed(found.name)
		}
		i = nextValue(v, end)
		end = skipValue(v, i)
		found.value = v[i:end]
		i = end

		switch {
		case f == fieldCount:
			d.others = append(d.others, found)
			continue
		case found.value[0] == 'n':
			m.noAddress = m.noAddress || f >= fieldIP && f <= fieldOtherIP
			continue
		}
		if m.known[f] != nil {
			before := member{[]byte(m.name(f)), m.known[f]}
			if bytes.Equal(before.name, found.name) {
				return fmt.Errorf("%q is given twice", found.name)
			}
			// The name in the right letter case is the one.
			if string(before.name) == fieldNames[f] || !exact && bytes.Compare(before.name, found.name) < 0 {
				d.others = append(d.others, found)
				continue
			}
			d.others = append(d.others, before)
		}
		m.known[f] = found.value
		if !exact {
			m.spelled = append(m.spelled, found)
		}
	}
	m.others = slices.Clip(d.others[start:])
	return nil
}

// record hands out the proxy an object describes.
func (d *proxyDecoder) record(v []byte, m *members, s *surroundings) error {
	for f := fieldProxyType; f < fieldCount; f++ {
		if m.known[f] == nil || string(m.known[f]) == `""` && s.known[f] != nil {
			m.known[f] = s.known[f]
			d.lacking[f] = d.lacking[f] || m.known[f] == nil
		}
	}
	d.made++
	d.proxy = Proxy{}
	p := &d.proxy
	d.text = d.text[:0]
	id := m.first(fieldID, fieldShortID, d.appendID)
	if id == fieldCount {
		return d.located(v, errNoID)
	}
	idLength := len(d.text)
	ip := m.first(fieldIP, fieldOtherIP, func(v []byte) bool { return d.appendText(v) && len(d.text) > idLength })
	ipEnd := len(d.text)
	auth := m.known[fieldAuth]
	again := bytes.Equal(auth, d.auth.value)
	if auth != nil && !again {
		d.appendAuth(auth)
	}
	text := string(d.text) // one string for all that is the record's own
	p.ID = IPAddressID(text[:idLength])
	if auth != nil {
		if !again {
			d.auth.login, d.auth.password = text[ipEnd:ipEnd+d.auth.loginLength], text[ipEnd+d.auth.loginLength:]
		}
		p.Credentials = d.credentials(d.auth.login, d.auth.password)
		if d.auth.left != nil {
			p.keep(m.name(fieldAuth), d.auth.left)
		}
	}
	text = text[:ipEnd]
	var port int
	if ip != fieldCount {
		var ok bool
		if p.Host, p.IP, port, ok = parseHost(text[idLength:]); !ok {
			d.keep(p, m, ip)
		}
		for f := ip + 1; !ok && f <= fieldOtherIP; f++ { // another may be one that can be read
			if m.known[f] == nil || !d.textOf(m.known[f]) {
				continue
			}
			other := string(d.text)
			if p.Host, p.IP, port, ok = parseHost(other); ok {
				ip, text = f, text[:idLength]+other
			}
		}
	}
	for f := fieldID; f <= fieldOtherIP; f++ {
		if f == id || f == ip || m.known[f] == nil {
			continue
		}
		taken := text[:idLength]
		if f >= fieldIP {
			taken = text[idLength:]
		}
		if !d.textOf(m.known[f]) || string(d.text) != taken {
			d.keep(p, m, f)
		}
	}
	for f := fieldHTTPSPort; f < fieldCount; f++ {
		if value := m.known[f]; value != nil && !d.field(p, f, value) {
			d.keep(p, m, f)
		}
	}
	if value := m.known[fieldPort]; value != nil {
		if n, ok := portNumber(value); !ok || !p.listensOn(n) {
			d.keep(p, m, fieldPort)
		}
	}
	if port != 0 && !p.listensOn(port) {
		d.keep(p, m, ip)
	}
	for _, other := range m.others {
		p.keep(d.word(other.name), slices.Clip(bytes.Clone(other.value)))
	}
	for ; s != nil; s = s.outer {
		for _, other := range s.others {
			if _, own := p.Extra[other.name]; !own {
				p.keep(other.name, other.value)
			}
		}
	}
	return d.yield(p)
}

func (p *Proxy) keep(name string, value json.RawMessage) {
	if p.Extra == nil {
		p.Extra = make(map[string]json.RawMessage)
	}
	p.Extra[name] = value
}

// keep puts a field in an odd form into Extra. Records that repeat what stands
// around them share it.
func (d *proxyDecoder) keep(p *Proxy, m *members, f recordField) {
	if value := m.known[f]; !bytes.Equal(d.extras[f], value) {
		d.extras[f] = slices.Clip(bytes.Clone(value))
	}
	p.keep(m.name(f), d.extras[f])
}

// first gives the first of some fields that serves.
func (m *members) first(from, to recordField, serves func(value []byte) bool) recordField {
	for f := from; f <= to; f++ {
		if m.known[f] != nil && serves(m.known[f]) {
			return f
		}
	}
	return fieldCount
}

// field reads a field that stands for itself. It reports false where its form is
// odd.
func (d *proxyDecoder) field(p *Proxy, f recordField, v []byte) (ok bool) {
	switch f {
	case fieldPort, fieldAuth: // which were read together with others
		return true
	case fieldHTTPSPort:
		p.HTTPPort, ok = portNumber(v)
	case fieldSOCKS5Port:
		p.SOCKS5Port, ok = portNumber(v)
	case fieldProxyType:
		var name string
		name, ok = d.wordField(f, v)
		p.ProxyType = knownProxyType(name)
	case fieldOrderID:
		r := d.repeat(f, v, func(r *lastValue) {
			r.ok = d.appendID(v)
			r.text = string(d.text)
		})
		p.OrderID, ok = OrderID(r.text), r.ok
	case fieldOrderNumber:
		var number string
		number, ok = d.textField(f, v)
		p.OrderNumber = OrderNumber(number)
	case fieldCountry:
		p.Country, ok = d.wordField(f, v)
	case fieldStart:
		p.Start, ok = d.dateField(f, v)
	case fieldEnd:
		p.End, ok = d.dateField(f, v)
	case fieldProtocol:
		var name string
		name, ok = d.wordField(f, v)
		p.Protocol = knownProtocol(name)
	case fieldExtend:
		return d.extend(p, v)
	case fieldOperator:
		p.MobileOperator, ok = d.wordField(f, v)
	case fieldRotation:
		p.RotationTime, ok = wholeNumber(v)
	case fieldReboot:
		var link string
		if link, ok = d.textField(f, v); d.isHidden(link) {
			return false
		}
		if link != "" {
			p.RebootURL = d.reboot.of(link)
		}
	}
	return ok
}

// lastAuth is what a record asks its user for, as the record before may have
// done.
type lastAuth struct {
	value           []byte
	login, password string
	loginLength     int
	left            json.RawMessage // what was not read; nil where that is nothing
}

// appendAuth adds the login and the password to d.text.
func (d *proxyDecoder) appendAuth(v []byte) {
	var login, password, left []byte
	isObject := v[0] == '{'
	leave := func(name, value []byte) {
		left, _ = jsontext.AppendQuote(append(left, ','), name)
		left = append(append(left, ':'), value...)
	}
	eachMember(v, func(name, value []byte) bool {
		switch {
		case string(name) == "login" && login == nil && isText(value):
			login = value
		case string(name) == "password" && password == nil && isText(value):
			password = value
		default:
			leave(name, value)
		}
		return true
	})
	d.auth.value = append(d.auth.value[:0], v...)
	before := len(d.text)
	if login != nil {
		d.appendText(login)
	}
	d.auth.loginLength = len(d.text) - before
	if password != nil {
		before := len(d.text)
		d.appendText(password)
		if d.isHidden(string(d.text[before:])) {
			d.text = d.text[:before]
			leave([]byte("password"), password)
		}
	}
	d.auth.left = nil
	switch {
	case !isObject:
		d.auth.left = slices.Clip(bytes.Clone(v))
	case left != nil:
		left[0] = '{'
		d.auth.left = slices.Clip(append(left, '}'))
	}
}

func (d *proxyDecoder) credentials(login, password string) *Credentials {
	if login == "" && password == "" {
		return nil
	}
	return &Credentials{Login: login, Password: d.password.of(password)}
}

// lastSecret is a secret that is often the same again.
type lastSecret struct {
	text   string
	secret Secret
}

func (l *lastSecret) of(text string) Secret {
	if l.text != text {
		*l = lastSecret{text, NewSecret(text)}
	}
	return l.secret
}

// isHidden reports whether a text only stands for a secret.
func (d *proxyDecoder) isHidden(text string) bool {
	stars := text == hidden
	d.hidden = d.hidden || stars
	return stars
}

// extend reads how a proxy is extended automatically.
func (d *proxyDecoder) extend(p *Proxy, v []byte) bool {
	return eachMember(v, func(name, value []byte) (ok bool) {
		switch string(name) {
		case "autoExtend":
			p.AutoExtend = value[0] == 't'
			return p.AutoExtend || value[0] == 'f'
		case "extendDays":
			p.AutoExtendDays, ok = wholeNumber(value)
			if p.AutoExtendDays < 0 {
				p.AutoExtendDays, ok = 0, false
			}
			return ok
		}
		return false
	})
}

// eachMember hands over the members of an object that are not null. It reports
// false where v is no object, or any of the members, or one given twice, is not
// taken.
func eachMember(v []byte, take func(name, value []byte) bool) bool {
	if v[0] != '{' {
		return false
	}
	whole := true
	for i := nextValue(v, 1); v[i] != '}'; i = nextValue(v, i) {
		end := skipString(v, i)
		name := v[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name, _ = jsontext.AppendUnquote(nil, v[i:end])
		}
		i = nextValue(v, end)
		end = skipValue(v, i)
		if v[i] != 'n' && !take(name, v[i:end]) {
			whole = false
		}
		i = end
	}
	return whole
}

// isText reports whether v is a text, or a number.
func isText(v []byte) bool { return v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// appendText adds a text, or a number as it is written, to d.text.
func (d *proxyDecoder) appendText(v []byte) bool {
	switch {
	case v[0] == '"':
		for _, c := range v {
			if c == '\\' || c >= 0x80 {
				d.text, _ = jsontext.AppendUnquote(d.text, v)
				return true
			}
		}
		d.text = append(d.text, v[1:len(v)-1]...)
		return true
	case isText(v):
		d.text = append(d.text, v...)
		return true
	}
	return false
}

// appendID adds an id to d.text: a text that is not blank, or a whole number.
func (d *proxyDecoder) appendID(v []byte) bool {
	before := len(d.text)
	ok := d.appendText(v) && len(bytes.TrimSpace(d.text[before:])) > 0 &&
		(v[0] == '"' || len(bytes.Trim(v, "0123456789")) == 0)
	if !ok {
		d.text = d.text[:before]
	}
	return ok
}

// textOf makes d.text a text.
func (d *proxyDecoder) textOf(v []byte) bool {
	d.text = d.text[:0]
	return d.appendText(v)
}

// The bounds of the words that are remembered.
const (
	maxWords      = 512
	maxWordLength = 64
)

// word gives a text as a string. Short ones are held once.
func (d *proxyDecoder) word(text []byte) string {
	if len(text) > maxWordLength {
		return string(text)
	}
	if word, ok := d.words[string(text)]; ok {
		return word
	}
	if d.words == nil || len(d.words) >= maxWords {
		d.words = make(map[string]string)
	}
	word := string(text)
	d.words[word] = word
	return word
}

// repeat gives what parse makes of a value, which it is not asked where the value
// is that of the record before.
func (d *proxyDecoder) repeat(f recordField, v []byte, parse func(*lastValue)) *lastValue {
	r := &d.repeats[f]
	if !bytes.Equal(r.value, v) {
		*r = lastValue{value: append(r.value[:0], v...)}
		d.text = d.text[:0]
		parse(r)
	}
	return r
}

// textField reads a text of which there may be many different ones.
func (d *proxyDecoder) textField(f recordField, v []byte) (string, bool) {
	r := d.repeat(f, v, func(r *lastValue) {
		r.ok = d.appendText(v)
		r.text = string(d.text)
	})
	return r.text, r.ok
}

// wordField reads a text of which there are few different ones.
func (d *proxyDecoder) wordField(f recordField, v []byte) (string, bool) {
	r := d.repeat(f, v, func(r *lastValue) {
		r.ok = d.appendText(v)
		r.text = d.word(d.text)
	})
	return r.text, r.ok
}

// dateField reads a date. An empty text is none.
func (d *proxyDecoder) dateField(f recordField, v []byte) (time.Time, bool) {
	r := d.repeat(f, v, func(r *lastValue) {
		if r.ok = d.appendText(v); r.ok && len(d.text) > 0 {
			r.time = parseDate(string(d.text))
			r.ok = !r.time.IsZero()
		}
	})
	return r.time, r.ok
}

// wholeNumber reads a whole number, in quotes or not. An empty text is 0.
func wholeNumber(v []byte) (int, bool) {
	if v[0] == '"' {
		v = v[1 : len(v)-1]
		if len(v) == 0 {
			return 0, true
		}
	}
	n, err := strconv.Atoi(string(v))
	if err != nil {
		return 0, false
	}
	return n, true
}

// portNumber reads the number of a port. 0 is none.
func portNumber(v []byte) (int, bool) {
	n, ok := wholeNumber(v)
	if !ok || n < 0 || n > 65535 {
		return 0, false
	}
	return n, true
}

// listensOn notes the one port of a proxy. It reports false where the proxy does
// not tell what it speaks there, or has another port for that.
func (p *Proxy) listensOn(port int) bool {
	if port == 0 || port == p.HTTPPort || port == p.SOCKS5Port {
		return true
	}
	var its *int
	switch Protocol(strings.ToUpper(string(p.Protocol))) {
	case ProtocolHTTP, "HTTPS":
		its = &p.HTTPPort
	case ProtocolSOCKS, "SOCKS5":
		its = &p.SOCKS5Port
	default:
		return false
	}
	if *its != 0 {
		return false
	}
	*its = port
	return true
}

// knownProtocol gives a protocol in its own letter case.
func knownProtocol(name string) Protocol {
	for _, p := range []Protocol{ProtocolHTTP, ProtocolSOCKS} {
		if strings.EqualFold(name, string(p)) {
			return p
		}
	}
	return Protocol(name)
}

// parseHost reads an address or a host name, with or without a port.
func parseHost(text string) (host string, ip netip.Addr, port int, ok bool) {
	host = text
	bracketed := strings.HasPrefix(text, "[")
	if i := strings.LastIndexByte(text, ':'); i >= 0 && (bracketed && !strings.HasSuffix(text, "]") || strings.IndexByte(text, ':') == i) {
		n, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil {
			return "", netip.Addr{}, 0, false
		}
		host, port = text[:i], int(n)
	}
	if bracketed {
		var closed bool
		if host, closed = strings.CutSuffix(host[1:], "]"); !closed || !strings.Contains(host, ":") {
			return "", netip.Addr{}, 0, false
		}
	}
	if isNumeric(host) || strings.IndexByte(host, ':') >= 0 {
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Zone() != "" {
			return "", netip.Addr{}, 0, false
		}
		return host, ip, port, true
	}
	if !isHostname(host) {
		return "", netip.Addr{}, 0, false
	}
	return host, netip.Addr{}, port, true
}

// isNumeric reports whether s can only be an IPv4 address.
func isNumeric(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' {
			return false
		}
	}
	return true
}

func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' {
			return false
		}
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return len(s) <= 253
}

// nextValue gives where the next value, name or end is in valid JSON.
func nextValue(v []byte, i int) int {
	for {
		switch v[i] {
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
		default:
			return i
		}
	}
}

// skipString gives where the string at i ends in valid JSON. It looks at eight
// bytes at a time for the one that ends it, or for a backslash.
func skipString(v []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for i++; ; i++ {
		for ; i+8 <= len(v); i += 8 {
			word := binary.LittleEndian.Uint64(v[i:])
			quote, backslash := word^'"'*ones, word^'\\'*ones
			if found := ((quote-ones)&^quote | (backslash-ones)&^backslash) & high; found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		switch v[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// skipValue gives where the value at i ends in valid JSON.
func skipValue(v []byte, i int) int {
	depth := 0
	for {
		switch v[i] {
		case '"':
			i = skipString(v, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
			continue
		default:
			for i < len(v) && (v[i] > ' ' && v[i] != ',' && v[i] != '}' && v[i] != ']') {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}
