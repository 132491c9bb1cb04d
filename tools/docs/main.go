// Docs writes the pages of docs that are made from the program itself.
package main

import (
	"fmt"
	"os"

	"quantcheck/internal/lint"
	"quantcheck/internal/rewrite"
)

func main() {
	for path, page := range map[string]string{"docs/passes.md": rewrite.Markdown(), "docs/checks.md": lint.Markdown()} {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
