package snpe

import "strconv"

// The tools of SNPE that run on a device.
const (
	NetRunTool     = "snpe-net-run"
	ThroughputTool = "snpe-throughput-net-run"
	DiagViewTool   = "snpe-diagview"
	DLCInfoTool    = "snpe-dlc-info"
)

// RuntimeNames are where a model runs, by the tools' --runtime or --use_ flags.
var RuntimeNames = []string{"dsp", "gpu", "cpu", "aip"}

// PerfProfiles are the names that --perf_profile takes (SNPE 2.x).
var PerfProfiles = []string{
	"balanced", "burst", "default", "extreme_power_saver", "high_performance", "high_power_saver", "low_balanced", "low_power_saver",
	"power_saver", "sustained_high_performance", "system_settings",
}

// On is where and how a model is run.
type On struct {
	Runtime string // the word behind --use_: dsp, gpu, cpu, aip
	Profile string // of PerfProfiles
}

// LayersCommand runs a DLC on float inputs and writes every layer's output as float32, as the seed and Luxonis' modelconverter do.
func LayersCommand(dlc, list, output string, on On) []string {
	return []string{
		NetRunTool, "--container", dlc, "--input_list", list, "--output_dir", output, "--debug", "--use_" + on.Runtime,
		"--userbuffer_floatN_output", "32", "--perf_profile", on.Profile, "--userbuffer_float",
	}
}

// NativeCommand runs a DLC on inputs of its own types and writes outputs of its own types; nothing is converted, so its profile is
// that of the model alone.
func NativeCommand(dlc, list, output string, on On) []string {
	return []string{
		NetRunTool, "--container", dlc, "--input_list", list, "--output_dir", output, "--use_" + on.Runtime,
		"--use_native_input_files", "--use_native_output_files", "--perf_profile", on.Profile, "--userbuffer_auto",
	}
}

// ThroughputCommand runs a DLC as often as it can for some seconds.
func ThroughputCommand(dlc string, seconds int, on On) []string {
	return []string{ThroughputTool, "--duration", strconv.Itoa(seconds), "--use_" + on.Runtime, "--container", dlc, "--perf_profile", on.Profile}
}

// DiagViewCommand makes a CSV of a profile.
func DiagViewCommand(log, csv string) []string {
	return []string{DiagViewTool, "--input_log", log, "--csv_format_version", "2", "--output", csv}
}

// DLCInfoCommand lists a DLC.
func DLCInfoCommand(dlc string) []string { return []string{DLCInfoTool, "-i", dlc, "-m", "-d"} }
