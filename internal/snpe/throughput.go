package snpe

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// total is the number that counts: a C++ stream writes it with six significant digits, so it may be an integer or have an
// exponent. The lines of the threads name the runtime that took the model.
var (
	total  = regexp.MustCompile(`(?m)^\s*Total throughput:\s*([0-9.eE+-]+)\s*infs/sec`)
	thread = regexp.MustCompile(`(?m)^\s*\[Thread \d+ - ([A-Za-z0-9_]+)\]`)
)

// Throughput reads the inferences per second from what snpe-throughput-net-run printed; ok is false if they are not there.
func Throughput(text []byte) (perSecond float64, ok bool) {
	m := total.FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	return v, err == nil && v >= 0 && v-v == 0
}

// ErrFallback means that a model did not run where it was told to.
var ErrFallback = errors.New("the model ran on another runtime than asked")

// ThroughputOn is Throughput, with a look at where the model ran: runtime is dsp, gpu, cpu or aip. The labels of the threads
// begin with it (dsp_fixed8_tf); another one is ErrFallback. A text without labels is taken as it is.
func ThroughputOn(text []byte, runtime string) (perSecond float64, err error) {
	v, ok := Throughput(text)
	if !ok {
		return 0, errors.New("snpe-throughput-net-run printed no \"Total throughput: … infs/sec\"")
	}
	for _, m := range thread.FindAllSubmatch(text, -1) {
		label := string(m[1])
		if where, _, _ := strings.Cut(label, "_"); where != runtime {
			return 0, fmt.Errorf("%w: a thread's label is %s where %s was asked for, so %g inferences a second are not the %s's; does the DLC hold operators that it refuses, or is the runtime missing (snpe-platform-validator tells)?", ErrFallback, label, runtime, v, strings.ToUpper(runtime))
		}
	}
	return v, nil
}
