// Device measures how fast files go to a device and back, beside scp: 100 MB to and from OpenSSH's server on this machine, in turns,
// several rounds, each with a login. The figure of the project is 70 % of scp's rate, in the median.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/ssh"
	"quantcheck/internal/device/sshtest"
)

const (
	size   = 100_000_000
	rounds = 7
	figure = 0.7
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := sshtest.Launch(ctx, dir, sshtest.Options{})
	if err != nil {
		return err
	}
	defer s.Stop()
	// A connection of its own for each transfer, as scp has.
	over := func(move func(device.Device) error) func() error {
		return func() error {
			d, err := ssh.Open(ctx, s.Target, ssh.Options{
				ConfigFile: filepath.Join(dir, "none"), KnownHosts: s.KnownHosts, Identities: []string{s.Identity}, Agent: "none",
			})
			if err != nil {
				return err
			}
			return errors.Join(move(d), d.Close())
		}
	}
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	data := make([]byte, size)
	_, _ = rand.Read(data) // It never fails.
	if err := os.WriteFile(from, data, 0o600); err != nil {
		return err
	}
	scp := func(from, to string) func() error {
		return func() error {
			out, err := exec.CommandContext(ctx, "scp", "-q", "-F", "none", "-P", strconv.Itoa(s.Target.Port), "-i", s.Identity,
				"-o", "UserKnownHostsFile="+s.KnownHosts, from, to).CombinedOutput()
			if err != nil {
				return fmt.Errorf("scp: %w: %s", err, out)
			}
			return nil
		}
	}
	fmt.Fprintf(w, "%d MB over sshd on this machine, %d rounds in turns, MB/s in the median, logging in included (a push is hashed on both sides)\n", size/1_000_000, rounds)
	var missed error
	for _, row := range []struct {
		name      string
		ours, scp func() error
	}{
		{"push", over(func(d device.Device) error { return device.Push(ctx, d, device.FromDisk(from, to)) }), scp(from, "127.0.0.1:"+to)},
		{"pull", over(func(d device.Device) error { return device.PullFile(ctx, d, from, to) }), scp("127.0.0.1:"+from, to)},
	} {
		r, err := compare(row.ours, row.scp, func() error { return os.RemoveAll(to) })
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s  %6.0f  scp %6.0f  ratio %.2f (%.2f to %.2f)\n", row.name, r.ours, r.scp, r.ratio, r.least, r.most)
		if r.ratio < figure {
			missed = errors.Join(missed, fmt.Errorf("%s at %.2f of scp's rate; the figure is %.2f", row.name, r.ratio, figure))
		}
	}
	return missed
}

// rates are in MB/s; ratio is ours to scp's, round by round.
type rates struct{ ours, scp, ratio, least, most float64 }

// compare runs both in turns, a warming round first. remove makes both begin alike.
func compare(ours, scp, remove func() error) (rates, error) {
	var a, b, ratios []float64
	for n := range rounds + 1 {
		var seconds [2]float64
		order := []int{n % 2, 1 - n%2}
		for _, i := range order {
			if err := remove(); err != nil {
				return rates{}, err
			}
			began := time.Now()
			if err := []func() error{ours, scp}[i](); err != nil {
				return rates{}, err
			}
			seconds[i] = time.Since(began).Seconds()
		}
		if n == 0 {
			continue
		}
		a, b = append(a, size/1e6/seconds[0]), append(b, size/1e6/seconds[1])
		ratios = append(ratios, seconds[1]/seconds[0])
	}
	return rates{median(a), median(b), median(ratios), slices.Min(ratios), slices.Max(ratios)}, nil
}

func median[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
