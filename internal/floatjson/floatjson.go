// Package floatjson writes values as JSON whatever their floating-point numbers are: NaN and infinities, for which JSON has no
// text and encoding/json no answer but an error, become null. Every result goes through it, so that one number of that kind
// does not lose all others. What a metric.Value writes for infinities ("inf") stays as it is.
//
//  1. The value is encoded as it is; that nearly always does.
//  2. If that fails for such a number, a copy is encoded in which marks stand for them, and the marks are replaced by null.
package floatjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
)

// Marshal is json.Marshal with null for NaN and infinities.
func Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	var number *json.UnsupportedValueError
	if !errors.As(err, &number) {
		return b, err
	}
	if b, err = json.Marshal(marked(reflect.ValueOf(v))); err != nil {
		return nil, err
	}
	return withNull(b), nil
}

// Text is a value as text for people and for files: indented, in lines that end, without the escapes that HTML needs.
func Text(v any, indent string) ([]byte, error) {
	b, err := text(v, indent)
	var number *json.UnsupportedValueError
	if !errors.As(err, &number) {
		return b, err
	}
	if b, err = text(marked(reflect.ValueOf(v)), indent); err != nil {
		return nil, err
	}
	return withNull(b), nil
}

func text(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// The marks: numbers that nothing measures.
const (
	mark64 = 1.0101010101010101e-305
	mark32 = float32(1.0101011e-36)
)

var marshaler = reflect.TypeFor[json.Marshaler]()

// marked is a copy of a value with marks for the numbers that JSON does not have. Types that write themselves are left as they
// are, and so is what encoding/json does not see.
func marked(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	return copyOf(v).Interface()
}

func copyOf(v reflect.Value) reflect.Value {
	t := v.Type()
	if t.Implements(marshaler) {
		return v
	}
	switch v.Kind() {
	case reflect.Float64, reflect.Float32:
		if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return v
		}
		mark := reflect.ValueOf(mark64)
		if v.Kind() == reflect.Float32 {
			mark = reflect.ValueOf(mark32)
		}
		return mark.Convert(t)
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(copyOf(v.Elem()))
		return p.Convert(t)
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		c := reflect.New(t).Elem()
		c.Set(copyOf(v.Elem()))
		return c
	case reflect.Struct:
		c := reflect.New(t).Elem()
		c.Set(v)
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				c.Field(i).Set(copyOf(v.Field(i)))
			}
		}
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(t, v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(copyOf(v.Index(i)))
		}
		return c
	case reflect.Array:
		c := reflect.New(t).Elem()
		for i := range v.Len() {
			c.Index(i).Set(copyOf(v.Index(i)))
		}
		return c
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeMapWithSize(t, v.Len())
		for each := v.MapRange(); each.Next(); {
			c.SetMapIndex(each.Key(), copyOf(each.Value()))
		}
		return c
	}
	return v
}

// withNull replaces the marks of a JSON text, outside of its strings.
func withNull(text []byte) []byte {
	wide, _ := json.Marshal(mark64)   //nolint:errchkjson // it is a finite number
	narrow, _ := json.Marshal(mark32) //nolint:errchkjson // likewise
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		quote := bytes.IndexByte(text, '"')
		if quote < 0 {
			quote = len(text)
		}
		for _, part := range [][]byte{text[:quote]} {
			part = bytes.ReplaceAll(part, wide, []byte("null"))
			out = append(out, bytes.ReplaceAll(part, narrow, []byte("null"))...)
		}
		text = text[quote:]
		if len(text) == 0 {
			break
		}
		end := 1
		for end < len(text) && text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(text))
		out = append(out, text[:end]...)
		text = text[end:]
	}
	return out
}
