package variant

import (
	"slices"
	"strings"
)

// Engine says what computes a variant.
type Engine string

// The engines.
const (
	CPU Engine = ""    // a simulation in float, in ONNX Runtime
	HTP Engine = "htp" // the emulator of Qualcomm's DSP
)

// engines are those that may stand behind @, beside cpu.
var engines = []Engine{HTP}

// AddEngine lets an engine stand behind @. It is called while the program starts.
func AddEngine(e Engine) {
	if e != CPU && !slices.Contains(engines, e) {
		engines = append(engines, e)
	}
}

// engineOf finds an engine by its name behind @.
func engineOf(name string) (e Engine, ok bool) {
	if name == "cpu" {
		return CPU, true
	}
	return Engine(name), slices.Contains(engines, Engine(name))
}

// enginesText lists the engines as people write them.
func enginesText() string {
	list := []string{"@cpu (default)"}
	for _, e := range engines {
		list = append(list, "@"+string(e))
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}
