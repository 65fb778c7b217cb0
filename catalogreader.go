package youproxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// The list of a call is the value under the likeliest of its names that has entries.
// Otherwise it is in a wrapper such as "data", or in groups such as countries. It is an
// array, an object of entries by their keys, or, of numbers, a string with commas. An entry
// is a string, or an object in an array or under a key, and has the first of the fields. An
// object with a list of its own is a group: its country is that of its entries. A reply
// without a list is an error, and so is anything in a list that cannot be read. What says
// that it is of another proxy type than was asked for is skipped.

// catalogueList is a row of the table: how the list of one call is read.
type catalogueList[T any] struct {
	name    string              // of the list, as the service probably writes it
	names   []string            // of the list
	groups  []string            // of lists of groups
	fields  []catalogueField[T] // an entry must have the first
	keyed   bool                // a key can be an entry without an object under it
	numbers bool                // entries are whole numbers
	extra   func(*T) *Extra     // nil if a field that cannot be read is an error
}

// catalogueField is a field of an entry.
type catalogueField[T any] struct {
	names []string
	// read sets the field and returns how well the value fits it, or 0 if it cannot be
	// read. The best value is used; of equal ones, the one with the likeliest name.
	read func(*T, listed) int
}

// catalogueReply reads a reply according to a row of the table.
type catalogueReply[T any] struct {
	list    *catalogueList[T]
	asked   ProxyType
	members []listed // of the reply

	entries []T
	found   bool   // an entry, or an empty list under a name of the list
	bad     string // what is wrong with the first entry that cannot be read
	depth   int
}

// readCatalogue calls the service and reads the list described by a row of the table.
func readCatalogue[T any](ctx context.Context, c *Client, op string, query any, list *catalogueList[T], asked ProxyType) ([]T, error) {
	reply := catalogueReply[T]{list: list, asked: knownProxyType(string(asked))}
	if _, err := c.get(ctx, op, query, &reply); err != nil {
		return nil, err
	}
	return reply.entries, nil
}

func (l *catalogueReply[T]) reset() { *l = catalogueReply[T]{list: l.list, asked: l.asked} }

// readMember keeps a member that may matter, until the reply is known to be a success.
func (l *catalogueReply[T]) readMember(_ *envelope, name string, dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	plain := plainName(name)
	if err == nil && (l.leads(plain, false) || plain == "proxytype") {
		l.members = append(l.members, listed{name, plain, slices.Clone(value)})
	}
	return err
}

// leads reports whether a name may belong to a list or to what holds one. In an entry,
// only the names of the list itself do.
func (l *catalogueReply[T]) leads(plain string, inEntry bool) bool {
	return slices.Contains(l.list.names, plain) || !inEntry && (slices.Contains(wrapperNames, plain) || slices.Contains(l.list.groups, plain))
}

func (l *catalogueReply[T]) problem(*envelope) string {
	l.entries = []T{} // never nil
	if !l.isOther(l.members) {
		l.search(l.members, place{})
	}
	switch name := strconv.Quote(l.list.name); {
	case l.bad != "":
		return name + " cannot be read: " + l.bad
	case !l.found:
		return name + isMissing
	}
	return ""
}

const inUnknownForm = "an entry is in an unknown form"

// isOther reports whether an object is of another proxy type than was asked for.
func (l *catalogueReply[T]) isOther(members []listed) bool {
	return l.asked != "" && slices.ContainsFunc(members, func(m listed) bool {
		told := typeAtStart(wordOf(m.value))
		return (m.plain == "proxytype" || m.plain == "type") && told != "" && told != l.asked
	})
}

// place is the position of a value.
type place struct {
	country string // of the groups around it
	named   bool   // it stands under a name of the list
	groups  bool   // it holds groups, and no entries
}

// search reads the list in an object, under the likeliest of its names.
func (l *catalogueReply[T]) search(members []listed, at place) {
	before := len(l.entries)
	for i, names := range [][]string{l.list.names, wrapperNames, l.list.groups} {
		for _, name := range names {
			for _, m := range members {
				if m.plain == name {
					l.value(m.value, place{at.country, at.named || i == 0, i == 2})
				}
			}
			if len(l.entries) > before || l.bad != "" {
				return
			}
		}
	}
}

// value reads a value that may be a list.
func (l *catalogueReply[T]) value(v []byte, at place) {
	if l.depth == maxDepth {
		l.bad = cmp.Or(l.bad, "it is nested too deep")
		return
	}
	l.depth++
	switch {
	case v[0] == '[':
		l.found = l.found || at.named && isHollow(v)
		l.elements(v, at)
	case v[0] == '{':
		l.object(v, "", false, at)
	case l.list.numbers:
		for word := range strings.FieldsFuncSeq(textOf(v), func(r rune) bool { return strings.ContainsRune(",;|", r) }) {
			l.entry([]listed{textAs(itself, word)}, at)
		}
	}
	l.depth--
}

// elements reads the elements of an array, or the members of an object.
func (l *catalogueReply[T]) elements(v []byte, at place) {
	for m := range membersOf(v) {
		key := textAs(itsKey, m.name)
		isKeyed, kind := v[0] == '{', m.value[0]
		switch {
		case kind == 'n', l.isOther([]listed{textAs("proxytype", m.name)}):
		case kind == '{':
			l.object(m.value, m.name, true, at)
		case !isKeyed && isText(m.value) && !at.groups:
			l.entry([]listed{m}, at)
		case isKeyed && kind == '"' && l.list.keyed:
			l.entry([]listed{key, {plain: itsValue, value: m.value}}, at)
		case isKeyed && kind == '[' && !l.isKey(key):
			l.value(m.value, place{country: at.countryIn([]listed{key})})
		default:
			l.bad = cmp.Or(l.bad, inUnknownForm)
		}
	}
}

// isKey reports whether a key is an entry, so that the values under it are not.
func (l *catalogueReply[T]) isKey(key listed) bool {
	_, problem := l.read([]listed{key})
	return l.list.keyed && problem == ""
}

// object reads an object that is an entry, a group, or a set of entries by their keys.
func (l *catalogueReply[T]) object(v []byte, key string, isListed bool, at place) {
	members := slices.Collect(membersOf(v))
	isGroup := slices.ContainsFunc(members, func(m listed) bool {
		return l.leads(m.plain, isListed) && (nested(m.value) || at.groups && m.value[0] == 'n')
	})
	hasField := slices.ContainsFunc(members, func(m listed) bool {
		return slices.ContainsFunc(l.list.fields, func(f catalogueField[T]) bool { return slices.Contains(f.names, m.plain) })
	})
	members = append(members, textAs(itsKey, key))
	switch {
	case l.isOther(members):
	case isGroup:
		at.country = at.countryIn(members)
		l.search(members, at)
	case isListed && hasField && !at.groups:
		l.entry(members, at)
	case isListed || hasField:
		l.bad = cmp.Or(l.bad, inUnknownForm)
	default:
		l.elements(v, at)
	}
}

// countryIn returns the country of the entries in a group.
func (at place) countryIn(group []listed) string {
	country := countryOf(group)
	isNone := country == "dedicated" || country == "shared" || knownProxyType(country).Valid()
	if isNone || len(country) > 64 || worthOf(country) < worthOf(at.country) { // the name is copied to each entry
		return at.country
	}
	return country
}

func (l *catalogueReply[T]) entry(members []listed, at place) {
	entry, problem := l.read(append(members, textAs(ofGroup, at.country)))
	if l.bad = cmp.Or(l.bad, problem); problem == "" {
		l.entries, l.found = append(l.entries, entry), true
	}
}

// read reads the fields of an entry, and returns what is wrong with it.
func (l *catalogueReply[T]) read(members []listed) (entry T, problem string) {
	taken, extra := make([]bool, len(members)), make(Extra)
	for i, f := range l.list.fields {
		best, from, said, before := 0, -1, false, entry
		for _, name := range f.names {
			for j, m := range members {
				if m.plain != name || isHollow(m.value) {
					continue
				}
				said = true
				one := before
				if worth := f.read(&one, m); worth > best {
					best, from, entry = worth, j, one
				}
			}
		}
		switch {
		case from >= 0:
			taken[from] = bytes.IndexByte(members[from].value, '{') < 0 // an object may hold more
		case i == 0, said && l.list.extra == nil:
			problem = cmp.Or(problem, fmt.Sprintf("an entry has no %q that can be read", f.names[0]))
		}
	}
	for i, m := range members {
		if l.list.extra != nil && !taken[i] && m.name != "" && m.value[0] != 'n' {
			extra[m.name] = json.RawMessage(slices.Clone(m.value))
		}
	}
	if len(extra) > 0 {
		*l.list.extra(&entry) = extra
	}
	return entry, problem
}

// listed is a member of an object, or an element of an array.
type listed struct {
	name  string
	plain string // the name as plainName writes it, or itself, itsKey or itsValue
	value []byte
}

// plainName returns a name in lower case without "_" and "-", as newListName does, which
// is slower, as it looks the name up in the table of the lists.
func plainName(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), "_", ""), "-", "")
}

// membersOf returns the members of an object, or the elements of an array.
func membersOf(v []byte) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		for i := nextValue(v, 1); v[i] != v[0]+2; i = nextValue(v, i) {
			m := listed{plain: itself}
			if v[0] == '{' {
				end := skipString(v, i)
				m.name = textOf(v[i:end])
				m.plain = plainName(m.name)
				i = nextValue(v, end)
			}
			end := skipValue(v, i)
			m.value = v[i:end]
			if !yield(m) {
				return
			}
			i = end
		}
	}
}

// textAs returns a string as a member without a name.
func textAs(plain, text string) listed {
	value, _ := jsontext.AppendQuote(nil, text)
	return listed{plain: plain, value: value}
}

// wordOf returns a string or a number without the white space around it. It returns ""
// for any other value, and for a string that cannot be printed.
func wordOf(v []byte) string {
	word := strings.TrimSpace(textOf(v))
	if strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return ""
	}
	return word
}

// wordIn returns the word under the first of the names in an object.
func wordIn(object []byte, names string) (word string) {
	for _, name := range strings.Fields(names) {
		for m := range membersOf(object) {
			if m.plain == name {
				word = cmp.Or(word, wordOf(m.value))
			}
		}
	}
	return word
}

// The functions that read fields: see catalogueField.

func worthIf(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

// worthOf returns 0 for digits, 1 for a text, 2 for a code of two letters and 3 for one
// of three.
func worthOf(word string) int {
	switch {
	case strings.Trim(word, "0123456789.+-") == "":
		return 0
	case len(word) < 2 || len(word) > 3 || strings.Trim(word, letters) != "":
		return 1
	}
	return len(word)
}

const letters = capitals + "abcdefghijklmnopqrstuvwxyz"

// readProxyType prefers a known type. A type has no blanks, and a key is one only if it
// is known.
func readProxyType(t *ProxyType, m listed) int {
	*t = knownProxyType(wordOf(m.value))
	if t.Valid() {
		return 2
	}
	return worthIf(m.plain != itsKey && !strings.Contains(string(*t), " ") && worthOf(string(*t)) > 0)
}

// readCountryCode prefers three letters to two. A key is a code only in capitals.
func readCountryCode(c *Country, m listed) int {
	c.Code = wordOf(m.value)
	if m.plain == itsKey && c.Code != strings.ToUpper(c.Code) || worthOf(c.Code) == 1 {
		return 0
	}
	return worthOf(c.Code)
}

func readCountryName(c *Country, m listed) int {
	c.Name = nameOf(m.value)
	mayBeCode := m.plain == itsKey || m.plain == "country"
	return worthIf(c.Name != "" && (!mayBeCode || worthOf(c.Name) == 1))
}

func readOperatorName(o *MobileOperator, m listed) int {
	o.Name = nameOf(m.value)
	return worthIf(o.Name != "")
}

// nameOf returns a name, or the English one of several names by language.
func nameOf(v []byte) string {
	switch v[0] {
	case '{':
		return wordIn(v, "en enus engb english name title value label default")
	case '"':
		return wordOf(v)
	}
	return ""
}

// readTag prefers a text to a number. A number by itself, or as a key, is not a tag.
func readTag(o *MobileOperator, m listed) int {
	if o.Tag = wordOf(m.value); worthOf(o.Tag) > 0 {
		return 2
	}
	return worthIf(o.Tag != "" && m.plain != itself && m.plain != itsKey)
}

// readOperatorCountry prefers a code to a name, even if the code is that of the
// surrounding group.
func readOperatorCountry(o *MobileOperator, m listed) int {
	o.Country = wordOf(m.value)
	if m.value[0] == '{' {
		o.Country = countryOf(slices.Collect(membersOf(m.value)))
	}
	return worthOf(o.Country)
}

// countryOf returns the code of a country, or its name if it has no code.
func countryOf(members []listed) string {
	l := catalogueReply[Country]{list: &countryList}
	c, _ := l.read(members)
	return cmp.Or(c.Code, c.Name)
}

func readRotationTimes(o *MobileOperator, m listed) int {
	l := catalogueReply[int]{list: &rotationList}
	l.value(m.value, place{named: true})
	o.RotationTimes = l.entries
	return worthIf(l.found && l.bad == "")
}

func readNumber(n *int, m listed) int {
	word := []byte(wordOf(m.value))
	whole, ok := wholeNumber(word)
	*n = whole
	return worthIf(ok && bytes.ContainsAny(word, "0123456789"))
}

func readDays(days *int, m listed) int { return worthIf(readNumber(days, m) > 0 && *days > 0) }

func readPromoCode(p *PromoCode, m listed) int {
	p.Code = wordOf(m.value)
	return worthIf(p.Code != "" && (m.plain != itsKey || worthOf(p.Code) > 0))
}

// readDate reads a date. One that cannot be read is zero.
func readDate(field func(*PromoCode) *time.Time) func(*PromoCode, listed) int {
	return func(p *PromoCode, m listed) int {
		*field(p), _ = parseDate(textOf(m.value))
		return 1
	}
}

func readEndless(p *PromoCode, m listed) int {
	on, ok := truth(m.value)
	p.Endless = on
	return worthIf(ok)
}

// readDiscount reads a number, or an object with one. The unit is percent unless the
// object names another.
func readDiscount(p *PromoCode, m listed) int {
	word, unit := wordOf(m.value), "%"
	if m.value[0] == '{' {
		word = wordIn(m.value, "percent value amount discount")
		unit = strings.ToLower(cmp.Or(wordIn(m.value, "type unit kind"), unit))
	}
	d, err := parseAmount(strings.TrimSpace(strings.TrimSuffix(word, "%")))
	p.Discount = d
	return worthIf(err == nil && (unit == "%" || strings.HasPrefix(unit, "percent")))
}

// readDescriptions reads an object of strings. Other values are left out.
func readDescriptions(p *PromoCode, m listed) int {
	if m.value[0] != '{' {
		return 1
	}
	p.Descriptions = make(map[string]string)
	for d := range membersOf(m.value) {
		if text := textOf(d.value); text != "" {
			p.Descriptions[d.name] = text
		}
	}
	return 1
}
