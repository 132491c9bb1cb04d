// Package worker runs libraries in a process of their own: this program once more. Their settings leak, they write to
// stdout, and a crash in them must not cost what was done before.
//
//		this process                            worker: the same program, one per graph
//		Session ── job ───────────────────────► Serve: open
//		        ── inputs ──► shared memory ──► run ──► shared memory ──► outputs ──► Session
//
//	 1. Open starts a worker with a job and lets it open its graph; the worker says how much memory both share.
//	 2. Session.Run makes an inference on what stands there. A worker that dies is started anew once, then the sample is
//	    given up (runner.ErrSample).
//	 3. A worker ends with its context, with its session, and when this process is gone.
//
// Requests and answers are lines of JSON in two pipes; tensors lie in memory that both have mapped, the model in a file that
// the worker inherits; what the libraries write goes to a file in memory.
package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Job is what a worker is started for.
type Job struct {
	Kind    string   // which Serve answers
	Request any      // what opens the graph, as JSON
	Model   *os.File // inherited by the worker; the session does not close it
	Scratch string   // where the worker's own folder is made; "": where the system has such
	// Failed gives the error of an answer with Error; what it leaves nil, or if it is nil, becomes one of the answer's words.
	Failed func(Answer) error
}

func (j Job) failed(a Answer) error {
	if j.Failed == nil {
		return nil
	}
	return j.Failed(a)
}

// Answer is what a worker says.
type Answer struct {
	Error   string          `json:"error,omitempty"`
	Bytes   int             `json:"bytes,omitempty"` // of the shared memory
	Seconds float64         `json:"seconds"`
	Detail  json.RawMessage `json:"detail,omitempty"` // the kind's own
}

// DiedError means that a worker ended although it was not asked to.
type DiedError struct {
	How, Words string
	Memory     bool // the system ended it for want of memory, or it could get none
	Killed     bool // this process ended it
}

func (e *DiedError) Error() string {
	if e.Memory {
		return fmt.Sprintf("the emulator's process was ended for want of memory (%s): a smaller --memory has it hold fewer layers at once", e.How)
	}
	return fmt.Sprintf("the emulator's process ended (%s), %s", e.How, e.Words)
}

var outOfMemory = regexp.MustCompile(`fatal error: runtime: (cannot allocate|out of) memory|fatal error: out of memory|cannot allocate memory|Cannot allocate memory|std::bad_alloc|Failed to allocate memory`)

// WantsMemory says whether a process's last words are that it could get no memory.
func WantsMemory(log string) bool { return outOfMemory.MatchString(log) }

// Align rounds a tensor's place up to where the next one may begin.
func Align(at int) int { return (at + 63) &^ 63 }

// The files that a worker inherits, and what tells it its kind.
const (
	kindVariable = "QUANTCHECK_WORKER"
	requestFile  = 3
	answerFile   = 4
	memoryFile   = 5
	modelFile    = 6
)

// ModelPath is where a worker finds the model's file under a name.
func ModelPath() string { return fmt.Sprintf("/proc/self/fd/%d", modelFile) }

// told are lines of ONNX Runtime's log that are no errors: what it does, and what it warns of.
var told = regexp.MustCompile(`\[[VIW]:onnxruntime:`)

// NotTaken is an error of a model that a library does not take: what it says, each line once, and its log's last words if the log has errors.
func NotTaken(says, words string) error {
	var lines []string
	for line := range strings.Lines(says) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	text := "the emulator does not take the model: " + strings.Join(lines, "; ")
	if words != silent {
		text += "; " + words
	}
	return errors.New(text)
}

var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Plain takes the colours out of what libraries write.
func Plain(log string) string { return colour.ReplaceAllString(log, "") }

const silent = "it said nothing"

// LastWords are the last lines that say something: of a crash the signal, not Go's stacks and registers behind it.
func LastWords(log string) string {
	for _, stacks := range []string{"\nPC=0x", "\n\ngoroutine "} {
		log, _, _ = strings.Cut(log, stacks)
	}
	var lines []string
	for line := range strings.Lines(Plain(log)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "# LIBNATIVE") && !strings.Contains(line, "File mapped weights feature") && !told.MatchString(line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return silent
	}
	return "its last words: " + strings.Join(lines[max(len(lines)-3, 0):], " | ")
}
