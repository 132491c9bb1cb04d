package device

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// Kind is how a device is reached.
type Kind string

// The kinds.
const (
	SSH   Kind = "ssh"
	ADB   Kind = "adb"
	Local Kind = "local"
)

// Target is where a device is, as people say it. It never holds a password.
type Target struct {
	Kind Kind
	// Host is a name, an address or an alias of ~/.ssh/config (SSH).
	Host string
	// User is "" and Port 0 where nothing was said (SSH).
	User string
	Port int
	// Serial is "" for the only device that ADB knows of.
	Serial string
}

// Parse reads a target: ssh://[user@]host[:port], [user@]alias as in ~/.ssh/config, adb:[serial], or local.
func Parse(text string) (Target, error) {
	bad := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("device: %s; say ssh://user@host[:port], a host of ~/.ssh/config, adb:[serial] or local", why)
	}
	switch {
	case text == "local":
		return Target{Kind: Local}, nil
	case text == "adb":
		return Target{Kind: ADB}, nil
	case strings.HasPrefix(text, "adb:"):
		serial := text[len("adb:"):]
		if strings.HasPrefix(serial, "-") || strings.ContainsAny(serial, " \t\n\x00/") {
			return bad(fmt.Sprintf("%q is no serial number", serial))
		}
		return Target{Kind: ADB, Serial: serial}, nil
	case strings.HasPrefix(text, "ssh://"):
		u, err := url.Parse(text)
		if err != nil {
			return bad("the address cannot be read") // It may hold a password: url's error would quote it.
		}
		t := Target{Kind: SSH, Host: u.Hostname(), User: u.User.Username()}
		if _, has := u.User.Password(); has {
			return bad("a password does not belong into the address: everyone on this machine can read it there")
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return bad("there is more behind the host than a port")
		}
		if p := u.Port(); p != "" {
			if t.Port, err = strconv.Atoi(p); err != nil || t.Port < 1 || t.Port > 65535 {
				return bad(fmt.Sprintf("%q is no port", p))
			}
		}
		return t.checked(bad)
	case strings.Contains(text, "://"):
		return bad("neither ssh:// nor adb:")
	}
	t := Target{Kind: SSH, Host: text}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		t.User, t.Host = text[:i], text[i+1:]
	}
	if strings.ContainsAny(t.Host, ":/") {
		return bad("a port or a path needs ssh:// in front")
	}
	return t.checked(bad)
}

func (t Target) checked(bad func(string) (Target, error)) (Target, error) {
	// What stands before the @ may hold a password: it is not repeated.
	if strings.Contains(t.User, ":") {
		return bad("a user's name has no colon")
	}
	for _, s := range []string{t.Host, t.User} {
		if strings.HasPrefix(s, "-") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return bad("a name begins with - or has blanks in it")
		}
	}
	if t.Host == "" {
		return bad("there is no host")
	}
	if strings.ContainsFunc(t.Host, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._:%", r)
	}) {
		return bad(fmt.Sprintf("%q is no host", t.Host))
	}
	if _, err := netip.ParseAddr(t.Host); err != nil && strings.ContainsAny(t.Host, ":%") {
		return bad(fmt.Sprintf("%q is no host", t.Host))
	}
	return t, nil
}

// String gives the target in a form that Parse reads.
func (t Target) String() string {
	switch t.Kind {
	case Local:
		return "local"
	case ADB:
		return "adb:" + t.Serial
	}
	u := url.URL{Scheme: "ssh", Host: t.Host}
	if strings.Contains(t.Host, ":") {
		u.Host = "[" + t.Host + "]"
	}
	if t.Port != 0 {
		u.Host += ":" + strconv.Itoa(t.Port)
	}
	if t.User != "" {
		u.User = url.User(t.User)
	}
	return u.String()
}
