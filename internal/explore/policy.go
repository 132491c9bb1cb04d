package explore

import "time"

// policy holds the figures by which an exploration decides: what it tries, when it gives up, and what it calls better. None of them
// changes a score.
type policy struct {
	shares shares

	// heldEvery: of the pictures that can be read, each of this number is held out of the search. A third tells the spread of the score
	// with a few dozen pictures and leaves most to the search.
	heldEvery int
	// spreadGroups divides the held-out pictures for the jackknife. With fewer groups the spread itself is known badly; more cost time.
	spreadGroups int
	// mostCalibrating is how many pictures of the search calibrate where no samples are given for it: ranges change little beyond it.
	mostCalibrating int

	// A candidate is judged on a quarter of the pictures, and on this many at least, before it is given up.
	leastProbe int
	// clearlyUnder is by how much of float's score it has to miss the floor then. The bound falls to 0 as the pictures come to an end.
	clearlyUnder float64
	// mostOpen is how many candidates keep what they were scored on, so that the held-out pictures only add to it. Each takes memory.
	mostOpen int

	// A candidate whose outputs have an SQNR this much, in dB, under that with all activations at 16 bits is rejected even if its score
	// reaches the target: scores of few pictures move by chance, the SQNR hardly does.
	sqnrSlack float64
	// margin is added to the target, as a share of float's score. Of many candidates the search takes one that reaches the target on its
	// own pictures, and on others the score is a little lower (the optimizer's curse).
	margin float64
	// Another recipe is taken if it is better by this share of float's score, or within this share and its outputs are closer to
	// float's by nearerOutputs dB.
	clearlyBetter, nearerOutputs float64

	// sensitivePictures is on how many pictures each quantizer alone is run; errorPictures the same for the layers' own errors and for
	// quantizers alone on the emulator, which takes longer.
	sensitivePictures, errorPictures int
	// A quantizer alone whose noise at the outputs is this many dB under that of the whole recipe, a thousandth of its power, is skipped
	// after its first picture.
	inaudible float64

	// Of the most harmful quantizers this many are priced one by one at 16 bits, and in half precision, before the search; the other
	// prices are thought to grow with the tensors' sizes.
	mostSingles, mostHalfPrices int
	// mostExamined is how many layers that the emulator computes otherwise than the simulation are examined on it, besides the head.
	mostExamined int
	// tries is how many exchanges of a change the search makes per change; on the emulator the simulation has told most of it.
	tries, triesEmulated int
	// blocks are how many quantizers, by harm, the search on the emulator adds at once; the output head comes behind the first block.
	blocks []int

	// mostPoints is how many points of the search are scored on the held-out pictures.
	mostPoints int
	// steps are what sets between the recipe and 16 bits everywhere may cost, as multiples of the recipe's price.
	steps []float64
	// negligible is the share of all harm under which a quantizer is in none of these sets.
	negligible float64
	// extensions are by how many changes, by harm, a set is extended that reaches the target only on the pictures of the search.
	extensions []int
}

// shares are parts of the budget.
type shares struct {
	ending      float64       // kept for the page, the recommended model and its files …
	mostEnding  time.Duration // … and how much that is at most
	origins     float64       // must be left for the next question where the loss comes from
	shown       float64       // must be left for what is only shown once a recipe has the target
	pricing     float64       // may go into prices of single quantizers
	examining   float64       // may go into quantizers alone on the emulator
	front       float64       // kept for the points of the front on all pictures, each priced
	correcting  float64       // kept by the search in the simulation where the emulator decides: most of the time is the emulator's
	leastChange time.Duration // a shorter budget scores no rewritten models
}

var usual = policy{
	shares: shares{ending: 0.06, mostEnding: 10 * time.Second, origins: 0.7, shown: 0.4, pricing: 0.1, examining: 0.12, front: 0.2, correcting: 0.75, leastChange: 2 * time.Minute},

	heldEvery: 3, spreadGroups: 8, mostCalibrating: 32,
	leastProbe: 4, clearlyUnder: 0.15, mostOpen: 24,
	sqnrSlack: 3, margin: 0.01, clearlyBetter: 0.02, nearerOutputs: 1,
	sensitivePictures: 4, errorPictures: 2, inaudible: 30,
	mostSingles: 16, mostHalfPrices: 4, mostExamined: 24, tries: 4, triesEmulated: 2, blocks: []int{3, 5, 10, 20, 40},
	mostPoints: 6, steps: []float64{1.1, 1.25, 1.5, 2}, negligible: 1e-4, extensions: []int{2, 4, 8, 14, 24},
}
