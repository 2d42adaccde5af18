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

	Sealed *Sealed `yaml:"sealed"` // what else is kept of statements, encrypted; absent: nothing
}

// Sealed says what of each statement its record holds, encrypted, and under
// which keys. It is said here and not in the policy: it is about the log's own
// privacy and the keys of this machine, and holds for every statement alike.
type Sealed struct {
	What []string `yaml:"what"` // text, parameters
	Keys string   `yaml:"keys"` // folder of the keys that seal
	Key  string   `yaml:"key"`  // file with the key that wraps those
	Keep Span     `yaml:"keep"` // how long what is sealed can be opened; absent: for ever
}

// Anchor is a place that copies of checkpoints go to: one of both.
type Anchor struct {
	File  string `yaml:"file"`  // appended to
	HTTP  string `yaml:"http"`  // URL that they are posted to
	Token string `yaml:"token"` // of http: file with the bearer token; absent: none
}

func (a *Audit) paths() []*string {
	paths := []*string{&a.Dir, &a.Key, &a.KeyBefore}
	if a.Sealed != nil {
		paths = append(paths, &a.Sealed.Keys, &a.Sealed.Key)
	}
	for i := range a.Anchors {
		paths = append(paths, &a.Anchors[i].File, &a.Anchors[i].Token)
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
	if a.Checkpoint <= 0 {
		bad("audit.checkpoint", "must be positive")
	}
	for _, anchor := range a.Anchors {
		u, err := url.Parse(anchor.HTTP)
		switch {
		case (anchor.File == "") == (anchor.HTTP == ""):
			bad("audit.anchors", "each has either file or http")
		case anchor.Token != "" && anchor.HTTP == "":
			bad("audit.anchors", "token goes with http")
		case anchor.HTTP != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
			bad("audit.anchors", "%q is not an address of http or https", anchor.HTTP)
		}
	}
}

func (s *Sealed) validate(bad func(key, format string, args ...any)) {
	if s == nil {
		return
	}
	if s.Keys == "" || s.Key == "" {
		bad("audit.sealed", "takes keys, a folder, and key, a file")
	}
	if len(s.What) == 0 {
		bad("audit.sealed.what", "is missing: text, parameters or both")
	}
	for _, what := range s.What {
		if what != "text" && what != "parameters" {
			bad("audit.sealed.what", "%q is not one of text, parameters", what)
		}
	}
}
