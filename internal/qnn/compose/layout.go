package compose

import (
	"unsafe"

	"quantcheck/internal/qnn"
)

// The version whose table and structs stand below.
const (
	coreMajor, coreMinor = 2, 40
	worksWith            = qnn.Version
)

// QnnInterface_t: a head of five words with the version in it, then the functions. Its size decides where the arguments
// behind it lie.
const (
	tableHead  = 5
	tableSlots = 75
)

// A function of one of the two tables.
type function struct {
	name string
	word int // in the interface struct
}

// Of QnnInterface_t.
var (
	backendCreate           = function{"backendCreate", tableHead + 1}
	backendValidateOpConfig = function{"backendValidateOpConfig", tableHead + 7}
	contextCreate           = function{"contextCreate", tableHead + 9}
	contextFree             = function{"contextFree", tableHead + 14}
	graphAddNode            = function{"graphAddNode", tableHead + 18}
	graphFinalize           = function{"graphFinalize", tableHead + 19}
	graphRetrieve           = function{"graphRetrieve", tableHead + 20}
	graphExecute            = function{"graphExecute", tableHead + 21}
	tensorCreateGraphTensor = function{"tensorCreateGraphTensor", tableHead + 24}
	logCreate               = function{"logCreate", tableHead + 25}
	profileCreate           = function{"profileCreate", tableHead + 28}
	profileSetConfig        = function{"profileSetConfig", tableHead + 29}
	profileGetEvents        = function{"profileGetEvents", tableHead + 30}
	profileGetSubEvents     = function{"profileGetSubEvents", tableHead + 31}
	profileGetEventData     = function{"profileGetEventData", tableHead + 32}
	profileGetExtendedData  = function{"profileGetExtendedEventData", tableHead + 33}
	profileFree             = function{"profileFree", tableHead + 34}
	deviceCreate            = function{"deviceCreate", tableHead + 40}
)

// Of QnnSystemInterface_t, whose functions begin at the fourth word.
var (
	systemLogCreate   = function{"systemLogCreate", 4 + 5}
	dlcCreateFromFile = function{"systemDlcCreateFromFile", 4 + 8}
	dlcComposeGraphs  = function{"systemDlcComposeGraphs", 4 + 10}
	dlcFree           = function{"systemDlcFree", 4 + 12}
)

// address is a pointer of C.
type address = uint64

// qnnTensor is Qnn_Tensor_t; versions 1 and 2 agree as far as it is used here.
type qnnTensor struct {
	version  uint64
	id       uint64 // 32 bits of it
	name     address
	kind     uint32 // Qnn_TensorType_t
	format   uint32
	dtype    uint32
	_        uint32
	defined  uint32 // of the encoding
	encoding uint32 // its kind
	union    [32]byte
	rank     uint32
	_        uint32
	dims     address
	memory   uint64 // its type
	data     address
	size     uint64
	rest     [3]uint64 // of version 2: dynamic dimensions, sparseness
}

// qnnOp is Qnn_OpConfig_t, which is passed by value.
type qnnOp struct {
	_       uint64 // version
	name    address
	_       address // package
	kind    address
	nParams uint32
	_       uint32
	params  address
	nIns    uint32
	_       uint32
	ins     address
	nOuts   uint32
	_       uint32
	outs    address
}

const opWords = 10

// Words of a Qnn_OpConfig_t that are changed.
const (
	opParamCount = 4
	opParams     = 5
)

// qnnParam is Qnn_Param_t: a scalar or a tensor, the name in the second word.
type qnnParam [20]uint64

const paramName = 1

// qnnGraphInfo is the beginning of QnnSystemContext_GraphInfo_t.
type qnnGraphInfo struct {
	_    uint64 // version
	name address
}

// qnnEvent is QnnProfile_EventData_t.
type qnnEvent struct {
	kind  uint32
	_     uint32 // unit
	value uint64
	name  address
}

// qnnExtendedEvent is QnnProfile_ExtendedEventData_t with an object behind it.
type qnnExtendedEvent struct {
	_     uint64 // version
	_     uint32 // kind
	unit  uint32
	data  address
	bytes uint64
	_     [9]uint64
}

// The compiler refuses these unless the sizes are C's.
var (
	_ = [1]int{}[unsafe.Sizeof(qnnTensor{})-144]
	_ = [1]int{}[unsafe.Sizeof(qnnOp{})-8*opWords]
	_ = [1]int{}[unsafe.Sizeof(qnnParam{})-160]
	_ = [1]int{}[unsafe.Sizeof(qnnEvent{})-24]
	_ = [1]int{}[unsafe.Sizeof(qnnExtendedEvent{})-104]
)

// Numbers of the API.
const (
	appRead       = 1 // a tensor that the graph gives
	native        = 3 // one that stays in it
	dense         = 0 // data format
	buffer        = 0 // type of memory
	undefined     = 0x7fffffff
	logErrors     = 1
	detailed      = 2 // profiling level
	optrace       = 2 // profiling option
	estimateFirst = 2000
	estimateLast  = 2099
	unitObject    = 5
	optionCustom  = 0
	optionSoC     = 0
)
