package process

import (
	"os"
	"os/exec"
	"testing"
)

func TestSelfRuns(t *testing.T) {
	t.Parallel()
	if s := Self().State(); s != Running {
		t.Errorf("this process is %s: %+v", s, Self())
	}
	if Self().PID != os.Getpid() {
		t.Errorf("%+v", Self())
	}
}

func TestTheNameOfAProcessIsReadBack(t *testing.T) {
	t.Parallel()
	for _, id := range []ID{Self(), {1, 0, "000000", "abcdef", "123456"}, {4194304, 1<<64 - 1, "ffffff", "ffffff", "ffffff"}} {
		if got, err := Parse(id.String()); err != nil || got != id {
			t.Errorf("%s: %+v %v, want %+v", id, got, err, id)
		}
	}
	for _, text := range []string{"", "1", "1-2", "0-0-000000abcdef123456", "-1-0-000000abcdef123456", "1-0-000000abcdef12345", "1-0-000000abcdef1234567",
		"1-zzzzzzzzzzzzz-000000abcdef123456", "99999999999-0-000000abcdef123456", "x" + Self().String(), Self().String() + "\n"} {
		if id, err := Parse(text); err == nil {
			t.Errorf("%q is %+v", text, id)
		}
	}
}

func TestOfAProcessIsKnownWhetherItRuns(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*ID)) ID {
		id := Self()
		f(&id)
		return id
	}
	for _, row := range []struct {
		name string
		id   ID
		want State
	}{
		{"one that ended", change(func(id *ID) { id.PID, id.Start = ended.Process.Pid, 0 }), Gone},
		{"another process with the same number", change(func(id *ID) { id.Start++ }), Gone},
		{"one before the machine was started anew", change(func(id *ID) { id.Boot = "000000" }), Gone},
		{"another container's with our number", change(func(id *ID) { id.Space = "000000" }), Elsewhere},
		{"another machine's with our number", change(func(id *ID) { id.Host = "000000" }), Elsewhere},
		{"another machine's and another start's", change(func(id *ID) { id.Host, id.Boot = "000000", "000000" }), Elsewhere},
		{"none", ID{}, Elsewhere},
	} {
		if got := row.id.State(); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}
