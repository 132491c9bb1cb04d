// Package archive reads Luxonis NN archives: a tar, packed with xz, gz or bz2 or not at all, with a config.json that says how
// the model wants its pictures and what its outputs are, and the model itself.
//
// Source of the format: luxonis-ml, nn_archive (config version 1.0).
package archive

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"quantcheck/internal/dataset"
)

// Is says whether a file's name is that of an archive.
func Is(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{".tar.xz", ".tar.gz", ".tar.bz2", ".tar", ".tgz", ".txz"}, func(e string) bool { return strings.HasSuffix(lower, e) })
}

// Stem is the archive's name without its ending.
func Stem(name string) string {
	base := filepath.Base(name)
	for _, e := range []string{".xz", ".gz", ".bz2", ".txz", ".tgz", ".tar"} {
		if len(base) > len(e) && strings.EqualFold(base[len(base)-len(e):], e) {
			base = base[:len(base)-len(e)]
		}
	}
	return base
}

// Archive is an archive whose configuration was read.
type Archive struct {
	Path   string
	Config Config
}

// Config is what config.json says, as far as it is used.
type Config struct {
	Version string `json:"config_version"`
	Model   struct {
		Metadata struct {
			Name string `json:"name"`
			Path string `json:"path"`
		} `json:"metadata"`
		Inputs []struct {
			Name          string  `json:"name"`
			InputType     string  `json:"input_type"`
			Shape         []int64 `json:"shape"`
			Layout        string  `json:"layout"`
			Preprocessing struct {
				Mean            []float64 `json:"mean"`
				Scale           []float64 `json:"scale"`
				ReverseChannels *bool     `json:"reverse_channels"`
				Type            *string   `json:"dai_type"`
			} `json:"preprocessing"`
		} `json:"inputs"`
		Heads []Head `json:"heads"`
	} `json:"model"`
}

// Head says how outputs are read.
type Head struct {
	Parser   string   `json:"parser"`
	Outputs  []string `json:"outputs"`
	Metadata struct {
		Classes  []string       `json:"classes"`
		Count    int            `json:"n_classes"`
		Anchors  [][][2]float64 `json:"anchors"`
		Subtype  string         `json:"subtype"`
		Boxes    string         `json:"boxes_outputs"`
		Scores   string         `json:"scores_outputs"`
		YOLO     []string       `json:"yolo_outputs"`
		BoxScale float64        `json:"box_scale"` // ours: what boxes are multiplied by
		NMSIoU   *float64       `json:"iou_threshold"`
		LeastCon *float64       `json:"conf_threshold"`
	} `json:"metadata"`
}

// Open reads an archive's configuration.
func Open(name string) (*Archive, error) {
	a := &Archive{Path: name}
	found := false
	err := a.each(context.Background(), func(h *tar.Header, r io.Reader) (bool, error) {
		if path.Clean(h.Name) != "config.json" {
			return true, nil
		}
		data, err := io.ReadAll(io.LimitReader(r, MaxConfig+1))
		if err == nil && len(data) > MaxConfig {
			err = errors.New("config.json has more than 4 MiB, which is the limit")
		}
		if err != nil {
			return false, err
		}
		found = true
		if err := json.Unmarshal(data, &a.Config); err != nil {
			return false, fmt.Errorf("config.json: %w", err)
		}
		return false, nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case !found:
		return nil, fmt.Errorf("%s holds no config.json: it is no NN archive", name)
	case a.Config.Model.Metadata.Path == "":
		return nil, fmt.Errorf("%s: its config.json names no model (model.metadata.path)", name)
	}
	return a, nil
}

// Describe writes what the archive says of pictures and outputs into a description. Thresholds of its heads are for people,
// not for scoring, and are not taken; notes say so.
func (a *Archive) Describe(d *dataset.Description) (notes []string, err error) {
	if len(a.Config.Model.Inputs) == 0 {
		return nil, fmt.Errorf("%s: its config.json has no inputs", a.Path)
	}
	in := a.Config.Model.Inputs[0]
	p := in.Preprocessing
	switch {
	case p.Type != nil && strings.HasPrefix(strings.ToUpper(*p.Type), "RGB"), p.Type == nil && p.ReverseChannels != nil && *p.ReverseChannels:
		d.InputColor = "rgb"
	case p.Type != nil && strings.HasPrefix(strings.ToUpper(*p.Type), "BGR"), p.Type == nil && p.ReverseChannels != nil:
		d.InputColor = "bgr"
	case p.Type != nil && strings.HasPrefix(strings.ToUpper(*p.Type), "GRAY"):
		d.InputColor = "gray"
	default:
		notes = append(notes, "the archive does not say whether the input is RGB or BGR; "+d.InputColor+" is taken")
	}
	if len(p.Mean) > 0 {
		d.Mean = dataset.Numbers(p.Mean)
	}
	if len(p.Scale) > 0 {
		d.Scale = dataset.Numbers(p.Scale)
	}
	if layout := strings.ToUpper(in.Layout); layout == "NCHW" || layout == "NHWC" {
		d.Layout = layout
	}
	block, more := a.block()
	notes = append(notes, more...)
	text, err := yaml.Marshal(block)
	if err != nil {
		return nil, err
	}
	d.Eval = dataset.Block(text)
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return notes, nil
}

// block is the eval block of the first head that is known.
func (a *Archive) block() (map[string]any, []string) {
	block := map[string]any{}
	for _, h := range a.Config.Model.Heads {
		parser := strings.ToLower(h.Parser)
		m := h.Metadata
		if len(m.Classes) > 0 {
			block["classes"] = m.Classes
		}
		switch {
		case strings.Contains(parser, "yolo"):
			block["task"] = "detection"
			if d := decoderOf(m.Subtype); d != "" {
				block["decoder"] = d
			}
			settings := scoring()
			if len(m.Anchors) > 0 {
				settings["anchors"] = m.Anchors
			}
			if m.BoxScale > 0 {
				settings["box-scale"] = m.BoxScale
			}
			if m.Count > 0 {
				settings["classes"] = m.Count
			}
			if names := h.boxOutputs(); len(names) > 0 {
				settings["outputs"] = names
			}
			block["decode"] = settings
		case strings.Contains(parser, "ssd"), strings.Contains(parser, "mobilenet"):
			block["task"], block["decoder"] = "detection", "ssd"
			if m.Boxes != "" && m.Scores != "" {
				settings := scoring()
				settings["outputs"] = []string{m.Boxes, m.Scores}
				block["decode"] = settings
			}
		case strings.Contains(parser, "segmentation"):
			block["task"] = "segmentation"
			if len(h.Outputs) == 1 {
				block["output"] = h.Outputs[0]
			}
		case strings.Contains(parser, "classification"):
			block["task"] = "classification"
			if len(h.Outputs) == 1 {
				block["output"] = h.Outputs[0]
			}
		default:
			continue
		}
		var notes []string
		if m.NMSIoU != nil || m.LeastCon != nil {
			notes = append(notes, "the archive's thresholds for confidence and IoU are for showing boxes; scoring has its own (--conf, --nms-iou)")
		}
		return block, notes
	}
	return block, []string{"none of the archive's heads is known: say the task with --task"}
}

// scoring are the settings of boxes that are scored.
func scoring() map[string]any {
	return map[string]any{"confidence": 0.01, "iou": 0.65, "most": 100, "pre-nms": 30000}
}

// boxOutputs names the outputs that a YOLO's boxes are read from, in the order of the archive: those that it gives the boxes, else all of the
// head's. A head that was cut has several for each scale.
func (h Head) boxOutputs() []string {
	switch {
	case len(h.Metadata.YOLO) > 0:
		return h.Metadata.YOLO
	case h.Metadata.Boxes != "" && h.Metadata.Scores != "":
		return []string{h.Metadata.Boxes, h.Metadata.Scores}
	}
	return h.Outputs
}

// decoderOf finds the decoder of a YOLO's subtype.
func decoderOf(subtype string) string {
	s := strings.ToLower(subtype)
	for _, d := range []struct{ part, decoder string }{
		{"yolov5", "yolov5"}, {"yolov6", "yolov6"}, {"yolov7", "yolov7"}, {"yolov8", "yolov8"}, {"yolov9", "yolov8"}, {"yolov11", "yolov8"}, {"yolo11", "yolov8"}, {"yolov12", "yolov8"}, {"yolox", "yolox"},
	} {
		if strings.Contains(s, d.part) {
			return d.decoder
		}
	}
	return ""
}
