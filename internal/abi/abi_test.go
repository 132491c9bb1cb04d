package abi

import (
	"errors"
	"runtime"
	"testing"
)

func TestOtherSystemsSaySo(t *testing.T) {
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		t.Skip("this one has the convention")
	}
	if _, err := Call(0, [6]uintptr{}, nil); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if _, err := Callback(nil); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
