package floatjson_test

import (
	"math"
	"testing"
	"time"

	"quantcheck/internal/floatjson"
)

type named float64

type inner struct {
	A float64 `json:"a"`
	B float32 `json:"b,omitempty"`
}

type outer struct {
	inner
	In    *inner             `json:"in"`
	List  []float64          `json:"list"`
	Pair  [2]float32         `json:"pair"`
	ByKey map[string]float64 `json:"by_key"`
	Any   any                `json:"any"`
	Named named              `json:"named"`
	When  time.Time          `json:"when"`
	Text  string             `json:"text"`
	Skip  float64            `json:"-"`
	Nil   []float64          `json:"nil"`
	own   float64
}

func TestNumbersThatJSONDoesNotHaveAreNull(t *testing.T) {
	t.Parallel()
	nan, inf := math.NaN(), math.Inf(1)
	v := outer{
		In: &inner{A: inf, B: float32(nan)}, List: []float64{1, nan, -inf}, Pair: [2]float32{float32(inf), 2}, ByKey: map[string]float64{"b": nan, "a": 1},
		Any: []any{nan, "1.0101010101010101e-305 \"", inner{A: 2}}, Named: named(inf), Text: `a "1.0101011e-36"`, Skip: nan, own: nan,
	}
	const want = `{"in":{"a":null,"b":null},"list":[1,null,null],"pair":[null,2],"by_key":{"a":1,"b":null},` +
		`"any":[null,"1.0101010101010101e-305 \"",{"a":2}],"named":null,"when":"0001-01-01T00:00:00Z","text":"a \"1.0101011e-36\"","nil":null}`
	got, err := floatjson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if cut := `{"a":0,` + want[1:]; string(got) != cut { // of the embedded one
		t.Errorf("got  %s\nwant %s", got, cut)
	}
	if !math.IsNaN(v.List[1]) || !math.IsInf(v.In.A, 1) || !math.IsNaN(v.ByKey["b"]) {
		t.Error("the value itself was changed")
	}
}

func TestTextIsIndented(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    any
		want string
	}{
		{map[string]float64{"a<": math.Inf(-1)}, "{\n \"a<\": null\n}\n"},
		{map[string]float64{"a<": 1}, "{\n \"a<\": 1\n}\n"},
		{math.NaN(), "null\n"},
		{nil, "null\n"},
	} {
		if got, err := floatjson.Text(c.v, " "); err != nil || string(got) != c.want {
			t.Errorf("got %q (%v), want %q", got, err, c.want)
		}
	}
	if _, err := floatjson.Marshal(func() {}); err == nil {
		t.Error("a function was taken")
	}
}
