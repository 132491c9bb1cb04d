// Package hostinfo describes the computer and the program, since int8 results depend on both.
package hostinfo

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/cpu"
)

// Version is the program's own version.
const Version = "0.1.0"

// Info is what a result records of where it was made.
type Info struct {
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	CPU      string   `json:"cpu"`
	Features []string `json:"features"` // instruction sets that decide how int8 and float products are computed
	Cores    int      `json:"cores"`
	Go       string   `json:"go"`
	Revision string   `json:"revision,omitempty"` // of the program's source, "" if it was built outside of it
}

// Describe looks at the computer.
func Describe() Info {
	info := Info{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), Cores: runtime.NumCPU(), Go: runtime.Version(), Features: []string{}}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", cpu.X86.HasAVX2}, {"fma", cpu.X86.HasFMA}, {"avx512f", cpu.X86.HasAVX512F}, {"avx512vnni", cpu.X86.HasAVX512VNNI},
		{"asimd", cpu.ARM64.HasASIMD}, {"asimddp", cpu.ARM64.HasASIMDDP},
	} {
		if f.has {
			info.Features = append(info.Features, f.name)
		}
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				info.Revision = s.Value
			}
		}
	}
	return info
}

// Clean says whether the program was built from a source without changes of its own, so that Revision tells builds apart.
func Clean() bool {
	build, ok := debug.ReadBuildInfo()
	known, modified := false, false
	if ok {
		for _, s := range build.Settings {
			known = known || s.Key == "vcs.revision"
			modified = modified || s.Key == "vcs.modified" && s.Value != "false"
		}
	}
	return known && !modified
}

// cpuName reads the processor's name where the system tells it.
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if key, value, ok := strings.Cut(scanner.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
