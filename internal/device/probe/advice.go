package probe

import (
	"fmt"
	"strings"
)

// Advice is something that is missing or in the way, and what to do.
type Advice struct {
	What string `json:"what"`
	Do   string `json:"do"`
	// Stops says that a benchmark cannot run before that is done.
	Stops bool `json:"stops"`
}

// spaceLow is how little free space is worth a word: the outputs of one image's layers are some hundred megabytes.
const spaceLow = 1 << 30

// Advise says what is to be done.
func (f *Facts) Advise() []Advice {
	var list []Advice
	add := func(stops bool, what, do string) { list = append(list, Advice{what, do, stops}) }
	f.adviseTools(add)
	for _, r := range f.Runtimes {
		if r.Supported != nil && !*r.Supported {
			do := "have the board's ADSP_LIBRARY_PATH name the folder with the libraries for its DSP"
			if r.Name != "DSP" {
				do = "nothing, if you do not mean to use it"
			}
			add(false, "SNPE says that "+r.Name+" is not supported there", do)
		}
	}
	switch f.DirState {
	case ReadOnly, Unmakeable:
		add(true, fmt.Sprintf("the folder %s is %s", f.Dir, f.DirState), "name another one with --device-dir, or log in as a user who may write there")
	}
	if f.DiskFree != nil && *f.DiskFree < spaceLow {
		add(false, fmt.Sprintf("only %d MB are free on the disk of %s", *f.DiskFree/1e6, f.Dir), "make room, or name another folder with --device-dir")
	}
	if l := f.Lock; l != nil {
		if l.Gone {
			add(false, "a run of yours that has ended holds the lock", "nothing: the next run takes over")
		} else {
			add(true, "somebody works on the device", "wait, or ask; quantcheck device unlock breaks a lock that nobody needs any more")
		}
	}
	if !f.Left.None() {
		add(false, "earlier runs of yours left something", "quantcheck device clean removes it, and so does the next benchmark")
	}
	return list
}

// adviseTools names the programs that are missing: those of SNPE together, since they come together.
func (f *Facts) adviseTools(add func(stops bool, what, do string)) {
	var needed, more []string
	for _, t := range f.Tools {
		text := fmt.Sprintf("%s (%s)", t.Name, t.For)
		switch {
		case t.Path != "":
		case t.Name == "sysMonApp":
			add(false, text+" is missing", "update the board's system; everything else is watched without it")
		case t.Name == "sha256sum" || t.Name == "tar":
			add(true, text+" is missing", "install busybox or toybox there")
		case t.Needed:
			needed = append(needed, text)
		default:
			more = append(more, text)
		}
	}
	const do = "unpack the programs and libraries of Qualcomm's SDK for that system into folders of the device's PATH and LD_LIBRARY_PATH"
	if needed != nil {
		add(true, "missing: "+strings.Join(needed, ", "), do)
	}
	if more != nil {
		add(false, "missing, and can be done without: "+strings.Join(more, ", "), do)
	}
}
