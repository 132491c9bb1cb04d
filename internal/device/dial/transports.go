package dial

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/device"
	"quantcheck/internal/device/adb"
	"quantcheck/internal/device/local"
	"quantcheck/internal/device/reconnect"
	"quantcheck/internal/device/ssh"
)

// transport is a way to reach devices of one kind.
type transport struct {
	kind device.Kind
	form string // what people write
	// parse reads what stands behind KIND:, and for SSH all of the text.
	parse func(text string) (device.Target, error)
	// open gives the way to the device, which can be gone several times.
	open func(o Options, t device.Target, env envFile) reconnect.Dial
}

// transports lists all of them: a new one is an entry here. What is not KIND or KIND:… of one of the others is read as SSH reads it.
func transports() []transport {
	return []transport{
		{device.SSH, "ssh://user@host[:port], a host of ~/.ssh/config", ssh.Parse, overSSH},
		{device.ADB, "adb:[serial]", adb.Parse, overADB},
		{device.Local, "local", local.Parse, here},
	}
}

// of finds a kind's transport; there is one for whatever Parse gives.
func of(k device.Kind) transport {
	list := transports()
	return list[slices.IndexFunc(list, func(t transport) bool { return t.kind == k })]
}

// Forms says what people write for a device.
func Forms() string {
	var forms []string
	for _, t := range transports() {
		forms = append(forms, t.form)
	}
	last := len(forms) - 1
	return strings.Join(forms[:last], ", ") + " or " + forms[last]
}

// Parse reads a target: ssh://[user@]host[:port], [user@]alias as in ~/.ssh/config, adb:[serial], local, or KIND:… of another transport. What
// it refuses may hold a password, which its error does not repeat.
func Parse(text string) (device.Target, error) {
	parse, rest := ssh.Parse, text
	if kind, behind, _ := strings.Cut(text, ":"); !strings.HasPrefix(behind, "//") {
		for _, t := range transports() {
			if string(t.kind) == kind && t.kind != device.SSH {
				parse, rest = t.parse, behind
			}
		}
	}
	t, err := parse(rest)
	if err != nil {
		return device.Target{}, fmt.Errorf("device: %w; say %s", err, Forms())
	}
	return t, nil
}

func here(Options, device.Target, envFile) reconnect.Dial {
	return func(context.Context) (device.Device, error) { return local.Open(), nil }
}

func overADB(o Options, t device.Target, _ envFile) reconnect.Dial {
	return func(ctx context.Context) (device.Device, error) {
		d, err := adb.Open(ctx, t, adb.Options{Program: o.ADB})
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}

func overSSH(o Options, t device.Target, env envFile) reconnect.Dial {
	memory := &memory{asker: o.Asker}
	warn := o.once()
	if env.open != nil {
		warn(fmt.Sprintf("the PASSWORD is not used: %v", env.open))
	}
	return func(ctx context.Context) (device.Device, error) {
		so := ssh.Options{
			ConfigFile: o.ConfigFile, KnownHosts: o.KnownHosts, Agent: o.Agent, Timeout: o.Timeout,
			AcceptNew: o.AcceptNewHostKey, Identities: o.Identities, Password: env.passwordFor(t), Warn: warn,
		}
		if o.Asker != nil {
			memory.begin()
			so.Ask = func(q ssh.Question) (string, error) { return memory.secret(ctx, q) }
			so.Accept = func(k ssh.HostKey) bool { return memory.accept(ctx, k) }
		}
		d, err := ssh.Open(ctx, t, so)
		if err != nil {
			return nil, o.advise(err, t, env)
		}
		return d, nil
	}
}
