package config

import "time"

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

	Reap time.Duration `yaml:"reap"` // how often keys without a value are destroyed; 0: by pgveil keys reap alone
}

// Wrap names the key under which a file of keys is wrapped: one of them.
type Wrap struct {
	File string `yaml:"file"` // file with a key: pgveil keygen
	Env  string `yaml:"env"`  // environment variable with what such a file holds

	Vault *Transit  `yaml:"vault"` // the transit engine of HashiCorp Vault, or OpenBao
	AWS   *CloudKey `yaml:"aws"`   // AWS KMS; in builds with the tag awskms
	GCP   *CloudKey `yaml:"gcp"`   // Google Cloud KMS; in builds with the tag gcpkms
}

// CloudKey is a key of a cloud provider's KMS, and who asks for it.
type CloudKey struct {
	Key         string `yaml:"key"`              // its ARN, or resource name
	Credentials string `yaml:"credentials_file"` // read each time it is needed; absent: the machine's role, or service account
	Endpoint    string `yaml:"endpoint"`         // https://host; absent: the public one
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
	for _, k := range []*CloudKey{s.WrappedBy.AWS, s.WrappedBy.GCP} {
		if k != nil {
			paths = append(paths, &k.Credentials)
		}
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
	for _, is := range []bool{s.WrappedBy.File != "", s.WrappedBy.Env != "", s.WrappedBy.Vault != nil, s.WrappedBy.AWS != nil, s.WrappedBy.GCP != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		bad("sealing.wrapped_by", "takes one of file, env, vault, aws and gcp: where the key is under which that file's are wrapped")
	}
	if v := s.WrappedBy.Vault; v != nil && (v.Address == "" || v.Key == "" || v.Token == "") {
		bad("sealing.wrapped_by.vault", "needs address, key and token_file")
	}
	for name, k := range map[string]*CloudKey{"aws": s.WrappedBy.AWS, "gcp": s.WrappedBy.GCP} {
		if k != nil && k.Key == "" {
			bad("sealing.wrapped_by."+name+".key", "is missing: the name of the key")
		}
	}
	if s.DataKeys != nil && s.DataKeys.DSN == "" {
		bad("sealing.data_keys.dsn", "is missing: the connection string of the store of data keys")
	}
	if s.DataKeys != nil && s.DataKeys.Reap != 0 && s.DataKeys.Reap < time.Hour {
		bad("sealing.data_keys.reap", "is less than an hour: every value that has a key is read each time")
	}
}
