package main

// plantHalfOverflow has half precision compute what it cannot hold: a feature map that is scaled beyond 65504 and back, or a logarithm that a constant
// keeps from 0 which half precision takes for 0.
func plantHalfOverflow(s *site) error {
	s.spec.Variants = []string{"fp16"}
	at, err := one(s, s.maps(anyOp))
	if err != nil {
		return err
	}
	if s.number%2 == 0 {
		gain := float32(140000 / s.extent(at))
		s.where = []string{"planted.large", "planted.gain"}
		s.splice(at, func(from string) {
			s.node("Mul", "planted.large", []string{from, s.floats("planted.gain", []float32{gain}, 1)})
			s.node("Mul", at, []string{"planted.large", s.floats("planted.back", []float32{1 / gain}, 1)})
		})
		return s.save()
	}
	s.where = []string{"planted.log", "planted.epsilon"}
	s.splice(at, func(from string) {
		s.node("Relu", "planted.relu", []string{from})
		s.node("Mul", "planted.square", []string{"planted.relu", "planted.relu"})
		s.node("Add", "planted.sum", []string{"planted.square", s.floats("planted.epsilon", []float32{1e-10}, 1)})
		s.node("Log", "planted.log", []string{"planted.sum"})
		s.node("Mul", "planted.little", []string{"planted.log", s.floats("planted.weight", []float32{float32(s.extent(at) / 1000)}, 1)})
		s.node("Add", at, []string{from, "planted.little"})
	})
	return s.save()
}
