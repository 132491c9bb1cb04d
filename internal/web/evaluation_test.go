package web_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
)

func buildContent(t *testing.T, c web.Content) []byte {
	t.Helper()
	page, err := web.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

var someClasses = []string{"person" + hostile, "dog", "\u202ecat"}

func TestTheScoresShownAreTheEvaluations(t *testing.T) {
	t.Parallel()
	e := detect(1, paintScenes(t, 4), someClasses, 3)
	e.Models[2].FPS = metric.Value{}
	eval := browse(t, buildContent(t, web.Content{Evaluations: []*result.Evaluation{e}}), 1280)
	rows := eval(`return [...document.querySelectorAll('#score-table tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))`).([]any)
	if len(rows) != len(e.Models) {
		t.Fatalf("%d rows for %d models", len(rows), len(e.Models))
	}
	for i, row := range rows {
		m := e.Models[i]
		share, drop, counts := "–", "–", []any{"–", "–", "–", "–", "–"}
		if i > 0 {
			a := m.Agree
			share = fmt.Sprintf("%.3g %%", 100*a.Share.V)
			drop = fmt.Sprintf("%.4g (%.1f %%)", m.Drop.V, 100*m.Drop.V/e.Models[0].Scores[0].V)
			counts = []any{strconv.Itoa(a.Kept), strconv.Itoa(a.Moved), strconv.Itoa(a.Other), strconv.Itoa(a.Lost), strconv.Itoa(a.New)}
		}
		want := []any{m.Name}
		for _, s := range m.Scores {
			want = append(want, fmt.Sprintf("%.4g", s.V))
		}
		want = append(append(want, drop, share), counts...)
		if got := fmt.Sprint(row.([]any)[:len(want)]); got != fmt.Sprint(want) {
			t.Errorf("model %d: %s, want %v", i, got, want)
		}
		fps := row.([]any)[len(row.([]any))-1]
		if (fps == "–") == m.FPS.OK {
			t.Errorf("model %d: FPS %v", i, fps)
		}
	}
	// Sorted by the drop, the largest first.
	eval(`[...document.querySelectorAll('#score-table th button')].find((b) => b.textContent === 'drop').click()`)
	if got := eval(`return document.querySelector('#score-table tbody td').textContent`); got != e.Models[3].Name {
		t.Errorf("the largest drop is said to be that of %v", got)
	}
	// The pictures of the chosen variant: the one that differs most comes first, with each box once on its shot.
	eval(`[...document.querySelectorAll('section:last-child button')].find((b) => b.textContent === 'w8a8-2').click()`)
	most := 0
	for i, p := range e.Pictures {
		if p.Differs[3] > e.Pictures[most].Differs[3] {
			most = i
		}
	}
	if got := fmt.Sprint(eval(`return document.querySelector('#picture-at .name').textContent`)); got != e.Pictures[most].Name {
		t.Errorf("first picture %s, want %s", got, e.Pictures[most].Name)
	}
	shown := eval(`return [...document.querySelectorAll('.shot')].map((s) => [...s.querySelectorAll('.box')].map((b) => b.dataset.kind))`).([]any)
	if len(shown) != 5 {
		t.Fatalf("%d shots", len(shown))
	}
	for k, list := range append([][]result.Box{e.Pictures[most].Truth}, e.Pictures[most].Found...) {
		want := map[string]int{}
		for _, b := range list {
			kind := string(b.Change)
			if b.Change == result.Same {
				kind = "as in float"
			}
			want[kind]++
		}
		got := map[string]int{}
		for _, kind := range shown[k].([]any) {
			got[kind.(string)]++
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("shot %d: %v, want %v", k, got, want)
		}
	}
	// A box stands where the data has it, in the picture's pixels.
	b := e.Pictures[most].Found[0][0]
	if got := eval(`const list = [...document.querySelectorAll('.shot')[1].querySelectorAll('.box rect:not(.under)')];
		return list.map((r) => ['x', 'y', 'width', 'height'].map((k) => +r.getAttribute(k)).join())`); !strings.Contains(fmt.Sprint(got), fmt.Sprintf("%g,%g,%g,%g", b.X, b.Y, b.W, b.H)) {
		t.Errorf("box %+v is not among %v", b, got)
	}
	// The worst class of the chosen variant stands first.
	worst, drop := "", math.Inf(-1)
	for k, class := range e.Classes {
		a, b := e.Models[0].ByClass[k], e.Models[3].ByClass[k]
		if a.OK && b.OK && a.V-b.V > drop {
			worst, drop = class, a.V-b.V
		}
	}
	if got := fmt.Sprint(eval(`return document.querySelector('#classes tbody .name').textContent`)); got != strings.ReplaceAll(worst, "\u202e", "\ufffd") {
		t.Errorf("worst class %s, want %s", got, worst)
	}
	nothingWrong(t, eval)
}

func TestEveryButtonOfTheScoresDoesSomething(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	scenes := paintScenes(t, 3)
	other := invent(8, 30, 2) // has variants of the same names, but of another model
	other.Model.Path = "other.onnx"
	content := web.Content{
		Folder: folder, Runs: []*result.Run{invent(7, 30, 2), other}, Cycles: []*result.Cycles{profile("a", 30), profile("bb", 20)},
		Evaluations: []*result.Evaluation{segment(t, 1, scenes, result.Segmentation, folder), segment(t, 2, scenes, result.Depth, folder), detect(3, scenes, someClasses, 3)},
	}
	eval := browse(t, buildContent(t, content), 1280)
	text := func(selector string) string {
		return fmt.Sprint(eval(`return document.querySelector('` + selector + `')?.textContent`))
	}
	if text("#score-story") == "<nil>" {
		t.Fatal("the latest thing in the workspace, an evaluation, is not what the page opens with")
	}
	// The tabs first, since what they show is pressed afterwards.
	eval(`document.querySelector('.tabs button').click()`)
	if text("#verdict") == "<nil>" {
		t.Error("the layers are not shown")
	}
	eval(`document.querySelectorAll('.tabs button')[1].click()`)
	eval(`document.querySelector('.tabs').remove()`)
	pressAll(t, eval)
	press := func(name string) {
		eval(`[...document.querySelectorAll('button')].find((b) => b.textContent === '` + name + `').click()`)
	}
	press("cycles per layer")
	eval(`const o = document.querySelector('#score-plot .u-over'), b = o.getBoundingClientRect();
		o.dispatchEvent(new MouseEvent('mouseenter', { bubbles: true })); o.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: b.left + 5, clientY: b.top + 50 }))`)
	if got := text("#cycle-readout"); !strings.Contains(got, "layer 2") || !strings.Contains(got, "/block/0") || !strings.Contains(got, "cycles") {
		t.Errorf("hover over the cycles: %q", got)
	}
	eval(`document.querySelector('#score-plot .lines').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true, cancelable: true }))`)
	if got := text("#cycle-readout"); !strings.Contains(got, "layer 3") {
		t.Errorf("the key → does not move the cursor: %q", got)
	}
	press("total cycles")
	total := 0.0
	for _, l := range content.Cycles[0].Layers {
		total += l.Mean
	}
	if got := strings.ReplaceAll(text("#totals tbody tr td.n"), ",", ""); got != fmt.Sprintf("%.0f cycles", total) {
		t.Errorf("total %s, want %.0f", got, total)
	}
	for _, name := range []string{"FPS and mAP", "size and mAP", "layer error and mAP"} {
		press(name)
		want := 4.0
		if strings.HasPrefix(name, "layer") {
			want = 2 // of the check's two variants that have an evaluated one's name
		}
		if got := eval(`return document.querySelectorAll('.scatter circle').length`); got != want {
			t.Errorf("%s: %v points, want %g", name, got, want)
		}
		eval(`document.querySelector('.scatter circle').dispatchEvent(new MouseEvent('mouseenter'))`)
		if got := text("#score-readout"); !strings.Contains(got, "detector-3") || !strings.Contains(got, "mAP") {
			t.Errorf("%s, hover: %q", name, got)
		} else if want == 2 && !strings.Contains(got, "run 7") {
			t.Errorf("the layers' error is not that of the same model: %q", got)
		}
	}
	at := text("#picture-at")
	eval(`dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true, cancelable: true }))`)
	if text("#picture-at") == at {
		t.Error("the key → does not show the next picture")
	}
	nothingWrong(t, eval)
	for i := range 2 {
		eval(fmt.Sprintf(`const s = document.querySelector('#evaluation'); s.selectedIndex = %d; s.dispatchEvent(new Event('change'))`, i))
		press("w8a8-1")
		if got := eval(`return document.querySelectorAll('.shot image.mask').length`); got != 4.0 {
			t.Errorf("evaluation %d: %v masks", i, got)
		}
		if got := eval(`return document.querySelectorAll('.shot image.changed').length`); got != 2.0 {
			t.Errorf("evaluation %d: %v marks of what changed", i, got)
		}
		if i == 0 {
			masksShow(t, eval)
		}
		before := eval(`return document.querySelector('.shot image.mask').getAttribute('opacity')`)
		eval(fmt.Sprintf(`const o = document.querySelector('#opacity'); o.value = 0.%d; o.dispatchEvent(new Event('input', { bubbles: true }))`, i+2))
		if got := eval(`return document.querySelector('.shot image.mask').getAttribute('opacity')`); got == before {
			t.Error("the slider does not change the masks")
		}
		eval(`document.querySelector('#marks').click()`)
		if got := eval(`return document.querySelectorAll('.shot image.changed').length`); got != 0.0 {
			t.Errorf("evaluation %d: what changed stays marked", i)
		}
		eval(`document.querySelector('#marks').click()`)
	}
	nothingWrong(t, eval)
}

// masksShow shows that the masks that segment paints are drawn: nothing, a class, another one from left to right, and
// marks where the second variant differs.
func masksShow(t *testing.T, eval func(string) any) {
	t.Helper()
	pictureAt := func(selector string) image.Image {
		url := fmt.Sprint(eval(`return document.querySelector('` + selector + `').getAttribute('href')`))
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(url, "data:image/png;base64,"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	truth, changed := pictureAt(".shot image.mask"), pictureAt(".shot:last-child image.changed")
	shown := func(img image.Image, x, y int) string {
		c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
		return fmt.Sprintf("rgb(%d, %d, %d) %d", c.R, c.G, c.B, c.A)
	}
	legend := eval(`return [...document.querySelectorAll('.legend .swatch:not(.squares)')].map((s) => getComputedStyle(s).backgroundColor)`).([]any)
	if len(legend) != 2 || !strings.HasSuffix(shown(truth, 10, 10), " 0") || shown(truth, 100, 75) != fmt.Sprint(legend[0], " 255") || shown(truth, 190, 75) != fmt.Sprint(legend[1], " 255") {
		t.Errorf("the mask is drawn as %s, %s, %s; the legend says %v", shown(truth, 10, 10), shown(truth, 100, 75), shown(truth, 190, 75), legend)
	}
	for y, marked := range map[int]bool{39: true, 41: false} { // it differs in 40 lines
		if strings.HasSuffix(shown(changed, 100, y), " 255") != marked {
			t.Errorf("line %d: marked %v, want %v", y, !marked, marked)
		}
	}
}

func TestEvaluationsThatAreNotWhole(t *testing.T) {
	t.Parallel()
	scenes := paintScenes(t, 3)
	gone := detect(2, scenes, someClasses, 1)
	gone.Pictures[0].Path, gone.Pictures[1].Path = filepath.Join(t.TempDir(), "gone.jpg"), os.Args[0]
	gone.Pictures[2].Truth = append(gone.Pictures[2].Truth, result.Box{X: float32(math.NaN()), W: 3, H: 3})
	gone.Pictures[2].Found[1] = append(gone.Pictures[2].Found[1], result.Box{X: -10, Y: 9, W: 3000, H: 3, Class: 99})
	none := detect(3, nil, someClasses, 2)
	none.Models[1].Drop, none.Models[1].Scores = metric.Value{}, nil
	alone := detect(4, nil, nil, 0)
	masks := segment(t, 5, scenes[:1], result.Segmentation, t.TempDir()) // whose masks are elsewhere
	agree := &result.Evaluation{ID: 6, Task: result.Agreement, Models: []result.EvalModel{{Name: "float"}, {Name: "w8a8", Drop: metric.Defined(math.Inf(1)), Spec: &variant.Spec{}, Agree: result.Agree{SQNR: metric.Defined(math.Inf(1))}}}}
	for name, c := range map[string]struct {
		e    *result.Evaluation
		says []string
	}{
		"nothing in it":       {&result.Evaluation{Task: result.Detection}, []string{"0 models were scored"}},
		"pictures are gone":   {gone, []string{"1 of 1 (the evaluation has 3)", "1 pictures are not where", "1 pictures can no longer be read", "1 boxes have no finite place"}},
		"without pictures":    {none, []string{"No drop could be computed for w8a8-0", "Drop by class"}},
		"float alone":         {alone, []string{"no variant to compare"}},
		"masks are gone":      {masks, []string{"4 masks cannot be read"}},
		"agreement, no score": {agree, []string{"SQNR", "inf"}},
	} {
		t.Run(name, func(t *testing.T) {
			eval := browse(t, buildContent(t, web.Content{Evaluations: []*result.Evaluation{c.e}}), 420)
			for _, want := range c.says {
				if text := fmt.Sprint(eval(`return document.body.textContent`)); !strings.Contains(text, want) {
					t.Errorf("%q is not said", want)
				}
			}
			pressAll(t, eval)
			nothingWrong(t, eval)
		})
	}
	t.Run("profiles alone", func(t *testing.T) {
		eval := browse(t, buildContent(t, web.Content{Cycles: []*result.Cycles{profile("a", 9), {Model: "empty"}}}), 420)
		if eval(`return !!document.querySelector('#score-plot canvas')`) != true {
			t.Error("the profiles are not drawn")
		}
		pressAll(t, eval)
		nothingWrong(t, eval)
	})
}

func TestPicturesAreChosenForEveryVariant(t *testing.T) {
	t.Parallel()
	// Of 60 pictures the first variant differs most in the first ones, the second in the last ones, though by less.
	scenes := paintScenes(t, 1)
	e := detect(1, nil, someClasses, 2)
	for i := range 60 {
		e.Pictures = append(e.Pictures, result.EvalPicture{Name: strconv.Itoa(i), Path: scenes[0].path, Width: 200, Height: 150, Differs: []float64{0, float64(1000 - i), float64(i)}})
	}
	eval := browse(t, buildContent(t, web.Content{Evaluations: []*result.Evaluation{e}}), 1280)
	for m, first := range []string{"0", "59"} {
		eval(fmt.Sprintf(`document.querySelectorAll('section:last-child [aria-label=variant] button')[%d].click()`, m))
		if got := fmt.Sprint(eval(`return document.querySelector('#picture-at').textContent`)); !strings.HasPrefix(got, "1 of 24 (the evaluation has 60): "+first+",") {
			t.Errorf("variant %d: %s", m, got)
		}
	}
}

func TestThePageOfFiveModelsIsSmallAndFast(t *testing.T) {
	scenes, classes := cocoScenes(t, 24)
	begin := time.Now()
	page := buildContent(t, web.Content{Evaluations: []*result.Evaluation{detect(1, scenes, classes, 4)}, Cycles: []*result.Cycles{profile("a", 300), profile("bb", 300), profile("ccc", 300)}})
	made := time.Since(begin)
	again := buildContent(t, web.Content{Evaluations: []*result.Evaluation{detect(1, scenes, classes, 4)}, Cycles: []*result.Cycles{profile("a", 300), profile("bb", 300), profile("ccc", 300)}})
	if !bytes.Equal(page, again) {
		t.Error("the same content makes another page")
	}
	eval := browse(t, page, 1280)
	paint := eval(`return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1`).(float64)
	ready := eval(`return performance.getEntriesByName('ready')[0]?.startTime ?? -1`).(float64)
	// The next picture, from the key until it is painted.
	eval(`window.frames_ = []; let last = performance.now(), n = 0;
		const step = (now) => { window.frames_.push(now - last); last = now;
			dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', cancelable: true })); if (++n < 48) requestAnimationFrame(step) };
		requestAnimationFrame(step)`)
	for range 500 {
		if eval(`return window.frames_.length`) == 48.0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	next := eval(`return window.frames_.slice(1).sort((a, b) => a - b)[40]`).(float64)
	t.Logf("5 models × 24 pictures: %d KiB, made in %.0f ms, first paint %.0f ms, all there %.0f ms, six of seven next pictures within %.0f ms", len(page)>>10, made.Seconds()*1000, paint, ready, next)
	if len(page) > 3<<20 || paint < 0 || paint > 1000*slack() || ready < 0 || ready > 2000*slack() || next > 60*slack() {
		t.Error("that is too much")
	}
}
