// Package hold has the device of a benchmark: it is taken when a step first needs it, watched while steps run, and left as it was found.
package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/device"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/workspace"
)

// Device is a device that a benchmark may need. Its exported functions are set before it is used.
type Device struct {
	Plan *plan.Plan
	// Open connects to the device; it is called once, when the first step needs it.
	Open func(ctx context.Context) (device.Device, error)
	// Patience says how patient the board is; Base and On are the plan's.
	Patience snpedevice.Options
	// Watch observes the device until ctx ends; nil: nobody does.
	Watch func(ctx context.Context, d device.Device, see func(result.Condition)) error
	// Say tells the user something that is neither a result nor an error.
	Say      func(text string)
	Progress progress.Reporter

	Board *snpedevice.Board // nil until the device is taken
	Model string            // the DLC's path on the device, once it is there

	connection device.Device
	began      time.Time // of the conditions
	// watching are those who still observe the device: each ends soon after its step, which does not wait for that.
	watching sync.WaitGroup
}

// Connection is the open connection to the device, nil before it is needed.
func (d *Device) Connection() device.Device { return d.connection }

// Began is when the device was first watched; zero: it was not.
func (d *Device) Began() time.Time { return d.began }

// ToolTime is how long SNPE's tools have run on the device so far.
func (d *Device) ToolTime() time.Duration {
	if d.Board == nil {
		return 0
	}
	return d.Board.ToolFor
}

// heldDevice is a device that a benchmark has taken and not yet left: models_dlc/<name>/held.json, which is there only meanwhile. Who
// finds one knows that an earlier run lost the device, or its own life, before it had cleaned up.
type heldDevice struct {
	Device string `json:"device"`
	Base   string `json:"base"`
}

func (d *Device) heldFile() string { return filepath.Join(d.Plan.ModelFolder(), "held.json") }

// take connects and takes the device.
func (d *Device) take(ctx context.Context) error {
	var err error
	if d.connection == nil {
		if d.connection, err = d.Open(ctx); err != nil {
			return err
		}
	}
	o := d.Patience
	o.Base, o.On = d.Plan.Base, d.Plan.On
	if d.Board, err = snpedevice.Enter(ctx, d.connection, o); err != nil {
		return err
	}
	return workspace.WriteJSON(d.heldFile(), heldDevice{d.Plan.Target, d.Plan.Base})
}

// Enter takes the device and brings the DLC, if that has not been done.
func (d *Device) Enter(ctx context.Context) error {
	if d.Board != nil {
		return nil
	}
	if err := d.take(ctx); err != nil {
		return err
	}
	if n := len(d.Board.Swept.Runs); n > 0 {
		d.Plan.Note("%d earlier runs had left files on the device; they were removed", n)
	}
	d.Model = d.Board.Path("models", d.Plan.Name()+".dlc")
	d.Progress.Phase("sending the DLC", 1)
	_, err := d.Board.Send(ctx, d.Plan.Keep, d.Board.Path("models"), []device.File{device.FromDisk(d.Plan.DLC, d.Model)}, d.Progress.Step)
	return err
}

// Leave cleans the device up.
func (d *Device) Leave(ctx context.Context) error {
	var err error
	if d.Board != nil {
		if err = d.Board.Leave(ctx); err == nil {
			err = os.Remove(d.heldFile())
		}
	}
	d.watching.Wait()
	if d.connection != nil {
		err = errors.Join(err, d.connection.Close())
	}
	return err
}

// CleanUp takes a device that no step needed but that an earlier run had to leave as it was; Leave does the rest. That it cannot be
// reached is no error then: it was not asked for.
func (d *Device) CleanUp(ctx context.Context) {
	if d.Board != nil {
		return
	}
	data, err := os.ReadFile(d.heldFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var earlier heldDevice
	if err == nil {
		err = json.Unmarshal(data, &earlier)
	}
	if err == nil && earlier == (heldDevice{d.Plan.Target, d.Plan.Base}) {
		d.Progress.Phase("cleaning up after an earlier run", 1)
		d.Patience.Wait = nil // nothing here is worth waiting for somebody else
		err = d.take(ctx)
	}
	if err != nil {
		d.Say(fmt.Sprintf("an earlier run may have left files on %s, and they could not be removed now: %v; quantcheck device clean does that", d.Plan.Target, err))
	}
}
