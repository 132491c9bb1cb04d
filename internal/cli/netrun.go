package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/netrun"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/report"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/usage"
	"quantcheck/internal/workspace"
)

type netRunCmd struct {
	Container        string `name:"container" required:"" placeholder:"M.dlc" help:"The DLC, of version 4 (SNPE 2, QAIRT)."`
	InputList        string `name:"input_list" required:"" placeholder:"L.txt" help:"One inference a line: a file, or name:=file for each input; paths are relative to the working folder. Lines before them name outputs: '#' layers, '%' tensors."`
	OutputDir        string `name:"output_dir" default:"./output" placeholder:"DIR" help:"Where Result_0/<tensor>.raw and so on go (./output)."`
	Debug            bool   `name:"debug" help:"Write every layer."`
	SetOutputTensors string `name:"set_output_tensors" placeholder:"A,B" help:"Write these tensors in place of the graph's outputs."`
	NativeInput      bool   `name:"use_native_input_files" help:"Input files hold the inputs' own types, not float32."`
	NativeOutput     bool   `name:"use_native_output_files" help:"Write the tensors' own types, not float32."`

	Buffers bufferFlags  `embed:"" group:"Types of native files (as snpe-net-run's user buffers):"`
	Ignored ignoredFlags `embed:"" group:"Taken for the sake of scripts, without meaning here:"`
	Refused refusedFlags `embed:"" group:"Not possible here:"`

	Only       string `placeholder:"LAYER,..." help:"Write these layers or tensors besides the outputs."`
	Soc        string `default:"rvc4" placeholder:"rvc4" help:"The chip whose DSP is emulated, by name or by Qualcomm's number (rvc4, which is qcs8550)."`
	AnyVersion bool   `help:"Take other versions of Qualcomm's libraries than the one that was tried, if they compute a known small network as it does."`
	JSON       bool   `name:"json" help:"Print tensors, types, encodings, times as JSON instead of snpe-net-run's lines."`
}

func (c *netRunCmd) places() places {
	p := places{model: place{"--container", c.Container}, inputs: place{"--input_list", c.InputList}, folders: []place{{"--output_dir", c.OutputDir}}}
	earlier, err := filepath.Glob(filepath.Join(workspace.Globbed(c.OutputDir), "Result_*"))
	if err == nil { // the pattern is ours
		for _, dir := range earlier {
			p.replaces = append(p.replaces, place{"--output_dir", dir})
		}
	}
	return p
}

// bufferFlags say what native files hold, as far as it is not the DLC's own type. Without native files they mean nothing:
// files hold float32 then, as with snpe-net-run.
type bufferFlags struct {
	Auto         bool   `name:"userbuffer_auto" help:"The DLC's own types (default)."`
	Float        bool   `name:"userbuffer_float" help:"float32."`
	FloatN       string `name:"userbuffer_floatN" placeholder:"16|32" help:"float16 or float32."`
	TF8          bool   `name:"userbuffer_tf8" help:"8 bit with the DLC's encoding."`
	TFN          string `name:"userbuffer_tfN" placeholder:"8|16" help:"8 or 16 bit with the DLC's encoding."`
	FloatOutput  bool   `name:"userbuffer_float_output" help:"The same for outputs, where they differ."`
	FloatNOutput string `name:"userbuffer_floatN_output" placeholder:"16|32"`
	TF8Output    bool   `name:"userbuffer_tf8_output"`
	TFNOutput    string `name:"userbuffer_tfN_output" placeholder:"8|16"`
	UintNOutput  string `name:"userbuffer_uintN_output" placeholder:"8|16|32" help:"Unsigned integers."`
}

// choice is a flag of the user buffers' family.
type choice struct {
	flag  string
	given bool
	kind  netrun.FileKind
	bits  string
	may   string
}

// types are what input and output files hold.
func (c *netRunCmd) types() (in, out netrun.FileType, err error) {
	b := &c.Buffers
	both, err := chosen([]choice{
		{"--userbuffer_auto", b.Auto, netrun.Native, "", ""},
		{"--userbuffer_float", b.Float, netrun.Floats, "32", "32"},
		{"--userbuffer_floatN", b.FloatN != "", netrun.Floats, b.FloatN, "16|32"},
		{"--userbuffer_tf8", b.TF8, netrun.Fixed, "8", "8"},
		{"--userbuffer_tfN", b.TFN != "", netrun.Fixed, b.TFN, "8|16"},
	}, netrun.FileType{Kind: netrun.Native})
	if err != nil {
		return in, out, err
	}
	output, err := chosen([]choice{
		{"--userbuffer_float_output", b.FloatOutput, netrun.Floats, "32", "32"},
		{"--userbuffer_floatN_output", b.FloatNOutput != "", netrun.Floats, b.FloatNOutput, "16|32"},
		{"--userbuffer_tf8_output", b.TF8Output, netrun.Fixed, "8", "8"},
		{"--userbuffer_tfN_output", b.TFNOutput != "", netrun.Fixed, b.TFNOutput, "8|16"},
		{"--userbuffer_uintN_output", b.UintNOutput != "", netrun.Uints, b.UintNOutput, "8|16|32"},
	}, both)
	if err != nil {
		return in, out, err
	}
	in, out = netrun.FileType{Kind: netrun.Floats, Bits: 32}, netrun.FileType{Kind: netrun.Floats, Bits: 32}
	if c.NativeInput {
		in = both
	}
	if c.NativeOutput {
		out = output
	}
	return in, out, nil
}

// chosen is the one of some flags that was given.
func chosen(list []choice, otherwise netrun.FileType) (netrun.FileType, error) {
	before := ""
	got := otherwise
	for _, c := range list {
		if !c.given {
			continue
		}
		if before != "" {
			return got, usagef("%s and %s contradict each other", before, c.flag)
		}
		before = c.flag
		bits := map[string]int{"": 0, "8": 8, "16": 16, "32": 32}[c.bits]
		if c.may != "" && (bits == 0 || !strings.Contains("|"+c.may+"|", "|"+c.bits+"|")) {
			return got, usagef("%s %s: there are %s", c.flag, c.bits, strings.ReplaceAll(c.may, "|", ", "))
		}
		got = netrun.FileType{Kind: c.kind, Bits: bits}
	}
	return got, nil
}

// ignoredFlags have a meaning on a board only.
type ignoredFlags struct {
	UseDSP       bool   `name:"use_dsp" help:"The HTP is what is emulated anyway."`
	Perf         string `name:"perf_profile" placeholder:"P"`
	Profiling    string `name:"profiling_level" placeholder:"P" help:"No SNPEDiag.log is written."`
	StaticMinMax bool   `name:"static_min_max" help:"Inputs are always put on the DLC's encodings."`
	MemoryMapped bool   `name:"userbuffer_memorymapped"`
	InitCache    bool   `name:"enable_init_cache"`
	CPUFallback  bool   `name:"enable_cpu_fallback" help:"An operator that the HTP refuses ends the run."`
	CPUFixed     bool   `name:"enable_cpu_fxp"`
	Priority     string `name:"priority_hint" placeholder:"P"`
	Per          string `name:"inferences_per_duration" placeholder:"N"`
	Duration     string `name:"duration" placeholder:"S" help:"Each line is run once."`
	Platform     string `name:"platform_options" placeholder:"O"`
	Storage      string `name:"storage_dir" placeholder:"DIR"`
	GPUMode      string `name:"gpu_mode" placeholder:"M"`
	Timeout      string `name:"timeout" placeholder:"N"`
	UserLogs     string `name:"userlogs" placeholder:"L"`
	DebugLogs    string `name:"dbglogs" placeholder:"L"`
}

// given lists the ones that were given, each with what people should know.
func (f *ignoredFlags) given() (list []string) {
	for _, one := range []struct {
		flag  string
		given bool
		why   string
	}{
		{"perf_profile", f.Perf != "", "there is no clock to set"},
		{"profiling_level", f.Profiling != "", "no SNPEDiag.log is written, since times of the emulator are not a device's"},
		{"userbuffer_memorymapped", f.MemoryMapped, ""},
		{"enable_init_cache", f.InitCache, "nothing is written into the DLC"},
		{"enable_cpu_fallback", f.CPUFallback, "an operator that the HTP refuses ends the run"},
		{"enable_cpu_fxp", f.CPUFixed, "nothing runs on a CPU"},
		{"priority_hint", f.Priority != "", ""},
		{"inferences_per_duration", f.Per != "", "each line is run once"},
		{"duration", f.Duration != "", "each line is run once"},
		{"platform_options", f.Platform != "", ""},
		{"storage_dir", f.Storage != "", "nothing is cached"},
		{"gpu_mode", f.GPUMode != "", ""},
		{"timeout", f.Timeout != "", ""},
		{"userlogs", f.UserLogs != "", ""},
		{"dbglogs", f.DebugLogs != "", ""},
		{"use_dsp", f.UseDSP, "the emulated HTP is what runs anyway"},
		{"static_min_max", f.StaticMinMax, "inputs are always put on the DLC's encodings"},
	} {
		switch {
		case one.given && one.why != "":
			list = append(list, fmt.Sprintf("--%s has no meaning here: %s", one.flag, one.why))
		case one.given:
			list = append(list, fmt.Sprintf("--%s has no meaning here", one.flag))
		}
	}
	return list
}

// refusedFlags ask for what would give other results than the ones they ask for.
type refusedFlags struct {
	CPU        bool     `name:"use_cpu" help:"Another runtime than the DSP."`
	GPU        bool     `name:"use_gpu"`
	AIP        bool     `name:"use_aip"`
	Order      string   `name:"runtime_order" placeholder:"R,R" help:"Other runtimes before the DSP."`
	Resizable  string   `name:"resizable_dim" placeholder:"N" help:"Another size than the DLC's."`
	InputName  []string `name:"input_name" placeholder:"I"`
	InputDims  []string `name:"input_dimensions" sep:"none" placeholder:"D"`
	UDO        string   `name:"udo_package_path" placeholder:"P" help:"Operators of your own."`
	Encoding   string   `name:"encoding_type" placeholder:"E" help:"Pictures in nv21 and the like."`
	TensorMode string   `name:"tensor_mode" placeholder:"M"`
	TypeMap    string   `name:"data_type_map" placeholder:"M"`
}

const noRuntime = "here is no such runtime of SNPE, only the HTP (--use_dsp), emulated; its results would be other ones. Leave it out, or run it on the device"

// refuse is the error of the first flag that cannot be followed.
func (f *refusedFlags) refuse() error {
	first, _, _ := strings.Cut(strings.ToLower(f.Order), ",")
	for _, one := range []struct {
		flag  string
		given bool
		why   string
	}{
		{"use_cpu", f.CPU, noRuntime},
		{"use_gpu", f.GPU, noRuntime},
		{"use_aip", f.AIP, noRuntime},
		{"runtime_order " + f.Order, f.Order != "" && !strings.HasPrefix(first, "dsp"), noRuntime},
		{"resizable_dim", f.Resizable != "", "a DLC is run with the shapes that it has; convert it for others"},
		{"input_name", len(f.InputName) > 0, "a DLC is run with the shapes that it has; convert it for others"},
		{"input_dimensions", len(f.InputDims) > 0, "a DLC is run with the shapes that it has; convert it for others"},
		{"udo_package_path", f.UDO != "", "operators of your own cannot be loaded into the emulator"},
		{"encoding_type", f.Encoding != "", "files hold tensors; decode pictures before"},
		{"tensor_mode", f.TensorMode != "", "it is not known here what it does"},
		{"data_type_map", f.TypeMap != "", "give the files' types with --userbuffer_*"},
	} {
		if one.given {
			return usagef("--%s: %s", one.flag, one.why)
		}
	}
	return nil
}

// Help documents the command.
func (netRunCmd) Help() string {
	return "A drop-in for snpe-net-run --use_dsp: runs a DLC as it is on Qualcomm's emulator of the HTP, no SDK and no board, and writes Result_<n>/<tensor>.raw. Flags are written as snpe-net-run writes them."
}

func (c *netRunCmd) spec() (netrun.Spec, error) {
	if err := c.Refused.refuse(); err != nil {
		return netrun.Spec{}, err
	}
	s := netrun.Spec{
		Container: c.Container, InputList: c.InputList, OutputDir: c.OutputDir, Debug: c.Debug, AnyVersion: c.AnyVersion,
		Outputs: names(c.SetOutputTensors), Only: names(c.Only),
	}
	chip, err := qnn.ParseSoC(c.Soc)
	if err != nil {
		return s, usagef("--soc: %w", err)
	}
	s.SoC = chip.Number
	s.Input, s.Output, err = c.types()
	return s, err
}

// names divides a list at its commas.
func names(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (c *netRunCmd) Run(con *console) error {
	spec, err := c.spec()
	if err == nil {
		for _, line := range c.Ignored.given() {
			con.say("%s", line)
		}
		drawn := &netRunLines{w: con.stdout, stderr: con.stderr, silent: c.JSON}
		var ran *netrun.Ran
		ran, err = netrun.Run(con.ctx, func() (qnn.Kit, error) { return qnn.Find("") }, spec, drawn)
		switch {
		case err != nil:
		case c.JSON:
			err = report.JSON(con.stdout.Data(), ran)
		default:
			drawn.line("Successfully executed graph %s", report.Printable(ran.Graph))
			err = drawn.err
		}
	}
	if err != nil && con.ctx.Err() == nil {
		fmt.Fprintln(con.stderr, snpeError(err))
	}
	return err
}

// netRunLines prints what snpe-net-run 2.22 prints.
type netRunLines struct {
	w, stderr io.Writer
	silent    bool
	err       error
}

func (l *netRunLines) line(format string, args ...any) {
	if !l.silent && l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format+"\n", args...)
	}
}

// Opened implements netrun.Watcher.
func (l *netRunLines) Opened(r *netrun.Ran) {
	rule := strings.Repeat("-", 79)
	l.line("%s\nModel String: N/A\nSNPE vN/A (quantcheck %s, the HTP emulator of onnxruntime-qnn %s, SoC model %d)\n%s\n", rule, hostinfo.Version, r.Wheel, r.SoC, rule)
	l.line("Processing graph : %s", report.Printable(r.Graph))
	if r.Half {
		fmt.Fprintln(l.stderr, "quantcheck: a float DLC: it runs in the HTP's half precision (fp16)")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(l.stderr, "quantcheck: %s\n", report.Printable(note))
	}
}

// Begins implements netrun.Watcher.
func (l *netRunLines) Begins(files []string) {
	l.line("Processing DNN input(s):")
	for _, f := range files {
		l.line("%s", report.Printable(f))
	}
}

// badContainer is SNPE's code for a DLC that it cannot read.
const badContainer = 311

// snpeError is an error in the form in which SNPE's tools print them, for scripts that look for it. The codes are SNPE's for
// a bad DLC, else QNN's, else this program's exit statuses.
func snpeError(err error) string {
	code, component := exitFailed, "quantcheck"
	var q *compose.Error
	switch {
	case errors.Is(err, qnnworker.ErrNotDLC), errors.Is(err, qnnworker.ErrOldVersion):
		code, component = badContainer, "Dl Container"
	case errors.As(err, &q):
		code, component = q.Code, q.Call
	case errors.Is(err, qnn.ErrUnavailable):
		code = exitUnavailable
	case errors.Is(err, usage.Err), errors.Is(err, errUsage):
		code = exitUsage
	}
	text := strings.ReplaceAll(strings.Join(strings.Fields(err.Error()), " "), ";", ",")
	return fmt.Sprintf("error_code=%d; error_message=%s; error_component=%s; line_no=0; thread_id=0", code, report.Printable(text), component)
}
