package snpe

import (
	"regexp"
	"strconv"
)

// total is the number that counts: a C++ stream writes it with six significant digits, so it may be an integer or have an
// exponent.
var total = regexp.MustCompile(`(?m)^\s*Total throughput:\s*([0-9.eE+-]+)\s*infs/sec`)

// Throughput reads the inferences per second from what snpe-throughput-net-run printed; ok is false if they are not there.
func Throughput(text []byte) (perSecond float64, ok bool) {
	m := total.FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	return v, err == nil && v >= 0 && v-v == 0
}
