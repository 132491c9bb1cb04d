package snpe

import (
	"regexp"
	"strings"
)

// success is what snpe-net-run says when all is done: "Successfully executed!" (2.14), "Successfully executed graph NAME" (2.22).
var success = regexp.MustCompile(`(?m)^\s*Successfully executed(!| graph )`)

// Executed says whether snpe-net-run reports success. It counts beside the exit status only: either alone has been seen to lie.
func Executed(text []byte) bool { return success.Match(text) }

// failedWrite is printed where a folder for a nested name is missing.
var failedWrite = regexp.MustCompile(`(?m)^.*Failed to write data to:\s*(\S.*?)\s*$`)

// FailedWrites lists the files that snpe-net-run could not write.
func FailedWrites(text []byte) []string {
	var paths []string
	for _, m := range failedWrite.FindAllSubmatch(text, -1) {
		paths = append(paths, string(m[1]))
	}
	return paths
}

// toolError is the line that SNPE's libraries print of an error.
var toolError = regexp.MustCompile(`(?m)error_code=(\d+); error_message=(.*?); error_component=([^;\n]*)`)

// ToolError finds the last error that a tool printed, in a sentence; "" if there is none.
func ToolError(text []byte) string {
	all := toolError.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	m := all[len(all)-1]
	return "SNPE error " + string(m[1]) + " in " + strings.TrimSpace(string(m[3])) + ": " + string(m[2])
}
