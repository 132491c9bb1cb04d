package htpcost

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"quantcheck/internal/floatjson"
)

// Chrome writes a timeline in Chrome's trace format, which Perfetto shows too. Times are cycles. Events are called by their
// layers' names, where they have one; ReadTrace reads the same timeline from it.
func Chrome(w io.Writer, t *Timeline, names map[uint32]string) error {
	c := chrome{b: bufio.NewWriterSize(w, 1<<16)}
	c.print(`{"traceEvents":[`)
	c.print(`{"name":"process_name","ph":"M","pid":0,"args":{"name":"DSP, estimated; times are cycles"}}`)
	for _, x := range t.Threads {
		c.print(",\n", `{"name":"thread_name","ph":"M","pid":0,"tid":`, x.ID, `,"args":{"name":`, text(x.Name), `}}`)
		c.print(",\n", `{"name":"thread_sort_index","ph":"M","pid":0,"tid":`, x.ID, `,"args":{"sort_index":`, x.ID, `}}`)
	}
	for _, e := range t.Events {
		c.event(e, names[e.Node()])
	}
	for _, l := range t.VTCM {
		c.print(",\n", `{"name":"TCM usage","ph":"C","pid":0,"ts":`, l.At, `,"args":{"Bytes":`, l.Bytes, `}}`)
	}
	c.print(",\n", `{"name":"end","ph":"i","pid":0,"tid":0,"s":"g","ts":`, t.Cycles, `}`)
	c.print("\n", `],"Hextimate Configuration":{`)
	for i, s := range t.Settings {
		if i > 0 {
			c.print(",")
		}
		c.print(text(s.Key), ":", literalOrText(s.Value))
	}
	c.print("}}\n")
	if c.err != nil {
		return c.err
	}
	return c.b.Flush()
}

// chrome keeps the first error.
type chrome struct {
	b   *bufio.Writer
	err error
}

// encoded is JSON as it stands.
type encoded []byte

func text(s string) encoded {
	b, err := floatjson.Marshal(s)
	if err != nil {
		return encoded(strconv.QuoteToASCII(s)) // does not happen: a string always has JSON
	}
	return b
}

// literalOrText leaves numbers as they are.
func literalOrText(s string) encoded {
	if s != "" && s[0] != '"' && s[0] != '{' && s[0] != '[' && s[0] > ' ' && s[len(s)-1] > ' ' && json.Valid([]byte(s)) {
		return encoded(s)
	}
	return text(s)
}

func (c *chrome) print(parts ...any) {
	for _, p := range parts {
		if c.err != nil {
			return
		}
		switch v := p.(type) {
		case string:
			_, c.err = c.b.WriteString(v)
		case encoded:
			_, c.err = c.b.Write(v)
		case int:
			_, c.err = c.b.Write(strconv.AppendInt(c.b.AvailableBuffer(), int64(v), 10))
		case int64:
			_, c.err = c.b.Write(strconv.AppendInt(c.b.AvailableBuffer(), v, 10))
		default:
			c.err = fmt.Errorf("no way to write a %T", p)
		}
	}
}

func (c *chrome) event(e Event, layer string) {
	name := layer
	switch {
	case name != "":
	case e.Node() == inputNode:
		name = string(Input)
	case e.Node() == outputNode:
		name = string(Output)
	default:
		name = e.Op
	}
	c.print(",\n", `{"name":`, text(name), `,"cat":"`, e.Unit.String(), `","ph":"X","pid":0,"tid":`, e.Thread, `,"ts":`, e.Start, `,"dur":`, e.Cycles)
	c.print(`,"args":{"operator":`, text(e.Op), `,"id":"0x`, strconv.FormatUint(e.ID, 16), `","runlist_idx":`, e.Step, `,"flags":["`, e.Unit.flag(), `"],"input_dims":`)
	c.dims(e.Inputs)
	c.print(`,"dims":`)
	c.dims(e.Outputs)
	b := e.Bytes
	c.print(`,"bw_info":{"dram_read":`, b.DRAMRead, `,"dram_write":`, b.DRAMWrite, `,"vtcm_read":`, b.VTCMRead, `,"vtcm_write":`, b.VTCMWrite, `}}}`)
}

func (c *chrome) dims(shapes [][]int64) {
	c.print("[")
	for i, shape := range shapes {
		if i > 0 {
			c.print(",")
		}
		c.print("[")
		for k, d := range shape {
			if k > 0 {
				c.print(",")
			}
			c.print(d)
		}
		c.print("]")
	}
	c.print("]")
}
