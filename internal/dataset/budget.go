package dataset

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory of the pictures that are decoded at the same time: each takes what its header says that it needs before
// anything is allocated, waits while others have it, and is refused if it needs more than there is. It may be used by many
// goroutines. A nil Budget is one of usualBudget for each picture.
type Budget struct {
	bytes int64
	taken *semaphore.Weighted
}

// usualBudget is what a picture may take where nobody said how much.
const usualBudget = 1 << 30

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{bytes, semaphore.NewWeighted(max(bytes, 0))}
}

// BudgetOf is the share of --memory that is left to pictures.
func BudgetOf(memoryMiB int) *Budget { return NewBudget(int64(memoryMiB) << 20 / 4) }

func (b *Budget) size() int64 {
	if b == nil {
		return usualBudget
	}
	return b.bytes
}

// Take waits until so many bytes are free and gives the function that frees them; what is said of a picture that needs too much
// begins with its size.
func (b *Budget) Take(width, height int, bytes int64) (free func(), err error) {
	if b == nil && bytes > usualBudget {
		return nil, fmt.Errorf("%d × %d pixels would take %s; %s are the limit", width, height, amount(bytes), amount(usualBudget))
	}
	if bytes > b.size() {
		return nil, fmt.Errorf("%d × %d pixels would take %s; --memory leaves %s for pictures", width, height, amount(bytes), amount(b.size()))
	}
	if b == nil {
		return func() {}, nil
	}
	if err := b.taken.Acquire(context.Background(), bytes); err != nil { // it ends: whoever has some decodes, and gives it back
		return nil, err
	}
	return func() { b.taken.Release(bytes) }, nil
}

// readPicture reads a picture's file, which has to fit the budget itself.
func (b *Budget) readPicture(path string) ([]byte, error) {
	return readFile(path, min(maxSampleBytes, b.size()))
}

// amount is a number of bytes for people.
func amount(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// Shrink reads a picture at a size that is made of its own, which it gives too. Pictures that are too large for the budget are an
// error.
func Shrink(path string, b *Budget, size func(width, height int) (w, h int)) (p *Picture, width, height int, err error) {
	data, err := b.readPicture(path)
	if err != nil {
		return nil, 0, 0, err
	}
	f, err := inspect(data)
	if err != nil {
		return nil, 0, 0, err
	}
	w, h := size(f.width, f.height)
	free, err := b.Take(f.width, f.height, int64(len(data))+f.memory+resized(f.width, w, h))
	if err != nil {
		return nil, 0, 0, err
	}
	defer free()
	r, err := f.open()
	if err != nil {
		return nil, 0, 0, err
	}
	p, err = r.window(w, h, area{0, 0, w, h})
	return p, f.width, f.height, err
}

// Size reads a picture's width and height, turned upright, without its pixels.
func Size(path string) (width, height int, err error) {
	data, err := readFile(path, maxSampleBytes)
	if err != nil {
		return 0, 0, err
	}
	f, err := inspect(data)
	if err != nil {
		return 0, 0, err
	}
	return f.width, f.height, nil
}

// readFile reads a regular file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no sample: it is not a file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s is no sample: it has %s, of which %s are the limit", path, amount(info.Size()), amount(most))
	}
	return os.ReadFile(path)
}
