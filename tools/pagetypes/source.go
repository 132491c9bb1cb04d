package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// module is the prefix of the paths of packages whose source is read.
const module = "quantcheck/"

// source reads comments and constants of the module's packages.
type source struct {
	dir      string // the module's root
	packages map[string]*packageSource
}

// packageSource is what is known of one package.
type packageSource struct {
	docs      map[string]string   // of its types
	fields    map[string]string   // line comments by Type.Field
	constants map[string][]string // values of a string type, in their order
}

// of reads a type's package once. Types of the standard library have none.
func (s *source) of(t reflect.Type) (*packageSource, error) {
	path := t.PkgPath()
	if p, ok := s.packages[path]; ok {
		return p, nil
	}
	p := &packageSource{docs: map[string]string{}, fields: map[string]string{}, constants: map[string][]string{}}
	s.packages[path] = p
	below, ours := strings.CutPrefix(path, module)
	if !ours {
		return p, nil
	}
	files, err := filepath.Glob(filepath.Join(s.dir, below, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no Go files in %s", filepath.Join(s.dir, below))
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				if err := p.read(g); err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
			}
		}
	}
	return p, nil
}

func (p *packageSource) read(g *ast.GenDecl) error {
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			doc := s.Doc
			if doc == nil {
				doc = g.Doc
			}
			p.docs[s.Name.Name] = words(doc)
			if st, ok := s.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						p.fields[s.Name.Name+"."+n.Name] = words(f.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			of, ok := s.Type.(*ast.Ident)
			if g.Tok != token.CONST || !ok {
				continue
			}
			for _, v := range s.Values {
				literal, ok := v.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					continue // of a type that is no string
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					return err
				}
				p.constants[of.Name] = append(p.constants[of.Name], text)
			}
		}
	}
	return nil
}

// words is a comment on one line.
func words(c *ast.CommentGroup) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(c.Text()), " "), "*/", "* /")
}

// typeDoc gives the comment in front of a type's declaration, "" if it has none.
func (s *source) typeDoc(t reflect.Type) (string, error) {
	p, err := s.of(t)
	if err != nil || p.docs[t.Name()] == "" {
		return "", err
	}
	return "/** " + p.docs[t.Name()] + " */\n", nil
}

// fieldComment gives the comment behind a field, "" if it has none.
func (s *source) fieldComment(t reflect.Type, field string) (string, error) {
	p, err := s.of(t)
	if err != nil || p.fields[t.Name()+"."+field] == "" {
		return "", err
	}
	return " // " + p.fields[t.Name()+"."+field], nil
}

// constants gives the values of a string type's constants, none if any string is one of its values.
func (s *source) constants(t reflect.Type) ([]string, error) {
	p, err := s.of(t)
	if err != nil {
		return nil, err
	}
	return append([]string(nil), p.constants[t.Name()]...), nil
}
