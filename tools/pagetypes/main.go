// Pagetypes writes ui/src/data.ts: the TypeScript types of the page's data, from the Go types that internal/web marshals.
//
//  1. Reflection starts at web.Page, beside whose fields those of web.Parts stand, and follows every field that encoding/json would write.
//  2. The Go source adds what reflection does not know: comments, and the constants of string types, which become unions.
//
// A slice or a map of the page is never nil, so it has no null in TypeScript; a field whose Go type says less than is
// known of it carries the TypeScript type in a tag, `ts:"number[]"`. That data fits the types is tested in internal/web.
package main

import (
	"fmt"
	"os"
	"reflect"

	"quantcheck/internal/web"
)

// output is the generated file, from the repository's root.
const output = "ui/src/data.ts"

func main() {
	text, err := generate(reflect.TypeFor[web.Page](), ".", web.Parts()...)
	if err == nil {
		err = os.WriteFile(output, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pagetypes:", err)
		os.Exit(1)
	}
}
