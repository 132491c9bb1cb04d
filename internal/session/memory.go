package session

// What a process of the emulator is thought to take beside the tensors that it exposes: for the libraries, and of the model's constants a
// multiple, since they are unpacked, copied and packed for the DSP. A process with yolox_nano (3.7 MB) takes 232 MB at most, exposed
// tensors included.
const (
	emulatorBytes   = 128 << 20
	emulatorWeights = 4
)

// Memory divides the bound on memory among what a session holds. All figures are bytes.
type Memory struct {
	bound     int64
	variants  int
	processes int   // of the emulator
	weights   int64 // of the float model
}

// Memory says how the bound on memory is divided.
func (b *Session) Memory() Memory {
	m := Memory{bound: int64(b.Options.MemoryMiB) << 20, variants: len(b.Variants)}
	each := 1
	if b.Options.LocalSamples > 0 { // the layers alone have a process of their own
		each = 2
	}
	for _, v := range b.Variants {
		if Emulated(v.Spec) {
			m.processes += each
		}
	}
	if b.Float != nil {
		m.weights = b.Float.UnpackedBytes()
	}
	return m
}

// Exposed is what the tensors that one emulator exposes may take: a part of the bound for each of them.
func (m Memory) Exposed() int64 { return m.bound / int64(2*(1+m.variants)) }

// Own is the part of the bound that is this process's and ONNX Runtime's: what emulators are thought to take is left to them, but
// for a quarter.
func (m Memory) Own() int64 {
	emulators := int64(m.processes) * (emulatorBytes + emulatorWeights*m.weights + m.Exposed())
	return max(m.bound-emulators, m.bound/4)
}

// Segment is what the taps of one segment may take, so that the segments of the float model and of all variants
// that are held at once, and what they carry along, stay within the bound.
func (m Memory) Segment() int64 { return min(max(m.Own()/int64(10*(1+m.variants)), 1<<20), 24<<20) }

// WaitingBytes bounds what waits to be measured.
func (b *Session) WaitingBytes() int64 { return min(b.Memory().Own()/16, 64<<20) }
