package eval

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
)

// feed is a scorer's pictures, with what a float model and a variant gave.
type feed struct {
	make     func() Scorer
	pictures []Picture
	outputs  [][][]decode.Output
}

const feedPictures = 5 * shownMost // more than are kept

// feeds are scorers of every task with random outputs, some of which are missing or not finite.
func feeds(t testing.TB) map[string]feed {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 11))
	dir := t.TempDir()
	config := Usual()
	config.Output = "y"
	list := map[string]feed{}
	random := func(n int, scale float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64() * scale)
		}
		return v
	}
	add := func(name string, blank func() Scorer, image func(i int) Picture, out func(i, model int) []decode.Output) {
		f := feed{make: blank}
		for i := range feedPictures {
			f.pictures = append(f.pictures, image(i))
			outputs := [][]decode.Output{out(i, 0), out(i, 1)}
			if i%17 == 16 {
				outputs[1] = nil
			}
			f.outputs = append(f.outputs, outputs)
		}
		list[name] = f
	}
	named := func(i int) Picture {
		return plain(8, 8, labels.Image{Name: "p" + strconv.Itoa(i), ID: int64(i + 1), Class: i % 9})
	}
	add("distance", func() Scorer { return NewDistance(2, true) }, named, func(i, _ int) []decode.Output {
		if i%5 == 0 {
			return output([]float32{1, 2, 3}, 3)
		}
		return output(random(3, 1), 3)
	})
	add("classes", func() Scorer { return NewLabels(&labels.Classes{Images: []labels.Image{{Class: 8}}}, config, 2) }, named, func(_, _ int) []decode.Output { return output(random(9, 1), 1, 9) })
	mask := func(i int) Picture {
		levels := make([]uint8, 64)
		for k := range levels {
			levels[k] = uint8(r.IntN(4))
		}
		path := filepath.Join(dir, fmt.Sprintf("m%d.png", i))
		p := named(i)
		if p.Image.Truth = path; i%13 != 12 { // else it cannot be read
			data, err := encodeGray(8, 8, levels)
			if err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	add("masks", func() Scorer { return NewMasks(&labels.Pairs{}, config, 2, nil) }, mask, func(_, _ int) []decode.Output { return output(random(3*64, 1), 1, 3, 8, 8) })
	add("depths", func() Scorer { return NewDepths(&labels.Pairs{}, config, 2, nil) }, mask, func(_, _ int) []decode.Output { return output(random(64, 3), 1, 1, 8, 8) })
	boxed := config
	boxed.Decoder = "boxes"
	boxed.Output = ""
	boxed.Decode.Mapping = decode.Mapping{Boxes: "b", Scores: "s", Classes: "c"}
	boxed.Classes = []string{"cat", "dog"}
	set := detections("cat", "dog")
	for i := range feedPictures {
		set.Set.Images = append(set.Set.Images, coco.Image{ID: int64(i + 1), Width: 64, Height: 64, FileName: strconv.Itoa(i)})
		set.Set.Annotations = append(set.Set.Annotations, coco.Annotation{ID: int64(i + 1), ImageID: int64(i + 1), CategoryID: set.Set.Categories[i%2].ID, Box: [4]float64{8, 8, 32, 32}, Area: 1024})
	}
	asked := func(i int) Picture { return plain(64, 64, labels.Image{Name: strconv.Itoa(i), ID: int64(i + 1)}) }
	other := *set // whose classes are chosen by what scores best
	other.Set = &coco.Dataset{Images: set.Set.Images, Annotations: slices.Clone(set.Set.Annotations), Categories: []coco.Category{{ID: 70, Name: "x"}, {ID: 3, Name: "y"}}}
	for i := range other.Set.Annotations {
		other.Set.Annotations[i].CategoryID = other.Set.Categories[i%2].ID
	}
	unnamed := boxed
	unnamed.Classes = nil
	add("boxes of unknown classes", func() Scorer { return NewBoxes(&other, unnamed, 2, false) }, asked, func(i, _ int) []decode.Output {
		return ready([6]float32{8, 8, 40, 40, 0.5 + r.Float32()/2, float32(i % 2)}, [6]float32{1, 1, 9, 9, r.Float32(), 5})
	})
	add("boxes", func() Scorer { return NewBoxes(set, boxed, 2, false) }, asked,
		func(_, _ int) []decode.Output {
			var found [][6]float32
			for range 3 {
				x, y := r.Float32()*16, r.Float32()*16
				found = append(found, [6]float32{x, y, x + 32, y + 32, r.Float32(), float32(r.IntN(2))})
			}
			return ready(found...)
		})
	return list
}

// feedOutputs is how many outputs the models of a feed have.
func feedOutputs(s Scorer) int {
	if _, ok := s.(*Boxes); ok {
		return 3
	}
	return 1
}

func concluded(t testing.TB, s Scorer) *result.Evaluation {
	t.Helper()
	e := evaluation("", "float", "v")
	if err := s.Conclude(e); err != nil {
		t.Fatal(err)
	}
	return e
}

func written(s Scorer) []byte {
	w := resume.NewWriter()
	s.Code(w, feedOutputs(s))
	return bytes.Clone(w.Data())
}

// A scorer that takes up another's state after any number of pictures comes to the same end, bit by bit.
func TestScorersGoOnWhereOthersWere(t *testing.T) {
	for name, f := range feeds(t) {
		t.Run(name, func(t *testing.T) {
			whole := f.make()
			states := [][]byte{written(whole)}
			for i, p := range f.pictures {
				if err := whole.Picture(p, f.outputs[i]); err != nil {
					t.Fatal(err)
				}
				states = append(states, written(whole))
			}
			want := concluded(t, whole)
			if len(want.Models[1].Scores) == 0 || len(want.Pictures) == 0 {
				t.Fatalf("nothing is scored: %+v", want)
			}
			for _, from := range []int{0, 1, 16, 17, 4*shownMost - 1, 4 * shownMost, 4*shownMost + 1, feedPictures} {
				s := f.make()
				c := resume.NewReader(states[from])
				if s.Code(c, feedOutputs(s)); c.Close() != nil {
					t.Fatalf("from %d: %v", from, c.Err())
				}
				if !bytes.Equal(written(s), states[from]) {
					t.Errorf("from %d: the state is not what was read", from)
				}
				for i := from; i < len(f.pictures); i++ {
					if err := s.Picture(f.pictures[i], f.outputs[i]); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(written(s), states[len(states)-1]) {
					t.Errorf("from %d: another state at the end", from)
				}
				if diff := cmp.Diff(want, concluded(t, s)); diff != "" {
					t.Errorf("from %d: %s", from, diff)
				}
			}
		})
	}
}

// A state that was changed is an error or something that goes on and can be concluded; it is never a panic.
func FuzzScorerStates(f *testing.F) {
	list := feeds(f)
	names := []string{"distance", "classes", "masks", "depths", "boxes"}
	for k, name := range names {
		s := list[name].make()
		for i := range 3 {
			if err := s.Picture(list[name].pictures[i], list[name].outputs[i]); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(byte(k), written(s))
	}
	f.Fuzz(func(_ *testing.T, task byte, data []byte) {
		feed := list[names[int(task)%len(names)]]
		s := feed.make()
		c := resume.NewReader(data)
		if s.Code(c, feedOutputs(s)); c.Close() != nil {
			return
		}
		for i := 3; i < 6; i++ { // errors are fine
			_ = s.Picture(feed.pictures[i], feed.outputs[i])
		}
		_ = s.Conclude(evaluation("", "float", "v"))
	})
}

// TestAStateOfAnotherModelIsRefused forges states that are well formed and say what this model and this data set do not have.
func TestAStateOfAnotherModelIsRefused(t *testing.T) {
	list := feeds(t)
	for _, row := range []struct {
		task, what string
		forge      func(Scorer)
	}{
		{"classes", "output", func(s Scorer) { of[*Labels](s).output = 1 }},
		{"classes", "output", func(s Scorer) { of[*Labels](s).output = -1 }},
		{"classes", "output", func(s Scorer) { of[*Labels](s).output = 1 << 40 }},
		{"classes", "fewer classes", func(s Scorer) {
			l := of[*Labels](s)
			l.classes = 3
			for i := range l.models {
				l.models[i].right, l.models[i].all = l.models[i].right[:3], l.models[i].all[:3]
			}
		}},
		{"classes", "sums", func(s Scorer) { of[*Labels](s).models[1].all = nil }},
		{"masks", "output", func(s Scorer) { of[*Masks](s).output = 1 }},
		{"masks", "masks", func(s Scorer) { of[*Masks](s).classes = -3 }},
		{"masks", "counts", func(s Scorer) { of[*Masks](s).classes = 2 }},
		{"depths", "output", func(s Scorer) { of[*Depths](s).output = 1 }},
		{"distance", "outputs", func(s Scorer) { of[*Distance](s).names = []string{"y", "z"} }},
		{"distance", "outputs", func(s Scorer) { of[*Distance](s).sums[1].cos = nil }},
		{"boxes", "category", func(s Scorer) { of[*Boxes](s).models[0].found[0].CategoryID = 99 }},
		{"boxes", "decoder", func(s Scorer) { of[*Boxes](s).decoder = &decode.Decoder{Name: "nothing"} }},
		{"boxes", "settings", func(s Scorer) { of[*Boxes](s).settled.Width = -5 }},
	} {
		t.Run(row.task+" "+row.what, func(t *testing.T) {
			f := list[row.task]
			s := f.make()
			if err := s.Picture(f.pictures[0], f.outputs[0]); err != nil {
				t.Fatal(err)
			}
			row.forge(s)
			c := resume.NewReader(written(s))
			got := f.make()
			got.Code(c, feedOutputs(got))
			if err := c.Close(); err == nil || !strings.Contains(err.Error(), row.what) {
				t.Errorf("%v", err)
			}
		})
	}
}

func of[T Scorer](s Scorer) T {
	got, _ := s.(T)
	return got
}
