package connect

import "quantcheck/internal/device"

// Target is the device that the options mean, without a connection. The error is ErrUsage.
func Target(o Options) (device.Target, error) {
	t, _, err := o.target()
	if err != nil {
		return t, mark(ErrUsage, err)
	}
	return t, nil
}
