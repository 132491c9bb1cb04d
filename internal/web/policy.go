package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
)

// The template's policy allows any script and style that stands in the page; the page's own allows those that were built.
const (
	openScripts = "script-src 'unsafe-inline'"
	openStyles  = "style-src 'unsafe-inline'"
)

var (
	moduleScript = regexp.MustCompile(`(?s)<script type="module"[^>]*>(.*?)</script>`)
	styleElement = regexp.MustCompile(`(?s)<style[^>]*>(.*?)</style>`)
)

// closePolicy makes the policy of a built page allow its own scripts and style sheets alone, by their SHA-256. No attribute
// named style is allowed: the page sets styles of elements by script. ok is false if the page is not of that form.
func closePolicy(page []byte) (closed []byte, ok bool) {
	for _, part := range []struct {
		open, prefix string
		elements     *regexp.Regexp
	}{{openScripts, "script-src", moduleScript}, {openStyles, "style-src-elem", styleElement}} {
		found := part.elements.FindAllSubmatch(page, -1)
		if len(found) == 0 || bytes.Count(page, []byte(part.open)) != 1 {
			return nil, false
		}
		rule := []byte(part.prefix)
		for _, f := range found {
			sum := sha256.Sum256(f[1])
			rule = fmt.Appendf(rule, " 'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
		}
		page = bytes.Replace(page, []byte(part.open), rule, 1)
	}
	return page, true
}
