package session

import (
	"testing"

	"quantcheck/internal/variant"
)

func TestEmulatorsAreCountedAgainstTheBoundOnMemory(t *testing.T) {
	t.Parallel()
	cpu, htp := variant.Spec{Engine: variant.CPU}, variant.Spec{Engine: variant.HTP}
	for _, row := range []struct {
		mib, local int
		variants   []variant.Spec
		want       int64 // MiB
	}{
		{4096, 0, []variant.Spec{cpu}, 4096},
		{4096, 4, []variant.Spec{cpu, cpu}, 4096},
		{4096, 0, []variant.Spec{htp}, 4096 - 128 - 1024},
		{4096, 4, []variant.Spec{htp}, 4096 - 2*(128+1024)},
		{6144, 0, []variant.Spec{cpu, htp}, 6144 - 128 - 1024},
		{512, 4, []variant.Spec{htp, htp}, 128}, // a quarter stays
	} {
		b := &Session{Variants: Of(row.variants), Options: Options{MemoryMiB: row.mib, LocalSamples: row.local}}
		if got := b.Memory().Own() >> 20; got != row.want {
			t.Errorf("%d MiB with %v (%d alone): %d MiB, want %d", row.mib, Of(row.variants), row.local, got, row.want)
		}
		if b.WaitingBytes() > b.Memory().Own()/16 || b.Memory().Segment()*10*int64(1+len(Of(row.variants))) > max(b.Memory().Own(), 10*int64(1+len(Of(row.variants)))<<20) {
			t.Errorf("%d MiB: %d wait, a segment has %d", row.mib, b.WaitingBytes(), b.Memory().Segment())
		}
	}
}
