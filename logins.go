package youproxy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// login reads the credentials of a proxy from the innermost object that has any.
func (d *proxyDecoder) login(p *Proxy, o *object) {
	var c Credentials
	for x := o; x != nil; x = x.around {
		said := false
		for _, f := range []recordField{fieldAuth, fieldLogin, fieldPassword} {
			m := x.get(f)
			if m == nil || x != o && !x.says(m) {
				continue
			}
			if f == fieldLogin && m.name.rank > 0 && c.Password.IsZero() && x.get(fieldPassword) == nil {
				p.keep(m.name, bytes.Clone(m.value)) // without a password, it may be the name of a customer
				continue
			}
			if !d.take(p, x, m) {
				continue
			}
			r := d.reading(x, x.get(f))
			said = true
			if c.Login == "" {
				c.Login = r.text
			}
			if c.Password.IsZero() {
				c.Password = r.secret
			}
		}
		if said {
			p.Credentials = &c
		}
		if how := x.get(fieldAuthType); c.Login != "" || how != nil && isByIP(how.value) {
			return // whatever its order has
		}
	}
}

// isByIP reports whether a value says that a user is recognised by address.
func isByIP(v []byte) bool {
	return strings.EqualFold(strings.TrimSpace(textOf(v)), string(AuthTypeIP))
}

// asLogin reads a login and a password from an object, or from a list of one object.
func asLogin(d *proxyDecoder, r *reading, v []byte) {
	if v[0] == '[' {
		first := nextValue(v, 1)
		if end := skipValue(v, first); v[nextValue(v, end)] == ']' {
			v = v[first:end]
		}
	}
	if v[0] != '{' {
		return
	}
	var left []byte
	hasLogin, hasPassword := false, false
	d.each(v, func(name *listName, value []byte) {
		text := unquote(value)
		switch {
		case name.field == fieldLogin && isText(value) && !hasLogin:
			hasLogin, r.text = true, string(text)
			return
		case name.field == fieldPassword && isText(value) && !hasPassword && string(text) != hidden:
			hasPassword, r.secret = true, NewSecret(string(text))
			return
		}
		d.hidden = d.hidden || string(text) == hidden
		left, _ = jsontext.AppendQuote(append(left, ','), name.text)
		left = append(append(left, ':'), value...)
	})
	if r.ok = hasLogin || hasPassword; left != nil {
		left[0] = '{'
		r.kept = slices.Clip(append(left, '}'))
	}
	r.silent = !r.ok
	r.ok = true
}

// hidesLogin reports whether the list had something about a login that could not be read.
// Without it the proxy cannot be used.
func (p *Proxy) hidesLogin() bool {
	d := newProxyDecoder(nil)
	for text, v := range p.Extra {
		name, v := newListName(text), bytes.TrimSpace(v)
		if name.field == fieldAuthType && jsontext.Value(v).IsValid(lenient) && (isByIP(v) || v[0] == '{' && isByIP(d.pick(v, []string{"code", "type", "name"}))) {
			return false
		}
	}
	for text, v := range p.Extra {
		v := bytes.TrimSpace(v)
		if jsontext.Value(v).IsValid(lenient) && !isHollow(v) && d.hides(newListName(text), v, p.Credentials != nil) {
			return true
		}
	}
	return false
}

// hides reports whether a member that was not read is about a login. known means that
// credentials were read elsewhere.
func (d *proxyDecoder) hides(name *listName, v []byte, known bool) bool {
	text := strings.TrimSpace(textOf(v))
	_, isTruth := truth(v)
	_, isNumber := wholeNumber(unquote(v))
	at, _ := parseDate(text)
	harmless := isTruth || isText(v) && isNumber || !at.IsZero() || isByIP(v) || holdsAddress(string(v))
	switch {
	case !name.means(v):
		return !known && d.hasPassword(v, 2)
	case name.field == fieldLogin, name.field == fieldPassword:
		return !known && !isTruth || text == hidden || !isText(v) && !isTruth
	case name.field == fieldAuthType, name.field == fieldOddLogin && !known:
		return !known && (!harmless || nested(v) && d.hasPassword(v, 2))
	case name.field == fieldOddLogin:
		return d.hasPassword(v, 2)
	case name.field == fieldAuth && v[0] == '{':
		some, byIP, others := false, false, false
		d.each(v, func(name *listName, v []byte) {
			isLogin := name.field == fieldLogin || name.field == fieldPassword || name.field == fieldOddLogin
			some = some || isLogin && !isHollow(v)
			byIP = byIP || name.barred || name.field == fieldAddress || isByIP(v) || holdsAddress(string(v))
			_, isTruth := truth(v)
			others = others || !isTruth
		})
		return some || !known && !byIP && others
	case name.field == fieldAuth:
		on, _ := truth(v)
		return !known && (on || !harmless)
	}
	return !known && (d.hasPassword(v, 2) || isPair(name, text, harmless) ||
		holdsAddress(text) && !strings.Contains(text, " ") && (strings.Contains(text, "@") || strings.Count(text, ":") > 2 && strings.Contains(text, ".")))
}

// isPair reports whether a string is a login and a password, under a name that says so.
func isPair(name *listName, text string, harmless bool) bool {
	return !harmless && strings.Count(text, ":") == 1 && !strings.Contains(text, "://") &&
		(strings.Contains(name.plain, "auth") || strings.Contains(name.plain, "login") || strings.Contains(name.plain, "access"))
}

// hasPassword reports whether lists and objects contain a password, down to a depth.
func (d *proxyDecoder) hasPassword(v []byte, depth int) (some bool) {
	switch {
	case depth == 0:
	case v[0] == '{':
		d.each(v, func(name *listName, v []byte) {
			_, isTruth := truth(v)
			some = some || (name.field == fieldPassword || name.field == fieldOddLogin) && isText(v) && !isTruth || nested(v) && d.hasPassword(v, depth-1)
		})
	case v[0] == '[':
		for i := nextValue(v, 1); v[i] != ']'; i = nextValue(v, i) {
			end := skipValue(v, i)
			some = some || d.hasPassword(v[i:end], depth)
			i = end
		}
	}
	return some
}
