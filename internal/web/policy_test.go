package web_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"quantcheck/internal/result"
	"quantcheck/internal/web"
)

// TestNoViewIsAgainstThePolicy opens every view and works in it. The policy allows no attribute named style, so a view that has one looks
// other than it should; the browser tells of each.
func TestNoViewIsAgainstThePolicy(t *testing.T) {
	t.Parallel()
	run, benchmark := onDevice()
	folder, scenes := t.TempDir(), paintScenes(t, 4)
	page := buildContent(t, web.Content{
		Runs: []*result.Run{invent(1, 24, 3), run}, Benchmarks: []*result.Benchmark{benchmark}, Explorations: []*result.Explored{inventExploration()},
		Estimates:   []*result.Estimated{inventEstimate(1, "w8a8-0", run, 40)},
		Evaluations: []*result.Evaluation{segment(t, 1, scenes, result.Segmentation, folder), segment(t, 2, scenes, result.Depth, folder), detect(3, scenes, someClasses, 3)},
	})
	if policy, _, _ := strings.Cut(string(page), "<title>"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "-attr") {
		t.Errorf("the policy is open: %.600s", policy)
	}
	eval := browse(t, page, 1280)
	eval(`window.against = []; addEventListener('securitypolicyviolation', (e) => against.push(e.effectiveDirective + ' ' + e.sample + ' ' + e.sourceFile + ':' + e.lineNumber))`)
	const views = `document.querySelectorAll('[aria-label=view] button')`
	n, ok := eval(`return ` + views + `.length`).(float64)
	if !ok || n != 5 {
		t.Fatalf("%v views", n)
	}
	for i := range int(n) {
		eval(fmt.Sprintf(`%s[%d].click()`, views, i))
		// All that can be chosen, pressed, sorted by or pointed at, once.
		eval(`for (const s of document.querySelectorAll('main select')) for (let k = 0; k < s.options.length; k++) { s.selectedIndex = k; s.dispatchEvent(new Event('change')) }`)
		for k := range 80 {
			if eval(fmt.Sprintf(`const b = document.querySelectorAll('main button')[%d]; if (b && !b.disabled) b.click(); return !b`, k)) == true {
				break
			}
			eval(fmt.Sprintf(`%s[%d].click()`, views, i)) // a button may lead to another view
		}
		eval(`for (const r of [...document.querySelectorAll('main tbody tr, main circle')].slice(0, 60)) { for (const e of ['mouseenter', 'mousemove', 'click']) r.dispatchEvent(new MouseEvent(e, { bubbles: true, clientX: 100, clientY: 100 })) }`)
	}
	if against := eval(`return window.against`); fmt.Sprint(against) != "[]" {
		t.Errorf("against the policy: %v", against)
	}
	if wrong := eval(`return window.wrong`); fmt.Sprint(wrong) != "[]" {
		t.Errorf("the page complains: %v", wrong)
	}
	// The browser does tell: a style attribute in markup is a violation, and has no effect.
	eval(`document.querySelector('main').insertAdjacentHTML('beforeend', '<i id="styled" style="color:rgb(1, 2, 3)">x</i>')`)
	if color, against := eval(`return getComputedStyle(document.querySelector('#styled')).color`), fmt.Sprint(eval(`return window.against`)); color == "rgb(1, 2, 3)" || !strings.Contains(against, "style-src-attr") {
		t.Errorf("a style attribute is in force (%v), told: %s", color, against)
	}
}

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
