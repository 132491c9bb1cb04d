package device

import (
	"net/url"
	"strconv"
	"strings"
)

// Kind is how a device is reached.
type Kind string

// The kinds. The package dial has the list of what is known of each.
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
	// Serial is what stands behind KIND: of all kinds but SSH and Local. With ADB it is "" for the only device that ADB knows of.
	Serial string
}

// String gives the target in a form that dial.Parse reads.
func (t Target) String() string {
	switch t.Kind {
	case Local:
		return "local"
	case SSH:
	default:
		return string(t.Kind) + ":" + t.Serial
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
