// Package reach walks through values as a debugger or the dump of a failed
// assertion does: through every field, exported or not.
package reach

import (
	"reflect"
	"unsafe"
)

// Strings calls found with every string, and every list of bytes, that is reached
// from v through fields, pointers, interfaces, lists and maps.
func Strings(v any, found func(string)) {
	w := walker{found: found, seen: make(map[place]bool)}
	w.walk(reflect.ValueOf(v))
}

type place struct {
	at unsafe.Pointer
	of reflect.Type
}

type walker struct {
	found func(string)
	seen  map[place]bool
}

// again reports whether the walk was there before.
func (w *walker) again(v reflect.Value) bool {
	p := place{v.UnsafePointer(), v.Type()}
	again := w.seen[p]
	w.seen[p] = true
	return again
}

func (w *walker) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		w.found(v.String())
	case reflect.Pointer:
		if !v.IsNil() && !w.again(v) {
			w.walk(v.Elem())
		}
	case reflect.Interface:
		w.walk(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			w.walk(v.Field(i))
		}
	case reflect.Slice:
		if v.IsNil() || v.Len() > 0 && w.again(v) {
			return
		}
		w.list(v.Slice(0, v.Cap())) // what was in it before is there still
	case reflect.Array:
		w.list(v)
	case reflect.Map:
		if v.IsNil() || w.again(v) {
			return
		}
		for entry := v.MapRange(); entry.Next(); {
			w.walk(entry.Key())
			w.walk(entry.Value())
		}
	default: // numbers, functions and channels hold no string
	}
}

func (w *walker) list(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, v.Len())
		for i := range b {
			b[i] = byte(v.Index(i).Uint())
		}
		w.found(string(b))
		return
	}
	for i := range v.Len() {
		w.walk(v.Index(i))
	}
}
