// Package policy holds all figures by which an exploration decides, with their reasons, and hands out its time.
package policy

import "time"

// Policy holds the figures by which an exploration decides: what it tries, when it gives up, and what it calls better. None of them
// changes a score.
type Policy struct {
	Shares Shares

	// HeldEvery: of the pictures that can be read, each of this number is held out of the search. A third tells the spread of the score
	// with a few dozen pictures and leaves most to the search.
	HeldEvery int
	// SpreadGroups divides the held-out pictures for the jackknife. With fewer groups the spread itself is known badly; more cost time.
	SpreadGroups int
	// MostCalibrating is how many pictures of the search calibrate where no samples are given for it: ranges change little beyond it.
	MostCalibrating int

	// A candidate is judged on a quarter of the pictures, and on this many at least, before it is given up.
	LeastProbe int
	// ClearlyUnder is by how much of float's score it has to miss the floor then. The bound falls to 0 as the pictures come to an end.
	ClearlyUnder float64
	// MostOpen is how many candidates keep what they were scored on, so that the held-out pictures only add to it. Each takes memory.
	MostOpen int

	// A candidate whose outputs have an SQNR this much, in dB, under that with all activations at 16 bits is rejected even if its score
	// reaches the target: scores of few pictures move by chance, the SQNR hardly does.
	SQNRSlack float64
	// Margin is added to the target, as a share of float's score. Of many candidates the search takes one that reaches the target on its
	// own pictures, and on others the score is a little lower (the optimizer's curse).
	Margin float64
	// Another recipe is taken if it is better by this share of float's score, or within this share and its outputs are closer to
	// float's by NearerOutputs dB.
	ClearlyBetter, NearerOutputs float64

	// SensitivePictures is on how many pictures each quantizer alone is run; ErrorPictures the same for the layers' own errors and for
	// quantizers alone on the emulator, which takes longer.
	SensitivePictures, ErrorPictures int
	// A quantizer alone whose noise at the outputs is this many dB under that of the whole recipe, a thousandth of its power, is skipped
	// after its first picture.
	Inaudible float64

	// Of the most harmful quantizers this many are priced one by one at 16 bits, and in half precision, before the search; the other
	// prices are thought to grow with the tensors' sizes.
	MostSingles, MostHalfPrices int
	// MostExamined is how many layers that the emulator computes otherwise than the simulation are examined on it, besides the head.
	MostExamined int
	// Tries is how many exchanges of a change the search makes per change; on the emulator the simulation has told most of it.
	Tries, TriesEmulated int
	// Blocks are how many quantizers, by harm, the search on the emulator adds at once; the output head comes behind the first block.
	Blocks []int

	// MostPoints is how many points of the search are scored on the held-out pictures.
	MostPoints int
	// Steps are what sets between the recipe and 16 bits everywhere may cost, as multiples of the recipe's price.
	Steps []float64
	// Negligible is the share of all harm under which a quantizer is in none of these sets.
	Negligible float64
	// Extensions are by how many changes, by harm, a set is extended that reaches the target only on the pictures of the search.
	Extensions []int
}

// Shares are parts of the budget.
type Shares struct {
	Ending      float64       // kept for the page, the recommended model and its files …
	MostEnding  time.Duration // … and how much that is at most
	Origins     float64       // must be left for the next question where the loss comes from
	Shown       float64       // must be left for what is only shown once a recipe has the target
	Pricing     float64       // may go into prices of single quantizers
	Examining   float64       // may go into quantizers alone on the emulator
	Front       float64       // kept for the points of the front on all pictures, each priced
	Correcting  float64       // kept by the search in the simulation where the emulator decides: most of the time is the emulator's
	LeastChange time.Duration // a shorter budget scores no rewritten models
}

// Usual is the policy of every exploration.
func Usual() Policy {
	return Policy{
		Shares: Shares{Ending: 0.06, MostEnding: 10 * time.Second, Origins: 0.7, Shown: 0.4, Pricing: 0.1, Examining: 0.12, Front: 0.2, Correcting: 0.75, LeastChange: 2 * time.Minute},

		HeldEvery: 3, SpreadGroups: 8, MostCalibrating: 32,
		LeastProbe: 4, ClearlyUnder: 0.15, MostOpen: 24,
		SQNRSlack: 3, Margin: 0.01, ClearlyBetter: 0.02, NearerOutputs: 1,
		SensitivePictures: 4, ErrorPictures: 2, Inaudible: 30,
		MostSingles: 16, MostHalfPrices: 4, MostExamined: 24, Tries: 4, TriesEmulated: 2, Blocks: []int{3, 5, 10, 20, 40},
		MostPoints: 6, Steps: []float64{1.1, 1.25, 1.5, 2}, Negligible: 1e-4, Extensions: []int{2, 4, 8, 14, 24},
	}
}
