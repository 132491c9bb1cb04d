package cli

import (
	"strings"

	"github.com/alecthomas/kong"

	"quantcheck/internal/metric"
)

// lists are what help texts name as ${…}: each is made of the registry of what it lists.
func lists() kong.Vars {
	var gates []string
	for _, m := range metric.Gates() {
		name, _, _ := strings.Cut(m.Gate, "=")
		gates = append(gates, m.Key+" ("+name+"=)")
	}
	return kong.Vars{"gates": either(gates)}
}

// either writes a list with its commas and an or.
func either(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
