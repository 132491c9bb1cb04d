package decode

var yolov7 = Decoder{
	Name:   "yolov7",
	Help:   "YOLOv5's outputs with YOLOv7's anchors. Only raw maps differ; it is chosen by name.",
	Source: "WongKinYiu/yolov7, models/yolo.py, Detect and IDetect; anchors of cfg/deploy/yolov7.yaml",
	fits: func([]Shape, Settings) (bool, string) {
		return false, "its shapes are YOLOv5's: it is chosen by name, for its anchors"
	},
	takes:  func(shapes []Shape, s Settings) (bool, string) { return anchored(shapes, s, anchorsV7, "") },
	decode: func(in []array, g *gather) error { return decodeAnchored(in, g, anchorsV7) },
}

// anchorsV7 are those of YOLOv7 with three scales, in pixels.
var anchorsV7 = [][][2]float64{
	{{12, 16}, {19, 36}, {40, 28}},
	{{36, 75}, {76, 55}, {72, 146}},
	{{142, 110}, {192, 243}, {459, 401}},
}
