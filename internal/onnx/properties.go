package onnx

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
)

// Property is an entry of the model's metadata, "" if there is none under the key.
func (m *Model) Property(key string) string {
	for _, p := range m.Proto.GetMetadataProps() {
		if p.GetKey() == key {
			return p.GetValue()
		}
	}
	return ""
}

// WithProperty gives the model with an entry of its metadata set.
func (m *Model) WithProperty(key, value string) *Model {
	c := m.With(m.Graph())
	c.SHA256 = m.SHA256
	c.Proto.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String(key), Value: proto.String(value)}}
	for _, p := range m.Proto.GetMetadataProps() {
		if p.GetKey() != key {
			c.Proto.MetadataProps = append(c.Proto.MetadataProps, p)
		}
	}
	return c
}
