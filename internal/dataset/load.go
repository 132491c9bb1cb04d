package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/tensor"
)

// Input is what a model takes: its name, type and fixed shape.
type Input struct {
	Name  string       `json:"name"`
	DType tensor.DType `json:"dtype"` // ONNX's number of the type
	Shape []int64      `json:"shape"`
}

// Sample is one set of input values.
type Sample struct {
	Name   string
	Path   string // of the first file
	SHA256 string // of the files it was read from, one after another
	// Width and Height are those of the picture itself, turned upright; 0 for samples that are none.
	Width, Height int
	Inputs        map[string]tensor.Tensor
}

// Loader reads samples for one model.
type Loader struct {
	Inputs      []Input
	Description Description
	// Cache, if there is one, keeps pictures that were read, for a second pass over them.
	Cache *Cache
	// Pictures bounds the memory of decoding; loaders that run at the same time share it.
	Pictures *Budget
}

// Cache keeps pictures at a model's size. It may be used by one goroutine at a time.
type Cache struct {
	left     int64 // bytes
	pictures map[string]cached
}

type cached struct {
	picture       *Picture // at the model's size
	sha256        string
	width, height int // of the picture itself
}

// NewCache makes a cache of so many bytes; what does not fit any more is read again.
func NewCache(bytes int64) *Cache { return &Cache{left: bytes, pictures: map[string]cached{}} }

// get finds a sample of one picture.
func (c *Cache) get(path string) (cached, bool) {
	if c == nil {
		return cached{}, false
	}
	p, ok := c.pictures[path]
	return p, ok
}

func (c *Cache) put(path string, p cached) {
	if c != nil && int64(len(p.picture.Pix)) <= c.left {
		c.left -= int64(len(p.picture.Pix))
		c.pictures[path] = p
	}
}

// maxSampleBytes bounds the size of a file that is read as a sample.
const maxSampleBytes = 1 << 31

// Check says whether the samples can be read for this model at all.
func (l Loader) Check(set *Set) error {
	first := set.Sources[0]
	if _, bare := first.Files[""]; bare && len(l.Inputs) != 1 {
		names := make([]string, len(l.Inputs))
		for i, in := range l.Inputs {
			names[i] = in.Name + ":=" + in.Name + ".raw"
		}
		return fmt.Errorf("the model has %d inputs: give a text file with a line per sample, such as %q", len(l.Inputs), strings.Join(names, " "))
	}
	for _, source := range set.Sources {
		for name, path := range source.Files {
			in, ok := l.input(name)
			if !ok {
				return fmt.Errorf("sample %s is for the input %q, which the model does not have", source.Name, name)
			}
			if ending(path, pictures) {
				if _, err := l.view(in); err != nil {
					return err
				}
			}
		}
		if len(source.Files) != len(l.Inputs) {
			return fmt.Errorf("sample %s gives %d of the model's %d inputs", source.Name, len(source.Files), len(l.Inputs))
		}
	}
	return nil
}

func (l Loader) input(name string) (Input, bool) {
	if name == "" && len(l.Inputs) == 1 {
		return l.Inputs[0], true
	}
	i := slices.IndexFunc(l.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 {
		return Input{}, false
	}
	return l.Inputs[i], true
}

// Load reads one sample.
func (l Loader) Load(source Source) (*Sample, error) {
	if source.Inputs != nil {
		return &Sample{Name: source.Name, Inputs: source.Inputs}, nil
	}
	if path := source.Files[""]; len(source.Files) == 1 && len(l.Inputs) == 1 && ending(path, pictures) {
		return l.loadPicture(source.Name, path)
	}
	s := &Sample{Name: source.Name, Inputs: map[string]tensor.Tensor{}}
	hash := sha256.New()
	names := make([]string, 0, len(source.Files))
	for name := range source.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		in, ok := l.input(name)
		if !ok {
			return nil, fmt.Errorf("%s: the model has no input %q", source.Name, name)
		}
		path := source.Files[name]
		if s.Path == "" {
			s.Path = path
		}
		data, err := readFile(path, l.mostBytes(in, path))
		if err != nil {
			return nil, err
		}
		hash.Write(data)
		t, err := l.decode(in, path, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		s.Inputs[in.Name] = t
	}
	s.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return s, nil
}

// loadPicture reads a sample that is one picture.
func (l Loader) loadPicture(name, path string) (*Sample, error) {
	in := l.Inputs[0]
	v, err := l.view(in)
	if err != nil {
		return nil, err
	}
	c, ok := l.Cache.get(path)
	if !ok {
		data, err := l.Pictures.readPicture(path)
		if err != nil {
			return nil, err
		}
		p, f, err := l.fit(data, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		sum := sha256.Sum256(data)
		c = cached{p, hex.EncodeToString(sum[:]), f.width, f.height}
		l.Cache.put(path, c)
	}
	t, err := l.fill(in, v, c.picture)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Sample{Name: name, Path: path, SHA256: c.sha256, Width: c.width, Height: c.height, Inputs: map[string]tensor.Tensor{in.Name: t}}, nil
}

// mostBytes is how large an input's file can be: a picture's within the budget, that of values by their number and widest type, with
// a header.
func (l Loader) mostBytes(in Input, path string) int64 {
	if ending(path, pictures) {
		return min(maxSampleBytes, l.Pictures.size())
	}
	return min(maxSampleBytes, 16*int64(count(in.Shape))+1<<20)
}

func (l Loader) decode(in Input, path string, data []byte) (tensor.Tensor, error) {
	switch {
	case ending(path, pictures):
		v, err := l.view(in)
		if err != nil {
			return tensor.Tensor{}, err
		}
		p, _, err := l.fit(data, v)
		if err != nil {
			return tensor.Tensor{}, err
		}
		return l.fill(in, v, p)
	case ending(path, []string{".npy"}):
		t, err := tensor.ReadNpy(bytes.NewReader(data))
		if err != nil {
			return tensor.Tensor{}, err
		}
		if t.Len() != count(in.Shape) {
			return tensor.Tensor{}, fmt.Errorf("shape %v where the model's input %q has %v", t.Shape, in.Name, in.Shape)
		}
		t.Shape = in.Shape
		return convertTo(t, in.DType)
	default:
		return fromRaw(in, data)
	}
}

func count(shape []int64) int {
	n, _ := tensor.Count(shape)
	return n
}

// fromRaw reads values without a header: in the input's own type, as float32, as bytes, or, for an input of real numbers, as float16,
// told apart by their number.
func fromRaw(in Input, data []byte) (tensor.Tensor, error) {
	n := count(in.Shape)
	types := []tensor.DType{in.DType, tensor.Float32, tensor.Uint8}
	if in.DType.IsFloat() {
		types = append(types, tensor.Float16)
	}
	for _, d := range types {
		if d.Bits() > 0 && len(data) == tensor.ByteSize(d, n) {
			t, err := tensor.FromLittleEndian(d, in.Shape, data)
			if err != nil {
				return t, err
			}
			return convertTo(t, in.DType)
		}
	}
	return tensor.Tensor{}, fmt.Errorf("%d bytes are neither %d float32 values nor as many bytes, which the model's input %q %v takes", len(data), n, in.Name, in.Shape)
}

// view is how a picture lies in an input.
type view struct {
	channels, height, width int
	last                    bool // channels are the last dimension (NHWC)
}

func (l Loader) view(in Input) (view, error) {
	s := in.Shape
	if len(s) == 3 {
		s = append([]int64{1}, s...)
	}
	if len(s) != 4 {
		return view{}, fmt.Errorf("the input %q %v does not take pictures; give .npy or .raw samples", in.Name, in.Shape)
	}
	if s[0] != 1 {
		return view{}, fmt.Errorf("the input %q %v takes %d pictures at once, and pictures are read one at a time: give .npy samples of that shape, or export the model with a batch of 1; if its batch is open, give --input-shape 1,%d,%d,%d", in.Name, in.Shape, s[0], s[1], s[2], s[3])
	}
	channels := int64(3)
	if l.Description.InputColor == "gray" {
		channels = 1
	}
	nchw := view{channels: int(s[1]), height: int(s[2]), width: int(s[3])}
	nhwc := view{channels: int(s[3]), height: int(s[1]), width: int(s[2]), last: true}
	v := nchw
	switch l.Description.Layout {
	case "NHWC":
		v = nhwc
	case "":
		if s[1] != channels && s[3] == channels {
			v = nhwc
		}
	}
	if v.channels != int(channels) {
		hint := "set --input-color gray for one channel, or --layout"
		if v.channels != 1 && v.channels != 3 {
			hint = "give .npy or .raw samples, or set --layout"
		}
		return view{}, fmt.Errorf("the input %q %v has %d channels where %s pictures have %d; %s", in.Name, in.Shape, v.channels, l.Description.InputColor, channels, hint)
	}
	for key, numbers := range map[string]Numbers{"mean": l.Description.Mean, "scale": l.Description.Scale} {
		if len(numbers) != 1 && len(numbers) != v.channels {
			return view{}, fmt.Errorf("%s has %d numbers, the input %q has %d channels", key, len(numbers), in.Name, v.channels)
		}
	}
	return v, nil
}

// Size is the height and width at which pictures go into an input.
func (l Loader) Size(in Input) (width, height int, err error) {
	v, err := l.view(in)
	return v.width, v.height, err
}

// Layout is the layout in which pictures are put into the model's first input, "" if it takes none.
func (l Loader) Layout() string {
	v, err := l.view(l.Inputs[0])
	switch {
	case err != nil:
		return ""
	case v.last:
		return "NHWC"
	}
	return "NCHW"
}

// fit decodes a picture and brings it to the input's colours and size, within the budget.
func (l Loader) fit(data []byte, v view) (*Picture, *file, error) {
	f, err := inspect(data)
	if err != nil {
		return nil, nil, err
	}
	// The part of the input that the picture covers, and once more if it is padded.
	free, err := l.Pictures.Take(f.width, f.height, int64(len(data))+f.memory+resized(f.width, 2*v.width, v.height))
	if err != nil {
		return nil, nil, err
	}
	defer free()
	r, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	if l.Description.InputColor == "gray" {
		r = r.gray()
	}
	p, err := l.Description.fit(r, v.width, v.height)
	return p, f, err
}

// fill puts a picture of the input's size into a tensor.
func (l Loader) fill(in Input, v view, p *Picture) (tensor.Tensor, error) {
	d := l.Description
	out := make([]float32, v.channels*v.height*v.width)
	plane := v.height * v.width
	for c := range v.channels {
		from := c
		if d.InputColor == "bgr" {
			from = 2 - c
		}
		mean, scale := d.Mean[min(c, len(d.Mean)-1)], d.Scale[min(c, len(d.Scale)-1)]
		var table [256]float32
		for i := range table {
			table[i] = float32((float64(i) - mean) / scale)
		}
		for i := range plane {
			at := c*plane + i
			if v.last {
				at = i*v.channels + c
			}
			out[at] = table[p.Pix[3*i+from]]
		}
	}
	return convertTo(tensor.Floats(out, in.Shape...), in.DType)
}

// convertTo gives the values in the type that a model's input has.
func convertTo(t tensor.Tensor, d tensor.DType) (tensor.Tensor, error) {
	if t.DType == d {
		return t, nil
	}
	values, ok := t.AsFloat32()
	if !ok {
		return t, fmt.Errorf("%s values cannot become %s", t.DType, d)
	}
	out := tensor.Tensor{DType: d, Shape: t.Shape, Raw: make([]byte, tensor.ByteSize(d, len(values)))}
	switch d {
	case tensor.Float32:
		return tensor.Floats(values, t.Shape...), nil
	case tensor.Float16:
		for i, v := range values {
			h := tensor.FloatToHalf(v)
			out.Raw[2*i], out.Raw[2*i+1] = byte(h), byte(h>>8)
		}
	case tensor.Uint8, tensor.Int8:
		for i, v := range values {
			if v != float32(int(v)) || int(v) < -128 || int(v) > 255 {
				return t, fmt.Errorf("the value %g does not fit the model's %s input", v, d)
			}
			out.Raw[i] = byte(int(v))
		}
	case tensor.Int32, tensor.Int64:
		for i, v := range values {
			u := uint64(int64(v))
			for k := range d.Bits() / 8 {
				out.Raw[i*d.Bits()/8+k] = byte(u >> (8 * k))
			}
		}
	case tensor.Float64:
		for i, v := range values {
			binary.LittleEndian.PutUint64(out.Raw[8*i:], math.Float64bits(float64(v)))
		}
	default:
		return t, fmt.Errorf("%s inputs are not supported", d)
	}
	return out, nil
}
