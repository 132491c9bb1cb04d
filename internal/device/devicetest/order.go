package devicetest

import "testing"

// order is about sharing a device.
func order(*testing.T, Harness) {}
