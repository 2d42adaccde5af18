package config

import (
	"fmt"
	"slices"
	"strings"
)

// ServerLogin says how pgveil logs in to the server for some clients, in place
// of their own proof. The first that fits a login counts.
type ServerLogin struct {
	Users     Words  `yaml:"users"`         // names, all
	Databases Words  `yaml:"databases"`     // names, all
	As        string `yaml:"as"`            // same, or another login
	SetRole   bool   `yaml:"set_role"`      // the client's login becomes the session's role
	Password  string `yaml:"password_file"` // of the login
	Env       string `yaml:"password_env"`  // the environment variable that it is in
	Vault     *Vault `yaml:"vault"`         // where else it is
}

// Vault is a secret in HashiCorp Vault, or OpenBao: a version 2 key-value one.
type Vault struct {
	Address   string `yaml:"address"`    // https://host:8200
	Path      string `yaml:"path"`       // of the API behind /v1/: secret/data/pgveil
	Field     string `yaml:"field"`      // absent: password
	Token     string `yaml:"token_file"` // whose bearer may read the secret
	Namespace string `yaml:"namespace"`
	CA        string `yaml:"ca"` // PEM file; absent: the system's roots
}

// Same is the login of the client itself.
const Same = "same"

// Fits tells whether an entry is for a login in a database.
func (l *ServerLogin) Fits(login, database string) bool {
	return l.Users.has(login) && l.Databases.has(database)
}

func (w Words) has(name string) bool { return slices.Contains(w, name) || slices.Contains(w, All) }

// validateLogins checks every entry, and whether it can ever count.
func (s *Server) validateLogins(bad func(key, format string, args ...any)) {
	for i := range s.Logins {
		l := &s.Logins[i]
		key := fmt.Sprintf("server.logins[%d]", i)
		l.validate(func(k, format string, args ...any) { bad(key+"."+k, format, args...) })
		for j := range i {
			if s.Logins[j].Users.hold(l.Users) && s.Logins[j].Databases.hold(l.Databases) {
				bad(key, "never counts: server.logins[%d] fits every login that it fits", j)
				break
			}
		}
	}
}

func (l *ServerLogin) validate(bad func(key, format string, args ...any)) {
	for key, words := range map[string]Words{"users": l.Users, "databases": l.Databases} {
		if len(words) == 0 || slices.Contains(words, "") {
			bad(key, "is missing: say which, or all")
		}
	}
	switch {
	case l.As == "":
		bad("as", "is missing: say same, or which login of the server's")
	case len(l.As) > maxName:
		bad("as", "is longer than %d bytes", maxName)
	case l.As == Same && l.SetRole:
		bad("set_role", "has no meaning for a login that stays the same")
	}
	given := 0
	for _, is := range []bool{l.Password != "", l.Env != "", l.Vault != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		bad("password_file", "password_env and vault: one of them is enough")
	}
	if l.Vault != nil {
		l.Vault.validate(bad)
	}
}

func (v *Vault) validate(bad func(key, format string, args ...any)) {
	if err := CheckURL(v.Address); err != nil {
		bad("vault.address", "%v", err)
	}
	if strings.Trim(v.Path, "/") == "" {
		bad("vault.path", "is missing: give one like secret/data/pgveil")
	}
	if v.Token == "" {
		bad("vault.token_file", "is missing")
	}
	if v.Field == "" {
		v.Field = "password"
	}
}

// validateProofs refuses entries where no login could use them.
func (c *Config) validateProofs(bad func(key, format string, args ...any)) {
	if len(c.Server.Logins) > 0 && (c.Auth.Method == "passthrough" || c.Auth.Method == "trust") {
		bad("server.logins", "are for logins that prove themselves to pgveil, which with %s none does", c.Auth.Method)
	}
}

// loginPaths gives the files of entries.
func (s *Server) loginPaths() (paths []*string) {
	for i := range s.Logins {
		l := &s.Logins[i]
		paths = append(paths, &l.Password)
		if l.Vault != nil {
			paths = append(paths, &l.Vault.Token, &l.Vault.CA)
		}
	}
	return paths
}
