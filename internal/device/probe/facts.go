// Package probe describes a device: what it is, what is installed, what is missing.
//
//  1. One script prints what the kernel and the system say, and where the tools are (script.go, parse.go).
//  2. SNPE's own tools say their version and which processors they can use.
//  3. The lock and the leftovers of earlier runs are looked at, not touched.
package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/snpe"
)

// Facts are what is known of a device. A text that is "" and a pointer that is nil are not known.
type Facts struct {
	// Target is the device's name, Dir the folder we work in.
	Target string `json:"target"`
	Dir    string `json:"dir"`

	// SoC is what the kernel says of the chip; Model is the board's name, Compatible the device tree's names for both.
	SoC        SoC      `json:"soc"`
	Model      string   `json:"model,omitempty"`
	Compatible []string `json:"compatible,omitempty"`
	OS         string   `json:"os,omitempty"`
	Kernel     string   `json:"kernel,omitempty"`
	Arch       string   `json:"arch,omitempty"`
	Cores      *int     `json:"cores,omitempty"`
	// MemTotal, DiskFree and DiskTotal are bytes; the disk is the one that Dir is on, or would be.
	MemTotal  *int64 `json:"mem_total_bytes,omitempty"`
	DiskFree  *int64 `json:"disk_free_bytes,omitempty"`
	DiskTotal *int64 `json:"disk_total_bytes,omitempty"`
	// DirState says whether Dir can be written to.
	DirState DirState `json:"dir_state,omitempty"`

	// Tools are all that were looked for, in a fixed order.
	Tools []Tool `json:"tools"`
	// SNPE is the version, Runtimes what its validator says.
	SNPE     string         `json:"snpe,omitempty"`
	Runtimes []snpe.Runtime `json:"runtimes,omitempty"`

	// Lock is who works on the device; nil is nobody. Left is what earlier runs of ours left.
	Lock *Lock `json:"lock,omitempty"`
	Left Left  `json:"left"`

	// Problems are questions that could not be answered, with the reason.
	Problems []string `json:"problems,omitempty"`
}

// SoC is a chip: /sys/devices/soc0 on Qualcomm's.
type SoC struct {
	Machine string `json:"machine,omitempty"`
	Family  string `json:"family,omitempty"`
	ID      string `json:"id,omitempty"`
}

// DirState is the state of a folder.
type DirState string

// The states.
const (
	Writable DirState = "writable"
	ReadOnly DirState = "not writable"
	// Missing is a folder that can be made, Unmakeable one that cannot.
	Missing    DirState = "missing"
	Unmakeable DirState = "missing, and cannot be made"
)

// Tool is a program.
type Tool struct {
	Name string `json:"name"`
	// For says what it is needed for.
	For string `json:"for"`
	// Path is where it is; "" if it is missing.
	Path string `json:"path,omitempty"`
	// Needed says that a benchmark cannot do without it.
	Needed bool `json:"needed"`
}

// Lock is a lock that is held.
type Lock struct {
	// Owner is the zero Owner if the lock's file does not say who.
	Owner device.Owner `json:"owner"`
	// Age is in seconds.
	Age  float64 `json:"age_s"`
	Path string  `json:"path"`
	// Gone says that the owner was a run of this user on this machine which has ended, so that the next run takes over.
	Gone bool `json:"gone"`
}

// Left counts what earlier runs of this user from this machine left.
type Left struct {
	Runs      int `json:"runs"`
	Paths     int `json:"paths"`
	Parts     int `json:"parts"`
	Processes int `json:"processes"`
}

// None reports whether nothing is left.
func (l Left) None() bool { return l == Left{} }

// How long a tool of SNPE may take to say something: the validators start the processors.
const toolLimit = 30 * time.Second

// All questions together may take describeLimit, and each answer has at most answerLimit bytes.
const (
	describeLimit = 4 * time.Minute
	answerLimit   = 1 << 20
)

// Describe asks the device; dir is the folder we work in, lock its lock's path. Nothing is changed there. What could not be asked is
// among the Problems; the error is that of a lost connection or the context.
func Describe(ctx context.Context, d device.Device, dir, lock string) (Facts, error) {
	return describe(ctx, d, "", dir, lock)
}

// describe is Describe for a device whose /proc, /sys and /etc lie in a folder.
func describe(ctx context.Context, d device.Device, root, dir, lock string) (Facts, error) {
	f := Facts{Target: d.Name(), Dir: dir}
	ctx, cancel := context.WithTimeoutCause(ctx, describeLimit, fmt.Errorf("%w: it was asked for %s", device.ErrTimeout, describeLimit))
	defer cancel()
	var out bytes.Buffer
	c := device.Shell(script, append([]string{root, dir}, names()...)...)
	c.Stdout, c.Limits.Output = &out, answerLimit
	if err := d.Run(ctx, c); err != nil {
		return f, fmt.Errorf("describe %s: %w", d.Name(), err)
	}
	f.read(out.Bytes())
	for _, ask := range []func(context.Context, device.Device) error{f.version, f.runtimes,
		func(ctx context.Context, d device.Device) error { return f.lock(ctx, d, lock) }, f.left} {
		err := ask(ctx, d)
		switch {
		case ctx.Err() != nil:
			return f, context.Cause(ctx)
		case errors.Is(err, device.ErrLost):
			return f, fmt.Errorf("describe %s: %w", d.Name(), err)
		case err != nil:
			f.Problems = append(f.Problems, err.Error())
		}
	}
	return f, nil
}

// tool gives where a tool is; "" if it is missing.
func (f *Facts) tool(name string) string {
	for _, t := range f.Tools {
		if t.Name == name {
			return t.Path
		}
	}
	return ""
}

// says runs a tool and gives what it printed, also after it failed, which the validators do to say no.
func says(ctx context.Context, d device.Device, args ...string) ([]byte, error) {
	var out bytes.Buffer
	// Both streams into one: some versions write to the one, some to the other.
	c := device.Shell(`exec "$@" 2>&1`, args...)
	c.Stdout, c.Limits = &out, device.Limits{Output: answerLimit, Time: toolLimit}
	err := d.Run(ctx, c)
	return out.Bytes(), err
}

func (f *Facts) version(ctx context.Context, d device.Device) error {
	path := f.tool("snpe-net-run")
	if path == "" {
		return nil
	}
	text, err := says(ctx, d, path, "--version")
	if v, ok := snpe.Version(text); ok {
		f.SNPE = v
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%s --version did not say one", path)
	}
	return fmt.Errorf("SNPE's version: %w", err)
}

func (f *Facts) runtimes(ctx context.Context, d device.Device) error {
	path := f.tool("snpe-platform-validator")
	if path == "" {
		return nil
	}
	var errs []error
	for _, name := range []string{"dsp", "gpu"} {
		text, err := says(ctx, d, path, "--runtime", name, "--coreVersion", "--libVersion", "--testRuntime", "--debug")
		answered := false
		for _, r := range snpe.Runtimes(text) {
			if strings.EqualFold(r.Name, name) { // Of others it was not asked.
				f.Runtimes, answered = append(f.Runtimes, r), true
			}
		}
		if answered {
			continue
		}
		if err == nil {
			err = errors.New("the validator said nothing about it")
		}
		if errors.Is(err, device.ErrLost) {
			return err
		}
		errs = append(errs, fmt.Errorf("the runtime %s: %w", name, err))
	}
	return errors.Join(errs...)
}

func (f *Facts) lock(ctx context.Context, d device.Device, name string) error {
	held, err := device.Holder(ctx, d, name)
	if err != nil {
		return fmt.Errorf("the lock: %w", err)
	}
	if held != nil {
		f.Lock = &Lock{Owner: held.Owner, Age: held.Age.Seconds(), Path: held.Path, Gone: held.Owner.Dead()}
	}
	return nil
}

func (f *Facts) left(ctx context.Context, d device.Device) error {
	s, err := device.Leftovers(ctx, d, f.Dir)
	f.Left = Left{Runs: len(s.Runs), Paths: len(s.Paths), Parts: s.Parts, Processes: s.Processes}
	return err
}
