package modelfile

import (
	"path/filepath"
	"slices"
	"strings"
)

// encodingsEndings are those of AIMET's JSON, which holds a model's encodings and no model.
var encodingsEndings = []string{".json", ".encodings"}

// IsEncodings says whether a file holds encodings in AIMET's JSON, by its ending.
func IsEncodings(path string) bool {
	return slices.Contains(encodingsEndings, strings.ToLower(filepath.Ext(path)))
}
