package snpe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRealRuntimes(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, row := range []struct {
		text string
		want []Runtime
	}{
		{validatorPassed, []Runtime{{Name: "DSP", Supported: &yes, UnitTest: &yes}}},
		{validatorFailed, []Runtime{{Name: "DSP", Supported: &no, UnitTest: &no, Errors: []string{
			"-2 . Error while executing the sum function.",
			"Please use testsig if using unsigned images.",
			"Also make sure ADSP_LIBRARY_PATH points to directory containing skels.",
		}}}},
	} {
		text := []byte(row.text)
		if diff := cmp.Diff(row.want, Runtimes(text)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if cut := Runtimes(text[:len(text)/2]); len(cut) != 0 {
			t.Errorf("half of %s: %+v", text, cut)
		}
	}
}

func TestRuntimesWithVersions(t *testing.T) {
	t.Parallel()
	yes := true
	got := Runtimes([]byte("Unit Test on the runtime GPU: Passed.\r\nSNPE is supported for runtime GPU on the device.\n\x00Library Version of the runtime GPU: OpenCL 3.0\nCore Version of the runtime GPU: Adreno(TM) 730\nLibrary Version of the runtime DSP: Not Queried\n"))
	if diff := cmp.Diff([]Runtime{{Name: "GPU", Supported: &yes, UnitTest: &yes, Library: "OpenCL 3.0", Core: "Adreno(TM) 730"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{netRun214: "2.14.2.230905160328_61726", netRun222: "2.22.6.240515184619_92920"} {
		if got, ok := Version([]byte(text)); !ok || got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, text := range []string{"", "SNPE v", "is SNPE v2 there?", "SNPE vx"} {
		if got, ok := Version([]byte(text)); ok {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzRuntimes(f *testing.F) {
	f.Add([]byte("Unit Test on the runtime DSP: Failed.\nSNPE is NOT supported for runtime DSP on the device.\nPF_VALIDATOR: ERROR: x\nSNPE v2.1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, r := range Runtimes(text) {
			if r.Name == "" {
				t.Error("a runtime without a name")
			}
		}
		if v, ok := Version(text); ok == (v == "") {
			t.Errorf("%q %v", v, ok)
		}
	})
}
