package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/onnxruntime"
)

// plantedLibrary builds a library that makes a file when it is loaded.
func plantedLibrary(t *testing.T, mark string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skipf("SKIPPED FOR WANT OF gcc: %v", err)
	}
	dir := t.TempDir()
	c, so := filepath.Join(dir, "planted.c"), filepath.Join(dir, "planted.so")
	code := "#include <fcntl.h>\n__attribute__((constructor)) static void run(void) { open(\"" + mark + "\", O_CREAT | O_WRONLY, 0600); }\n"
	if err := os.WriteFile(c, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), gcc, "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return so
}

// plant copies a library to where the program might look for it.
func plant(t *testing.T, so string, paths ...string) {
	t.Helper()
	data, err := os.ReadFile(so)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil { //nolint:gosec // a library
			t.Fatal(err)
		}
	}
}

// No code that lies in the working folder or above it is run, nor an installed library that is not what was installed.
func TestPlantedCodeIsNotRun(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "was-run")
	so, exe := plantedLibrary(t, mark), buildProgram(t)
	above, home, name := t.TempDir(), t.TempDir(), onnxruntime.LibraryName()
	work := filepath.Join(above, "work")
	for _, dir := range []string{work, above} {
		published := filepath.Join("node_modules", "onnxruntime-node", "bin", "napi-v6", "linux", "x64", name)
		plant(t, so, filepath.Join(dir, published), filepath.Join(dir, "third_party", published), filepath.Join(dir, name), filepath.Join(dir, "lib", name))
	}
	site := filepath.Join(above, "lib", "python3.11", "site-packages")
	for _, l := range []string{"libonnxruntime_providers_qnn.so", "libQnnHtp.so", "libQnnIr.so", "libQnnSystem.so"} {
		plant(t, so, filepath.Join(site, "onnxruntime_qnn", l), filepath.Join(home, ".cache", "quantcheck", "onnxruntime-qnn-2.7.0", "onnxruntime_qnn", l), filepath.Join(work, l))
	}
	for _, dir := range []string{site, filepath.Join(home, ".cache", "quantcheck", "onnxruntime-qnn-2.7.0")} {
		if err := os.Mkdir(filepath.Join(dir, "onnxruntime_qnn-2.7.0.dist-info"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plant(t, so, filepath.Join(home, ".cache", "quantcheck", "onnxruntime-"+onnxruntime.Version, name), filepath.Join(home, ".cache", "quantcheck", name))
	for _, program := range []string{"pip.py", "python3"} {
		text := "#!/bin/sh\n: > " + mark + "\n"
		if program == "pip.py" {
			text = "open('" + mark + "', 'w').close()\n"
		}
		if err := os.WriteFile(filepath.Join(work, program), []byte(text), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	model, images := smallModel(t, nil), pictures(t, 1)
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"lint", model}, exitUnavailable, "doctor --install onnxruntime"},
		{[]string{"check", model, "--images", images, "--variant", "w8a8@htp"}, exitUnavailable, "doctor --install onnxruntime"},
		{[]string{"estimate", model}, exitUnavailable, "doctor --install onnxruntime"},
		{[]string{"doctor"}, exitDone, "it is damaged or was changed"},
		{[]string{"doctor", "--install", "onnxruntime"}, exitUnavailable, "pip could not fetch"},
		{[]string{"doctor", "--install", "htp", "--accept-license"}, exitUnavailable, "pip could not fetch"},
	} {
		cmd := exec.CommandContext(t.Context(), exe, c.args...)
		// pip is told to use no index, which keeps it from the network.
		cmd.Dir, cmd.Env = work, []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + t.TempDir(), "VIRTUAL_ENV=" + above, "PIP_NO_INDEX=1", "PYTHONPATH=" + work,
			"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"),
		}
		out, _ := cmd.CombinedOutput() // its status says what the error would
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("%v: status %d\n%s", c.args, cmd.ProcessState.ExitCode(), out)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%v: planted code was run", c.args)
		}
	}
	// What the user names is loaded; it shows that the library would have been seen.
	cmd := exec.CommandContext(t.Context(), exe, "lint", model, "--ort-lib", so)
	cmd.Dir = work
	out, _ := cmd.CombinedOutput()
	if _, err := os.Stat(mark); err != nil || cmd.ProcessState.ExitCode() != exitUnavailable {
		t.Errorf("the library that was named: status %d, %v\n%s", cmd.ProcessState.ExitCode(), err, out)
	}
}
