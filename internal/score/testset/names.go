package testset

import (
	"fmt"

	"quantcheck/internal/eval"
	"quantcheck/internal/labels"
	"quantcheck/internal/session"
)

// Named puts the class names in the metadata of a session's model into a configuration: Ultralytics' names. Names that cannot be read are
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
	return config
}
