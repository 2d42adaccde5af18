package main

import (
	"testing"

	"github.com/pgveil/pgveil/seal"
)

func TestKeyChanges(t *testing.T) {
	key := func(id uint32, state seal.State) seal.Key {
		return seal.Key{ID: id, Class: "birth", State: state}
	}
	for _, tt := range []struct {
		name    string
		was, is []seal.Key
		want    string
	}{
		{"a start", nil, []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, "; key 00000001 of birth is enabled; key 00000002 of birth is primary"},
		{"a rotation", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, "; key 00000001 of birth: primary -> enabled; key 00000002 of birth: new -> primary"},
		{"an end", []seal.Key{key(1, seal.Enabled), key(2, seal.Primary)}, []seal.Key{key(1, seal.Destroyed), key(2, seal.Primary)}, "; key 00000001 of birth: enabled -> destroyed"},
		{"another file", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(3, seal.Primary)}, "; key 00000003 of birth: new -> primary; key 00000001 of birth: primary -> not in the file"},
		{"nothing", []seal.Key{key(1, seal.Primary)}, []seal.Key{key(1, seal.Primary)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := keyChanges(tt.was, tt.is); got != tt.want {
				t.Errorf("keyChanges says %q, want %q", got, tt.want)
			}
		})
	}
}
