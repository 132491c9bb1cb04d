package snpe

import (
	"bytes"
	"regexp"
	"strings"
)

// versionLine is how every tool of SNPE says its version, as in "SNPE v2.14.2.230905160328_61726".
var versionLine = regexp.MustCompile(`(?m)^\s*SNPE v([0-9][0-9A-Za-z._-]*)\s*$`)

// Version reads SNPE's version out of what a tool printed; ok is false if it is not there.
func Version(text []byte) (version string, ok bool) {
	m := versionLine.FindSubmatch(text)
	if m == nil {
		return "", false
	}
	return string(m[1]), true
}

// Runtime is what snpe-platform-validator says of a processor. A nil pointer and "" were not said.
type Runtime struct {
	// Name is DSP, GPU and so on.
	Name string `json:"name"`
	// Supported is the verdict, UnitTest whether the test program ran there.
	Supported *bool `json:"supported,omitempty"`
	UnitTest  *bool `json:"unit_test,omitempty"`
	// Library and Core are versions: of what runs there, and of the processor.
	Library string `json:"library,omitempty"`
	Core    string `json:"core,omitempty"`
	// Errors are the lines that say why not.
	Errors []string `json:"errors,omitempty"`
}

var (
	unitTest  = regexp.MustCompile(`^Unit Test on the runtime (\w+): (Passed|Failed)\.?$`)
	supported = regexp.MustCompile(`^SNPE is (NOT )?supported for runtime (\w+) on the device\.?$`)
	versions  = regexp.MustCompile(`^(Library|Core) Version of the runtime (\w+): (.+)$`)
)

// notQueried is what stands in a version's place that was not asked for or is not known.
const notQueried = "Not Queried"

// runtimeLines is how many lines of a validator are read at most.
const runtimeLines = 10000

// Runtimes reads what snpe-platform-validator printed, in the order in which the runtimes are named. Errors belong to the one
// that is named after them.
func Runtimes(text []byte) []Runtime {
	var list []Runtime
	var errs []string
	find := func(name string) *Runtime {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
		list = append(list, Runtime{Name: name, Errors: errs})
		errs = nil
		return &list[len(list)-1]
	}
	n := 0
	for line := range bytes.Lines(text) {
		if n++; n > runtimeLines {
			break
		}
		line := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", ""))
		if m := unitTest.FindStringSubmatch(line); m != nil {
			ok := m[2] == "Passed"
			find(m[1]).UnitTest = &ok
		} else if m := supported.FindStringSubmatch(line); m != nil {
			ok := m[1] == ""
			find(m[2]).Supported = &ok
		} else if m := versions.FindStringSubmatch(line); m != nil && m[3] != notQueried {
			r := find(m[2])
			if m[1] == "Core" {
				r.Core = m[3]
			} else {
				r.Library = m[3]
			}
		} else if rest, ok := strings.CutPrefix(line, "PF_VALIDATOR: ERROR:"); ok {
			errs = append(errs, strings.TrimSpace(rest))
		}
	}
	return list
}
