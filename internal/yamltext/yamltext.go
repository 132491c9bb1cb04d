// Package yamltext reads YAML that somebody else wrote: every reader of YAML goes through it.
//
//  1. The text's size and the depth of its collections are bounded before it is parsed.
//  2. The tree is measured with every alias and merge as large as what it stands for; a tree that would grow is refused.
//  3. The YAML library decodes what is left; should it panic, that becomes an error.
package yamltext

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits of a text.
const (
	MaxBytes = 1 << 20 // of the text
	MaxDepth = 64      // of collections in collections
	MaxNodes = 200_000 // of the tree, with every alias written out
)

// ReadFile reads a file that holds YAML: a regular file of at most MaxBytes.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > MaxBytes:
		return nil, fmt.Errorf("%s has %d bytes; a YAML file has at most %d", path, info.Size(), MaxBytes)
	}
	return os.ReadFile(path)
}

// Unmarshal reads YAML into a value, over what it holds already. Unknown keys are errors if strict. An error names the limit that
// the text exceeds, or shows the place that was not understood. Text without content changes nothing. It may be used concurrently.
func Unmarshal(data []byte, into any, strict bool) (err error) {
	if len(data) > MaxBytes {
		return fmt.Errorf("the YAML has %d bytes; %d are the limit", len(data), MaxBytes)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	defer func() { // the library has panicked on hostile input
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML is not understood: %v", p)
		}
	}()
	if err := measure(data); err != nil {
		return err
	}
	var options []yaml.DecodeOption
	if strict {
		options = append(options, yaml.Strict())
	}
	if err := yaml.UnmarshalWithOptions(data, into, options...); err != nil {
		return shown(err)
	}
	return nil
}

// shown is the library's error with the place in the text.
func shown(err error) error { return errors.New(strings.TrimSpace(yaml.FormatError(err, false, true))) }

// measure says which limit a text exceeds.
func measure(data []byte) error {
	tokens := lexer.Tokenize(string(data))
	if err := depthOfTokens(tokens); err != nil {
		return err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return shown(err)
	}
	m := meter{anchors: map[string]int{}}
	nodes := 0
	for _, doc := range file.Docs {
		n, err := m.size(doc.Body, 0)
		if err != nil {
			return err
		}
		if nodes += n; nodes > MaxNodes {
			return errTooMany
		}
	}
	return nil
}

var (
	errTooMany = fmt.Errorf("the YAML has more than %d values, with its aliases written out", MaxNodes)
	errTooDeep = fmt.Errorf("the YAML has more than %d collections in one another", MaxDepth)
)

// depthOfTokens bounds what the parser, which is recursive, is given: brackets in brackets, and blocks that are indented more than
// the one that they are in.
func depthOfTokens(tokens token.Tokens) error {
	brackets := 0
	var columns []int // where the open blocks begin
	line, onLine := -1, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType: // "- - - x" and "? ? x" nest within a line
			if t.Position.Line != line {
				line, onLine = t.Position.Line, 0
			}
			onLine++
		}
		if brackets == 0 {
			for len(columns) > 0 && columns[len(columns)-1] >= t.Position.Column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, t.Position.Column)
		}
		if brackets > MaxDepth || onLine > MaxDepth || len(columns) > 4*MaxDepth { // a level has up to four tokens that begin further right
			return errTooDeep
		}
	}
	return nil
}

// meter measures trees; the sizes of what anchors name are those with aliases written out.
type meter struct{ anchors map[string]int }

// size is the number of values below a node, itself included.
func (m *meter) size(node ast.Node, depth int) (int, error) {
	if depth > 4*MaxDepth { // keys and values are nodes of their own
		return 0, errTooDeep
	}
	var parts []ast.Node
	switch n := node.(type) {
	case nil:
		return 0, nil
	case *ast.AliasNode:
		name := n.Value.String()
		size, known := m.anchors[name]
		if !known {
			return 0, fmt.Errorf("the YAML's alias *%s stands for nothing that is written before it", name)
		}
		return size, nil
	case *ast.AnchorNode:
		size, err := m.size(n.Value, depth+1)
		if err == nil {
			m.anchors[n.Name.String()] = size
		}
		return size, err
	case *ast.TagNode:
		parts = []ast.Node{n.Value}
	case *ast.SequenceNode:
		parts = n.Values
	case *ast.MappingNode:
		for _, v := range n.Values {
			parts = append(parts, v)
		}
	case *ast.MappingValueNode:
		parts = []ast.Node{n.Key, n.Value}
	case *ast.MappingKeyNode:
		parts = []ast.Node{n.Value}
	}
	size := 1
	for _, p := range parts {
		n, err := m.size(p, depth+1)
		if err != nil {
			return 0, err
		}
		if size += n; size > MaxNodes {
			return 0, errTooMany
		}
	}
	return size, nil
}
