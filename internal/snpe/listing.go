// Package snpe reads and writes what Qualcomm's SNPE tools print. Everything here is a pure function of bytes.
//
// A listing of snpe-dlc-info says of a DLC what the container itself says, without its weights: ReadListing takes the
// text of SNPE 1.x and 2.x and the CSV of `-s`, WriteListing makes the text.
package snpe

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"quantcheck/internal/dlc"
)

// IsListing says whether a file's first bytes look like a listing.
func IsListing(head []byte) bool {
	text := strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n\"")
	return strings.HasPrefix(text, "DLC info") || strings.HasPrefix(text, "Id,Name,Type")
}

var errNoListing = errors.New("not a listing of snpe-dlc-info: it has no table of layers")

// ReadListing reads a listing into what the DLC itself would have given, but for the weights. Encodings that stand in
// per-channel form without all of their channels are left out, and a note says so.
func ReadListing(data []byte) (*dlc.File, error) {
	r := &reader{tensors: map[string]int{}, channels: map[string]*channels{}}
	records, err := split(data)
	if err != nil {
		return nil, err
	}
	for _, cells := range records {
		r.record(cells)
	}
	if len(r.graph.Nodes) == 0 {
		return nil, errNoListing
	}
	r.finish()
	format := "listing of snpe-dlc-info"
	return dlc.Described(format, r.metadata, []dlc.Graph{r.graph}, r.notes), nil
}

// split cuts a listing into records: the cells of a table's row, or one cell of text.
func split(data []byte) ([][]string, error) {
	firstLine, _, _ := bytes.Cut(data, []byte("\n"))
	if bytes.HasPrefix(data, []byte("Id,")) || bytes.Contains(data, []byte("\nId,Name,Type")) || bytes.HasPrefix(firstLine, []byte(`"DLC info`)) {
		c := csv.NewReader(bytes.NewReader(data))
		c.FieldsPerRecord, c.LazyQuotes = -1, true
		var records [][]string
		for {
			cells, err := c.Read()
			if errors.Is(err, io.EOF) {
				return records, nil
			}
			if err != nil {
				return nil, fmt.Errorf("not a listing of snpe-dlc-info: %w", err)
			}
			records = append(records, cells)
		}
	}
	var records [][]string
	var columns []int // where the table's bars stand, in runes
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, "|") {
			records = append(records, []string{strings.TrimSpace(line)})
			continue
		}
		if isHeader(line) {
			columns = bars([]rune(line))
		}
		records = append(records, cut([]rune(line), columns))
	}
	return records, nil
}

func isHeader(line string) bool {
	rest := strings.TrimSpace(strings.TrimPrefix(line, "|"))
	return strings.HasPrefix(rest, "Id ") || strings.HasPrefix(rest, "Input Name ") || strings.HasPrefix(rest, "Output Name ")
}

func bars(line []rune) []int {
	var at []int
	for i, c := range line {
		if c == '|' {
			at = append(at, i)
		}
	}
	return at
}

// cut takes a row apart at the header's bars, so that names may hold some; a row that does not follow them is taken apart
// at its own.
func cut(line []rune, columns []int) []string {
	if columns == nil {
		columns = bars(line)
	}
	for _, at := range columns {
		if at >= len(line) || line[at] != '|' {
			columns = bars(line)
			break
		}
	}
	var cells []string
	for i := 1; i < len(columns); i++ {
		cells = append(cells, strings.TrimSpace(string(line[columns[i-1]+1:columns[i]])))
	}
	return cells
}

// The tables of a listing; the first may lack its header, where the end of a listing was quoted.
const (
	layers = iota
	inputs
	outputs
)

type reader struct {
	graph    dlc.Graph
	metadata dlc.Metadata
	notes    []string
	table    int
	tensors  map[string]int
	channels map[string]*channels
	axisOf   string // the tensor whose encoding was read last
	outputs  int    // of the layer at hand
}

// channels gathers a tensor's encodings.
type channels struct {
	list     []one
	axis     int
	elements int // −1: not told
}

type one struct {
	bits            int
	lo, hi, scale   float64
	offset, channel int
}

func (r *reader) record(cells []string) {
	if len(cells) == 1 || len(cells) == 0 {
		r.line(strings.Join(cells, ""))
		return
	}
	switch strings.TrimSpace(cells[0]) {
	case "Id":
		r.table = layers
		return
	case "Input Name":
		r.table = inputs
		return
	case "Output Name":
		r.table = outputs
		return
	}
	for len(cells) < 8 {
		cells = append(cells, "")
	}
	switch r.table {
	case layers:
		r.layer(cells)
	case inputs:
		r.end(cells, dlc.Input)
	case outputs:
		r.end(cells, dlc.Output)
	}
}

// line reads free text.
func (r *reader) line(line string) {
	key, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	if !ok || value == "" || value == "N/A" {
		return
	}
	for name, into := range map[string]*string{
		"Model Version": &r.metadata.ModelVersion, "Model Copyright": &r.metadata.ModelCopyright, "Converter command": &r.metadata.ConverterCommand,
		"Quantizer command": &r.metadata.QuantizerCommand, "DLC created with converter version": &r.metadata.ConverterVersion, "Info of graph": &r.graph.Name,
	} {
		if key == name && *into == "" {
			*into = value
		}
	}
}

// kinds are the names of tensors' locations.
var kinds = map[dlc.Location]string{dlc.Input: "APP_WRITE", dlc.Output: "APP_READ", dlc.InOut: "APP_READWRITE", dlc.Native: "NATIVE", dlc.Static: "STATIC"}

// typed is a cell of SNPE 2.x: the name, then what kind of tensor it is.
var typed = regexp.MustCompile(`^(.*) \(data type: ([^;]+); tensor dimension: \[([^\]]*)\]; tensor type: ([A-Z_]+)\)( \[NW Input\])?$`)

func (r *reader) layer(cells []string) {
	if cells[0] != "" {
		if _, err := strconv.Atoi(cells[0]); err != nil {
			return
		}
		r.graph.Nodes = append(r.graph.Nodes, dlc.Node{Name: cells[1], Type: cells[2]})
		r.outputs = 0
	}
	if len(r.graph.Nodes) == 0 {
		return
	}
	n := &r.graph.Nodes[len(r.graph.Nodes)-1]
	if cells[3] != "" {
		n.Inputs = append(n.Inputs, r.tensor(cells[3], nil))
	}
	if cells[4] != "" {
		n.Outputs = append(n.Outputs, r.tensor(cells[4], dimensions(cells[5], "x")))
	}
	if cells[7] != "" {
		r.parameter(n, cells[7])
	}
}

// tensor notes a tensor and gives its name; dims are those of the column of dimensions, for listings of SNPE 1.x.
func (r *reader) tensor(cell string, dims []int) string {
	t := dlc.Tensor{Name: cell, Location: dlc.Native, AxisFormat: -1, DType: dlc.Undefined, SourceDType: dlc.Undefined, Shape: dims}
	if m := typed.FindStringSubmatch(cell); m != nil {
		t.Name, t.Shape = m[1], dimensions(m[3], ",")
		t.DType, _ = dlc.ParseDType(m[2])
		for location, kind := range kinds {
			if kind == m[4] {
				t.Location = location
			}
		}
	}
	if k, known := r.tensors[t.Name]; known {
		if old := &r.graph.Tensors[k]; old.Shape == nil {
			old.Shape = t.Shape
		}
		return t.Name
	}
	r.tensors[t.Name] = len(r.graph.Tensors)
	r.graph.Tensors = append(r.graph.Tensors, t)
	return t.Name
}

func dimensions(text, separator string) []int {
	var dims []int
	for part := range strings.SplitSeq(text, separator) {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 {
			return nil
		}
		dims = append(dims, n)
	}
	return dims
}

var (
	whole      = regexp.MustCompile(`^(.*) encoding ?: bitwidth (\d+), min (\S+), max (\S+), scale (\S+), offset (\S+)$`)
	perChannel = regexp.MustCompile(`^(.*) encoding for channel_(\d+): bitwidth (\d+), min (\S+), max (\S+), scale (\S+), offset (\S+)$`)
	axis       = regexp.MustCompile(`^axis-quant: axis: (\d+), num_elements: (\d+)`)
	ended      = regexp.MustCompile(`^bitwidth (\d+), min (\S+), max (\S+), scale (\S+), offset (\S+)$`)
)

func (r *reader) parameter(n *dlc.Node, cell string) {
	if m := perChannel.FindStringSubmatch(cell); m != nil {
		channel, _ := strconv.Atoi(m[2])
		r.encoding(m[1], channel, m[3:])
		return
	}
	if m := whole.FindStringSubmatch(cell); m != nil {
		r.encoding(m[1], -1, m[2:])
		return
	}
	if m := axis.FindStringSubmatch(cell); m != nil {
		if c := r.channels[r.axisOf]; c != nil {
			c.axis, _ = strconv.Atoi(m[1])
			c.elements, _ = strconv.Atoi(m[2])
		}
		return
	}
	key, value, ok := strings.Cut(cell, ": ")
	derived := key == "param count" || key == "MACs per inference" || strings.HasPrefix(key, "Memory needed")
	if ok && !derived {
		n.Attributes = append(n.Attributes, dlc.Attribute{Name: key, Text: value, DType: 0x608})
	}
}

// end reads a row of the tables of inputs and outputs.
func (r *reader) end(cells []string, location dlc.Location) {
	name := cells[0]
	k, known := r.tensors[name]
	if !known {
		k = len(r.graph.Tensors)
		r.tensors[name] = k
		r.graph.Tensors = append(r.graph.Tensors, dlc.Tensor{Name: name, AxisFormat: -1, DType: dlc.Undefined, SourceDType: dlc.Undefined})
	}
	t := &r.graph.Tensors[k]
	t.Location = location
	if dims := dimensions(cells[1], ","); dims != nil {
		t.Shape = dims
	}
	if d, ok := dlc.ParseDType(cells[2]); ok {
		t.DType = d
	}
	if m := ended.FindStringSubmatch(cells[3]); m != nil {
		r.encoding(name, -1, m[1:])
	}
}

// encoding notes an encoding: fields are width, least and greatest value, scale and offset, as text.
func (r *reader) encoding(tensor string, channel int, fields []string) {
	var numbers [5]float64
	for i := range numbers {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || v-v != 0 {
			r.notes = append(r.notes, fmt.Sprintf("tensor %s: the encoding %q is not understood", tensor, strings.Join(fields, ", ")))
			return
		}
		numbers[i] = v
	}
	c := r.channels[tensor]
	if c == nil {
		c = &channels{axis: -1, elements: -1}
		r.channels[tensor] = c
	}
	r.axisOf = tensor
	for _, known := range c.list {
		if known.channel == channel { // a tensor's encoding stands at each of its uses
			if known.scale != numbers[3] || known.offset != int(numbers[4]) {
				r.notes = append(r.notes, fmt.Sprintf("tensor %s: two encodings are listed; the first is taken", tensor))
			}
			return
		}
	}
	c.list = append(c.list, one{int(numbers[0]), numbers[1], numbers[2], numbers[3], int(numbers[4]), channel})
}

// finish puts the encodings to their tensors.
func (r *reader) finish() {
	used := map[string]bool{}
	for _, n := range r.graph.Nodes {
		for _, in := range n.Inputs {
			used[in] = true
		}
	}
	described := false // the text of SNPE 2.x says what kind each tensor is
	for _, t := range r.graph.Tensors {
		described = described || t.Location == dlc.Input || t.Location == dlc.Output
	}
	for i := range r.graph.Tensors {
		t := &r.graph.Tensors[i]
		if !described {
			t.Location = r.locate(t.Name, used)
		}
		if c := r.channels[t.Name]; c != nil {
			t.Encoding = r.encodingOf(t, c)
		}
	}
}

// locate says what a tensor of a listing of SNPE 1.x is: a node of type data makes an input, nobody uses an output.
func (r *reader) locate(name string, used map[string]bool) dlc.Location {
	for _, n := range r.graph.Nodes {
		for _, out := range n.Outputs {
			if out == name && n.Type == "data" {
				return dlc.Input
			}
		}
	}
	if !used[name] {
		return dlc.Output
	}
	return dlc.Native
}

// encodingOf makes a tensor's encoding. Twelve decimals are few for a small scale: then it is taken from the range, as
// SNPE defines it, scale = (max − min) / (2^bits − 1).
func (r *reader) encodingOf(t *dlc.Tensor, c *channels) *dlc.Encoding {
	list := c.list
	drop := func(why string) *dlc.Encoding {
		r.notes = append(r.notes, fmt.Sprintf("tensor %s: %s", t.Name, why))
		return nil
	}
	if c.elements >= 0 && c.elements != len(list) {
		return drop(fmt.Sprintf("only %d of its %d encodings are listed (make the listing with -d)", len(list), c.elements))
	}
	e := &dlc.Encoding{Axis: -1, Bits: list[0].bits}
	if list[0].channel >= 0 {
		if e.Axis = c.axis; e.Axis < 0 || e.Axis >= len(t.Shape) || t.Shape[e.Axis] != len(list) {
			return drop(fmt.Sprintf("%d encodings along axis %d of the shape %v are not understood", len(list), e.Axis, t.Shape))
		}
	}
	for i, x := range list {
		const few = 1e-6
		if x.scale < few && x.bits > 0 && x.bits <= 32 {
			if s := (x.hi - x.lo) / (float64(uint64(1)<<x.bits) - 1); s > 0 {
				x.scale = s
			}
		}
		wide := x.bits == 4 || x.bits == 8 || x.bits == 16 || x.bits == 32
		if !wide || x.bits != e.Bits || !(x.scale > 0) || i > 0 && x.channel != i {
			return drop(fmt.Sprintf("an encoding with %d bits and scale %g is not understood", x.bits, x.scale))
		}
		e.Scale, e.Offset = append(e.Scale, float32(x.scale)), append(e.Offset, int32(x.offset))
		e.Min, e.Max = append(e.Min, float32(x.lo)), append(e.Max, float32(x.hi))
	}
	return e
}
