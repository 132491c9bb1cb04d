package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/process"
)

func TestDoctorListsWhatEndedRunsLeft(t *testing.T) { //nolint:paralleltest // it sets TMPDIR
	tmp, out := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	gone, away := process.Self(), process.Self()
	gone.PID, away.Host = c.Process.Pid, "000000"
	ended := map[string]bool{}
	for path, left := range map[string]bool{
		filepath.Join(tmp, "quantcheck-htp-"+gone.String()+"-1"):                                 true,
		filepath.Join(out, ".quantcheck-run-"+gone.String()+"-1"):                                true,
		filepath.Join(out, "models_onnx", "m", ".quantcheck-draft-"+gone.String()+"-1"):          true,
		filepath.Join(out, "results", "similarities", ".quantcheck-draft-"+gone.String()+"-1"):   true,
		filepath.Join(out, ".quantcheck-run-1234"):                                               true,
		filepath.Join(tmp, "quantcheck-htp-"+away.String()+"-1"):                                 false,
		filepath.Join(out, "models_dlc", "m", ".quantcheck-draft-"+process.Self().String()+"-1"): false,
		filepath.Join(out, "models_onnx", "m", "output"):                                         false,
	} {
		ended[path] = left
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if left {
			old := time.Now().Add(-8 * 24 * time.Hour)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := func() (n int) {
		for path := range ended {
			if _, err := os.Stat(path); err == nil {
				n++
			}
		}
		return n
	}
	status, stdout, stderr := run(t, "doctor", out)
	if status != 0 || stderr != "" || there() != len(ended) {
		t.Fatalf("status %d, %s, %d of %d are there", status, stderr, there(), len(ended))
	}
	for path, left := range ended {
		if said := strings.Contains(stdout, path+"\n"); said != (left || strings.Contains(path, away.String())) {
			t.Errorf("%s is named: %v\n%s", path, said, stdout)
		}
	}
	var parts []part
	status, stdout, _ = run(t, "doctor", out, "--json")
	if err := json.Unmarshal([]byte(stdout), &parts); err != nil || status != 0 {
		t.Fatal(err, status)
	}
	named := 0
	for _, p := range parts {
		if _, ours := ended[p.Found]; ours {
			named++
		}
	}
	if named != 6 {
		t.Errorf("%d are named: %s", named, stdout)
	}
	if status, _, stderr := run(t, "doctor", out, "--clean"); status != 0 || stderr != "" {
		t.Errorf("status %d, %s", status, stderr)
	}
	for path, left := range ended {
		if _, err := os.Stat(path); os.IsNotExist(err) != left {
			t.Errorf("%s after --clean: %v", path, err)
		}
	}
}
