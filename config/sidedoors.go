package config

import (
	"fmt"
	"time"
)

// SideDoors says that connections to the server are looked for that go around
// pgveil, and which of those may.
type SideDoors struct {
	Every time.Duration `yaml:"every"` // how often; absent: 3s
	Allow []AllowedDoor `yaml:"allow"`
}

// AllowedDoor is connections that may go around pgveil: those that fit all that
// is said.
type AllowedDoor struct {
	Users     Words  `yaml:"users"`        // of the server; all
	From      Words  `yaml:"from"`         // addresses, networks, unix, loopback, all: as the server sees them
	Apps      Words  `yaml:"applications"` // what clients call themselves: no proof of anything
	Databases Words  `yaml:"databases"`    // names, replication, all; absent: all
	Because   string `yaml:"because"`      // for whoever reads the file
}

// Places gives where such connections come from.
func (a *AllowedDoor) Places() (Places, error) { return (&Rule{From: a.From}).Places() }

const (
	doorsEvery   = 3 * time.Second
	fastestDoors = 100 * time.Millisecond
	slowestDoors = 5 * time.Minute
)

func (s *SideDoors) validate(bad func(key, format string, args ...any)) {
	if s == nil {
		return
	}
	if s.Every == 0 {
		s.Every = doorsEvery
	}
	if s.Every < fastestDoors || s.Every > slowestDoors {
		bad("side_doors.every", "must be from %s to %s", fastestDoors, slowestDoors)
	}
	for i := range s.Allow {
		a := &s.Allow[i]
		key := fmt.Sprintf("side_doors.allow[%d]", i)
		if len(a.Users) == 0 || len(a.From) == 0 {
			bad(key, "needs users and from: what a client calls itself is no proof")
		}
		if _, err := a.Places(); err != nil {
			bad(key+".from", "%v", err)
		}
	}
}
