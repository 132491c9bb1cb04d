package resume

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// everything is one value of each kind.
type everything struct {
	n     int64
	b     bool
	s     string
	f     float64
	g     float32
	u     uint16
	list  []string
	empty []string
	none  []string
	deep  [][]int
	there *int64
	gone  *int64
}

func (e *everything) code(c *Coder) {
	c.Int64(&e.n)
	c.Bool(&e.b)
	c.String(&e.s)
	c.Float64(&e.f)
	c.Float32(&e.g)
	c.Uint16(&e.u)
	for _, l := range []*[]string{&e.list, &e.empty, &e.none} {
		Slice(c, l, c.String)
	}
	Slice(c, &e.deep, func(l *[]int) { Slice(c, l, c.Int) })
	Optional(c, &e.there, c.Int64)
	Optional(c, &e.gone, c.Int64)
}

func sample() everything {
	n := int64(-5)
	return everything{
		n: math.MinInt64, b: true, s: "a\x00ü", f: math.Copysign(0, -1), g: float32(math.NaN()), u: 1 << 15, list: []string{"x", ""}, empty: []string{},
		deep: [][]int{{1, 2}, nil, {}}, there: &n,
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	want := sample()
	w := NewWriter()
	want.code(w)
	var got everything
	r := NewReader(w.Data())
	if got.code(r); r.Close() != nil {
		t.Fatal(r.Err())
	}
	again := NewWriter()
	if got.code(again); !bytes.Equal(again.Data(), w.Data()) {
		t.Errorf("%+v was read of %+v", got, want)
	}
	if !math.Signbit(got.f) || got.g == got.g || got.empty == nil || got.none != nil || got.deep[1] != nil || got.deep[2] == nil || *got.there != -5 || got.gone != nil {
		t.Errorf("%+v", got)
	}
	for n := range w.Data() { // every truncation is an error
		r := NewReader(w.Data()[:n])
		if (&everything{}).code(r); r.Close() == nil {
			t.Errorf("%d of %d bytes are enough", n, len(w.Data()))
		}
	}
	r = NewReader(append(bytes.Clone(w.Data()), 0))
	if (&everything{}).code(r); r.Close() == nil {
		t.Error("a byte too many is not seen")
	}
}

func TestListsAreNotLongerThanTheirBytes(t *testing.T) {
	t.Parallel()
	w := NewWriter()
	n := 1 << 40
	w.Int(&n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, read := range []func(*Coder){
		func(c *Coder) { var l [][4096]byte; Slice(c, &l, func(*[4096]byte) {}) },
		func(c *Coder) { var l []byte; c.Blob(&l) },
		func(c *Coder) { var s string; c.String(&s) },
	} {
		c := NewReader(w.Data())
		if read(c); c.Err() == nil {
			t.Error("a list of 2^40 elements is taken from 6 bytes")
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%d bytes were allocated", after.TotalAlloc-before.TotalAlloc)
	}
}

func TestStateFilesThatAreNotUsed(t *testing.T) {
	t.Parallel()
	key, other := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	f := At(filepath.Join(t.TempDir(), "states"), key)
	if _, err := f.Load(); !errors.Is(err, ErrNone) {
		t.Errorf("nothing is there: %v", err)
	}
	saved := time.Now()
	if err := f.Save(State{Saved: saved, Stopped: true, Data: []byte("the state")}); err != nil {
		t.Fatal(err)
	}
	s, err := f.Load()
	if err != nil || string(s.Data) != "the state" || !s.Stopped || s.Saved.Unix() != saved.Unix() {
		t.Fatalf("%+v %v", s, err)
	}
	good, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	foreign := At(f.dir, other)
	change := func(at int) []byte {
		data := bytes.Clone(good)
		data[at] ^= 1
		return data
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"empty":               {nil, "no state"},
		"something else":      {bytes.Repeat([]byte("x"), 500), "no state"},
		"of another version":  {change(len(magic)), "version"},
		"of another request":  {good, "another request"},
		"cut off":             {good[:len(good)-1], "damaged"},
		"longer":              {append(bytes.Clone(good), 0), "damaged"},
		"a bit of the data":   {change(len(good) - 1), "checksum"},
		"a bit of the header": {change(len(magic) + 4 + sha256.Size), "checksum"},
		"the sum":             {change(headerBytes - 1), "checksum"},
	} {
		at := f
		if name == "of another request" {
			at = foreign
		}
		if err := os.WriteFile(at.Path(), c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := at.Load(); err == nil || !strings.Contains(err.Error(), c.says) || s.Data != nil {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	if err := errors.Join(f.Remove(), f.Remove(), foreign.Remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty folder is left: %v", err)
	}
}

func TestOldStatesAreDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all []File
	for i := range Most + 3 {
		f := At(dir, sha256.Sum256([]byte{byte(i)}))
		if err := f.Save(State{Data: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
		age := time.Duration(i) * time.Minute // the first one is the newest
		if i == 3 {
			age = Age + time.Hour
		}
		if err := os.Chtimes(f.Path(), time.Now(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	stranger := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if err := last.Save(State{}); err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, f := range all {
		if _, err := f.Load(); err == nil {
			left++
		}
	}
	_, tooOld := all[3].Load()
	_, newest := all[0].Load()
	_, own := last.Load()
	if left != Most || !errors.Is(tooOld, ErrNone) || newest != nil || own != nil {
		t.Errorf("%d are left, the one beyond the age: %v, the newest: %v, the own: %v", left, tooOld, newest, own)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error("another file was removed")
	}
}

func FuzzState(f *testing.F) {
	key := sha256.Sum256(nil)
	e := sample()
	w := NewWriter()
	e.code(w)
	f.Add(append(encode(key, State{Saved: time.Unix(1, 0), Data: w.Data()}), w.Data()...))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(key, data)
		if err != nil {
			s.Data = data // the coder reads anything without a panic
		} else if got := append(encode(key, s), s.Data...); !bytes.Equal(got[:len(magic)], data[:len(magic)]) || len(got) != len(data) {
			t.Errorf("a state of %d bytes is one of %d", len(data), len(got))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var e everything
		c := NewReader(s.Data)
		e.code(c)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20+uint64(256*len(data)) {
			t.Errorf("%d bytes take %d", len(data), after.TotalAlloc-before.TotalAlloc)
		}
		if c.Close() == nil {
			again := NewWriter()
			e.code(again)
			r := NewReader(again.Data())
			if (&everything{}).code(r); r.Close() != nil {
				t.Errorf("what was read cannot be written and read: %v", r.Err())
			}
		}
	})
}
