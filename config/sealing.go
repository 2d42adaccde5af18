package config

// Sealing says where the keys of sealed columns are.
type Sealing struct {
	Keys      string `yaml:"keys"` // file of keys: pgveil keys create
	WrappedBy Wrap   `yaml:"wrapped_by"`

	DataKeys *DataKeys `yaml:"data_keys"` // where keys of single values are kept; absent: there are none
}

// DataKeys names the database that keys of single values are kept in. It must not be in
// the cluster of the governed one.
type DataKeys struct {
	DSN      string `yaml:"dsn"`           // a connection string, without a password
	Password string `yaml:"password_file"` // absent: none is needed
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
	paths := []*string{&s.Keys, &s.WrappedBy.File}
	if s.DataKeys != nil {
		paths = append(paths, &s.DataKeys.Password)
	}
	return paths
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
	if s.DataKeys != nil && s.DataKeys.DSN == "" {
		bad("sealing.data_keys.dsn", "is missing: the connection string of the store of data keys")
	}
}
