package cli

import (
	"path"
	"time"

	"quantcheck/internal/device/dial"
	"quantcheck/internal/device/reconnect"
)

// deviceFlags are those of all commands that work on a device. No secret is among them.
type deviceFlags struct {
	Device string `placeholder:"TARGET" help:"The device: ${devices} (the HOSTNAME of .env)."`
	connectFlags
}

// connectFlags say how the device is reached and where we work on it.
type connectFlags struct {
	DeviceDir        string        `default:"/data/tests" placeholder:"DIR" help:"The folder of the device in which we work (/data/tests)."`
	EnvFile          string        `placeholder:"FILE" help:"A file with HOSTNAME, DEVICE_USER and PASSWORD (.env, if it is there)."`
	AcceptNewHostKey bool          `help:"Take the key of a device that is not known yet without asking. A changed key is refused always."`
	KnownHosts       string        `placeholder:"FILE" help:"The file of known host keys (~/.ssh/known_hosts)."`
	RebootWait       time.Duration `default:"3m" placeholder:"3m" help:"How long a device may be away, restarting perhaps, before the run gives up (3m)."`
	Identity         []string      `sep:"none" placeholder:"FILE" help:"A private key to log in with, before those of ~/.ssh/config."`
}

// open connects to the device. It asks on the terminal, if stdin is one.
func (f *connectFlags) open(con *console, target string) (*reconnect.Device, error) {
	if !path.IsAbs(f.DeviceDir) || path.Clean(f.DeviceDir) != f.DeviceDir || f.DeviceDir == "/" {
		return nil, usagef("--device-dir %q is not the plain, absolute path of a folder", f.DeviceDir)
	}
	if f.RebootWait <= 0 {
		return nil, usagef("--reboot-wait %s", f.RebootWait)
	}
	return dial.Open(con.ctx, dial.Options{
		Target: target, EnvFile: f.EnvFile, AcceptNewHostKey: f.AcceptNewHostKey, Identities: f.Identity, KnownHosts: f.KnownHosts,
		Asker: dial.Terminal(con.stdin, con.stderr), Warn: func(text string) { con.say("%s", text) }, Retry: reconnect.Options{Wait: f.RebootWait},
	})
}

// open connects to the device.
func (f *deviceFlags) open(con *console) (*reconnect.Device, error) {
	return f.connectFlags.open(con, f.Device)
}
