package cli

import (
	"path/filepath"
	"strings"

	"quantcheck/internal/workspace"
	"quantcheck/internal/yamltext"
)

// benchModel is a model of --file.
type benchModel struct {
	DLC         string   `yaml:"dlc"`
	ONNX        string   `yaml:"onnx"`
	Name        string   `yaml:"name"`
	Image       string   `yaml:"image"`
	Images      string   `yaml:"images"`
	Data        string   `yaml:"data"`
	Calib       string   `yaml:"calib"`
	ModelConfig string   `yaml:"model-config"`
	Variants    []string `yaml:"variants"`
}

// readModels reads a YAML file of models.
func readModels(path string) (models []benchModel, err error) {
	data, err := yamltext.ReadFile(path)
	if err != nil {
		return nil, usageError{err}
	}
	var list struct {
		Models []benchModel `yaml:"models"`
	}
	if err := yamltext.Unmarshal(data, &list, true); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if len(list.Models) == 0 {
		return nil, usagef("%s names no models: it holds a list 'models', each with dlc and onnx", path)
	}
	for i := range list.Models {
		m := &list.Models[i]
		for _, p := range []*string{&m.DLC, &m.ONNX, &m.Image, &m.Images, &m.Data, &m.Calib, &m.ModelConfig} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(filepath.Dir(path), *p)
			}
		}
		for j, v := range m.Variants { // a file's path in them, too
			if name, file, ok := strings.Cut(v, "="); ok && !filepath.IsAbs(file) {
				m.Variants[j] = name + "=" + filepath.Join(filepath.Dir(path), file)
			}
		}
	}
	return list.Models, nil
}

// models are those that are to be measured.
func (c *benchmarkCmd) models() ([]benchModel, error) {
	own := benchModel{DLC: c.DLC, ONNX: c.ONNX, Name: c.Name, Image: c.Image, Images: c.Images, Data: c.Data, Calib: c.Calib, ModelConfig: c.Input.ModelConfig, Variants: c.Variant}
	if c.File == "" {
		if c.DLC == "" {
			return nil, usagef("which model? --dlc M.dlc --onnx O.onnx, or several with --file models.yaml")
		}
		return []benchModel{own}, nil
	}
	if c.DLC != "" || c.ONNX != "" || c.Name != "" {
		return nil, usagef("--file names the models: --dlc, --onnx and --name go without it")
	}
	list, err := readModels(c.File)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for i := range list {
		m := &list[i]
		for _, p := range []struct{ to, from *string }{{&m.Image, &own.Image}, {&m.Images, &own.Images}, {&m.Data, &own.Data}, {&m.Calib, &own.Calib}, {&m.ModelConfig, &own.ModelConfig}} {
			if *p.to == "" {
				*p.to = *p.from
			}
		}
		if m.Variants == nil {
			m.Variants = own.Variants
		}
		if m.DLC == "" {
			return nil, usagef("%s: model %d has no dlc", c.File, i+1)
		}
		name := workspace.ModelName(m.Name, m.DLC)
		if named[name] {
			return nil, usagef("%s: two models are called %s; give them names", c.File, name)
		}
		named[name] = true
	}
	return list, nil
}
