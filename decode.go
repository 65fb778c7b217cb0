package youproxy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// The form of an IP list is not documented; this rule reads the likely forms. A record is the
// innermost object with an ipAddressId, or with an address and an id: its "id", or the
// all-digits name that it has in its object. Within an object that could be a record, another
// record is only in a list, or under a name such as "proxy". Under a name with allow, auth,
// white or gateway there is no record. An object with a list for records, such as "ips", is an
// order, even if the list is empty or null. The objects around a record fill its gaps, innermost
// first; an order's own "id", "number" or all-digits name is the order's. The type is the
// record's, then that of what surrounds it, including a name that begins with a type, then the
// one that was asked for. Addresses without a record are an error: if nothing else is found in
// a reply or in a group named after a type, and beside records in their list.

// object is a JSON object of a list, with its position.
type object struct {
	around  *object   // the object that contains it
	name    *listName // its name, or that of its list
	listed  bool      // it is an element of a list
	members []member
	at      [fieldCount]uint16     // the index of the member of a field, from 1; 0 for none
	read    map[*listName]*reading // what was read of it for the records inside
	own     uint32                 // the fields that it has, a bit each
	reach   uint32                 // those that it or a surrounding object has
	again   uint32                 // those that it has under more than one name
	hasList bool                   // for records
	hasType bool                   // or lists named after types
	keyed   tally                  // of its members that may be one of many
	texts   bool                   // a string that is not a member here contains an address
	isNamed bool                   // it has a name, as groups have
	isEmpty bool                   // it has a list that is empty
	isPage  bool                   // it has the size of a list
	certain bool                   // it has an ipAddressId
	likely  bool                   // it has an address and an id
	byIP    bool                   // the address is an IP address rather than a host name
}

// inside returns an object within another, or within none if o is nil. It reuses room for
// its members.
func (o *object) inside(name *listName, listed bool, room []member) object {
	if cap(room) > maxMembers {
		room = nil
	}
	x := object{around: o, name: name, listed: listed, members: room[:0]}
	if o != nil {
		x.reach = o.reach
	}
	return x
}

// isOrder reports whether o is an order rather than a group, a page or the envelope.
func (o *object) isOrder() bool {
	a := o.around
	switch {
	case o.at[fieldOrderID] > 0 || o.at[fieldOrderNumber] > 0 || o.name.field == fieldOrder:
		return true
	case o.name.others || o.isPage:
		return false
	case o.listed:
		return true
	}
	return a != nil && !a.name.others && (o.name.digits || a.name.orders && !a.listed && o.name.field == fieldNone && !o.name.list && !o.name.orders)
}

// saysIDs reports whether the id of o is that of an order.
func (o *object) saysIDs() bool { return o.isOrder() && (!o.isNamed || o.name.orders) }

// says reports whether a member of o may be a field of the records inside.
func (o *object) says(m *member) bool {
	isGroup := o.name.typ != ""
	switch listFields[m.field].said {
	case byOrder:
		return o.isOrder() || isGroup
	case byAll: // what surrounds all may have similar members about other things
		return m.name.rank == 0 || m.field == fieldType || m.field == fieldAutoExtend || o.isOrder() || isGroup
	}
	return false
}

// room appends a member, which still holds the contents of an earlier object.
func (o *object) room() *member {
	n := len(o.members)
	if n == cap(o.members) {
		o.members = append(o.members, member{})
	}
	o.members = o.members[:n+1]
	return &o.members[n]
}

// add indexes the last member. It returns false if o has a member with that name already.
func (o *object) add() bool {
	m := &o.members[len(o.members)-1]
	n, f, is := m.name, m.field, o.get(m.field)
	switch {
	case n.list && (nested(m.value) || m.value[0] == 'n'):
		o.hasList = true
		return true
	case n.group && m.value[0] == '[':
		o.hasType = true
		return true
	case f == fieldNone:
		o.isPage, o.isNamed = o.isPage || n.page, o.isNamed || n.title
		o.isEmpty = o.isEmpty || m.value[0] == '[' && !n.barred && isHollow(m.value)
		return true
	case isHollow(m.value):
		return true
	case is == nil:
	case is.name.text == n.text:
		return false
	case f == fieldCountry && len(is.value) != len(m.value) && (len(is.value) == len(`"USA"`) || len(m.value) == len(`"USA"`)):
		if len(is.value) == len(`"USA"`) {
			return true // three letters are preferred to a name and to two letters
		}
	case f == fieldAutoExtend: // of several, one that is not off
		if on, ok := truth(m.value); ok && !on {
			return true
		}
	case n.rank > is.name.rank, n.rank == is.name.rank && !n.exact:
		o.again |= 1 << f
		return true
	default:
		o.again |= 1 << f
	}
	if len(o.members) <= math.MaxUint16 {
		o.at[f], o.own, o.reach = uint16(len(o.members)), o.own|1<<f, o.reach|1<<f
	}
	return true
}

// get returns the likeliest member of a field, or nil.
func (o *object) get(f recordField) *member {
	if i := o.at[f]; i > 0 {
		return &o.members[i-1]
	}
	return nil
}

// value returns the value of a field, or nil.
func (o *object) value(f recordField) []byte {
	if m := o.get(f); m != nil {
		return m.value
	}
	return nil
}

// The bounds of a list.
const (
	maxDepth   = 32      // of nested lists and objects
	maxMembers = 1 << 12 // of an object, not counting lists and objects
)

var (
	errTooDeep = fmt.Errorf("lists and objects are nested more than %d deep", maxDepth)
	errMisread = errors.New("the list cannot be understood")
	errBarred  = fmt.Errorf("%w: there are ids of proxies under a name that says otherwise", errMisread)
	// errStopped ends a list whose loop the caller left.
	errStopped = errors.New("the caller stopped")
)

// proxyDecoder makes records of JSON.
type proxyDecoder struct {
	yield  func(*Proxy) error
	name   func(string) *listName // newListName, through a field to avoid an initialization cycle
	made   int                    // records
	strays int                    // addresses outside of records
	stray  string                 // a description of the first
	hidden bool                   // a secret was only asterisks

	whole    []byte // the value that is read
	depth    int
	objects  [maxDepth + 2]object // by their depth
	names    map[string]*listName
	inner    [4]*listName // of the members of a value
	readings [fieldCount]reading
	text     []byte
	current  *object // the record that is read
	proxy    Proxy   // the proxy that is yielded
}

// located adds to err at which byte of the whole value v begins.
func (d *proxyDecoder) located(v []byte, err error) error {
	return &misplaced{offset: int64(cap(d.whole) - cap(v)), err: err} // both end where the buffer does
}

// next returns the name of the member at i, and where its value begins. The name is
// mostly the same as the last one in its place.
func (d *proxyDecoder) next(v []byte, i int, last *listName) (*listName, int) {
	if last != nil && last.field != fieldNone {
		if end := i + 1 + len(last.text); string(v[i+1:min(end, len(v))]) == last.text && v[end] == '"' {
			return last, nextValue(v, end+1)
		}
	}
	end := skipString(v, i)
	return d.named(v[i+1 : end-1]), nextValue(v, end)
}

// tally notes whether elements of a list were records, and whether some held only
// addresses.
type tally struct{ some, none bool }

// note counts an element. made and strays are the counts before it.
func (t *tally) note(d *proxyDecoder, made, strays int) error {
	t.some = t.some || d.made > made
	t.none = t.none || d.made == made && d.strays > strays
	if t.some && t.none {
		return fmt.Errorf("%w: beside proxies there is %s", errMisread, d.stray)
	}
	return nil
}

func newProxyDecoder(yield func(*Proxy) error) proxyDecoder {
	return proxyDecoder{yield: yield, name: newListName}
}

// read reads the records in a value, and notes the result in the tally of its list.
func (d *proxyDecoder) read(v []byte, around *object, name *listName, listed bool, t *tally) (err error) {
	if d.depth++; d.depth > maxDepth {
		return d.located(v, errTooDeep)
	}
	made, strays := d.made, d.strays
	switch v[0] {
	case '{':
		err = d.object(v, around, name, listed)
	case '[':
		var inside tally
		for i := nextValue(v, 1); err == nil && v[i] != ']'; i = nextValue(v, i) {
			end := skipValue(v, i)
			err = d.read(v[i:end], around, name, true, &inside)
			i = end
		}
	case '"':
		if holdsAddress(textOf(v)) {
			d.spot("an address in a text under %q", name.known())
		}
	}
	d.depth--
	if err != nil || t == nil {
		return err
	}
	if err = t.note(d, made, strays); err != nil {
		return d.located(v, err)
	}
	return nil
}

// group reads a member with read. If it is named after a proxy type, strays without
// records are an error.
func (d *proxyDecoder) group(around *object, name *listName, read func() error) error {
	made, strays := d.made, d.strays
	err := read()
	if err == nil && d.made == made && d.strays > strays && name.typ != "" && !around.certain && !around.likely {
		err = d.lost()
	}
	return err
}

// spot notes an address outside of records.
func (d *proxyDecoder) spot(format string, args ...any) {
	if d.strays++; d.stray == "" {
		d.stray = fmt.Sprintf(format, args...)
	}
}

// lost returns the error for strays without records.
func (d *proxyDecoder) lost() error {
	return fmt.Errorf("%w: no proxy was found, but there is %s", errMisread, d.stray)
}

// object reads the records in an object, or the object itself if it is one.
func (d *proxyDecoder) object(v []byte, around *object, name *listName, listed bool) error {
	o := &d.objects[d.depth]
	*o = around.inside(name, listed, o.members)
	if err := d.split(v, o); err != nil {
		return d.located(v, err)
	}
	if order := o.get(fieldOrder); order != nil && order.value[0] == '{' {
		if err := d.order(o, order.name, order.value); err != nil {
			return d.located(order.value, err)
		}
	}
	made, strays := d.made, d.strays
	for i := range o.members {
		m := &o.members[i]
		if !nested(m.value) && !m.name.texts {
			continue
		}
		if !o.isWalked(m) {
			if !listed && m.name.hides(m.value) {
				return d.located(v, errBarred)
			}
			continue
		}
		before, spotted := d.made, d.strays
		if err := d.group(o, m.name, func() error { return d.read(m.value, o, m.name, false, nil) }); err != nil {
			return err
		}
		if o.hasList && !m.name.list && !m.name.group && d.made == before {
			d.strays = spotted // the order has it itself
		}
		if m.name.digits || name.list || name.group {
			if err := o.keyed.note(d, before, spotted); err != nil {
				return d.located(v, err)
			}
		}
	}
	switch {
	case d.made > made:
	case d.isRecord(o):
		d.strays = strays // they are its own
		return d.record(o)
	default:
		d.spotIn(o)
	}
	return nil
}

// order treats the object under "order" as if it surrounded the members beside it too.
func (d *proxyDecoder) order(o *object, name *listName, v []byte) error {
	x := o.around.inside(name, false, nil)
	o.around = &x
	err := d.split(v, &x)
	o.reach |= x.reach
	return err
}

// isWalked reports whether a member may contain records. In an object that could be a
// record or has a list for records, that depends on its name.
func (o *object) isWalked(m *member) bool {
	n := m.name
	switch {
	case !n.isWalked(m.value):
		return false
	case n.list, n.group && m.value[0] == '[':
		return true
	case o.hasList && o.isOrder():
		return n.group || n.field == fieldOrder
	case o.certain:
		return n.lone && m.value[0] == '{'
	case o.likely && o.own&sold != 0:
		return n.lone && m.value[0] == '{' || m.value[0] == '['
	}
	return true
}

// traded are the fields of something that was bought.
const traded = 1<<fieldHTTPPort | 1<<fieldSOCKS5Port | 1<<fieldPort | 1<<fieldOrderID

// full are the fields of a complete proxy.
const full = 1<<fieldHTTPPort | 1<<fieldOrderID

// sold are the fields of a proxy rather than of another machine: a port, a login, an
// order.
const sold = traded | 1<<fieldAuth | 1<<fieldLogin

// spotIn notes an address in an object that is not a record.
func (d *proxyDecoder) spotIn(o *object) {
	if o.name.person || o.isEmpty && !o.listed || (o.hasList || o.hasType) && (!o.likely || o.own&full != full) {
		return // the order has it itself
	}
	var names []string
	others, found := 0, o.texts || o.get(fieldID) != nil || o.listed && o.name.list && strings.Contains(o.name.plain, "ip") && o.own&sold != 0 && o.own&(1<<fieldShortID) != 0
	for _, m := range o.members {
		if m.name.quiet {
			continue
		}
		if known := m.name.known(); known != "…" && len(names) < 8 {
			names = append(names, strconv.Quote(known))
		} else {
			others++
		}
		if m.name.host || m.value[0] == '"' && (holdsAddress(textOf(m.value)) || m.name.field == fieldAddress && isEndpoint(textOf(m.value))) {
			found = true
		}
	}
	if found {
		if others > 0 {
			names = append(names, fmt.Sprintf("%d unknown members", others))
		}
		d.spot("an object with %s, without an id that can be read", strings.Join(names, ", "))
	}
}

// split finds the members of an object.
func (d *proxyDecoder) split(v []byte, o *object) error {
	flat := 0
	for i := nextValue(v, 1); v[i] != '}'; i = nextValue(v, i) {
		m := o.room()
		m.name, i = d.next(v, i, m.name)
		var end int
		if v[i] == '"' {
			end = skipString(v, i)
		} else {
			end = skipValue(v, i)
		}
		m.value, m.field = v[i:end], fieldNone
		i = end
		if m.name.always || m.name.means(m.value) {
			m.field = m.name.field
		}
		if !nested(m.value) {
			flat++
		}
		switch {
		case flat > maxMembers:
			return fmt.Errorf("an object has more than %d members", maxMembers)
		case !o.add():
			return fmt.Errorf("%q appears twice", m.name.known())
		}
	}
	o.certain = isID(o.value(fieldID))
	if !o.certain && (isID(o.value(fieldShortID)) || o.name.isID()) {
		which, at := d.address(o)
		o.likely, o.byIP = which != nil, at.ip.IsValid()
	}
	return nil
}

// isRecord reports whether an object that contains no records is one itself.
func (d *proxyDecoder) isRecord(o *object) bool {
	a := o.around
	switch {
	case o.certain:
		return a == nil || !a.certain || string(unquote(a.value(fieldID))) != string(unquote(o.value(fieldID)))
	case !o.likely || o.hasList || o.name.person && o.own&traded == 0:
		return false
	case o.own&sold == 0 && (o.hasType || o.name.site || !o.byIP || a != nil && a.name.person && !o.name.group):
		return false // it may be another machine, or a company
	}
	inMap := a != nil && !a.likely && !a.listed && (a.name.list || a.name.group) // of records
	for x := a; x != nil; x = x.around {
		if x.certain || x.likely && x.own&sold != 0 && !o.name.list && !o.name.group && !o.name.lone && !inMap {
			return false
		}
	}
	id := o.get(fieldShortID)
	switch {
	case o.listed, o.name.digits, o.name.lone, id != nil && string(unquote(id.value)) == o.name.text:
		return true
	case a == nil || a.certain || a.likely:
		return false
	}
	return o.name.group || a.name.list || !a.listed && a.name.group || o.own&traded != 0
}

// address returns the address of a proxy, and the likeliest member that has it.
func (d *proxyDecoder) address(o *object) (which *member, at hostPort) {
	for i := range o.members {
		m := &o.members[i]
		if m.field != fieldAddress || which != nil && which.name.rank < m.name.rank {
			continue
		}
		v := m.value
		if v[0] == '{' {
			if isText(d.pick(v, []string{"id", "ipaddressid", "proxyid"})) {
				continue // it is a record of its own
			}
			v = d.pick(v, []string{"ip", "address", "ipaddress", "host"})
		}
		if found, ok := parseHostPort(strings.TrimSpace(textOf(v))); ok && found.isEndpoint() {
			which, at = m, found
		}
	}
	return which, at
}

// record yields the proxy that an object describes.
func (d *proxyDecoder) record(o *object) error {
	d.made++
	d.proxy = Proxy{}
	p := &d.proxy
	id, address := o.get(fieldID), o.get(fieldAddress)
	if !o.certain {
		id = o.get(fieldShortID)
	}
	d.text = d.text[:0]
	if o.certain || id != nil && isID(id.value) {
		d.text = append(d.text, unquote(id.value)...)
	} else {
		d.text = append(d.text, o.name.text...)
	}
	n := len(d.text)
	if address != nil {
		d.text = append(d.text, unquote(address.value)...)
	}
	text := string(d.text) // one string for both
	d.current = o
	p.ID = IPAddressID(text[:n])
	at, ok := parseHostPort(strings.TrimSpace(text[n:]))
	if address != nil && (!ok || !at.isEndpoint()) {
		address, at = d.address(o)
	}
	p.Host, p.IP = at.host, at.ip
	d.login(p, o)
	var own uint32 // the fields that were read, a bit each
	for i := range o.members {
		m := &o.members[i]
		switch isFirst := int(o.at[m.field]) == i+1; {
		case m == id || m == address || isFirst && m.field >= fieldPort && m.field < fieldType:
		case isFirst && m.field >= fieldType:
			if d.take(p, o, m) {
				own |= 1 << m.field
			}
		case m.isLeft(p):
			p.keep(m.name, bytes.Clone(m.value))
		}
	}
	for gaps := (o.reach&^onlyOwn | everywhere) &^ own; gaps != 0; gaps &= gaps - 1 {
		d.fill(p, o, recordField(bits.TrailingZeros32(gaps)))
	}
	if port := o.get(fieldPort); port != nil && !d.ports(p, port.value) {
		p.keep(port.name, bytes.Clone(port.value))
	}
	if at.port != 0 && at.port != p.HTTPPort && at.port != p.SOCKS5Port && !p.listensFor(p.Protocol, at.port) {
		p.keep(address.name, bytes.Clone(address.value))
	}
	p.AutoExtendUnknown = p.AutoExtendUnknown && !p.AutoExtend
	return d.yield(p)
}

const (
	onlyOwn    = 1<<fieldType - 1                                     // fields only of the record itself
	everywhere = 1<<fieldType | 1<<fieldOrderID | 1<<fieldOrderNumber // fields that may also come from names around it
)

// isLeft reports whether a member of a record that was not read as its field adds
// something.
func (m *member) isLeft(p *Proxy) bool {
	switch m.field {
	case fieldNone, fieldNumber:
		return true
	case fieldOrder:
		return m.value[0] != '{'
	case fieldID, fieldShortID:
		return !isHollow(m.value) && string(unquote(m.value)) != string(p.ID)
	case fieldAddress:
		return !isHollow(m.value) && (p.Host == "" || string(unquote(m.value)) != p.Host)
	}
	return !isHollow(m.value)
}

// keep puts a member that was not read into Extra.
func (p *Proxy) keep(name *listName, value []byte) {
	if _, ok := p.Extra[name.text]; ok {
		return // a nearer object has it
	}
	if p.Extra == nil {
		p.Extra = make(map[string]json.RawMessage)
	}
	p.Extra[name.text] = slices.Clip(value)
}

// fill fills a gap of a record from the objects around it.
func (d *proxyDecoder) fill(p *Proxy, o *object, f recordField) {
	ordered := false
	for x := o; x != nil; x = x.around {
		if m := x.get(f); x != o && m != nil && x.says(m) && d.take(p, x, m) {
			return
		}
		switch {
		case f == fieldType && x.name.typ != "":
			p.ProxyType = x.name.typ
			return
		case f == fieldOrderID && x.listed && x.name.isID() && x.around != nil && !x.around.name.others: // a list named by the order's id
			p.OrderID = OrderID(x.name.text)
			return
		case x == o || ordered && x.name.field != fieldOrder || !x.saysIDs():
			continue
		}
		ordered = true
		switch id, number := x.value(fieldShortID), x.value(fieldNumber); {
		case f == fieldOrderID && isID(id):
			p.OrderID = OrderID(textOf(id))
			return
		case f == fieldOrderID && x.name.isID():
			p.OrderID = OrderID(x.name.text)
			return
		case f == fieldOrderNumber && isText(number):
			p.OrderNumber = OrderNumber(textOf(number))
			return
		}
	}
}

// take reads a member of a record, or of an object around it, as its field. It returns
// false if the member says nothing, or cannot be read and is kept; then other names for
// the same field are tried.
func (d *proxyDecoder) take(p *Proxy, o *object, m *member) bool {
	f := m.field
	r := d.reading(o, m)
	for i := range o.members {
		if o.again&(1<<f) == 0 || r.ok && !r.silent {
			break
		}
		other := &o.members[i]
		if other.field != f || other == m || isHollow(other.value) {
			continue
		}
		if x := d.reading(o, other); x.ok && !x.silent {
			if r.kept != nil {
				p.keep(m.name, r.kept)
			}
			delete(p.Extra, other.name.text)
			o.at[f], m, r = uint16(i+1), other, x
		}
	}
	o.again &^= 1 << f
	if set := listFields[f].set; set != nil {
		set(p, r)
	}
	if r.kept != nil {
		p.keep(m.name, r.kept)
	}
	return r.ok && !r.silent
}

// The scanner below requires valid JSON.

// nextValue returns the index of the next value, name or end.
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

// skipString returns the index after the string at i. It looks at eight bytes at a time
// for a quote or a backslash.
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

// skipValue returns the index after the value at i.
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
