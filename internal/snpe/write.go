package snpe

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"quantcheck/internal/dlc"
)

// Figures are what a listing says besides the container's own content.
type Figures struct {
	Path       string // of the DLC
	Parameters func(node int) int64
	MACs       func(node int) int64 // −1: not known
	Memory     int64                // bytes
}

// WriteListing writes a DLC's first graph in the layout of snpe-dlc-info of SNPE 2.x with -m and -d. The runtimes that take
// a layer are known to the SDK alone: the column holds a question mark.
func WriteListing(w io.Writer, f *dlc.File, figures Figures) error {
	b := bufio.NewWriter(w)
	orNone := func(s string) string {
		if s == "" {
			return "N/A"
		}
		return s
	}
	g := &f.Graphs[0]
	fmt.Fprintf(b, "DLC info of: %s\n%100s\n", figures.Path, "")
	fmt.Fprintf(b, "Model Version: %s\nModel Copyright:%s\n", orNone(f.Metadata.ModelVersion), orNone(f.Metadata.ModelCopyright))
	fmt.Fprintf(b, "Converter command: %s\nQuantizer command: %s\n", orNone(f.Metadata.ConverterCommand), orNone(f.Metadata.QuantizerCommand))
	fmt.Fprintf(b, "DLC created with converter version: %s\n", orNone(f.Metadata.ConverterVersion))
	rows, total, macs := layerRows(f, g, figures)
	head := []string{"Id ", "Name", "Type", "Inputs", "Outputs", "Out Dims", "Runtimes", "Parameters"}
	widths := columnWidths(append([][]string{head}, rows...))
	width := 1
	for _, n := range widths {
		width += n + 3
	}
	fmt.Fprintf(b, "%s\nInfo of graph: %s\n", strings.Repeat("=", width), g.Name)
	writeTable(b, widths, head, rows)
	fmt.Fprint(b, "Note: The supported runtimes column is not known without the SDK\nKey : A:AIP\n      D:DSP\n      G:GPU\n      C:CPU\n\n")
	for _, end := range []struct {
		title    string
		location dlc.Location
	}{{"Input Name", dlc.Input}, {"Output Name", dlc.Output}} {
		var rows [][]string
		for _, t := range g.At(end.location) {
			rows = append(rows, []string{t.Name, joined(t.Shape, ","), t.DType.String(), endEncoding(t.Encoding)})
		}
		head := []string{end.title, "Dimensions", "Type", "Encoding Info"}
		writeTable(b, columnWidths(append([][]string{head}, rows...)), head, rows)
	}
	fmt.Fprintf(b, "Total parameters: %d (%d MB assuming single precision float. This does not represent the actual memory requirement for the model. "+
		"It provides a rough estimate of the contribution from the parameters 4xNo of Params in bytes)\n", total, total*4>>20)
	fmt.Fprintf(b, "Total MACs per inference: %s (100%%)\n", rounded(macs))
	var operators []string
	for _, n := range g.Nodes {
		operators = append(operators, n.Type)
	}
	slices.Sort(operators)
	fmt.Fprintf(b, "Ops used by Graph: %s\n", strings.Join(slices.Compact(operators), ", "))
	fmt.Fprintf(b, "Est. Steady-State Memory Needed to Run: %.1f MiB\n", float64(figures.Memory)/(1<<20))
	fmt.Fprint(b, "Written by quantcheck from the DLC itself; the memory is its own estimate, of weights and live activations.\n")
	return b.Flush()
}

// layerRows makes the rows of the table of layers, a row for as many lines as a layer's longest column has.
func layerRows(f *dlc.File, g *dlc.Graph, figures Figures) (rows [][]string, parameters, macs int64) {
	for i := range g.Nodes {
		parameters += max(figures.Parameters(i), 0)
		macs += max(figures.MACs(i), 0)
	}
	for i, n := range g.Nodes {
		var in, out, dims, parameter []string
		for _, name := range n.Inputs {
			t := g.Tensor(name)
			cell := tensorCell(name, t)
			if t != nil && t.Location == dlc.Input {
				cell += " [NW Input]"
			}
			in = append(in, cell)
			if t != nil && (t.Location == dlc.Input || t.Location == dlc.Static) {
				parameter = append(parameter, encodingCells(t)...)
			}
		}
		for _, name := range n.Outputs {
			t := g.Tensor(name)
			out = append(out, tensorCell(name, t))
			if t != nil {
				dims = append(dims, joined(t.Shape, "x"))
				parameter = append(parameter, encodingCells(t)...)
			}
		}
		parameter = append(parameter, attributeCells(f, n)...)
		if p := figures.Parameters(i); p > 0 {
			parameter = append(parameter, fmt.Sprintf("param count: %s (%s%%)", rounded(p), share(p, parameters)))
		}
		if m := figures.MACs(i); m > 0 {
			parameter = append(parameter, fmt.Sprintf("MACs per inference: %s (%s%%)", rounded(m), share(m, macs)))
		}
		for k := range max(1, len(in), len(out), len(dims), len(parameter)) {
			row := []string{"", "", "", at(in, k), at(out, k), at(dims, k), "", at(parameter, k)}
			if k == 0 {
				row[0], row[1], row[2], row[6] = strconv.Itoa(i), n.Name, n.Type, "?"
			}
			rows = append(rows, row)
		}
	}
	return rows, parameters, macs
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

func tensorCell(name string, t *dlc.Tensor) string {
	if t == nil {
		return name
	}
	return fmt.Sprintf("%s (data type: %s; tensor dimension: [%s]; tensor type: %s)", name, t.DType, joined(t.Shape, ","), kinds[t.Location])
}

func joined(dims []int, separator string) string {
	var parts []string
	for _, d := range dims {
		parts = append(parts, strconv.Itoa(d))
	}
	return strings.Join(parts, separator)
}

func encodingCells(t *dlc.Tensor) []string {
	e := t.Encoding
	if e == nil {
		return nil
	}
	if e.Axis < 0 {
		return []string{t.Name + " encoding : " + encodingText(e, 0)}
	}
	var cells []string
	for c := range e.Scale {
		cells = append(cells, fmt.Sprintf("%s encoding for channel_%d: %s", t.Name, c, encodingText(e, c)))
	}
	return append(cells, fmt.Sprintf("axis-quant: axis: %d, num_elements: %d", e.Axis, len(e.Scale)))
}

func encodingText(e *dlc.Encoding, i int) string {
	return fmt.Sprintf("bitwidth %d, min %.12f, max %.12f, scale %.12f, offset %.12f", e.Bits, e.Min[i], e.Max[i], e.Scale[i], float64(e.Offset[i]))
}

func endEncoding(e *dlc.Encoding) string {
	if e == nil {
		return "No encoding info for this tensor"
	}
	return encodingText(e, 0)
}

// attributeCells lists a node's attributes, sorted by name as the tool does.
func attributeCells(f *dlc.File, n dlc.Node) []string {
	var cells []string
	for _, a := range n.Attributes {
		var value string
		switch {
		case a.Tensor != nil:
			data, err := f.Data(a.Tensor)
			if err != nil {
				continue
			}
			value = nested(a.Tensor, data)
		case a.DType.Bits() == 0:
			value = a.Text
		case a.DType&0xf00 == 0x200:
			value = strconv.FormatFloat(a.Float, 'g', -1, 32)
		case a.DType == 0x508:
			value = map[bool]string{true: "True", false: "False"}[a.Int != 0]
		default:
			value = strconv.Itoa(a.Int)
		}
		if value != "" {
			cells = append(cells, a.Name+": "+value)
		}
	}
	slices.Sort(cells)
	return cells
}

// nested writes a tensor's values as Python does lists: [[1, 1], [1, 1]].
func nested(t *dlc.Tensor, data []byte) string {
	width := (t.DType.Bits() + 7) / 8
	if width == 0 || int64(len(data)) != t.Bytes() {
		return ""
	}
	var list func(shape []int, data []byte) string
	list = func(shape []int, data []byte) string {
		if len(shape) == 0 {
			return number(t.DType, data)
		}
		var parts []string
		for i := range shape[0] {
			n := len(data) / shape[0]
			parts = append(parts, list(shape[1:], data[i*n:(i+1)*n]))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return list(t.Shape, data)
}

func number(d dlc.DType, data []byte) string {
	if d == 0x232 {
		return strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), 'g', -1, 32)
	}
	value := uint64(0)
	for i, b := range data {
		value |= uint64(b) << (8 * i)
	}
	if d.Signed() {
		return strconv.FormatInt(int64(value<<(64-8*len(data)))>>(64-8*len(data)), 10)
	}
	return strconv.FormatUint(value, 10)
}

// rounded is a count as the tool shows it: whole thousands or millions.
func rounded(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%dM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%dk", n/1e3)
	}
	return strconv.FormatInt(n, 10)
}

func share(n, of int64) string {
	if of == 0 {
		return "0"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'g', 3, 64)
}

func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func writeTable(w io.Writer, widths []int, head []string, rows [][]string) {
	width := 1
	for _, n := range widths {
		width += n + 3
	}
	rule := strings.Repeat("-", width)
	line := func(row []string) {
		for i, cell := range row {
			fmt.Fprintf(w, "| %s%s ", oneLine(cell), strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, "|")
	}
	fmt.Fprintln(w, rule)
	line(head)
	fmt.Fprintln(w, rule)
	for _, row := range rows {
		line(row)
	}
	fmt.Fprintln(w, rule)
}

// oneLine keeps a hostile name from breaking the table.
func oneLine(cell string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, cell)
}
