package modelfile

import "testing"

func TestFilesOfEncodingsAreKnownByTheirEnding(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"x.json": true, "a.b/X.Encodings": true, "x.JSON": true, "json": false, "x.json.onnx": false, "": false, "x.encoding": false} {
		if IsEncodings(path) != want || Is(path) && want {
			t.Errorf("%q: %v", path, IsEncodings(path))
		}
	}
}
