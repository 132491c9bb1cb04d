package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
)

// Part is one of the outputs that a cut output became.
type Part struct {
	Name  string
	Shape []int64 // nil: not known
}

// Change says how an archive's model differs from the one that the archive was made for.
type Change struct {
	Model string            // the file's name in the new archive
	Cut   map[string][]Part // output → what it became
	// BoxScale is what boxes are multiplied by to be in pixels; 0: they are.
	BoxScale float64
}

// Write writes the archive with another model in the place of its own, as a tar packed with gzip, the same for the same input. Outputs that
// were cut are replaced wherever config.json names them: among the outputs, and in the heads. What else the archive holds is copied,
// but for its model. The model's bytes are read from r.
func (a *Archive) Write(ctx context.Context, w io.Writer, c Change, size int64, model io.Reader) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	put := func(name string, size int64, r io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := io.CopyN(t, r, size)
		return err
	}
	old := path.Clean(a.Config.Model.Metadata.Path)
	err := a.each(ctx, func(h *tar.Header, r io.Reader) (bool, error) {
		switch name := path.Clean(h.Name); name {
		case "config.json":
			data, err := io.ReadAll(io.LimitReader(r, MaxConfig+1))
			if err == nil {
				data, err = c.config(data)
			}
			if err != nil {
				return false, err
			}
			return true, put(name, int64(len(data)), bytes.NewReader(data))
		case old, c.Model:
			return true, nil
		default:
			return true, put(name, h.Size, r)
		}
	})
	if err == nil {
		err = put(c.Model, size, model)
	}
	if err == nil {
		err = t.Close()
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	return nil
}

// config changes the text of a config.json; what is not understood stays.
func (c Change) config(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	model, _ := doc["model"].(map[string]any)
	if metadata, ok := model["metadata"].(map[string]any); ok {
		metadata["path"] = c.Model
	}
	if outputs, ok := model["outputs"].([]any); ok {
		model["outputs"] = c.outputs(outputs)
	}
	heads, _ := model["heads"].([]any)
	for _, h := range heads {
		head, _ := h.(map[string]any)
		c.named(head, "outputs")
		metadata, _ := head["metadata"].(map[string]any)
		if c.BoxScale > 0 && metadata != nil {
			metadata["box_scale"] = c.BoxScale
		}
		for key := range metadata {
			c.named(metadata, key)
		}
	}
	return json.MarshalIndent(doc, "", "  ")
}

// outputs replaces the descriptions of outputs that were cut by one for each part.
func (c Change) outputs(list []any) []any {
	var after []any
	for _, o := range list {
		output, _ := o.(map[string]any)
		name, _ := output["name"].(string)
		parts, cut := c.Cut[name]
		if !cut {
			after = append(after, o)
			continue
		}
		for _, part := range parts {
			described := maps.Clone(output)
			described["name"] = part.Name
			delete(described, "shape")
			if part.Shape != nil {
				described["shape"] = part.Shape
			}
			after = append(after, described)
		}
	}
	return after
}

// named replaces the names of cut outputs in a list of names, or in an entry that is one.
func (c Change) named(in map[string]any, key string) {
	names := func(parts []Part) []any {
		var list []any
		for _, p := range parts {
			list = append(list, p.Name)
		}
		return list
	}
	switch value := in[key].(type) {
	case string:
		if parts := c.Cut[value]; len(parts) > 0 && strings.HasSuffix(key, "_outputs") {
			in[key] = parts[0].Name // one name: boxes stand in front of scores
			if strings.HasPrefix(key, "scores") {
				in[key] = parts[len(parts)-1].Name
			}
		}
	case []any:
		if key != "outputs" && !strings.HasSuffix(key, "_outputs") {
			return
		}
		after := []any{}
		for _, v := range value {
			if name, ok := v.(string); ok {
				if parts, cut := c.Cut[name]; cut {
					after = append(after, names(parts)...)
					continue
				}
			}
			after = append(after, v)
		}
		in[key] = after
	}
}
