package devicetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/device"
)

// noise gives n bytes that no compression shortens.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b) // It never fails.
	return b
}

func transfers(t *testing.T, h Harness) {
	d := h.Open(t)
	ctx := t.Context()
	t.Run("there and back", func(t *testing.T) {
		for _, n := range []int{0, 1, 100, 1<<20 + 3} {
			dir := t.TempDir()
			name := filepath.Join(dir, "new", "-a 'b'\n$(c)")
			f := device.FromBytes(noise(1, n), name)
			f.Mode = 0o750
			if err := device.Push(ctx, d, f); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(name)
			if err != nil || info.Size() != int64(n) || info.Mode().Perm() != 0o750 {
				t.Errorf("%v %v", info, err)
			}
			var back bytes.Buffer
			if err := device.Pull(ctx, d, name, int64(n), &back); err != nil || !bytes.Equal(back.Bytes(), noise(1, n)) {
				t.Errorf("%d bytes: %v, %d came back", n, err, back.Len())
			}
			if names := left(t, dir); len(names) != 1 {
				t.Errorf("%q", names)
			}
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		dir := t.TempDir()
		kept := filepath.Join(dir, "kept")
		if err := os.WriteFile(kept, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		var exit *device.ExitError
		if err := device.PullFile(ctx, d, filepath.Join(dir, "no"), kept); !errors.As(err, &exit) {
			t.Error(err)
		}
		if err := device.PullFile(ctx, d, dir, kept); !errors.As(err, &exit) {
			t.Errorf("a folder: %v", err)
		}
		if err := device.Push(ctx, d, device.FromBytes([]byte("x"), dir)); !errors.As(err, &exit) {
			t.Errorf("over a folder: %v", err)
		}
		if err := device.Push(ctx, d, device.FromBytes([]byte("x"), filepath.Join(kept, "x"))); !errors.As(err, &exit) {
			t.Errorf("below a file: %v", err)
		}
		for _, name := range []string{"relative", "", "/", "/a/../b", "/a/"} {
			if err := device.Push(ctx, d, device.FromBytes(nil, name)); err == nil {
				t.Errorf("%q was taken", name)
			}
		}
		if text, err := os.ReadFile(kept); err != nil || string(text) != "old" || len(left(t, dir)) != 1 {
			t.Errorf("%q %v %q", text, err, left(t, dir))
		}
	})
	t.Run("content that changes between two readings", func(t *testing.T) {
		for _, second := range []string{"longer than before", "short", "same siz2"} {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			if err := os.WriteFile(name, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			next := "same size"
			f := device.File{Path: name, Open: func() (io.ReadCloser, error) {
				r := io.NopCloser(strings.NewReader(next))
				next = second
				return r, nil
			}}
			if err := device.Push(ctx, d, f); !errors.Is(err, device.ErrDamaged) {
				t.Errorf("%q: %v", second, err)
			}
			if text, err := os.ReadFile(name); err != nil || string(text) != "old" || len(left(t, dir)) != 1 {
				t.Errorf("%q %v %q", text, err, left(t, dir))
			}
		}
	})
	t.Run("only what changed", func(t *testing.T) {
		dir := t.TempDir()
		var files []device.File
		for i := range 400 { // More names than one command takes.
			files = append(files, device.FromBytes(noise(uint64(i), i), filepath.Join(dir, strings.Repeat("n", 200), fmt.Sprintf("f %d", i))))
		}
		few := slices.Clone(files[:3])
		for range 2 {
			if _, err := device.Sync(ctx, d, few); err != nil {
				t.Fatal(err)
			}
		}
		few[1] = device.FromBytes([]byte("!"), few[1].Path)
		got, err := device.Sync(ctx, d, few)
		if want := (device.Synced{Sent: []string{few[1].Path}, Same: []string{few[0].Path, few[2].Path}, Bytes: 1}); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = f.Path
		}
		sums, err := device.Sums(ctx, d, names)
		if err != nil || len(sums) != 400 || sums[0] == nil || sums[2].Size != 2 || sums[3] != nil {
			t.Errorf("%v, %d sums", err, len(sums))
		}
		if _, err := device.Sums(ctx, d, []string{dir}); err == nil {
			t.Error("a folder has a sum")
		}
	})
	t.Run("a folder as one stream", func(t *testing.T) { pullTar(t, d) })
}

func pullTar(t *testing.T, d device.Device) {
	ctx := t.Context()
	dir := t.TempDir()
	want := map[string][]byte{}
	for i, name := range []string{"a.raw", "Result_0/model.0/conv/out put.raw", "Result_1/-x'\n.raw", strings.Repeat("long/", 40) + "z"} {
		want[name] = noise(uint64(i), 100000*i)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), want[name], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.raw", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	p, err := device.PullTar(ctx, d, dir, func(name string, size int64, r io.Reader) error {
		if name == "a.raw" {
			got[name] = nil
			return nil // It need not be read.
		}
		b, err := io.ReadAll(r)
		if int64(len(b)) != size {
			t.Errorf("%s: %d of %d bytes", name, len(b), size)
		}
		got[name] = b
		return err
	})
	if err != nil || p.Files != 4 || p.Bytes != 600000 || !slices.Equal(p.Others, []string{"link"}) {
		t.Errorf("%+v %v", p, err)
	}
	for name, b := range want {
		if !bytes.Equal(got[name], b) {
			t.Errorf("%q differs", name)
		}
	}
	// Several, one behind the other, as a board's results come.
	several := device.Shell(`tar -cf - a.raw Result_0; tar -cf - Result_1; tar -cf - long`)
	several.Dir = dir
	seen := 0
	if p, err := device.ReadTar(ctx, d, several, func(name string, _ int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if !bytes.Equal(b, want[name]) {
			t.Errorf("%q differs", name)
		}
		seen++
		return err
	}); err != nil || p.Files != 4 || seen != 4 || p.Bytes != 600000 {
		t.Errorf("%d, %+v %v", seen, p, err)
	}
	broken := errors.New("broken")
	if _, err := device.PullTar(ctx, d, dir, func(string, int64, io.Reader) error { return broken }); !errors.Is(err, broken) || errors.Is(err, device.ErrDamaged) {
		t.Errorf("each fails: %v", err)
	}
	if _, err := device.PullTar(ctx, d, filepath.Join(dir, "no"), nil); err == nil {
		t.Error("a folder that is not there")
	}
	for name, script := range map[string]string{
		"within a file":     `tar -cf - . | head -c 250000`,
		"between two files": `tar -cf - a.raw | head -c 512`,
		"in the second":     `tar -cf - a.raw; tar -cf - Result_1 | head -c 700`,
		"behind the second": `tar -cf - a.raw; tar -cf - Result_0; echo no tar`,
		"nothing at all":    `:`,
		"no tar":            `tar -cf - . | tr a b`,
		"out of the folder": `tar -cPf - ../` + filepath.Base(dir),
	} {
		c := device.Shell(script)
		c.Dir = dir
		if _, err := device.ReadTar(ctx, d, c, func(_ string, _ int64, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}); !errors.Is(err, device.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func faults(t *testing.T, h Harness) {
	t.Run("cancelled while it is sent", func(t *testing.T) {
		d := h.Open(t)
		for range 5 {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			data := noise(1, 1<<20)
			first := true
			f := device.File{Path: filepath.Join(dir, "f"), Open: func() (io.ReadCloser, error) {
				if first {
					first = false
					return io.NopCloser(bytes.NewReader(data)), nil
				}
				return io.NopCloser(io.MultiReader(bytes.NewReader(data[:300000]), ending{cancel, ctx})), nil
			}}
			err := device.Push(ctx, d, f)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			calm(t, dir)
			if names := left(t, dir); names != nil {
				t.Errorf("%q are left", names)
			}
		}
	})
	t.Run("a full disk", func(t *testing.T) {
		dir := t.TempDir()
		if err := mountSmall(dir); err != nil {
			t.Logf("A FULL DISK IS NOT TESTED, for want of the right to mount one: %v", err) // what programs say of one is, in Run
			return
		}
		t.Cleanup(func() {
			if err := unmount(dir); err != nil {
				t.Error(err)
			}
		})
		d := h.Open(t)
		err := device.Push(t.Context(), d, device.FromBytes(noise(1, 4<<20), filepath.Join(dir, "f")))
		if !errors.Is(err, device.ErrDiskFull) {
			t.Error(err)
		}
		if names := left(t, dir); names != nil {
			t.Errorf("%q are left", names)
		}
		// The same on this side.
		from := filepath.Join(t.TempDir(), "g")
		if err := os.WriteFile(from, noise(1, 4<<20), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := device.PullFile(t.Context(), d, from, filepath.Join(dir, "g")); !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		if names := left(t, dir); names != nil {
			t.Errorf("%q are left here", names)
		}
	})
	if h.Cut == nil {
		return
	}
	t.Run("cut at any byte while it is sent", func(t *testing.T) { cutPush(t, h) })
	t.Run("cut at any byte while it is fetched", func(t *testing.T) { cutPull(t, h) })
}

// Cuts is how many connections are cut in each direction, and cutSize what is moved meanwhile.
const (
	cuts    = 25
	cutSize = 1 << 20
)

func cutPush(t *testing.T, h Harness) {
	data := noise(1, cutSize)
	random := rand.New(rand.NewPCG(1, 2))
	lost := 0
	for range cuts {
		after := random.Int64N(cutSize * 11 / 10)
		dir := t.TempDir()
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		d, gone := h.Cut(t, after)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := device.Push(ctx, d, device.FromBytes(data, name))
		cancel()
		_ = d.Close() // It may be broken.
		if err != nil {
			lost++
			if !errors.Is(err, device.ErrLost) {
				t.Errorf("cut after %d: %v", after, err)
			}
		}
		eventually(t, "the device has noticed", gone)
		calm(t, dir)
		if names := left(t, dir); !slices.Equal(names, []string{"f"}) {
			t.Errorf("cut after %d: %q are left", after, names)
		}
		got, e := os.ReadFile(name)
		if e != nil || !bytes.Equal(got, data) && (err == nil || string(got) != "old") {
			t.Errorf("cut after %d: %v; %d bytes are there, %v", after, err, len(got), e)
		}
	}
	if lost < cuts/2 {
		t.Errorf("only %d of %d were cut", lost, cuts)
	}
	t.Logf("%d of %d connections lost", lost, cuts)
}

func cutPull(t *testing.T, h Harness) {
	data := noise(2, cutSize)
	from := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(from, data, 0o666); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	lost := 0
	for range cuts {
		after := random.Int64N(cutSize * 11 / 10)
		dir := t.TempDir()
		to := filepath.Join(dir, "g")
		d, _ := h.Cut(t, after)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := device.PullFile(ctx, d, from, to)
		if err != nil {
			lost++
			if !errors.Is(err, device.ErrLost) {
				t.Errorf("cut after %d: %v", after, err)
			}
			if names := left(t, dir); names != nil {
				t.Errorf("cut after %d: %q is left", after, names)
			}
		} else if got, e := os.ReadFile(to); e != nil || !bytes.Equal(got, data) {
			t.Errorf("cut after %d: %d bytes, %v", after, len(got), e)
		}
		d, _ = h.Cut(t, after)
		_, err = device.PullTar(ctx, d, filepath.Dir(from), func(_ string, _ int64, r io.Reader) error {
			b, err := io.ReadAll(r)
			if err == nil && !bytes.Equal(b, data) {
				t.Errorf("cut after %d: the file has other content", after)
			}
			return err
		})
		cancel()
		if err != nil && !errors.Is(err, device.ErrLost) {
			t.Errorf("tar cut after %d: %v", after, err)
		}
	}
	if lost < cuts/2 {
		t.Errorf("only %d of %d were cut", lost, cuts)
	}
	t.Logf("%d of %d connections lost", lost, cuts)
}

// ending is input that ends a context and then lasts until it has ended the command.
type ending struct {
	cancel context.CancelFunc
	ctx    context.Context
}

func (e ending) Read([]byte) (int, error) {
	e.cancel()
	<-e.ctx.Done()
	return 0, io.EOF
}
