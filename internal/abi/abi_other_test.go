//go:build !linux || !amd64

package abi

import (
	"errors"
	"testing"
)

func TestOtherSystemsSaySo(t *testing.T) {
	if _, err := Call(0, [6]uintptr{}, nil); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if _, err := Callback(nil); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
