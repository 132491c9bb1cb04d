package encodings

import (
	"encoding/json"
	"slices"
	"strings"
)

// file reads the whole.
func (r *reader) file() error {
	start := r.next()
	t, err := r.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return r.none(start, "it does not begin with an object { }")
	}
	said, versionAt, sections := "", int64(0), 0
	for r.dec.More() {
		name, err := r.key()
		if err != nil {
			return err
		}
		at := r.next()
		switch name {
		case "version":
			v, err := r.value(1)
			if err != nil {
				return err
			}
			said, versionAt = v.text, at
		case string(Activations), string(Params):
			sections++
			err = r.section(Section(name))
		case "encodings":
			sections++
			r.version("2.0.0")
			err = r.entries(name, Anywhere)
		default:
			_, err = r.value(1)
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.token(); err != nil {
		return err
	}
	if at := r.next(); at < int64(len(r.data)) {
		return r.none(at, "something stands behind its end")
	}
	if sections == 0 {
		return r.none(start, "it has neither activation_encodings nor param_encodings nor encodings")
	}
	if known := slices.Contains(Versions, said); said != "" && (!known || r.out.Version != "" && said != r.out.Version) {
		written := r.out.Version
		if written == "" {
			written = "none"
		}
		r.problem("version", versionAt, false, "the file calls itself version %q; its entries are written as %s", short(said), written)
	}
	return nil
}

// version notes how entries are written.
func (r *reader) version(v string) {
	if r.out.Version == "" {
		r.out.Version = v
	}
}

// section reads one of two: an object of lists by tensor (0.6.1), or a list of entries.
func (r *reader) section(s Section) error {
	at := r.next()
	if at < int64(len(r.data)) && r.data[at] == '[' {
		return r.entries(string(s), s)
	}
	t, err := r.token()
	if err != nil {
		return err
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('{') {
		return r.none(at, "%s is neither an object of tensors (version 0.6.1) nor a list of encodings (1.0.0)", s)
	}
	r.version("0.6.1")
	for r.dec.More() {
		name, err := r.key()
		if err != nil {
			return err
		}
		v, err := r.value(1)
		if err != nil {
			return err
		}
		if v.kind != list && v.kind != object {
			if name == "name" || name == "enc_type" || name == "bw" {
				return r.none(v.at, "%s is a single encoding of version 1.0.0, which should stand in a list [ ]", s)
			}
			return r.none(v.at, "in %s, %q is %v where a list of encodings should be", s, short(name), v.kind)
		}
		r.take(name, v.at, s, r.entry061(name, v))
	}
	_, err = r.token()
	return err
}

// entries reads a list of encodings with names, version 1.0.0 or 2.0.0.
func (r *reader) entries(of string, s Section) error {
	at := r.next()
	t, err := r.token()
	if err != nil {
		return err
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('[') {
		return r.none(at, "%s is not a list of encodings", of)
	}
	for r.dec.More() {
		v, err := r.value(1)
		if err != nil {
			return err
		}
		if v.kind != object {
			return r.none(v.at, "in %s stands %v where an encoding { } should be", of, v.kind)
		}
		name := v.fields["name"]
		if name.kind != text || name.text == "" {
			r.problem("?", v.at, true, "an encoding of %s has no name", of)
			continue
		}
		_, typed := v.fields["output_dtype"]
		if typed || s == Anywhere {
			r.version("2.0.0")
			r.take(name.text, v.at, s, r.entry200(name.text, v))
		} else {
			r.version("1.0.0")
			r.take(name.text, v.at, s, r.entry100(name.text, v))
		}
		for _, field := range v.twice {
			r.problem(name.text, v.at, false, "%s stands there twice; the last one holds", short(field))
		}
	}
	_, err = r.token()
	return err
}

// take keeps an entry.
func (r *reader) take(name string, at int64, s Section, a Asked) {
	a.Section, a.Line = s, r.line(at)
	if before, there := r.out.Tensors[name]; there {
		r.problem(name, at, false, "the tensor has an entry in line %d already; this one holds", before.Line)
	}
	if strings.TrimSpace(name) == "" {
		r.problem(name, at, true, "the tensor has no name")
	}
	r.out.Tensors[name] = a
}
