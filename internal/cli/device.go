package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/dial"
	"quantcheck/internal/device/probe"
	"quantcheck/internal/device/reconnect"
	"quantcheck/internal/report"
	"quantcheck/internal/snpedevice"
)

type deviceCmd struct {
	Show   deviceShowCmd   `cmd:"" default:"withargs" help:"Show what the device is, what is installed there and what is missing."`
	Watch  deviceWatchCmd  `cmd:"" help:"Watch processor, memory, temperatures, power and DSP."`
	Unlock deviceUnlockCmd `cmd:"" help:"Break a lock that nobody needs any more."`
	Clean  deviceCleanCmd  `cmd:"" help:"Remove what earlier runs of yours left there."`
}

// lockFile is the lock of who works in a folder of a device.
func lockFile(dir string) string { return path.Join(dir, snpedevice.LockName) }

// deviceTarget is the device as an argument.
type deviceTarget struct {
	Target string `arg:"" optional:"" help:"${devices} (the HOSTNAME of .env)."`
	connectFlags
}

// open connects, and gives what ends the connection.
func (t *deviceTarget) open(con *console) (*reconnect.Device, func(), error) {
	d, err := t.connectFlags.open(con, t.Target)
	if err != nil {
		return nil, nil, err
	}
	return d, func() { _ = d.Close() }, nil // Everything has been asked; the connection may end as it likes.
}

type deviceShowCmd struct {
	deviceTarget
	JSON bool `name:"json" help:"Print it as JSON."`
}

// Help documents the command.
func (deviceShowCmd) Help() string {
	return "Tells chip, system, memory, free space, SNPE's version, tools and processors, who works there, and what earlier runs left; then what is missing, each with what to do. Nothing is changed there."
}

func (c *deviceShowCmd) Run(con *console) error {
	d, done, err := c.open(con)
	if err != nil {
		return err
	}
	defer done()
	f, err := probe.Describe(con.ctx, d, c.DeviceDir, lockFile(c.DeviceDir))
	if err != nil {
		return err
	}
	advice := f.Advise()
	if c.JSON {
		return report.JSON(con.stdout.Data(), struct {
			probe.Facts
			Advice []probe.Advice `json:"advice"`
		}{f, append([]probe.Advice{}, advice...)})
	}
	for _, row := range deviceRows(&f) {
		fmt.Fprintf(con.stdout, "%-10s  %s\n", row[0], report.Printable(row[1]))
	}
	for _, p := range f.Problems {
		fmt.Fprintf(con.stdout, "%-10s  %s\n", "not known", report.Printable(p))
	}
	if len(advice) > 0 {
		fmt.Fprintln(con.stdout)
	}
	for _, a := range advice {
		mark := "to do"
		if a.Stops {
			mark = "needed"
		}
		fmt.Fprintf(con.stdout, "%-10s  %s: %s\n", mark, report.Printable(a.What), report.Printable(a.Do))
	}
	return nil
}

// deviceRows are the lines that people read: a heading and a text each.
func deviceRows(f *probe.Facts) [][2]string {
	known := func(parts ...string) string {
		var list []string
		for _, p := range parts {
			if p != "" {
				list = append(list, p)
			}
		}
		if list == nil {
			return "not known"
		}
		return strings.Join(list, ", ")
	}
	id := f.SoC.ID
	if id != "" {
		id = "id " + id
	}
	cores := ""
	if f.Cores != nil {
		cores = fmt.Sprintf("%d cores", *f.Cores)
	}
	memory := ""
	if f.MemTotal != nil {
		memory = gib(*f.MemTotal) + " of memory"
	}
	folder := f.Dir + ": " + known(string(f.DirState))
	if f.DiskFree != nil && f.DiskTotal != nil {
		folder += fmt.Sprintf("; %s of %s free", gib(*f.DiskFree), gib(*f.DiskTotal))
	}
	rows := [][2]string{
		{"device", f.Target}, {"board", known(f.Model)}, {"chip", known(f.SoC.Machine, f.SoC.Family, id)},
		{"system", known(f.OS, f.Kernel, f.Arch)}, {"processor", known(cores, memory)}, {"folder", folder}, {"SNPE", known(f.SNPE)},
	}
	for _, r := range f.Runtimes {
		verdict := "not known"
		if r.Supported != nil && *r.Supported {
			verdict = "supported"
		} else if r.Supported != nil {
			verdict = "not supported"
		}
		rows = append(rows, [2]string{"runtime", r.Name + ": " + known(append([]string{verdict, r.Core, r.Library}, r.Errors...)...)})
	}
	for _, t := range f.Tools {
		if t.Path != "" {
			rows = append(rows, [2]string{"tool", fmt.Sprintf("%-23s  %s", t.Name, t.Path)})
		}
	}
	lock := "free"
	if f.Lock != nil {
		lock = holder(f.Lock.Owner, time.Duration(f.Lock.Age*float64(time.Second)))
	}
	left := "nothing"
	if l := f.Left; !l.None() {
		left = fmt.Sprintf("%d runs with %d files or folders, %d parts of files, %d commands", l.Runs, l.Paths, l.Parts, l.Processes)
	}
	return append(rows, [2]string{"lock", lock}, [2]string{"left there", left})
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func holder(o device.Owner, age time.Duration) string {
	who := "somebody unknown"
	if o != (device.Owner{}) {
		who = o.String()
	}
	return fmt.Sprintf("held by %s since %s ago", who, age)
}

type deviceUnlockCmd struct {
	deviceTarget
	Yes bool `help:"Break it without asking."`
}

// Help documents the command.
func (deviceUnlockCmd) Help() string {
	return "Shows who holds the device's lock and for how long, asks, and removes it. Locks of your own runs that have ended need no breaking: the next run takes them over. A run whose lock is broken is not ended."
}

func (c *deviceUnlockCmd) Run(con *console) error {
	d, done, err := c.open(con)
	if err != nil {
		return err
	}
	defer done()
	held, err := device.Holder(con.ctx, d, lockFile(c.DeviceDir))
	if err != nil {
		return err
	}
	if held == nil {
		fmt.Fprintln(con.stdout, "Nobody holds the lock.")
		return nil
	}
	fmt.Fprintf(con.stdout, "The lock is %s.\n", report.Printable(holder(held.Owner, held.Age)))
	if !c.Yes {
		asker := dial.Terminal(con.stdin, con.stderr)
		if asker == nil {
			return usagef("there is no terminal to ask on; say --yes to break the lock")
		}
		yes, err := asker.Confirm(con.ctx, "Break it? If that run still works there, both will disturb each other.")
		if err != nil {
			return err
		}
		if !yes {
			fmt.Fprintln(con.stdout, "It was left.")
			return nil
		}
	}
	if err := device.Break(con.ctx, d, held); err != nil {
		return err
	}
	now, err := device.Holder(con.ctx, d, held.Path)
	if err != nil {
		return err
	}
	if now != nil {
		return fmt.Errorf("the lock was taken by somebody else meanwhile: %w", now)
	}
	fmt.Fprintln(con.stdout, "It is broken.")
	return nil
}

type deviceCleanCmd struct {
	deviceTarget
}

// Help documents the command.
func (deviceCleanCmd) Help() string {
	return "Takes the device's lock, ends commands of your earlier runs that still work there, and removes the files and folders that those runs have noted as theirs, and parts of files that did not arrive whole. Runs of others are left alone. The next benchmark does the same."
}

func (c *deviceCleanCmd) Run(con *console) (err error) {
	d, done, err := c.open(con)
	if err != nil {
		return err
	}
	defer done()
	// The lock would make the folder.
	left, err := device.Leftovers(con.ctx, d, c.DeviceDir)
	if err != nil {
		return err
	}
	holder, err := device.Holder(con.ctx, d, lockFile(c.DeviceDir))
	if err != nil {
		return err
	}
	lockLeft := holder != nil && holder.Owner.Dead()
	if left.Runs == nil && left.Parts == 0 && left.Processes == 0 && !lockLeft {
		fmt.Fprintln(con.stdout, "Nothing of yours was left there.")
		return nil
	}
	lock, err := device.Lock(con.ctx, d, lockFile(c.DeviceDir), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock(con.ctx, d)) }()
	s, err := device.Sweep(con.ctx, d, c.DeviceDir)
	if err != nil {
		return err
	}
	for _, p := range s.Paths {
		fmt.Fprintf(con.stdout, "removed  %s\n", report.Printable(p))
	}
	if lockLeft { // Lock has taken it over.
		fmt.Fprintf(con.stdout, "removed  the lock of %s\n", report.Printable(holder.Owner.String()))
	}
	fmt.Fprintf(con.stdout, "Removed what %d runs had made, %d files and folders, and %d parts of files; ended %d commands.\n", len(s.Runs), len(s.Paths), s.Parts, s.Processes)
	return nil
}

// waiting says on stderr what a device is waited for.
func (con *console) waiting(n reconnect.Notice) {
	con.say("%s", n)
}

// withLimit ends a context after a time; 0 is never.
func withLimit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
