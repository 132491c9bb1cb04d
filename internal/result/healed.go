package result

// Healing is what became of a recipe's weights that were fitted to the float model.
type Healing struct {
	Samples int           `json:"samples"`
	Seconds float64       `json:"seconds"`
	Layers  []HealedLayer `json:"layers"` // in the order in which they were healed
}

// HealedLayer is one layer with weights. Before and After are the part of the float output's variance that is lost, ΣE(y − ŷ)²/ΣV[y] over
// channels, for the inputs that the healed model gives the layer: with the recipe's weights, and with the healed ones.
type HealedLayer struct {
	Name     string  `json:"name"`
	Op       string  `json:"op"`
	Bits     int     `json:"bits"`
	Weights  int     `json:"weights"`
	Channels int     `json:"channels"`
	Kept     int     `json:"kept"`   // channels that stay as the recipe has them, since nothing was better
	Lambda   float64 `json:"lambda"` // pull towards the float weights
	Before   float64 `json:"before"`
	After    float64 `json:"after"`
}
