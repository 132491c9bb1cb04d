package web_test

import (
	"math"
	"reflect"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/workspace"
)

// spoil puts a number into every floating-point field that it reaches, and gives how many there are; what a metric.Value holds
// stays a value that is defined.
func spoil(v reflect.Value, number float64) (count int) {
	if v.Type() == reflect.TypeFor[metric.Value]() {
		if v.CanSet() {
			v.Set(reflect.ValueOf(metric.Value{V: number, OK: true}))
		}
		return 1
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if v.CanSet() {
			v.SetFloat(number)
			return 1
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return spoil(v.Elem(), number)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				count += spoil(v.Field(i), number)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			count += spoil(v.Index(i), number)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			copied := reflect.New(v.Type().Elem()).Elem()
			copied.Set(v.MapIndex(key))
			count += spoil(copied, number)
			v.SetMapIndex(key, copied)
		}
	}
	return count
}

// TestAnyNumberIsStoredReadDrawnAndPrinted fills results with numbers that are none.
func TestAnyNumberIsStoredReadDrawnAndPrinted(t *testing.T) {
	t.Parallel()
	scenes := paintScenes(t, 1)
	for name, number := range map[string]float64{"NaN": math.NaN(), "infinity": math.Inf(1), "minus infinity": math.Inf(-1), "the greatest": math.MaxFloat64, "the least": -math.MaxFloat64, "next to nothing": 5e-324} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := workspace.Folder(t.TempDir())
			db, err := workspace.OpenStore(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			run, evaluation, exploration := invent(1, 12, 2), detect(1, scenes, []string{"a", "b", "c"}, 2), inventExploration()
			estimate := inventEstimate(1, "w8a8-0", run, 40)
			filled := 0
			for _, v := range []any{run, evaluation, exploration, estimate} {
				filled += spoil(reflect.ValueOf(v), number)
			}
			if filled < 1000 {
				t.Fatalf("only %d numbers were filled", filled)
			}
			for _, err := range []error{db.Runs.Add(t.Context(), run), db.Evaluations.Add(t.Context(), evaluation), db.Explorations.Add(t.Context(), exploration), db.Estimates.Add(t.Context(), estimate), db.Close()} {
				if err != nil {
					t.Error(err)
				}
			}
			said, content := readAll(t, folder)
			if len(said) != 1 || len(content.Runs) != 1 || len(content.Evaluations) != 1 || len(content.Explorations) != 1 || len(content.Estimates) != 1 { // the run's own warning
				t.Errorf("%d runs, %d evaluations, %d explorations, %d estimates are read: %q", len(content.Runs), len(content.Evaluations), len(content.Explorations), len(content.Estimates), said)
			}
		})
	}
}
