package ssh

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
)

// Env is what a file .env says of a device: HOSTNAME, DEVICE_USER and PASSWORD, each "" if it is not there.
type Env struct{ Host, User, Password string }

// ParseEnv reads lines NAME=value, with or without export in front and quotes around the value; # begins a comment line.
// Other names are left alone. An error names the line, never what is in it.
func ParseEnv(text []byte) (Env, error) {
	var e Env
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			return Env{}, fmt.Errorf("line %d is not NAME=value", n)
		}
		value = strings.TrimSpace(value)
		if len(value) > 0 && (value[0] == '"' || value[0] == '\'') {
			if len(value) < 2 || value[len(value)-1] != value[0] {
				return Env{}, fmt.Errorf("line %d: a quote is not closed", n)
			}
			value = value[1 : len(value)-1]
		}
		switch strings.TrimSpace(name) {
		case "HOSTNAME":
			e.Host = value
		case "DEVICE_USER":
			e.User = value
		case "PASSWORD":
			e.Password = value
		}
	}
	if err := lines.Err(); err != nil {
		return Env{}, err
	}
	return e, nil
}
