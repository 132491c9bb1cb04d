//go:build slow

package dlc

import (
	"math"
	"testing"
)

func TestSlowEveryTruncationIsAnError(t *testing.T) {
	truncations(t, math.MaxInt)
}
