package onnxruntime

import (
	"fmt"
	"os"
	"runtime"

	"github.com/ebitengine/purego"
)

// Since 1.29 the published libraries for Linux and macOS report to their maker: a second after the start they resolve a host name and
// open a connection, and before that they write a lasting identifier, a database of events and a log. The variable, read once when the
// environment is made, keeps all of it from being made; the call of the function table comes too late for the first event, and
// stops those that follow (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
const (
	telemetryVariable      = "ORT_DISABLE_TELEMETRY"
	disableTelemetryEvents = 6 // index into OrtApi
)

// silence turns telemetry off in this process and in those that it starts. It is called before the library is loaded. That the C
// library, which is what ONNX Runtime asks, sees the variable is read back: without cgo Go's environment is a copy of its own.
func silence() error {
	if err := os.Setenv(telemetryVariable, "1"); err != nil {
		return fmt.Errorf("turn telemetry off: %w", err)
	}
	seen, err := cEnvironment(telemetryVariable)
	if err != nil {
		return fmt.Errorf("turn telemetry off: %w", err)
	}
	if seen != "1" {
		return fmt.Errorf("turn telemetry off: the C library does not see the variable %s", telemetryVariable)
	}
	return nil
}

// cEnvironment gives the value of a variable as the C library sees it; "" if it is not set.
func cEnvironment(name string) (string, error) {
	getenv, err := purego.Dlsym(purego.RTLD_DEFAULT, "getenv")
	if err != nil {
		return "", err
	}
	text := cString(name)
	value, _, _ := purego.SyscallN(getenv, addr(text))
	runtime.KeepAlive(text)
	return goString(value), nil
}
