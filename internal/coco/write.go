package coco

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// WriteDataset writes standard COCO JSON, an object per line, that ReadDataset reads back equal: fields that are marked
// as missing are left out, scores are written where they are not 0. NaN and infinities have no JSON and are an error.
func WriteDataset(w io.Writer, d *Dataset) error {
	out := writer{Writer: bufio.NewWriter(w)}
	out.raw("{")
	if d.Info != nil {
		if !json.Valid(d.Info) {
			return fmt.Errorf("info is no JSON: %.40q", d.Info)
		}
		out.raw(`"info": `, string(d.Info), ",\n")
	}
	list(&out, "images", d.Images, func(m *Image) {
		out.raw(`{"id": `, strconv.FormatInt(m.ID, 10), `, "width": `, strconv.Itoa(m.Width), `, "height": `, strconv.Itoa(m.Height), `, "file_name": `)
		out.text(m.FileName)
		out.raw("}")
	})
	out.raw(",\n")
	list(&out, "annotations", d.Annotations, out.annotation)
	out.raw(",\n")
	list(&out, "categories", d.Categories, func(c *Category) {
		out.raw(`{"id": `, strconv.FormatInt(c.ID, 10), `, "name": `)
		out.text(c.Name)
		if c.Supercategory != "" {
			out.raw(`, "supercategory": `)
			out.text(c.Supercategory)
		}
		out.raw("}")
	})
	out.raw("}\n")
	return out.done()
}

// WriteResults writes detections as a JSON array, one per line, under the same rules.
func WriteResults(w io.Writer, dt []Annotation) error {
	out := writer{Writer: bufio.NewWriter(w)}
	out.raw("[")
	for i := range dt {
		if i > 0 {
			out.raw(",")
		}
		out.raw("\n")
		out.detection(&dt[i])
	}
	out.raw("\n]\n")
	return out.done()
}

// writer keeps the first error.
type writer struct {
	*bufio.Writer
	err error
}

func (w *writer) done() error {
	if w.err != nil {
		return w.err
	}
	return w.Flush()
}

func (w *writer) raw(parts ...string) {
	for _, p := range parts {
		_, _ = w.WriteString(p) // Flush gives the error again
	}
}

func (w *writer) text(s string) {
	quoted, err := json.Marshal(strings.ToValidUTF8(s, "\ufffd"))
	if err != nil {
		w.err = err
	}
	_, _ = w.Write(quoted)
}

func (w *writer) number(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		if w.err == nil {
			w.err = fmt.Errorf("%g has no JSON", v)
		}
		return
	}
	_, _ = w.Write(strconv.AppendFloat(w.AvailableBuffer(), v, 'g', -1, 64))
}

func (w *writer) numbers(list []float64) {
	w.raw("[")
	for i, v := range list {
		if i > 0 {
			w.raw(", ")
		}
		w.number(v)
	}
	w.raw("]")
}

func list[T any](w *writer, key string, values []T, write func(*T)) {
	w.raw(`"`, key, `": [`)
	for i := range values {
		if i > 0 {
			w.raw(",")
		}
		w.raw("\n")
		write(&values[i])
	}
	w.raw("]")
}

func (w *writer) annotation(a *Annotation) {
	next := w.object()
	if !a.Missing.Has(FieldID) {
		next(`"id": `, strconv.FormatInt(a.ID, 10))
	}
	w.common(a, next)
	if !a.Missing.Has(FieldArea) {
		next(`"area": `)
		w.number(a.Area)
	}
	next(`"iscrowd": `, flag(a.Crowd))
	if a.Ignore {
		next(`"ignore": 1`)
	}
	if a.Score != 0 {
		next(`"score": `)
		w.number(a.Score)
	}
	w.raw("}")
}

func (w *writer) detection(a *Annotation) {
	next := w.object()
	w.common(a, next)
	if !a.Missing.Has(FieldScore) {
		next(`"score": `)
		w.number(a.Score)
	}
	w.raw("}")
}

// object begins an object; what it gives begins a member.
func (w *writer) object() func(parts ...string) {
	w.raw("{")
	first := true
	return func(parts ...string) {
		if !first {
			w.raw(", ")
		}
		first = false
		w.raw(parts...)
	}
}

// common writes what annotations and detections both have.
func (w *writer) common(a *Annotation, next func(parts ...string)) {
	if !a.Missing.Has(FieldImage) {
		next(`"image_id": `, strconv.FormatInt(a.ImageID, 10))
	}
	if !a.Missing.Has(FieldCategory) {
		next(`"category_id": `, strconv.FormatInt(a.CategoryID, 10))
	}
	if !a.Missing.Has(FieldBox) {
		next(`"bbox": `)
		w.numbers(a.Box[:])
	}
	if a.Segmentation != nil {
		next(`"segmentation": `)
		w.segmentation(a.Segmentation)
	}
}

func flag(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

func (w *writer) segmentation(s *Segmentation) {
	if s.Compressed == "" && s.Counts == nil {
		w.raw("[")
		for i, p := range s.Polygons {
			if i > 0 {
				w.raw(", ")
			}
			w.numbers(p)
		}
		w.raw("]")
		return
	}
	w.raw(`{"size": [`, strconv.Itoa(s.Size[0]), ", ", strconv.Itoa(s.Size[1]), `], "counts": `)
	if s.Compressed != "" {
		w.text(s.Compressed)
	} else {
		w.raw("[")
		for i, c := range s.Counts {
			if i > 0 {
				w.raw(", ")
			}
			w.raw(strconv.FormatUint(uint64(c), 10))
		}
		w.raw("]")
	}
	w.raw("}")
}
