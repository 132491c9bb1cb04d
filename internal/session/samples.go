package session

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"quantcheck/internal/dataset"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/usage"
)

// Samples finds the samples of a path, at most limit of them (0: all), and checks that they fit the model's inputs.
func Samples(path string, limit int, loader dataset.Loader) (*dataset.Set, error) {
	set, err := dataset.Find(path, limit)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if err := loader.Check(set); err != nil {
		return nil, usage.Mark(err)
	}
	return set, nil
}

// skip notes a sample that could not be read.
func (b *Session) skip(s dataset.Source, err error) {
	w := fmt.Sprintf("sample %s was left out: %v", s.Name, err)
	b.Skipped = append(b.Skipped, w)
	if !slices.Contains(b.Run.Warnings, w) {
		b.Run.Warnings = append(b.Run.Warnings, w)
	}
}

// EachSample reads the samples, one ahead of the one in use, and calls use for each with the number of samples done
// after it. Samples that cannot be read are noted, and use is called with nil.
func (b *Session) EachSample(ctx context.Context, set *dataset.Set, loader dataset.Loader, use func(done int, s *dataset.Sample) error) error {
	type loaded struct {
		sample *dataset.Sample
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan loaded, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() {
		defer close(ahead)
		for _, source := range set.Sources {
			s, err := loader.Load(source)
			select {
			case ahead <- loaded{s, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	for i, source := range set.Sources {
		var l loaded
		select {
		case l = <-ahead:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil { // the reader may have ended before: what came then is no sample that cannot be read
			return err
		}
		if l.err != nil {
			b.skip(source, l.err)
		}
		if err := use(i+1, l.sample); err != nil {
			return err
		}
	}
	return nil
}

// CodeSample writes or reads what a result says of a sample.
func CodeSample(x *resume.Coder, s *result.Sample) {
	x.String(&s.Name)
	x.String(&s.Path)
	x.String(&s.SHA256)
}
