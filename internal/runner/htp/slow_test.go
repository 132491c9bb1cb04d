//go:build slow

package htp

import (
	"strings"
	"testing"
)

func TestSlowEstimatesOfDetectorsAreTheFixtures(t *testing.T) {
	estimatesAreTheFixtures(t, func(name string) bool { return !strings.HasPrefix(name, "qnn/zoo") })
}

func TestSlowTapsChangeNoBitInEveryWidth(t *testing.T) {
	tapsChangeNoBit(t, "zoo_w8a8_per_tensor", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor")
}
