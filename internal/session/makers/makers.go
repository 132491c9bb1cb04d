// Package makers registers what the program knows to run: builders and openers of variants, by kind and engine.
package makers

import (
	"quantcheck/internal/session"
	"quantcheck/internal/session/cpuvariant"
	"quantcheck/internal/session/dlcvariant"
	"quantcheck/internal/session/encodingsvariant"
	"quantcheck/internal/session/htpvariant"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/variant"
)

// init registers how each kind of variant is made on each engine: a new engine is a line here.
func init() {
	session.Register(variant.Recipe, variant.CPU, qdqvariant.FromRecipe{}, cpuvariant.Opener{})
	session.Register(variant.Half, variant.CPU, qdqvariant.FromHalf{}, cpuvariant.Opener{})
	session.Register(variant.File, variant.CPU, qdqvariant.FromFile{}, cpuvariant.Opener{})
	session.Register(variant.Encodings, variant.CPU, encodingsvariant.FromEncodings{}, cpuvariant.Opener{})
	session.Register(variant.Encodings, variant.HTP, htpvariant.Built{Builder: encodingsvariant.FromEncodings{}}, htpvariant.Opener{})
	session.Register(variant.Recipe, variant.HTP, htpvariant.Built{Builder: qdqvariant.FromRecipe{}}, htpvariant.Opener{})
	session.Register(variant.Half, variant.HTP, htpvariant.Built{Builder: qdqvariant.AsFloat{}}, htpvariant.Opener{})
	session.Register(variant.File, variant.HTP, htpvariant.Built{Builder: qdqvariant.FromFile{}}, htpvariant.Opener{})
	session.Register(variant.DLC, variant.HTP, dlcvariant.Builder{}, dlcvariant.Emulator{})
	session.Register(variant.Dumps, variant.CPU, dlcvariant.Builder{}, dlcvariant.Folder{})
	session.Register(variant.Device, variant.CPU, dlcvariant.Builder{}, dlcvariant.Device{})
}
