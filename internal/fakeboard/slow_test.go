//go:build slow

package fakeboard

import "testing"

func TestSlowTheBoardWritesWhatTheEmulatorComputes(t *testing.T) {
	boardWrites(t, append([][]string{{"qnn", "zoo_w8a16_per_channel.dlc"}}, poses(t)...)...)
}
