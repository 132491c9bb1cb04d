package web_test

import (
	"bytes"
	"strings"
	"testing"
)

// TestOnlyThePagesOwnScriptsRun puts a script and a style sheet into a page: neither may do anything, and the page draws.
func TestOnlyThePagesOwnScriptsRun(t *testing.T) {
	page := build(t, invent(1, 12, 2))
	if policy, _, _ := strings.Cut(string(page), "<title>"); strings.Contains(policy, "script-src 'unsafe-inline'") || !strings.Contains(policy, "script-src 'sha256-") || !strings.Contains(policy, "style-src-elem 'sha256-") {
		t.Errorf("the policy is open: %.600s", policy)
	}
	injected := bytes.Replace(page, []byte(`<div id="app">`), []byte(`<script>window.hacked = true</script><img src=x onerror="window.hacked = true"><style>body { color: rgb(1, 2, 3) }</style><div id="app">`), 1)
	if bytes.Equal(page, injected) {
		t.Fatal("nothing was injected")
	}
	eval := browse(t, injected, 1200)
	if hacked, styled := eval(`return window.hacked === true`), eval(`return getComputedStyle(document.body).color`); hacked != false || styled == "rgb(1, 2, 3)" {
		t.Errorf("an injected script or style sheet is in force: %v, %v", hacked, styled)
	}
	if rows, ok := eval(`return document.querySelectorAll('#layers tr').length`).(float64); !ok || rows < 5 {
		t.Errorf("%v rows are drawn: %.300v", rows, eval(`return document.body.innerText`))
	}
}
