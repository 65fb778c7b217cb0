package youproxytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// field is a member that the body of a request may have.
type field struct {
	name     string
	kind     kind
	optional bool
}

// kind is what the value of a field must be.
type kind struct {
	name string
	is   func(value jsontext.Value) bool
}

var (
	aText  = kind{"a string", func(v jsontext.Value) bool { return v.Kind() == '"' }}
	aWhole = kind{"a whole number", func(v jsontext.Value) bool {
		_, err := strconv.Atoi(string(v))
		return err == nil
	}}
	aTruth = kind{"a boolean", func(v jsontext.Value) bool { return v.Kind() == 't' || v.Kind() == 'f' }}
	texts  = kind{"an array of strings", func(v jsontext.Value) bool {
		_, ok := readTexts(v)
		return ok
	}}
)

// form is the body of a request: its members, in the order they came.
type form struct {
	names  []string
	values map[string]jsontext.Value
}

// readForm reads a body, which must be one JSON object without repeated members.
func readForm(body []byte) (*form, error) {
	f := &form{values: make(map[string]jsontext.Value)}
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return nil, errors.New("the body is not a JSON object")
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		name := token.String()
		if _, ok := f.values[name]; ok {
			return nil, fmt.Errorf("field %q is repeated", name)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", name, notJSON(err))
		}
		f.names = append(f.names, name)
		f.values[name] = value.Clone()
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is data after the end of the JSON object")
	}
	return f, nil
}

func notJSON(err error) error { return fmt.Errorf("the body is not JSON: %w", err) }

// check compares the form with the fields that it must and may have.
func (f *form) check(fields []field) error {
	for _, name := range f.names {
		i := slices.IndexFunc(fields, func(known field) bool { return known.name == name })
		if i < 0 {
			return fmt.Errorf("field %q is not part of this request", name)
		}
		if k := fields[i].kind; !k.is(f.values[name]) {
			return fmt.Errorf("field %q must be %s", name, k.name)
		}
	}
	for _, known := range fields {
		if _, ok := f.values[known.name]; !ok && !known.optional {
			return fmt.Errorf("field %q is missing", known.name)
		}
	}
	return nil
}

// text returns a field that is a string, or "" where there is none.
func (f *form) text(name string) string {
	value, ok := f.values[name]
	if !ok || value.Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

// whole returns a field that is a whole number, or 0 where there is none.
func (f *form) whole(name string) int {
	i, _ := strconv.Atoi(string(f.values[name]))
	return i
}

// optionalText returns a field that is a string, or nil where there is none.
func (f *form) optionalText(name string) *string {
	if _, ok := f.values[name]; !ok {
		return nil
	}
	text := f.text(name)
	return &text
}

// truth returns a field that is a boolean, or false where there is none.
func (f *form) truth(name string) bool { return f.values[name].Kind() == 't' }

// texts returns a field that is an array of strings, or none.
func (f *form) texts(name string) []string {
	list, _ := readTexts(f.values[name])
	return list
}

// readTexts reads an array of strings, and reports whether it is one.
func readTexts(v jsontext.Value) (list []string, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(v))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '[' {
		return nil, false
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, false
		}
		list = append(list, token.String())
	}
	return list, dec.PeekKind() == ']'
}
