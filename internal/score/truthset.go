package score

import (
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/labels"
	"quantcheck/internal/result"
)

// TruthSet is a data set of any task.
type TruthSet struct {
	Images     []labels.Image
	sources    []dataset.Source // of the images, as a model's samples
	Text       string           // what it is, in words
	detections *labels.Detections
	pairs      *labels.Pairs
	classes    *labels.Classes
}

// OpenTruth reads the data set of a task, at most limit pictures of it (0: all). images is the folder of its pictures, "" if they lie
// beside the labels.
func OpenTruth(from result.Scoring, images string, limit int) (*TruthSet, error) {
	s := &TruthSet{}
	var err error
	switch from.Task {
	case result.Detection:
		if s.detections, err = labels.ReadDetections(from.Data, images); err != nil {
			return nil, err
		}
		s.Images = s.detections.Images
		s.Text = fmt.Sprintf("%d annotations in %d categories", len(s.detections.Set.Annotations), len(s.detections.Set.Categories))
	case result.Segmentation, result.Depth:
		endings := []string{".png"}
		if from.Task == result.Depth {
			endings = append(endings, ".npy")
		}
		if s.pairs, err = labels.ReadPairs(from.Data, images, endings...); err != nil {
			return nil, err
		}
		s.Images = s.pairs.Images
		s.Text = fmt.Sprintf("%s for each", map[result.Task]string{result.Segmentation: "a mask", result.Depth: "a depth map"}[from.Task])
	case result.Classification:
		if s.classes, err = labels.ReadClasses(from.Data, images); err != nil {
			return nil, err
		}
		s.Images = s.classes.Images
		s.Text = fmt.Sprintf("%d classes are named", len(s.classes.Names))
	case result.Agreement:
		found, err := dataset.Find(from.Data, 0)
		if err != nil {
			return nil, err
		}
		s.sources = found.Sources
		for i, source := range found.Sources {
			first := slices.Min(slices.Collect(maps.Keys(source.Files)))
			s.Images = append(s.Images, labels.Image{Name: source.Name, Path: source.Files[first], ID: int64(i + 1)})
		}
		s.Text = "without truth"
	default:
		return nil, fmt.Errorf("task %q; there are %v", from.Task, result.Tasks)
	}
	if s.sources == nil {
		for _, i := range s.Images {
			s.sources = append(s.sources, dataset.Source{Name: i.Name, Files: map[string]string{"": i.Path}})
		}
	}
	if limit > 0 && len(s.Images) > limit {
		s.Images, s.sources = s.Images[:limit], s.sources[:limit]
	}
	s.Text = fmt.Sprintf("%d pictures, %s", len(s.Images), s.Text)
	return s, nil
}

// Samples are the set's pictures as a model's samples.
func (s *TruthSet) Samples() *dataset.Set { return &dataset.Set{Sources: s.sources} }

// Fits says what is wrong with a model that is to be run on the set: labels belong to pictures, so that it takes one picture; where
// its float form is the truth, whatever it takes will do.
func (s *TruthSet) Fits(loader dataset.Loader, task result.Task) error {
	if task == result.Agreement {
		return loader.Check(s.Samples())
	}
	if len(loader.Inputs) != 1 {
		return fmt.Errorf("the model has %d inputs; data sets of pictures need a model with one (without labels, --task agreement takes any)", len(loader.Inputs))
	}
	_, _, err := loader.Size(loader.Inputs[0])
	return err
}

// Scorer makes the scorer of the set's task for so many models, nil for agreement with the float model, which has no labels.
func (s *TruthSet) Scorer(asked result.Scoring, config eval.Config, models int, sink eval.Sink) eval.Scorer {
	switch asked.Task {
	case result.Detection:
		return eval.NewBoxes(s.detections, config, models, asked.Strict)
	case result.Segmentation:
		return eval.NewMasks(s.pairs, config, models, sink)
	case result.Depth:
		return eval.NewDepths(s.pairs, config, models, sink)
	case result.Classification:
		return eval.NewLabels(s.classes, config, models)
	}
	return nil // agreement needs the distance alone
}
