package cli

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/rawfiles"
	"quantcheck/internal/report"
	"quantcheck/internal/tensor"
)

type rawCmd struct {
	Images string `required:"" placeholder:"PATH" help:"Pictures: one, a folder, or a text file that names them."`
	Output string `short:"o" required:"" placeholder:"DIR" help:"Folder for the raw files and inputs_raw.txt."`
	Type   string `enum:"${raw_types}" default:"u8" help:"${enum} (${default})."`
	Size   string `placeholder:"512x288" help:"Width and height. Without it --model tells."`
	Model  string `placeholder:"FILE" help:"A DLC, a listing of one, or an ONNX model with fixed shapes: its first input tells size and layout."`
	Limit  int    `placeholder:"N" help:"Take the first N pictures."`
	Prefix string `placeholder:"DIR" help:"Folder that the paths in inputs_raw.txt begin with, such as one on the device (the output folder)."`

	Input inputFlags `embed:"" group:"Input:"`
}

// Help documents the command.
func (rawCmd) Help() string {
	return "Writes a raw file per picture, HWC unless --layout NCHW says otherwise, and inputs_raw.txt, the list that snpe-net-run takes. u8 and u16 hold pixels; fp16 and f32 what --mean and --scale make of them. --resize crop-pad-height is the seed tool's way."
}

// rawTypes are the words for element types.
var rawTypes = []struct {
	word  string
	dtype tensor.DType
}{{"u8", tensor.Uint8}, {"u16", tensor.Uint16}, {"fp16", tensor.Float16}, {"f32", tensor.Float32}}

// rawType finds an element type by its word, which kong has checked.
func rawType(word string) tensor.DType {
	for _, t := range rawTypes {
		if t.word == word {
			return t.dtype
		}
	}
	panic("there is no raw type " + word)
}

// filesPerCommit is how many files wait for the disk together.
const filesPerCommit = 256

func (c *rawCmd) places() places {
	return places{
		model: place{"--model", c.Model}, samples: []place{{"--images", c.Images}}, reads: []place{{"--model-config", c.Input.ModelConfig}},
		files: []place{{"-o", filepath.Join(c.Output, "inputs_raw.txt")}}, folders: []place{{"-o", c.Output}},
	}
}

func (c *rawCmd) Run(con *console) error {
	d, err := c.Input.description(c.Model)
	if err != nil {
		return err
	}
	spec := rawfiles.Spec{Images: c.Images, Limit: c.Limit, Input: d, DType: rawType(c.Type), Model: c.Model}
	switch {
	case c.Limit < 0:
		return usagef("--limit %d: a number of pictures is not negative", c.Limit)
	case c.Size != "":
		w, h, ok := strings.Cut(strings.ToLower(c.Size), "x")
		var err1, err2 error
		spec.Width, err1 = strconv.Atoi(w)
		spec.Height, err2 = strconv.Atoi(h)
		if !ok || err1 != nil || err2 != nil || spec.Width < 1 || spec.Height < 1 || spec.Width > 1<<14 || spec.Height > 1<<14 {
			return usagef("--size %q: write width and height, such as 512x288", c.Size)
		}
	case c.Model == "":
		return usagef("of which size? --size 512x288, or --model FILE")
	}
	if err := checkOut(c.Output); err != nil {
		return err
	}
	if err := tryFiles(filepath.Join(c.Output, "inputs_raw.txt")); err != nil {
		return err
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	prefix := c.Prefix
	if prefix == "" {
		prefix = c.Output
	}
	var list strings.Builder
	written := map[string]string{} // file → picture
	var files atomicfile.Batch
	defer files.Discard()
	result, err := rawfiles.Write(con.ctx, spec, progress, func(picture string, data []byte) error {
		name := strings.TrimSuffix(filepath.Base(picture), filepath.Ext(picture)) + ".raw"
		if other, twice := written[name]; twice {
			return usagef("the pictures %s and %s would both become %s", other, picture, name)
		}
		written[name] = picture
		if strings.ContainsAny(name, " \t\r\n") {
			return usagef("%s: an input list cannot hold names with spaces; rename the picture", picture)
		}
		fmt.Fprintln(&list, filepath.ToSlash(filepath.Join(prefix, name)))
		if err := files.WriteBytes(filepath.Join(c.Output, name), data); err != nil || len(written)%filesPerCommit != 0 {
			return err
		}
		return files.Commit()
	})
	if err != nil {
		return err
	}
	path := filepath.Join(c.Output, "inputs_raw.txt")
	if err := files.WriteBytes(path, []byte(list.String())); err != nil {
		return err
	}
	if err := files.Commit(); err != nil {
		return err
	}
	progress.clear()
	fmt.Fprintf(con.stdout, "%d raw files of %d bytes, %s%v %s, %s\n%s\n", len(written), result.Bytes, c.Type, result.Shape, result.Layout, d, report.Printable(path))
	for _, w := range result.Warnings {
		con.say("%s", w)
	}
	return nil
}
