package main

import (
	"fmt"
	"slices"
	"strings"
)

// flag is a flag of a tool.
type flag struct {
	name  string
	short string
	value string   // "": it takes none; else what
	among []string // values that it takes; nil: any
}

// given are the flags of a call: a name, and its values in their order, "" for one that takes none.
type given map[string][]string

func (g given) has(name string) bool { return len(g[name]) > 0 }

// get is the last value of a flag, "" if it was not given.
func (g given) get(name string) string {
	if list := g[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

// any is the first of some flags that was given, "" if none was.
func (g given) any(names ...string) string {
	for _, n := range names {
		if g.has(n) {
			return n
		}
	}
	return ""
}

// always are the flags of every tool.
var always = []flag{{name: "help", short: "h"}, {name: "version"}}

// parse reads flags as getopt_long does: --name value, --name=value, -n value.
func parse(tool string, flags []flag, args []string) (given, error) {
	flags = slices.Concat(flags, always)
	g := given{}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		k := slices.IndexFunc(flags, func(f flag) bool { return name == "--"+f.name || f.short != "" && name == "-"+f.short })
		if k < 0 {
			what := "unrecognized option" //nolint:misspell // getopt's spelling
			if !strings.HasPrefix(name, "-") {
				what = "unexpected argument"
			}
			return nil, fmt.Errorf("%s: %s '%s'\n%s", tool, what, args[i], usage(tool, flags))
		}
		f := flags[k]
		switch {
		case f.value == "" && inline:
			return nil, fmt.Errorf("%s: option '--%s' doesn't allow an argument", tool, f.name)
		case f.value != "" && !inline:
			if i++; i == len(args) {
				return nil, fmt.Errorf("%s: option '--%s' requires an argument", tool, f.name)
			}
			value = args[i]
		}
		if f.among != nil && !slices.Contains(f.among, value) {
			return nil, fmt.Errorf("%s: option '--%s': '%s' is none of %s", tool, f.name, value, strings.Join(f.among, ", "))
		}
		g[f.name] = append(g[f.name], value)
	}
	return g, nil
}

// need is the error of a flag without which there is nothing to do.
func (c *call) need(names ...string) error {
	for _, n := range names {
		if c.given.get(n) == "" {
			return fmt.Errorf("%s: option '--%s' is missing", c.Tool, n)
		}
	}
	return nil
}

func usage(tool string, flags []flag) string {
	var b strings.Builder
	fmt.Fprintf(&b, "A stand-in for %s %s, for tests only.\n\nOPTIONS:\n", tool, version)
	for _, f := range flags {
		fmt.Fprintf(&b, "  --%s", f.name)
		if f.value != "" {
			fmt.Fprintf(&b, " <%s>", f.value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// switches makes flags without values.
func switches(names ...string) (list []flag) {
	for _, n := range names {
		list = append(list, flag{name: n})
	}
	return list
}

// values makes flags with a value each.
func values(names ...string) (list []flag) {
	for _, n := range names {
		list = append(list, flag{name: n, value: "VAL"})
	}
	return list
}

var profiles = []string{
	"low_balanced", "balanced", "default", "high_performance", "sustained_high_performance", "burst", "low_power_saver", "power_saver",
	"high_power_saver", "extreme_power_saver", "system_settings",
}

var netRunFlags = slices.Concat(
	values("container", "input_list", "output_dir", "set_output_tensors"),
	switches("use_cpu", "use_gpu", "use_dsp", "use_aip", "debug", "use_native_input_files", "use_native_output_files"),
	switches("userbuffer_auto", "userbuffer_float", "userbuffer_tf8", "userbuffer_float_output", "userbuffer_tf8_output", "userbuffer_memorymapped"),
	[]flag{
		{name: "userbuffer_floatN", value: "N", among: []string{"16", "32"}}, {name: "userbuffer_floatN_output", value: "N", among: []string{"16", "32"}},
		{name: "userbuffer_tfN", value: "N", among: []string{"8", "16"}}, {name: "userbuffer_tfN_output", value: "N", among: []string{"8", "16"}},
		{name: "userbuffer_uintN_output", value: "N", among: []string{"8", "16", "32"}},
		{name: "perf_profile", value: "VAL", among: profiles},
		{name: "profiling_level", value: "VAL", among: []string{"off", "basic", "moderate", "detailed", "linting", "qhas"}},
	},
	switches("static_min_max", "enable_cpu_fallback", "enable_init_cache", "enable_cpu_fxp"),
	values("resizable_dim", "input_name", "input_dimensions", "runtime_order", "priority_hint", "inferences_per_duration", "duration", "platform_options",
		"udo_package_path", "storage_dir", "encoding_type", "tensor_mode", "data_type_map", "gpu_mode", "timeout", "userlogs", "dbglogs"),
)

var throughputFlags = slices.Concat(
	values("container", "duration", "iterations", "json", "input_raw", "storage_dir", "userbuffer_floatN", "userbuffer_tfN", "runtime_order", "priority_hint", "platform_options"),
	switches("use_cpu", "use_gpu", "use_gpu_fp16", "use_dsp", "use_aip", "verbose", "skip_execute", "enable_cpu_fallback", "debug", "userbuffer_auto", "userbuffer_float", "userbuffer_tf8"),
	[]flag{{name: "perf_profile", value: "VAL", among: profiles}},
)

var diagviewFlags = []flag{
	{name: "input_log", value: "FILE"}, {name: "output", value: "FILE"}, {name: "csv_format_version", value: "N", among: []string{"1", "2"}},
}

var infoFlags = []flag{
	{name: "input_dlc", short: "i", value: "FILE"}, {name: "save", short: "s", value: "FILE"}, {name: "display_memory", short: "m"}, {name: "display_all_encodings", short: "d"},
}

var validatorFlags = slices.Concat(
	[]flag{{name: "runtime", value: "VAL", among: []string{"cpu", "gpu", "dsp", "aip", "all"}}},
	switches("coreVersion", "libVersion", "testRuntime", "debug"), values("targetPath"),
)

// monitorFlags are sysMonApp's; its first argument is an order.
var monitorFlags = []flag{{name: "q6", value: "VAL", among: []string{"adsp", "cdsp", "sdsp"}}, {name: "clear", value: "N"}}
