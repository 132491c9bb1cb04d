package worker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Is says whether this process was started to be a worker of a kind; it then calls Serve and exits.
func Is(kind string) bool { return os.Getenv(kindVariable) == kind }

// Graph is what a worker has opened.
type Graph struct {
	Bytes  int // of the memory that it wants to share
	Detail any // what its parent is told, as JSON
	// Bind takes the memory, once; Run then makes an inference, and may tell the parent more about its error.
	Bind func(memory []byte) error
	Run  func() (detail any, err error)
}

// Serve is the worker: it opens one graph and makes inferences until its requests end. open gets the job's request; beside an
// error only the graph's Detail counts. It gives the exit status.
func Serve(open func(request []byte) (Graph, error)) int {
	Shield()
	requests := make(chan []byte)
	go func() {
		r := bufio.NewReaderSize(os.NewFile(requestFile, "requests"), 1<<20)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				os.Exit(0) // the parent is gone or done, be a run under way or not
			}
			requests <- line
		}
	}()
	answers := json.NewEncoder(os.NewFile(answerFile, "answers"))
	var g Graph
	reply := func(work func() (any, error)) error {
		started := time.Now()
		detail, err := work()
		a := Answer{Bytes: g.Bytes, Seconds: time.Since(started).Seconds()}
		if err != nil {
			a.Error = err.Error()
		}
		if detail != nil {
			if a.Detail, err = json.Marshal(detail); err != nil {
				a.Error = fmt.Sprintf("%s (%s)", a.Error, err)
			}
		}
		return answers.Encode(a)
	}
	if reply(func() (any, error) {
		var err error
		if g, err = open(<-requests); err == nil {
			err = g.share()
		}
		return g.Detail, err
	}) != nil {
		return 1
	}
	for range requests {
		if reply(g.Run) != nil {
			return 1
		}
	}
	return 0
}

// share makes the memory and hands it to the graph.
func (g Graph) share() error {
	if err := unix.Ftruncate(memoryFile, int64(max(g.Bytes, 1))); err != nil {
		return err
	}
	memory, err := unix.Mmap(memoryFile, 0, max(g.Bytes, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return g.Bind(memory)
}

// Model reads the model's file.
func Model() ([]byte, error) { return io.ReadAll(os.NewFile(modelFile, "model")) }

// Log reads what the process has written so far: its stderr is a file.
func Log() string {
	f, err := os.Open("/proc/self/fd/2")
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 256 << 20
	b, _ := io.ReadAll(io.LimitReader(f, most))
	return string(b)
}
