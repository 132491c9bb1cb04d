package local

import (
	"testing"

	"quantcheck/internal/device"
	"quantcheck/internal/device/devicetest"
)

func TestConformance(t *testing.T) {
	devicetest.Run(t, devicetest.Harness{Open: func(t testing.TB) device.Device {
		d := Open()
		t.Cleanup(func() { _ = d.Close() })
		return d
	}})
}
