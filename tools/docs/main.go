// Docs writes the pages of docs that are made from the program itself.
package main

import (
	"fmt"
	"os"

	"quantcheck/internal/rewrite"
)

func main() {
	if err := os.WriteFile("docs/passes.md", []byte(rewrite.Markdown()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
