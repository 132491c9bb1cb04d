package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
	"quantcheck/internal/device/local"
	"quantcheck/internal/device/ssh"
	"quantcheck/internal/device/sshtest"
)

// powerStats is as the fields are known from others' readers of it; no board has been seen.
const powerStats = `Q6 power stats (cdsp)
Clock freq.(MHz)    Active time (seconds)
    326.40              %.3f
    1171.20             %.3f
Power Collapse Time(s): 12.500
Total Time(s): %.3f
`

// board makes a folder that looks like a board's /proc and /sys.
func board(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/uptime":                                           "100.50 300.00\n",
		"proc/loadavg":                                          "0.52 0.58 0.59 1/467 12345\n",
		"proc/stat":                                             "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4\n",
		"proc/meminfo":                                          "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   12000000 kB\n",
		"sys/class/thermal/thermal_zone0/temp":                  "45500\n",
		"sys/class/thermal/thermal_zone0/type":                  "nsp 0 'x' $(y)\n",
		"sys/class/thermal/thermal_zone1/temp":                  "-273000\n",
		"sys/class/thermal/thermal_zone1/type":                  "off\n",
		"sys/class/thermal/thermal_zone2/temp":                  "0",
		"sys/class/hwmon/hwmon0/power1_input":                   "7250000\n",
		"sys/class/hwmon/hwmon0/power1_average":                 "1\n",
		"sys/class/hwmon/hwmon0/power1_label":                   "system\n",
		"sys/class/hwmon/hwmon0/name":                           "ina226\n",
		"sys/class/hwmon/hwmon1/power2_average":                 "0\n",
		"sys/class/power_supply/battery/voltage_now":            "4000000\n",
		"sys/class/power_supply/battery/current_now":            "-500000\n",
		"sys/class/power_supply/usb/voltage_now":                "5000000\n",
		"sys/class/power_supply/ac/power_now":                   "3000000\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq":  "2016000\n",
		"sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq": "1000\n",
		"sys/class/devfreq/soc:qcom,cdsp-l3/cur_freq":           "806400000\n",
		"stats": fmt.Sprintf(powerStats, 1.0, 2.0, 10.0),
	} {
		put(t, root, name, text, 0o666)
	}
	put(t, root, "usr/bin/sysMonApp", "#!/bin/sh\n[ \"$*\" = 'getPowerStats --q6 cdsp' ] && exec cat "+device.Quote(filepath.Join(root, "stats"))+"\n", 0o777)
	return root
}

func put(t *testing.T, root, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func of[T any](v T) *T { return &v }

func TestWatch(t *testing.T) {
	t.Parallel()
	root := board(t)
	d := local.Open()
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []Sample
	err := watch(ctx, d, root, 20*time.Millisecond, time.Minute, func(s Sample) {
		all = append(all, s)
		if len(all) == 1 {
			put(t, root, "stats", fmt.Sprintf(powerStats, 2.0, 3.0, 14.0), 0o666)
			put(t, root, "proc/stat", "cpu  150 0 150 1000 100 0 0 0 0 0\n", 0o666)
			return
		}
		if s.CPU != nil && s.DSP != nil && *s.CPU > 0 && *s.DSP > 0 {
			cancel()
		}
	})
	if err != nil || len(all) < 2 {
		t.Fatalf("%v, %d samples", err, len(all))
	}
	first, last := all[0], all[len(all)-1]
	if time.Since(first.Time) > time.Minute || first.CPU != nil || first.DSP != nil {
		t.Errorf("the first sample: %+v", first)
	}
	first.Time = time.Time{}
	want := Sample{
		Uptime: of(100.5), Load: of(0.52), MemTotal: of(int64(16000000) << 10), MemAvailable: of(int64(12000000) << 10),
		Temps:  []Temp{{"thermal_zone0", "nsp 0 'x' $(y)", 45.5}, {"thermal_zone2", "", 0}},
		Power:  []Power{{"hwmon0/power1", "ina226 system", 7.25}, {"hwmon1/power2", "", 0}, {"ac", "", 3}, {"battery", "", 2}},
		Clocks: []Clock{{"cpu0", 2016}, {"cpu10", 1}, {"soc:qcom,cdsp-l3", 806.4}},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	// 1 s at each frequency of 4 s.
	dsp := 100 * (326.4 + 1171.2) / (1171.2 * 4)
	if math.Abs(*last.CPU-25) > 1e-9 || math.Abs(*last.DSP-dsp) > 1e-9 || math.Abs(*last.DSPMHz-(326.4+1171.2)/2) > 1e-9 {
		t.Errorf("%v %v %v", *last.CPU, *last.DSP, *last.DSPMHz)
	}
}

func TestADeviceThatOffersNothing(t *testing.T) {
	t.Parallel()
	d := local.Open()
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []byte
	err := watch(ctx, d, t.TempDir(), time.Second, time.Minute, func(s Sample) {
		s.Time = time.Time{}
		got, _ = json.Marshal(s) // It is plain data.
		cancel()
	})
	if err != nil || string(got) != `{"time":"0001-01-01T00:00:00Z"}` {
		t.Errorf("%s %v", got, err)
	}
}

// A device that says nothing, or never comes to a sample's end, is given up, however often the one that watches is patient.
func TestADeviceThatGivesNoSample(t *testing.T) {
	t.Parallel()
	for name, session := range map[string]func(string, gossh.Channel){
		"silent": nil,
		"drips": func(_ string, c gossh.Channel) {
			for {
				if _, err := c.Write([]byte("load 1\n")); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		target, known := sshtest.Hostile{Session: session}.Serve(t)
		d, err := ssh.Open(t.Context(), target, ssh.Options{ConfigFile: "/none", KnownHosts: known, Identities: []string{}, Agent: "none"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = watch(t.Context(), d, "", time.Second, 500*time.Millisecond, func(Sample) { t.Errorf("%s: a sample", name) })
		if !errors.Is(err, device.ErrTimeout) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
		_ = d.Close() // It was only watched.
	}
}

// With the system's own /proc and /sys, over both kinds of connection: it ends within a second, and nothing is left running.
func TestTheEnd(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	over, err := ssh.Open(t.Context(), s.Target, ssh.Options{ConfigFile: "/none", KnownHosts: s.KnownHosts, Identities: []string{s.Identity}, Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]device.Device{"local": local.Open(), "ssh": over} {
		// The pause is this test's mark in the list of processes.
		pause := time.Duration(os.Getpid()%999+60_001) * time.Millisecond
		if name == "ssh" {
			pause += 10 * time.Second
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var ended time.Time
			err := Watch(ctx, d, pause, func(s Sample) {
				if s.Uptime == nil || s.Load == nil || s.MemTotal == nil || s.MemAvailable == nil {
					t.Errorf("%+v", s)
				}
				ended = time.Now()
				cancel()
			})
			if err != nil || time.Since(ended) > time.Second {
				t.Errorf("%v after %s", err, time.Since(ended))
			}
			gone(t, pause, time.Second)
		})
		t.Run(name+", closed", func(t *testing.T) {
			pause := pause + time.Second
			err := Watch(t.Context(), d, pause, func(Sample) { go d.Close() })
			if !errors.Is(err, device.ErrLost) {
				t.Errorf("%v", err)
			}
			gone(t, pause, 5*time.Second)
		})
	}
}

// gone waits until nothing runs that was started for a pause.
func gone(t *testing.T, pause, limit time.Duration) {
	t.Helper()
	mark := fmt.Appendf(nil, "\x00%.3f\x00%d\x00", (pause % time.Second).Seconds(), pause/time.Second)
	for end := time.Now().Add(limit); running(mark); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error("something still runs")
			return
		}
	}
}

// running reports whether a process has the bytes in its arguments.
func running(mark []byte) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // The pattern is right.
	for _, name := range files {
		if args, err := os.ReadFile(name); err == nil && bytes.Contains(args, mark) {
			return true
		}
	}
	return false
}

func TestWhatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		block   string
		notRead int
	}{
		{"", 0}, {"\n\n", 0}, {"what is this", 1}, {"mem MemTotal: x kB", 1}, {"mem MemFree: 1 kB", 1}, {"uptime - NaN", 1}, {"uptime - -1", 1},
		{"stat - cpu 1 2", 1}, {"stat - intr 1 2 3 4 5", 1}, {"temp z", 1}, {"temp z x y", 1}, {"supply b 1", 1}, {"supply b 1 1e999", 1}, {"power", 1},
		{"dsp - what", 0}, {"temp z 1\r\n", 0},
	} {
		if s, _ := parse([]byte(row.block), nil); s.NotRead != row.notRead {
			t.Errorf("%q: %d", row.block, s.NotRead)
		}
	}
	// Counters that go back say nothing.
	_, before := parse([]byte("uptime - 5\nstat - cpu 9 9 9 9 9\ndsp - 100.0 5.0\n"), nil)
	if s, _ := parse([]byte("uptime - 1\nstat - cpu 1 1 1 1 1\ndsp - 100.0 1.0\n"), before); s.CPU != nil || s.DSP != nil {
		t.Errorf("%+v", s)
	}
	// A DSP that slept is at 0 percent, and has no frequency.
	if s, _ := parse([]byte("uptime - 6\ndsp - 100.0 5.0\n"), before); s.DSP == nil || *s.DSP != 0 || s.DSPMHz != nil {
		t.Errorf("%+v", s)
	}
	if _, err := (&blocks{}).Write(bytes.Repeat([]byte("x"), blockLimit+1)); err == nil {
		t.Error("a block without an end")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("uptime - 1.5\nload - 0.1\nstat - cpu 1 2 3 4 5 6 7 8\ntemp z 1000 t\nsupply b 1 2\nkhz cpu0 1\ndsp - 100.00 1.0\nend\n"), []byte("dsp - Total Time(s): 5\n"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		first, last := parse(a, nil)
		second, _ := parse(b, last)
		for _, s := range []Sample{first, second} {
			if _, err := json.Marshal(s); err != nil {
				t.Error(err)
			}
			if s.CPU != nil && (*s.CPU < 0 || *s.CPU > 100) || s.DSP != nil && (*s.DSP < 0 || *s.DSP > 100.0001) {
				t.Errorf("%v %v", s.CPU, s.DSP)
			}
		}
		w := &blocks{take: func(Sample) {}}
		_, _ = w.Write([]byte(strings.ToValidUTF8(string(a), ""))) // It must not panic.
	})
}
