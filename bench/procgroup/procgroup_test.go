package procgroup_test

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"quantcheck/bench/procgroup"
)

func TestTheProcessesOfAGroupAreFound(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	}()
	var list []procgroup.Process
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		if list = procgroup.Of(c.Process.Pid); len(list) == 2 && list[0].Bytes["Pss"] > 0 && list[1].Bytes["Pss"] > 0 {
			return
		}
	}
	t.Errorf("%+v", list)
}
