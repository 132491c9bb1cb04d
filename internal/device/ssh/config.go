package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"quantcheck/internal/device"
)

// host is whom to connect to.
type host struct {
	host, user string
	port       int
	identities []string
	jumps      string // what ProxyJump says
	proxy      string // what ProxyCommand says, where there is no ProxyJump
	alias      string // as the target has it
}

// resolve asks ~/.ssh/config what is meant by the target: HostName, User, Port, IdentityFile, ProxyJump and ProxyCommand. What the target
// itself says goes before.
func resolve(t device.Target, o Options) (host, error) {
	h := host{alias: t.Host, host: t.Host, user: t.User, port: t.Port, identities: o.Identities}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	path := o.ConfigFile
	if path == "" {
		path = filepath.Join(home, ".ssh", "config")
		if err := Foreign(path); err != nil { // It may name commands to run. A file that was named is left to who named it.
			return host{}, err
		}
	}
	if err := h.configure(path, home, t.Host); err != nil {
		return host{}, fmt.Errorf("read %s: %w", path, err)
	}
	if h.user == "" {
		me, err := user.Current()
		if err != nil {
			return host{}, fmt.Errorf("no user is named for %s: %w", t.Host, err)
		}
		h.user = me.Username
	}
	if h.port == 0 {
		h.port = 22
	}
	if h.identities == nil {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			h.identities = append(h.identities, filepath.Join(home, ".ssh", name))
		}
	}
	return h, nil
}

func (h *host) configure(path, home, alias string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	c, err := ssh_config.Decode(f)
	if err != nil {
		return err
	}
	get := func(key string) string {
		value, e := c.Get(alias, key)
		if err == nil && e != nil {
			err = e
		}
		return value
	}
	name, as, port := get("HostName"), get("User"), get("Port")
	if v := get("ProxyJump"); v != "none" {
		h.jumps = v
	}
	if v := get("ProxyCommand"); v != "none" && h.jumps == "" {
		h.proxy = v
	}
	files, e := c.GetAll(alias, "IdentityFile")
	if err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if name != "" {
		h.host = strings.ReplaceAll(name, "%h", alias)
	}
	if h.user == "" {
		h.user = as
	}
	if h.port == 0 && port != "" {
		if h.port, err = strconv.Atoi(port); err != nil || h.port < 1 || h.port > 65535 {
			return fmt.Errorf("%q is no port", port)
		}
	}
	var identities []string
	for _, file := range files {
		if rest, ok := strings.CutPrefix(file, "~/"); ok {
			file = filepath.Join(home, rest)
		}
		identities = append(identities, strings.NewReplacer("%d", home, "%h", h.host, "%r", h.user, "%%", "%").Replace(file))
	}
	if identities != nil {
		h.identities = append(slices.Clone(h.identities), identities...)
	}
	return nil
}
