package cli

import (
	"fmt"
	"io"

	"quantcheck/internal/report"
)

// listFiles names what a command wrote, a line each; title stands before the first.
func listFiles(w io.Writer, title string, files []string) {
	for i, f := range files {
		if i > 0 {
			title = ""
		}
		fmt.Fprintf(w, "%-12s %s\n", title, report.Printable(f))
	}
}

// notes says what is no error.
func (con *console) notes(list []string) {
	for _, text := range list {
		con.say("%s", text)
	}
}
