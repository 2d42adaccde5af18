package config

import (
	"net/url"
	"time"
)

// Audit says where the access log is, when a record counts as written, and who
// signs what was.
type Audit struct {
	Dir        string `yaml:"dir"`
	Durability string `yaml:"durability"` // intent or relaxed
	Subjects   bool   `yaml:"subjects"`   // records name the data subjects whose rows were returned or changed

	Origin     string        `yaml:"origin"`     // the log's name in checkpoints; with key
	Key        string        `yaml:"key"`        // file with the key that signs checkpoints; absent: there are none
	KeyBefore  string        `yaml:"key_before"` // of the key that key takes over from
	Checkpoint time.Duration `yaml:"checkpoint"` // how often one is signed
	Anchors    []Anchor      `yaml:"anchors"`    // where copies of checkpoints go

	Keep Span `yaml:"keep"` // how long records are kept; absent: for ever
	Hold bool `yaml:"hold"` // nothing is removed for now

	Ship []Sink `yaml:"ship"` // where copies of records go

	Sealed *Sealed     `yaml:"sealed"` // what else is kept of statements, encrypted; absent: nothing
	Table  *AuditTable `yaml:"table"`  // the access log in the database as well; absent: it is not
}

// Sealed says what of each statement its records hold, encrypted, and under
// which keys. It is said here and not in the policy: it is about the log's own
// privacy and the keys of this machine, and holds for every statement alike.
type Sealed struct {
	What   []string `yaml:"what"`   // text, parameters
	Images []string `yaml:"images"` // tables, schema.table with *, of whose changed rows there are images before and after
	Keys   string   `yaml:"keys"`   // folder of the keys that seal
	Key    string   `yaml:"key"`    // file with the key that wraps those
	Keep   Span     `yaml:"keep"`   // how long what is sealed can be opened; absent: for ever
}

// Anchor is a place that copies of checkpoints go to: one of them.
type Anchor struct {
	File     string          `yaml:"file"`     // appended to
	HTTP     string          `yaml:"http"`     // URL that they are posted to
	Token    string          `yaml:"token"`    // of http: file with the bearer token; absent: none
	Syslog   *Syslog         `yaml:"syslog"`   // a message each
	Postgres *AnchorPostgres `yaml:"postgres"` // a row each
}

// AnchorPostgres is another database than the governed one.
type AnchorPostgres struct {
	DSN      string `yaml:"dsn"`           // a connection string, without a password
	Password string `yaml:"password_file"` // absent: none is needed
	Create   bool   `yaml:"create"`        // make the table where it is missing
}

func (a *Audit) paths() []*string {
	paths := []*string{&a.Dir, &a.Key, &a.KeyBefore}
	if a.Sealed != nil {
		paths = append(paths, &a.Sealed.Keys, &a.Sealed.Key)
	}
	for i := range a.Anchors {
		paths = append(paths, a.Anchors[i].paths()...)
	}
	for i := range a.Ship {
		paths = append(paths, a.Ship[i].paths()...)
	}
	return paths
}

func (a *Audit) validate(bad func(key, format string, args ...any)) {
	if (a.Key == "") != (a.Origin == "") {
		bad("audit.key", "and audit.origin go together")
	}
	if a.Key == "" && a.KeyBefore != "" {
		bad("audit.key_before", "is of no use without audit.key")
	}
	if a.Key == "" && len(a.Anchors) > 0 {
		bad("audit.anchors", "there are no checkpoints to copy without audit.key")
	}
	if a.Key == "" && a.Keep != 0 {
		bad("audit.keep", "takes audit.key: what was removed is said in a signed statement")
	}
	a.Sealed.validate(bad)
	if a.Table != nil {
		a.Table.validate(bad)
	}
	if a.Checkpoint <= 0 {
		bad("audit.checkpoint", "must be positive")
	}
	for _, anchor := range a.Anchors {
		anchor.validate(bad)
	}
	validateShip(a.Ship, bad)
}

func (a *Anchor) paths() []*string {
	paths := []*string{&a.File, &a.Token}
	if a.Syslog != nil {
		paths = append(paths, a.Syslog.TLS.paths()...)
	}
	if a.Postgres != nil {
		paths = append(paths, &a.Postgres.Password)
	}
	return paths
}

func (a *Anchor) validate(bad func(key, format string, args ...any)) {
	kinds := 0
	for _, is := range []bool{a.File != "", a.HTTP != "", a.Syslog != nil, a.Postgres != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		bad("audit.anchors", "each has one of file, http, syslog and postgres")
	}
	if a.Token != "" && a.HTTP == "" {
		bad("audit.anchors", "token goes with http")
	}
	if a.HTTP != "" && !webAddress(a.HTTP) {
		bad("audit.anchors", "%q is not an address of http or https", a.HTTP)
	}
	if a.Syslog != nil {
		a.Syslog.validate(func(format string, args ...any) { bad("audit.anchors.syslog", format, args...) })
	}
	if a.Postgres != nil && a.Postgres.DSN == "" {
		bad("audit.anchors.postgres.dsn", "is missing")
	}
}

// webAddress tells whether text is an address of http or https.
func webAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (s *Sealed) validate(bad func(key, format string, args ...any)) {
	if s == nil {
		return
	}
	if s.Keys == "" || s.Key == "" {
		bad("audit.sealed", "takes keys, a folder, and key, a file")
	}
	if len(s.What)+len(s.Images) == 0 {
		bad("audit.sealed.what", "is missing: text, parameters or both, and there are no images either")
	}
	for _, what := range s.What {
		if what != "text" && what != "parameters" {
			bad("audit.sealed.what", "%q is not one of text, parameters", what)
		}
	}
}
