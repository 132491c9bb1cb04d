package explore

import "quantcheck/internal/onnx"

// headOf says of every quantizer whether it belongs to the output head: no operator with weights follows it.
func headOf(base *onnx.Model, groups [][]string) []bool {
	index := onnx.NewIndex(base)
	weighted := map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true}
	follows := make(map[string]bool) // tensor → a weighted operator follows
	for i := len(index.Nodes) - 1; i >= 0; i-- {
		n := index.Nodes[i]
		leads := weighted[n.GetOpType()]
		for _, out := range n.GetOutput() {
			leads = leads || follows[out]
		}
		if leads {
			for _, in := range n.GetInput() {
				follows[in] = true
			}
		}
	}
	list := make([]bool, len(groups))
	for i, g := range groups {
		list[i] = !follows[g[0]]
	}
	return list
}
