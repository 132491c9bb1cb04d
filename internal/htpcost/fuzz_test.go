package htpcost

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte(`{"traceEvents":[{"name":"a\u0041","ph":"X","tid":1,"ts":1.5,"dur":2,"args":{"id":"0x1900000002","flags":["for_hvx"],"dims":[[1,2]],"bw_info":{"dram_read":1}}}],"Hextimate Configuration":{"a":1}}`))
	f.Add([]byte(`x{"traceEvents":[{"name":"TCM usage","ph":"C","ts":3,"args":{"Bytes":7}},{"name":"thread_name","ph":"M","tid":0,"args":{"name":"FG:"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ReadTraces(data); err != nil && !errors.Is(err, ErrTrace) {
			t.Fatalf("%v", err)
		}
		x, err := ReadTrace(data)
		if err != nil {
			if !errors.Is(err, ErrTrace) || x != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		if total := sum(Layers(x, nil)); !near(total, float64(x.Cycles)) {
			t.Fatalf("the layers add up to %g of %d", total, x.Cycles)
		}
		var b bytes.Buffer
		if err := Chrome(&b, x, nil); err != nil {
			t.Fatal(err)
		}
		got, err := ReadTrace(b.Bytes())
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Fatalf("%v: %+v became %+v in %s", err, x, got, b.Bytes())
		}
	})
}

func FuzzReadSchematic(f *testing.F) {
	f.Add([]byte("graph_before_optimization = { # x\n\t0x0000000000000019: {\n\t\t'operation':'q::QNN_Conv2d_w_scale',\n\t},\n}\nqnn_name_translations = {\n0x19: 'a\\'b',\n}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := ReadSchematic(data); s.Names == nil || s.Ops == nil || err != nil && !errors.Is(err, ErrSchematic) {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte("Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier\n0,UNKNOWN,43008,COUNT,BACKEND,SUB-EVENT,Input Fill\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, several := ReadProfiles(data)
		if _, err := ReadProfile(data); err != nil && !errors.Is(err, ErrProfile) && !errors.Is(err, ErrNoEstimate) || several != nil && !errors.Is(several, ErrProfile) {
			t.Fatalf("%v, %v", err, several)
		}
	})
}

// large is the fixture's timeline several times over, about as long as that of yolox_nano.
func large(b *testing.B) []byte {
	const times = 31
	plain := read(b, "qnn", zoo+".trace.json")
	from, to := bytes.IndexByte(plain, '[')+1, bytes.Index(plain, []byte(`], "Trace Provenance"`))
	if to < 0 {
		b.Fatal("the fixture looks otherwise")
	}
	events := plain[from:to]
	return slices.Concat(plain[:from], bytes.Repeat(append(slices.Clone(events), ','), times-1), plain[from:])
}

func BenchmarkReadTrace(b *testing.B) {
	data := large(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := ReadTrace(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLayers(b *testing.B) {
	x := timeline(b, large(b))
	for b.Loop() {
		Layers(x, nil)
	}
}
