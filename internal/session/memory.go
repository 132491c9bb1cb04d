package session

import "quantcheck/internal/tensor"

// What a process of the emulator is thought to take beside the tensors that it exposes: for the libraries, and of the model's constants a
// multiple, since they are unpacked, copied and packed for the DSP. A process with yolox_nano (3.7 MB) takes 232 MB at most, exposed
// tensors included.
const (
	emulatorBytes   = 128 << 20
	emulatorWeights = 4
)

// memory divides the bound on memory among what a session holds. All figures are bytes.
type memory struct {
	bound     int64
	variants  int
	processes int   // of the emulator
	weights   int64 // of the float model
}

func (b *Session) memory() memory {
	m := memory{bound: int64(b.Spec.MemoryMiB) << 20, variants: len(b.Variants)}
	each := 1
	if b.Spec.LocalSamples > 0 { // the layers alone have a process of their own
		each = 2
	}
	for _, v := range b.Variants {
		if Emulated(v.Spec) {
			m.processes += each
		}
	}
	if b.Float != nil && b.Float.Base != nil {
		for _, t := range b.Float.Base.Graph().GetInitializer() {
			if n, err := tensor.Count(t.GetDims()); err == nil {
				m.weights += 4 * int64(n)
			}
		}
	}
	return m
}

// exposed is what the tensors that one emulator exposes may take: a part of the bound for each of them.
func (m memory) exposed() int64 { return m.bound / int64(2*(1+m.variants)) }

// own is the part of the bound that is this process's and ONNX Runtime's: what emulators are thought to take is left to them, but
// for a quarter.
func (m memory) own() int64 {
	emulators := int64(m.processes) * (emulatorBytes + emulatorWeights*m.weights + m.exposed())
	return max(m.bound-emulators, m.bound/4)
}

// segment is what the taps of one segment may take, so that the segments of the float model and of all variants
// that are held at once, and what they carry along, stay within the bound.
func (m memory) segment() int64 { return min(max(m.own()/int64(10*(1+m.variants)), 1<<20), 24<<20) }

// WaitingBytes bounds what waits to be measured.
func (b *Session) WaitingBytes() int64 { return min(b.memory().own()/16, 64<<20) }
