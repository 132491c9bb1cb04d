package result

import (
	"time"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/metric"
	"quantcheck/internal/variant"
)

// Explored is what an exploration found: where the loss comes from, the least change that heals it, and what that costs.
type Explored struct {
	ID          int64         `json:"id,omitempty"` // in the workspace's database
	Name        string        `json:"name"`
	Started     time.Time     `json:"started"`
	Seconds     float64       `json:"seconds"`
	Spec        ExploreSpec   `json:"spec"`
	Tool        string        `json:"tool"`
	ONNXRuntime string        `json:"onnxruntime"`
	Wheel       string        `json:"wheel,omitempty"` // version of onnxruntime-qnn, where the emulator took part
	Machine     hostinfo.Info `json:"machine"`
	Model       Model         `json:"model"`
	Task        Task          `json:"task"`
	Data        string        `json:"data"`    // in words
	Reading     string        `json:"reading"` // how outputs are read, in words
	Column      Column        `json:"column"`  // the score that counts
	Classes     []string      `json:"classes"`
	Pictures    PictureCounts `json:"pictures"`
	Float       Scored        `json:"float"`
	Recipe      variant.Spec  `json:"recipe"` // that the points start from
	PriceUnit   PriceUnit     `json:"price_unit"`
	// Verdict says how it ended; Best and Start are places in Points: what is recommended, and the recipe as it was asked for.
	Verdict ExploreVerdict `json:"verdict"`
	Best    int            `json:"best"` // −1: none
	Start   int            `json:"start"`
	Reached bool           `json:"reached"`
	Limits  []string       `json:"limits"`  // what keeps the target out of reach, in words
	Points  []ExplorePoint `json:"points"`  // the front, by price, and the start wherever it lies
	Origins []Origin       `json:"origins"` // where the loss comes from
	Layers  []Sensitivity  `json:"layers"`  // along the graph
	Tries   int            `json:"tries"`   // sets of changes that were scored
	Resumed int            `json:"resumed"` // of them found in the database
	Budget  bool           `json:"budget_spent"`
	Story   []string       `json:"story"` // three sentences
	// Float tensors and borders of the recommended point, before anyone compiles.
	Unencoded []string `json:"unencoded"`
	Converts  []string `json:"converts"`
	Files     []string `json:"files"`    // that were written
	Commands  []string `json:"commands"` // to use them
	Warnings  []string `json:"warnings"`
}

// PictureCounts says which pictures did what.
type PictureCounts struct {
	Calibrating int `json:"calibrating"`
	Searched    int `json:"searched"`
	HeldOut     int `json:"held_out"` // took no part in the search
	Lost        int `json:"lost"`     // could not be read
}

// ExploreVerdict says how an exploration ended.
type ExploreVerdict string

// The verdicts.
const (
	AlreadyGood ExploreVerdict = "already good" // the recipe reaches the target: nothing was searched
	RecipeHeals ExploreVerdict = "recipe"       // another recipe alone reaches it
	BitsHeal    ExploreVerdict = "bits"         // some quantizers differ from the recipe
	OutOfReach  ExploreVerdict = "out of reach"
	NotSearched ExploreVerdict = "not searched" // Limits says why
)

// PriceUnit says what a price is.
type PriceUnit string

// The units of prices.
const (
	CyclesUnit   PriceUnit = "cycles"         // of the HTP compiler's estimate of the whole candidate
	MeasuredUnit PriceUnit = "scaled cycles"  // the same, scaled to a benchmark of this model in the workspace
	BitOpsUnit   PriceUnit = "bit-operations" // multiply-adds times both widths
)

// Scored is what one candidate scored.
type Scored struct {
	Engine  variant.Engine `json:"engine,omitempty"`
	Search  metric.Value   `json:"search"`   // on the pictures of the search
	HeldOut metric.Value   `json:"held_out"` // on those that took no part
	All     metric.Value   `json:"all"`
	// Share is the score on all pictures against float's (the inverse where less is better), HeldShare on the held-out ones;
	// Spread is the standard error of HeldShare, from leaving out groups of the held-out pictures in turn.
	Share     metric.Value   `json:"share"`
	HeldShare metric.Value   `json:"held_share"`
	Spread    metric.Value   `json:"spread"`
	ByClass   []metric.Value `json:"by_class,omitempty"`
	SQNR      metric.Value   `json:"sqnr"` // of the worst output
}

// ExplorePoint is one candidate.
type ExplorePoint struct {
	Title   string          `json:"title"`
	Recipe  variant.Spec    `json:"recipe"` // choices included
	Changed []ChangedLayer  `json:"changed"`
	Wide    int             `json:"wide"`    // activations of more than 8 bits or in half precision
	Tensors int             `json:"tensors"` // activations with a quantizer
	Scored  Scored          `json:"scored"`
	Others  []Scored        `json:"others,omitempty"` // by the other engine
	Price   metric.Value    `json:"price"`
	Cycles  *EstimatedPrice `json:"estimated,omitempty"`
	OnFront bool            `json:"on_front"`
	// Judged is check's verdict, of the recipe as it is and of the recommended point; nil: it was not asked for.
	Judged *PointVerdict `json:"judged,omitempty"`
}

// PointVerdict is what check says of a point of an exploration.
type PointVerdict struct {
	Grade   Grade        `json:"grade"`
	Basis   Basis        `json:"basis"`
	Kept    metric.Value `json:"kept"`    // the smallest share of decisions; no value: none is recognised
	SQNR    metric.Value `json:"sqnr"`    // of the worst part of an output on its worst sample, dB
	Samples int          `json:"samples"` // pictures that it is drawn from
	Text    string       `json:"text"`    // check's sentence
	// Apart says where the score has another word, with both figures; "": it has the same.
	Apart string `json:"apart,omitempty"`
}

// EstimatedPrice is the estimate of a candidate as a whole.
type EstimatedPrice struct {
	Cycles       int64 `json:"cycles"`
	Lower        int64 `json:"lower"`
	Upper        int64 `json:"upper"`
	Microseconds int64 `json:"us"`
	Converts     int   `json:"converts"` // Convert operators in it
}

// ChangedLayer is a quantizer that differs from the recipe.
type ChangedLayer struct {
	Tensor string         `json:"tensor"` // that carries the quantizer
	Also   []string       `json:"also,omitempty"`
	Layer  int            `json:"layer"` // in Layers; −1: an input
	Choice variant.Choice `json:"choice"`
}

// Origin is one way to ask where the loss comes from: another recipe, half of it, or a rewritten model.
type Origin struct {
	Kind   string       `json:"kind"` // part | granularity | calibrator | width | bias | rewrite | model
	Name   string       `json:"name"`
	Engine string       `json:"engine"`
	Score  metric.Value `json:"score"` // on the pictures of the search
	Share  metric.Value `json:"share"` // of float's
	Price  metric.Value `json:"price"`
	Note   string       `json:"note,omitempty"`
}

// Sensitivity is what one quantizer alone does to the outputs.
type Sensitivity struct {
	Tensor      string       `json:"tensor"`
	Tensors     int          `json:"tensors"` // of its group
	Op          string       `json:"op"`
	SQNR        metric.Value `json:"sqnr"`        // dB of the worst output when only this one has 8 bits
	Weights     metric.Value `json:"weights"`     // the same when only the constants of the operators in front of it are quantized
	Emulated    metric.Value `json:"emulated"`    // the same as SQNR on the emulator; none where nobody asked
	Local       metric.Value `json:"local"`       // dB that the layer keeps alone
	Accumulated metric.Value `json:"accumulated"` // dB of it in the whole quantized model
	Apart       metric.Value `json:"apart"`       // dB between the emulated and the simulated layer
	Cycles      metric.Value `json:"cycles"`      // of its operator in the recipe's estimate
	Bits        int          `json:"bits"`        // in the recommended point
}
