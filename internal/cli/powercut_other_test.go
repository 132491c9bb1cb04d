//go:build !linux

package cli

import "testing"

// onALoopDevice has no file system to mount here; the model of a disk has to do.
func onALoopDevice(t *testing.T) { t.Helper() }
