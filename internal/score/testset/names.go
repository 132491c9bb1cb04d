package testset

import (
	"cmp"
	"fmt"

	"quantcheck/internal/eval"
	"quantcheck/internal/labels"
	"quantcheck/internal/session"
)

// Named puts what the metadata of a session's model say into a configuration: class names (Ultralytics' names) and the factor of its boxes. Names that cannot be read are
// none, and a warning of the session says so.
func Named(config eval.Config, b *session.Session) eval.Config {
	for _, p := range b.Float.Model.Proto.GetMetadataProps() {
		if p.GetKey() != "names" {
			continue
		}
		names, err := labels.ParseNames(p.GetValue())
		if err != nil {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("the names in the model's metadata are not read: %v", err))
			continue
		}
		config.ModelNames = names
	}
	config.Decode.BoxScale = cmp.Or(config.Decode.BoxScale, b.Float.BoxScale())
	return config
}
