package youproxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// reading is the result of reading a value. It is reused for an equal value.
type reading struct {
	raw     []byte
	ok      bool // it can be read
	silent  bool // it has no information
	assumed bool // it is kept in Extra as well, as not all of it is certain
	text    string
	secret  Secret
	number  int
	time    time.Time
	on      bool            // the automatic extension is on
	kept    json.RawMessage // what is kept in Extra; nil for nothing, or if not made yet
}

// reading reads a member of a record, or of an object around it.
func (d *proxyDecoder) reading(o *object, m *member) *reading {
	r := &d.readings[m.field]
	switch {
	case o == d.current: // the value of the next record is often the same
		if r.raw != nil && bytes.Equal(r.raw, m.value) {
			return r
		}
	case o.read[m.name] != nil:
		return o.read[m.name]
	default:
		if o.read == nil {
			o.read = make(map[*listName]*reading)
		}
		r = new(reading)
		o.read[m.name] = r
	}
	*r = reading{raw: append(r.raw[:0], m.value...)}
	listFields[m.field].parse(d, r, m.value)
	if (!r.ok || r.assumed) && r.kept == nil {
		r.kept = slices.Clip(bytes.Clone(m.value))
	}
	return r
}

func keepIt(*proxyDecoder, *reading, []byte) {}

// asText returns a parser of strings and numbers. From an object it takes the first of
// some members.
func asText(of ...string) func(*proxyDecoder, *reading, []byte) {
	return func(d *proxyDecoder, r *reading, v []byte) {
		if v[0] == '{' {
			v = d.pick(v, of)
		}
		r.text, r.ok = textOf(v), isText(v)
	}
}

// asNumber returns a parser of whole numbers that are not negative. From an object it
// takes the first of some members.
func asNumber(of ...string) func(*proxyDecoder, *reading, []byte) {
	return func(d *proxyDecoder, r *reading, v []byte) {
		if v[0] == '{' {
			v = d.pick(v, of)
		}
		if n, ok := wholeNumber(unquote(v)); ok && n >= 0 && isText(v) {
			r.number, r.ok = n, true
		}
	}
}

func asPort(_ *proxyDecoder, r *reading, v []byte) {
	r.number, r.ok = portNumber(v)
	r.silent = r.number == 0
}

func asID(_ *proxyDecoder, r *reading, v []byte) {
	if r.ok = isID(v); r.ok {
		r.text = textOf(v)
	}
}

func asSecret(d *proxyDecoder, r *reading, v []byte) {
	text := textOf(v)
	if r.ok = isText(v) && text != hidden; r.ok {
		r.secret = NewSecret(text)
	}
	d.hidden = d.hidden || text == hidden
}

func asType(d *proxyDecoder, r *reading, v []byte) {
	if v[0] == '{' {
		for _, name := range []string{"proxytype", "code", "type", "name"} {
			if t := typeAtStart(textOf(d.pick(v, []string{name}))); t != "" && !r.ok {
				r.text, r.ok = string(t), true
			}
		}
	}
	if v[0] == '"' {
		r.text = textOf(v)
		r.ok = !strings.EqualFold(r.text, "HTTP") && !strings.EqualFold(r.text, "HTTPS") && !strings.HasPrefix(strings.ToUpper(r.text), "SOCKS")
		if t := typeAtStart(r.text); t != "" {
			r.text = string(t)
		} else if !r.ok {
			r.text = ""
		}
	}
}

func asDate(d *proxyDecoder, r *reading, v []byte) {
	if v[0] == '{' {
		v = d.pick(v, []string{"$date"})
	}
	var zoned bool
	r.time, zoned = parseDate(textOf(v))
	r.ok = !r.time.IsZero()
	r.assumed = r.ok && !zoned
}

// asExtension reads whether a proxy is extended automatically, and by how many days if it
// is an object. A value that cannot be read is not off.
func asExtension(d *proxyDecoder, r *reading, v []byte) {
	if v[0] != '{' {
		r.on, r.ok = truth(v)
		return
	}
	said, odd := false, false
	r.ok = true
	d.each(v, func(name *listName, v []byte) {
		on, isTruth := truth(v)
		n, isNumber := wholeNumber(unquote(v))
		switch {
		case name.field == fieldAutoExtend || name.is("enabled", "auto", "active"):
			said, r.on, r.ok = true, r.on || on, r.ok && isTruth
		case name.field != fieldExtendDays && !name.is("days"):
			odd = odd || on || !isTruth && (!isNumber || !isText(v))
		case !isNumber || n < 0:
			r.assumed = true
		default:
			r.number = n
		}
	})
	r.ok = r.ok && (said || !odd)
	r.silent = !said
}

// extendsItself sets the fields of the automatic extension.
func (p *Proxy) extendsItself(r *reading) {
	p.AutoExtend = p.AutoExtend || r.on
	p.AutoExtendUnknown = p.AutoExtendUnknown || !r.ok
	p.extendsBy(r)
}

func (p *Proxy) extendsBy(r *reading) {
	if p.AutoExtendDays == 0 {
		p.AutoExtendDays = r.number
	}
}

// truth parses a boolean in any of the usual forms.
func truth(v []byte) (on, ok bool) {
	if nested(v) {
		return false, isHollow(v)
	}
	text := strings.ToLower(strings.TrimSpace(string(unquote(v))))
	if !isText(v) {
		text = string(v)
	}
	switch text {
	case "true", "1", "1.0", "yes", "y", "on", "enabled", "active":
		return true, true
	case "false", "0", "0.0", "no", "n", "off", "null", "", "none", "disabled", "inactive":
		return false, true
	}
	return false, false
}

// each calls take with each member of an object that is not empty.
func (d *proxyDecoder) each(v []byte, take func(name *listName, value []byte)) {
	for i, n := nextValue(v, 1), 0; v[i] != '}'; i, n = nextValue(v, i), n+1 {
		name := &d.inner[n%len(d.inner)]
		*name, i = d.next(v, i, *name)
		end := skipValue(v, i)
		if !isHollow(v[i:end]) {
			take(*name, v[i:end])
		}
		i = end
	}
}

// pick returns the first of some members of an object, by plain names, that is a string
// or a number, or null.
func (d *proxyDecoder) pick(v []byte, names []string) []byte {
	found, rank := []byte("null"), len(names)
	d.each(v, func(name *listName, value []byte) {
		if i := slices.Index(names, name.plain); i >= 0 && i < rank && isText(value) {
			found, rank = value, i
		}
	})
	return found
}

// isID reports whether v is an id: a string that is not blank, or a whole number.
func isID(v []byte) bool {
	switch {
	case !isText(v):
		return false
	case v[0] != '"':
		return len(bytes.Trim(v, "0123456789")) == 0
	}
	return v[1] > ' ' && v[1] < utf8.RuneSelf && v[1] != '"' && v[1] != '\\' || len(bytes.TrimSpace(unquote(v))) > 0
}
