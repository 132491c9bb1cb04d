package dial

import (
	"strings"
	"testing"

	"quantcheck/internal/device"
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

func TestParse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text string
		want device.Target
		form string // what String gives; "" is an error
	}{
		{"local", device.Target{Kind: device.Local}, "local"},
		{"adb:", device.Target{Kind: device.ADB}, "adb:"},
		{"adb", device.Target{Kind: device.ADB}, "adb:"},
		{"adb:192.168.0.2:5555", device.Target{Kind: device.ADB, Serial: "192.168.0.2:5555"}, "adb:192.168.0.2:5555"},
		{"adb:-x", device.Target{}, ""},
		{"adb:a b", device.Target{}, ""},
		{"ssh://root@10.0.0.2", device.Target{Kind: device.SSH, User: "root", Host: "10.0.0.2"}, "ssh://root@10.0.0.2"},
		{"ssh://root@board:2222/", device.Target{Kind: device.SSH, User: "root", Host: "board", Port: 2222}, "ssh://root@board:2222"},
		{"ssh://[fe80::1]:22", device.Target{Kind: device.SSH, Host: "fe80::1", Port: 22}, "ssh://[fe80::1]:22"},
		{"ssh://[::1]", device.Target{Kind: device.SSH, Host: "::1"}, "ssh://[::1]"},
		{"board", device.Target{Kind: device.SSH, Host: "board"}, "ssh://board"},
		{"me@board", device.Target{Kind: device.SSH, User: "me", Host: "board"}, "ssh://me@board"},
		{"", device.Target{}, ""},
		{"ssh://", device.Target{}, ""},
		{"ssh://root@", device.Target{}, ""},
		{"ssh://h:0", device.Target{}, ""},
		{"ssh://h:99999", device.Target{}, ""},
		{"ssh://h/path", device.Target{}, ""},
		{"ssh://-oProxyCommand=x", device.Target{}, ""},
		{"-oProxyCommand=x", device.Target{}, ""},
		{"board:22", device.Target{}, ""},
		{"http://h", device.Target{}, ""},
		{"ssh://root:s3cret@h", device.Target{}, ""},
		{"ssh://root:s3cret@h:x", device.Target{}, ""},
		{"root:s3cret@h", device.Target{}, ""},
	} {
		got, err := Parse(row.text)
		if row.form == "" {
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q: %+v %v", row.text, got, err)
			}
			continue
		}
		if err != nil || got != row.want || got.String() != row.form {
			t.Errorf("%q: %+v (%s) %v", row.text, got, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s again: %+v %v", got, again, err)
		}
	}
}
