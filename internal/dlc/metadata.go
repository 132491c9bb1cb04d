package dlc

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// Metadata is what the tools wrote about themselves; texts are empty where they wrote nothing.
type Metadata struct {
	ConverterCommand string
	ConverterVersion string
	QuantizerCommand string // "" for a float model
	ModelVersion     string
	ModelCopyright   string
	Raw              map[string]string // every line, or every JSON record under its member's name
}

const metadataMost = 4 << 20

// readMetadata reads every generation: lines of key=value, or JSON.
func (f *File) readMetadata() {
	f.Metadata.Raw = map[string]string{}
	var names []string
	for name := range f.members {
		if strings.HasPrefix(name, "dlc.metadata") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := io.ReadAll(io.LimitReader(f.members[name], metadataMost))
		if err != nil {
			f.Notes = append(f.Notes, "the member "+name+" cannot be read")
			continue
		}
		text := string(data)
		if strings.HasPrefix(strings.TrimSpace(text), "{") {
			f.Metadata.Raw[name] = text
			f.readJSON(name, data)
			continue
		}
		for line := range strings.Lines(text) {
			key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
			if ok {
				f.Metadata.Raw[key] = value
			}
		}
	}
	raw := f.Metadata.Raw
	set := func(to *string, key string) {
		if v := raw[key]; v != "" && v != "N/A" {
			*to = v
		}
	}
	set(&f.Metadata.ConverterCommand, "converter-command")
	set(&f.Metadata.ConverterVersion, "converter-version")
	set(&f.Metadata.QuantizerCommand, "quantizer-command")
	set(&f.Metadata.ModelVersion, "model-version")
	set(&f.Metadata.ModelCopyright, "model-copyright")
}

// readJSON reads the records of QAIRT: who made the file, with which command.
func (f *File) readJSON(name string, data []byte) {
	type command struct {
		Tool             string `json:"tool"`
		ConverterVersion string `json:"converterVersion"`
		Args             any    `json:"args"`
	}
	var record struct {
		Info []struct {
			Converter command `json:"converterCommand"`
			Quantizer command `json:"quantizerCommand"`
		} `json:"dlcGenerationInfo"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		f.Notes = append(f.Notes, "the member "+name+" is no JSON that can be read")
		return
	}
	text := func(c command) string {
		if c.Tool == "" {
			return ""
		}
		args, _ := json.Marshal(c.Args)
		if string(args) == "null" {
			return c.Tool
		}
		return c.Tool + " " + string(args)
	}
	for _, i := range record.Info {
		if t := text(i.Converter); t != "" {
			f.Metadata.ConverterCommand, f.Metadata.ConverterVersion = t, i.Converter.ConverterVersion
		}
		if t := text(i.Quantizer); t != "" {
			f.Metadata.QuantizerCommand = t
		}
	}
}

// Flags are the key=value settings of a converter's or quantizer's command.
func Flags(command string) map[string]string {
	flags := map[string]string{}
	for _, word := range strings.Fields(command) {
		if key, value, ok := strings.Cut(word, "="); ok {
			flags[strings.TrimLeft(key, "-")] = value
		}
	}
	return flags
}
