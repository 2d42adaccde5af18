package pgserver

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// hba lets a superuser's password, and nothing less, in over the network; the
// socket's folder is closed to other operating system users.
const hba = `local all         all              trust
local replication all              trust
host  all         all 127.0.0.1/32 scram-sha-256
host  replication all 127.0.0.1/32 scram-sha-256
`

// settings gives the whole of postgresql.conf: ours, then those of the
// options, which win.
func (s *Server) settings(o Options) map[string]string {
	set := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": s.work,
		"timezone":                "UTC",
		"lc_messages":             "C",
	}
	if o.FastUnsafe {
		maps.Copy(set, map[string]string{
			"fsync":              "off",
			"full_page_writes":   "off",
			"synchronous_commit": "off",
			"autovacuum":         "off", // plans and statistics change when a test says so
			"shared_buffers":     "32MB",
		})
	}
	if o.TLS {
		maps.Copy(set, map[string]string{
			"ssl":           "on",
			"ssl_cert_file": filepath.Join(s.work, certFile),
			"ssl_key_file":  filepath.Join(s.work, keyFile),
		})
	}
	maps.Copy(set, o.Settings)
	return set
}

// configure writes the cluster's configuration files anew, so what an earlier
// start left in a folder that is used again does not matter.
func (s *Server) configure(o Options) error {
	set := s.settings(o)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(set[name], "'", "''"))
	}
	for name, text := range map[string]string{"postgresql.conf": conf.String(), "pg_hba.conf": hba} {
		path := filepath.Join(s.data, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("configuring the server: %w", err)
		}
		if err := s.account.own(path); err != nil {
			return fmt.Errorf("configuring the server: %w", err)
		}
	}
	return nil
}
