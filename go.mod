module quantcheck

go 1.26

require (
	github.com/ebitengine/purego v0.11.3 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
