package fakeboard

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
)

// order lists the files of a DLC's layers in the order in which they are computed.
func order(t testing.TB, elem ...string) (files []string) {
	t.Helper()
	f, err := dlc.Open(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range f.Graphs[0].Nodes {
		for _, out := range n.Outputs {
			files = append(files, fileOf(out))
		}
	}
	return files
}

// fileOf is where a tensor of the first inference is written.
func fileOf(tensor string) string {
	return filepath.Join("Result_0", strings.TrimLeft(tensor, "/")+".raw")
}

// differing lists the layers whose files differ, in their order.
func differing(got, want map[string][]byte, files []string) (list []string) {
	for _, name := range files {
		if !bytes.Equal(got[name], want[name]) {
			list = append(list, name)
		}
	}
	return list
}

// A planted fault changes the layer that it names first, and what comes of it.
func TestPlantedFaultsChangeTheirLayerFirst(t *testing.T) {
	zoo, pose := []string{"qnn", "zoo_w8a8_per_channel.dlc"}, []string{"dlc", "pose_landmark_lite_quantized.dlc"}
	cache, posed := t.TempDir(), len(poses(t)) > 0
	for _, row := range []struct {
		model    []string
		fault    Fault
		channels int // of the layer, of which one may differ; 0: all may
		least    int // how many layers differ, all told
	}{
		{zoo, Fault{Kind: Clipped, Layer: "/conv2/Conv_output_0_QuantizeLinear"}, 0, 12},
		{zoo, Fault{Kind: Clipped, Layer: "/cat/Concat_output_0_QuantizeLinear", Factor: 0.05}, 0, 10},
		{zoo, Fault{Kind: Clipped, Layer: "scores"}, 0, 1},
		{zoo, Fault{Kind: Zeroed, Layer: "/conv2/Conv_output_0_QuantizeLinear", Channel: 2}, 8, 12},
		{zoo, Fault{Kind: Zeroed, Layer: "/dw/Conv_output_0_QuantizeLinear", Channel: 5}, 8, 12},
		{[]string{"qnn", "zoo_w16a16_per_tensor.dlc"}, Fault{Kind: Clipped, Layer: "/add/Add_output_0_QuantizeLinear"}, 0, 10},
		{[]string{"qnn", "zoo_w16a16_per_tensor.dlc"}, Fault{Kind: Zeroed, Layer: "/deconv/ConvTranspose_output_0_QuantizeLinear", Channel: 1}, 8, 6},
		{pose, Fault{Kind: Clipped, Layer: "Conv__292:0"}, 0, 150},
		{pose, Fault{Kind: Zeroed, Layer: "Conv__290:0", Channel: 7}, 24, 150},
		{zoo, Fault{Kind: Swapped}, 0, 20},
		{pose, Fault{Kind: Swapped}, 0, 150},
	} {
		if row.model[0] == "dlc" && !posed {
			continue
		}
		t.Run(row.model[1]+" "+string(row.fault.Kind)+" "+strings.ReplaceAll(row.fault.Layer, "/", "."), func(t *testing.T) {
			t.Parallel()
			p := on(t, Install(t, Options{Cache: cache}), 1, row.model...)
			p.board.Inject(Fault{Kind: row.fault.Kind, Layer: row.fault.Layer, Channel: row.fault.Channel, Factor: row.fault.Factor, Call: 2})
			for _, out := range []string{"whole", "faulty", "again"} {
				if r := p.sh(t, debugRun+" --output_dir "+out); r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, success) {
					t.Fatalf("%s: %+v", out, r)
				}
			}
			files := order(t, row.model...)
			whole, faulty := p.files(t, "whole"), p.files(t, "faulty")
			if again := differing(p.files(t, "again"), whole, files); len(again) > 0 {
				t.Errorf("without the fault %d layers differ", len(again))
			}
			list := differing(faulty, whole, files)
			first := fileOf(row.fault.Layer)
			if row.fault.Layer == "" {
				first = files[0]
			}
			if len(list) < row.least || list[0] != first {
				t.Fatalf("%d layers differ, %q", len(list), list[:min(3, len(list))])
			}
			if row.channels == 0 {
				return
			}
			a, b := whole[first], faulty[first]
			for i := 0; i < len(a); i += 4 { // NHWC
				if !bytes.Equal(a[i:i+4], b[i:i+4]) && i/4%row.channels != row.fault.Channel {
					t.Fatalf("the value %d of channel %d differs", i/4, i/4%row.channels)
				}
			}
		})
	}
}

func TestWhatCannotBePlantedIsSaid(t *testing.T) {
	for what, row := range map[string]struct {
		fault Fault
		says  string
	}{
		"no such tensor":  {Fault{Kind: Clipped, Layer: "nothing"}, `no tensor "nothing"`},
		"no such channel": {Fault{Kind: Zeroed, Layer: "/conv2/Conv_output_0_QuantizeLinear", Channel: 8}, "has no channel 8"},
		"no weights":      {Fault{Kind: Zeroed, Layer: "scores"}, "Softmax, which makes"},
		"no operator":     {Fault{Kind: Zeroed, Layer: "image"}, "no operator makes"},
		"no clipping":     {Fault{Kind: Clipped, Layer: "scores", Factor: 2}, "is clipped to a part of it"},
	} {
		p := on(t, Install(t, Options{}), 1, "qnn", "zoo_w8a8_per_channel.dlc")
		p.board.Inject(row.fault)
		if r := p.sh(t, debugRun); r.status != 1 || !strings.Contains(r.stderr, row.says) {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
