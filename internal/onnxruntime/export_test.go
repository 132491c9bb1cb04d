package onnxruntime

// CEnvironment lets tests see what the C library sees.
var CEnvironment = cEnvironment
