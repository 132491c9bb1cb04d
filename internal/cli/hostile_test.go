package cli

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/terminal"
)

// planted begins the line that a hostile name tries to bring in as one of the program's own.
const planted = "PLANTED"

// hostileName has what a terminal obeys: colours, a title, the cursor, a window's report, an override of the direction, a C1
// character, what is not seen, and a line's end.
const hostileName = "n\x1b[31m\x1b]0;t\x07\r\u202egnp.a\u202c\u009b2J\u200b\x7f\t\n" + planted + ": all is well"

// harmless fails unless a stream is safe to print and has no line of a file's.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: not UTF-8: %.300q", what, text)
	}
	for i, r := range text {
		if r != '\n' && terminal.Unsafe(r) {
			t.Errorf("%s: %U in %.200q", what, r, text[max(0, i-80):])
			break
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimPrefix(line, "quantcheck: "), planted) {
			t.Errorf("%s: a line of a file's: %.200q", what, line)
		}
	}
}

// hostileModel is a small model all of whose names do harm, in a folder whose name does.
func hostileModel(t *testing.T, change func(*onnxpb.ModelProto)) string {
	t.Helper()
	path := smallModel(t, func(p *onnxpb.ModelProto) {
		p.ProducerName, p.DocString, p.Graph.Name = proto.String(hostileName), proto.String(hostileName), proto.String(hostileName)
		rename := func(s string) string {
			if s == "" || s == "x" {
				return s
			}
			return s + hostileName
		}
		for _, n := range p.Graph.Node {
			n.Name = proto.String(rename(n.GetName()))
			for _, list := range [][]string{n.Input, n.Output} {
				for i := range list {
					list[i] = rename(list[i])
				}
			}
		}
		for _, i := range p.Graph.Initializer {
			i.Name = proto.String(rename(i.GetName()))
		}
		for _, o := range p.Graph.Output {
			o.Name = proto.String(rename(o.GetName()))
		}
		p.MetadataProps = append(p.MetadataProps, &onnxpb.StringStringEntryProto{Key: proto.String(hostileName), Value: proto.String(hostileName)})
		if change != nil {
			change(p)
		}
	})
	dir := filepath.Join(t.TempDir(), hostileName)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, "small.onnx")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	return moved
}

// hostileFile is a file of a hostile name.
func hostileFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), hostileName+name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingOfAFileReachesTheTerminalRaw(t *testing.T) {
	t.Parallel()
	model := hostileModel(t, nil)
	out := filepath.Join(t.TempDir(), hostileName)
	images := filepath.Join(t.TempDir(), hostileName)
	if err := os.CopyFS(images, os.DirFS(pictures(t, 2))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(images, "p0.png"), filepath.Join(images, hostileName+"\xff.png")); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(hostileName)
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, row := range []struct {
		name   string
		status int
		args   []string
	}{
		{"check", 0, []string{"check", model, "--images", images, "--out", out, "--variant", "w8a8", "--variant", "w8a16", "--save-tensors"}},
		{"check as JSON", 0, []string{"check", model, "--images", images, "--out", out, "--name", "j", "--json"}},
		{"info", 0, []string{"info", model, "--layers"}},
		{"info as JSON", 0, []string{"info", model, "--json"}},
		{"lint", 0, []string{"lint", model}},
		{"lint as JSON", 0, []string{"lint", model, "--json"}},
		{"lint as SARIF", 0, []string{"lint", model, "--sarif"}},
		{"optimize", 0, []string{"optimize", model, "-o", filepath.Join(t.TempDir(), hostileName+".onnx")}},
		{"quantize", 0, []string{"quantize", model, "--images", images, "-o", filepath.Join(t.TempDir(), hostileName+".onnx")}},
		{"layers", 0, []string{"layers", out}},
		{"layers as JSON", 0, []string{"layers", out, "--json"}},
		{"report", 0, []string{"report", out}},
		{"eval", 0, []string{"eval", model, "--task", "agreement", "--data", images, "--variant", "w8a8", "--out", out}},
		{"stats", 0, []string{"stats", out}},
		{"stats as JSON", 0, []string{"stats", out, "--json"}},
		{"raw", 0, []string{"raw", "--images", filepath.Dir(hostilePicture(t)), "--size", "8x8", "-o", filepath.Join(t.TempDir(), "r\x1b")}},
		{"no file", exitUsage, []string{"check", hostileName, "--images", images}},
		{"no command", exitUsage, []string{hostileName}},
		{"no flag", exitUsage, []string{"check", "--" + hostileName}},
		{"no variant", exitUsage, []string{"check", model, "--images", images, "--variant", hostileName}},
		{"no model", exitUsage, []string{"info", hostileFile(t, ".onnx", hostileName)}},
		{"no DLC", exitUsage, []string{"info", hostileFile(t, ".dlc", hostileName)}},
		{"not a picture", -1, []string{"check", model, "--images", hostileFile(t, ".png", hostileName)}},
		{"YAML", -1, []string{"eval", model, "--task", "detection", "--data", images, "--classes", hostileFile(t, ".yaml", string(quoted)+": {"+string(quoted)+": 1}")}},
		{"JSON", -1, []string{"eval", model, "--task", "detection", "--data", hostileFile(t, ".json", `{`+string(quoted)+`: [`+string(quoted)+`}`)}},
		{"COCO", -1, []string{"eval", model, "--task", "detection", "--data", hostileFile(t, ".json",
			`{"images":[{"id":1,"file_name":`+string(quoted)+`,"width":8,"height":8}],"categories":[{"id":1,"name":`+string(quoted)+`}],"annotations":[{"id":1,"image_id":1,"category_id":2,"bbox":[0,0,1,1]}]}`)}},
		{"encodings", -1, []string{"diff", fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), hostileFile(t, ".json", `{"activation_encodings":{`+string(quoted)+`:[{"bitwidth":8,"min":0,"max":1,"scale":1,"offset":0}]}}`)}},
		{"bad encodings", -1, []string{"diff", fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), hostileFile(t, ".json", `{"activation_encodings":{`+string(quoted)+`:[{"bitwidth":8}]}}`)}},
		{"a target", exitUsage, []string{"device", "ssh://h/" + hostileName, "--env-file", os.DevNull}},
		{"settings", exitUsage, []string{"device", "--env-file", hostileFile(t, ".env", hostileName)}},
		{"net-run", -1, []string{"net-run", "--container", hostileFile(t, ".dlc", hostileName), "--input_list", hostileFile(t, ".txt", hostileName)}},
	} {
		status, stdout, stderr := run(t, row.args...)
		if row.status >= 0 && status != row.status || row.status < 0 && status == 0 && stdout == "" {
			t.Errorf("%s: status %d: %.600s", row.name, status, stderr)
		}
		harmless(t, row.name+", stdout", stdout)
		harmless(t, row.name+", stderr", stderr)
		if strings.Contains(stdout+stderr, `\u001b`) {
			said++
		}
		if strings.HasSuffix(row.name, "JSON") && status == 0 && !json.Valid([]byte(stdout)) {
			t.Errorf("%s: not JSON: %.300q", row.name, stdout)
		}
	}
	if said < 15 {
		t.Errorf("only %d commands said a hostile name", said)
	}
}

func hostilePicture(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d\x1b[2J")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "p\u202e.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	img.SetGray(1, 1, color.Gray{Y: 9})
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Models that a library refuses: what it says of them repeats their names.
func TestALibrarysWordsAreHarmless(t *testing.T) {
	t.Parallel()
	images := pictures(t, 1)
	for name, change := range map[string]func(*onnxpb.ModelProto){
		"an unknown operator": func(p *onnxpb.ModelProto) { p.Graph.Node[1].OpType = proto.String("Relu" + hostileName) },
		"an unknown domain":   func(p *onnxpb.ModelProto) { p.Graph.Node[1].Domain = proto.String(hostileName) },
		"a missing input":     func(p *onnxpb.ModelProto) { p.Graph.Node[1].Input[0] = hostileName },
		"shapes that differ":  func(p *onnxpb.ModelProto) { p.Graph.Initializer[0].Dims = []int64{4, 9, 2, 2} },
		"an unknown attribute": func(p *onnxpb.ModelProto) {
			p.Graph.Node[0].Attribute = append(p.Graph.Node[0].Attribute, &onnxpb.AttributeProto{Name: proto.String(hostileName), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)})
		},
	} {
		model := hostileModel(t, change)
		for _, args := range [][]string{{"check", model, "--images", images}, {"lint", model}, {"info", model}, {"optimize", model, "-o", filepath.Join(t.TempDir(), "o.onnx")}} {
			if args[0] == "check" {
				args = append(args, "--out", t.TempDir())
			}
			_, stdout, stderr := run(t, args...)
			harmless(t, name+", "+args[0]+", stdout", stdout)
			harmless(t, name+", "+args[0]+", stderr", stderr)
		}
	}
	refused := smallModel(t, func(p *onnxpb.ModelProto) {
		p.Graph.Node[0].Name = proto.String("\x1b]0;" + planted + "\x07\x1b[31m\x1b[2Jevil\r\n")
		p.Graph.Initializer[0].Dims, p.Graph.Initializer[0].FloatData = []int64{4, 7, 1, 1}, make([]float32, 28)
		p.Graph.Initializer[0].RawData = nil
	})
	status, stdout, stderr := run(t, "check", refused, "--images", images, "--out", t.TempDir())
	harmless(t, "stdout", stdout)
	harmless(t, "stderr", stderr)
	if status == 0 || !strings.Contains(stderr, `\u001b`) {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// A device's tools say what they like.
func TestADevicesWordsAreHarmless(t *testing.T) {
	tools := t.TempDir()
	said := filepath.Join(tools, "said")
	if err := os.WriteFile(said, []byte(hostileName+"\xff\nSNPE v2.1"+hostileName), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"snpe-net-run", "snpe-platform-validator", "sysMonApp", "find", "df"} {
		script := "#!/bin/sh\ncat '" + said + "'; cat '" + said + "' >&2; exit 3\n"
		if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o700); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	dir := t.TempDir()
	lock := `1 {"host":"h\u001b[2J\n` + planted + `","user":"\u202eu","pid":1}`
	if err := os.WriteFile(filepath.Join(dir, ".quantcheck-lock"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"show", "local"}, {"show", "local", "--json"}, {"unlock", "local"}, {"clean", "local"}, {"watch", "local", "--for", "300ms", "--interval", "100ms"}, {"unlock", "local", "--yes"},
	} {
		_, stdout, stderr := run(t, append(append([]string{"device"}, args...), "--device-dir", dir)...)
		harmless(t, args[0]+", stdout", stdout)
		harmless(t, args[0]+", stderr", stderr)
		if args[0] != "watch" && args[0] != "clean" && !strings.Contains(stdout+stderr, `\u001b`) {
			t.Errorf("%q says nothing hostile: %s%s", args, stdout, stderr)
		}
	}
}
