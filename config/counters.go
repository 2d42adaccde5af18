package config

import "path/filepath"

// Counters says where what limits count is kept. Processes that share the place
// share the limits.
type Counters struct {
	File string `yaml:"file"` // of processes of this machine; absent: limits.journal in audit.dir
}

func (c *Counters) paths() []*string { return []*string{&c.File} }

// CountersFile gives the file that counts are in: that of counters.file, or one in
// the access log's folder, which pgveil may write, nobody else reads, and every
// process of one log shares.
func (c *Config) CountersFile() string {
	if c.Counters.File != "" {
		return c.Counters.File
	}
	return filepath.Join(c.Audit.Dir, "limits.journal")
}
