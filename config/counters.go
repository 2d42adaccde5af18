package config

import (
	"net"
	"path/filepath"
	"time"
)

// Counters says where what limits count is kept. Processes that share the place
// share the limits.
type Counters struct {
	File   string  `yaml:"file"`   // of processes of this machine; absent: limits.journal in audit.dir
	Valkey *Valkey `yaml:"valkey"` // a server that several machines share, in place of a file
}

// Valkey is a Valkey or Redis server.
type Valkey struct {
	Address   string        `yaml:"address"`       // host:port
	TLS       string        `yaml:"tls"`           // verify-full or disable; absent: verify-full
	CA        string        `yaml:"ca"`            // PEM file; absent: the system's roots
	Name      string        `yaml:"server_name"`   // in the certificate; absent: the address's
	Cert      string        `yaml:"cert"`          // pgveil's own, where the server asks for one
	Key       string        `yaml:"key"`           // and its key
	User      string        `yaml:"user"`          // absent: the default one
	Password  string        `yaml:"password_file"` // absent: none is needed
	Database  int           `yaml:"db"`
	Timeout   time.Duration `yaml:"timeout"`    // of each question; absent: 500ms
	OnFailure string        `yaml:"on_failure"` // refuse or local; absent: refuse
}

func (c *Counters) paths() []*string {
	paths := []*string{&c.File}
	if v := c.Valkey; v != nil {
		paths = append(paths, &v.CA, &v.Cert, &v.Key, &v.Password)
	}
	return paths
}

// CountersFile gives the file that counts are in: that of counters.file, or one in
// the access log's folder, which pgveil may write, nobody else reads, and every
// process of one log shares.
func (c *Config) CountersFile() string {
	if c.Counters.File != "" {
		return c.Counters.File
	}
	return filepath.Join(c.Audit.Dir, "limits.journal")
}

// complete gives what is absent its meaning.
func (v *Valkey) complete() {
	if v.TLS == "" {
		v.TLS = "verify-full"
	}
	if v.Timeout == 0 {
		v.Timeout = 500 * time.Millisecond
	}
	if v.OnFailure == "" {
		v.OnFailure = "refuse"
	}
}

// longestCount is how long a statement may be held up by a count at most.
const longestCount = 10 * time.Second

func (c *Counters) validate(bad func(key, format string, args ...any)) {
	v := c.Valkey
	if v == nil {
		return
	}
	if c.File != "" {
		bad("counters.file", "and counters.valkey exclude each other")
	}
	if host, port, err := net.SplitHostPort(v.Address); err != nil || host == "" || port == "" {
		bad("counters.valkey.address", "%q is not host:port", v.Address)
	}
	if v.TLS != "verify-full" && v.TLS != "disable" {
		bad("counters.valkey.tls", "%q is not one of verify-full, disable", v.TLS)
	}
	if v.TLS == "disable" && (v.CA != "" || v.Name != "" || v.Cert != "") {
		bad("counters.valkey.tls", "disable leaves no use for ca, server_name and cert")
	}
	if (v.Cert == "") != (v.Key == "") {
		bad("counters.valkey.cert", "and counters.valkey.key go together")
	}
	if v.User != "" && v.Password == "" {
		bad("counters.valkey.user", "needs a password_file")
	}
	if v.Database < 0 {
		bad("counters.valkey.db", "must not be negative")
	}
	if v.Timeout < time.Millisecond || v.Timeout > longestCount {
		bad("counters.valkey.timeout", "%v is not a time from 1ms to %v", v.Timeout, longestCount)
	}
	if v.OnFailure != "refuse" && v.OnFailure != "local" {
		bad("counters.valkey.on_failure", "%q is not one of refuse, local", v.OnFailure)
	}
}
