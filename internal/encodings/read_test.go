package encodings

import "testing"

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"version":"0.6.1","activation_encodings":{"a":[{"bitwidth":8,"dtype":"int","is_symmetric":"False","min":0.0,"max":5.1,"scale":0.02,"offset":0}],"b":[{"bitwidth":16,"dtype":"float"}]},"param_encodings":{}}`,
		`{"version":"1.0.0","activation_encodings":[{"name":"a","enc_type":"PER_TENSOR","dtype":"INT","bw":8,"is_sym":false,"scale":[0.02],"offset":[0]}],"param_encodings":[]}`,
		`{"version":"2.0.0","encodings":[{"name":"a","output_dtype":"int8","y_scale":[[0.01],[0.005]],"axis":0}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		asked, err := Read(data)
		if err != nil {
			return
		}
		for name, a := range asked {
			for _, e := range a.Encodings {
				if !(e.Scale > 0) {
					t.Errorf("%s: a scale of %g was let through", name, e.Scale)
				}
			}
		}
	})
}
