package eval

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// Boxes scores detectors: COCO's twelve numbers, and what changed against float.
type Boxes struct {
	data    *labels.Detections
	config  Config
	strict  bool
	decoder *decode.Decoder
	why     string
	settled decode.Settings

	assigned assigned                    // the set's categories of the model's classes
	truth    map[int64][]coco.Annotation // by image
	models   []boxesOf
	scored   []int64 // ids of images
	shown    []result.EvalPicture
	problems labels.Problems

	choice    []int // of the assignments, by what was found on so many pictures
	choiceOf  int
	choiceWhy string
}

type boxesOf struct {
	found []coco.Annotation // where categories are still to be chosen, their ids are the model's classes
	agree result.Agree
}

// NewBoxes makes a scorer of detections. strict refuses a data set with problems.
func NewBoxes(data *labels.Detections, config Config, models int, strict bool) *Boxes {
	b := &Boxes{data: data, config: config, strict: strict, models: make([]boxesOf, models), truth: map[int64][]coco.Annotation{}}
	for _, a := range data.Set.Annotations {
		b.truth[a.ImageID] = append(b.truth[a.ImageID], a)
	}
	return b
}

// settle chooses the decoder by the float model's first outputs.
func (b *Boxes) settle(p Picture, outs []decode.Output) error {
	s := b.config.Decode
	s.Width, s.Height = p.Input[0], p.Input[1]
	var shapes []string
	for _, o := range outs {
		shapes = append(shapes, decode.Shape{Name: o.Name, Dims: o.Tensor.Shape}.String())
	}
	if b.config.Decoder != "" {
		d, err := decode.Lookup(b.config.Decoder)
		if err != nil {
			return err
		}
		b.decoder, b.why = &d, "as asked for"
	} else {
		// The number of classes tells decoders apart: the model's own, else the set's, else what the shapes tell.
		var d decode.Decoder
		var why string
		var err error
		for _, classes := range slices.Compact([]int{s.Classes, len(b.config.Classes), len(b.data.Set.Categories), 0}) {
			try := s
			try.Classes = classes
			if d, why, err = decode.RecogniseValues(outs, try); err == nil {
				s = try
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%w; say which with --decoder (outputs: %s)", err, strings.Join(shapes, ", "))
		}
		b.decoder, b.why = &d, why
	}
	got, err := decode.Decode(*b.decoder, outs, s)
	if err != nil {
		return err
	}
	b.settled = got.Settled
	for _, n := range got.Notes {
		if !strings.Contains(b.why, n) {
			b.why += "; " + n
		}
	}
	return b.mapClasses(b.settled.Classes)
}

// Picture implements Scorer.
func (b *Boxes) Picture(p Picture, outputs [][]decode.Output) error {
	if b.decoder == nil {
		if outputs[0] == nil {
			return errors.New("the float model gave nothing for the first picture")
		}
		if err := b.settle(p, outputs[0]); err != nil {
			return err
		}
	}
	b.scored = append(b.scored, p.Image.ID)
	shown := result.EvalPicture{Name: p.Image.Name, Path: p.Path, Width: p.Width, Height: p.Height, Truth: b.truthBoxes(p.Image.ID), Differs: make([]float64, len(outputs))}
	for i, outs := range outputs {
		var forPeople []result.Box
		if outs != nil {
			var err error
			if forPeople, err = b.read(i, p, outs); err != nil {
				return err
			}
		}
		shown.Found = append(shown.Found, append([]result.Box{}, forPeople...))
		if i > 0 {
			agree := compareBoxes(shown.Found[0], shown.Found[i], &shown.Found[i])
			m := &b.models[i].agree
			m.Kept, m.Moved, m.Other, m.Lost, m.New = m.Kept+agree.Kept, m.Moved+agree.Moved, m.Other+agree.Other, m.Lost+agree.Lost, m.New+agree.New
			shown.Differs[i] = float64(agree.Moved)/2 + float64(agree.Other+agree.Lost+agree.New)
		}
	}
	b.shown = append(b.shown, shown)
	if len(b.shown) > 4*shownMost {
		b.shown = mostDiffering(b.shown)
	}
	return nil
}

// read decodes one model's outputs twice: with the settings of scoring, and with those that are for people.
func (b *Boxes) read(model int, p Picture, outs []decode.Output) ([]result.Box, error) {
	got, err := decode.Decode(*b.decoder, outs, b.settled)
	if err != nil {
		return nil, err
	}
	if got.NotFinite > 0 {
		b.problems.Add("boxes are not finite and are left out", fmt.Sprintf("%d in %s", got.NotFinite, p.Image.Name))
	}
	for _, d := range got.Detections {
		category := b.category(d.Class)
		if category < 0 {
			continue
		}
		x, y, w, h := pictured(d.Box, p)
		if score := float64(d.Score); !coco.Usable([4]float64{x, y, w, h}) || score-score != 0 {
			b.problems.Add("boxes of a model are unusable (not finite, or over a billion pixels) and are left out", fmt.Sprintf("%s: [%g %g %g %g]", p.Image.Name, x, y, w, h))
			continue
		}
		id := int64(category)
		if b.assigned.choices == nil {
			id = b.data.Set.Categories[category].ID
		}
		b.models[model].found = append(b.models[model].found, coco.Annotation{
			ID: int64(len(b.models[model].found) + 1), ImageID: p.Image.ID, CategoryID: id, Box: [4]float64{x, y, w, h}, Area: w * h, Score: float64(d.Score),
		})
	}
	people := decode.SeedSettings()
	shown := b.settled
	shown.Confidence, shown.IoU, shown.Most, shown.MultiLabel = people.Confidence, people.IoU, people.Most, false
	if got, err = decode.Decode(*b.decoder, outs, shown); err != nil {
		return nil, err
	}
	var boxes []result.Box
	for _, d := range got.Detections {
		x, y, w, h := pictured(d.Box, p)
		if category := b.category(d.Class); category >= 0 && coco.Usable([4]float64{x, y, w, h}) && d.Score-d.Score == 0 { // what is left out was counted above
			boxes = append(boxes, result.Box{X: float32(x), Y: float32(y), W: float32(w), H: float32(h), Class: category, Score: d.Score})
		}
	}
	return boxes, nil
}

// category is the category of a class, −1 for none; where it is still to be chosen, the class itself.
func (b *Boxes) category(class int) int {
	if b.assigned.choices != nil && class >= 0 {
		return class
	}
	if class < 0 || class >= len(b.assigned.categories) {
		b.problems.Add("classes of the model are beyond the categories, boxes of them are left out", strconv.Itoa(class))
		return -1
	}
	return b.assigned.categories[class]
}

// pictured brings a box of the input into the picture: left, top, width, height.
func pictured(box [4]float32, p Picture) (x, y, w, h float64) {
	x, y = p.Place.Picture(float64(box[0]), float64(box[1]))
	x2, y2 := p.Place.Picture(float64(box[2]), float64(box[3]))
	return x, y, x2 - x, y2 - y
}

func (b *Boxes) truthBoxes(image int64) []result.Box {
	boxes := []result.Box{}
	for _, a := range b.truth[image] {
		if k := slices.IndexFunc(b.data.Set.Categories, func(c coco.Category) bool { return c.ID == a.CategoryID }); k >= 0 && coco.Usable(a.Box) { // what is not is a problem, and cannot be drawn
			boxes = append(boxes, result.Box{X: float32(a.Box[0]), Y: float32(a.Box[1]), W: float32(a.Box[2]), H: float32(a.Box[3]), Class: k, Crowd: a.Crowd})
		}
	}
	return boxes
}

// detectionColumns are COCO's twelve numbers in pycocotools' order, by the keys that people know them by.
var detectionColumns = []result.Column{
	{Key: "mAP", Title: "average precision, IoU 0.50:0.95", Higher: true}, {Key: "AP50", Title: "average precision, IoU 0.50", Higher: true},
	{Key: "AP75", Title: "average precision, IoU 0.75", Higher: true}, {Key: "APs", Title: "average precision, small objects", Higher: true},
	{Key: "APm", Title: "average precision, medium objects", Higher: true}, {Key: "APl", Title: "average precision, large objects", Higher: true},
	{Key: "AR1", Title: "average recall, 1 box per picture", Higher: true}, {Key: "AR10", Title: "average recall, 10 boxes per picture", Higher: true},
	{Key: "AR100", Title: "average recall, 100 boxes per picture", Higher: true}, {Key: "ARs", Title: "average recall, small objects", Higher: true},
	{Key: "ARm", Title: "average recall, medium objects", Higher: true}, {Key: "ARl", Title: "average recall, large objects", Higher: true},
	{Key: "confidence", Title: "mean confidence of the boxes", Higher: true},
}

// Conclude implements Scorer.
func (b *Boxes) Conclude(e *result.Evaluation) error {
	e.Columns, e.Classes = detectionColumns, []string{}
	for _, c := range b.data.Set.Categories {
		e.Classes = append(e.Classes, c.Name)
	}
	categories, why, err := b.chosen()
	if err != nil {
		return err
	}
	pictures := b.shown
	if b.assigned.choices == nil {
		categories = nil
	} else {
		pictures = recategorise(pictures, categories)
	}
	if b.decoder != nil {
		e.Reading = fmt.Sprintf("%s (%s); confidence over %g, NMS at IoU %g, %d boxes", b.decoder.Name, b.why, b.settled.Confidence, b.settled.IoU, b.settled.Most)
		if why != "" {
			e.Reading += "; " + why
		}
	}
	for i := range e.Models {
		m := &e.Models[i]
		r, err := b.evaluateAs(i, b.scored, categories)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		found := b.found(i, categories)
		if left := len(b.models[i].found) - len(found); left > 0 {
			e.Problems = append(e.Problems, fmt.Sprintf("%d boxes of %s are of classes without a category and are left out", left, m.Name))
		}
		for _, v := range r.Stats {
			m.Scores = append(m.Scores, orNothing(v))
		}
		m.Scores = append(m.Scores, meanScore(found))
		m.ByClass = make([]metric.Value, len(b.data.Set.Categories))
		for _, c := range r.Categories() {
			if k := slices.IndexFunc(b.data.Set.Categories, func(s coco.Category) bool { return s.ID == c.ID }); k >= 0 {
				m.ByClass[k] = orNothing(c.AP)
			}
		}
		if m.Curve, err = meanCurve(r); err != nil {
			return err
		}
		m.Agree = withShare(b.models[i].agree, m.Agree)
		m.Annotations = found
		if i == 0 {
			for line := range strings.Lines(r.Problems.String()) {
				e.Problems = append(e.Problems, strings.TrimSpace(line))
			}
		}
	}
	drops(e)
	e.Pictures = mostDiffering(pictures)
	e.Problems = append(e.Problems, append(b.data.Problems.List(), b.problems.List()...)...)
	e.Truth = b.data.Set
	return b.blind(e)
}

// evaluate scores what a model found on some of the pictures.
func (b *Boxes) evaluate(model int, images []int64) (*coco.Result, error) {
	categories, _, err := b.chosen()
	if err != nil {
		return nil, err
	}
	if b.assigned.choices == nil {
		categories = nil
	}
	return b.evaluateAs(model, images, categories)
}

// ScoreOf implements Partial.
func (b *Boxes) ScoreOf(model int, images []int64) (metric.Value, error) {
	r, err := b.evaluate(model, images)
	if err != nil {
		return metric.Value{}, err
	}
	return orNothing(r.Stats[0]), nil
}

// orNothing takes pycocotools' −1 for what it is: no value.
func orNothing(v float64) metric.Value {
	if v < 0 {
		return metric.Value{}
	}
	return metric.Defined(v)
}

func meanScore(list []coco.Annotation) metric.Value {
	if len(list) == 0 {
		return metric.Value{}
	}
	sum := 0.0
	for _, a := range list {
		sum += a.Score
	}
	return metric.Defined(sum / float64(len(list)))
}

func withShare(counts, distance result.Agree) result.Agree {
	counts.SQNR, counts.Cos = distance.SQNR, distance.Cos
	if all := counts.Kept + counts.Moved + counts.Other + counts.Lost + counts.New; all > 0 {
		counts.Share = metric.Defined(float64(counts.Kept) / float64(all))
	}
	return counts
}

// meanCurve is precision over recall at IoU 0.5, the mean over the categories that have truth.
func meanCurve(r *coco.Result) ([]result.CurvePoint, error) {
	var curve []result.CurvePoint
	n := 0
	for _, c := range r.Categories() {
		points, err := r.Curve(c.ID, 0.5)
		if err != nil {
			return nil, err
		}
		if points == nil {
			continue
		}
		n++
		for i, p := range points {
			if i == len(curve) {
				curve = append(curve, result.CurvePoint{Recall: p.Recall})
			}
			curve[i].Precision += max(p.Precision, 0)
		}
	}
	for i := range curve {
		curve[i].Precision /= float64(n)
	}
	return curve, nil
}

// cocoNames are the classes of detectors that were trained on COCO, in their order.
var cocoNames = strings.Split("person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush", ",")
