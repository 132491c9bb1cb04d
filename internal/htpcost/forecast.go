package htpcost

import "math"

// Forecast is how long a board takes for one inference, guessed from the compiler's estimate and from published times of other networks. No board
// was asked.
type Forecast struct {
	Board        string `json:"board"` // the chip whose times were published
	Microseconds int64  `json:"us"`
	Lower        int64  `json:"us_lower"` // microseconds: between the two lie nine of ten of the published times
	Upper        int64  `json:"us_upper"`
	Networks     int    `json:"networks"` // whose times the forecast comes from
}

// Precision is how a model's numbers are held on the DSP, for a forecast.
type Precision string

// The precisions of which times were published.
const (
	W8A8  Precision = "w8a8"
	W8A16 Precision = "w8a16"
	FP16  Precision = "fp16"
)

// law is a line through published times: scale × estimate + call − matrix × time in which the matrix unit is busy, all in milliseconds. The true
// time lay between low and high times the line.
type law struct {
	scale, call, matrix float64
	low, high           float64
	from, to            float64 // milliseconds: the estimates that the line was drawn through
	networks            int
}

// laws come from times that qualcomm/ai-hub-models (BSD-3-Clause, release 0.65.0, QAIRT 2.50) publishes and the estimates of the same networks
// in the form in which they are deployed; docs/estimate.md has the table. The compiler's cost model is that of the IQ-9075's DSP. The QCS8550's matrix
// unit takes about half of that time in half precision.
var laws = map[string]map[Precision]law{
	"QCS8550": {
		W8A8:  {scale: 0.90, call: 0.07, low: 0.75, high: 1.15, from: 0.24, to: 2.1, networks: 16},
		W8A16: {scale: 1, call: 0.10, low: 0.72, high: 1.20, from: 0.65, to: 11.2, networks: 8},
		FP16:  {scale: 1, call: 0.13, matrix: 0.48, low: 0.85, high: 1.15, from: 0.72, to: 13, networks: 33},
	},
	"IQ-9075": {
		W8A8:  {scale: 0.90, call: 0.14, low: 0.78, high: 1.25, from: 0.24, to: 2.1, networks: 16},
		W8A16: {scale: 1, call: 0.22, low: 0.72, high: 1.25, from: 0.65, to: 11.2, networks: 8},
		FP16:  {scale: 0.92, call: 0.20, low: 0.85, high: 1.20, from: 0.72, to: 13, networks: 21},
	},
}

// boards are the published boards that a chip's estimates speak of.
var boards = map[string]string{"rvc4": "QCS8550", "qcs9100": "IQ-9075"}

// beyond is how far beyond the published networks a forecast goes, as a factor.
const beyond = 2

// ForecastOf forecasts the time of an estimate of a whole model in the form in which it is deployed; nil where no times of such, or of networks about as large, were published.
func ForecastOf(e *Estimate, p Precision) *Forecast {
	board := boards[e.SoC.Name]
	l, known := laws[board][p]
	if !known || e.Cycles <= 0 || e.Microseconds <= 0 {
		return nil
	}
	matrix := int64(0)
	for i := range e.Layers {
		matrix += e.Layers[i].HMX
	}
	ms := float64(e.Microseconds) / 1000
	if ms < l.from/beyond || ms > l.to*beyond {
		return nil
	}
	us := 1000 * (l.scale*ms + l.call - l.matrix*ms*min(float64(matrix)/float64(e.Cycles), 1))
	at := func(f float64) int64 { return int64(math.Round(f * us)) }
	return &Forecast{Board: board, Microseconds: at(1), Lower: at(l.low), Upper: at(l.high), Networks: l.networks}
}
