package probe

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/device"
	"quantcheck/internal/device/local"
	"quantcheck/internal/device/ssh"
	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/snpe"
)

func put(t *testing.T, root, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func of[T any](v T) *T { return &v }

// A board as Qualcomm's kernels show it, behind a real SSH server, with stand-ins that repeat what real tools have printed.
func TestDescribe(t *testing.T) {
	t.Parallel()
	root, bin := t.TempDir(), t.TempDir()
	put(t, root, "sys/devices/soc0/machine", "QCS8550\n", 0o666)
	put(t, root, "sys/devices/soc0/family", "Snapdragon", 0o666)
	put(t, root, "sys/devices/soc0/soc_id", "603\n", 0o666)
	put(t, root, "proc/device-tree/model", "Some Board 'v1' $(x)\x00", 0o666)
	put(t, root, "proc/device-tree/compatible", "maker,board\x00qcom,kalama\x00", 0o666)
	put(t, root, "etc/os-release", "NAME=x\nPRETTY_NAME=\"Board OS 1.18 (kirkstone)\"\n", 0o666)
	put(t, root, "proc/cpuinfo", "processor\t: 0\nx\nprocessor\t: 1\n", 0o666)
	put(t, root, "proc/meminfo", "MemTotal:       16000000 kB\n", 0o666)
	put(t, bin, "snpe-net-run", "#!/bin/sh\n[ \"$1\" = --version ] && echo 'SNPE v2.32.6.250402152434_116405'\n", 0o777)
	said := filepath.Join(t.TempDir(), "said") // by the tool of SNPE 2
	put(t, filepath.Dir(said), "said", "PF_VALIDATOR: ERROR: -2 . Error while executing the sum function.\nPF_VALIDATOR: ERROR: Please use testsig if using unsigned images.\n"+
		"PF_VALIDATOR: ERROR: Also make sure ADSP_LIBRARY_PATH points to directory containing skels.\nUnit Test on the runtime DSP: Failed.\nSNPE is NOT supported for runtime DSP on the device.\n", 0o666)
	put(t, bin, "snpe-platform-validator", "#!/bin/sh\ncase $2 in dsp) cat "+device.Quote(said)+"; exit 1;; esac\necho nothing >&2\n", 0o777)
	s := sshtest.Start(t, sshtest.Options{Env: map[string]string{"PATH": bin + ":" + os.Getenv("PATH")}})
	d, err := ssh.Open(t.Context(), s.Target, ssh.Options{ConfigFile: "/none", KnownHosts: s.KnownHosts, Identities: []string{s.Identity}, Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	dir := filepath.Join(t.TempDir(), "new 'dir'", "tests")
	f, err := describe(t.Context(), d, root, dir, dir+"/lock")
	if err != nil {
		t.Fatal(err)
	}
	if f.DiskFree == nil || f.DiskTotal == nil || *f.DiskFree > *f.DiskTotal || *f.DiskTotal == 0 || !strings.HasPrefix(f.Kernel, "Linux ") {
		t.Errorf("%v %v %q", f.DiskFree, f.DiskTotal, f.Kernel)
	}
	if f.tool("snpe-net-run") != bin+"/snpe-net-run" || f.tool("snpe-diagview") != "" || f.tool("sha256sum") == "" {
		t.Errorf("%+v", f.Tools)
	}
	f.DiskFree, f.DiskTotal, f.Kernel, f.Tools = nil, nil, "", nil
	f.Left.Processes = 0 // Other tests of this machine have some.
	want := Facts{
		Target: d.Name(), Dir: dir, SoC: SoC{"QCS8550", "Snapdragon", "603"}, Model: "Some Board 'v1' $(x)",
		Compatible: []string{"maker,board", "qcom,kalama"}, OS: "Board OS 1.18 (kirkstone)", Arch: f.Arch, Cores: of(2),
		MemTotal: of(int64(16000000) << 10), DirState: Missing, SNPE: "2.32.6.250402152434_116405",
		Runtimes: []snpe.Runtime{{Name: "DSP", Supported: of(false), UnitTest: of(false), Errors: []string{
			"-2 . Error while executing the sum function.", "Please use testsig if using unsigned images.",
			"Also make sure ADSP_LIBRARY_PATH points to directory containing skels.",
		}}},
		Problems: []string{"the runtime gpu: the validator said nothing about it"},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Dir(dir)); err == nil {
		t.Error("the folder was made")
	}
}

func TestLocksAndLeftovers(t *testing.T) {
	t.Parallel()
	d := local.Open()
	defer d.Close()
	dir := t.TempDir()
	lock := dir + "/lock"
	held, err := device.Lock(t.Context(), d, lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, ".quantcheck-part-X", "x", 0o666)
	f, err := Describe(t.Context(), d, dir, lock)
	f.Left.Processes = 0 // Other tests of this machine have some.
	if err != nil || f.Lock == nil || f.Lock.Owner != device.Me() || f.Lock.Gone || f.Left != (Left{Parts: 1}) || f.DirState != Writable {
		t.Errorf("%+v %+v %v", f.Lock, f.Left, err)
	}
	if err := held.Unlock(t.Context(), d); err != nil {
		t.Error(err)
	}
	// What this machine says of itself.
	if f.Target != "local" || f.Cores == nil || *f.Cores < 1 || f.MemTotal == nil || f.Arch == "" || f.OS == "" {
		t.Errorf("%+v", f)
	}
	if runtime.GOARCH == "amd64" && f.Arch != "x86_64" {
		t.Errorf("%q", f.Arch)
	}
	_ = d.Close()
	if _, err := Describe(t.Context(), d, dir, lock); !errors.Is(err, device.ErrLost) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Describe(ctx, local.Open(), dir, lock); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	whole := func() Facts {
		var f Facts
		f.read([]byte("dir writable\n"))
		for i := range f.Tools {
			f.Tools[i].Path = "/x"
		}
		return f
	}
	for _, row := range []struct {
		name  string
		set   func(*Facts)
		says  string
		stops bool
	}{
		{"nothing is missing", func(*Facts) {}, "", false},
		{"a needed tool", func(f *Facts) { f.Tools[0].Path = "" }, "missing: snpe-net-run", true},
		{"a tool to do without", func(f *Facts) { f.Tools[2].Path = "" }, "without: snpe-diagview", false},
		{"no DSP", func(f *Facts) { f.Runtimes = []snpe.Runtime{{Name: "DSP", Supported: of(false)}} }, "DSP is not supported", false},
		{"a folder that cannot be written to", func(f *Facts) { f.DirState = ReadOnly }, "not writable", true},
		{"a full disk", func(f *Facts) { f.DiskFree = of(int64(5e6)) }, "only 5 MB are free", false},
		{"somebody's lock", func(f *Facts) { f.Lock = &Lock{} }, "somebody works", true},
		{"an own run's lock", func(f *Facts) { f.Lock = &Lock{Gone: true} }, "takes over", false},
		{"leftovers", func(f *Facts) { f.Left.Parts = 1 }, "left something", false},
	} {
		f := whole()
		row.set(&f)
		list := f.Advise()
		if row.says == "" {
			if list != nil {
				t.Errorf("%s: %+v", row.name, list)
			}
			continue
		}
		if len(list) != 1 || !strings.Contains(list[0].What+list[0].Do, row.says) || list[0].Stops != row.stops {
			t.Errorf("%s: %+v", row.name, list)
		}
	}
}

func TestAnAndroidDevice(t *testing.T) {
	t.Parallel()
	var f Facts
	f.read([]byte("prop ro.build.version.release 13\nprop ro.product.model Some Phone\nprop ro.soc.manufacturer QTI\nprop ro.soc.model SM8550\ndf Filesystem 1024-blocks Used Available Capacity Mounted on\ndf /dev/block/dm-5 100 40 60 40% /data\n"))
	if f.OS != "Android 13" || f.Model != "Some Phone" || f.SoC.Machine != "QTI SM8550" || *f.DiskFree != 60<<10 || *f.DiskTotal != 100<<10 {
		t.Errorf("%+v", f)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("soc.machine x\nmodel y\nos A=\"b\"\nprop a b\ncores 2\nmem 1\ndf a b 1 2 3 4% /\ntool tar /bin/tar\ndir writable\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var facts Facts
		facts.read(text)
		if _, err := json.Marshal(facts); err != nil || len(facts.Tools) != len(wanted) {
			t.Error(err)
		}
		facts.Advise()
	})
}
