package result

import "quantcheck/internal/metric"

// Cycles is a device's profile of one model: models_dlc/<model>/layer_stats.csv.
type Cycles struct {
	Model  string       `json:"model"`
	Layers []LayerCycle `json:"layers"` // in the order of the layers' ids
}

// LayerCycle is one layer's time.
type LayerCycle struct {
	ID    int          `json:"id"`
	Name  string       `json:"name"`
	Mean  float64      `json:"mean"`  // in the unit
	Std   metric.Value `json:"std"`   // no value with one inference
	Share float64      `json:"share"` // of the sum of the means
	Unit  string       `json:"unit"`
}
