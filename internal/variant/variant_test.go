package variant

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	recipe := func(name string, w, a int, change func(*Spec)) Spec {
		s := Spec{Name: name, Kind: Recipe, WeightBits: w, ActBits: a, PerChannel: true, Calibrator: TF, BiasBits: 32}
		if change != nil {
			change(&s)
		}
		return s
	}
	for text, want := range map[string]Spec{
		"w8a8":                          recipe("w8a8", 8, 8, nil),
		"w4a16":                         recipe("w4a16", 4, 16, nil),
		"w8a8,per-channel,tf,bias32":    recipe("w8a8", 8, 8, nil),
		"w8a8,per-tensor":               recipe("w8a8-per-tensor", 8, 8, func(s *Spec) { s.PerChannel = false }),
		"w16a16,per-tensor,enhanced":    recipe("w16a16-per-tensor-enhanced", 16, 16, func(s *Spec) { s.PerChannel, s.Calibrator = false, Enhanced }),
		"w8a8,percentile:99.99,bias8":   recipe("w8a8-percentile99.99-bias8", 8, 8, func(s *Spec) { s.Calibrator, s.Percentile, s.BiasBits = Percentile, 99.99, 8 }),
		"w8a8,mse":                      recipe("w8a8-mse", 8, 8, func(s *Spec) { s.Calibrator = MSE }),
		"w4a16,heal":                    recipe("w4a16-heal", 4, 16, func(s *Spec) { s.Heal = true }),
		"w4a8,heal,mse-out,small8:512":  recipe("w4a8-mse-out-small8-512-heal", 4, 8, func(s *Spec) { s.Calibrator, s.SmallBits8, s.Heal = MSEOut, 512, true }),
		"w8a8,symmetric":                recipe("w8a8-symmetric", 8, 8, func(s *Spec) { s.Calibrator = Symmetric }),
		"w8a16,mse@htp":                 recipe("w8a16-mse@htp", 8, 16, func(s *Spec) { s.Calibrator, s.Engine = MSE, HTP }),
		"w8a8@cpu":                      recipe("w8a8", 8, 8, nil),
		"fp16@htp":                      {Name: "fp16@htp", Kind: Half, Engine: HTP},
		"mine=a@b.onnx@htp":             {Name: "mine@htp", Kind: File, File: "a@b.onnx", Engine: HTP},
		"mine=a@b.onnx":                 {Name: "mine", Kind: File, File: "a@b.onnx"},
		"fp16":                          {Name: "fp16", Kind: Half},
		"mine=some/dir/model,w8a=.onnx": {Name: "mine", Kind: File, File: "some/dir/model,w8a=.onnx"},
	} {
		got, err := Parse(text)
		if back := got.Text(); err == nil && back != "" {
			if again, err := Parse(back); err != nil || !again.Equal(got) || again.Name != got.Name {
				t.Errorf("%s is written %s, which is %+v, %v", text, back, again, err)
			}
		} else if err == nil && got.Kind != File {
			t.Errorf("%s has no text", text)
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestErrorsPointAtThePlace(t *testing.T) {
	for text, at := range map[string]int{
		"":                    0,
		"x8a8":                0,
		"w7a8":                1,
		"w8":                  2,
		"w8a4":                3,
		"w8a8x":               4,
		"w8a8,":               5,
		"w8a8,perchannel":     5,
		"w8a8,tf,enhanced":    8,
		"w8a8@gpu":            4,
		"w7a8@htp":            1,
		"w8a8,percentile":     15,
		"w8a8,percentile:abc": 16,
		"w8a8,percentile:101": 16,
		"w8a8,percentile:NaN": 16,
		"w8a8,mse:3":          8,
		"w4a8,small8":         11,
		"w4a8,small8:0":       12,
		"w4a8,heal:1":         9,
		"fp16,tf":             4,
		"=a.onnx":             0,
		"a b=a.onnx":          1,
		"mine=":               5,
		"mine=model.dlc":      14,
		"mine=model.dlc@cpu":  14,
		"mine=model.bin":      5,
		"w99999999999999a8":   1,
	} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if e.At != at {
			t.Errorf("%q: caret at %d, want %d: %v", text, e.At, at, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 || lines[2] != "  "+strings.Repeat(" ", at)+"^" {
			t.Errorf("%q: %q", text, err.Error())
		}
	}
	if _, err := ParseAll([]string{"w8a8", "w8a8,tf"}); err == nil {
		t.Error("two variants of one name were taken")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"w8a8", "w8a8,per-tensor,percentile:99.9", "fp16", "a=b.onnx", "w8a8,,", "\xff,w", "w8a8,\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			_ = err.Error()
			return
		}
		if s.Name == "" || Clean(s.Name) != s.Name {
			t.Fatalf("%q has the name %q", text, s.Name)
		}
	})
}

func TestEveryOptionIsParsed(t *testing.T) {
	names := map[string]bool{}
	for _, o := range Options() {
		s, err := Parse("w8a8," + o)
		if err != nil {
			t.Error(err)
		}
		names[s.Name] = true
		if c, ok := s.Calibrator.Info(); !ok || (Choice{Calibrator: c.Name, Percentile: s.Percentile}).Check() != nil {
			t.Errorf("%s: %+v", o, s)
		}
	}
	if want := len(Options()) - 2; names["w8a8"] != true || len(names) != want { // each group has a default, which the name does not tell
		t.Errorf("%d names, want %d: %v", len(names), want, names)
	}
}

func TestSmallWeightsHaveEightBits(t *testing.T) {
	for text, want := range map[string][2]int{"w4a8": {4, 4}, "w4a8,small8:100": {8, 4}, "w8a8,small8:100": {8, 8}, "w16a16,small8:100": {16, 16}} {
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{s.BitsOf(100), s.BitsOf(101)}; got != want {
			t.Errorf("%s: 100 and 101 weights have %v bits, want %v", text, got, want)
		}
	}
}
