package snpe

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestThroughputIsThatOfTheRuntimeThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text, runtime string
		want                float64
		fallback            bool
	}{
		{"as it is printed", throughputDSP, "dsp", 1581.96, false},
		{"an integer", "Total throughput: 120 infs/sec", "dsp", 120, false},
		{"an exponent", "Total throughput: 1e+06 infs/sec   ", "dsp", 1e6, false},
		{"the CPU's label on the DSP's run", throughputCPU, "dsp", 0, true},
		{"nothing", "", "dsp", 0, false},
		{"no number", "Total throughput: many infs/sec", "dsp", 0, false},
	} {
		got, err := ThroughputOn([]byte(row.text), row.runtime)
		if got != row.want || (err == nil) != (row.want > 0) || errors.Is(err, ErrFallback) != row.fallback {
			t.Errorf("%s: %v %v", row.name, got, err)
		}
	}
}

const profileHead = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier,Layer Id,Layer Name\n"

func TestAProfileIsSummedUpByLayer(t *testing.T) {
	t.Parallel()
	p, err := ReadProfile([]byte(profileHead +
		"1,BACKEND,2800,US,BACKEND,SUB-EVENT,Accelerator (execute) time,,,\n" +
		"1,NODE,100,CYCLES,BACKEND,SUB-EVENT,x,1,conv:OpId_7 (cycles),\n" +
		"1,NODE,300,CYCLES,BACKEND,SUB-EVENT,x,0,Input OpId_2 (cycles),\n" +
		"1,NODE,104,CYCLES,BACKEND,SUB-EVENT,x,1,conv:OpId_7 (cycles),\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Globals) != 1 || p.Globals[0] != (Global{"Accelerator (execute) time", "US", 2800}) || len(p.Layers) != 2 {
		t.Fatalf("%+v", p)
	}
	if l := p.Layers[0]; l.Name != InputRow || l.Mean != 300 || !math.IsNaN(l.Std) {
		t.Errorf("%+v", l)
	}
	if l := p.Layers[1]; l.Name != "conv" || l.Mean != 102 || math.Abs(l.Std-math.Sqrt(8)) > 1e-12 || l.Unit != "CYCLES" {
		t.Errorf("%+v", l)
	}
	want := "layer_id,time_mean,time_std,message,layer_name,unit,Percentage_of_Total_Time\n0,300,,NODE,Input,CYCLES,0.7463\n1,102,3,NODE,conv,CYCLES,0.2537\n"
	if got := string(WriteLayerStats(p.Layers)); got != want {
		t.Errorf("%s", got)
	}
	if again, err := ReadLayerStats([]byte(want)); err != nil || len(again) != 2 || again[1].Mean != 102 || !math.IsNaN(again[0].Std) {
		t.Errorf("%+v %v", again, err)
	}
}

func TestProfilesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, says string }{
		"nothing":         {"", "no rows"},
		"another CSV":     {"a,b\n1,2\n", "no column"},
		"no layers":       {profileHead + "1,BACKEND,2800,US,BACKEND,SUB-EVENT,x,,,\n", "holds no layers"},
		"no time":         {profileHead + "1,NODE,fast,CYCLES,BACKEND,SUB-EVENT,x,1,conv,\n", "row 2: \"fast\" is no time"},
		"a negative time": {profileHead + "1,NODE,-1,CYCLES,BACKEND,SUB-EVENT,x,1,conv,\n", "is no time"},
		"no id":           {profileHead + "1,NODE,1,CYCLES,BACKEND,SUB-EVENT,x,one,conv,\n", "is no layer's id"},
	} {
		if _, err := ReadProfile([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatNetRunSays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{netRun214, netRun222} {
		if !Executed([]byte(text)) {
			t.Errorf("%s", text)
		}
	}
	if Executed([]byte("Processing DNN input(s):\nnot Successfully executed!\n")) {
		t.Error("any line will do")
	}
	if got := ToolError([]byte(incomplete)); !strings.HasPrefix(got, "SNPE error 311 in Dl Container: Dlc container is bad.") {
		t.Error(got)
	}
	if got := FailedWrites([]byte("x\nFailed to write data to: output/Result_0/a b/c.raw\n")); len(got) != 1 || got[0] != "output/Result_0/a b/c.raw" {
		t.Error(got)
	}
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte(profileHead + "1,NODE,100,CYCLES,BACKEND,SUB-EVENT,x,1,conv:OpId_7 (cycles),\n"))
	f.Add([]byte("Layer Id,Time,Layer Name\n\"1,2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadProfile(data)
		if err != nil {
			return
		}
		if again, err := ReadLayerStats(WriteLayerStats(p.Layers)); err != nil || len(again) != len(p.Layers) {
			t.Errorf("%d layers, read again %d: %v", len(p.Layers), len(again), err)
		}
	})
}
