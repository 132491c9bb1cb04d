package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

func TestRawFilesOfPictures(t *testing.T) {
	t.Parallel()
	images := fixture.Path(t, "coco", "val")
	dir := t.TempDir()
	status, stdout, stderr := run(t, "raw", "--images", images, "--limit", "2", "-o", dir, "--size", "64x48", "--resize", "seed", "--prefix", "N")
	if status != 0 || !strings.Contains(stdout, "2 raw files of 9216 bytes, u8[1 48 64 3] NHWC") {
		t.Fatal(status, stdout, stderr)
	}
	list, err := os.ReadFile(filepath.Join(dir, "inputs_raw.txt"))
	if err != nil || string(list) != "N/000000000009.raw\nN/000000000025.raw\n" {
		t.Errorf("%v %q", err, list)
	}
	// The first picture is 640 × 480, so nothing is cut or padded: by OpenCV, imread, resize to 64 × 48, BGR → RGB.
	if photographs, ok := fixture.Also(t, "coco", "val"); ok {
		to := t.TempDir()
		status, _, stderr := run(t, "raw", "--images", photographs, "--limit", "1", "-o", to, "--size", "64x48", "--resize", "seed")
		data, err := os.ReadFile(filepath.Join(to, "000000000009.raw"))
		if sum := sha256.Sum256(data); status != 0 || err != nil || hex.EncodeToString(sum[:8]) != opencvs {
			t.Errorf("%d %s %v %x, OpenCV gives %s", status, stderr, err, sum[:8], opencvs)
		}
	}
	for _, c := range []struct {
		args []string
		says string
		size int
	}{
		{[]string{"--type", "f32", "--model", fixture.Path(t, "models", "yolox_nano.onnx"), "--mean", "127.5", "--scale", "127.5"}, "f32[1 416 416 3] NHWC", 416 * 416 * 3 * 4},
		{[]string{"--type", "fp16", "--model", fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc")}, "fp16[1 3 416 416] NCHW", 416 * 416 * 3 * 2},
		{[]string{"--type", "u16", "--size", "10x20", "--layout", "NCHW", "--input-color", "gray"}, "u16[1 1 20 10] NCHW", 400},
	} {
		dir := t.TempDir()
		status, stdout, stderr := run(t, append([]string{"raw", "--images", images, "--limit", "1", "-o", dir}, c.args...)...)
		info, err := os.Stat(filepath.Join(dir, "000000000009.raw"))
		if status != 0 || !strings.Contains(stdout, c.says) || err != nil || info.Size() != int64(c.size) {
			t.Errorf("%v: %d %s %s %v", c.args, status, stdout, stderr, err)
		}
	}
}

// opencvs begins the sha256 of what OpenCV 5.0 makes of the first photograph.
const opencvs = "0294bf71e5de686b"

func TestRawRefuses(t *testing.T) {
	t.Parallel()
	images := fixture.Path(t, "coco", "val")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--images", images}, "of which size"},
		{[]string{"--images", images, "--size", "12"}, "width and height"},
		{[]string{"--images", images, "--size", "8x8", "--mean", "3"}, "go with fp16"},
		{[]string{"--images", t.TempDir(), "--size", "8x8"}, "holds no pictures"},
		{[]string{"--images", images, "--model", "none.dlc"}, "none.dlc"},
	} {
		status, _, stderr := run(t, append([]string{"raw", "-o", t.TempDir()}, c.args...)...)
		if status != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}
}
