package dial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"quantcheck/internal/device"
	"quantcheck/internal/device/ssh"
)

// envName is the file's usual name, as the seed has it.
const envName = ".env"

// envLimit is how many bytes such a file has at most.
const envLimit = 64 << 10

// envFile is what the file says, and where it is.
type envFile struct {
	ssh.Env
	path string
	open error // why the password is not used: others can read the file
}

// readEnv reads the file; one that nobody named need not be there.
func readEnv(name string) (envFile, error) {
	e := envFile{path: name}
	if name == "" {
		e.path = envName
	}
	info, err := os.Stat(e.path)
	if err == nil && info.Size() > envLimit {
		err = fmt.Errorf("%d bytes are no file of settings", info.Size())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(e.path)
	}
	if name == "" && (errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir()) {
		return e, nil
	}
	if err == nil {
		err = ssh.Foreign(e.path) // Who can write it says which host gets the password.
	}
	if err == nil {
		e.Env, err = ssh.ParseEnv(text)
	}
	if err == nil && e.Password != "" {
		if e.open = ssh.TooOpen(e.path); e.open != nil {
			e.Password = ""
		}
	}
	if err != nil {
		return e, fmt.Errorf("read the device's settings from %s: %w", e.path, err)
	}
	return e, nil
}

// target says which device is meant.
func (o Options) target() (device.Target, envFile, error) {
	env, err := readEnv(o.EnvFile)
	if err != nil {
		// A device that needs no settings need not care for a file that happens to lie here.
		if t, e := Parse(o.Target); o.EnvFile == "" && e == nil && t.Kind != device.SSH {
			return t, env, nil
		}
		return device.Target{}, env, err
	}
	text := o.Target
	if text == "" {
		if env.Host == "" {
			return device.Target{}, env, fmt.Errorf("no device is named: say --device with %s, or write HOSTNAME into %s", Forms(), env.path)
		}
		text = env.Host
	}
	t, err := Parse(text)
	if err != nil {
		if o.Target == "" {
			err = fmt.Errorf("HOSTNAME in %s: %w", env.path, err)
		}
		return t, env, err
	}
	if t.Kind == device.SSH && t.User == "" && env.isFor(t) {
		t.User = env.User
	}
	return t, env, nil
}

// Target is the device that the options mean, without a connection. The error is ErrUsage.
func Target(o Options) (device.Target, error) {
	t, _, err := o.target()
	if err != nil {
		return t, mark(ErrUsage, err)
	}
	return t, nil
}

// isFor reports whether the file's user and password are for the target: it names that host, or none.
func (e envFile) isFor(t device.Target) bool {
	if e.Host == "" {
		return true
	}
	named, err := Parse(e.Host)
	return err == nil && named.Host == t.Host && (named.Port == 0 || named.Port == t.Port) && named.Kind == t.Kind
}

// passwordFor gives the password to send to the target: that of another host, or of another user, is not sent.
func (e envFile) passwordFor(t device.Target) string {
	if !e.isFor(t) || e.User != "" && t.User != e.User {
		return ""
	}
	return e.Password
}
