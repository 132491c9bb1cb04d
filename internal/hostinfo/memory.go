package hostinfo

import (
	"bufio"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Memory is what this process may use at most, and whose limit that is.
type Memory struct {
	Bytes int64
	Of    string // "machine" or "control group"
}

// FindMemory finds the memory of the machine or, if that is less, of the control groups that this process is in (versions 1 and 2,
// with those around them). ok is false where the system does not say.
func FindMemory() (m Memory, ok bool) { return findMemory("/") }

// findMemory looks below a root folder.
func findMemory(root string) (Memory, bool) {
	m := Memory{Bytes: math.MaxInt64}
	if total, ok := fileField(filepath.Join(root, "proc/meminfo"), "MemTotal:"); ok {
		m = Memory{total << 10, "machine"}
	}
	for _, dir := range memoryGroups(root) {
		for _, name := range []string{"memory.max", "memory.high", "memory.limit_in_bytes"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			// "max", or a number near the largest, is no limit.
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && limit > 0 && limit < m.Bytes {
				m = Memory{limit, "control group"}
			}
		}
	}
	return m, m.Of != "" && m.Bytes < 1<<60
}

// memoryGroups lists the folders of the control groups that bound this process's memory, the innermost first.
func memoryGroups(root string) []string {
	one, two := groupPaths(root)
	var dirs []string
	mounts, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	defer mounts.Close()
	for s := bufio.NewScanner(mounts); s.Scan(); {
		before, after, found := strings.Cut(s.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 3 {
			continue
		}
		base := left[3] // the group that is mounted
		var path string
		switch {
		case right[0] == "cgroup2":
			path = two
		case right[0] == "cgroup" && slices.Contains(strings.Split(right[2], ","), "memory"):
			path = one
		default:
			continue
		}
		if path == "" {
			continue
		}
		mount := filepath.Join(root, left[4])
		// A container may see only its own group mounted, under a path that is the host's.
		within, ok := strings.CutPrefix(path, strings.TrimSuffix(base, "/"))
		if !ok {
			within = path
		}
		dir := filepath.Join(mount, filepath.Clean("/"+within))
		for ; len(dir) > len(mount); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
		dirs = append(dirs, mount)
	}
	return dirs
}

// groupPaths reads which groups this process is in, of version 1 with the memory controller, and of version 2.
func groupPaths(root string) (one, two string) {
	f, err := os.Open(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return "", ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.SplitN(s.Text(), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0" && fields[1] == "":
			two = fields[2]
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			one = fields[2]
		}
	}
	return one, two
}

// fileField reads a number behind a key.
func fileField(path, key string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return field(f, key)
}

func field(r io.Reader, key string) (int64, bool) {
	for s := bufio.NewScanner(r); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// Resident is what a process takes of the machine's memory, pages that are shared counted by their share; ok is false where the
// system does not say.
func Resident(pid int) (bytes int64, ok bool) {
	kib, ok := fileField(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"), "Pss:")
	return kib << 10, ok
}
