package hostinfo

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryIsTheLeastOfMachineAndControlGroups(t *testing.T) {
	const (
		total    = "MemTotal:       16777216 kB\nMemFree: 5 kB\n" // 16 GiB
		version2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		version1 = "31 23 0:27 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n33 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	)
	for name, c := range map[string]struct {
		files map[string]string
		bytes int64
		of    string
	}{
		"no groups": {map[string]string{"proc/meminfo": total}, 16 << 30, "machine"},
		"version 2": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/a/b/memory.max": "4294967296\n"}, 4 << 30, "control group"},
		"version 2, a group around it": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "3221225472\n"}, 3 << 30, "control group"},
		"version 2, slowed down before": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/a/memory.max": "4294967296\n", "sys/fs/cgroup/a/memory.high": "2147483648\n"}, 2 << 30, "control group"},
		"version 2, no limit": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/memory.max": "max\n"}, 16 << 30, "machine"},
		"more than the machine": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/a/memory.max": "99999999999999\n"}, 16 << 30, "machine"},
		"version 1": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "4:memory:/x/y\n1:cpu:/z\n0::/\n", "proc/self/mountinfo": version1,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1073741824\n",
			"sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/cpu/memory.limit_in_bytes": "1\n"}, 1 << 30, "control group"},
		"a container that sees its own group": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "4:memory:/docker/abc\n",
			"proc/self/mountinfo":                        "31 23 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n"}, 512 << 20, "control group"},
		"a group outside of what is seen": {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0::/../other\n", "proc/self/mountinfo": version2,
			"sys/fs/cgroup/memory.max": "805306368\n"}, 768 << 20, "control group"},
		"only a group": {map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": version2, "sys/fs/cgroup/a/memory.max": "1048576\n"}, 1 << 20, "control group"},
		"damaged":      {map[string]string{"proc/meminfo": total, "proc/self/cgroup": "0\n::\nx", "proc/self/mountinfo": "a - \n - cgroup2\n1 2 3\n"}, 16 << 30, "machine"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range c.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if m, ok := findMemory(root); !ok || m != (Memory{c.bytes, c.of}) {
				t.Errorf("%+v %v, want %d of the %s", m, ok, c.bytes, c.of)
			}
		})
	}
	if m, ok := findMemory(t.TempDir()); ok {
		t.Errorf("%+v of a system that says nothing", m)
	}
}
