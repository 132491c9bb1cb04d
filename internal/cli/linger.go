package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/terminal"
)

// How long the program lives on after it was interrupted: results are written whole or not at all, so whatever still runs may be left
// to the operating system, but a device has to be left as it was found.
const (
	lingerAlone  = 900 * time.Millisecond
	lingerDevice = 5 * time.Second
)

// Linger returns when an interrupted program is to end, if Run has not returned by then: within a second, or, while it holds a
// device, within five more, which it says.
func Linger(out io.Writer) {
	stderr := terminal.New(out)
	time.Sleep(lingerAlone)
	devices := device.Held()
	if len(devices) == 0 {
		fmt.Fprintln(stderr, "\nquantcheck: interrupted")
		return
	}
	fmt.Fprintf(stderr, "\nquantcheck: cleaning up on %s, which may take %.0f seconds; another Ctrl-C leaves that to the next run\n", strings.Join(devices, " and "), lingerDevice.Seconds())
	for end := time.Now().Add(lingerDevice); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if len(device.Held()) == 0 {
			time.Sleep(200 * time.Millisecond) // for the sentence that the command ends with
			return
		}
	}
	fmt.Fprintf(stderr, "quantcheck: not done yet; the next run, or quantcheck device clean, removes what is left there\n")
}
