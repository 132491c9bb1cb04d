package result

import (
	"time"

	"quantcheck/internal/coco"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/metric"
	"quantcheck/internal/variant"
)

// Task is what a model is for.
type Task string

// The tasks that are scored.
const (
	Detection      Task = "detection"
	Segmentation   Task = "segmentation"
	Depth          Task = "depth"
	Classification Task = "classification"
	Agreement      Task = "agreement" // no truth: each output's distance to float
)

// Tasks lists them.
var Tasks = []Task{Detection, Segmentation, Depth, Classification, Agreement}

// Evaluation is what quantization costs in a task's own score, on a data set.
type Evaluation struct {
	ID          int64         `json:"id,omitempty"` // in the workspace's database
	Name        string        `json:"name"`
	Started     time.Time     `json:"started"`
	Seconds     float64       `json:"seconds"`
	Inference   float64       `json:"inference_seconds"` // of them in inferences
	Spec        EvalSpec      `json:"spec"`
	Tool        string        `json:"tool"`
	ONNXRuntime string        `json:"onnxruntime"`
	Machine     hostinfo.Info `json:"machine"`
	Model       Model         `json:"model"`
	Task        Task          `json:"task"`
	Data        string        `json:"data"`    // in words
	Reading     string        `json:"reading"` // how outputs are read, and why so, in words
	Columns     []Column      `json:"columns"` // of the scores, the one that counts first
	Classes     []string      `json:"classes"` // of the scores by class
	Models      []EvalModel   `json:"models"`  // float first
	Pictures    []EvalPicture `json:"pictures"`
	Problems    []string      `json:"problems"` // of the data set and the outputs, counted and named
	Warnings    []string      `json:"warnings"`
	Truth       *coco.Dataset `json:"-"` // of a detection, for results/<file>.json
}

// Column is a score.
type Column struct {
	Key    string `json:"key"`
	Title  string `json:"title"`
	Higher bool   `json:"higher"` // is better
}

// EvalModel is the float model or a variant, scored.
type EvalModel struct {
	Name     string         `json:"name"`           // "float", or the variant's
	Spec     *variant.Spec  `json:"spec,omitempty"` // nil for the float model
	File     string         `json:"file"`           // name of its results: results/<file>.json
	Scores   []metric.Value `json:"scores"`         // parallel to the columns
	Drop     metric.Value   `json:"drop"`           // of the first score against float; positive is worse
	Agree    Agree          `json:"agreement"`
	Bytes    int64          `json:"bytes"` // its weights at their width; of a DLC the file
	FPS      metric.Value   `json:"fps"`   // measured on a device; no value if it was not
	ByClass  []metric.Value `json:"by_class"`
	Curve    []CurvePoint   `json:"curve,omitempty"` // precision over recall at IoU 0.5, mean over the classes
	Emulator *Emulator      `json:"emulator,omitempty"`
	// Annotations are all boxes that were scored, for results/<file>.json; they are not kept in the database.
	Annotations []coco.Annotation `json:"-"`
}

// Agree is how far a variant gives what the float model gives.
type Agree struct {
	// Share of what either of the two found that both found alike: boxes, pixels, classes; no value where that has no
	// meaning.
	Share metric.Value `json:"share"`
	// Boxes of a confidence that counts for people: found by both, moved, of another class, lost, new.
	Kept  int `json:"kept"`
	Moved int `json:"moved"`
	Other int `json:"other_class"`
	Lost  int `json:"lost"`
	New   int `json:"new"`
	// SQNR and cosine of the outputs against float, the mean over pictures, of the worst output.
	SQNR metric.Value `json:"sqnr"`
	Cos  metric.Value `json:"cosine"`
}

// CurvePoint is a point of a precision-recall curve.
type CurvePoint struct {
	Recall    float64 `json:"recall"`
	Precision float64 `json:"precision"`
}

// EvalPicture is what the models made of one picture.
type EvalPicture struct {
	Name   string  `json:"name"`
	Path   string  `json:"path"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Truth  []Box   `json:"truth"`
	Found  [][]Box `json:"found"` // by model; those of a confidence that counts for people
	// Masks are the PNG files of the truth and of each model, relative to the workspace if they lie in it.
	TruthMask string   `json:"truth_mask,omitempty"`
	Masks     []string `json:"masks,omitempty"`
	// Differs is how much each model differs from float here: the boxes that changed, the share of pixels or the
	// relative difference that changed, or 100 − SQNR; higher is more.
	Differs []float64 `json:"differs"`
}

// Change is what became of a box against float.
type Change string

// The changes.
const (
	Same       Change = ""
	Moved      Change = "moved"
	OtherClass Change = "other class"
	Lost       Change = "lost" // float has it, the variant does not
	New        Change = "new"
)

// Box is an object in pixels of the picture.
type Box struct {
	X      float32 `json:"x"`
	Y      float32 `json:"y"`
	W      float32 `json:"w"`
	H      float32 `json:"h"`
	Class  int     `json:"class"` // index into the classes
	Score  float32 `json:"score"`
	Change Change  `json:"change,omitempty"`
	Crowd  bool    `json:"crowd,omitempty"`
}

// BlindScore is the first score, of those from 0 to 1, under which the float model itself sees next to nothing.
const BlindScore = 0.01

// Blind says that the float model itself scores next to nothing, so that no variant's score says anything about quantization. It is false
// where the first score is none from 0 to 1.
func (e *Evaluation) Blind() bool {
	if len(e.Models) == 0 || len(e.Columns) == 0 || len(e.Models[0].Scores) == 0 || e.Task == Agreement || !e.Columns[0].Higher {
		return false
	}
	float := e.Models[0].Scores[0]
	return float.OK && float.V < BlindScore
}
