package snpe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInputLists(t *testing.T) {
	for what, row := range map[string]struct {
		text string
		want *InputList
		says string
	}{
		"bare paths":          {"a.raw\r\n\n  b.raw  \n", &InputList{Inferences: []InputLine{{1, "a.raw", []InputItem{{"", "a.raw"}}}, {3, "b.raw", []InputItem{{"", "b.raw"}}}}}, ""},
		"names with colons":   {"ids:0:=i.raw mask:0:=m.raw", &InputList{Inferences: []InputLine{{1, "ids:0:=i.raw mask:0:=m.raw", []InputItem{{"ids:0", "i.raw"}, {"mask:0", "m.raw"}}}}}, ""},
		"several bare paths":  {"a b", &InputList{Inferences: []InputLine{{1, "a b", []InputItem{{"", "a"}, {"", "b"}}}}}, ""},
		"outputs":             {"#conv1 conv2\n%x:0\n% y\na", &InputList{Layers: []string{"conv1", "conv2"}, Tensors: []string{"x:0", "y"}, Inferences: []InputLine{{4, "a", []InputItem{{"", "a"}}}}}, ""},
		"nothing":             {"\n \n#a\n", nil, "names no inputs"},
		"outputs too late":    {"a\n#b", nil, "line 2: outputs are named before"},
		"a name, a bare path": {"x:=a b", nil, `line 1: "b" is not name:=path`},
		"no name":             {":=a", nil, "is not name:=path"},
		"no path":             {"x:=", nil, "is not name:=path"},
		"twice":               {"x:=a x:=b", nil, "given twice"},
	} {
		got, err := ReadInputList([]byte(row.text))
		if d := cmp.Diff(row.want, got); d != "" || (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v %s", what, err, d)
		}
	}
}

func TestInputListsAsTutorialsHaveThem(t *testing.T) {
	for name, row := range map[string]struct {
		text   string
		inputs int
	}{
		"two inputs": {"input_ids:0:=input_ids/inp_ids_0.raw attention_mask:0:=attention_mask/attn_mask_0.raw\ninput_ids:0:=input_ids/inp_ids_1.raw attention_mask:0:=attention_mask/attn_mask_1.raw\n", 2},
		"one":        {"cropped/notice_sign.raw\ncropped/chairs.raw\n", 1},
	} {
		inputs := row.inputs
		l, err := ReadInputList([]byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Inferences) != 2 {
			t.Errorf("%s: %v", name, l.Inferences)
		}
		for _, i := range l.Inferences {
			if len(i.Items) != inputs {
				t.Errorf("%s:%d: %v", name, i.Number, i.Items)
			}
		}
	}
}

func FuzzReadInputList(f *testing.F) {
	for _, s := range []string{"a\n", "#l\n%t\nx:=a y:0:=b\n", ":=\n", "a:=b:=c", "\x00:=\xff", "%"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ReadInputList(data)
		if err != nil {
			return
		}
		// What was read, written again, is read as the same.
		var b strings.Builder
		for _, n := range l.Layers {
			b.WriteString("#" + n + "\n")
		}
		for _, n := range l.Tensors {
			b.WriteString("%" + n + "\n")
		}
		for _, i := range l.Inferences {
			for k, item := range i.Items {
				if item.Path == "" || strings.ContainsAny(item.Path, " \n") {
					t.Fatalf("a path %q", item.Path)
				}
				if k > 0 {
					b.WriteByte(' ')
				}
				if item.Name != "" {
					b.WriteString(item.Name + ":=")
				}
				b.WriteString(item.Path)
			}
			b.WriteByte('\n')
		}
		again, err := ReadInputList([]byte(b.String()))
		if err != nil || cmp.Diff(l.Layers, again.Layers) != "" || cmp.Diff(l.Tensors, again.Tensors) != "" || len(again.Inferences) != len(l.Inferences) {
			t.Fatalf("%v", err)
		}
		for i := range l.Inferences {
			if d := cmp.Diff(l.Inferences[i].Items, again.Inferences[i].Items); d != "" {
				t.Fatal(d)
			}
		}
	})
}
