// Package testset reads the data set on which models are scored: pictures, with the labels of a task or without.
//
//  1. Open reads labels and finds the pictures; Fits holds them against a model's inputs.
//  2. Samples are run; Picture says how each was put into the model; Scorer makes what compares outputs with the labels.
package testset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/labels"
	"quantcheck/internal/paths"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
)

// Set is the data set of a task, with labels or without.
type Set struct {
	Images     []labels.Image
	Text       string           // what it is, in words
	sources    []dataset.Source // of the images, as a model's samples
	detections *labels.Detections
	pairs      *labels.Pairs
	classes    *labels.Classes
}

// Open reads the data set of a task, at most limit pictures of it (0: all). images is the folder of its pictures, "" if they lie
// beside the labels. An error is one of usage.
func Open(from result.Scoring, images string, limit int) (*Set, error) {
	s, err := read(from, images, limit)
	return s, usage.Mark(err)
}

func read(from result.Scoring, images string, limit int) (*Set, error) {
	s := &Set{}
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
func (s *Set) Samples() *dataset.Set { return &dataset.Set{Sources: s.sources} }

// Fits says what is wrong with a model that is to be run on the set: labels belong to pictures, so that it takes one picture; where
// its float form is the truth, whatever it takes will do. The error is one of usage.
func (s *Set) Fits(loader dataset.Loader, task result.Task) error {
	return usage.Mark(s.fits(loader, task))
}

func (s *Set) fits(loader dataset.Loader, task result.Task) error {
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
func (s *Set) Scorer(asked result.Scoring, config eval.Config, models int, sink eval.Sink) eval.Scorer {
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

// Picture says of picture n of the set (from 0) how it was put into a model of one input by the loader.
func (s *Set) Picture(n int, sample *dataset.Sample, loader dataset.Loader) eval.Picture {
	image := s.Images[n]
	p := eval.Picture{Image: image, Path: paths.Absolute(image.Path), Width: sample.Width, Height: sample.Height}
	if width, height, err := loader.Size(loader.Inputs[0]); err == nil && sample.Width > 0 {
		p.Input = [2]int{width, height}
		p.Place = loader.Description.Place(sample.Width, sample.Height, width, height)
	}
	return p
}

// Identity is all that the labels say, and the files that it lies in besides those that were read already.
func (s *Set) Identity() (said any, files []string) {
	h := sha256.New()
	for _, i := range s.Images {
		fmt.Fprintf(h, "%q %d %q %d\n", i.Name, i.ID, i.Truth, i.Class)
		if i.Truth != "" {
			files = append(files, i.Truth)
		}
	}
	if s.detections != nil {
		for _, c := range s.detections.Set.Categories {
			fmt.Fprintf(h, "%d %q\n", c.ID, c.Name)
		}
		for _, a := range s.detections.Set.Annotations {
			fmt.Fprintln(h, a.ID, a.ImageID, a.CategoryID, a.Box, a.Area, a.Crowd, a.Ignore, a.Missing)
		}
	}
	if s.classes != nil {
		fmt.Fprintf(h, "%q\n", s.classes.Names)
	}
	return []string{s.Text, hex.EncodeToString(h.Sum(nil))}, files
}
