package probe

import (
	"bytes"
	"strconv"
	"strings"
)

// read reads what the script printed. Lines that are not understood are left out: each is a fact that is not known.
func (f *Facts) read(text []byte) {
	f.Tools = append([]Tool(nil), wanted...)
	props, release := map[string]string{}, map[string]string{}
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(strings.ToValidUTF8(string(line), "\ufffd"), "\r\n"), " ")
		value = strings.TrimSpace(value)
		switch key {
		case "soc.machine":
			f.SoC.Machine = value
		case "soc.family":
			f.SoC.Family = value
		case "soc.id":
			f.SoC.ID = value
		case "model":
			if value != "" {
				f.Model = value
			}
		case "compatible":
			if value != "" && len(f.Compatible) < 64 {
				f.Compatible = append(f.Compatible, value)
			}
		case "os":
			if k, v, ok := strings.Cut(value, "="); ok {
				release[k] = unquote(v)
			}
		case "prop":
			k, v, _ := strings.Cut(value, " ")
			props[k] = v
		case "kernel":
			f.Kernel = value
		case "arch":
			f.Arch = value
		case "dir":
			f.DirState = DirState(value)
		case "tool":
			f.found(value)
		default:
			f.number(key, value)
		}
	}
	f.system(release, props)
}

// system says which system it is, in the words of its kind.
func (f *Facts) system(release, props map[string]string) {
	f.OS = release["PRETTY_NAME"]
	if f.OS == "" {
		f.OS = strings.TrimSpace(release["NAME"] + " " + release["VERSION"])
	}
	if v := props["ro.build.version.release"]; f.OS == "" && v != "" {
		f.OS = "Android " + v
	}
	if f.Model == "" {
		f.Model = props["ro.product.model"]
	}
	if f.SoC.Machine == "" {
		f.SoC.Machine = strings.TrimSpace(props["ro.soc.manufacturer"] + " " + props["ro.soc.model"])
	}
}

// found reads "NAME PATH" of a tool.
func (f *Facts) found(value string) {
	name, path, _ := strings.Cut(value, " ")
	for i := range f.Tools {
		if f.Tools[i].Name == name {
			f.Tools[i].Path = path
		}
	}
}

func (f *Facts) number(key, value string) {
	fields := strings.Fields(value)
	switch {
	case key == "cores" && len(fields) == 1:
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			f.Cores = &n
		}
	case key == "mem" && len(fields) > 0:
		f.MemTotal = kib(fields[0])
	case key == "df" && len(fields) >= 6: // File system, 1024-blocks, used, available, capacity, where. The heading has no numbers.
		n := len(fields)
		for i := 1; i+4 < n; i++ { // A file system's name may have blanks.
			if total, free := kib(fields[i]), kib(fields[i+2]); total != nil && free != nil && strings.HasSuffix(fields[i+3], "%") {
				f.DiskTotal, f.DiskFree = total, free
				return
			}
		}
	}
}

// kib reads a number of KiB and gives bytes; nil if it is none.
func kib(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return nil
	}
	n <<= 10
	return &n
}

// unquote takes the quotes of a shell's assignment off.
func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}
