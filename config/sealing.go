package config

// Sealing says where the keys of sealed columns are.
type Sealing struct {
	Keys      string `yaml:"keys"` // file of keys: pgveil keys create
	WrappedBy Wrap   `yaml:"wrapped_by"`
}

// Wrap names the key under which a file of keys is wrapped: one of them.
type Wrap struct {
	File string `yaml:"file"` // file with a key: pgveil keygen
	Env  string `yaml:"env"`  // environment variable with what such a file holds
}

func (s *Sealing) paths() []*string {
	if s == nil {
		return nil
	}
	return []*string{&s.Keys, &s.WrappedBy.File}
}

func (s *Sealing) validate(bad func(key, format string, args ...any)) {
	if s == nil {
		return
	}
	if s.Keys == "" {
		bad("sealing.keys", "is missing: the file of keys")
	}
	if (s.WrappedBy.File == "") == (s.WrappedBy.Env == "") {
		bad("sealing.wrapped_by", "takes one of file and env: where the key is under which that file's are wrapped")
	}
}
