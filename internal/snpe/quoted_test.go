package snpe

// What SNPE's tools print, quoted in short: the lines that are read, and some of those around them.
const (
	// snpe-throughput-net-run of SNPE 2.9, each time with the runtime that its label names.
	throughputDSP = "[Thread 0 - dsp_fixed8_tf] 1581.96 infs/sec - Number of images processed: 15820 - Build time: 279411 microseconds - Batch : 1\nTotal throughput: 1581.96 infs/sec\n"
	throughputGPU = "Total throughput: 120.149 infs/sec\n"
	throughputCPU = "[Thread 0 - cpu_float32] 43.6138 infs/sec - Number of images processed: 437 - Batch : 1\nTotal throughput: 43.6138 infs/sec\n"

	// snpe-net-run of SNPE 2.14 and of SNPE 2.22.
	netRun214 = "-----\nModel String: N/A\nSNPE v2.14.2.230905160328_61726\n-----\nProcessing DNN input(s):\ncropped/chairs.raw\nSuccessfully executed!\n"
	netRun222 = "-----\nModel String: N/A\nSNPE v2.22.6.240515184619_92920\n-----\n\nProcessing graph : depth\nProcessing DNN input(s):\n./input/input.raw\nSuccessfully executed graph depth\n"
	// A tool that was given half of a DLC.
	incomplete = "Logging level is : SNPE_LOG_LEVEL_ERROR\nerror_code=311; error_message=Dlc container is bad. Incomplete DLC is missing mandatory record: model; error_component=Dl Container; line_no=94; thread_id=523400351016\n"

	// snpe-platform-validator of SNPE 2.14.
	validatorPassed = "PF_VALIDATOR: DEBUG: CPU side validation passed.\n\nPF_VALIDATOR: DEBUG: starting calculator test\nError opening session with unsigned PD\n" +
		"Unit Test on the runtime DSP: Passed.\nSNPE is supported for runtime DSP on the device.\n"
	validatorFailed = "PF_VALIDATOR: DEBUG: CPU side validation passed.\n\nPF_VALIDATOR: DEBUG: starting calculator test\n" +
		"PF_VALIDATOR: ERROR: -2 . Error while executing the sum function.\nPF_VALIDATOR: ERROR: Please use testsig if using unsigned images.\n" +
		"PF_VALIDATOR: ERROR: Also make sure ADSP_LIBRARY_PATH points to directory containing skels.\n" +
		"Unit Test on the runtime DSP: Failed.\nSNPE is NOT supported for runtime DSP on the device.\n"
)
