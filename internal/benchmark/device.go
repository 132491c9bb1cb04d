package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quantcheck/internal/device"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/workspace"
)

// heldDevice is a device that a benchmark has taken and not yet left: models_dlc/<name>/held.json, which is there only meanwhile. Who
// finds one knows that an earlier run lost the device, or its own life, before it had cleaned up.
type heldDevice struct {
	Device string `json:"device"`
	Base   string `json:"base"`
}

func (b *benchmark) heldFile() string {
	return filepath.Join(b.folder.ModelDLC(b.spec.Check.Name), "held.json")
}

// take connects and takes the device.
func (b *benchmark) take(ctx context.Context) error {
	var err error
	if b.device == nil {
		if b.device, err = b.Open(ctx); err != nil {
			return err
		}
	}
	o := b.Patience
	o.Base, o.On = b.spec.Base, b.spec.On
	if b.board, err = snpedevice.Enter(ctx, b.device, o); err != nil {
		return err
	}
	return workspace.WriteJSON(b.heldFile(), heldDevice{b.spec.Target, b.spec.Base})
}

// enter takes the device and brings the DLC, if that has not been done.
func (b *benchmark) enter(ctx context.Context) error {
	if b.board != nil {
		return nil
	}
	if err := b.take(ctx); err != nil {
		return err
	}
	if n := len(b.board.Swept.Runs); n > 0 {
		b.note("%d earlier runs had left files on the device; they were removed", n)
	}
	b.model = b.board.Path("models", b.spec.Check.Name+".dlc")
	b.Progress.Phase("sending the DLC", 1)
	_, err := b.board.Send(ctx, b.spec.Keep, b.board.Path("models"), []device.File{device.FromDisk(b.spec.DLC, b.model)}, b.Progress.Step)
	return err
}

// leave cleans the device up.
func (b *benchmark) leave(ctx context.Context) error {
	var err error
	if b.board != nil {
		if err = b.board.Leave(ctx); err == nil {
			err = os.Remove(b.heldFile())
		}
	}
	b.watching.Wait()
	if b.device != nil {
		err = errors.Join(err, b.device.Close())
	}
	return err
}

// cleanUp takes a device that no step needed but that an earlier run had to leave as it was; leave does the rest. That it cannot be
// reached is no error then: it was not asked for.
func (b *benchmark) cleanUp(ctx context.Context) {
	if b.board != nil {
		return
	}
	data, err := os.ReadFile(b.heldFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var earlier heldDevice
	if err == nil {
		err = json.Unmarshal(data, &earlier)
	}
	if err == nil && earlier == (heldDevice{b.spec.Target, b.spec.Base}) {
		b.Progress.Phase("cleaning up after an earlier run", 1)
		b.Patience.Wait = nil // nothing here is worth waiting for somebody else
		err = b.take(ctx)
	}
	if err != nil {
		b.Say(fmt.Sprintf("an earlier run may have left files on %s, and they could not be removed now: %v; quantcheck device clean does that", b.spec.Target, err))
	}
}
