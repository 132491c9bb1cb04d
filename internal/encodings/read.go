package encodings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"quantcheck/internal/quant"
)

// Asked is what an encodings file asks for one tensor.
type Asked struct {
	Float     bool // stays a floating-point number of Bits
	Bits      int
	Encodings []quant.Encoding // one, or one per channel; none for floats
}

// Read reads AIMET's JSON, version 0.6.1, 1.0.0 or 2.0.0, by what stands in it.
func Read(data []byte) (map[string]Asked, error) {
	var f struct {
		Version     string          `json:"version"`
		Activations json.RawMessage `json:"activation_encodings"`
		Params      json.RawMessage `json:"param_encodings"`
		Encodings   []entry200      `json:"encodings"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("not a JSON of encodings: %w", err)
	}
	if f.Activations == nil && f.Params == nil && f.Encodings == nil {
		return nil, errors.New("not a JSON of encodings: it has neither activation_encodings nor param_encodings nor encodings")
	}
	asked := map[string]Asked{}
	for _, e := range f.Encodings {
		a, err := e.read()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", e.Name, err)
		}
		asked[e.Name] = a
	}
	for _, part := range []json.RawMessage{f.Activations, f.Params} {
		if part == nil {
			continue
		}
		read := read061
		if bytes.HasPrefix(bytes.TrimSpace(part), []byte("[")) {
			read = read100
		}
		if err := read(part, asked); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

func read061(raw json.RawMessage, into map[string]Asked) error {
	var tensors map[string][]entry061
	if err := json.Unmarshal(raw, &tensors); err != nil {
		return fmt.Errorf("encodings of version 0.6.1: %w", err)
	}
	for name, list := range tensors {
		a := Asked{}
		for _, e := range list {
			a.Bits = e.Bits
			if strings.EqualFold(e.DType, "float") {
				a.Float = true
				continue
			}
			x := quant.Encoding{Bits: e.Bits, Symmetric: strings.EqualFold(e.Symmetric, "true")}
			switch {
			case e.Bits < 2 || e.Bits > 32:
				return fmt.Errorf("tensor %s: a bitwidth of %d", name, e.Bits)
			case e.Min != nil && e.Max != nil: // the converter computes the rest from these
				x.Min, x.Max = *e.Min, *e.Max
				x.Scale = (x.Max - x.Min) / float64(quant.Levels(e.Bits))
				x.Offset = int(math.Round(x.Min / x.Scale))
				if e.Offset != nil && e.Scale != nil {
					x.Scale, x.Offset = *e.Scale, *e.Offset
				}
			case e.Scale != nil && e.Offset != nil:
				x = quant.FromScale(e.Bits, x.Symmetric, *e.Scale, *e.Offset)
			default:
				return fmt.Errorf("tensor %s: neither min and max nor scale and offset", name)
			}
			if !(x.Scale > 0) || math.IsInf(x.Scale, 0) {
				return fmt.Errorf("tensor %s: a scale of %g", name, x.Scale)
			}
			a.Encodings = append(a.Encodings, x)
		}
		into[name] = a
	}
	return nil
}

func read100(raw json.RawMessage, into map[string]Asked) error {
	var list []entry
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("encodings of version 1.0.0: %w", err)
	}
	for _, e := range list {
		a := Asked{Bits: e.Bits, Float: strings.EqualFold(e.DType, "float")}
		if !a.Float && (len(e.Scale) == 0 || len(e.Offset) != len(e.Scale) || e.Bits < 2 || e.Bits > 32) {
			return fmt.Errorf("tensor %s: %d scales, %d offsets, %d bits", e.Name, len(e.Scale), len(e.Offset), e.Bits)
		}
		for i, s := range e.Scale {
			if !(s > 0) || math.IsInf(s, 0) {
				return fmt.Errorf("tensor %s: a scale of %g", e.Name, s)
			}
			a.Encodings = append(a.Encodings, quant.FromScale(e.Bits, e.IsSym != nil && *e.IsSym, s, e.Offset[i]))
		}
		into[e.Name] = a
	}
	return nil
}

// read turns ONNX's words into ours: offset = −zero point, and −2^(bits−1) more for signed integers.
func (e entry200) read() (Asked, error) {
	bits, signed := 0, strings.HasPrefix(e.DType, "int")
	if _, err := fmt.Sscanf(strings.TrimPrefix(e.DType, "u"), "int%d", &bits); err != nil || bits < 2 || bits > 32 {
		return Asked{}, fmt.Errorf("output_dtype %q is no integer type", e.DType)
	}
	scales, zeros := numbers(e.Scale), numbers(e.Zero)
	if len(scales) == 0 || len(zeros) != 0 && len(zeros) != len(scales) {
		return Asked{}, fmt.Errorf("%d scales and %d zero points", len(scales), len(zeros))
	}
	a := Asked{Bits: bits}
	for i, s := range scales {
		offset := 0
		if len(zeros) > 0 {
			offset = -int(zeros[i])
		}
		if signed {
			offset -= 1 << (bits - 1)
		}
		if !(s > 0) || math.IsInf(s, 0) {
			return Asked{}, fmt.Errorf("a scale of %g", s)
		}
		a.Encodings = append(a.Encodings, quant.FromScale(bits, signed, s, offset))
	}
	return a, nil
}

// numbers flattens a number or nested lists of them.
func numbers(v any) []float64 {
	switch x := v.(type) {
	case float64:
		return []float64{x}
	case []any:
		var list []float64
		for _, e := range x {
			list = append(list, numbers(e)...)
		}
		return list
	}
	return nil
}
