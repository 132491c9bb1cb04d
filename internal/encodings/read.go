package encodings

import (
	"fmt"

	"quantcheck/internal/quant"
)

// Section is where in a file an entry stands.
type Section string

// The sections. Files of version 2.0.0, QDQ models and DLCs have none.
const (
	Anywhere    Section = ""
	Activations Section = "activation_encodings"
	Params      Section = "param_encodings"
)

// Asked is what a file asks for one tensor.
type Asked struct {
	Float     bool // stays a floating-point number of Bits
	Bits      int
	Encodings []quant.Encoding // one, one per channel, or one per block in the order of the channels; none for floats
	Section   Section
	Listed    bool // per channel or per block, however many there are
	Axis      *int // of the channels, or of the blocks; nil: the file does not say
	Block     int  // how many values along an axis have one encoding; 0: it is not divided into blocks
	// Unusable says that the entry's values make no encoding; a Problem says why.
	Unusable bool
	Line     int // 0: not of a text
}

// Problem is what is wrong with an entry by itself.
type Problem struct {
	Tensor   string `json:"tensor"`
	Line     int    `json:"line"`
	Text     string `json:"text"`
	Unusable bool   `json:"unusable"` // there is no encoding; else what the file says twice differs
}

// File is what a file of encodings asks for.
type File struct {
	Version  string // by what stands in it: 0.6.1, 1.0.0 or 2.0.0
	Tensors  map[string]Asked
	Problems []Problem // in the file's order
}

// Parse reads AIMET's JSON, version 0.6.1, 1.0.0 or 2.0.0, by what stands in it. The error says where a file is none of them; what is
// wrong with single entries is in Problems.
func Parse(data []byte) (*File, error) {
	r := newReader(data)
	if err := r.file(); err != nil {
		return nil, err
	}
	return r.out, nil
}

// Read is Parse for those who need every entry: the first that makes no encoding is an error.
func Read(data []byte) (map[string]Asked, error) {
	f, err := Parse(data)
	if err != nil {
		return nil, err
	}
	return f.Tensors, f.Usable()
}

// Usable is an error that names the first entry that makes no encoding.
func (f *File) Usable() error {
	for _, p := range f.Problems {
		if p.Unusable {
			return fmt.Errorf("line %d: tensor %s: %s", p.Line, p.Tensor, p.Text)
		}
	}
	return nil
}
