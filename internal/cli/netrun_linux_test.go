package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"quantcheck/internal/fixture"
)

func TestNetRunOnAFullDisk(t *testing.T) {
	fixture.Emulator(t)
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("SKIPPED FOR WANT OF A FULL DISK: %v", err)
	}
	defer func() {
		if err := fixture.Unmount(dir); err != nil {
			t.Error(err)
		}
	}()
	in := list(t, slices.Repeat([]string{written(t, "in.raw", pattern(3*32*32))}, 3)...)
	status, stdout, stderr := run(t, "net-run", "--container", fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), "--input_list", in, "--output_dir", dir, "--debug", "--use_native_input_files")
	if status != exitFailed || !strings.Contains(stderr, "no space left") || strings.Contains(stdout, "Successfully") {
		t.Errorf("%d %s", status, stderr)
	}
	for _, name := range files(t, dir) { // what is there is whole
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() == 0 || info.Size()%4 != 0 || strings.Contains(name, ".quantcheck") {
			t.Errorf("left %s: %v", name, err)
		}
	}
}
