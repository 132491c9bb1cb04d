// Package procgroup looks at the processes of a group in /proc, for benchmarks that start a command and look at what all of its processes take.
package procgroup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is what /proc says of one process.
type Process struct {
	Stat  []string         // the fields of its stat behind the name: state, parent, group and so on (man 5 proc_pid_stat)
	Bytes map[string]int64 // the sizes of its smaps_rollup, such as "Pss", of shared pages its part
}

// Of gives the processes of a group that can be looked at.
func Of(group int) []Process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []Process
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		p := Process{strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])), map[string]int64{}}
		if len(p.Stat) < 15 || p.Stat[2] != strconv.Itoa(group) {
			continue
		}
		list = append(list, p)
		rollup, err := os.ReadFile(filepath.Join("/proc", e.Name(), "smaps_rollup"))
		if err != nil { // its time counts all the same
			continue
		}
		for line := range strings.Lines(string(rollup)) {
			var kib int64
			if kind, size, found := strings.Cut(line, ":"); found {
				if n, _ := fmt.Sscanf(size, "%d kB", &kib); n == 1 {
					p.Bytes[kind] += kib << 10
				}
			}
		}
	}
	return list
}
