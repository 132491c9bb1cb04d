// Package snpedevice runs SNPE's tools on a device: it knows their command lines, what they write where, and how they fail. Of models
// it knows nothing.
//
//  1. Enter takes the device's lock, removes what earlier runs of ours left, and begins a list of what is made.
//  2. Send brings files there that are not there yet.
//  3. Layers and Native run a DLC on many inputs with one start and hand every result over while the tool still runs;
//     Throughput, Diagnose and Listing give what the other tools print.
//  4. Leave removes what was made and gives the lock back.
package snpedevice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/snpe"
)

// Options says how a board is used.
type Options struct {
	Base string // absolute folder on the device, /data/tests
	On   snpe.On
	// Idle is how long a tool may go without a result or an end; 0: five minutes.
	Idle time.Duration
	// Wait is asked, about once a second, whether to wait on while somebody else holds the device; nil does not wait.
	Wait func(*device.LockedError) bool
	// Again runs f, and runs it again where that can help: after a lost connection, which it opens anew, and after damage on the
	// way. nil runs it once.
	Again func(ctx context.Context, what string, f func(context.Context) error) error
}

// Board is a device that is held. Its methods are called from one goroutine at a time, but for those of Results.
type Board struct {
	d       device.Device
	o       Options
	lock    *device.Locked
	made    *device.Registry
	Swept   device.Swept  // what earlier runs had left
	ToolFor time.Duration // that SNPE's tools ran, all together
}

// LockName is the lock's file below a board's base.
const LockName = ".quantcheck-lock"

const idle = 5 * time.Minute

// Enter makes the device the caller's. The error is *device.LockedError if somebody else has it.
func Enter(ctx context.Context, d device.Device, o Options) (*Board, error) {
	if o.Idle == 0 {
		o.Idle = idle
	}
	if o.Again == nil {
		o.Again = func(ctx context.Context, _ string, f func(context.Context) error) error { return f(ctx) }
	}
	b := &Board{d: d, o: o}
	var err error
	if b.made, err = device.NewRegistry(o.Base); err != nil {
		return nil, err
	}
	err = o.Again(ctx, "take the device's lock", func(ctx context.Context) error {
		b.lock, err = device.Lock(ctx, d, path.Join(o.Base, LockName), o.Wait)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = o.Again(ctx, "clean up after earlier runs", func(ctx context.Context) error {
		b.Swept, err = device.Sweep(ctx, d, o.Base)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.lock.Unlock(ctx, d))
	}
	return b, nil
}

// Leave removes what was made there, and gives the lock back, within seconds even if ctx has ended.
func (b *Board) Leave(ctx context.Context) error {
	return b.o.Again(ctx, "clean up", func(ctx context.Context) error {
		err := b.made.Clean(ctx, b.d)
		if ctx.Err() == nil { // A connection that was lost meanwhile leaves parts of files.
			_, e := device.Sweep(ctx, b.d, b.o.Base)
			err = errors.Join(err, e)
		}
		return errors.Join(err, b.lock.Unlock(ctx, b.d))
	})
}

// Path is a file's path below the base.
func (b *Board) Path(elem ...string) string { return path.Join(append([]string{b.o.Base}, elem...)...) }

// Send brings files to the device, those that are not there yet. Unless they are to stay, what it makes is removed by Leave; files
// that were there before stay in any case.
func (b *Board) Send(ctx context.Context, stay bool, folder string, files []device.File, sent func(done int)) (device.Synced, error) {
	var all device.Synced
	err := b.o.Again(ctx, "send files", func(ctx context.Context) error {
		all = device.Synced{}
		if !stay {
			paths := []string{folder}
			for _, f := range files {
				if path.Dir(f.Path) != folder {
					paths = append(paths, f.Path)
				}
			}
			if err := b.make(ctx, paths...); err != nil {
				return err
			}
		}
		for i := 0; i < len(files); i += sendAtOnce {
			one, err := device.Sync(ctx, b.d, files[i:min(i+sendAtOnce, len(files))])
			all.Sent, all.Same, all.Bytes = append(all.Sent, one.Sent...), append(all.Same, one.Same...), all.Bytes+one.Bytes
			if err != nil {
				return err
			}
			sent(min(i+sendAtOnce, len(files)))
		}
		return nil
	})
	return all, err
}

const sendAtOnce = 8

// make notes what is about to be made. A folder that was there before stays; what is made in it by name is noted itself.
func (b *Board) make(ctx context.Context, paths ...string) error {
	_, err := b.made.Add(ctx, b.d, paths...)
	return err
}

// run runs a tool to its end, at most so long, and gives what it printed, stderr behind stdout.
func (b *Board) run(ctx context.Context, limit time.Duration, args []string) ([]byte, error) {
	var out, err bytes.Buffer
	began := time.Now()
	failed := b.d.Run(ctx, device.Command{
		Args: args, Dir: b.o.Base, Stdout: &out, Stderr: &err, Limits: device.Limits{Output: toolOutput, Time: limit},
	})
	b.ToolFor += time.Since(began)
	return append(out.Bytes(), err.Bytes()...), failed
}

// toolOutput is how many bytes a tool may print: a listing of a large network has one or two million. csvLimit is how large the CSV
// of a profile may be.
const (
	toolOutput = 64 << 20
	csvLimit   = 256 << 20
)

// Throughput runs a DLC for so many seconds and gives the rate, and all that the tool printed.
func (b *Board) Throughput(ctx context.Context, dlc string, seconds int) (text []byte, perSecond float64, err error) {
	limit := time.Duration(seconds)*time.Second + b.o.Idle
	err = b.o.Again(ctx, "measure the throughput", func(ctx context.Context) error {
		text, err = b.run(ctx, limit, snpe.ThroughputCommand(dlc, seconds, b.o.On))
		return explain(err)
	})
	if err != nil {
		return text, 0, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return text, 0, fmt.Errorf("%s printed nothing; run it on the device by hand: %s", snpe.ThroughputTool, device.Quote(snpe.ThroughputCommand(dlc, seconds, b.o.On)...))
	}
	perSecond, err = snpe.ThroughputOn(text, b.o.On.Runtime)
	return text, perSecond, err
}

// Listing is what snpe-dlc-info prints of a DLC there. Where it is not installed the error is device.ErrToolMissing.
func (b *Board) Listing(ctx context.Context, dlc string) ([]byte, error) {
	text, err := b.run(ctx, b.o.Idle, snpe.DLCInfoCommand(dlc))
	if err == nil && !snpe.IsListing(text) {
		err = fmt.Errorf("%s printed no listing", snpe.DLCInfoTool)
	}
	return text, explain(err)
}

// Diagnose makes the CSV of a run's profile on the device. Where snpe-diagview is not installed there the error is
// device.ErrToolMissing.
func (b *Board) Diagnose(ctx context.Context, log, csv string) ([]byte, error) {
	if err := b.make(ctx, csv); err != nil {
		return nil, err
	}
	text, err := b.run(ctx, b.o.Idle, snpe.DiagViewCommand(log, csv))
	if err != nil {
		return nil, explain(err)
	}
	var data bytes.Buffer
	if err := device.Pull(ctx, b.d, csv, csvLimit, &data); err != nil {
		return nil, fmt.Errorf("%s ended well but left no CSV%s: %w", snpe.DiagViewTool, lastLines(text), err)
	}
	return data.Bytes(), nil
}

// Free is how many bytes are free on the disk of the base.
func (b *Board) Free(ctx context.Context) (int64, error) {
	var out bytes.Buffer
	c := device.Shell(`mkdir -p "$1" && df -Pk "$1" | tail -n 1`, b.o.Base)
	c.Stdout = &out
	if err := b.d.Run(ctx, c); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	fields := strings.Fields(out.String())
	for i := range fields { // Filesystem blocks used available capacity% mount
		var kib int64
		if i >= 1 && i+1 < len(fields) && strings.HasSuffix(fields[i+1], "%") {
			if _, err := fmt.Sscan(fields[i], &kib); err == nil && kib >= 0 && kib < 1<<50 {
				return kib << 10, nil
			}
		}
	}
	return 0, fmt.Errorf("ask for free space: df said %q", strings.TrimSpace(out.String()))
}

// explain puts the error that SNPE's libraries printed in front of a failure's own text.
func explain(err error) error {
	var exit *device.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	said := snpe.ToolError([]byte(exit.Tail))
	switch {
	case errors.Is(err, device.ErrToolMissing):
		return fmt.Errorf("%s is not on the device's PATH: %w", exit.Program, err)
	case said != "":
		return fmt.Errorf("%s: %w", said, err)
	}
	return err
}

// lastLines quotes the end of what a tool printed.
func lastLines(text []byte) string {
	if tail := tailOf(text); tail != "" {
		return "; it said last:\n" + tail
	}
	return "; it printed nothing"
}

func tailOf(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(len(lines)-10, 0):], "\n")
}
