package main

import (
	"context"
	"path/filepath"
	"strconv"

	"quantcheck/bench/zoo/networks"
)

// task is what a command's arguments are made of.
type task struct {
	model, samples, work string
	n                    networks.Network
}

// command is one of the program's, as it is run on every network.
type command struct {
	name     string
	emulator bool   // it asks the emulator or its compiler
	after    string // the command whose file it reads; "": the network's own
	args     func(t task) []string
	// look holds what the command wrote against the float model and notes it in the outcome.
	look func(ctx context.Context, b *bench, n networks.Network, o *outcome) error
}

// What commands write, in the folder in which they run.
const (
	optimizedFile = "optimized.onnx"
	quantizedFile = "quantized.onnx"
)

// commands are run in this order.
var commands = []command{
	{name: "info", args: func(t task) []string { return append([]string{"info", t.model}, t.n.Args(true)...) }},
	{name: "lint", args: func(t task) []string { return append([]string{"lint", t.model, "--no-htp"}, t.n.Args(true)...) }},
	{name: "check", args: func(t task) []string { return t.check("w8a8") }},
	{name: "quantize", args: func(t task) []string {
		return t.all("quantize", "--calib", t.samples, "--limit", strconv.Itoa(perNetwork), "--overwrite", "-o", quantizedFile)
	}, look: lookAtQuantized},
	{name: "optimize", args: func(t task) []string {
		return t.all("optimize", "--verify-on", t.samples, "--overwrite", "-o", optimizedFile)
	}, look: lookAtOptimized},
	{name: "lint+htp", emulator: true, args: func(t task) []string { return append([]string{"lint", t.model}, t.n.Args(true)...) }},
	{name: "check@htp", emulator: true, args: func(t task) []string { return t.check("w8a8@htp") }},
	{name: "dlc", emulator: true, args: func(t task) []string {
		return t.all("quantize", "--calib", t.samples, "--limit", strconv.Itoa(perNetwork), "--overwrite", "-o", "for-dlc.onnx", "--dlc", "quantized.dlc")
	}},
	{name: "estimate", emulator: true, args: func(t task) []string { return t.all("estimate", "--calib", t.samples, "--json") }, look: noteCycles},
	{name: "faster", emulator: true, after: "optimize", args: func(t task) []string {
		t.model = filepath.Join(t.work, optimizedFile)
		return t.all("estimate", "--calib", t.samples, "--no-advice", "--json")
	}, look: lookAtCycles},
}

func names() []string {
	var list []string
	for _, c := range commands {
		list = append(list, c.name)
	}
	return list
}

// all are the arguments of a command that takes the input's description.
func (t task) all(name string, more ...string) []string {
	return append(append([]string{name, t.model}, more...), t.n.Args(false)...)
}

// check writes its whole result as JSON. Nothing of an earlier run is taken.
func (t task) check(variant string) []string {
	return t.all("check", "--images", t.samples, "--limit", strconv.Itoa(perNetwork), "--variant", variant, "--name", t.n.Name, "--fresh", "--json")
}
