package worker

import (
	"strings"
	"testing"
)

func TestTheLastWordsAreThoseThatSaySomething(t *testing.T) {
	if LastWords("# LIBNATIVE: x\n\n") != "it said nothing" || !strings.Contains(LastWords("a\n\x1b[1;31mb\x1b[m\n\n"), "a | b") {
		t.Error("last words")
	}
	crash := "# LIBNATIVE: x\n<E> bad\nSIGSEGV: segmentation violation\nPC=0x7f m=0 sigcode=1 addr=0x0\nsignal arrived during cgo execution\n\ngoroutine 1 [syscall]:\nruntime.cgocall(0x1)\n\nrax 0x0\n"
	if got := LastWords(crash); got != "its last words: <E> bad | SIGSEGV: segmentation violation" {
		t.Error(got)
	}
	if got := LastWords("panic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n"); got != "its last words: panic: index out of range" {
		t.Error(got)
	}
}

func TestAModelThatIsNotTakenIsAnErrorWithoutTheLog(t *testing.T) {
	t.Parallel()
	log := "2026-12-01 08:13:12.8 [I:onnxruntime:, graph.cc:6433 InlineIfSubgraph] Constant folded (inlined) else_branch\n\x1b[0;93m2026 [W:onnxruntime:, x.cc:1 F] slow\x1b[m\n"
	for name, c := range map[string]struct{ says, log, want string }{
		"notes and warnings": {"Node (a) bad\n    Node (a) bad", log, "the emulator does not take the model: Node (a) bad"},
		"an error":           {"Node (a) bad", log + "2026 [E:onnxruntime:, y.cc:2 G] worse\n", "the emulator does not take the model: Node (a) bad; its last words: 2026 [E:onnxruntime:, y.cc:2 G] worse"},
		"two lines":          {"Node (a) bad\nNode (b) bad\n", "", "the emulator does not take the model: Node (a) bad; Node (b) bad"},
	} {
		if got := NotTaken(c.says, LastWords(c.log)).Error(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
