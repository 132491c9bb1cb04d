package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/bench/zoo/networks"
)

// model is one that is judged.
type model struct {
	name, path string
	flags      []string
	samples    string // those that calibrate, and that the check compares on
	others     string // those that decisions are counted on; "": there are labels
	labels     string // of COCO; "": none
	limit      int
	emulated   bool // on the emulator too
}

// quick is how many bytes a network has at most that is judged on the emulator, and one of the small part: inferences take seconds there.
const quick, quickest = 2 << 20, 256 << 10

// own is the folder of the fixtures that make fixtures makes.
var own = filepath.Join("third_party", "fixtures")

func beside() string {
	if dir := os.Getenv("QUANTCHECK_FIXTURES"); dir != "" {
		return dir
	}
	return filepath.Join("..", "shared", "fixtures")
}

// first is the first of these files that is there, "" if none is.
func first(paths ...string) string {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

var imagenet = []string{"--mean", "123.675,116.28,103.53", "--scale", "58.395,57.12,57.375"}

// models lists those that are there: of the fixtures, of this project's packages, of the zoo. Lists of pictures go into dir.
func models(o options, dir string) ([]model, error) {
	folders := []string{beside(), own}
	if o.small {
		folders = folders[1:]
	}
	find := func(elem ...string) string {
		var list []string
		for _, dir := range folders {
			list = append(list, filepath.Join(append([]string{dir}, elem...)...))
		}
		return first(list...)
	}
	limit := o.pictures
	if o.small {
		limit = min(limit, 8)
	}
	pictures, labels := find("coco", "val"), find("coco", "instances.json")
	a, b, err := split(pictures, dir, o.small)
	if err != nil {
		return nil, err
	}
	var list []model
	add := func(m model) {
		if m.path == "" || o.models != nil && !slices.Contains(o.models, m.name) {
			return
		}
		m.limit = limit
		if info, err := os.Stat(m.path); err == nil {
			m.emulated = o.emulated && info.Size() <= map[bool]int64{false: quick, true: quickest}[o.small]
		}
		if m.labels == "" && m.others == "" {
			m.samples, m.others = a, b
		}
		list = append(list, m)
	}
	add(model{name: "faces", path: first(filepath.Join(own, "models", "faces.onnx")), flags: []string{"--mean", "127", "--scale", "128"}})
	z, err := networks.Open(dir)
	if err != nil {
		return nil, err
	}
	published := filepath.Join("third_party", "node_modules", "@gutenye", "ocr-models", "assets")
	lines := model{name: "pp-ocr-cls", path: first(filepath.Join(published, "ch_ppocr_mobile_v2.0_cls_infer.onnx")), flags: []string{"--input-shape", "1,3,48,192", "--mean", "127.5", "--scale", "127.5"}}
	if lines.samples, lines.others, err = drawn(z, networks.Network{Name: "pp-ocr-cls", Samples: map[string]string{"all": "turned"}}, max(limit, 32)); err != nil {
		return nil, err
	}
	add(lines)
	size, count := "1,3,640,640", limit
	if o.small {
		size, count = "1,3,320,320", 4
	}
	pages := model{name: "pp-ocrv4-det", path: first(filepath.Join(published, "ch_PP-OCRv4_det_infer.onnx")), flags: append([]string{"--input-shape", size}, imagenet...)}
	if pages.samples, pages.others, err = drawn(z, networks.Network{Name: "pp-ocrv4-det", Samples: map[string]string{"all": "page"}}, count); err != nil {
		return nil, err
	}
	add(pages)
	if o.small {
		return list, nil
	}
	yolox := []string{"--input-color", "bgr", "--resize", "letterbox", "--pad-position", "bottom-right"}
	add(model{name: "yolox_nano", path: find("models", "yolox_nano.onnx"), flags: yolox, samples: pictures, labels: labels})
	add(model{name: "RFB-320", path: find("models", "version-RFB-320.onnx"), flags: []string{"--mean", "127", "--scale", "128"}})
	add(model{name: "squeezenet", path: find("models", "squeezenet_tensor_input.onnx")})
	for _, name := range []string{"light_shufflenet", "light_squeezenet"} {
		add(model{name: name, path: find("models", "onnx_light", name+".onnx"), flags: imagenet})
	}
	if o.zoo != "" {
		if err := addZoo(o, a, b, add); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no model is there: run make fixtures, and zoo -fetch for its networks")
	}
	return list, nil
}

// addZoo adds the zoo's networks that were fetched.
func addZoo(o options, a, b string, add func(model)) error {
	dir, err := filepath.Abs(o.zoo)
	if err != nil {
		return err
	}
	z, err := networks.Open(dir)
	if err != nil {
		return err
	}
	for _, n := range z.Table.Networks {
		if o.models != nil && !slices.Contains(o.models, n.Name) || first(z.Model(n)) == "" {
			continue
		}
		m := model{name: n.Name, path: z.Model(n), flags: n.Args(false), samples: a, others: b}
		if n.Samples["all"] != "pictures" {
			if m.samples, m.others, err = drawn(z, n, o.pictures); err != nil {
				return err
			}
		}
		add(m)
	}
	return nil
}

// drawn draws samples for the check, and twice as many others for decisions.
func drawn(z *networks.Zoo, n networks.Network, count int) (samples, others string, err error) {
	const before, behind = 2, 3 // seeds of their own
	if samples, err = z.Samples(n, "", count, before); err != nil {
		return "", "", err
	}
	others, err = z.Samples(n, "", 2*count, behind)
	return samples, others, err
}

// split makes two lists of a folder's pictures: one in four, for the check, and the others, for decisions.
func split(folder, dir string, few bool) (a, b string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", "", fmt.Errorf("%w; run make fixtures", err)
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", "", err
	}
	var lists [2]string
	for i, e := range entries {
		k := min(i%4, 1)
		if few && k == 1 && i%4 == 1 {
			continue
		}
		lists[k] += filepath.Join(folder, e.Name()) + "\n"
	}
	a, b = filepath.Join(dir, "a.txt"), filepath.Join(dir, "b.txt")
	return a, b, errors.Join(os.WriteFile(a, []byte(lists[0]), 0o600), os.WriteFile(b, []byte(lists[1]), 0o600))
}
