package coco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsWrittenReadsBackEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		d, dt := randomSet(rng, true)
		d.Info = json.RawMessage(`{"a": [1, {"b": "}]\\\""}]}`)
		if len(d.Images) > 0 {
			d.Images[0].FileName = "a\"\\\u00e9\U0001F600\n.jpg"
		}
		for i := range d.Annotations {
			d.Annotations[i].Box[0] += rng.NormFloat64()
			d.Annotations[i].Missing = FieldScore
			if rng.IntN(5) == 0 {
				d.Annotations[i].Missing |= FieldArea
				d.Annotations[i].Area = 0
			}
		}
		for i := range dt {
			if dt[i].Missing |= FieldID | FieldArea; dt[i].Missing.Has(FieldBox) {
				dt[i].Box = [4]float64{}
			}
		}
		var gt, results bytes.Buffer
		if err := WriteDataset(&gt, d); err != nil {
			rt.Fatal(err)
		}
		if err := WriteResults(&results, dt); err != nil {
			rt.Fatal(err)
		}
		if !json.Valid(gt.Bytes()) || !json.Valid(results.Bytes()) {
			rt.Fatal("no JSON")
		}
		window := []int{1, 7, 100, 1 << 18}[rng.IntN(4)]
		for _, s := range []func(data []byte) *scanner{scanBytes, func(data []byte) *scanner { return smallWindow(data, window) }} {
			back, err := Reader{}.dataset(s(gt.Bytes()))
			if err != nil {
				rt.Fatal(err)
			}
			if !reflect.DeepEqual(back, d) {
				rt.Fatalf("%+v\nreads back as\n%+v", d, back)
			}
			again, err := Reader{}.results(s(results.Bytes()))
			if err != nil {
				rt.Fatal(err)
			}
			if len(dt) > 0 && !reflect.DeepEqual(again, dt) {
				rt.Fatalf("%+v\nread back as\n%+v", dt, again)
			}
		}
	})
}

// smallWindow is a scanner over a file that sees few bytes at once.
func smallWindow(data []byte, most int) *scanner {
	return &scanner{window{src: bytes.NewReader(data), size: int64(len(data)), buf: make([]byte, 0, most)}}
}

func TestReadersTakeWhatJSONAllows(t *testing.T) {
	d, err := ReadDataset([]byte("\n{\"licenses\": [{\"x\": [[]]}], \"annotations\" : [ {\"bbox\":[1,2e0,3.5,-0.0e+1], \"id\" : 7.0, \"image_id\":9007199254740993,\n" +
		`"category_id": 3e0, "iscrowd": true, "\u0061rea": 1e400, "keypoints": [1, {"a": null}], "unknown": "\u00e9\\\"}", "ignore": 1, "score": NaN, "segmentation": []},` +
		`{"id": null, "bbox": [], "area": -Infinity, "iscrowd": null, "segmentation": {"counts": [2, 1, 1], "size": [2, 2]}}], "images":[{"id":1,"file_name":"\ud83d\ude00\u00e9\/\ud800x", "width": null}],` +
		`"categories":[], "info": {"y": 1}, "categories": [{"id": 1, "name": "a", "supercategory": null}]}  `))
	if err != nil {
		t.Fatal(err)
	}
	a := d.Annotations[0]
	if a.Box != [4]float64{1, 2, 3.5, 0} || a.ID != 7 || a.ImageID != 9007199254740993 || a.CategoryID != 3 || !a.Crowd || !a.Ignore || !math.IsInf(a.Area, 1) || !math.IsNaN(a.Score) || a.Missing != 0 || a.Segmentation != nil {
		t.Errorf("%+v", a)
	}
	a = d.Annotations[1]
	if a.Missing != FieldID|FieldImage|FieldCategory|FieldBox|FieldScore || !math.IsInf(a.Area, -1) || !reflect.DeepEqual(*a.Segmentation, Segmentation{Size: [2]int{2, 2}, Counts: []uint32{2, 1, 1}}) {
		t.Errorf("%+v", a)
	}
	if len(d.Images) != 1 || d.Images[0].FileName != "\U0001F600é/\ufffdx" || len(d.Categories) != 1 || string(d.Info) != `{"y": 1}` {
		t.Errorf("%+v", d)
	}
	boxes, err := Reader{BoxesOnly: true}.Results([]byte(`{"a": "b", "annotations": [{"segmentation": [[1, 2, 3, 4, 5, 6]], "score": 0.5}], "z": 0}`))
	if err != nil || len(boxes) != 1 || boxes[0].Segmentation != nil || boxes[0].Score != .5 {
		t.Errorf("%+v %v", boxes, err)
	}
}

func TestBrokenFilesAreRefusedWithTheByte(t *testing.T) {
	detection := func(fields string) string { return `[{"image_id": 1, ` + fields + `}]` }
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end"},
		{"white space", " \n ", "unexpected end"},
		{"a number", "12", "instead of an array"},
		{"an object without annotations", `{"images": []}`, "without annotations"},
		{"annotations that are no array", `{"annotations": {}}`, "annotations is no array"},
		{"two values", "[] []", "byte 3: something behind"},
		{"an open array", `[{"image_id": 1}`, "unexpected end"},
		{"an open object", `[{"image_id": 1`, "unexpected end"},
		{"a comma at the end", `[{"image_id": 1},]`, "comma before the end"},
		{"a comma at the end of an object", `[{"image_id": 1,}]`, `'}' where`},
		{"no comma", `[{"image_id": 1} {"image_id": 1}]`, `byte 17: '{' where ','`},
		{"no colon", `[{"image_id" 1}]`, `':'`},
		{"a key without quotes", `[{image_id: 1}]`, `'"'`},
		{"leading zeros", detection(`"score": 01`), "leading zeros"},
		{"no digits behind the point", detection(`"score": 1.`), "behind its point"},
		{"no digits before the point", detection(`"score": .5`), "no number"},
		{"a plus", detection(`"score": +1`), "no number"},
		{"no exponent", detection(`"score": 1e`), "exponent"},
		{"minus NaN", detection(`"score": -NaN`), "no number"},
		{"a score that is text", detection(`"score": "0.5"`), "no number"},
		{"an id with a fraction", detection(`"category_id": 1.5`), "1.5 is no integer"},
		{"an id out of range", detection(`"category_id": 99999999999999999999`), "no integer"},
		{"an id that is text", detection(`"category_id": "cat"`), "no number"},
		{"three numbers in a box", detection(`"bbox": [1, 2, 3]`), "not four numbers"},
		{"five numbers in a box", detection(`"bbox": [1, 2, 3, 4, 5]`), "not four numbers"},
		{"a box that is an object", detection(`"bbox": {}`), `'{' where '['`},
		{"a flat polygon", detection(`"segmentation": [1, 2, 3, 4, 5, 6]`), `'1' where '['`},
		{"runs without size", detection(`"segmentation": {"counts": "0"}`), "runs without size"},
		{"a size of three", detection(`"segmentation": {"size": [1, 2, 3], "counts": "0"}`), "not height and width"},
		{"a negative run", detection(`"segmentation": {"size": [1, 2], "counts": [-1]}`), "a run of -1"},
		{"a bad escape", detection(`"x": "\x"`), "unknown escape"},
		{"a bad unicode escape", detection(`"x": "\u12g4"`), "hexadecimal"},
		{"an open string", detection(`"x": "abc`), "unexpected end"},
		{"a line break in a string", detection("\"x\": \"a\nb\""), "control character"},
		{"a line break behind an escape", detection("\"x\": \"\\n\nb\""), "control character"},
		{"a wrong word", detection(`"x": nil`), "no value"},
		{"deep nesting", detection(`"x": ` + strings.Repeat("[", 100000)), "nested more than"},
		{"a bracket that closes a brace", `[{"image_id": 1]`, `']' where`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadResults([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			_, err2 := Reader{}.results(smallWindow([]byte(c.text), 5))
			if err2 == nil || err2.Error() != err.Error() {
				t.Errorf("through a small window: %v", err2)
			}
		})
	}
	for _, c := range []struct{ name, text, want string }{
		{"an array", "[]", `'[' where '{'`},
		{"no images", `{"annotations": []}`, "no images"},
		{"images that are no array", `{"images": 1}`, "images is no array"},
		{"an image without id", `{"images": [{"width": 3}]}`, "images: byte 24: an image without id"},
		{"a negative width", `{"images": [{"id": 1, "width": -3}]}`, "-3 pixels"},
		{"a category without id", `{"images": [], "categories": [{}]}`, "a category without id"},
	} {
		if _, err := ReadDataset([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := ReadDatasetFile(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	for _, d := range []*Dataset{{Info: json.RawMessage("{")}, {Annotations: []Annotation{{Area: math.NaN()}}}} {
		if err := WriteDataset(&bytes.Buffer{}, d); err == nil {
			t.Errorf("%+v is written", d)
		}
	}
}

// TestLongArraysAreSplitWhereElementsBegin has strings that look like elements where a part would begin.
func TestLongArraysAreSplitWhereElementsBegin(t *testing.T) {
	trap := strings.Repeat(`}, {"image_id": 5, "category_id": 1}`, 4000)
	trap = strings.ReplaceAll(trap, `"`, `\"`)
	for _, c := range []struct {
		name string
		trap func(i int) string
	}{
		{"plain", func(int) string { return "" }},
		{"traps", func(i int) string {
			if i%2000 == 1000 {
				return `, "note": "` + trap + `"`
			}
			return ""
		}},
		{"nested objects", func(int) string { return `, "parts": [{"a": 1}, {"image_id": 3}, {"b": 2}]` }},
		{"few large ones first", func(i int) string {
			if i < 300 {
				return `, "note": "` + trap[:3000] + `"`
			}
			return ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			const n = 30000
			for i := range n {
				fmt.Fprintf(&text, "%s{\"image_id\": %d, \"category_id\": 2, \"bbox\": [0.1, 2, 33.125, %d], \"score\": 0.%d%s}", map[bool]string{true: "[", false: ",\n"}[i == 0], i, i%97, i, c.trap(i))
			}
			text.WriteString("]")
			var plain []struct {
				ImageID    int64 `json:"image_id"`
				CategoryID int64 `json:"category_id"`
				BBox       [4]float64
				Score      float64
			}
			if err := json.Unmarshal(text.Bytes(), &plain); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "dt.json")
			if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, parallel := range []int{1, 2, 3, 7} {
				r := Reader{Parallel: parallel}
				inMemory, err := r.Results(text.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				fromFile, err := r.ResultsFile(path)
				if err != nil {
					t.Fatal(err)
				}
				for _, list := range [][]Annotation{inMemory, fromFile} {
					if len(list) != n {
						t.Fatalf("%d of %d", len(list), n)
					}
					for i, a := range list {
						if p := plain[i]; a.ImageID != p.ImageID || a.CategoryID != p.CategoryID || a.Box != p.BBox || a.Score != p.Score {
							t.Fatalf("%d is %+v, want %+v", i, a, p)
						}
					}
				}
				cut := text.Bytes()[:text.Len()-n]
				if _, err := r.Results(cut); err == nil || !strings.Contains(err.Error(), "unexpected end") {
					t.Fatalf("cut off: %v", err)
				}
			}
		})
	}
}

func TestNumbersAreTheNearestDoubles(t *testing.T) {
	read := func(text string) float64 {
		s := scanBytes([]byte(text + ","))
		v, ok := s.number()
		if !ok || s.pos != len(text) {
			t.Fatalf("%s: %v at %d", text, s.err, s.pos)
		}
		return v
	}
	rng := rand.New(rand.NewPCG(5, 1))
	texts := []string{
		"0", "-0", "0.0", "1e-400", "1e400", "9007199254740993", "9007199254740992.5", "0.1", "1.7976931348623157e308", "5e-324", "2.2250738585072011e-308",
		"18446744073709551615", "1844674407370955161.5", "18446744073709551616", "0.30000000000000004", "1e23", "9999999999999999999", "1e-19", "1e19", "123456789012345678901234567890",
	}
	for range 200000 {
		v := math.Float64frombits(rng.Uint64())
		if rng.IntN(2) == 0 {
			v = rng.NormFloat64() * 1000
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		texts = append(texts, strconv.FormatFloat(v, "fge"[rng.IntN(3)], []int{-1, 17, 3, rng.IntN(20)}[rng.IntN(4)], 64))
		texts = append(texts, strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)+"."+strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10))
	}
	for _, text := range texts {
		want, _ := strconv.ParseFloat(text, 64)
		if got := read(text); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s is %g, want %g", text, got, want)
		}
	}
	for range 1000000 { // halves between doubles and their neighbours
		m, k := rng.Uint64()>>rng.IntN(12), rng.IntN(20)
		want, _ := strconv.ParseFloat(strconv.FormatUint(m, 10)+"e-"+strconv.Itoa(k), 64)
		if got := quotient(m, k); got != want {
			t.Fatalf("%d / 10^%d is %g, want %g", m, k, got, want)
		}
	}
}

func FuzzReaders(f *testing.F) {
	f.Add([]byte(`{"images":[{"id":1,"width":4,"height":4,"file_name":"a"}],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[0,0,2,2],"area":4,"segmentation":[[0,0,2,0,2,2]]}],"categories":[{"id":1,"name":"x"}]}`))
	f.Add([]byte(`[{"image_id":1,"category_id":1,"bbox":[0.5,0,2e0,2],"score":0.25,"segmentation":{"size":[4,4],"counts":"05;"}}]`))
	f.Add([]byte(`{"annotations":[{"image_id":1,"category_id":1,"score":NaN,"bbox":[],"segmentation":{"size":[4,4],"counts":[4,4,8]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		python := bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Infinity"))
		d, err := ReadDataset(data)
		if err == nil && !python && !json.Valid(data) {
			t.Fatal("a dataset that is no JSON is taken")
		}
		if through, err2 := (Reader{}).dataset(smallWindow(data, 16)); (err == nil) != (err2 == nil) || err == nil && !python && !reflect.DeepEqual(d, through) {
			t.Fatalf("another dataset through a small window: %v, %v", err, err2)
		}
		dt, err2 := ReadResults(data)
		if err2 == nil && !python && !json.Valid(data) {
			t.Fatal("detections that are no JSON are taken")
		}
		if err != nil {
			d = &Dataset{Images: []Image{{ID: 1, Width: 4, Height: 4}}, Categories: []Category{{ID: 1}}}
		}
		for _, m := range d.Images {
			if m.Width > 1<<12 || m.Height > 1<<12 {
				return // outlines of polygons take their time
			}
		}
		for _, kind := range []Type{Boxes, Masks} {
			if _, err := Evaluate(d, dt, DefaultParams(kind)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
