package archive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// packed is data as xz, in a dictionary of so many bytes.
func packed(t testing.TB, data []byte, dictionary int, blockSize int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: dictionary, BlockSize: blockSize}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// forge makes the block whose header lies at an offset declare another dictionary, with the header's check right.
func forge(data []byte, at int, code byte) []byte {
	data = bytes.Clone(data)
	size := 4 * (int(data[at]) + 1)
	filter := bytes.Index(data[at:at+size], []byte{0x21, 1})
	data[at+filter+2] = code
	binary.LittleEndian.PutUint32(data[at+size-4:], crc32.ChecksumIEEE(data[at:at+size-4]))
	return data
}

// TestADictionaryIsBoundedBeforeItIsAllocated forges headers, of the first block and of one behind others.
func TestADictionaryIsBoundedBeforeItIsAllocated(t *testing.T) {
	noise := make([]byte, 300_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.IntN(256))
	}
	one := packed(t, noise, 1<<20, 1<<40)
	blocks := packed(t, noise, 1<<20, 100_000)
	second := bytes.Index(blocks[13:], blocks[12:24][:3]) + 13 // the header's size, flags and filter, once more
	for second < len(blocks) && crc32.ChecksumIEEE(blocks[second:second+8]) != binary.LittleEndian.Uint32(blocks[second+8:]) && bytes.Contains(blocks[second+1:], blocks[12:15]) {
		second += 1 + bytes.Index(blocks[second+1:], blocks[12:15])
	}
	for name, row := range map[string]struct {
		data  []byte
		wants string
	}{
		"4 GiB":                   {forge(one, 12, 40), "dictionary of 4095 MiB"},
		"3 GiB":                   {forge(one, 12, 39), "dictionary of 3072 MiB"},
		"192 MiB":                 {forge(one, 12, 31), "dictionary of 192 MiB"},
		"no dictionary":           {forge(one, 12, 41), "damaged"},
		"the second stream":       {append(bytes.Clone(one), forge(one, 12, 40)...), "dictionary of 4095 MiB"},
		"behind padding":          {append(append(bytes.Clone(one), make([]byte, 8)...), forge(one, 12, 40)...), "dictionary of 4095 MiB"},
		"the second block":        {forge(blocks, second, 40), "dictionary of 4095 MiB"},
		"a hundred of 96 MiB":     {bytes.Repeat(forge(packed(t, []byte("x"), 4096, 1<<40), 12, 29), 100), "more than 8 GiB"},
		"another filter in front": {append(append([]byte{}, one[:13]...), append([]byte{1}, one[14:]...)...), "damaged"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var err error
		if b := bufio.NewReader(bytes.NewReader(row.data)); name == "a hundred of 96 MiB" {
			_, err = io.Copy(io.Discard, newDictionaries(b)) // without allocating them
		} else if r, e := unpacked(b); e != nil {
			err = e
		} else {
			_, err = io.Copy(io.Discard, r)
		}
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), row.wants) {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: %d MiB were allocated", name, grown>>20)
		}
	}
}

// TestWhatXZPacksIsUnpacked takes what the library and the program xz make of several blocks, streams, checks and sizes.
func TestWhatXZPacksIsUnpacked(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	same := func(name string, data, want []byte) {
		t.Helper()
		r, err := unpacked(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(want), err)
		}
	}
	for _, size := range []int{0, 1, 2, 3, 4, 5, 1000, 65536, 65537, 200_000} {
		data := make([]byte, size)
		for i := range data {
			if data[i] = byte(i / 7); i%3000 > 1500 { // what can be packed, and what cannot
				data[i] = byte(rng.IntN(256))
			}
		}
		same("the library's", packed(t, data, 1<<20, 1<<40), data)
		same("blocks", packed(t, data, 4096, 777), data)
		twice := packed(t, data, 1<<16, 30_000)
		same("streams", append(append(bytes.Clone(twice), make([]byte, 12)...), twice...), append(bytes.Clone(data), data...))
		if _, err := exec.LookPath("xz"); err != nil {
			continue // the library's files are tried all the same
		}
		for _, flags := range []string{"-0 -C none", "-9 -C crc64", "-6 -C sha256 --block-size=10000", "-T2 --block-size=40000"} {
			cmd := exec.CommandContext(context.Background(), "xz", append(strings.Fields(flags), "-c")...)
			cmd.Stdin = bytes.NewReader(data)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			same("xz "+flags, out, data)
		}
	}
}

// What is damaged is an error or some data; it is never a panic, and no dictionary is larger than the limit.
func FuzzXZ(f *testing.F) {
	f.Add(packed(f, []byte("hello"), 4096, 1<<40))
	f.Add(packed(f, bytes.Repeat([]byte("hello, "), 1000), 4096, 500))
	f.Add(forge(packed(f, []byte("x"), 4096, 1<<40), 12, 40))
	f.Fuzz(func(_ *testing.T, data []byte) {
		r, err := unpacked(bufio.NewReader(bytes.NewReader(data)))
		if err == nil {
			_, _ = io.CopyN(io.Discard, r, 1<<20)
		}
	})
}

// TestAnArchiveWithALargeDictionaryIsRefused opens one as people do.
func TestAnArchiveWithALargeDictionaryIsRefused(t *testing.T) {
	t.Parallel()
	path := bomb(t, ".tar.xz", "m.onnx", 1000, false)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged.tar.xz")
	if err := os.WriteFile(forged, forge(data, 12, 40), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(forged); err == nil || !strings.Contains(err.Error(), "the limit is 128 MiB") {
		t.Errorf("%v", err)
	}
}
