// Package abi passes structs by value between Go and C without cgo, where purego cannot: on x86-64 Linux a struct of more
// than two words lies on the stack, among the arguments that found no register.
//
//  1. Call calls a C function with six register words and any number of stack words.
//  2. Callback gives C a function that takes such a struct; the Go function gets its address.
//
// The rules are those of the System V ABI (https://gitlab.com/x86-psABIs/x86-64-ABI, 3.2.3). Only words are passed: no
// floating-point arguments, no struct as a result.
package abi

import "errors"

// ErrUnsupported means that this system has another calling convention.
var ErrUnsupported = errors.New("structs are passed by value to C on x86-64 Linux only")

// ErrNoSlot means that all of the process's callbacks are taken; none is ever given back.
var ErrNoSlot = errors.New("no callback is left")

// Slots is how many callbacks a process can have.
const Slots = 8
