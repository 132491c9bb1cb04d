//go:build slow

package qnnworker

import (
	"strings"
	"testing"
)

func TestSlowADetectorsDLCGivesTheSameBits(t *testing.T) {
	sameBits(t, map[string]int{"yolox_nano_w8a8_per_channel": 350, "yolox_nano_w8a16_per_channel": 350})
}

func TestSlowADetectorsEstimateIsThatOfItsDLC(t *testing.T) {
	sameEstimate(t, "yolox_nano_w8a8_per_channel")
}

func TestSlowEstimatesOfDetectorsAreTheFixtures(t *testing.T) {
	estimatesAreTheFixtures(t, func(name string) bool { return !strings.HasPrefix(name, "qnn/zoo") })
}
