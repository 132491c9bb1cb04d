package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/htpcost"
)

// logHead is how a log of the board begins. A real one is a flatbuffer of Qualcomm's.
const logHead = "stand-in SNPEDiag.log\n"

// diagLog is what snpe-net-run notes for snpe-diagview.
type diagLog struct {
	Model      string // sha256 of the DLC; its cycles are asked for when somebody looks
	Inferences int
	Call       int
	Began      time.Time
	Seconds    float64
}

// writeLog writes SNPEDiag.log into the output folder.
func (r *netRunning) writeLog(m model, took time.Duration) error {
	if r.given.get("profiling_level") == "off" {
		return nil
	}
	data, err := json.Marshal(diagLog{m.Sum, len(r.list.Inferences), r.Number, r.Began, took.Seconds()})
	if err != nil {
		return err
	}
	data = append([]byte(logHead), data...)
	if r.Fault(control.EmptyLog) != nil {
		data = nil
	}
	path := filepath.Join(r.out, "SNPEDiag.log")
	if err := gone(path); err != nil {
		return err
	}
	return r.writeOutput(path, data)
}

// diagview is snpe-diagview.
func diagview(c *call) error {
	if err := c.need("input_log"); err != nil {
		return err
	}
	path := c.given.get("input_log")
	data, err := os.ReadFile(path)
	if err != nil {
		return c.failure(err)
	}
	var l diagLog
	rest, ours := bytes.CutPrefix(data, []byte(logHead))
	if !ours || json.Unmarshal(rest, &l) != nil {
		return &snpeError{1, path + " is no log, or a damaged one", "Diag View"}
	}
	e, err := c.estimate(model{c.folder.Path("dlcs", l.Model+".dlc"), l.Model})
	if err != nil {
		return c.failure(err)
	}
	if out := c.given.get("output"); out != "" {
		if c.given.get("csv_format_version") != "2" {
			return fmt.Errorf("%s: the stand-in writes --csv_format_version 2 only", c.Tool)
		}
		if err := c.writeOutput(out, l.csv(e)); err != nil {
			return err
		}
	}
	l.print(c, e)
	return nil
}

// writeOutput writes a file that a tool was asked for.
func (c *call) writeOutput(path string, data []byte) error {
	if c.Fault(control.Full) == nil {
		return os.WriteFile(path, data, 0o600)
	}
	if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "%s: No space left on device\n", path)
	return statusError(1)
}

// wobble is what a layer takes in one inference: its cycles, and up to two in a hundred more or less, always the same. It does not depend on the
// DLC's bytes: a graph that is written again has another name, and so another hash.
func (l *diagLog) wobble(cycles float64, layer, inference int) int64 {
	return int64(math.Round(cycles * (1 + 0.04*(chance(l.Call, layer, inference)-0.5))))
}

// listed are the layers of an estimate that a profile lists: those of which something is known by a name.
func listed(e *htpcost.Estimate) (list []htpcost.Layer) {
	for _, x := range e.Layers {
		if x.Kind != htpcost.Idle && (x.Raw != "" || x.Name != "" || x.Kind != htpcost.Operator) {
			list = append(list, x)
		}
	}
	return list
}

// profileName is a layer's name as profiles have it.
func profileName(x htpcost.Layer) string {
	switch {
	case x.Kind == htpcost.Input:
		return fmt.Sprintf("Input OpId_%d (cycles)", x.Node)
	case x.Kind == htpcost.Output:
		return fmt.Sprintf("Output OpId_%d (cycles)", x.Node)
	case x.Raw != "":
		return fmt.Sprintf("%s:OpId_%d (cycles)", x.Raw, x.Node)
	}
	return fmt.Sprintf("%s:OpId_%d (cycles)", x.Name, x.Node)
}

// micro is the time of cycles in microseconds.
func micro(cycles float64) int64 { return int64(math.Round(cycles / megahertz)) }

// csv is the form of --csv_format_version 2: its columns, each row with a comma behind its last field. No public sample of the
// real one exists; the columns are those that programs are known to read.
func (l *diagLog) csv(e *htpcost.Estimate) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	row := func(fields ...string) { _ = w.Write(fields) } // Nothing can fail in memory.
	row("Msg Timestamp", "Message", "Time", "Unit of Measurement", "Timing Source", "Event Level", "Event Identifier", "Layer Id", "Layer Name")
	at := strconv.FormatInt(l.Began.UnixMicro(), 10)
	global := func(message string, time int64, unit, level, name string) {
		row(at, message, strconv.FormatInt(time, 10), unit, "BACKEND", level, name, "", "", "")
	}
	global("CREATE_NETWORK", int64(l.Seconds*1e5), "US", "ROOT", "Create Network(s)")
	global("INIT", int64(l.Seconds*1.2e5), "US", "ROOT", "SNPE (init) time")
	for i := range l.Inferences {
		total := l.wobble(float64(e.Cycles), -1, i)
		global("EXECUTE", micro(float64(total))+overhead*1e6, "US", "ROOT", "Total Inference Time")
		global("BACKEND", micro(float64(total)), "US", "SUB-EVENT", "Accelerator (execute) time")
		global("BACKEND", total, "CYCLES", "SUB-EVENT", "Accelerator (execute) time (cycles)")
		for k, x := range listed(e) {
			row(at, "NODE", strconv.FormatInt(l.wobble(x.Cycles, k, i), 10), "CYCLES", "BACKEND", "SUB-EVENT", profileName(x), strconv.Itoa(k), profileName(x), "")
		}
	}
	global("DE-INIT", 14744, "US", "ROOT", "SNPE (de-init) time")
	w.Flush()
	return b.Bytes()
}

// print prints the text of version 2.9 and later.
func (l *diagLog) print(c *call, e *htpcost.Estimate) {
	create, accelerator := int64(l.Seconds*1e5), micro(float64(e.Cycles))
	c.line("\nInterpreting file serialized with Flatbuffer\nCREATE NETWORK: %d", create)
	c.line("Log File Created: %s\nTime Scale: 1e-06", l.Began.UTC().Format(time.ANSIC))
	c.line("Epoch Timestamp: %d Steady Clock Timestamp: 134225351908\nSoftware library version: %s\n", l.Began.UnixMicro(), version)
	c.line("Dnn Runtime Load/Deserialize/Create/De-Init Statistics:\n%s", "--------------------------------------------------")
	c.line("Load: 369 us\nDeserialize: 15037 us\nCreate: %d us\n\nInit: %d us\nDe-Init: 14744 us\n", create, create*12/10)
	c.line("Create Network(s): %d us\nRPC Init Time: 3212 us\nSnpe Accelerator Init Time: 3073 us\nAccelerator Init Time: 3039 us\n", create)
	c.line("Average SNPE Statistics:\n%s", "------------------------------")
	c.line("Total Inference Time: %d us\nForward Propagate Time: %d us", accelerator+160, accelerator+150)
	c.line("RPC Execute Time: %d us\nSnpe Accelerator Time: %d us\nAccelerator Time: %d us\nMisc Accelerator Time: 0 us\n", accelerator+100, accelerator+60, accelerator)
	c.line("Layer Times: \n---------------")
	for k, x := range listed(e) {
		sum := int64(0)
		for i := range l.Inferences {
			sum += l.wobble(x.Cycles, k, i)
		}
		c.line("%d: %d cycles : DSP", k, sum/int64(max(l.Inferences, 1)))
	}
}
