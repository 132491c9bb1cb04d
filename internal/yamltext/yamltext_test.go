package yamltext_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/yamltext"
)

// bomb is a text whose levels of aliases each write out the one before some times.
func bomb(levels, times int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), times), ", "))
	}
	return b.String()
}

func TestUnmarshalTakesWhatIsWithinTheLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "map[]"},
		"white space":        {" \n\n", "map[]"},
		"a list":             {"a: [1, 2]", "map[a:[1 2]]"},
		"an alias":           {"a: &x [1]\nb: *x", "map[a:[1] b:[1]]"},
		"a merge":            {"a: &x {k: 1}\nb:\n  <<: *x\n  l: 2", "map[a:map[k:1] b:map[k:1 l:2]]"},
		"a long list":        {"a: [" + strings.Repeat("1, ", 999) + "1]  # as it is", "map[a:[" + strings.Repeat("1 ", 999) + "1]]"},
		"some levels":        {bomb(2, 2), "map[a0:[x x] a1:[[x x] [x x]] a2:[[[x x] [x x]] [[x x] [x x]]]]"},
		"thirty collections": {"a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30), "map[a:" + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]any{}
			if err := yamltext.Unmarshal([]byte(c.text), &got, false); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestUnmarshalRefusesWhatWouldGrow(t *testing.T) {
	t.Parallel()
	var blocks, dashes strings.Builder
	for i := range 500 {
		fmt.Fprintf(&blocks, "%sk:\n", strings.Repeat(" ", i))
		dashes.WriteString("- ")
	}
	for name, text := range map[string]string{
		"levels of aliases":  bomb(9, 9),
		"a list of aliases":  "a: &a [" + strings.Repeat("x,", 1000) + "x]\nb: [" + strings.Repeat("*a,", 1000) + "*a]",
		"merges":             "a: &a {" + strings.Repeat("x,", 1) + "k: " + bombFlow(8, 9) + "}\nb:\n  <<: *a",
		"an alias of itself": "a: &a [*a]",
		"no such anchor":     "a: *b",
		"brackets":           strings.Repeat("[", 500_000),
		"closed brackets":    "a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500),
		"braces":             strings.Repeat("{a: ", 200_000),
		"blocks":             blocks.String(),
		"dashes":             dashes.String() + "x",
		"question marks":     strings.Repeat("? ", 100_000),
		"anchors":            strings.Repeat("&a ", 100_000),
		"tags":               strings.Repeat("!a ", 100_000),
		"too long":           "a: " + strings.Repeat("x", yamltext.MaxBytes),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			var got any
			err := yamltext.Unmarshal([]byte(text), &got, false)
			if err == nil {
				t.Error("it was taken")
			}
			t.Log(err)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

// bombFlow is a value in braces and brackets that grows by its aliases.
func bombFlow(levels, times int) string {
	var text strings.Builder
	text.WriteString("&a0 [x, x]")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&text, ", k%d: &a%d [%s]", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), times), ", "))
	}
	return text.String()
}

func TestRefusingABombTakesLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var got any
	if yamltext.Unmarshal([]byte(bomb(9, 9)), &got, true) == nil {
		t.Error("it was taken")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("%d bytes were allocated for a text of %d", took, len(bomb(9, 9)))
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("a: &x [1]\nb: *x\n"))
	f.Add([]byte("resize: letterbox\nmean: [1, 2.5, .inf]\neval:\n  classes: []\n"))
	f.Add([]byte(bomb(3, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var got any
		_ = yamltext.Unmarshal(data, &got, false)
		runtime.ReadMemStats(&after)
		if after.TotalAlloc-before.TotalAlloc > 1<<30 {
			t.Errorf("%d bytes took %d bytes", len(data), after.TotalAlloc-before.TotalAlloc)
		}
	})
}

// Example shows what a text that would grow is answered with.
func Example() {
	var v any
	fmt.Fprintln(os.Stdout, yamltext.Unmarshal([]byte(bomb(9, 9)), &v, false))
	// Output: the YAML has more than 200000 values, with its aliases written out
}
