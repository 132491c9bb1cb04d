package ssh

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"quantcheck/internal/device"
)

// Parse reads ssh://[user@]host[:port], or [user@]alias as in ~/.ssh/config. What it refuses may hold a password, which its error does not
// repeat.
func Parse(text string) (device.Target, error) {
	if strings.HasPrefix(text, "ssh://") {
		return parseURL(text)
	}
	if strings.Contains(text, "://") {
		return device.Target{}, errors.New("it begins with no scheme that is known")
	}
	t := device.Target{Kind: device.SSH, Host: text}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		t.User, t.Host = text[:i], text[i+1:]
	}
	if strings.ContainsAny(t.Host, ":/") {
		return device.Target{}, errors.New("a port or a path needs ssh:// in front")
	}
	return t, check(t)
}

func parseURL(text string) (device.Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return device.Target{}, errors.New("the address cannot be read") // It may hold a password: url's error would quote it.
	}
	t := device.Target{Kind: device.SSH, Host: u.Hostname(), User: u.User.Username()}
	if _, has := u.User.Password(); has {
		return device.Target{}, errors.New("a password does not belong into the address: everyone on this machine can read it there")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return device.Target{}, errors.New("there is more behind the host than a port")
	}
	if p := u.Port(); p != "" {
		if t.Port, err = strconv.Atoi(p); err != nil || t.Port < 1 || t.Port > 65535 {
			return device.Target{}, fmt.Errorf("%q is no port", p)
		}
	}
	return t, check(t)
}

// check says what is wrong with the names of a target.
func check(t device.Target) error {
	// What stands before the @ may hold a password: it is not repeated.
	if strings.Contains(t.User, ":") {
		return errors.New("a user's name has no colon")
	}
	for _, s := range []string{t.Host, t.User} {
		if strings.HasPrefix(s, "-") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return errors.New("a name begins with - or has blanks in it")
		}
	}
	if t.Host == "" {
		return errors.New("there is no host")
	}
	if strings.ContainsFunc(t.Host, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._:%", r)
	}) {
		return fmt.Errorf("%q is no host", t.Host)
	}
	if _, err := netip.ParseAddr(t.Host); err != nil && strings.ContainsAny(t.Host, ":%") {
		return fmt.Errorf("%q is no host", t.Host)
	}
	return nil
}
