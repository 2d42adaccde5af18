package presets

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/policy"
)

//go:embed */*.yaml */policy/*.yaml
var data embed.FS

// common holds the files that are a part of every preset.
const common = "common"

// Preset is what is known of one application.
type Preset struct {
	Name       string        `yaml:"-"`
	Title      string        `yaml:"title"`
	About      string        `yaml:"about"`
	PostgreSQL string        `yaml:"postgresql"` // how far it runs on PostgreSQL at all
	Versions   string        `yaml:"versions"`
	Sources    []string      `yaml:"sources"` // public files that were read for it
	Schema     string        `yaml:"schema"`  // as the files spell it
	Tables     []string      `yaml:"tables"`  // by which it is recognised
	Files      []policy.File `yaml:"-"`
}

// All gives the presets by name.
func All() ([]*Preset, error) {
	folders, err := fs.ReadDir(data, ".")
	if err != nil {
		return nil, err
	}
	var all []*Preset
	for _, f := range folders {
		if f.Name() == common {
			continue
		}
		p, err := read(f.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Open gives a preset by its name.
func Open(name string) (*Preset, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p *Preset) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no preset %q: see pgveil preset list", name)
	}
	return all[i], nil
}

func read(name string) (*Preset, error) {
	p := &Preset{Name: name}
	text, err := data.ReadFile(path.Join(name, "preset.yaml"))
	if err != nil {
		return nil, err
	}
	if err := yaml.Load(text, p, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("preset %s: %w", name, err)
	}
	for _, pattern := range []string{common + "/*.yaml", name + "/policy/*.yaml"} {
		names, err := fs.Glob(data, pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			text, err := data.ReadFile(file)
			if err != nil {
				return nil, err
			}
			p.Files = append(p.Files, policy.File{Name: path.Base(file), Text: string(text)})
		}
	}
	return p, nil
}
