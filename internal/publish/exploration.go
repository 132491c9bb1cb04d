package publish

import (
	"context"
	"fmt"
	"path/filepath"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/encodings"
	"quantcheck/internal/explore"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// Endings of the names of what an exploration writes.
const (
	ExploredName  = "explored"
	OptimizedName = "optimized"
)

// Exploration stores an exploration, and writes the model that it recommends if that was asked for. The paths are put into x.Files.
func Exploration(ctx context.Context, folder workspace.Folder, x *explore.Result) error {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return err
	}
	defer db.Close()
	if fix := x.Fix(); fix != nil {
		if err := apply(folder, x, fix); err != nil {
			return err
		}
	}
	x.Files = append(x.Files, folder.Database())
	if err := db.Explorations.Add(ctx, x.Explored); err != nil {
		return err
	}
	content, err := Page(ctx, folder, db, folder.Report())
	files, notes, err := withPage(folder, x.Files, err)
	x.Files, x.Warnings = files, append(append(x.Warnings, notes...), content.Problems...)
	return err
}

// apply writes the recommended model in every form, and says how each is used.
func apply(folder workspace.Folder, x *explore.Result, fix *explore.Fix) error {
	path := func(ending string) string { return ExploredFile(folder, x.Name, ExploredName, ending) }
	var b atomicfile.Batch
	defer b.Discard()
	if err := onnx.SaveTo(&b, fix.Model, path(".onnx")); err != nil {
		return err
	}
	x.Files = append(x.Files, path(".onnx"))
	for _, version := range encodings.Versions {
		data, err := encodings.Write(version, fix.Layers, fix.Variant)
		if err != nil {
			return err
		}
		name := path("-encodings-" + version + ".json")
		if err := b.WriteBytes(name, data); err != nil {
			return err
		}
		x.Files = append(x.Files, name)
	}
	if fix.DLC != nil {
		name := filepath.Join(folder.ModelDLC(x.Name+"-"+ExploredName), x.Name+"-"+ExploredName+".dlc")
		if err := b.WriteBytes(name, fix.DLC); err != nil {
			return err
		}
		x.Files = append(x.Files, name)
	} else {
		x.Warnings = append(x.Warnings, "no DLC was written: "+fix.Problem)
	}
	x.Commands = commands(x.Explored, path)
	return b.Commit()
}

// commands are those of SNPE and QAIRT that take the files.
func commands(x *result.Explored, path func(string) string) []string {
	best := x.Points[x.Best].Recipe
	quant := fmt.Sprintf("snpe-dlc-quant --input_dlc %[1]s.dlc --input_list LIST.txt --output_dlc %[1]s-quant.dlc --override_params --weights_bitwidth %[2]d --act_bitwidth %[3]d --bias_bitwidth %[4]d",
		x.Name, best.WeightBits, best.ActBits, best.BiasBits)
	if best.PerChannel {
		quant += " --use_per_channel_quantization"
	}
	overrides := path("-encodings-0.6.1.json")
	return []string{
		fmt.Sprintf("snpe-onnx-to-dlc -i %s --quantization_overrides %s -o %s.dlc", x.Spec.Model, overrides, x.Name),
		quant,
		fmt.Sprintf("qairt-converter --input_network %s --quantization_overrides %s --output_path %s.dlc", x.Spec.Model, path("-encodings-1.0.0.json"), x.Name),
	}
}

// ExploredFile is a file of a model that is written, with this ending.
func ExploredFile(folder workspace.Folder, name, what, ending string) string {
	return filepath.Join(folder.ModelONNX(name, what), name+"-"+what+ending)
}
