//go:build unix

package onnx

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
)

func TestExternalDataLiesInTheModelsFolder(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "model")
	eight := make([]byte, 8)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(base, "outside"), eight, 0o600), os.WriteFile(filepath.Join(dir, "w"), eight, 0o600), os.WriteFile(filepath.Join(dir, "sub", "w"), eight, 0o600),
		os.Symlink("w", filepath.Join(dir, "link")), os.Symlink("../outside", filepath.Join(dir, "out")), os.Symlink("/dev/zero", filepath.Join(dir, "device")), os.Symlink(base, filepath.Join(dir, "up")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("loop", filepath.Join(dir, "loop")), os.Symlink(dir, filepath.Join(base, "linked")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ location, offset, length, says string }{
		{"w", "0", "8", ""}, {"sub/w", "0", "8", ""}, {"link", "", "", ""}, {"../model/w", "", "", "does not lie beside"}, {"/etc/passwd", "", "", "does not lie beside"}, {"", "", "", "does not lie beside"},
		{"out", "", "", "leaves the model's folder"}, {"up/outside", "", "", "leaves the model's folder"}, {"device", "", "", "leaves the model's folder"}, {"loop", "", "", "loop"},
		{"pipe", "", "", "not a file"}, {"sub", "", "", "not a file"}, {"absent", "", "", "absent"},
		{"w", "4", "8", "too short"}, {"w", "9", "", "too short"}, {"w", "9223372036854775807", "8", "too short"}, {"w", "-1", "", "not a size"}, {"w", "0", "9223372036854775807", "too short"},
	} {
		external := onnxpb.TensorProto_EXTERNAL
		w := &onnxpb.TensorProto{Name: proto.String("w"), Dims: []int64{2}, DataType: proto.Int32(1), DataLocation: &external}
		for key, value := range map[string]string{"location": c.location, "offset": c.offset, "length": c.length} {
			if value != "" {
				w.ExternalData = append(w.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)})
			}
		}
		m := &onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
			Name: proto.String("g"), Initializer: []*onnxpb.TensorProto{w}, Node: []*onnxpb.NodeProto{{OpType: proto.String("Identity"), Input: []string{"w"}, Output: []string{"y"}}}, Output: []*onnxpb.ValueInfoProto{{Name: proto.String("y")}},
		}}
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{dir, filepath.Join(base, "linked")} { // the folder itself may be a link
			path := filepath.Join(folder, "m.onnx")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			loaded, err := Load(path)
			if err == nil {
				_, err = loaded.Tensor(loaded.Graph().GetInitializer()[0])
			}
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%+v: %v", c, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}
