package speed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/benchmark/native"
	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/benchmark/resultfiles"
	"quantcheck/internal/device"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/workspace"
)

// Cycles profiles the layers of a DLC on a device.
type Cycles struct {
	Device  *hold.Device
	Engines session.Engines
	// HostTool runs a program of this machine in a folder, for tools that the device lacks; device.ErrToolMissing: it is not here either.
	HostTool func(ctx context.Context, dir string, args []string) ([]byte, error)
	Dir      string      // for what comes from the device
	Compared *result.Run // whose estimate of the DLC is taken, if it has one; nil: there was no comparison
}

// Measure profiles native inferences, keeps the outputs, and writes layer_stats.csv.
func (c *Cycles) Measure(ctx context.Context) error {
	d, p := c.Device, c.Device.Plan
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	estimate := c.estimating(ctx)
	lines, err := native.Inputs(ctx, d, c.Engines.ORT)
	if err != nil {
		return err
	}
	outputs, err := resultfiles.Outputs(p.DLC)
	if err != nil {
		return err
	}
	name := p.Name()
	incoming := filepath.Join(c.Dir, "outputs")
	d.Progress.Phase("profiling on the device", len(lines))
	results := d.Board.Start(ctx, snpedevice.Run{
		Name: name + "-cycles", Lines: lines, Dir: incoming, Folders: resultfiles.Folders(outputs), Arrived: d.Progress.Step,
		Args: func(list, output string) []string { return snpe.NativeCommand(d.Model, list, output, p.On) },
		Want: func(file string) bool { return strings.HasSuffix(file, ".raw") }, Size: resultfiles.NativeSizes(outputs),
	})
	defer results.Close()
	if err := results.Wait(); err != nil {
		return err
	}
	p.Notes = append(p.Notes, results.Notes...)
	if v, ok := snpe.Version(results.Text); ok {
		p.Done.SNPE = v
	}
	if err := replaceFolder(incoming, p.Folder.RawOutputs(name)); err != nil {
		return err
	}
	profile, err := c.diagnose(ctx, results.Log, d.Board.Path(name+"-cycles.out"))
	if err != nil {
		return err
	}
	found := &result.DeviceCycles{Inferences: len(lines), Profile: p.On.Profile, Layers: workspace.LayerCycles(profile.Layers)}
	for _, g := range profile.Globals {
		found.Globals = append(found.Globals, result.Statistic{Name: g.Name, Unit: g.Unit, Value: g.Value})
	}
	if err := c.expect(ctx, found, estimate); err != nil {
		return err
	}
	p.Done.Cycles = found
	return workspace.WriteFile(filepath.Join(p.ModelFolder(), "layer_stats.csv"), snpe.WriteLayerStats(profile.Layers))
}

// diagnose makes a profile of the log on the device, or here if the device has no snpe-diagview.
func (c *Cycles) diagnose(ctx context.Context, log, folder string) (*snpe.Profile, error) {
	d, p := c.Device, c.Device.Plan
	if log == "" {
		return nil, fmt.Errorf("%s left no SNPEDiag.log; is profiling switched off on the device?", snpe.NetRunTool)
	}
	csv, err := d.Board.Diagnose(ctx, folder+"/"+log, folder+"/layers.csv")
	if errors.Is(err, device.ErrToolMissing) {
		here := filepath.Join(c.Dir, "SNPEDiag.log")
		if e := device.PullFile(ctx, d.Connection(), folder+"/"+log, here); e != nil {
			return nil, e
		}
		if _, e := c.HostTool(ctx, c.Dir, snpe.DiagViewCommand("SNPEDiag.log", "layers.csv")); e != nil {
			kept := filepath.Join(p.ModelFolder(), "SNPEDiag.log")
			return nil, errors.Join(fmt.Errorf("%s is neither on the device nor on this machine (%w); the profile is kept as %s", snpe.DiagViewTool, e, kept), plan.Copy(here, kept))
		}
		p.Note("%s ran on this machine, since the device does not have it", snpe.DiagViewTool)
		csv, err = os.ReadFile(filepath.Join(c.Dir, "layers.csv"))
	}
	if err != nil {
		return nil, err
	}
	return snpe.ReadProfile(csv)
}

// replaceFolder puts a folder in the place of another. If there is none, nothing is there afterwards.
func replaceFolder(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(to)
	}
	return atomicfile.ReplaceFolder(from, to)
}
