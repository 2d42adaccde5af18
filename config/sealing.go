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

	Vault *Transit `yaml:"vault"` // the transit engine of HashiCorp Vault, or OpenBao
}

// Transit is a key of a transit secrets engine, and who asks for it.
type Transit struct {
	Address   string `yaml:"address"`    // https://host:port
	Mount     string `yaml:"mount"`      // of the engine; absent: transit
	Key       string `yaml:"key"`        // its name there
	Token     string `yaml:"token_file"` // read each time it is needed
	CA        string `yaml:"ca"`         // PEM; absent: the system's roots
	Namespace string `yaml:"namespace"`  // absent: none
}

func (s *Sealing) paths() []*string {
	if s == nil {
		return nil
	}
	paths := []*string{&s.Keys, &s.WrappedBy.File}
	if v := s.WrappedBy.Vault; v != nil {
		paths = append(paths, &v.Token, &v.CA)
	}
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
	n := 0
	for _, is := range []bool{s.WrappedBy.File != "", s.WrappedBy.Env != "", s.WrappedBy.Vault != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		bad("sealing.wrapped_by", "takes one of file, env and vault: where the key is under which that file's are wrapped")
	}
	if v := s.WrappedBy.Vault; v != nil && (v.Address == "" || v.Key == "" || v.Token == "") {
		bad("sealing.wrapped_by.vault", "needs address, key and token_file")
	}
	if s.DataKeys != nil && s.DataKeys.DSN == "" {
		bad("sealing.data_keys.dsn", "is missing: the connection string of the store of data keys")
	}
}
