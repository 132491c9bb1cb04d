package device

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Quote gives the words of a POSIX shell that stand for args, separated by blanks: each arrives as it is, whatever bytes it
// holds but zero.
func Quote(args ...string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(a, `'`, `'\''`))
		b.WriteByte('\'')
	}
	return b.String()
}

// script gives the command as a line of a POSIX shell, without the streams.
func (c Command) script() (string, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return "", errors.New("a command without a program")
	}
	for _, list := range [][]string{c.Args, c.Env, {c.Dir}} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return "", fmt.Errorf("a zero byte in %q cannot be passed on", s)
			}
		}
	}
	var b strings.Builder
	if c.Dir != "" {
		if !path.IsAbs(c.Dir) {
			return "", fmt.Errorf("the folder %q is not absolute", c.Dir)
		}
		b.WriteString("cd " + Quote(c.Dir) + " && ")
	}
	for _, e := range c.Env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || !isName(name) {
			return "", fmt.Errorf("%q is not NAME=value", e)
		}
		b.WriteString(name + "=" + Quote(value) + " && export " + name + " && ")
	}
	b.WriteString(Quote(c.Args...))
	return b.String(), nil
}

// isName reports whether a shell takes s for a variable's name.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
