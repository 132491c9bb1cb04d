// Zoo runs published networks through every command and writes docs/zoo.md: network × command → ok, or refused with the reason, with time and
// peak memory.
//
//  1. networks fetches the models and draws samples.
//  2. Each command is a process of the program, with a limit of processor time; its outcome is kept (outcome.go), so that an interrupted or repeated call
//     goes on where it was. Another build of the program begins anew, unless -reuse is given.
//  3. What a command wrote is run in ONNX Runtime beside the float model, on the check's samples and on fresh ones (compare.go).
//  4. The page is written from what is kept; with -expect the outcomes are held against a file (expect.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/atomicfile"
	"quantcheck/internal/runner/ort"
)

// options are what the flags say.
type options struct {
	dir, pictures, program, page  string
	models, commands              []string
	look                          string
	short, fetch, reuse, emulated bool
	limit, emulatorLimit          time.Duration
	expect                        string
	accept                        bool
}

func main() {
	var o options
	list := func(to *[]string) func(string) error {
		return func(s string) error { *to = strings.Split(s, ","); return nil }
	}
	flag.StringVar(&o.dir, "dir", filepath.Join("third_party", "zoo"), "where networks, samples and outcomes are kept")
	flag.StringVar(&o.pictures, "pictures", filepath.Join("third_party", "fixtures", "coco", "val"), "folder of pictures")
	flag.StringVar(&o.program, "program", filepath.Join("bin", "quantcheck"), "the program")
	flag.StringVar(&o.page, "page", "", "write the page to this file, such as docs/zoo.md")
	flag.Func("models", "run these networks only, as in -models lac,magika", list(&o.models))
	flag.Func("commands", "run these commands only: "+strings.Join(names(), ","), list(&o.commands))
	flag.BoolVar(&o.short, "short", false, "the ten smallest networks")
	flag.BoolVar(&o.fetch, "fetch", false, "fetch the networks and draw their samples, run nothing")
	flag.BoolVar(&o.reuse, "reuse", false, "take outcomes of other builds of the program, too")
	flag.BoolVar(&o.emulated, "emulated", true, "run the commands that need the emulator")
	flag.DurationVar(&o.limit, "limit", time.Minute, "processor time after which a command on the CPU is ended")
	flag.DurationVar(&o.emulatorLimit, "emulator-limit", 5*time.Minute, "the same of a command that asks the emulator or its compiler")
	flag.StringVar(&o.expect, "expect", "", "hold the outcomes against this file, and end with status 1 if one is another")
	flag.BoolVar(&o.accept, "accept", false, "write the outcomes into the file of -expect")
	flag.StringVar(&o.look, "look", "", "for the bench itself: NETWORK/COMMAND, to look at what that wrote")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the bench at once
	err := run(ctx, o, os.Stdout, os.Stderr)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "zoo: interrupted; the same command goes on here")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "zoo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out, log io.Writer) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	z, err := networks.Open(dir)
	if err != nil {
		return err
	}
	b := &bench{options: o, zoo: z, log: log, out: out}
	if o.look != "" {
		return b.lookNow(ctx)
	}
	list := z.Table.Networks
	switch {
	case len(o.models) > 0:
		if list, err = z.Table.Named(o.models); err != nil {
			return err
		}
	case o.short:
		list = z.Table.Smallest()
	}
	chosen, err := choose(o.commands, o.emulated)
	if err != nil {
		return err
	}
	absent, unreachable := z.Fetch(ctx, list, log)
	if unreachable != nil && len(absent) == 0 {
		return unreachable
	}
	list = slices.DeleteFunc(list, func(n networks.Network) bool {
		return slices.ContainsFunc(absent, func(a networks.Network) bool { return a.Name == n.Name })
	})
	if unreachable != nil {
		fmt.Fprintln(log, "zoo:", unreachable)
		fmt.Fprintf(log, "zoo: %d networks are left out, as their packages could not be fetched; %d are there\n", len(absent), len(list))
		if os.Getenv("QUANTCHECK_NO_SKIP") != "" {
			return errors.New("a network is left out, which QUANTCHECK_NO_SKIP forbids")
		}
	}
	if err := b.samples(list); err != nil || o.fetch {
		return err
	}
	if b.build, err = atomicfile.SHA256(o.program); err != nil {
		return fmt.Errorf("%w; run make build", err)
	}
	if err := b.all(ctx, list, chosen); err != nil {
		return err
	}
	if o.page != "" {
		if err := b.writePage(o.page, z.Table.Networks); err != nil {
			return err
		}
	}
	if o.expect != "" {
		return b.hold(o.expect, list, chosen)
	}
	return nil
}

// bench is one call.
type bench struct {
	options
	zoo      *networks.Zoo
	build    string // SHA-256 of the program
	out, log io.Writer
	engine   ort.Engine // opened when something is compared
}

// samples draws the samples of all networks: of seed 0 those that commands get, of seed 1 the fresh ones.
func (b *bench) samples(list []networks.Network) error {
	for _, n := range list {
		for seed := range uint64(2) {
			if _, err := b.zoo.Samples(n, b.pictures, perNetwork, seed); err != nil {
				return err
			}
		}
	}
	return nil
}

// perNetwork is how many samples a command gets.
const perNetwork = 2

// all runs what is not known yet.
func (b *bench) all(ctx context.Context, list []networks.Network, chosen []command) error {
	type step struct {
		n networks.Network
		c command
	}
	var left []step
	for _, n := range list {
		for _, c := range chosen {
			if !b.known(n, c) {
				left = append(left, step{n, c})
			}
		}
	}
	begin := time.Now()
	for i, s := range left {
		o, err := b.one(ctx, s.n, s.c)
		if err != nil {
			return err
		}
		spent := time.Since(begin)
		rest := spent / time.Duration(i+1) * time.Duration(len(left)-i-1)
		fmt.Fprintf(b.out, "%-18s %-14s %s\n", s.n.Name, s.c.name, o.line())
		fmt.Fprintf(b.log, "zoo: %d of %d done, about %s left\n", i+1, len(left), rest.Round(time.Second))
	}
	return nil
}

// one runs a command on a network, compares what it wrote, and keeps the outcome.
func (b *bench) one(ctx context.Context, n networks.Network, c command) (*outcome, error) {
	work := b.work(n)
	if err := os.MkdirAll(work, 0o755); err != nil { //nolint:gosec // public files
		return nil, err
	}
	samples, err := b.zoo.Samples(n, b.pictures, perNetwork, 0)
	if err != nil {
		return nil, err
	}
	if c.after != "" {
		if before, ok := b.kept(n, c.after); !ok || before.Status != fine {
			o := &outcome{Status: skipped, Reason: c.after + " wrote nothing", Build: b.build}
			return o, b.keep(n, c, o)
		}
	}
	limit := b.limit
	if c.emulator {
		limit = b.emulatorLimit
	}
	program, err := filepath.Abs(b.program)
	if err != nil {
		return nil, err
	}
	o, err := execute(ctx, program, c.args(task{b.zoo.Model(n), samples, work, n}), work, limit)
	if err != nil {
		return nil, err
	}
	o.Build = b.build
	if o.Status == fine && c.look != nil {
		if err := b.lookApart(ctx, n, c, o); err != nil {
			return nil, err
		}
	}
	return o, b.keep(n, c, o)
}

// work is the folder in which the commands of a network run.
func (b *bench) work(n networks.Network) string { return filepath.Join(b.zoo.Dir, "work", n.Name) }

// choose gives the commands of these names, or all.
func choose(wanted []string, emulated bool) ([]command, error) {
	for _, w := range wanted {
		if !slices.Contains(names(), w) {
			return nil, fmt.Errorf("there is no command %q; there are %s", w, strings.Join(names(), ", "))
		}
	}
	list := slices.DeleteFunc(slices.Clone(commands), func(c command) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, c.name) || c.emulator && !emulated
	})
	if len(list) == 0 {
		return nil, errors.New("no command is left to run")
	}
	return list, nil
}
