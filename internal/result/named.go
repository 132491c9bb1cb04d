package result

import "strings"

// Named puts a noun in front of the name of a thing: output y. A name that begins with the noun, that is empty or that has blanks stands in
// backquotes, so that the sentence is read once: output `output`.
func Named(noun, name string) string {
	if name == "" || strings.HasPrefix(strings.ToLower(name), strings.ToLower(noun)) || strings.ContainsAny(name, " \t") {
		return noun + " `" + name + "`"
	}
	return noun + " " + name
}
