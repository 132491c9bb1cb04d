package networks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

// The kinds of values that an input is drawn as:
//
//	normal MEAN SD     independent normal values
//	uniform MIN MAX    independent uniform values
//	audio AMPLITUDE    a voice-like sum of harmonics under a slow envelope, with a little noise
//	ids N              whole numbers from 0 below N
//	bits               0 or 1
//	zeros, ones        one value everywhere
//	is V [V…]          these values, over and over
//
// An input "all" is a picture: pictures are drawn scenes or photographs, page has lines of words in several sizes, text is one
// line, turned one that in half of all pictures stands on its head, word five letters.
func (n Network) picture() string { return n.Samples["all"] }

// Inputs gives the network's inputs with fixed shapes.
func (z *Zoo) Inputs(n Network) ([]dataset.Input, error) {
	d, err := n.Description()
	if err != nil {
		return nil, err
	}
	m, err := onnx.Load(z.Model(n))
	if err != nil {
		return nil, err
	}
	shapes, err := d.Shapes()
	if err != nil {
		return nil, err
	}
	fixed, _, err := onnx.FixInputs(m, shapes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	return model.InputsOf(fixed), nil
}

// Draw makes one sample of a network that takes no pictures. Equal seeds make equal samples.
func (n Network) Draw(inputs []dataset.Input, seed uint64) (map[string]tensor.Tensor, error) {
	sample := map[string]tensor.Tensor{}
	for _, in := range inputs {
		kind := n.Samples[in.Name]
		if kind == "" {
			return nil, fmt.Errorf("zoo.yaml does not say what the input %q of %s is drawn as", in.Name, n.Name)
		}
		t, err := valuesOf(kind, in, rand.New(rand.NewPCG(seed, hash(n.Name+"/"+in.Name))))
		if err != nil {
			return nil, fmt.Errorf("%s, input %q: %w", n.Name, in.Name, err)
		}
		sample[in.Name] = t
	}
	return sample, nil
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// valuesOf makes the values of one input.
func valuesOf(kind string, in dataset.Input, rng *rand.Rand) (tensor.Tensor, error) {
	words := strings.Fields(kind)
	var numbers []float64
	for _, w := range words[1:] {
		v, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return tensor.Tensor{}, fmt.Errorf("%q is not understood", kind)
		}
		numbers = append(numbers, v)
	}
	count, err := tensor.Count(in.Shape)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if least := map[string]int{"normal": 2, "uniform": 2, "audio": 1, "ids": 1, "is": 1}[words[0]]; len(numbers) < least {
		return tensor.Tensor{}, fmt.Errorf("%q lacks numbers", kind)
	}
	var next func(i int) float64
	switch words[0] {
	case "normal":
		next = func(int) float64 { return numbers[0] + numbers[1]*rng.NormFloat64() }
	case "uniform":
		next = func(int) float64 { return numbers[0] + (numbers[1]-numbers[0])*rng.Float64() }
	case "audio":
		next = voice(numbers[0], rng)
	case "ids":
		next = func(int) float64 { return float64(rng.IntN(int(numbers[0]))) }
	case "bits":
		next = func(int) float64 { return float64(rng.IntN(2)) }
	case "zeros":
		next = func(int) float64 { return 0 }
	case "ones":
		next = func(int) float64 { return 1 }
	case "is":
		next = func(i int) float64 { return numbers[i%len(numbers)] }
	default:
		return tensor.Tensor{}, fmt.Errorf("there is no kind %q", words[0])
	}
	values := make([]float64, count)
	for i := range values {
		values[i] = next(i)
	}
	return pack(values, in)
}

// voice is a sum of harmonics of a gliding tone under a slow envelope, with noise, as sampled 16,000 times a second.
func voice(amplitude float64, rng *rand.Rand) func(i int) float64 {
	pitch, glide, slow, phase := 90+160*rng.Float64(), 30*rng.NormFloat64(), 2+3*rng.Float64(), rng.Float64()
	var gains [12]float64
	for k := range gains {
		gains[k] = rng.Float64() / float64(k+1)
	}
	return func(i int) float64 {
		t := float64(i) / 16000
		turn, sum := 2*math.Pi*(pitch*t+glide*t*t/2), 0.0
		for k, g := range gains {
			sum += g * math.Sin(float64(k+1)*turn)
		}
		envelope := 0.5 - 0.5*math.Cos(2*math.Pi*(slow*t+phase))
		return amplitude * (0.5*envelope*sum + 0.01*rng.NormFloat64())
	}
}

// pack turns numbers into the input's type.
func pack(values []float64, in dataset.Input) (tensor.Tensor, error) {
	t := tensor.Tensor{DType: in.DType, Shape: in.Shape}
	for _, v := range values {
		switch in.DType {
		case tensor.Float32:
			t.F32 = append(t.F32, float32(v))
		case tensor.Float64:
			t.Raw = binary.LittleEndian.AppendUint64(t.Raw, math.Float64bits(v))
		case tensor.Int64:
			t.Raw = binary.LittleEndian.AppendUint64(t.Raw, uint64(int64(v)))
		case tensor.Int32:
			t.Raw = binary.LittleEndian.AppendUint32(t.Raw, uint32(int32(v)))
		case tensor.Bool, tensor.Uint8:
			t.Raw = append(t.Raw, uint8(v))
		default:
			return t, fmt.Errorf("no values of type %s are drawn", in.DType)
		}
	}
	return t, nil
}

// Samples gives a path that a command takes as samples: count of them, of a seed. They are written into the zoo's folder if they are not
// there. Scenes are taken from the folder pictures, seed·count of them passed over.
func (z *Zoo) Samples(n Network, pictures string, count int, seed uint64) (string, error) {
	folder := n.Name
	if kind := n.picture(); kind != "" {
		folder = kind
	}
	dir := filepath.Join(z.Dir, "samples", fmt.Sprintf("%s-%d-%d", folder, seed, count))
	list := filepath.Join(dir, "list.txt")
	if _, err := os.Stat(list); err == nil {
		return list, nil
	}
	if err := atomicfile.MakeFolder(dir); err != nil {
		return "", err
	}
	var lines []string
	var err error
	switch kind := n.picture(); kind {
	case "":
		lines, err = z.tensors(n, dir, count, seed)
	case "pictures":
		lines, err = scenes(pictures, count, seed)
	default:
		for i := range count {
			path := filepath.Join(dir, fmt.Sprintf("%d.png", i))
			img, e := written(kind, seed*1000+uint64(i))
			err = errors.Join(err, e)
			if e == nil {
				err = errors.Join(err, atomicfile.Write(path, func(f *os.File) error { return png.Encode(f, img) }))
			}
			lines = append(lines, path)
		}
	}
	if err != nil {
		return "", err
	}
	return list, atomicfile.WriteBytes(list, []byte(strings.Join(lines, "\n")+"\n"))
}

// tensors writes a sample's inputs as .npy files and gives the lines of an input list.
func (z *Zoo) tensors(n Network, dir string, count int, seed uint64) ([]string, error) {
	inputs, err := z.Inputs(n)
	if err != nil {
		return nil, err
	}
	var lines []string
	for i := range count {
		sample, err := n.Draw(inputs, seed*1000+uint64(i))
		if err != nil {
			return nil, err
		}
		var items []string
		for k, in := range inputs {
			path := filepath.Join(dir, fmt.Sprintf("%d-%d.npy", i, k))
			if err := atomicfile.Write(path, func(f *os.File) error { return tensor.WriteNpy(f, sample[in.Name]) }); err != nil {
				return nil, err
			}
			items = append(items, in.Name+":="+path)
		}
		lines = append(lines, strings.Join(items, " "))
	}
	return lines, nil
}

// scenes lists pictures of a folder.
func scenes(folder string, count int, seed uint64) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("%w; run make fixtures, which draws pictures", err)
	}
	var list []string
	for _, e := range entries {
		if slices.Contains([]string{".jpg", ".jpeg", ".png"}, filepath.Ext(e.Name())) {
			path, err := filepath.Abs(filepath.Join(folder, e.Name()))
			if err != nil {
				return nil, err
			}
			list = append(list, path)
		}
	}
	from := int(seed) * count
	if len(list) < from+count {
		return nil, fmt.Errorf("%s has %d pictures, too few: run make fixtures", folder, len(list))
	}
	return list[from : from+count], nil
}

// written draws a picture of text.
func written(kind string, seed uint64) (image.Image, error) {
	rng := rand.New(rand.NewPCG(seed, hash(kind)))
	switch kind {
	case "text":
		return line(rng, 512, 64, 2+rng.IntN(3), 5)
	case "turned":
		img, err := line(rng, 512, 64, 2+rng.IntN(3), 5)
		if err == nil && rng.IntN(2) == 1 {
			turn(img)
		}
		return img, err
	case "page":
		return page(rng)
	case "word":
		return line(rng, 160, 60, 1, 5)
	}
	return nil, fmt.Errorf("there are no pictures of the kind %q", kind)
}
