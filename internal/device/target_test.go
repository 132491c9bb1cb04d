package device

import (
	"strings"
	"testing"
)

// A target that is read is written as one that means the same, and what is refused may hold a password: it is not repeated.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"local", "adb", "adb:x1", "ssh://u@h:22", "ssh://[::1]:22/", "u@h", "h", "ssh://u:s3cret@h", "a://b", "u@@h", "-o@h", "#", "ssh://::", " :s3cret@", "ssh://[fe80::1%25eth0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			if strings.Contains(text, ":s3cret@") && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if b, err := Parse(a.String()); err != nil || a != b {
			t.Errorf("%q is %+v, written %q, which is %+v %v", text, a, a.String(), b, err)
		}
		if strings.HasPrefix(a.Host, "-") || strings.HasPrefix(a.User, "-") || strings.HasPrefix(a.Serial, "-") {
			t.Errorf("%q is an option in disguise", text)
		}
	})
}
