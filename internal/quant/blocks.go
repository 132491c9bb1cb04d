package quant

// Blocks says how a tensor is divided into blocks, each with an encoding of its own: Size values that follow each other along Axis. The
// encodings lie as the tensor does, in the shape Grid: the tensor's shape with Axis divided by Size, or 1 along an axis whose places share.
// DequantizeLinear of ONNX has them from operator set 21 on (https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html).
type Blocks struct {
	Axis int     `json:"axis"`
	Size int     `json:"size"`
	Grid []int64 `json:"grid"`
}

// Of is the number of the encoding of the tensor's element i. The tensor's shape has as many axes as Grid.
func (b Blocks) Of(shape []int64, i int) int {
	at, stride := 0, 1
	for d := len(shape) - 1; d >= 0; d-- {
		place := i % int(shape[d])
		i /= int(shape[d])
		if d == b.Axis {
			place /= b.Size
		}
		at += min(place, int(b.Grid[d])-1) * stride
		stride *= int(b.Grid[d])
	}
	return at
}
